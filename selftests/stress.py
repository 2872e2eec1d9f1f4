#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Connections of every kind at once, while the settings change under them: data stays whole, and nothing stays behind.

Runs for a few seconds; TCPCRYPT_HEAVY=1 for minutes.
"""

import os
import random
import select
import socket
import struct
import time

from lib import net, ulp
from lib.data import payload, recv_all
from lib.harness import HEAVY, Background, check, defer, main, skip, test, until
from lib.pair import Place

SECONDS = 120 if HEAVY else 12
ROUNDS = 3000 if HEAVY else 600
LONG = SECONDS + 120


def echo_server(listener, stop):
    """One poll loop; a connection may end in any way it likes."""
    poll, socks = select.poll(), {}
    listener.setblocking(False)
    poll.register(listener, select.POLLIN)
    while not stop() or socks:
        for fd, _ in poll.poll(100):
            if fd == listener.fileno():
                try:
                    sock, _ = listener.accept()
                except OSError:
                    continue
                sock.settimeout(5)
                socks[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
                continue
            try:
                data = socks[fd].recv(1 << 15)
                if data:
                    socks[fd].sendall(data)
                    continue
            except OSError:
                pass
            poll.unregister(fd)
            socks.pop(fd).close()
        if stop():
            for fd in list(socks):
                poll.unregister(fd)
                socks.pop(fd).close()


def whole(sock):
    """Everything sent comes back."""
    data = payload(random.choice((1, 100, 5000, 40000)))
    writer = Background(lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    check(recv_all(sock) == data, "data is not whole")
    writer.join()


def close_at_once(sock):
    sock.close()


def send_and_close(sock):
    sock.sendall(payload(random.choice((1, 3000))))
    sock.close()


def reset(sock):
    sock.sendall(b"x" * 100)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_a_little(sock):
    sock.sendall(payload(20000))
    sock.recv(10)
    sock.close()


def shut_down_both(sock):
    sock.sendall(b"x" * 10)
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def nonblocking(sock):
    sock.setblocking(False)
    for _ in range(20):
        try:
            sock.send(payload(3000))
        except BlockingIOError:
            break
    sock.close()


KINDS = (whole, whole, whole, close_at_once, send_and_close, reset, read_a_little, shut_down_both, nonblocking)


def client(place, address, until_time, seed):
    """Connections of random kinds; the number that were whole."""
    choose, done = random.Random(seed), 0
    while time.monotonic() < until_time:
        kind = choose.choice(KINDS)
        with place.client.socket(place.family) as sock:
            sock.settimeout(20)
            sock.connect(address)
            try:
                kind(sock)
            except (BrokenPipeError, ConnectionResetError):
                check(kind is not whole, "connection broke")
            done += kind is whole
    return done


def run_clients(place, meanwhile=lambda: None, count=6):
    listener = place.listener(backlog=256)
    end = time.monotonic() + SECONDS
    stop = []
    server = Background(echo_server, listener, lambda: bool(stop))
    address = listener.getsockname()[:2]
    clients = [Background(client, place, address, end, seed) for seed in range(count)]
    while any(c.running() for c in clients):
        meanwhile()
    total = sum(c.join(60) for c in clients)
    stop.append(True)
    server.join(60)
    check(total > 10, "only %d whole connections" % total)


def all_gone(place):
    for ns in () if ulp.PLAIN else (place.client, place.server):
        until(lambda: ulp.counters(ns)["Established"] == 0, 90, "no connection left")


@test(where=("veth4", "lo6"), timeout=LONG)
def connections_of_every_kind(where):
    place = Place(where).watch()
    run_clients(place, lambda: time.sleep(0.1))
    all_gone(place)


@test(timeout=LONG)
def settings_that_change_all_the_time():
    """Both directions on and off, AEADs in another order, in the middle of everything."""
    place = Place("veth4")
    names = list(ulp.AEADS)

    def change():
        random.shuffle(names)
        ulp.enable(place.client, connect=random.getrandbits(1), listen=random.getrandbits(1))
        ulp.enable(place.server, connect=random.getrandbits(1), listen=random.getrandbits(1))
        ulp.set_aead(random.choice((place.client, place.server)), " ".join(names))
        time.sleep(0.005)

    defer(ulp.enable, place.client, place.server)
    defer(ulp.set_aead, place.client)
    defer(ulp.set_aead, place.server)
    run_clients(place, change)
    all_gone(place)


@test(timeout=LONG)
def over_a_bad_link():
    if not net.has_netem():
        skip("no netem")
    place = Place("veth4").watch()
    for ns in (place.client, place.server):
        defer(net.netem, ns, None)
        net.netem(ns, "delay 1ms 1ms loss 2% duplicate 2%")
    run_clients(place, lambda: time.sleep(0.1))


def slab():
    """Bytes in use in the kernel's slab caches, without those of files and names."""
    total = 0
    with open("/proc/slabinfo") as file:
        for line in list(file)[2:]:
            name, active, _, size = line.split()[:4]
            if not name.startswith(("dentry", "inode", "proc_inode", "ext4", "v9fs", "9p", "buffer", "radix", "filp", "ovl")):
                total += int(active) * int(size)
    return total


@test(timeout=LONG)
def memory_comes_back():
    """Many more connections do not make the kernel larger."""
    if not os.access("/proc/slabinfo", os.R_OK):
        skip("no slabinfo")
    place = Place("lo4")
    listener = place.listener()

    def some(count):
        for number in range(count):
            sock = place.client.socket(place.family)
            sock.connect(listener.getsockname()[:2])
            sock.sendall(payload(2000))
            other, _ = listener.accept()
            if number % 3:
                sock.shutdown(socket.SHUT_WR)
                recv_all(other)
            sock.close()
            other.close()

    place.client.sysctl("ipv4.tcp_max_tw_buckets", 10)
    some(ROUNDS // 4)
    all_gone(place)
    before = slab()
    some(ROUNDS)
    all_gone(place)
    until(lambda: slab() - before < 250 * ROUNDS, 30, "memory as before (%d bytes more)" % (slab() - before))


if __name__ == "__main__":
    main()
