#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""New keys (RFC 8548 section 3.8): those of the peer are followed at once, our own begin by bytes, by time and by request.

The peer opens each frame with the keys of its own schedule, and goes on to the next at rekey = 1 only: that it opens all of
them shows that the bit is on the first frame of each generation and on no other.
"""

import errno
import select
import socket
import struct
import time

from lib import net, ulp
from lib.data import digest_of, payload, receive_digest, recv_exactly, send_pieces
from lib.harness import Background, check, defer, equal, main, raises, skip, test, until
from lib.pair import Place, joined
from lib.peerhost import host
from peer import crypt
from peer.tcp import Timeout

DEFAULTS = {"rekey_bytes": 1 << 30, "rekey_seconds": 3600}


def setting(ns, name, value):
    """Until the end of the test."""
    defer(ns.sysctl, "ipv4.tcp_crypt." + name, DEFAULTS[name])
    ns.sysctl("ipv4.tcp_crypt." + name, value)


def request(sock, value=1):
    ulp.set_option(sock, ulp.TCP_CRYPT_REKEY, value)


def silent(peer, seconds=0.5):
    """Nothing more comes from the module in this time."""
    try:
        peer.tcp.wait(lambda: peer.tcp.rx, seconds)
    except Timeout:
        return
    raise AssertionError("another frame: %r" % peer.read_frame())


def followed(peer, generation):
    """The next frame begins `generation` of our keys; returns its data."""
    frame = peer.read_frame()
    check(frame.control & crypt.REKEY, "rekey is set on the first frame of a generation")
    equal(peer.rx.generation, generation, "generation")
    return frame.data


@test(active=(True, False))
def rekey_with_data_is_followed_at_once(active):
    """Nobody reads: the answer comes all the same, and the data wait."""
    sock, peer = host().opened(4, active)
    peer.tx.rekey()
    peer.send(b"under the new keys", control=crypt.REKEY)
    equal(followed(peer, 1), b"")
    equal(sock.recv(100), b"under the new keys")
    sock.sendall(b"and back")
    equal(peer.recv(8), b"and back")


@test(active=(True, False))
def rekey_without_data_is_followed_and_not_readable(active):
    sock, peer = host().opened(4, active)
    peer.tx.rekey()
    peer.send(b"", control=crypt.REKEY)
    equal(followed(peer, 1), b"")
    check(not select.select([sock], [], [], 0.3)[0], "there is nothing to read")
    peer.send(b"data")
    equal(sock.recv(100), b"data")


@test
def each_generation_is_followed():
    """Three rekeys in a row, the last frame large enough to be opened in the reader's own memory."""
    sock, peer = host().opened(4, True)
    large = bytes(range(256)) * 32
    for data in (b"one", b"two", large):
        peer.tx.rekey()
        peer.send(data, control=crypt.REKEY)
    want, have = b"onetwo" + large, b""
    while len(have) < len(want):
        have += sock.recv(1 << 16)
    check(have == want, "the data of all three generations")
    for generation in (1, 2, 3):
        equal(followed(peer, generation), b"")
    sock.sendall(b"under the last")
    frame = peer.read_frame()
    equal((frame.data, frame.control), (b"under the last", 0))


@test
def rekey_before_the_end():
    """The frame with FINp may begin a generation; ours carries the end under the key that follows."""
    sock, peer = host().opened(4, True)
    peer.tx.rekey()
    peer.send(b"last", flags=crypt.FINP, control=crypt.REKEY)
    equal(sock.recv(100), b"last")
    equal(sock.recv(100), b"", "the authentic end")
    sock.shutdown(socket.SHUT_WR)
    equal(peer.wait_end(), b"")
    equal(peer.rx.generation, 1, "generation")


@test(active=(True, False))
def rekey_behind_unread_data_is_followed_at_once(active):
    """Whoever keeps its peer alive by that must not wait for a reader."""
    sock, peer = host().opened(6, active)
    for _ in range(20):
        peer.send(b"unread" * 100)
    peer.rekey(sizes=[7])
    equal(followed(peer, 1), b"")
    peer.send(b"unread" * 100)
    peer.rekey(b"last")
    equal(followed(peer, 2), b"")
    check(recv_exactly(sock, 21 * 600 + 4) == b"unread" * 2100 + b"last", "the data are all there, and in order")


@test
def rekeys_that_nobody_reads_are_not_followed_without_end():
    """What is opened ahead of the reader has a limit: the receive buffer once more."""
    sock, peer = host().opened(4, True, lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000))
    frames = 0
    while frames < 60:
        try:
            peer.tcp.wait(lambda: not peer.tcp.unacked() and peer.tcp.snd_wnd > 4100, 1)
        except Timeout:
            break
        peer.rekey(bytes(4000))
        frames += 1
    check(10 <= frames < 60, "the window closes, after %d frames" % frames)
    equal(recv_exactly(sock, frames * 4000), bytes(frames * 4000))
    for generation in range(1, frames + 1):
        followed(peer, generation)
    equal(ulp.generations(sock), (frames, frames))


