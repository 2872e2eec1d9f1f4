#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Simultaneous open (RFC 8547 4.3, 4.6, figure 12): encrypted if exactly one side set b = 1, else plain TCP that works.

Against the Python peer in every order in which the segments can arrive, with every single loss, and between real
sockets.
"""

import socket

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, HEAVY, check, defer, equal, main, skip, test, until
from lib.pair import encrypted
from lib.peerhost import connected, host, wait_sessid
from peer import eno
from peer.crossing import ARRIVES, KERNEL, Crossing, describe, orders, play
from peer.tcp import ACK, SYN, Segment

OFFER = {0: eno.option(0x23), 1: eno.option(0x01, 0x23)}
# Figure 12: each host offers several, the last valid one of host B's counts
LONG_OFFER = {0: eno.option(0x22, 0x23, 0x7E), 1: eno.option(0x01, 0x23, 0x21, 0x7F)}

IN_ORDER = orders(again=0)
LOSSES = orders(again=1)
OVERTAKING = orders(again=0, overtaking=True)
ALL = orders(again=1, overtaking=True) if HEAVY else ()

WHERE = ("4", "6", "mapped")


def family_of(where):
    return 6 if where == "6" else 4


def as_host_b(sock):
    ulp.attach(sock)
    ulp.set_option(sock, ulp.TCP_ENO_ROLEOVERRIDE, 1)


def kernel_socket(where, b):
    """Bound, so that the peer knows where its SYN has to go."""
    stack = host().stack
    sock = host().ns.socket(4 if where == "4" else 6)
    defer(sock.close)
    address = stack.kernel[family_of(where)]
    port = host().port()
    sock.bind(("::ffff:" + address if where == "mapped" else address, port))
    if b:
        as_host_b(sock)
    sock.setblocking(False)
    return sock, port


def begin(where, b, option, order, **network):
    """(kernel socket in connect(), crossing that is to be played)"""
    sock, port = kernel_socket(where, b)
    crossing = Crossing(host().stack, family_of(where), port, host().port(), option, order, **network)
    defer(crossing.peer.close)
    address, peer_port = crossing.address()
    try:
        sock.connect(("::ffff:" + address if where == "mapped" else address, peer_port))
    except BlockingIOError:
        pass
    return sock, crossing


def options_of_kernel(crossing, offer, encrypts):
    """RFC 8547 4.6: the same option in SYN and SYN-ACK, an option in each segment until one without SYN came; none once
    encryption is disabled."""
    for kind, found, heard in crossing.sent[KERNEL]:
        if kind == "SYN":
            equal(found, [offer], "option of the SYN")
        elif kind == "SYN-ACK":
            check(found == [offer] or (not encrypts and not found), "option of the SYN-ACK %r" % found)
        elif encrypts:
            check(found == [eno.NON_SYN] or (heard and not found), "option of a segment without SYN %r" % found)
        else:
            equal(found, [], "option of a segment without SYN")


def finish_encrypted(sock, crossing, b):
    peer = crossing.peer
    connected(sock)
    peer.negotiate()
    equal(peer.role, "A" if b else "B", "role of the peer")
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    equal(ulp.option(sock, ulp.TCP_ENO_ROLE), ulp.ROLE_B if b else ulp.ROLE_A, "role of the kernel")
    equal(ulp.transcript(sock), peer.transcript, "transcript")
    sock.sendall(b"from the kernel")
    equal(peer.recv(15), b"from the kernel")
    peer.send(b"from the peer")
    equal(recv_exactly(sock, 13), b"from the peer")


def finish_plain(sock, crossing):
    peer = crossing.peer
    connected(sock)
    peer.tcp.send_data(b"plain from the peer")
    equal(recv_exactly(sock, 19), b"plain from the peer")
    sock.sendall(b"plain from the kernel")
    equal(peer.tcp.read(21), b"plain from the kernel")
    check(not ulp.is_encrypted(sock), "plain")
    check(not any(s.option(eno.KIND) for s in peer.tcp.log if not s.has(SYN)), "no option once encryption is disabled")


def each(where, b, option, which, encrypts, offer=None, **network):
    """All orders at once: the kernel's retransmissions take their second only once."""
    patient()
    for at in range(0, len(which), 200):
        running = [begin(where, b, option, order, **network) for order in which[at : at + 200]]
        play([crossing for _, crossing in running])
        for sock, crossing in running:
            try:
                options_of_kernel(crossing, offer or OFFER[b], encrypts)
                if encrypts:
                    finish_encrypted(sock, crossing, b)
                else:
                    finish_plain(sock, crossing)
            except (AssertionError, OSError) as error:
                raise AssertionError("%s: %s" % (describe(crossing.played), error)) from error
            crossing.peer.close()
            sock.close()


