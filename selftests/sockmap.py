#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sockmap and BPF programs: they take plain connections as without the module, and no encrypted one, on which they would
see ciphertext or send plaintext.
"""

import errno
import os
import socket
import subprocess
import tempfile

from lib import bpf, net, ulp
from lib.data import CANARY, payload, recv_all, recv_exactly
from lib.harness import Background, check, defer, equal, main, raises, test
from lib.pair import TWO, Place, encrypted, joined
from lib.peerhost import accepted

HOW = ("off", "fell_back")


def plain_place(where, how):
    """Connections are plain because ENO is off, or because the server does not take part."""
    place = Place(where)
    if not ulp.PLAIN:
        ulp.enable(place.client, place.server, connect=int(how == "fell_back"), listen=0)
        defer(ulp.enable, place.client, place.server)
    return place


def connection(place, listener=None):
    listener = listener or place.listener()
    sock = place.connect(listener)
    sock.settimeout(20)
    listener.settimeout(20)
    return sock, accepted(listener)


def redirect_to(sockmap, key):
    """Whatever a socket of the map receives is sent out by the one at `key`."""
    code = bpf.load_map(2, sockmap.fd) + bpf.mov(3, key) + bpf.mov(4, 0) + bpf.call(bpf.FUNC_SK_REDIRECT_MAP) + bpf.EXIT
    program = bpf.program(bpf.PROG_TYPE_SK_SKB, code)
    bpf.attach(sockmap.fd, program, bpf.SK_SKB_STREAM_VERDICT)


@test(where=("veth4", "veth6", "lo4"), how=HOW)
def relay_of_plain_connections(where, how):
    """client - [in ==sockmap==> out] - server: what a proxy does without touching the data."""
    place = plain_place(where, how)
    client, inside = connection(place)
    outside, server = connection(place)
    sockmap = bpf.Sockmap()
    redirect_to(sockmap, 1)
    sockmap.add(0, inside)
    sockmap.add(1, outside)
    data = payload(100000)
    writer = Background(client.sendall, data)
    check(recv_exactly(server, len(data)) == data, "data")
    writer.join()
    # And out of the map they are ordinary again
    check(sockmap.has(0) and sockmap.has(1), "in the map")
    for one, two in ((client, inside), (inside, client), (outside, server), (server, outside)):
        one.sendall(b"by hand")
        equal(recv_exactly(two, 7), b"by hand")
    client.close()
    equal(recv_all(inside), b"")


@test(where=TWO + ("mapped",))
def encrypted_connection_is_refused(where):
    if ulp.PLAIN:
        return
    client, server = joined(where)
    sockmap = bpf.Sockmap()
    redirect_to(sockmap, 0)
    for key, sock in enumerate((client, server)):
        raises(errno.EOPNOTSUPP, sockmap.add, key, sock)
        check(not sockmap.has(key), "not in the map")
    for one, two in ((client, server), (server, client)):
        one.sendall(CANARY)
        equal(recv_exactly(two, len(CANARY)), CANARY)
    check(ulp.is_encrypted(client) and ulp.is_encrypted(server), "encrypted")


@test(where=TWO)
def listener_in_a_sockmap(where):
    """As for programs that choose a listener. Its connections work, and are out of the map."""
    place = Place(where)
    listener = place.listener()
    sockmap = bpf.Sockmap()
    sockmap.add(0, listener)
    client, server = connection(place, listener)
    for one, two in ((client, server), (server, client)):
        one.sendall(b"hello")
        equal(recv_exactly(two, 5), b"hello")
    equal(ulp.is_encrypted(client), ulp.is_encrypted(server), "encrypted on one side only")
    check(sockmap.has(0), "listener in the map")
    client, server = connection(place, listener)
    encrypted(client, server)


def cgroup():
    """The root of the cgroups, as a file descriptor."""
    path = tempfile.mkdtemp()
    defer(os.rmdir, path)
    net.run(["mount", "-t", "cgroup2", "none", path])
    defer(subprocess.run, ["umount", path])
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    defer(os.close, fd)
    return fd


def collect(sockmap, moment, key):
    """A program of the root cgroup puts each connection into the map at the moment that it is there."""
    code = (
        insn_load_word(2, 1, 0)  # r2 = ctx->op
        + bpf.insn(0x55, 2, 0, 7, moment)  # another one: to the end
        + bpf.insn(0x62, 10, 0, -4, key)  # *(u32 *)(fp - 4) = key
        + bpf.load_map(2, sockmap.fd)
        + bpf.mov_reg(3, 10)
        + bpf.insn(0x07, 3, imm=-4)
        + bpf.mov(4, 0)
        + bpf.call(bpf.FUNC_SOCK_MAP_UPDATE)
        + bpf.mov(0, 1)
        + bpf.EXIT
    )
    program = bpf.program(bpf.PROG_TYPE_SOCK_OPS, code)
    bpf.attach(cgroup(), program, bpf.CGROUP_SOCK_OPS)


def insn_load_word(dst, src, off):
    return bpf.insn(0x61, dst, src, off)


@test(where=TWO, moment=(bpf.ACTIVE_ESTABLISHED, bpf.PASSIVE_ESTABLISHED))
def program_that_collects_connections(where, moment):
    """Within TCP, before the application sees the connection: plain ones are taken, encrypted ones are not."""
    sockmap = bpf.Sockmap()
    collect(sockmap, moment, 3)
    for how in HOW:
        client, server = connection(plain_place(where, how))
        for one, two in ((client, server), (server, client)):
            one.sendall(b"plain")
            equal(recv_exactly(two, 5), b"plain")
        check(sockmap.has(3), "plain connection in the map")
    if ulp.PLAIN:
        return
    place = Place(where)
    client, server = connection(place.watch())
    encrypted(client, server)
    check(not sockmap.has(3), "encrypted connection not in the map")
    for one, two in ((client, server), (server, client)):
        one.sendall(CANARY)
        equal(recv_exactly(two, len(CANARY)), CANARY)


if __name__ == "__main__":
    main()
