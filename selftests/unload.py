#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""rmmod: refused while an encrypted connection is open, clean when none is left, and again after another insmod.

Needs $TCPCRYPT_KO, and no other user of the module. Leaves it unloaded.
"""

import ctypes
import errno
import os
import select
import socket
import subprocess

from lib import net, ulp
from lib.data import payload, recv_all, recv_exactly
from lib.harness import Background, check, defer, equal, main, skip, test, until
from lib.pair import encrypted

MODULE = os.environ.get("TCPCRYPT_KO")
REFUSED = (errno.EBUSY, errno.EWOULDBLOCK)


def rmmod():
    """0 or the errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.syscall(176, b"tcpcrypt", os.O_NONBLOCK) else 0


def insmod():
    subprocess.run(["insmod", MODULE], check=True)


def needs_module():
    if not MODULE:
        skip("TCPCRYPT_KO is not set")
    if not ulp.loaded():
        insmod()


def gone(timeout=90):
    until(lambda: rmmod() == 0, timeout, "rmmod")
    check(not os.path.exists("/sys/module/tcpcrypt"), "module is gone")
    check(not ulp.loaded(), "sysctls are gone")


def connected(pair):
    listener = pair.listener()
    one = pair.a.socket()
    one.connect(listener.getsockname())
    two, _ = listener.accept()
    listener.close()
    return one, two


@test(module=False, timeout=120)
def idle_module_goes():
    needs_module()
    gone()


@test(module=False, timeout=120)
def refused_while_a_connection_is_open():
    needs_module()
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    one, two = connected(pair)
    encrypted(one, two)
    check(rmmod() in REFUSED, "refused")
    one.sendall(b"still here")
    equal(recv_exactly(two, 10), b"still here")
    ulp.enable(pair.a, pair.b, connect=0, listen=0)
    check(rmmod() in REFUSED, "refused with the sysctls off")
    one.close()
    equal(recv_all(two), b"")
    two.close()
    gone()


@test(module=False, timeout=120)
def plain_connections_do_not_hold_it():
    """One from before, and one that fell back; both outlive the module."""
    needs_module()
    pair = net.pair()
    before = connected(pair)
    ulp.enable(pair.a)
    fell_back = connected(pair)
    check(not ulp.is_encrypted(fell_back[0]), "plain")
    ulp.enable(pair.a, connect=0, listen=0)
    gone()
    for one, two in (before, fell_back):
        one.sendall(b"on and on")
        equal(recv_exactly(two, 9), b"on and on")
        two.close()
        equal(recv_all(one), b"")
        one.close()


@test(module=False, timeout=120)
def plain_child_of_an_attached_listener_does_not_hold_it():
    """Nor does it keep anything of the listener's that goes with the module."""
    needs_module()
    pair = net.pair()
    listener = pair.b.socket()
    listener.bind((pair.address("b", 4), 0))
    ulp.attach(listener)
    listener.listen(1)
    one = pair.a.socket()
    one.connect(listener.getsockname())
    two, _ = listener.accept()
    check(rmmod() in REFUSED, "refused while the listener is there")
    listener.close()
    gone()
    poll = select.poll()
    poll.register(two, select.POLLIN)
    equal(poll.poll(0), [])
    two.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.sendall(b"on and on")
    equal(recv_exactly(two, 9), b"on and on")
    two.close()
    equal(recv_all(one), b"")
    one.close()


@test(module=False, timeout=120)
def listener_outlives_it():
    """A server that was picked up goes on in plain TCP, and is picked up again by the next module."""
    needs_module()
    pair = net.pair()
    listener = pair.listener()
    defer(listener.close)

    def connection():
        one = pair.a.socket()
        defer(one.close)
        one.connect(listener.getsockname())
        two, _ = listener.accept()
        defer(two.close)
        return one, two

    for _ in range(2):
        ulp.enable(pair.a, pair.b)
        one, two = connection()
        encrypted(one, two)
        one.close()
        two.close()
        ulp.enable(pair.a, pair.b, connect=0, listen=0)
        gone()
        one, two = connection()
        one.sendall(b"plain")
        equal(recv_exactly(two, 5), b"plain")
        insmod()


@test(module=False, timeout=200)
def again_and_again_under_load():
    """rmmod is tried all the time while connections come and go; it works as soon as it may."""
    needs_module()
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    listener = pair.listener(4, 64)
    defer(listener.close)
    data, rounds = payload(2000), 60

    def clients():
        for _ in range(rounds):
            with pair.a.socket() as sock:
                sock.connect(listener.getsockname())
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                equal(recv_all(sock), data)

    def server():
        for _ in range(rounds):
            sock, _ = listener.accept()
            with sock:
                sock.sendall(recv_all(sock))

    work = [Background(server), Background(clients)]
    while any(each.running() for each in work):
        if rmmod() == 0:
            insmod()
    for each in work:
        each.join()
    listener.close()
    if ulp.loaded():
        ulp.enable(pair.a, pair.b, connect=0, listen=0)
        gone()


@test(module=False, timeout=120)
def not_left_behind():
    needs_module()
    gone()


if __name__ == "__main__":
    main()