def patient():
    """The kernel answers segments that are out of order at a limited rate, and leaves the option out of a SYN that was
    sent several times. No order must depend on it."""
    ns = host().ns
    for name, value in (("ipv4.tcp_invalid_ratelimit", 0), ("ipv4.tcp_eno.syn_retransmissions", 100)):
        defer(ns.sysctl, name, ns.sysctl(name))
        ns.sysctl(name, value)


@test(where=WHERE, b=(0, 1))
def one_side_is_host_b(where, b):
    each(where, b, OFFER[1 - b], IN_ORDER, True)


@test(where=("4", "6"), b=(0, 1), timeout=120)
def one_side_is_host_b_whatever_is_lost(where, b):
    each(where, b, OFFER[1 - b], LOSSES, True)


@test(where=("4", "mapped"), b=(0, 1), timeout=120)
def one_side_is_host_b_whatever_overtakes(where, b):
    each(where, b, OFFER[1 - b], OVERTAKING, True)


@test(where=("4", "6"), b=(0, 1), timeout=3000)
def one_side_is_host_b_in_all_orders(where, b):
    if not HEAVY:
        skip("TCPCRYPT_HEAVY=1")
    each(where, b, OFFER[1 - b], ALL, True)


@test(where=WHERE, b=(0, 1), omit=(True, False))
def both_or_no_side_is_host_b(where, b, omit):
    """omit: the peer leaves its option out of the SYN-ACK, as it may; else it is as in the SYN."""
    each(where, b, OFFER[b], IN_ORDER, False, omit=omit)


@test(where=("4", "6"), b=(0, 1), timeout=120)
def both_or_no_side_is_host_b_whatever_is_lost(where, b):
    each(where, b, OFFER[b], LOSSES, False)


@test(family=FAMILIES, b=(0, 1))
def peer_without_eno(family, b):
    each(str(family), b, None, LOSSES if family == 4 else IN_ORDER, False)


@test(family=FAMILIES, b=(0, 1))
def offer_of_several_teps(family, b):
    each(str(family), b, LONG_OFFER[1 - b], IN_ORDER, True)


@test(
    b=(0, 1),
    option=(eno.option(0x24), eno.option(0x01, 0x24), eno.option(), eno.option(0x01), eno.option(0x01, 0x80, 0x23)),
)
def nothing_in_common(b, option):
    """No TEP of ours, a vacuous option, an ill-formed one."""
    each("4", b, option, IN_ORDER, False)


@test(family=FAMILIES, b=(0, 1))
def module_off_at_the_kernel(family, b):
    ns = host().ns
    defer(ulp.enable, ns)
    ulp.enable(ns, connect=0, listen=0)
    sock, crossing = begin(str(family), 0, OFFER[b], IN_ORDER[0])
    play([crossing])
    for _, found, _ in crossing.sent[KERNEL]:
        equal(found, [], "option")
    finish_plain(sock, crossing)