@test
def rekey_is_followed_at_once_whatever_waits_in_the_socket():
    """Neither Nagle's algorithm nor TCP_CORK holds the answer back."""
    sock, peer = host().opened(4, True)
    peer.tcp.auto_ack = False
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    sock.sendall(b"a small piece")
    start = time.monotonic()
    peer.rekey()
    equal(peer.read_frame().data, b"a small piece")
    equal(followed(peer, 1), b"")
    check(time.monotonic() - start < 0.15, "at once, not when the cork is pulled after 0.2 s")


@test(family=(4, 6), active=(True, False))
def key_changes_after_so_many_bytes(family, active):
    """The first frame after the limit begins a generation, whether the peer has followed or not."""
    setting(host().ns, "rekey_bytes", 4096)
    sock, peer = host().opened(family, active)
    data = payload(60000)
    writer = Background(lambda: [sock.sendall(data[at : at + 1500]) for at in range(0, len(data), 1500)])
    got, under = b"", 0
    while len(got) < len(data):
        frame = peer.read_frame()
        equal(bool(frame.control & crypt.REKEY), under >= 4096, "rekey after %d bytes" % under)
        check(frame.data, "no empty frame: the data carry it")
        under = len(frame.data) + (0 if frame.control & crypt.REKEY else under)
        got += frame.data
    writer.join()
    check(got == data, "data")
    check(peer.rx.generation >= 4, "generations")
    equal(ulp.generations(sock), (peer.rx.generation, 0))
    while peer.tx.generation < peer.rx.generation:
        peer.rekey()
    until(lambda: ulp.generations(sock) == (peer.rx.generation,) * 2, what="what the peer followed")
    silent(peer)


@test
def no_limit_of_bytes():
    setting(host().ns, "rekey_bytes", 0)
    sock, peer = host().opened(4, True)
    data = payload(60000)
    writer = Background(sock.sendall, data)
    check(peer.recv(len(data)) == data, "data")
    writer.join()
    equal(peer.rx.generation, 0)


@test(active=(True, False))
def key_changes_after_so_many_seconds(active):
    """When it is used again, and not before: nothing leaves on an idle connection."""
    setting(host().ns, "rekey_seconds", 1)
    sock, peer = host().opened(6, active)
    peer.follows = True
    start = time.monotonic()
    sock.sendall(b"first")
    frame = peer.read_frame()
    equal((frame.data, frame.control), (b"first", 0))
    silent(peer, 1.5)
    sock.sendall(b"second")
    frame = peer.read_frame()
    equal((frame.data, frame.control), (b"second", crypt.REKEY))
    sock.sendall(b"third")
    if time.monotonic() - start < 2.4:
        equal(peer.read_frame().control, 0, "the new key is not old")
    until(lambda: ulp.generations(sock) == (1, 1) or peer.stack.drain(), what="that the peer followed")


@test(family=(4, 6), active=(True, False))
def key_changes_on_request(family, active):
    sock, peer = host().opened(family, active)
    equal(ulp.generations(sock), (0, 0))
    request(sock)
    equal(followed(peer, 1), b"")
    equal(ulp.generations(sock), (1, 0))
    sock.sendall(b"under the new key")
    equal(peer.read_frame().control, 0)
    peer.rekey(b"and back")
    equal(sock.recv(100), b"and back")
    equal(ulp.generations(sock), (1, 1))
    silent(peer)


@test
def second_request_waits_for_the_peer_or_for_data():
    sock, peer = host().opened(4, True)
    request(sock)
    request(sock, -1 & 0x7FFFFFFF)
    request(sock)
    equal(followed(peer, 1), b"")
    silent(peer)
    sock.sendall(b"these carry it")
    equal(followed(peer, 2), b"these carry it")
    request(sock)
    silent(peer)
    peer.rekey()
    silent(peer)
    peer.rekey()
    equal(followed(peer, 3), b"", "the peer is there")
    peer.rekey()
    until(lambda: ulp.generations(sock) == (3, 3), what="generations")
    silent(peer)


@test(active=(True, False))
def rekeys_that_cross_answer_each_other(active):
    sock, peer = host().opened(4, active)
    request(sock)
    peer.rekey(b"crossed")
    equal(followed(peer, 1), b"")
    equal(sock.recv(100), b"crossed")
    silent(peer)
    equal(ulp.generations(sock), (1, 1))
    sock.sendall(b"one generation for both")
    equal(peer.recv(23), b"one generation for both")


