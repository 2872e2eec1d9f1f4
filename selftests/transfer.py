#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Much data and many connections, module to module: equal by hash, and the canary nowhere on the wire.

Default sizes are for an emulated processor; TCPCRYPT_HEAVY=1 gives 50 MB each way under netem, 200 MB each way without,
2,000 connections one after the other, 200 at once and 10,000 idle ones.
"""

import resource
import select
import socket

from lib import net, ulp
from lib.bridge import no_offloads
from lib.capture import Capture
from lib.data import digest_of, payload, receive_digest, recv_all, recv_exactly, send_pieces
from lib.harness import HEAVY, Background, check, defer, equal, main, skip, test, until
from lib.pair import EVERYWHERE, TWO, Place, encrypted, joined

MB = 1000 * 1000
UNDER_NETEM = 50 * MB if HEAVY else 1 * MB
BULK = 200 * MB if HEAVY else 8 * MB
SEQUENTIAL = 2000 if HEAVY else 100
AT_ONCE = 200 if HEAVY else 60
IDLE = 10000 if HEAVY else 300
LONG = 1700 if HEAVY else 120

NETEM = {
    "loss": "loss 2% limit 10000",
    "reorder": "delay 3ms reorder 30% 50% limit 10000",
    "duplicate": "duplicate 10% limit 10000",
    "delay": "delay 10ms 5ms limit 10000",
    "all": "delay 3ms 2ms loss 1% duplicate 2% reorder 10% limit 10000",
}


def both_ways(a, b, size):
    """`size` bytes in each direction at once, compared by hash, and the ends in order."""

    def side(sock):
        writer = Background(lambda: (send_pieces(sock, size), sock.shutdown(socket.SHUT_WR)))
        result = receive_digest(sock)
        writer.join(LONG)
        return result

    expected = (size, digest_of(size))
    sides = [Background(side, sock) for sock in (a, b)]
    for work in sides:
        equal(work.join(LONG), expected, "size and hash")


@test(kind=tuple(NETEM), where=("veth4", "veth6"), timeout=LONG)
def impaired_link(kind, where):
    if not net.has_netem():
        skip("no netem")
    pair = net.pair()
    defer(net.netem, pair.a, None)
    defer(net.netem, pair.b, None)
    net.netem(pair.a, NETEM[kind])
    net.netem(pair.b, NETEM[kind])
    both_ways(*joined(where), UNDER_NETEM)


@test(where=EVERYWHERE, timeout=LONG)
def bulk_each_way(where):
    both_ways(*joined(where), BULK // (1 if where in TWO else 4))


@test(aead=tuple(ulp.AEADS), timeout=LONG)
def bulk_with_each_aead(aead):
    place = Place("veth4")
    for ns in (place.client, place.server):
        if ulp.loaded():
            defer(ulp.set_aead, ns)
            ulp.set_aead(ns, aead)
    both_ways(*joined("veth4"), BULK // 2)


@test(mtu=(576, 1280, 9000, 65535), timeout=LONG)
def link_of_another_mtu(mtu):
    pair = net.pair()
    for number, ns in enumerate((pair.a, pair.b), 1):
        # Below 1280 the kernel drops the IPv6 address
        defer(ns.run, "ip addr replace %s/64 dev veth0 nodad" % net.address(number, 6))
        defer(ns.run, "ip link set veth0 mtu 1500")
        ns.run("ip link set veth0 mtu %d" % mtu)
    both_ways(*joined("veth4"), BULK // 8)


@test(timeout=LONG)
def without_segmentation_offload():
    pair = net.pair()
    for ns in (pair.a, pair.b):
        no_offloads(ns, "veth0")
    both_ways(*joined("veth4"), BULK // 4)


@test(size=(1, 100, 1000, 4096, 16384, 65536), timeout=LONG)
def writes_of_one_size(size):
    a, b = joined("lo4")
    count = min(2000, 2 * MB // size)
    chunk = payload(size)
    writer = Background(lambda: [a.sendall(chunk) for _ in range(count)])
    for _ in range(count):
        if recv_exactly(b, size) != chunk:
            raise AssertionError("data differs")
    writer.join()


@test(where=TWO, timeout=LONG)
def small_buffers(where):
    def small(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)

    both_ways(*joined(where, small, small), BULK // 40)


@test(timeout=LONG)
def request_and_response():
    a, b = joined("veth4")

    def server():
        while request := recv_exactly(b, 100):
            b.sendall(request[::-1])

    work = Background(server)
    for number in range(300):
        request = b"%04d" % number * 25
        a.sendall(request)
        equal(recv_exactly(a, 100), request[::-1])
    a.close()
    work.join()


@test(where=TWO, timeout=LONG)
def connections_one_after_the_other(where):
    place = Place(where).watch()
    listener = place.listener()
    data = payload(3000)
    before = ulp.counters(place.client)["ActiveEncrypted"] if ulp.loaded() else 0
    for _ in range(SEQUENTIAL):
        sock = place.client.socket(place.family)
        sock.connect(listener.getsockname()[:2])
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        other, _ = listener.accept()
        check(recv_all(other) == data, "request")
        other.sendall(data)
        other.close()
        check(recv_all(sock) == data, "answer")
        sock.close()
    if ulp.loaded():
        equal(ulp.counters(place.client)["ActiveEncrypted"] - before, SEQUENTIAL, "encrypted")


@test(where=TWO, timeout=LONG)
def connections_at_once(where):
    place = Place(where).watch()
    listener = place.listener(backlog=512)
    socks = []
    for _ in range(AT_ONCE):
        sock = place.client.socket(place.family)
        defer(sock.close)
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname()[:2])
        socks.append(sock)
    others = {}
    for _ in socks:
        other, address = listener.accept()
        defer(other.close)
        others[address] = other
    data = [payload(4000 + number) for number in range(AT_ONCE)]
    for sock, piece in zip(socks, data):
        sock.setblocking(True)
        sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
    for sock, piece in zip(socks, data):
        other = others[sock.getsockname()]
        check(recv_all(other) == piece, "request")
        other.sendall(piece)
        other.shutdown(socket.SHUT_WR)
    for sock, piece in zip(socks, data):
        check(recv_all(sock) == piece, "answer")


@test(timeout=LONG)
def server_that_is_busy():
    """A poll loop with many clients that come and go."""
    place = Place("veth4").watch()
    listener = place.listener(backlog=128)
    rounds, clients = 5, 20

    def client(number):
        total = 0
        for turn in range(rounds):
            sock = place.client.socket(4)
            sock.connect(listener.getsockname())
            data = payload(1000 * (number + turn + 1))
            sock.sendall(data)
            total += recv_exactly(sock, len(data)) == data
            sock.close()
        return total

    work = [Background(client, number) for number in range(clients)]
    poll, socks = select.poll(), {}
    listener.setblocking(False)
    poll.register(listener, select.POLLIN)
    while any(w.running() for w in work) or socks:
        for fd, _ in poll.poll(1000):
            if fd == listener.fileno():
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    continue
                socks[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
                continue
            data = socks[fd].recv(1 << 16)
            if data:
                socks[fd].sendall(data)
            else:
                poll.unregister(fd)
                socks.pop(fd).close()
    equal(sum(w.join() for w in work), rounds * clients, "echoed")


@test(timeout=LONG)
def many_idle_connections():
    place = Place("lo4")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 2 * IDLE + 100), max(hard, 2 * IDLE + 100)))
    defer(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, max(hard, 2 * IDLE + 100)))
    listener = place.listener(backlog=1024)
    ends = []
    for _ in range(IDLE):
        one = place.client.socket(4)
        one.connect(listener.getsockname())
        two, _ = listener.accept()
        ends.append((one, two))
    for pair in (ends[0], ends[IDLE // 2], ends[-1]):
        encrypted(*pair)
        pair[0].sendall(b"awake")
        equal(recv_exactly(pair[1], 5), b"awake")
    if ulp.loaded():
        until(lambda: ulp.counters(place.client)["Established"] >= 2 * IDLE, 60, "all encrypted")
    for one, two in ends:
        one.close()
        two.close()
    if ulp.loaded():
        until(lambda: ulp.counters(place.client)["Established"] == 0, 60, "all gone")


@test
def capture_would_see_plaintext():
    """The same watch on a plain connection finds the canary, so its silence elsewhere means something."""
    pair = net.pair()
    if ulp.loaded():
        ulp.enable(pair.a, pair.b, connect=0, listen=0)
    capture = Capture(pair.a, "veth0")
    listener = pair.listener()
    defer(listener.close)
    with pair.a.socket() as sock:
        sock.connect(listener.getsockname())
        other, _ = listener.accept()
        sock.sendall(payload(100000))
        check(recv_exactly(other, 100000) == payload(100000), "data")
        other.close()
    capture.stop()
    check(capture.seen >= 1, "canary not seen in %d packets" % capture.packets)


if __name__ == "__main__":
    main()
