#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""TCP_ENO_RAW: the kernel negotiates a TEP that is implemented above TCP, and encrypts nothing."""

import errno
import socket

from lib import ulp
from lib.data import CANARY, recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, raises, test, until
from lib.pair import EVERYWHERE, Place
from lib.peerhost import accepted, connected, host
from peer import eno
from peer.peer import Peer
from peer.tcp import ACK, PSH, SYN, pad

TEP = 0x20
OFFER, ANSWER = bytes([TEP]), bytes([0x01, TEP])
TLS = b"tls"


def raw(contents):
    def setup(sock):
        ulp.attach(sock)
        sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ENO_RAW, contents)

    return setup


def says(sock, role, tep=TEP):
    """The options of a connection in raw mode."""
    equal(ulp.option(sock, ulp.TCP_ENO_NEGTEP), tep, "TEP")
    equal(ulp.option(sock, ulp.TCP_ENO_ROLE), role, "role")
    raises(errno.ENOTCONN, ulp.session_id, sock)
    raises(errno.ENOTCONN, ulp.option, sock, ulp.TCP_CRYPT_CONF)


def talk(one, two):
    for a, b in ((one, two), (two, one)):
        a.sendall(CANARY * 1000)
        equal(recv_exactly(b, 1000 * len(CANARY)), CANARY * 1000)
    one.shutdown(socket.SHUT_WR)
    equal(two.recv(1), b"")
    two.close()
    equal(one.recv(1), b"")


def joined(where, client, server):
    place = Place(where)
    ulp.enable(place.client, place.server, connect=0, listen=0)
    listener = place.listener(server)
    one = place.connect(listener, client)
    two, _ = listener.accept()
    defer(two.close)
    return one, two


@test(where=EVERYWHERE)
def both_ends_negotiate_and_send_as_plain_tcp(where):
    one, two = joined(where, raw(OFFER), raw(ANSWER))
    says(one, ulp.ROLE_A)
    says(two, ulp.ROLE_B)
    for sock in (one, two):
        equal(ulp.transcript(sock), eno.option(OFFER) + eno.option(ANSWER), "transcript")
    talk(one, two)


@test(family=FAMILIES)
def the_option_is_sent_as_it_is(family):
    contents = bytes([0x80, 0xA0, 7, 0x21, 0x30, 0xFF]) + b"to the end"
    sock, peer = host().connect(family, raw(contents))
    equal(peer.wait_syn().option(eno.KIND), [eno.option(contents)], "SYN")
    peer.send_synack(eno.option(0x01, 0x21, 0x30))
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "ACK")
    connected(sock)
    says(sock, ulp.ROLE_A, 0x30)
    equal(ulp.transcript(sock), eno.option(contents) + eno.option(0x01, 0x21, 0x30), "transcript")


@test(family=FAMILIES)
def a_listener_answers_as_it_is(family):
    contents = bytes([0x03, 0xA0]) + b"data"
    listener, peer = host().asked(family, eno.option(0x21, 0x20), raw(contents))
    equal(peer.other_option, eno.option(contents), "SYN-ACK")
    peer.send_ack(pad(eno.NON_SYN))
    sock = accepted(listener)
    says(sock, ulp.ROLE_B)
    equal(ulp.transcript(sock), eno.option(0x21, 0x20) + eno.option(contents), "transcript")
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")
    peer.tcp.send_data(b"text")
    equal(recv_exactly(sock, 4), b"text")


@test(family=FAMILIES)
def every_segment_has_the_option_until_the_peer_speaks(family):
    """And none is longer than what the path carries, of data that fill whole segments."""
    sock, peer = host().connect(family, raw(OFFER))
    peer.tcp.auto_ack = False
    peer.wait_syn()
    peer.send_synack(eno.option(ANSWER))
    peer.wait_ack()
    connected(sock)
    sock.setblocking(False)
    sent = sock.send(b"x" * 20000)
    peer.tcp.wait(lambda: len(peer.tcp.rx) >= 5000, what="first window")
    first = [s for s in peer.tcp.log if not s.has(SYN)]
    check(all(s.option(eno.KIND) == [eno.NON_SYN] for s in first), "all have the option")
    full = 1400 + 20
    equal(max(len(s.options) + len(s.payload) + 20 for s in first), full, "longest segment with its header")
    peer.tcp.auto_ack = True
    peer.tcp.send_ack()
    peer.tcp.wait(lambda: len(peer.tcp.rx) >= sent, what="the rest")
    sock.setblocking(True)
    start = len(peer.tcp.log)
    sock.sendall(b"y" * 20000)
    peer.tcp.wait(lambda: len(peer.tcp.rx) >= sent + 20000, what="more")
    later = [s for s in peer.tcp.log[start:] if s.payload]
    check(not any(s.option(eno.KIND) for s in later), "none has the option later")
    equal(max(len(s.options) + len(s.payload) + 20 for s in later), full, "longest segment later")
    equal(bytes(peer.tcp.rx), b"x" * sent + b"y" * 20000)


@test(family=FAMILIES, answer=(None, eno.option(0x01, 0x23), eno.option(TEP), eno.option(0x01, TEP, TEP)))
def without_the_tep_the_connection_is_plain(family, answer):
    sock, peer = host().connect(family, raw(OFFER))
    peer.wait_syn()
    peer.send_synack(answer)
    equal(peer.wait_ack().option(eno.KIND), [], "ACK")
    connected(sock)
    equal(ulp.ulp_name(sock), b"", "ULP")
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")


