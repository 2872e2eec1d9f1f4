#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""MPTCP sockets beside ENO: their subflows carry a ULP of their own and are left alone, with MPTCP on both sides or on one,
and with several subflows.
"""

import socket

from lib import net, ulp
from lib.capture import segments
from lib.data import payload, recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, skip, test, until
from lib.pair import encrypted
from lib.peerhost import accepted
from peer import eno
from peer.tcp import SYN

IPPROTO_MPTCP, OPT_MPTCP = 262, 30
SOL_MPTCP, MPTCP_INFO = 284, 1


def hosts():
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    return pair


def make(ns, family, mptcp):
    with ns:
        try:
            sock = socket.socket(net.AF[family], socket.SOCK_STREAM, IPPROTO_MPTCP if mptcp else 0)
        except OSError as error:
            skip("no MPTCP: %s" % error)
    defer(sock.close)
    return sock


def listening(pair, family, mptcp):
    sock = make(pair.b, family, mptcp)
    sock.bind((pair.address("b", family), 0))
    sock.listen()
    sock.settimeout(20)
    return sock


def connecting(pair, family, mptcp, listener):
    sock = make(pair.a, family, mptcp)
    sock.bind((pair.address("a", family), 0))
    sock.connect(listener.getsockname()[:2])
    return sock, accepted(listener)


def both_ways(one, two):
    data = payload(200000)
    for source, target in ((one, two), (two, one)):
        writer = Background(source.sendall, data)
        check(recv_exactly(target, len(data)) == data, "data")
        writer.join()
    one.shutdown(socket.SHUT_WR)
    equal(recv_all(two), b"")
    two.close()
    equal(recv_all(one), b"")


@test(family=FAMILIES)
def on_both_sides(family):
    pair = hosts()
    listener = listening(pair, family, True)
    with segments(pair.a) as seen:
        sock, other = connecting(pair, family, True, listener)
        both_ways(sock, other)
    mine = seen(listener.getsockname()[1])
    check(all(s.option(OPT_MPTCP) for s in mine if s.has(SYN)), "MPTCP option")
    check(not any(s.option(eno.KIND) for s in mine), "no ENO option")


@test(family=FAMILIES, client=(True, False))
def on_one_side(family, client):
    """TCP for both. Whoever speaks MPTCP keeps out of ENO, also when MPTCP came to nothing."""
    pair = hosts()
    listener = listening(pair, family, not client)
    sock, other = connecting(pair, family, client, listener)
    check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "plain")
    both_ways(sock, other)


@test(family=FAMILIES)
def several_subflows(family):
    """The second subflow is opened by the kernel itself."""
    pair = hosts()
    address, length = ("10.77.0.12", 24) if family == 4 else ("fd77::12", 64)
    for ns in (pair.a, pair.b):
        ns.run("ip mptcp limits set subflow 2 add_addr_accepted 2")
    pair.a.run("ip addr add %s/%d dev veth0 %s" % (address, length, "nodad" if family == 6 else ""))
    defer(pair.a.run, "ip addr del %s/%d dev veth0" % (address, length))
    pair.a.run("ip mptcp endpoint add %s dev veth0 subflow" % address)
    defer(pair.a.run, "ip mptcp endpoint flush")
    listener = listening(pair, family, True)
    with segments(pair.a) as seen:
        sock, other = connecting(pair, family, True, listener)
        sock.sendall(b"x")
        equal(recv_exactly(other, 1), b"x")
        other.sendall(b"x")
        equal(recv_exactly(sock, 1), b"x")
        until(lambda: sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 64)[0] == 1, what="second subflow")
        both_ways(sock, other)
    mine = seen(listener.getsockname()[1])
    equal(len({s.sport for s in mine if s.dport == listener.getsockname()[1]}), 2, "subflows")
    check(not any(s.option(eno.KIND) for s in mine), "no ENO option")


@test(family=FAMILIES)
def ordinary_sockets_beside_it_are_encrypted(family):
    pair = hosts()
    over_mptcp = connecting(pair, family, True, listening(pair, family, True))
    ordinary = connecting(pair, family, False, listening(pair, family, False))
    encrypted(*ordinary)
    both_ways(*ordinary)
    both_ways(*over_mptcp)


if __name__ == "__main__":
    main()
