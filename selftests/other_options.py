#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Neighbours of ENO in TCP: Fast Open, MPTCP, MD5 signatures, deferred accept, saved SYNs. None is broken; option space
that is taken, or a Fast Open cookie (RFC 8547 4.7), leaves ENO out.
"""

import errno
import socket
import struct

from lib import net, ulp
from lib.data import recv_all, recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, raises, skip, test, until
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno
from peer.peer import Peer
from peer.tcp import ACK, OPT_TFO, PSH, mss_option, pad

TCP_SAVE_SYN, TCP_SAVED_SYN, TCP_MD5SIG, TCP_REPAIR = 27, 28, 14, 19


def fast_open():
    """On for both roles, with the peer's namespace."""
    ns = host().ns
    defer(ns.sysctl, "ipv4.tcp_fastopen", ns.sysctl("ipv4.tcp_fastopen"))
    ns.sysctl("ipv4.tcp_fastopen", 3)


def fast_open_send(peer, data):
    sock = host().ns.socket(peer.family)
    defer(sock.close)
    sock.setblocking(False)
    try:
        sock.sendto(data, socket.MSG_FASTOPEN, peer.address())
    except BlockingIOError:
        pass
    return sock


@test(family=FAMILIES)
def no_data_rides_in_a_syn_with_the_option(family):
    """Also when the program asks for Fast Open without a cookie."""
    ns = host().ns
    defer(ns.sysctl, "ipv4.tcp_fastopen", ns.sysctl("ipv4.tcp_fastopen"))
    ns.sysctl("ipv4.tcp_fastopen", 3 | 0x4)
    peer = Peer.passive(host().stack, family, host().port())
    defer(peer.close)
    fast_open_send(peer, b"early")
    syn = peer.wait_syn()
    check(not (syn.payload and syn.option(eno.KIND)), "a SYN with the option has no data")


@test
def fast_open_with_a_cookie_is_plain_and_works():
    """The first connection fetches the cookie; the second has it, and data, in its SYN."""
    fast_open()
    port = host().port()
    first = Peer.passive(host().stack, 4, port)
    sock = fast_open_send(first, b"first")
    first.wait_syn()
    cookie = bytes([OPT_TFO, 10]) + b"cookie!!"
    first.send_synack(option=None, options=pad(mss_option() + cookie))
    connected(sock)
    sock.sendall(b"first")
    equal(first.tcp.read(5), b"first")
    sock.close()
    first.close()

    second = Peer.passive(host().stack, 4, port)
    defer(second.close)
    sock = fast_open_send(second, b"second")
    syn = second.wait_syn()
    if not syn.payload:
        skip("the kernel did not use the cookie")
    equal(syn.option(eno.KIND), [], "ENO beside a cookie")
    second.tcp.rcv_nxt += len(syn.payload)
    second.send_synack(option=None)
    connected(sock)
    second.tcp.send_data(b"answer")
    equal(recv_exactly(sock, 6), b"answer")
    check(not ulp.is_encrypted(sock), "plain")


@test(family=FAMILIES)
def synack_with_a_cookie_leaves_the_option_out(family):
    fast_open()
    listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5))
    peer = host().peer_connect(listener, family)
    peer.send_nonsyn = False
    peer.send_syn(options=pad(mss_option() + bytes([OPT_TFO, 2]) + eno.syn_option(0x23)))
    answer = peer.wait_synack()
    if not answer.option(OPT_TFO):
        skip("no cookie in the SYN-ACK")
    equal(answer.option(eno.KIND), [], "ENO beside a cookie")
    peer.send_ack(b"")
    sock = accepted(listener)
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")


@test(family=FAMILIES)
def data_in_a_syn_with_the_option_is_discarded(family):
    fast_open()
    for setup in (None, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)):
        peer = host().peer_connect(host().listener(family, setup), family)
        peer.send_syn(payload=b"early")
        equal(peer.wait_synack().ack, (peer.tcp.iss + 1) & 0xFFFFFFFF, "acknowledged")


@test
def data_beside_a_valid_cookie_and_the_option():
    """A SYN that must not be: the data may not be taken for the stream of an encrypted connection."""
    fast_open()
    listener = host().listener(4, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5))
    peer = host().peer_connect(listener, 4)
    peer.send_syn(option=None, options=pad(mss_option() + bytes([OPT_TFO, 2])))
    cookies = peer.wait_synack().option(OPT_TFO)
    if not cookies:
        skip("no cookie in the SYN-ACK")
    peer.close()
    peer = host().peer_connect(listener, 4)
    peer.send_nonsyn = False
    option = eno.syn_option(0x23)
    peer.send_syn(option, options=pad(mss_option() + cookies[0] + option), payload=b"early")
    answer = peer.wait_synack()
    equal(answer.option(eno.KIND), [], "ENO in the answer")
    peer.tcp.snd_nxt = answer.ack
    peer.tcp.transmit(peer.tcp.segment(ACK | PSH, b"later"))
    sock = accepted(listener)
    check(recv_exactly(sock, 5) in (b"later", b"early"), "data")
    check(not ulp.is_encrypted(sock), "plain")


