# SPDX-License-Identifier: GPL-2.0
"""Network namespaces and links. `with ns:` runs the calling thread in it; sockets stay in the one they were made in.

Pair is two namespaces with a veth link: 10.77.0.1 and fd77::1 in a, .2 and ::2 in b, both with a working lo.
"""

import atexit
import functools
import itertools
import os
import socket
import subprocess
import threading

_counter = itertools.count()
_all = []
_stack = threading.local()

AF = {4: socket.AF_INET, 6: socket.AF_INET6}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def run(command, **options):
    """A command given as one string or a list; raises if it fails."""
    arguments = command.split() if isinstance(command, str) else command
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise AssertionError("%s: %s" % (" ".join(arguments), done.stdout.strip()))
    return done.stdout


def ip_batch(*commands):
    """Many ip commands in one process."""
    run("ip -batch -", input="\n".join(commands) + "\n")


class Netns:
    def __init__(self, label="x"):
        self.name = "tcs%d-%d%s" % (os.getpid(), next(_counter), label)
        run(["ip", "netns", "add", self.name])
        self.path = "/run/netns/" + self.name
        if not os.path.exists(self.path):
            self.path = "/var/run/netns/" + self.name
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        _all.append(self)
        with self:
            self._write("net/ipv6/conf/all/accept_dad", "0")
            self._write("net/ipv6/conf/default/accept_dad", "0")
            ip_batch("link set lo up")

    def __enter__(self):
        stack = _stack.__dict__.setdefault("fds", [])
        stack.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        os.setns(self.fd, os.CLONE_NEWNET)
        return self

    def __exit__(self, *_):
        fd = _stack.fds.pop()
        os.setns(fd, os.CLONE_NEWNET)
        os.close(fd)

    @staticmethod
    def _write(path, value):
        with open("/proc/sys/" + path, "w") as file:
            file.write(value)

    def sysctl(self, name, value=None):
        """Reads, or writes if a value is given. Name with dots."""
        path = "net/" + name.replace(".", "/")
        with self:
            if value is None:
                with open("/proc/sys/" + path) as file:
                    return file.read().strip()
            self._write(path, str(value))

    def socket(self, family=4, kind=socket.SOCK_STREAM):
        with self:
            return socket.socket(AF[family], kind)

    def command(self, arguments, **options):
        """Popen in this namespace."""
        arguments = arguments.split() if isinstance(arguments, str) else list(arguments)
        return subprocess.Popen(["ip", "netns", "exec", self.name] + arguments, **options)

    def run(self, command, **options):
        arguments = command.split() if isinstance(command, str) else command
        return run(["ip", "netns", "exec", self.name] + arguments, **options)

    def remove(self):
        if self in _all:
            _all.remove(self)
            os.close(self.fd)
            run(["ip", "netns", "del", self.name])


def remove_all():
    for ns in list(_all):
        ns.remove()


atexit.register(remove_all)


class Pair:
    """a -- b. With a middlebox the two links end in it instead: see bridge.py."""

    def __init__(self):
        self.a, self.b = Netns("a"), Netns("b")
        run("ip link add veth0 netns %s type veth peer name veth0 netns %s" % (self.a.name, self.b.name))
        for number, ns in ((1, self.a), (2, self.b)):
            configure(ns, "veth0", number)

    address = staticmethod(lambda side, family: address(1 if side == "a" else 2, family))

    def listener(self, family=4, backlog=16):
        """A plain program's listening socket in b."""
        sock = self.b.socket(family)
        sock.bind((self.address("b", family), 0))
        sock.listen(backlog)
        return sock

    def remove(self):
        self.a.remove()
        self.b.remove()


def configure(ns, device, number):
    with ns:
        ip_batch(
            "link set %s up" % device,
            "addr add %s/24 dev %s" % (address(number, 4), device),
            "addr add %s/64 dev %s nodad" % (address(number, 6), device),
        )


def address(number, family):
    return ("10.77.0.%d" if family == 4 else "fd77::%d") % number


@functools.cache
def pair():
    """The pair that all the tests of a file share."""
    return Pair()


@functools.cache
def solo():
    """One namespace, for tests on its lo."""
    return Netns("l")


def netem(ns, settings, device="veth0"):
    """settings None: back to none. Needs sch_netem."""
    with ns:
        subprocess.run(["tc", "qdisc", "del", "dev", device, "root"], stderr=subprocess.DEVNULL)
        if settings:
            run("tc qdisc add dev %s root netem %s" % (device, settings))


def has_netem():
    ns = solo()
    try:
        netem(ns, "delay 0ms", "lo")
    except AssertionError:
        return False
    netem(ns, None, "lo")
    return True
