#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Turned on while the machine runs: listeners that exist already, connections that exist already, and off again."""

import socket

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, test, until
from lib.pair import encrypted


def listening(ns, family, address=None, setup=None):
    sock = ns.socket(family)
    defer(sock.close)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if setup:
        setup(sock)
    sock.bind((address or net.Pair.address("b", family), 0))
    sock.listen(64)
    return sock


def connection(listener, family, address=None):
    sock = net.pair().a.socket(family)
    defer(sock.close)
    sock.connect((address or listener.getsockname()[0], listener.getsockname()[1]))
    other, _ = listener.accept()
    defer(other.close)
    return sock, other


def off(*namespaces):
    ulp.enable(*namespaces, connect=0, listen=0)


@test(family=FAMILIES)
def listener_from_before_is_picked_up(family):
    pair = net.pair()
    off(pair.a, pair.b)
    listener = listening(pair.b, family)
    sock, other = connection(listener, family)
    check(not ulp.is_encrypted(sock), "plain while it is off")
    ulp.enable(pair.a, pair.b)
    sock, other = connection(listener, family)
    encrypted(sock, other)
    sock.sendall(b"x")
    equal(recv_exactly(other, 1), b"x")


@test
def listener_on_any_address_takes_both_families():
    pair = net.pair()
    off(pair.a, pair.b)
    listener = listening(pair.b, 6, "::", lambda s: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0))
    ulp.enable(pair.a, pair.b)
    for family in FAMILIES:
        encrypted(*connection(listener, family, pair.address("b", family)))


@test(family=FAMILIES)
def connection_from_before_stays_plain_and_works(family):
    pair = net.pair()
    off(pair.a, pair.b)
    sock, other = connection(listening(pair.b, family), family)
    ulp.enable(pair.a, pair.b)
    for one, two in ((sock, other), (other, sock)):
        one.sendall(b"plain")
        equal(recv_exactly(two, 5), b"plain")
    check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "plain")


@test(family=FAMILIES)
def turned_off_again(family):
    """New connections are plain, the encrypted ones go on."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    listener = listening(pair.b, family)
    old = connection(listener, family)
    encrypted(*old)
    off(pair.a, pair.b)
    defer(ulp.enable, pair.a, pair.b)
    sock, other = connection(listener, family)
    sock.sendall(b"new")
    equal(recv_exactly(other, 3), b"new")
    check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "new one is plain")
    old[0].sendall(b"old")
    equal(recv_exactly(old[1], 3), b"old")
    check(ulp.is_encrypted(old[0]), "old one is encrypted")


@test
def reuseport_group():
    """Several listeners on one port, some from before."""
    pair = net.pair()
    off(pair.a, pair.b)

    def group(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    first = listening(pair.b, 4, setup=group)
    ulp.enable(pair.a, pair.b)
    second = pair.b.socket(4)
    defer(second.close)
    group(second)
    second.bind(first.getsockname())
    second.listen(64)
    for listener in (first, second):
        listener.setblocking(False)
    socks = []
    for _ in range(12):
        sock = pair.a.socket(4)
        defer(sock.close)
        sock.connect(first.getsockname())
        socks.append(sock)
    accepted = 0
    for listener in (first, second):
        while True:
            try:
                other, _ = listener.accept()
            except BlockingIOError:
                break
            accepted += 1
            defer(other.close)
            encrypted(other)
    equal(accepted, 12, "accepted")
    encrypted(*socks)


@test
def listener_closed_and_opened_again():
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    port = None
    for _ in range(5):
        listener = pair.b.socket(4)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((pair.address("b", 4), port or 0))
        port = listener.getsockname()[1]
        listener.listen()
        sock, other = connection(listener, 4)
        encrypted(sock, other)
        listener.close()
        sock.sendall(b"after the listener")
        equal(recv_exactly(other, 18), b"after the listener")
        sock.close()
        other.close()


@test
def shutdown_of_a_listener():
    """listen, shutdown, listen again, as some servers do."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    listener = pair.b.socket(4)
    defer(listener.close)
    address = (pair.address("b", 4), 7654)
    listener.bind(address)
    listener.listen()
    listener.shutdown(socket.SHUT_RDWR)
    sock = pair.a.socket(4)
    defer(sock.close)
    equal(sock.connect_ex(address), 111, "connect to the closed one")
    listener.listen()
    equal(listener.getsockname(), address, "address")
    encrypted(*connection(listener, 4))


@test
def many_connections_of_one_listener_are_distinct():
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    listener = listening(pair.b, 4)
    pairs = [connection(listener, 4) for _ in range(20)]
    for ends in pairs:
        encrypted(*ends)
    equal(len({ulp.session_id(one) for one, _ in pairs}), 20, "session IDs")
    for number, (one, two) in enumerate(pairs):
        one.sendall(b"%d" % number)
        equal(two.recv(10), b"%d" % number)
    before = ulp.counters(pair.a)["Established"]
    check(before >= 20, "established: %d" % before)
    for one, two in pairs:
        one.close()
        two.close()
    until(lambda: ulp.counters(pair.a)["Established"] <= before - 20, what="connections gone")


if __name__ == "__main__":
    main()
