#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Init1 and Init2 (RFC 8548 3.3, 4.1) as they come and go: segmentation, PSH, ignored bytes, early data, early close.

The peer derives all keys by itself, so every frame that it opens also proves transcript, key schedule and offsets.
"""

import errno
import select
import socket

from lib import ulp
from lib.data import CANARY, recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, equal, main, raises, test, until
from lib.peerhost import Host, accepted, host, wait_sessid
from peer import crypt
from peer.tcp import SYN

ROLES = (True, False)


def both_ways(sock, peer):
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    sock.sendall(b"from the kernel")
    equal(peer.recv(15), b"from the kernel")
    peer.send(b"from the peer")
    equal(recv_exactly(sock, 13), b"from the peer")


@test(family=FAMILIES, active=ROLES, sizes=((1,), (3, 1, 2, 500), (8, 500), (9, 500), (60, 500)))
def init_in_any_segmentation(family, active, sizes):
    sock, peer = host().handshaken(family, active)
    peer.exchange_keys(sizes=sizes)
    both_ways(sock, peer)


@test(active=ROLES)
def init_without_psh_is_understood(active):
    """The sender must set it, but a middlebox may cut segments anew."""
    sock, peer = host().handshaken(4, active)
    peer.exchange_keys(psh=False)
    both_ways(sock, peer)


@test(family=FAMILIES, active=ROLES, count=(1, 100, 2000))
def bytes_after_the_public_key_are_ignored(family, active, count):
    """But they are part of the key derivation, as transmitted."""
    sock, peer = host().handshaken(family, active)
    peer.exchange_keys(ignored=bytes(range(256)) * (count // 256) + bytes(count % 256))
    both_ways(sock, peer)


@test(active=ROLES)
def repeated_and_overlapping_segments(active):
    """The peer repeats the first half of its message after all of it has arrived."""
    sock, peer = host().handshaken(4, active)
    start = peer.tcp.snd_nxt
    peer.exchange_keys(sizes=(20, 500))
    again = peer.tcp.segment(0x18, peer.sent_init[:20], seq=start)
    peer.tcp.transmit(again, track=False)
    both_ways(sock, peer)


@test
def segments_of_init1_in_the_wrong_order():
    sock, peer = host().handshaken(4, False)
    message = peer.sent_init = peer.build_init()
    start = peer.tcp.snd_nxt
    for at in range(len(message) - 20, -20, -20):
        piece = message[max(at, 0) : at + 20]
        peer.tcp.transmit(peer.tcp.segment(0x18, piece, peer._nonsyn_options(), seq=start + max(at, 0)))
    peer.read_init()
    peer.derive()
    both_ways(sock, peer)


@test(family=FAMILIES)
def init2_and_first_frames_in_one_segment(family):
    sock, peer = host().handshaken(family, True)
    peer.read_init()
    peer.sent_init = peer.build_init()
    peer.derive()
    frames = peer.tx.seal(b"hello ") + peer.tx.seal(b"") + peer.tx.seal(b"world", crypt.FINP)
    peer.tcp.send_data(peer.sent_init + frames)
    equal(recv_exactly(sock, 20), b"hello world", "data and end")
    sock.sendall(b"answer")
    equal(peer.recv(6), b"answer")


@test(offer=((0x10,), (0x01,), (0xFFFF, 0x7777, 0x02), (0x10, 0x10, 0x02, 0x01)))
def host_b_chooses_from_the_offer(offer):
    _, peer = host().handshaken(4, False)
    peer.exchange_keys(ciphers=offer)
    want = next(c for c in (1, 2, 0x10) if c in offer)  # the default bconf
    equal(peer.secrets.aead, want, "AEAD")
    peer.send(b"x")


@test
def long_offer_is_read_to_its_end():
    _, peer = host().handshaken(4, False)
    peer.exchange_keys(ciphers=[0x4000 + i for i in range(254)] + [0x10])
    equal(peer.secrets.aead, 0x10, "AEAD")


@test(family=FAMILIES)
def connect_and_send_do_not_wait_for_keys(family):
    """Data written before Init2 waits as plaintext within the kernel and goes out encrypted."""
    sock, peer = host().handshaken(family, True)
    peer.read_init()
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    check(dict(poll.poll(5000)).get(sock.fileno(), 0) & select.POLLOUT, "writable before the keys")
    sock.sendall(CANARY * 20)
    check(not poll.poll(0)[0][1] & select.POLLIN, "not readable")
    raises(errno.ENOTCONN, ulp.session_id, sock)
    raises(errno.ENOTCONN, ulp.option, sock, ulp.TCP_CRYPT_CONF)
    peer.tcp.wait_acked()
    peer.stack.pump(0.2)
    equal(bytes(peer.tcp.rx), b"", "sent before the keys")
    peer.send_init()
    peer.derive()
    equal(peer.recv(len(CANARY) * 20), CANARY * 20)
    check(not any(CANARY in s.payload for s in peer.tcp.log), "no plaintext on the wire")


@test(family=FAMILIES)
def accepted_socket_takes_data_before_the_keys(family):
    """The server speaks first, before Init1 has come."""
    sock, peer = host().handshaken(family, False)
    sock.sendall(b"220 " + CANARY)
    peer.stack.pump(0.2)
    equal([s.payload for s in peer.tcp.log if s.payload], [], "sent before the keys")
    peer.exchange_keys()
    equal(peer.recv(4 + len(CANARY)), b"220 " + CANARY)


@test(family=FAMILIES, active=ROLES)
def close_before_the_keys_loses_nothing(family, active):
    sock, peer = host().handshaken(family, active)
    sock.sendall(CANARY * 100)
    sock.close()
    peer.exchange_keys()
    equal(peer.wait_end(), CANARY * 100, "data and authentic end")
    peer.finish()
    peer.tcp.wait_acked()
    check(not any(CANARY in s.payload for s in peer.tcp.log), "no plaintext on the wire")


@test(active=ROLES)
def shutdown_before_the_keys(active):
    sock, peer = host().handshaken(4, active)
    sock.sendall(b"last words")
    sock.shutdown(socket.SHUT_WR)
    peer.exchange_keys()
    equal(peer.wait_end(), b"last words")
    peer.send(b"still answering")
    peer.finish()
    equal(recv_all(sock), b"still answering")


@test(active=ROLES)
def close_without_data_before_the_keys(active):
    sock, peer = host().handshaken(4, active)
    sock.close()
    try:
        peer.exchange_keys()
        equal(peer.wait_end(), b"")
        peer.finish()
    except ConnectionResetError:
        pass  # nothing was to be sent, so aborting loses nothing either


@test(active=ROLES)
def peer_that_never_sends_its_init_and_closes(active):
    """FIN instead of an Init: an error, never end of file."""
    sock, peer = host().handshaken(4, active)
    peer.tcp.send_fin()
    fails(sock, errno.ECONNABORTED, errno.EPROTO)


@test(active=ROLES)
def fin_in_the_middle_of_an_init(active):
    sock, peer = host().handshaken(4, active)
    if not active:
        message = peer.build_init()
    else:
        peer.read_init()
        message = peer.build_init()
    peer.tcp.send_fin(message[:40])
    fails(sock, errno.ECONNABORTED, errno.EPROTO)


@test(active=ROLES)
def reset_before_the_keys(active):
    sock, peer = host().handshaken(4, active)
    peer.tcp.send_rst()
    fails(sock, errno.ECONNRESET, errno.EPROTO)


def fails(sock, *expected):
    """recv() has one of these errors, and claims no end of the stream."""
    try:
        data = sock.recv(100)
    except OSError as error:
        check(error.errno in expected, "error %s" % error)
    else:
        raise AssertionError("received %r" % data)


@test(family=FAMILIES)
def blocked_reader_and_writer_survive_the_exchange(family):
    """A thread in recv() and one in a send() larger than the buffer, both since before the keys."""
    sock, peer = host().handshaken(family, True, lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384))
    sock.settimeout(None)
    reader = Background(recv_exactly, sock, 5)
    writer = Background(sock.sendall, b"w" * 400000)
    until(lambda: reader.running() and writer.running(), what="both waiting")
    peer.exchange_keys()
    peer.send(b"early")
    equal(reader.join(), b"early")
    equal(peer.recv(400000, timeout=60), b"w" * 400000)
    writer.join()


@test
def connection_is_counted_while_it_lives():
    # In the namespace of the other tests there are connections that they have left to end by themselves.
    alone = Host()

    def established():
        return ulp.counters(alone.ns)["Established"]

    equal(established(), 0, "before")
    sock, peer = alone.opened(4, True)
    until(lambda: established() == 1, what="one more")
    peer.tcp.send_rst()
    sock.close()
    until(lambda: established() == 0, what="one less")


@test
def listener_is_accepted_before_its_keys():
    """accept() returns with the handshake of TCP, and the socket can be asked at once."""
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.handshake()
    sock = accepted(listener)
    raises(errno.ENOTCONN, ulp.session_id, sock)
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id)
    check(not [s for s in peer.tcp.log if s.has(SYN) and s.payload], "no data in the SYN-ACK")


@test
def init1_arrives_before_accept():
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.handshake()
    peer.send_init()
    peer.tcp.wait_acked()
    sock = accepted(listener)
    peer.read_init()
    peer.derive()
    peer.send(b"quick")
    peer.finish()
    equal(recv_all(sock), b"quick")


@test
def listener_closed_with_connections_in_its_queue():
    """They are reset, whatever their state, and nothing stays behind."""
    before = ulp.counters(host().ns)["Established"]
    listener = host().listener(4)
    states = []
    for number in range(3):
        peer = host().peer_connect(listener, 4)
        if number:
            peer.handshake()
        else:
            peer.send_syn()
            peer.wait_synack()
        if number == 2:
            peer.send_init()
        states.append(peer)
    listener.close()
    for peer in states[1:]:
        peer.tcp.wait_rst()
    until(lambda: ulp.counters(host().ns)["Established"] <= before, what="connections gone")


if __name__ == "__main__":
    main()
