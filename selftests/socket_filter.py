#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Filters that programs attach to their sockets (SO_ATTACH_FILTER, SO_ATTACH_BPF): they drop what they drop without the
module, and what they let through is encrypted as ever.
"""

import ctypes
import errno
import socket
import struct

from lib import bpf, ulp
from lib.data import payload, recv_exactly
from lib.harness import Background, check, defer, equal, main, raises, test
from lib.pair import TWO, Place, encrypted, joined
from lib.peerhost import accepted

SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER, SO_ATTACH_BPF = 26, 27, 44, 50

# Classic BPF on a TCP socket sees the segment from its TCP header on
RETURN, LOAD_HALF, JUMP_EQUAL = 0x06, 0x28, 0x15
PASS, DROP = (RETURN, 0, 0, 0xFFFFFFFF), (RETURN, 0, 0, 0)


def attach(sock, *instructions, option=SO_ATTACH_FILTER):
    code = b"".join(struct.pack("HBBI", *i) for i in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(buffer)))


def from_port(port):
    """Only segments from this source port."""
    return (LOAD_HALF, 0, 0, 0), (JUMP_EQUAL, 0, 1, port), PASS, DROP


def both_ways(one, two):
    data = payload(100000)
    for source, target in ((one, two), (two, one)):
        writer = Background(source.sendall, data)
        check(recv_exactly(target, len(data)) == data, "data")
        writer.join()


@test(where=TWO)
def filter_of_a_listener_is_inherited(where):
    """It lets one client in; the children have it too."""
    place = Place(where)
    listener = place.listener()
    listener.settimeout(20)
    wanted, other = place.client.socket(place.family), place.client.socket(place.family)
    for sock in (wanted, other):
        defer(sock.close)
        sock.bind(("", 0))
    attach(listener, *from_port(wanted.getsockname()[1]))
    other.setblocking(False)
    raises(errno.EINPROGRESS, other.connect, listener.getsockname()[:2])
    wanted.connect(listener.getsockname()[:2])
    server = accepted(listener)
    equal(server.getpeername()[1], wanted.getsockname()[1], "who was let in")
    encrypted(wanted, server)
    both_ways(wanted, server)
    server.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    both_ways(wanted, server)
    # The other one's SYN is sent again, and is let in when there is no filter
    listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    late = accepted(listener)
    other.settimeout(20)
    encrypted(other, late)
    both_ways(other, late)


@test(where=TWO)
def filter_of_a_client(where):
    place = Place(where)
    listener = place.listener()
    listener.settimeout(20)
    client = place.connect(listener, lambda sock: attach(sock, *from_port(listener.getsockname()[1])))
    client.setsockopt(socket.SOL_SOCKET, SO_LOCK_FILTER, 1)
    server = accepted(listener)
    encrypted(client, server)
    both_ways(client, server)
    raises(errno.EPERM, client.setsockopt, socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


@test(where=TWO)
def segments_that_a_filter_dropped_come_again(where):
    client, server = joined(where, watch=False)
    both_ways(client, server)
    attach(server, DROP)
    client.sendall(b"dropped at first")
    server.settimeout(0.5)
    try:
        raise AssertionError("received %r" % server.recv(100))
    except TimeoutError:
        pass
    server.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    server.settimeout(20)
    equal(recv_exactly(server, 16), b"dropped at first")
    both_ways(client, server)


@test(where=TWO)
def extended_bpf_filter(where):
    client, server = joined(where, watch=False)
    program = bpf.program(bpf.PROG_TYPE_SOCKET_FILTER, bpf.mov(0, 0x7FFFFFFF) + bpf.EXIT)
    for sock in (client, server):
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, program)
    both_ways(client, server)
    if not ulp.PLAIN:
        check(ulp.is_encrypted(client) and ulp.is_encrypted(server), "encrypted")


if __name__ == "__main__":
    main()
