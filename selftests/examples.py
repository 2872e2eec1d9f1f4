#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The example programs: authenticate, which proves a shared secret for a session ID, and a TLS client and server that find
each other by TCP-ENO.
"""

import atexit
import functools
import os
import shutil
import socket
import subprocess
import tempfile

from lib import net, ulp
from lib.bridge import middlebox, without
from lib.capture import Capture
from lib.data import CANARY, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, test, until
from lib.programs import directory, listens, needs, stop
from peer import eno
from peer.tcp import ACK, SYN

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples")
TEXT = CANARY * 1000


@functools.cache
def program(name):
    """As scripts/check built it; else it is compiled when it is first asked for."""
    needs("make", "gcc")

    def make(out, options):
        command = ["make", options, "-C", EXAMPLES, "OUT=" + out, out + "/" + name]
        return subprocess.run(command, capture_output=True, text=True)

    built = os.path.join(EXAMPLES, "..", "build", "examples")
    if make(built, "-q").returncode == 0:
        return built + "/" + name
    out = tempfile.mkdtemp(prefix="tcs")
    atexit.register(shutil.rmtree, out, True)
    made = make(out, "-s")
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


def new_certificate():
    """(certificate, key), signed by itself."""
    (openssl,) = needs("openssl")
    path = tempfile.mkdtemp(prefix="tcs")
    atexit.register(shutil.rmtree, path, True)
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=example -out %s/cert -keyout %s/key"
    net.run([openssl] + (command % (path, path)).split())
    return path + "/cert", path + "/key"


@functools.cache
def certificate():
    """That of the TLS server."""
    return new_certificate()


LINES = b"".join(b"%d %s\n" % (number, CANARY) for number in range(50))


def tls_server(ns, address, port):
    server = Process(ns, [program("tls_server"), address, str(port), *certificate()])
    until(lambda: listens(ns, port) or server.child.poll() is not None, 20, "listener")
    return server


def tls_client(ns, address, port, trusted=None):
    return Process(ns, [program("tls_client"), address, str(port), trusted or certificate()[0]], LINES)


@test(family=FAMILIES, timeout=120)
def tls_is_negotiated_by_eno(family):
    """TEP 0x20, and nothing of what is said is on the wire."""
    address = hosts().address("b", family)
    server = tls_server(hosts().b, address, 4011)
    watch()
    client = tls_client(hosts().a, address, 4011)
    equal(client.ends(0), "TLSv1.3 by TCP-ENO", "client")
    equal(server.error(), "TLSv1.3 by TCP-ENO", "server")
    check(client.output() == LINES, "what came back")


@test(family=FAMILIES, timeout=120)
def tls_client_is_plain_with_a_server_that_offers_nothing(family):
    address = hosts().address("b", family)
    plain = hosts().b.socket(family)
    defer(plain.close)
    plain.bind((address, 4012))
    plain.listen()
    client = tls_client(hosts().a, address, 4012)
    other, _ = plain.accept()
    defer(other.close)
    line = LINES.splitlines(True)[0]
    equal(recv_exactly(other, len(line)), line, "first line, in the clear")
    equal(client.error(), "plain TCP", "client")


@test(family=FAMILIES, timeout=120)
def tls_server_is_plain_with_a_client_that_offers_nothing(family):
    address = hosts().address("b", family)
    server = tls_server(hosts().b, address, 4013)
    plain = hosts().a.socket(family)
    defer(plain.close)
    plain.settimeout(30)
    plain.connect((address, 4013))
    plain.sendall(LINES)
    equal(recv_exactly(plain, len(LINES)), LINES, "what came back")
    equal(server.error(), "plain TCP", "server")


@test(family=FAMILIES, timeout=120)
def tls_programs_do_not_encrypt_with_tcpcrypt(family):
    """A host that offers tcpcrypt and one that offers TLS have no TEP in common."""
    address = hosts().address("b", family)
    server = tls_server(hosts().b, address, 4014)
    client = hosts().a.socket(family)
    defer(client.close)
    client.settimeout(30)
    ulp.attach(client)
    client.connect((address, 4014))
    client.sendall(LINES)
    equal(recv_exactly(client, len(LINES)), LINES, "what came back")
    equal(server.error(), "plain TCP", "server")
    equal(ulp.ulp_name(client), b"", "ULP")


def in_syn(segment):
    """Another TEP, which neither side has, put before what the client offers."""
    if segment.flags & (SYN | ACK) == SYN:
        without(segment, eno.KIND)
        segment.options = segment.options + eno.option(0x21, 0x20)


def in_synack(segment):
    """The application-aware bit set in what the server answers."""
    if segment.has(SYN | ACK):
        segment.options = segment.options.replace(eno.option(1, 0x20), eno.option(3, 0x20))


@test(family=FAMILIES, change=(in_syn, in_synack), timeout=120)
def tls_is_bound_to_the_negotiation(family, change):
    """Options are changed on the way so that TLS is negotiated all the same: both programs notice."""
    box, seen = middlebox(), []
    address = box.address("b", family)

    def rule(segment, to_b):
        before = segment.options
        change(segment)
        seen.append(segment.options != before)
        return [segment]

    defer(setattr, box, "rule", box.rule)
    server = tls_server(box.b, address, 4015)
    box.rule = rule
    client = tls_client(box.a, address, 4015)
    equal(client.ends(1), "the negotiation was tampered with", "client")
    until(server.error, 20, "the server's complaint")
    equal(server.error(), "the negotiation was tampered with", "server")
    check(any(seen), "an option was changed")
    equal(client.output(), b"", "what the client printed")


@test(family=FAMILIES, timeout=120)
def tls_client_refuses_another_certificate(family):
    address = hosts().address("b", family)
    tls_server(hosts().b, address, 4016)
    client = tls_client(hosts().a, address, 4016, new_certificate()[0])
    check("certificate verify failed" in client.ends(1), client.error())


if __name__ == "__main__":
    main()