@test(b=(0, 1), family=FAMILIES)
def option_stripped_from_our_syn(b, family):
    """The first segment that the kernel gets has no option: it is off, and the SYN-ACK says so."""
    whole = [o for o in IN_ORDER if next(label for label in o if label[:2] == (ARRIVES, "P"))[2] == "SYN"]
    each(str(family), b, OFFER[1 - b], whole, False, strip=("SYN",))


@test(b=(0, 1), kind=("SYN-ACK", "ACK"), family=FAMILIES)
def option_stripped_from_the_first_ack(b, kind, family):
    """RFC 8547 4.6: the first ACK segment decides. The kernel is plain; the peer may think otherwise (section 9)."""

    def first_ack(order):
        arrived = [kind for what, sender, kind, _ in order if (what, sender) == (ARRIVES, "P")]
        return next((kind for kind in arrived if kind != "SYN"), None)

    for order in [o for o in orders(again=0) if first_ack(o) == kind]:
        sock, crossing = begin(str(family), b, OFFER[1 - b], order, strip=(kind,))
        play([crossing])
        crossing.peer.send_nonsyn = False
        finish_plain(sock, crossing)


# Real sockets


class Watch:
    """The SYN and SYN-ACK segments on a link."""

    def __init__(self, ns, device="veth0"):
        with ns:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.bind((device, 3))
        defer(self.sock.close)

    def segments(self):
        self.sock.setblocking(False)
        found = []
        while True:
            try:
                segment = Segment.from_packet(self.sock.recv(65536))
            except BlockingIOError:
                return found
            if segment and segment.has(SYN):
                found.append(segment)


def crossing_sockets(where, b_of_a, b_of_b):
    """Two sockets that connect to each other while their SYNs are on the way: (a, b, the segments with SYN)."""
    if not net.has_netem():
        skip("no sch_netem")
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    for ns in (pair.a, pair.b):
        defer(net.netem, ns, None)
        net.netem(ns, "delay 150ms")
    watch = Watch(pair.a)
    ends = []
    for side, ns, b in (("a", pair.a, b_of_a), ("b", pair.b, b_of_b)):
        sock = ns.socket(4 if where == "4" else 6)
        defer(sock.close)
        address = pair.address(side, family_of(where))
        address = "::ffff:" + address if where == "mapped" else address
        sock.bind((address, 0))
        if b:
            as_host_b(sock)
        sock.setblocking(False)
        ends.append(sock)
    names = [sock.getsockname()[:2] for sock in ends]
    # Neighbours are known before, so that nothing waits for ARP.
    for ns, side in ((pair.a, "b"), (pair.b, "a")):
        with ns, socket.socket(net.AF[family_of(where)], socket.SOCK_DGRAM) as probe:
            probe.connect((pair.address(side, family_of(where)), 9))
            probe.send(b"x")
    until(lambda: all(known(ns, side, where) for ns, side in ((pair.a, "b"), (pair.b, "a"))), what="neighbours")
    for sock, name in zip(ends, reversed(names)):
        try:
            sock.connect(name)
        except BlockingIOError:
            pass
    for sock in ends:
        connected(sock)
    return *ends, watch


def known(ns, side, where):
    address = net.Pair.address(side, family_of(where))
    with ns:
        return "lladdr" in net.run("ip neigh show %s dev veth0" % address)


def both_ways(one, two):
    for sender, receiver, data in ((one, two, b"one" * 3000), (two, one, b"two" * 3000)):
        sender.sendall(data)
        check(recv_exactly(receiver, len(data)) == data, "data")
    one.shutdown(socket.SHUT_WR)
    equal(two.recv(1), b"", "end of file")
    two.close()
    equal(one.recv(1), b"", "end of file")


def really_crossed(watch):
    """Four segments, two from each side, with the same option from the same side."""
    seen = {}
    for segment in watch.segments():
        seen.setdefault(segment.sport, {}).setdefault(segment.flags & (SYN | ACK), set()).add(
            tuple(segment.option(eno.KIND))
        )
    equal(len(seen), 2, "senders")
    for kinds in seen.values():
        check(SYN | ACK in kinds, "the SYNs crossed")
        equal(len(kinds[SYN]), 1, "options of SYNs")
    return list(seen.values())


