#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The settings of a namespace: what is written is read back in the same form, and what is refused changes nothing."""

import errno
import functools
import os
import subprocess
import sys

from lib import net, ulp
from lib.harness import defer, equal, main, raises, test
from lib.peerhost import host
from peer import eno

NUMBERS = {  # name: (default, least, most)
    "tcp_eno.enable_connect": (0, 0, 1),
    "tcp_eno.enable_listen": (0, 0, 1),
    "tcp_eno.syn_retransmissions": (2, 0, 127),
    "tcp_eno.failure_lifetime": (3600, 0, 604800),
    "tcp_eno.failure_entries": (1024, 1, 16384),
    "tcp_crypt.max_exchanges": (16384, 0, 1048576),
}
NAMES = {  # name: all that may be in the list
    "tcp_eno.teps": "curve25519 curve448 p256 p521",
    "tcp_crypt.aconf": ulp.ALL_AEADS,
    "tcp_crypt.bconf": ulp.ALL_AEADS,
}
TEPS = {"p256": eno.TEP_P256, "p521": eno.TEP_P521, "curve25519": eno.TEP_X25519, "curve448": eno.TEP_X448}
LISTS = {  # name: default
    "tcp_eno.teps": "curve25519",
    "tcp_crypt.aconf": ulp.ALL_AEADS,
    "tcp_crypt.bconf": ulp.ALL_AEADS,
}
PORTS = ("tcp_eno.exclude_local_ports", "tcp_eno.exclude_remote_ports")
ALL = tuple(NUMBERS) + tuple(LISTS) + PORTS


def fresh():
    ns = net.Netns("s")
    defer(ns.remove)
    return ns


@functools.cache
def some():
    """For tests that set what they look at."""
    return net.Netns("s")


def read(ns, name):
    return ns.sysctl("ipv4." + name)


def write(ns, name, *parts):
    """Writes the bytes of each part by a call of its own; the number of bytes taken by the last one."""
    with ns:
        fd = os.open("/proc/sys/net/ipv4/" + name.replace(".", "/"), os.O_WRONLY)
    try:
        for part in parts:
            taken = os.write(fd, part)
        return taken
    finally:
        os.close(fd)


def defaults(ns):
    return {name: read(ns, name) for name in ALL}


