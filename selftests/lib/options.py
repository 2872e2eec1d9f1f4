# SPDX-License-Identifier: GPL-2.0
"""The table of socket options (include/uapi/linux/tcp_eno.h), and the two system calls without Python's help."""

import ctypes
import os
import re
import socket
import struct

from . import ulp

# Options that can be set: what is read on a socket to which the ULP was attached just now, and another value.
# The two last are read from the namespace as long as they were not set.
WISHES = {
    ulp.TCP_ENO_ENABLED: (1, -1),
    ulp.TCP_ENO_SELF_AWARE: (0, 2),
    ulp.TCP_ENO_ROLEOVERRIDE: (0, 1),
    ulp.TCP_ENO_SELF_GOPT: (0, 3),
    ulp.TCP_ENO_MANDATORY: (0, 1),
    ulp.TCP_CRYPT_NORESUME: (0, 1),
    ulp.TCP_CRYPT_NOCACHE: (0, 1),
    ulp.TCP_CRYPT_RESUME_NONCE_LEN: (8, 3),
    ulp.TCP_ENO_TEPS: (b"\x23", b""),
    ulp.TCP_ENO_RAW: (b"", b"\x20"),
    ulp.TCP_CRYPT_ACONF: (struct.pack("HHH", 1, 2, 16), struct.pack("HH", 16, 1)),
    ulp.TCP_CRYPT_BCONF: (struct.pack("HHH", 1, 2, 16), struct.pack("H", 2)),
}

INTS = tuple(option for option, values in WISHES.items() if isinstance(values[0], int))
LISTS = tuple(option for option in WISHES if option not in INTS)

# What came of it: ENOTCONN where nothing did. Those of the second line need keys.
NEGOTIATED = (
    ulp.TCP_ENO_NEGTEP,
    ulp.TCP_ENO_ROLE,
    ulp.TCP_ENO_PEER_AWARE,
    ulp.TCP_ENO_PEER_GOPT,
    ulp.TCP_ENO_TRANSCRIPT,
)
KEYED = (ulp.TCP_ENO_SESSID, ulp.TCP_CRYPT_CONF, ulp.TCP_CRYPT_RESUMED)
FACTS = NEGOTIATED + KEYED

ALL = tuple(WISHES) + FACTS

NAMES = {number: name for name, number in vars(ulp).items() if name.startswith(("TCP_ENO_", "TCP_CRYPT_"))}


def in_header():
    """All options, from the header that applications use: {number: name}."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../include/uapi/linux/tcp_eno.h")) as file:
        found = re.findall(r"^#define (TCP_(?:ENO|CRYPT)_\w+)\s+(69\d\d)$", file.read(), re.M)
    return {int(number): name for name, number in found}


def get(sock, option):
    """The value as int or bytes."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, option, 256)
    is_bytes = option in LISTS or option in (ulp.TCP_ENO_TRANSCRIPT, ulp.TCP_ENO_SESSID)
    return raw if is_bytes else struct.unpack("i", raw)[0]


def put(sock, option, value):
    sock.setsockopt(socket.IPPROTO_TCP, option, value)


def wishes(sock):
    """All that can be set, as it is read: {option: value}."""
    return {option: get(sock, option) for option in WISHES}


def error_of(function, *arguments):
    """0 or the errno."""
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    return 0


_libc = ctypes.CDLL(None, use_errno=True)


def setsockopt(sock, option, pointer, length):
    """The errno of the system call with these arguments, 0 for success."""
    result = _libc.setsockopt(
        sock.fileno(), socket.IPPROTO_TCP, option, ctypes.c_void_p(pointer), ctypes.c_uint(length & 0xFFFFFFFF)
    )
    return ctypes.get_errno() if result else 0


def getsockopt(sock, option, pointer, length):
    """(errno, length) of the system call; length None: a bad pointer to the length."""
    room = ctypes.c_int(length or 0)
    where = ctypes.c_void_p(BAD) if length is None else ctypes.byref(room)
    result = _libc.getsockopt(sock.fileno(), socket.IPPROTO_TCP, option, ctypes.c_void_p(pointer), where)
    return (ctypes.get_errno() if result else 0, room.value)


# An address at which no process has memory.
BAD = os.sysconf("SC_PAGESIZE") // 2