@test(where=WHERE, b=(0, 1))
def real_sockets_with_one_host_b(where, b):
    one, two, watch = crossing_sockets(where, b, 1 - b)
    encrypted(one, two)
    equal(ulp.session_id(one), ulp.session_id(two), "session IDs")
    equal([ulp.option(s, ulp.TCP_ENO_ROLE) for s in (one, two)], [b, 1 - b], "roles")
    equal(ulp.transcript(one), ulp.transcript(two), "transcripts")
    for kinds in really_crossed(watch):
        equal(kinds[SYN | ACK], kinds[SYN], "option of SYN and SYN-ACK")
    both_ways(one, two)


@test(where=WHERE, b=(0, 1))
def real_sockets_with_both_or_no_host_b(where, b):
    one, two, watch = crossing_sockets(where, b, b)
    really_crossed(watch)
    check(not ulp.is_encrypted(one) and not ulp.is_encrypted(two), "plain on both sides")
    both_ways(one, two)


@test(family=FAMILIES)
def socket_that_connects_to_itself(family):
    """A simultaneous open of one: the same b, so it is plain TCP."""
    ns = net.solo()
    ulp.enable(ns)
    sock = ns.socket(family)
    defer(sock.close)
    sock.bind((net.LOOPBACK[family], 0))
    sock.settimeout(20)
    sock.connect(sock.getsockname()[:2])
    sock.sendall(b"to myself")
    equal(recv_exactly(sock, 9), b"to myself")
    check(not ulp.is_encrypted(sock), "plain")


# An active opener with b = 1 that meets a passive one


@test(family=FAMILIES)
def host_b_connects_to_a_listener(family):
    """Both have b = 1 (RFC 8547 4.3): plain on both sides."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    listener = pair.listener(family)
    defer(listener.close)
    sock = pair.a.socket(family)
    defer(sock.close)
    as_host_b(sock)
    sock.connect(listener.getsockname()[:2])
    other, _ = listener.accept()
    defer(other.close)
    check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "plain")
    both_ways(sock, other)


@test(family=FAMILIES)
def host_b_is_answered_by_a_listener_of_the_peer(family):
    sock, peer = host().connect(family, as_host_b)
    equal(peer.wait_syn().option(eno.KIND), [OFFER[1]], "option of the SYN")
    peer.send_synack()
    equal(peer.wait_ack().option(eno.KIND), [], "option of the third segment")
    connected(sock)
    peer.tcp.send_data(b"plain")
    equal(recv_exactly(sock, 5), b"plain")


@test(family=FAMILIES)
def host_b_meets_a_passive_opener_with_b_clear(family):
    """No passive opener may do that; but one b is set and one clear, so that the roles are as in figure 12."""
    sock, peer = host().connect(family, as_host_b)
    peer.wait_syn()
    peer.send_synack(OFFER[0])
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "option of the third segment")
    peer.negotiate()
    equal(peer.role, "A", "role of the peer")
    peer.exchange_keys()
    connected(sock)
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")


@test(family=FAMILIES, b=(0, 1))
def option_echoed(family, b):
    """By a middlebox, in the SYN-ACK: the same b, so it is plain (RFC 8547 8.1)."""
    sock, peer = host().connect(family, as_host_b if b else None)
    peer.wait_syn()
    peer.send_synack(OFFER[b])
    equal(peer.wait_ack().option(eno.KIND), [], "option of the third segment")
    connected(sock)
    peer.tcp.send_data(b"plain")
    equal(recv_exactly(sock, 5), b"plain")
    check(not ulp.is_encrypted(sock), "plain")


if __name__ == "__main__":
    main()