def valid(name):
    if name in NUMBERS:
        _, least, most = NUMBERS[name]
        return [str(least), str(most), str((least + most) // 2)]
    if name in LISTS:
        names = NAMES[name].split()
        return [" ".join(reversed(names)), names[-1], NAMES[name]]
    return ["", "1", "65535", "22,443", "1-65535", "80,8000-8100,9000"]


def invalid(name):
    if name in NUMBERS:
        _, least, most = NUMBERS[name]
        beyond = [str(most + 1), "-1", "4294967296", "18446744073709551617", "9" * 60]
        if least:
            beyond.append(str(least - 1))
        odd = ["x", "1x", "1 1", "1,1", "1.0", "+1", "", " ", "\n", "\0", "1\0", "1 " * 40, "1" + " " * 5000 + "1"]
        return beyond + odd
    if name in LISTS:
        first = NAMES[name].split()[0]
        return [
            "",
            "\n",
            "x",
            first + "x",
            first[:-1],
            first.upper(),
            first + "," + first,
            first + " " + first,
            first + " x",
            first + "\0",
            NAMES[name] + " " + first,
            first * 10000,
            "\xff",
        ]
    return ["x", "1x", "65536", "-1", "2-1", "1-65536", "22,,x"]


@test
def new_namespace_has_the_defaults():
    expected = {name: str(default) for name, (default, _, _) in NUMBERS.items()}
    expected.update(LISTS)
    seen = defaults(fresh())
    equal({name: seen[name] for name in expected}, expected)
    for name in PORTS:
        ports = seen[name].split(",")
        equal([port in ports for port in ("22", "80", "443", "5061", "16385")], [True, False, True, True, True], name)


@test(name=ALL)
def valid_values_are_read_back(name):
    ns = some()
    for value in valid(name):
        for form in (value.encode(), value.encode() + b"\n"):
            equal(write(ns, name, form or b"\n"), len(form or b"\n"), "bytes taken")
            equal(read(ns, name), value)


@test(name=tuple(NUMBERS))
def numbers_in_other_forms(name):
    """As the kernel's own settings take them."""
    ns = some()
    for form in (b"1", b" 1\n", b"\t1 ", b"01", b"0x1"):
        write(ns, name, form)
        equal(read(ns, name), "1", form)


@test(name=tuple(LISTS))
def lists_with_other_white_space(name):
    ns = some()
    for space in (b"  ", b"\t", b"\n"):
        write(ns, name, b"\n" + NAMES[name].encode().replace(b" ", space) + space)
        equal(read(ns, name), NAMES[name], space)


@test(name=ALL)
def invalid_values_change_nothing(name):
    ns = some()
    value = valid(name)[-1]
    ns.sysctl("ipv4." + name, value)
    for bad in invalid(name):
        if name in PORTS and bad == "":
            continue
        raises(errno.EINVAL, write, ns, name, bad.encode("latin-1"))
        equal(read(ns, name), value, "after %r" % bad[:40])


@test(name=tuple(NUMBERS) + tuple(LISTS))
def value_in_two_writes(name):
    """The first is the value; the second is refused, not taken for the rest of it."""
    ns = some()
    value = valid(name)[0]
    raises(errno.EINVAL, write, ns, name, value.encode(), value.encode())
    equal(read(ns, name), value)


@test(name=ALL)
def value_read_in_pieces(name):
    ns = some()
    with ns:
        fd = os.open("/proc/sys/net/ipv4/" + name.replace(".", "/"), os.O_RDONLY)
    try:
        whole = os.read(fd, 4096)
        equal(whole.decode().strip(), read(ns, name))
        equal(os.read(fd, 4096), b"", "behind the end")
    finally:
        os.close(fd)


@test(name=ALL)
def namespaces_are_independent(name):
    one, two = fresh(), fresh()
    before = defaults(two)
    other = [value for value in valid(name) if value and value != read(one, name)]
    for value in other[:1]:
        one.sysctl("ipv4." + name, value)
        equal(read(one, name), value)
    equal(defaults(two), before, "the other namespace")
    equal(defaults(fresh()), before, "a new namespace")


@test(teps="p256 curve25519/curve448/p521 curve448 curve25519".split("/"))
def list_of_teps_takes_effect(teps):
    """All are offered, and the first of ours that the peer offers is accepted."""
    ns = host().ns
    defer(ns.sysctl, "ipv4.tcp_eno.teps", read(ns, "tcp_eno.teps"))
    ns.sysctl("ipv4.tcp_eno.teps", teps)
    numbers = [TEPS[name] for name in teps.split()]
    _, peer = host().connect(4)
    (offer,) = peer.wait_syn().option(eno.KIND)
    equal(sorted(offer[2:]), sorted(numbers), "offered")
    for offered in (TEPS.values(), reversed(TEPS.values())):
        _, peer = host().asked(4, eno.option(*offered))
        equal(peer.other_option, eno.synack_option(numbers[0]), "answer")
    for number in set(TEPS.values()) - set(numbers):
        _, peer = host().asked(4, eno.option(number))
        equal(peer.other_option, None, "answer to one that is not in the list")


CHILD = """
import sys
for line in sys.stdin.read().splitlines():
    path, value = line.split("=")
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError as error:
        print(error.errno)
    else:
        with open(path) as file:
            print(file.read().strip())
"""


def as_nobody(command, assignments):
    """What a process without privileges sees after it has written: the value or an errno."""
    done = subprocess.run(
        command + [sys.executable, "-c", CHILD],
        input="\n".join("%s=%s" % item for item in assignments.items()),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        user=65534,
        group=65534,
        extra_groups=[],
    )
    return done.stdout.splitlines()


def paths():
    values = {name: valid(name)[0] or "1" for name in ALL}
    return {"/proc/sys/net/ipv4/" + name.replace(".", "/"): value for name, value in values.items()}


@test
def without_privileges():
    ns = fresh()
    before = defaults(ns)
    with ns:
        seen = as_nobody([], paths())
    equal(seen, [str(errno.EACCES)] * len(ALL))
    equal(defaults(ns), before)


@test
def without_privileges_in_a_user_namespace_of_their_own():
    """There they are the administrator of their own network namespace, and of no other."""
    ns = fresh()
    before = defaults(ns)
    with ns:
        equal(as_nobody(["unshare", "--user", "--map-root-user", "--net"], paths()), list(paths().values()))
        refused = as_nobody(["unshare", "--user", "--map-root-user"], paths())
    equal(refused, [str(errno.EACCES)] * len(ALL), "in a network namespace that is not theirs")
    equal(defaults(ns), before)


if __name__ == "__main__":
    main()