@test(peers=(0, 3))
def request_with_a_full_send_buffer(peers):
    """The frame that is half in TCP goes first; the keys change behind all that was written. `peers`: how often the peer
    rekeys meanwhile."""
    sock, peer = host().opened(4, True, lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 30000))
    peer.tcp.window = 3000
    peer.tcp.send_ack()
    sock.setblocking(False)
    data, sent = payload(1 << 20), 0
    while select.select([], [sock], [], 0.3)[1]:
        sent += sock.send(data[sent : sent + 20000])
    request(sock)
    for _ in range(peers):
        peer.rekey()
    peer.tcp.window = 65535
    peer.tcp.send_ack()
    check(peer.recv(sent, 30) == data[:sent], "data")
    equal(peer.rx.generation, 0, "all that was sealed before is under the old key")
    for generation in range(1, max(peers, 1) + 1):
        equal(followed(peer, generation), b"")
    silent(peer)
    sock.setblocking(True)
    sock.sendall(b"behind")
    equal(peer.recv(6), b"behind")


@test(peer_begins=(False, True))
def rekey_after_the_end_of_the_stream(peer_begins):
    """Nothing follows FINp: a request is refused, and a peer that rekeys is followed in silence."""
    sock, peer = host().opened(4, True)
    sock.shutdown(socket.SHUT_WR)
    peer.wait_end()
    if not peer_begins:
        raises(errno.EPIPE, request, sock)
        return
    peer.rekey(b"one")
    peer.rekey(b"two")
    equal(recv_exactly(sock, 6), b"onetwo")
    equal(ulp.generations(sock), (2, 2))
    check(not peer.tcp.rx, "no frame after the end")


@test
def what_a_request_must_be():
    """An int that is not 0, on a connection with keys; the answer has room for two."""
    sock, peer = host().handshaken(4, True)
    raises(errno.ENOTCONN, request, sock)
    raises(errno.ENOTCONN, ulp.generations, sock)
    peer.exchange_keys()
    until(lambda: ulp.is_encrypted(sock), what="keys")
    raises(errno.EINVAL, request, sock, 0)
    raises(errno.EINVAL, request, sock, -1)
    raises(errno.EINVAL, request, sock, b"\1\0")
    raises(errno.EINVAL, sock.getsockopt, socket.IPPROTO_TCP, ulp.TCP_CRYPT_REKEY, 7)
    equal(sock.getsockopt(socket.IPPROTO_TCP, ulp.TCP_CRYPT_REKEY, 64), struct.pack("ii", 0, 0))
    silent(peer, 0.3)


@test
def settings_are_checked():
    ns = net.Netns("s")
    defer(ns.remove)
    for name, good, bad in (
        ("rekey_bytes", (0, 1, 1 << 40, (1 << 64) - 1), (-1, 1 << 64, "x")),
        ("rekey_seconds", (0, 1, 86400, 30 * 86400), (-1, 30 * 86400 + 1, 1 << 32, "x")),
    ):
        name, default = "ipv4.tcp_crypt." + name, str(DEFAULTS[name])
        equal(ns.sysctl(name), default, "default")
        for value in bad:
            raises(errno.EINVAL, ns.sysctl, name, value)
            equal(ns.sysctl(name), default, "after a refused write")
        for value in good:
            ns.sysctl(name, value)
            equal(ns.sysctl(name), str(value))


def both_ways(a, b, size):
    """`size` bytes in each direction at once, compared by hash, and the ends in order."""

    def side(sock):
        writer = Background(lambda: (send_pieces(sock, size), sock.shutdown(socket.SHUT_WR)))
        result = receive_digest(sock)
        writer.join(100)
        return result

    for work in [Background(side, sock) for sock in (a, b)]:
        equal(work.join(100), (size, digest_of(size)), "size and hash")


@test(where=("veth4", "veth6", "mapped"), loss=(False, True), timeout=110)
def both_sides_rekey_all_the_time(where, loss):
    """Module to module, every few KiB in both directions, with small buffers; and on request in between."""
    place = Place(where)
    for ns in (place.client, place.server):
        setting(ns, "rekey_bytes", 5000)
    if loss:
        if not net.has_netem():
            skip("no netem")
        for ns in (place.client, place.server):
            defer(net.netem, ns, None)
            net.netem(ns, "loss 2% delay 1ms limit 10000")

    def small(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)

    a, b = joined(where, small, small)
    with ulp.Counting(place.client) as count:
        work = Background(both_ways, a, b, 400000)
        while work.running():
            for sock in (a, b):
                try:
                    request(sock)
                except OSError as error:
                    check(error.errno in (errno.EPIPE, errno.ENOTCONN), "errno of a request: %s" % error)
            work._thread.join(0.05)
        work.join()
    check(count("RekeysTx") >= 20 and count("RekeysRx") >= 20, "generations: %s" % count.grown())


if __name__ == "__main__":
    main()