@test(family=FAMILIES, offer=(None, eno.option(0x23), eno.option(0x01, TEP)))
def a_raw_listener_takes_others_as_plain(family, offer):
    listener, peer = host().asked(family, offer, raw(ANSWER))
    equal(peer.other_option, None, "option of the SYN-ACK")
    peer.send_ack(b"")
    sock = accepted(listener)
    equal(ulp.ulp_name(sock), b"", "ULP")
    peer.tcp.send_data(b"text")
    equal(recv_exactly(sock, 4), b"text")


@test(family=FAMILIES)
def a_passive_opener_can_not_be_host_a(family):
    _, peer = host().asked(family, eno.option(TEP), raw(OFFER))
    equal(peer.other_option, None, "option of the SYN-ACK")


@test(family=FAMILIES)
def the_last_segment_without_option_means_plain(family):
    listener, peer = host().asked(family, eno.option(TEP), raw(ANSWER))
    equal(peer.other_option, eno.option(ANSWER))
    peer.send_ack(b"")
    sock = accepted(listener)
    equal(ulp.ulp_name(sock), b"", "ULP")


@test(where=("veth4", "lo6"))
def kernel_tls_takes_the_slot(where):
    """The ULP has one slot: a TLS library that found its TEP negotiated may want it for kernel TLS."""
    one, two = joined(where, raw(OFFER), raw(ANSWER))
    two.sendall(b"x")
    equal(one.recv(1), b"x")
    for sock in (one, two):
        sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ULP, TLS)
        equal(ulp.ulp_name(sock), TLS)
        raises(errno.ENOPROTOOPT, ulp.option, sock, ulp.TCP_ENO_NEGTEP)
    talk(one, two)


@test(family=FAMILIES)
def the_slot_is_kept_until_the_peer_speaks(family):
    sock, peer = host().connect(family, raw(OFFER))
    peer.wait_syn()
    peer.send_synack(eno.option(ANSWER))
    peer.wait_ack()
    connected(sock)
    raises(errno.EBUSY, sock.setsockopt, socket.IPPROTO_TCP, ulp.TCP_ULP, TLS)
    peer.tcp.send_data(b"hello")
    equal(recv_exactly(sock, 5), b"hello")
    sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ULP, TLS)


@test(family=FAMILIES)
def a_socket_connects_again_after_af_unspec(family):
    sock, peer = host().connect(family, raw(OFFER))
    peer.wait_syn()
    peer.send_synack(eno.option(ANSWER))
    peer.wait_ack()
    connected(sock)
    disconnect(sock)
    peer.tcp.wait_rst()
    again = Peer.passive(host().stack, family, host().port())
    defer(again.close)
    sock.setblocking(False)
    try:
        sock.connect(again.address())
    except BlockingIOError:
        pass
    equal(again.wait_syn().option(eno.KIND)[:1], [eno.option(OFFER)], "SYN")


@test(family=FAMILIES)
def a_socket_is_encrypted_after_raw_mode(family):
    """Nothing of the connection before is left: neither what was negotiated, nor the room for the option."""
    sock, peer = host().connect(family, raw(OFFER))
    peer.wait_syn()
    peer.send_synack(eno.option(ANSWER))
    peer.wait_ack()
    connected(sock)
    disconnect(sock)
    raises(errno.ENOTCONN, ulp.option, sock, ulp.TCP_ENO_NEGTEP)
    sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ENO_RAW, b"")
    again = Peer.passive(host().stack, family, host().port())
    defer(again.close)
    sock.setblocking(False)
    try:
        sock.connect(again.address())
    except BlockingIOError:
        pass
    again.open()
    connected(sock)
    sock.sendall(b"z" * 20000)
    equal(again.recv(20000), b"z" * 20000)
    full = [len(s.options) + len(s.payload) for s in again.tcp.log if len(s.payload) > 1000]
    equal(max(full), 1400, "longest segment with its options")


def disconnect(sock):
    """connect(AF_UNSPEC), for which Python has no name."""
    import ctypes

    address = (ctypes.c_char * 16)()
    libc = ctypes.CDLL(None, use_errno=True)
    equal(libc.connect(sock.fileno(), address, 16), 0, "connect(AF_UNSPEC), errno %d" % ctypes.get_errno())


@test(family=FAMILIES)
def the_socket_is_counted_and_shown(family):
    with ulp.Counting(host().ns) as count:
        listener, peer = host().asked(family, eno.option(TEP), raw(ANSWER))
        peer.send_ack(pad(eno.NON_SYN))
        accepted(listener)
        equal((count("PassiveRaw"), count("PassiveEncrypted"), count("Established")), (1, 0, 0), "%s" % count.grown())


@test(where=("veth4", "lo6"), mandatory=(0, 1))
def data_with_the_last_segment_of_the_handshake_are_read(where, mandatory):
    family = int(where[-1])
    setup = raw(ANSWER)

    def both(sock):
        setup(sock)
        ulp.set_option(sock, ulp.TCP_ENO_MANDATORY, mandatory)

    listener, peer = host().asked(family, eno.option(TEP), both)
    peer.tcp.transmit(peer.tcp.segment(ACK | PSH, b"early", pad(eno.NON_SYN)))
    sock = accepted(listener)
    equal(recv_exactly(sock, 5), b"early")
    until(lambda: peer.tcp.stack.drain() or peer.tcp.unacked() == 0, what="acknowledgement")


if __name__ == "__main__":
    main()
