#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Namespaces, links and processes that go away under encrypted connections take their state along.

What is left behind shows in the module's reference count, which must come back to what it was.
"""

import os
import signal
import socket
import subprocess
import sys

from lib import net, ulp
from lib.data import payload, recv_exactly
from lib.harness import Background, check, defer, equal, main, test, until
from lib.pair import encrypted


def references():
    with open("/sys/module/tcpcrypt/refcnt") as file:
        return int(file.read())


START = references() if ulp.loaded() else 0


def back_to(before, timeout=20):
    """For connections that can end properly; those that cannot may take a minute, see everything_comes_back()."""
    until(lambda: references() <= before, timeout, "references back to %d (%d)" % (before, references()))


def fresh_pair():
    pair = net.Pair()
    ulp.enable(pair.a, pair.b)
    return pair


def connections(pair, count, family=4):
    listener = pair.listener(family, count)
    ends = []
    for _ in range(count):
        one = pair.a.socket(family)
        one.connect(listener.getsockname()[:2])
        two, _ = listener.accept()
        ends.append((one, two))
    for pair_of_ends in ends:
        encrypted(*pair_of_ends)
    listener.close()
    return ends


@test
def new_namespace_starts_off():
    ns = net.Netns("n")
    defer(ns.remove)
    equal(ns.sysctl("ipv4.tcp_eno.enable_connect"), "0")
    equal(ns.sysctl("ipv4.tcp_eno.enable_listen"), "0")
    equal(set(ulp.counters(ns).values()), {0}, "counters")


@test(order=("connections first", "namespace first"), timeout=120)
def namespace_with_connections_goes_away(order):
    before = references()
    pair = fresh_pair()
    ends = connections(pair, 10)
    check(references() > before, "connections hold the module")
    ends[0][0].sendall(payload(100000)[:5000])
    if order == "namespace first":
        pair.remove()
    for one, two in ends:
        one.close()
        two.close()
    if order != "namespace first":
        pair.remove()


@test(timeout=120)
def namespace_goes_away_during_transfers():
    before = references()
    pair = fresh_pair()
    ends = connections(pair, 4)

    def push(sock):
        try:
            while True:
                sock.sendall(payload(1 << 16))
        except OSError:
            pass

    def pull(sock):
        try:
            while sock.recv(1 << 16):
                pass
        except OSError:
            pass

    work = [Background(push, one) for one, _ in ends] + [Background(pull, two) for _, two in ends]
    until(lambda: ulp.counters(pair.b)["BytesRx"] > 1 << 18, what="traffic")
    pair.remove()
    for one, two in ends:
        one.shutdown(socket.SHUT_RDWR)
        two.shutdown(socket.SHUT_RDWR)
    for each in work:
        each.join()
    for one, two in ends:
        one.close()
        two.close()
    back_to(before)


@test(timeout=200)
def orphans_in_a_namespace_that_goes_away():
    """Closed sockets whose data could not be sent, because the link is down."""
    pair = fresh_pair()
    ends = connections(pair, 4)
    pair.b.run("ip link set veth0 down")
    for one, _ in ends:
        one.sendall(payload(20000))
        one.close()
    pair.remove()
    for _, two in ends:
        two.close()


@test(timeout=120)
def link_goes_down_and_comes_back():
    pair = fresh_pair()
    defer(pair.remove)
    ((one, two),) = connections(pair, 1)
    defer(one.close)
    defer(two.close)
    pair.b.run("ip link set veth0 down")
    one.sendall(b"meanwhile")
    pair.b.run("ip link set veth0 up")
    equal(recv_exactly(two, 9), b"meanwhile")


@test(timeout=120)
def half_open_connections_in_a_namespace_that_goes_away():
    """In connect() towards nobody, and with the keys still missing."""
    before = references()
    pair = fresh_pair()
    pair.b.run("ip link set veth0 down")
    socks = []
    for _ in range(5):
        sock = pair.a.socket()
        sock.setblocking(False)
        sock.connect_ex((pair.address("b", 4), 9))
        socks.append(sock)
    pair.remove()
    for sock in socks:
        sock.close()
    back_to(before)


@test(timeout=120)
def many_namespaces():
    before = references()
    for _ in range(15):
        ns = net.Netns("m")
        ulp.enable(ns)
        listener = ns.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sock = ns.socket()
        sock.connect(listener.getsockname())
        other, _ = listener.accept()
        sock.sendall(b"x")
        equal(recv_exactly(other, 1), b"x")
        for end in (sock, other, listener):
            end.close()
        ns.remove()
    back_to(before)


CHILD = """
import socket, sys, time
sys.path.insert(0, %r)
from lib.data import payload
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(20)
ends = []
for _ in range(10):
    one = socket.socket(); one.connect(listener.getsockname()); two, _ = listener.accept(); ends.append((one, two))
for one, two in ends[:5]:
    one.sendall(payload(100000))
print("ready", flush=True)
time.sleep(1000)
"""


@test(timeout=120)
def killed_process_leaves_nothing():
    before = references()
    ns = net.Netns("k")
    ulp.enable(ns)
    here = os.path.dirname(os.path.abspath(__file__))
    child = ns.command([sys.executable, "-c", CHILD % here], stdout=subprocess.PIPE, text=True)
    equal(child.stdout.readline(), "ready\n")
    check(references() > before, "connections hold the module")
    child.send_signal(signal.SIGKILL)
    child.wait()
    ns.remove()
    back_to(before)


@test(timeout=120)
def closed_connections_give_the_module_back():
    before = references()
    pair = fresh_pair()
    for one, two in connections(pair, 20):
        one.sendall(b"bye")
        one.close()
        equal(recv_exactly(two, 3), b"bye")
        two.close()
    until(lambda: ulp.counters(pair.a)["Established"] == 0, 90, "no connection in a")
    until(lambda: ulp.counters(pair.b)["Established"] == 0, 90, "no connection in b")
    pair.remove()
    back_to(before)


@test(timeout=200)
def everything_comes_back():
    """What the tests above left behind is bounded in time."""
    back_to(START, 180)


if __name__ == "__main__":
    main()
