# SPDX-License-Identifier: GPL-2.0
"""The bpf() system call: sockmaps and small programs, without a compiler or library."""

import ctypes
import errno
import os
import struct

from .harness import defer, skip

SYS_BPF = 321
MAP_CREATE, MAP_UPDATE, MAP_DELETE, PROG_LOAD, PROG_ATTACH, PROG_DETACH = 0, 2, 3, 5, 8, 9
MAP_TYPE_SOCKMAP = 15
PROG_TYPE_SOCKET_FILTER, PROG_TYPE_SOCK_OPS, PROG_TYPE_SK_SKB = 1, 13, 14
CGROUP_SOCK_OPS, SK_SKB_STREAM_VERDICT = 3, 5
FUNC_SK_REDIRECT_MAP, FUNC_SOCK_MAP_UPDATE = 52, 53
# From enum in uapi/linux/bpf.h: the operations of a sock_ops program at which a connection is there
ACTIVE_ESTABLISHED, PASSIVE_ESTABLISHED = 4, 5

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def bpf(command, attributes):
    """The result; raises OSError."""
    buffer = ctypes.create_string_buffer(attributes.ljust(144, b"\0"), 144)
    result = _libc.syscall(SYS_BPF, command, buffer, 144)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "bpf(%d)" % command)
    return result


def insn(code, dst=0, src=0, off=0, imm=0):
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


def load_map(dst, fd):
    """The address of a map, in two instructions."""
    return insn(0x18, dst, 1, 0, fd) + insn(0)


def mov(dst, imm):
    return insn(0xB7, dst, imm=imm)


def mov_reg(dst, src):
    return insn(0xBF, dst, src)


def call(function):
    return insn(0x85, imm=function)


EXIT = insn(0x95)


def program(kind, code, expected_attach=0):
    """Its file descriptor, until the end of the test."""
    code_buffer = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(1 << 16)
    attributes = struct.pack(
        "IIQQIIQ", kind, len(code) // 8, ctypes.addressof(code_buffer), ctypes.addressof(licence), 1, len(log),
        ctypes.addressof(log),
    ) + struct.pack("II16sII", 0, 0, b"", 0, expected_attach)
    try:
        fd = bpf(PROG_LOAD, attributes)
    except OSError as error:
        raise AssertionError("%s: %s" % (error, log.value.decode(errors="replace"))) from error
    defer(os.close, fd)
    return fd


def attach(target, fd, kind):
    """To a map or a cgroup, until the end of the test."""
    bpf(PROG_ATTACH, struct.pack("IIII", target, fd, kind, 0))
    defer(bpf, PROG_DETACH, struct.pack("IIII", target, fd, kind, 0))


class Sockmap:
    def __init__(self, size=16):
        try:
            self.fd = bpf(MAP_CREATE, struct.pack("IIIII", MAP_TYPE_SOCKMAP, 4, 4, size, 0))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EINVAL, errno.ENOSYS):
                skip("no sockmap: %s" % error)
            raise
        defer(os.close, self.fd)

    def add(self, key, sock):
        number, value = ctypes.c_uint32(key), ctypes.c_uint32(sock.fileno())
        bpf(MAP_UPDATE, struct.pack("IxxxxQQQ", self.fd, ctypes.addressof(number), ctypes.addressof(value), 0))

    def has(self, key):
        """Takes it out, if it is in."""
        number = ctypes.c_uint32(key)
        try:
            bpf(MAP_DELETE, struct.pack("IxxxxQQQ", self.fd, ctypes.addressof(number), 0, 0))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL):
                return False
            raise
        return True
