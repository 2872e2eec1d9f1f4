#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Neighbours of ENO in TCP: deferred accept, saved SYNs, repair mode, accurate ECN, keepalive. None is broken."""

import errno
import socket

from lib import net, ulp
from lib.capture import segments
from lib.data import payload, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, raises, skip, test, until
from lib.pair import encrypted
from lib.peerhost import accepted, host, wait_sessid
from peer import eno
from peer.peer import Peer
from peer.tcp import ACK, SYN

TCP_SAVE_SYN, TCP_SAVED_SYN, TCP_REPAIR = 27, 28, 19
OPT_ACCECN0, OPT_ACCECN1 = 172, 174


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
    """Who asked for it gets the SYN as the peer sent it, once; who did not gets none, whatever the module needs it for."""
    for wanted in (0, 1):
        listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, wanted))
        peer = host().peer_connect(listener, family)
        peer.handshake()
        sock = accepted(listener)
        peer.exchange_keys()
        saved = sock.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 200)
        equal(saved, peer.tcp.sent[0].to_packet() if wanted else b"", "saved SYN")
        equal(sock.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 200), b"", "saved SYN, read again")
        equal(wait_sessid(sock), peer.secrets.session_id)


@test(family=FAMILIES, wanted=(1, 2))
def saved_syn_of_a_plain_connection(family, wanted):
    """With and without an option that was refused; 2 is with the link layer's header, which a TUN device has not."""
    for option in (None, eno.option(0x21)):
        listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, wanted))
        peer = host().peer_connect(listener, family)
        peer.send_nonsyn = False
        peer.send_syn(option)
        peer.wait_synack()
        peer.send_ack(b"")
        sock = accepted(listener)
        saved = sock.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN, 200)
        equal(saved, peer.tcp.sent[0].to_packet(), "saved SYN")
        check(not ulp.is_encrypted(sock), "plain")


@test(family=FAMILIES)
def deferred_accept_sends_the_same_answer_again(family):
    """The bare ACK, option and all, is as if it had not come. In the end the SYN-ACK is sent again, as it was."""
    listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5))
    peer = host().peer_connect(listener, family)
    peer.handshake()
    listener.setblocking(False)
    raises(errno.EAGAIN, listener.accept)
    first, again = (peer.tcp.wait_segment(lambda s: s.has(SYN), 20, "SYN-ACK", start) for start in (0, 1))
    equal(again.option(eno.KIND), first.option(eno.KIND), "option")
    listener.settimeout(20)
    peer.send_init()
    sock = accepted(listener)
    peer.read_init()
    peer.derive()
    peer.send(b"request")
    equal(recv_exactly(sock, 7), b"request")


@test(family=FAMILIES)
def deferred_accept_of_a_plain_client(family):
    listener = host().listener(family, lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5))
    peer = host().peer_connect(listener, family)
    peer.handshake_plain()
    listener.setblocking(False)
    raises(errno.EAGAIN, listener.accept)
    listener.settimeout(20)
    peer.tcp.send_data(b"request")
    sock = accepted(listener)
    sock.setblocking(False)
    equal(sock.recv(100), b"request", "there at once")


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


@test(family=FAMILIES, loss=(False, True))
def accurate_ecn(family, loss):
    """Its option, up to twelve bytes, is beside ENO's in the handshake and on every segment after it."""
    if loss and not net.has_netem():
        skip("no netem")
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    for ns in (pair.a, pair.b):
        defer(ns.sysctl, "ipv4.tcp_ecn", ns.sysctl("ipv4.tcp_ecn"))
        ns.sysctl("ipv4.tcp_ecn", 3)
        if loss:
            net.netem(ns, "loss 3% reorder 10% delay 1ms")
            defer(net.netem, ns, None)
    listener = pair.listener(family)
    defer(listener.close)
    listener.settimeout(20)
    with segments(pair.a) as seen:
        sock = pair.a.socket(family)
        defer(sock.close)
        sock.connect(listener.getsockname()[:2])
        other = accepted(listener)
        data = payload(200000)
        for one, two in ((sock, other), (other, sock)):
            writer = Background(one.sendall, data)
            check(recv_exactly(two, len(data)) == data, "data")
            writer.join()
    encrypted(sock, other)
    mine = seen(listener.getsockname()[1])
    check(any(s.option(OPT_ACCECN0) + s.option(OPT_ACCECN1) for s in mine if not s.has(SYN)), "AccECN options")


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
