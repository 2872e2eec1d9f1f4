#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The example programs: authenticate, which proves a shared secret for a session ID."""

import atexit
import functools
import os
import shutil
import socket
import subprocess
import tempfile

from lib import net, ulp
from lib.capture import Capture
from lib.data import CANARY, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, skip, test, until
from lib.programs import directory, listens, stop

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples")
TEXT = CANARY * 1000


@functools.cache
def program(name):
    """Compiled when it is first asked for."""
    if not shutil.which("gcc"):
        skip("no gcc")
    out = tempfile.mkdtemp(prefix="tcs")
    atexit.register(shutil.rmtree, out, True)
    made = subprocess.run(["make", "-sC", EXAMPLES, "OUT=" + out, out + "/" + name], capture_output=True, text=True)
    equal((made.returncode, made.stderr), (0, ""), "make")
    return out + "/" + name


@functools.cache
def hosts():
    """A pair on which nothing is encrypted unless the program asks for it."""
    pair = net.pair()
    ulp.enable(pair.a, pair.b, connect=0, listen=0)
    return pair


class Process:
    """A program in a namespace; its output is kept in files, so that it never waits for us."""

    def __init__(self, ns, arguments, data=b""):
        self.files = [tempfile.TemporaryFile() for _ in range(3)]
        self.files[0].write(data)
        self.files[0].seek(0)
        self.child = ns.command(arguments, stdin=self.files[0], stdout=self.files[1], stderr=self.files[2])
        defer(stop, self.child)

    def output(self):
        self.files[1].seek(0)
        return self.files[1].read()

    def error(self):
        self.files[2].seek(0)
        return self.files[2].read().decode(errors="replace").strip()

    def ends(self, status, timeout=40):
        """Its error output, after it ended with this status."""
        equal(self.child.wait(timeout), status, "exit status (%s)" % self.error())
        return self.error()


def key_file(content):
    path = directory() + "/key"
    with open(path, "wb") as file:
        file.write(content)
    return path


SECRET, OTHER = os.urandom(32), os.urandom(32)


def authenticate_listen(address, port, secret=SECRET):
    listener = Process(hosts().b, [program("authenticate"), "listen", address, str(port), key_file(secret)])
    until(lambda: listens(hosts().b, port) or listener.child.poll() is not None, 20, "listener")
    return listener


def authenticate_connect(ns, address, port, secret=SECRET):
    return Process(ns, [program("authenticate"), "connect", address, str(port), key_file(secret)], TEXT)


def watch():
    defer(Capture(hosts().a, "veth0").verify)


@test(family=FAMILIES, timeout=120)
def right_secret_is_accepted(family):
    address = hosts().address("b", family)
    listener = authenticate_listen(address, 4001)
    watch()
    client = authenticate_connect(hosts().a, address, 4001)
    equal(client.ends(0), "", "client")
    equal(listener.ends(0), "", "listener")
    check(listener.output() == TEXT, "data")


@test(family=FAMILIES, timeout=120)
def wrong_secret_is_refused(family):
    """By both sides, and the listener goes on with the next."""
    address = hosts().address("b", family)
    listener = authenticate_listen(address, 4002)
    watch()
    stranger = authenticate_connect(hosts().a, address, 4002, OTHER)
    check("wrong secret" in stranger.ends(1), "stranger: " + stranger.error())
    until(lambda: "wrong secret" in listener.error(), 20, "refusal by the listener")
    equal(authenticate_connect(hosts().a, address, 4002).ends(0), "", "the next client")
    listener.ends(0)
    check(listener.output() == TEXT, "data of the one that knows the secret, and nothing else")


def relay(listener, to):
    """One connection taken and passed on over another: all bytes, both ways, each leg encrypted on its own."""
    near, _ = listener.accept()
    far = hosts().a.socket(6 if ":" in to[0] else 4)
    ulp.attach(far)
    far.connect(to)

    def pump(source, sink):
        total = b""
        try:
            while data := source.recv(65536):
                total += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return total

    back = Background(pump, far, near)
    seen = pump(near, far) + back.join()
    legs = [ulp.session_id(sock) for sock in (near, far)]
    near.close()
    far.close()
    return seen, legs


@test(family=FAMILIES, timeout=120)
def man_in_the_middle_is_refused(family):
    """Two connections, both encrypted, with somebody who passes everything on between them."""
    address = hosts().address("b", family)
    listener = authenticate_listen(address, 4003)
    middle = hosts().a.socket(family)
    defer(middle.close)
    ulp.attach(middle)
    middle.bind((net.LOOPBACK[family], 4003))
    middle.listen()
    between = Background(relay, middle, (address, 4003))
    client = authenticate_connect(hosts().a, net.LOOPBACK[family], 4003)
    check("in between" in client.ends(1), "client: " + client.error())
    until(lambda: "in between" in listener.error(), 20, "refusal by the listener")
    seen, legs = between.join()
    equal([len(leg) for leg in legs], [33, 33], "session IDs")
    check(legs[0] != legs[1], "session IDs differ")
    equal(len(seen), 2 * 33, "bytes that the man in the middle saw")


@test(family=FAMILIES, timeout=120)
def reflected_answer_is_refused(family):
    """Who does not know the secret sends back what it gets: the role in it is the wrong one."""
    address = hosts().address("b", family)
    listener = authenticate_listen(address, 4006)
    mirror = hosts().a.socket(family)
    defer(mirror.close)
    mirror.settimeout(30)
    ulp.attach(mirror)
    mirror.connect((address, 4006))
    for count in (1, 32):
        mirror.sendall(recv_exactly(mirror, count))
    until(lambda: "wrong secret" in listener.error(), 20, "refusal by the listener")


@test(family=FAMILIES, timeout=120)
def plain_connection_is_refused(family):
    """The other side knows nothing of tcpcrypt: nothing but the greeting is sent."""
    address = hosts().address("b", family)
    plain = hosts().b.socket(family)
    defer(plain.close)
    plain.bind((address, 4004))
    plain.listen()
    client = authenticate_connect(hosts().a, address, 4004)
    other, _ = plain.accept()
    defer(other.close)
    other.sendall(b"\0" * 33)
    check("not encrypted" in client.ends(1), "client: " + client.error())
    equal(other.recv(100), b"\0", "what was sent")


@test(timeout=60)
def secret_that_is_too_short_is_refused():
    client = authenticate_connect(hosts().a, hosts().address("b", 4), 4005, b"short")
    check("less than 32 bytes" in client.ends(1), client.error())


if __name__ == "__main__":
    main()
