#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""SYN cookies and floods of SYNs with offers: no memory is kept for them beyond the listener's own queue, connections made
meanwhile work (plain where a cookie answered), and afterwards all is as before.
"""

import socket
import struct

from lib import net, ulp
from lib.data import payload, recv_all, recv_exactly
from lib.harness import FAMILIES, HEAVY, Background, check, defer, equal, main, skip, test, until
from lib.pair import encrypted
from lib.peerhost import accepted, host
from peer import eno
from peer.tcp import SYN, Segment, mss_option, pad

SYNS = 100000 if HEAVY else 6000
BACKLOG = 64
# Slabs in which a half-open connection, or anything that were kept of one, would be. A SYN with its headers, and what the
# module's own structures would need.
SLABS = ("request_sock_TCP", "request_sock_TCPv6", "kmalloc-", "TCP", "TCPv6")


def sysctl(ns, name, value):
    defer(ns.sysctl, name, ns.sysctl(name))
    ns.sysctl(name, value)


def objects():
    """{slab: objects in use}."""
    try:
        with open("/proc/slabinfo") as file:
            lines = [line.split() for line in file]
    except OSError as error:
        skip("slabinfo: %s" % error)
    # kmalloc-rnd-NN-96 and kmalloc-96 are one
    found = {}
    for words in lines:
        if words[0].startswith(SLABS):
            name = "kmalloc-" + words[0].rsplit("-", 1)[1] if words[0].startswith("kmalloc-") else words[0]
            found[name] = found.get(name, 0) + int(words[1])
    return found


def grown(before, limit):
    """The slabs that have more objects than `limit` above what they had."""
    now = objects()
    return {name: now[name] - before.get(name, 0) for name in now if now[name] - before.get(name, 0) > limit}


def flood(family, port, count):
    """SYNs with an offer, each from a port or a sequence number of its own. Nobody ever acknowledges the answers.

    What is added to the port is taken from the sequence number, so that the checksum stays right.
    """
    stack = host().stack
    options = pad(mss_option() + eno.syn_option(0x23))
    address, target = stack.address(family), stack.kernel_address(family)
    packet = bytearray(Segment(address, target, 1024, port, 0x10000, 0, SYN, options=options).to_packet())
    at = 20 if family == 4 else 40
    for number in range(count):
        step = number % 60000
        struct.pack_into("!H", packet, at, 1024 + step)
        struct.pack_into("!I", packet, at + 4, 0x10000 + 0xFFFF - step if step else 0x10000)
        stack.write(bytes(packet))
        if number % 64 == 0:
            stack.drain()
            stack.strays.clear()


@test(family=FAMILIES, timeout=300)
def flood_costs_no_memory(family):
    ns = host().ns
    sysctl(ns, "ipv4.tcp_syncookies", 1)
    listener = host().listener(family, backlog=BACKLOG)
    port = listener.getsockname()[1]
    flood(family, port, 3 * BACKLOG)  # what is allocated once is there
    before = objects()
    with ulp.Counting(ns) as count:
        flood(family, port, SYNS)
        equal(grown(before, SYNS // 5), {}, "slabs that grew")
        check(count("PassiveOffered") <= 4 * BACKLOG, "offers answered: %s" % count.grown())
    listener.close()


@test(family=FAMILIES, timeout=300)
def connections_during_a_flood_work(family):
    """From the same host, whose SYNs find the queue full."""
    ns = host().ns
    sysctl(ns, "ipv4.tcp_syncookies", 1)
    listener = host().listener(family, backlog=BACKLOG)
    address = listener.getsockname()[:2]
    flood(family, address[1], 3 * BACKLOG)
    data = payload(20000)
    for _ in range(5):
        flood(family, address[1], 2 * BACKLOG)
        sock = ns.socket(family)
        defer(sock.close)
        sock.settimeout(20)
        sock.connect(address)
        other = accepted(listener)
        for one, two in ((sock, other), (other, sock)):
            writer = Background(one.sendall, data)
            check(recv_exactly(two, len(data)) == data, "data")
            writer.join()
        equal(ulp.is_encrypted(sock), ulp.is_encrypted(other), "encrypted on one side only")
        sock.shutdown(socket.SHUT_WR)
        equal(recv_all(other), b"")


@test(family=FAMILIES, timeout=300)
def flood_without_cookies_is_bounded_by_the_queue(family):
    ns = host().ns
    sysctl(ns, "ipv4.tcp_syncookies", 0)
    listener = host().listener(family, backlog=BACKLOG)
    port = listener.getsockname()[1]
    flood(family, port, 3 * BACKLOG)
    before = objects()
    with ulp.Counting(ns) as count:
        flood(family, port, SYNS)
        equal(grown(before, SYNS // 5), {}, "slabs that grew")
        check(count("PassiveOffered") <= 4 * BACKLOG, "offers answered: %s" % count.grown())


@test(family=FAMILIES, timeout=300)
def listener_that_goes_takes_its_half_open_connections_along(family):
    """With all that was kept for them."""
    ns = host().ns
    sysctl(ns, "ipv4.tcp_syncookies", 0)
    sysctl(ns, "ipv4.tcp_max_syn_backlog", 8192)
    sysctl(ns, "core.somaxconn", 8192)
    count, requests = 2000, "request_sock_TCP" + ("v6" if family == 6 else "")
    peaks = []
    # The allocator keeps what was freed at hand, so that the first round only shows that; later ones take nothing new.
    for _ in range(4):
        listener = host().listener(family, backlog=8192)
        flood(family, listener.getsockname()[1], count)
        peaks.append(objects())
        listener.close()
        until(lambda: objects()[requests] < peaks[-1][requests] - count // 2, 30, "requests gone")
    check(peaks[-1][requests] >= count, "half-open connections take memory")
    rises = {name: peaks[-1][name] - number for name, number in peaks[1].items()}
    equal({name: rise for name, rise in rises.items() if rise > count // 2}, {}, "slabs that grow with each round")


@test(family=FAMILIES, server_listens=(True, False))
def cookies_always(family, server_listens):
    """Real sockets on both sides; the client offers and gets a cookie."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b, listen=int(server_listens))
    sysctl(pair.b, "ipv4.tcp_syncookies", 2)
    listener = pair.listener(family)
    defer(listener.close)
    listener.settimeout(20)
    for size in (1, 100000):
        sock = pair.a.socket(family)
        defer(sock.close)
        sock.connect(listener.getsockname()[:2])
        other = accepted(listener)
        data = payload(size)
        for one, two in ((sock, other), (other, sock)):
            writer = Background(one.sendall, data)
            check(recv_exactly(two, size) == data, "data")
            writer.join()
        check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "plain")
        equal((ulp.ulp_name(sock), ulp.ulp_name(other)), (b"", b""), "ULP")
    pair.b.sysctl("ipv4.tcp_syncookies", 1)
    ulp.enable(pair.a, pair.b)
    sock = pair.a.socket(family)
    defer(sock.close)
    sock.connect(listener.getsockname()[:2])
    encrypted(sock, accepted(listener))


if __name__ == "__main__":
    main()