@test(family=FAMILIES)
def mptcp_is_left_alone(family):
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    try:
        with pair.b:
            listener = socket.socket(net.AF[family], socket.SOCK_STREAM, 262)
        with pair.a:
            sock = socket.socket(net.AF[family], socket.SOCK_STREAM, 262)
    except OSError as failure:
        skip("no MPTCP: %s" % failure)
    defer(listener.close)
    defer(sock.close)
    listener.bind((pair.address("b", family), 0))
    listener.listen()
    sock.settimeout(20)
    sock.connect(listener.getsockname()[:2])
    other = accepted(listener)
    sock.sendall(b"over MPTCP")
    equal(recv_exactly(other, 10), b"over MPTCP")
    other.sendall(b"and back")
    equal(recv_exactly(sock, 8), b"and back")
    other.close()
    equal(recv_all(sock), b"")


@test
def md5_signatures_are_left_alone():
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    key = b"secret"

    def signature(address):
        storage = struct.pack("=HH", socket.AF_INET, 0) + socket.inet_aton(address) + bytes(120)
        return storage + struct.pack("=BBHI", 0, 0, len(key), 0) + key.ljust(80, b"\0")

    listener, sock = pair.b.socket(), pair.a.socket()
    defer(listener.close)
    defer(sock.close)
    listener.bind((pair.address("b", 4), 0))
    try:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, signature(pair.address("a", 4)))
        sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, signature(pair.address("b", 4)))
    except OSError as failure:
        skip("TCP_MD5SIG: %s" % failure)
    listener.listen()
    sock.settimeout(10)
    sock.connect(listener.getsockname())
    other = accepted(listener)
    sock.sendall(b"signed")
    equal(recv_exactly(other, 6), b"signed")
    check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "plain")


@test(family=FAMILIES)
def deferred_accept(family):
    """TCP_DEFER_ACCEPT drops the bare ACK; Init1 is the first segment that counts."""
    listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5))
    peer = host().peer_connect(listener, family)
    peer.handshake()
    peer.send_init()
    sock = accepted(listener)
    peer.read_init()
    peer.derive()
    peer.send(b"request")
    equal(wait_sessid(sock), peer.secrets.session_id)
    equal(recv_exactly(sock, 7), b"request")


@test(family=FAMILIES)
def saved_syn_belongs_to_the_program(family):
    """Who asked for it gets the SYN, who did not gets none, whatever the module needs it for."""
    for wanted in (0, 1):
        listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, wanted))
        peer = host().peer_connect(listener, family)
        peer.handshake()
        sock = accepted(listener)
        peer.exchange_keys()
        saved = sock.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 200)
        equal(bool(saved), bool(wanted), "saved SYN")
        if wanted:
            check(eno.syn_option(0x23) in saved, "option in the saved SYN")
        equal(wait_sessid(sock), peer.secrets.session_id)


@test
def socket_without_a_program_that_reads_the_syn():
    """A listener that asks for nothing reads nothing, and its children neither."""
    listener = host().listener(4)
    equal(listener.getsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN), 0, "TCP_SAVE_SYN")
    raises(errno.EINVAL, listener.setsockopt, socket.IPPROTO_TCP, TCP_SAVE_SYN, 7)


@test
def restored_connection_is_plain():
    """A connect() in repair mode sends no SYN: nothing was negotiated, so nothing is encrypted."""
    peer = Peer.passive(host().stack, 4, host().port())
    defer(peer.close)
    sock = host().ns.socket(4)
    defer(sock.close)
    sock.bind((host().stack.kernel[4], 0))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.connect(peer.address())
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)
    check(not ulp.is_encrypted(sock), "not encrypted")
    raises(errno.ENOPROTOOPT, ulp.session_id, sock)
    equal(ulp.ulp_name(sock), b"", "ULP")
    equal(peer.tcp.log, [], "segments")


@test(family=FAMILIES)
def keepalive_probes_do_no_harm(family):
    def quick(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)

    sock, peer = host().opened(family, True, quick)
    start = len(peer.tcp.log)
    probe = peer.tcp.wait_segment(lambda s: (peer.tcp.rcv_nxt - s.seq) & 0xFFFFFFFF == 1, 10, "probe", start)
    check(len(probe.payload) <= 1, "probe")
    peer.tcp.send_ack()
    peer.tcp.transmit(peer.tcp.segment(ACK, b"\0", seq=peer.tcp.snd_nxt - 1), track=False)
    sock.sendall(b"alive")
    equal(peer.recv(5), b"alive")
    peer.send(b"as well")
    equal(recv_exactly(sock, 7), b"as well")
    until(lambda: ulp.is_encrypted(sock), what="session")


if __name__ == "__main__":
    main()
