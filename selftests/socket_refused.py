#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What an encrypted connection cannot offer fails with a clear errno, and never shows ciphertext or sends plaintext."""

import ctypes
import errno
import mmap
import os
import socket
import struct

from lib import ulp
from lib.data import CANARY, recv_exactly
from lib.harness import check, defer, equal, main, test, until
from lib.pair import TWO, joined

CLEAR = (errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EINVAL, errno.EPERM, errno.ENODEV, errno.EACCES, errno.EBUSY)

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_ZEROCOPY_RECEIVE, IPV6_ADDRFORM = 19, 20, 35, 1


def refused(function, *arguments, also=()):
    try:
        value = function(*arguments)
    except OSError as error:
        check(error.errno in CLEAR + tuple(also), "errno of %s" % error)
        return
    raise AssertionError("not refused: %r" % (value,))


def still_works(a, b):
    """And still encrypted."""
    a.sendall(CANARY)
    equal(recv_exactly(b, len(CANARY)), CANARY)
    b.sendall(b"back")
    equal(recv_exactly(a, 4), b"back")
    check(ulp.is_encrypted(a) and ulp.is_encrypted(b), "encrypted")


@test(where=TWO)
def zero_copy_receive(where):
    a, b = joined(where)
    a.sendall(CANARY * 500)
    until(lambda: len(b.recv(5000, socket.MSG_PEEK)) == 5000, what="data")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    address = libc.mmap(None, 65536, mmap.PROT_READ, mmap.MAP_SHARED, b.fileno(), 0)
    if address != ctypes.c_void_p(-1).value:
        request = bytearray(struct.pack("QIIiIQIIQI", address, 65536, 0, 0, 0, 0, 0, 0, 0, 0) + bytes(4))
        refused(b.getsockopt, socket.IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, len(request))
        seen = ctypes.create_string_buffer(bytes(request))
        size = ctypes.c_int(len(request))
        result = libc.getsockopt(b.fileno(), socket.IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, seen, ctypes.byref(size))
        check(result == -1 and ctypes.get_errno() in CLEAR, "getsockopt: %d, %d" % (result, ctypes.get_errno()))
    equal(recv_exactly(b, len(CANARY) * 500), CANARY * 500)
    still_works(a, b)


@test(where=TWO)
def repair_mode(where):
    a, b = joined(where)
    refused(a.setsockopt, socket.IPPROTO_TCP, TCP_REPAIR, 1)
    refused(a.setsockopt, socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, 1)
    still_works(a, b)


@test(where=TWO)
def out_of_band_data(where):
    a, b = joined(where)
    refused(a.send, b"!", socket.MSG_OOB)
    refused(b.recv, 1, socket.MSG_OOB, also=(errno.EAGAIN,))
    still_works(a, b)


@test(where=TWO)
def another_ulp(where):
    a, b = joined(where)
    for name in (b"tls", b"mptcp", b"tcpcrypt"):
        try:
            a.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ULP, name)
        except OSError as error:
            check(error.errno in (errno.EEXIST, errno.ENOENT, errno.EPERM) + CLEAR, "errno of %s" % error)
        else:
            check(name == b"tcpcrypt", "took %r" % name)
        equal(ulp.ulp_name(a), b"tcpcrypt", "ULP")
    still_works(a, b)


@test
def addrform_of_a_mapped_socket():
    a, b = joined("mapped")
    try:
        a.setsockopt(socket.IPPROTO_IPV6, IPV6_ADDRFORM, socket.AF_INET)
    except OSError:
        pass
    still_works(a, b)


@test
def listening_on_it():
    a, b = joined()
    refused(a.listen)
    still_works(a, b)


@test
def disconnect_by_connect_to_nothing():
    """Refused, or done completely: never a socket that talks plaintext to the old peer."""
    a, b = joined()
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = ctypes.create_string_buffer(socket.AF_UNSPEC.to_bytes(2, "little") + bytes(14))
    if libc.connect(a.fileno(), nothing, 16):
        check(ctypes.get_errno() in CLEAR, "errno %d" % ctypes.get_errno())
        still_works(a, b)
        return
    try:
        a.send(CANARY)
    except OSError as error:
        check(error.errno in (errno.EPIPE, errno.ENOTCONN, errno.ECONNRESET), "errno of %s" % error)
    else:
        raise AssertionError("sent without a connection")
    check(not ulp.is_encrypted(a), "no session")


@test(where=TWO)
def ordinary_options_still_work(where):
    """What has nothing to do with the payload is TCP's as before."""
    a, b = joined(where)
    for level, name, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 100),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30000),
        (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 65536),
    ):
        a.setsockopt(level, name, value)
        equal(a.getsockopt(level, name), value, "option %d" % name)
    for value in (b"reno", b"cubic"):
        try:
            a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, value)
        except OSError as error:
            equal(error.errno, errno.ENOENT)
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100000)
    check(len(a.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)) > 100, "TCP_INFO")
    check(a.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) > 500, "TCP_MAXSEG")
    equal(a.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), socket.IPPROTO_TCP)
    still_works(a, b)


if __name__ == "__main__":
    main()
