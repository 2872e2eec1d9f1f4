#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Turned on while the machine runs: listeners that exist already, connections that exist already, and off again."""

import ctypes
import socket
import struct

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


def reuseport(wishes, setup=None):
    """Listeners on one port, one for each wish: whether it asks for TCP_ULP."""
    group, address = [], None
    for wish in wishes:
        sock = net.pair().b.socket(4)
        defer(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address or (net.Pair.address("b", 4), 0))
        address = sock.getsockname()
        if wish and not ulp.PLAIN:
            ulp.attach(sock)
        if setup:
            setup(sock)
        sock.listen(64)
        sock.setblocking(False)
        group.append(sock)
    return group


def taken(listener):
    """All the connections that wait at a listener."""
    found = []
    while True:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return found
        defer(sock.close)
        sock.settimeout(20)
        found.append(sock)


def served(listener, clients, wish):
    """The listener's connections work, and are encrypted if it wants to be; returns how many."""
    connections = taken(listener)
    for sock in connections:
        client = clients[sock.getpeername()]
        client.sendall(b"request")
        equal(recv_exactly(sock, 7), b"request")
        sock.sendall(b"answer")
        equal(recv_exactly(client, 6), b"answer")
        if wish:
            encrypted(client, sock)
        else:
            check(not ulp.is_encrypted(client) and not ulp.is_encrypted(sock), "plain")
    return len(connections)


def connect_many(address, count):
    """{own address: socket}"""
    clients = {}
    for _ in range(count):
        sock = net.pair().a.socket(4)
        defer(sock.close)
        sock.connect(address)
        clients[sock.getsockname()] = sock
    return clients


@test
def reuseport_group_of_which_only_a_part_asked():
    """Connections are spread over all, and each is as its listener wants it."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b, listen=0)
    wishes = (True, False, True, False)
    group = reuseport(wishes)
    clients = connect_many(group[0].getsockname(), 40)
    counts = [served(listener, clients, wish) for listener, wish in zip(group, wishes)]
    equal(sum(counts), 40, "accepted %s" % counts)
    check(all(counts), "spread: %s" % counts)


@test
def reuseport_group_with_a_program_that_chooses():
    """SO_ATTACH_REUSEPORT_CBPF, by the client's port."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b, listen=0)
    wishes = (True, False)
    group = reuseport(wishes)
    # A = the segment's first half-word, the source port; return A & 1
    code = struct.pack("HBBIHBBIHBBI", 0x28, 0, 0, 0, 0x54, 0, 0, 1, 0x16, 0, 0, 0)
    buffer = ctypes.create_string_buffer(code, len(code))
    group[0].setsockopt(socket.SOL_SOCKET, 51, struct.pack("HxxxxxxQ", 3, ctypes.addressof(buffer)))
    clients = connect_many(group[0].getsockname(), 20)
    for number, (listener, wish) in enumerate(zip(group, wishes)):
        expected = sum(address[1] & 1 == number for address in clients)
        equal(served(listener, clients, wish), expected, "connections of listener %d" % number)


@test
def reuseport_group_with_one_that_goes():
    """What waits at the one that closes is lost or moved as without the module; the others go on."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    defer(pair.b.sysctl, "ipv4.tcp_migrate_req", 0)
    for migrate in (0, 1):
        pair.b.sysctl("ipv4.tcp_migrate_req", migrate)
        group = reuseport((False, False, False))
        clients = connect_many(group[0].getsockname(), 30)
        waiting = {sock.getpeername() for sock in taken(group[1])} | {sock.getpeername() for sock in taken(group[2])}
        group[0].close()
        # Moved ones are in the queues of the others
        moved = taken(group[1]) + taken(group[2])
        equal(len(moved), migrate * (30 - len(waiting)), "moved")
        for sock in moved:
            client = clients[sock.getpeername()]
            client.sendall(b"request")
            equal(recv_exactly(sock, 7), b"request")
            encrypted(client, sock)
        for listener in group[1:]:
            listener.close()


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
