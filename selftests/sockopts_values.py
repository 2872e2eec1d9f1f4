#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Each option by itself, on a socket to which the ULP was attached: the values that it takes and those that it refuses,
their lengths, and pointers to nowhere. A set that fails changes nothing."""

import ctypes
import errno
import socket
import struct

from lib import net, ulp
from lib.harness import FAMILIES, check, defer, equal, main, raises, test
from lib.options import (
    ALL,
    BAD,
    FACTS,
    INTS,
    LISTS,
    NAMES,
    WISHES,
    get,
    getsockopt,
    in_header,
    put,
    setsockopt,
    wishes,
)


def fresh(family=4):
    sock = net.pair().a.socket(family)
    defer(sock.close)
    return sock


def attached(family=4):
    sock = fresh(family)
    ulp.attach(sock)
    return sock


def label(option):
    return NAMES[option]


def aeads(*identifiers):
    """An array of __u16 in the host's byte order."""
    return struct.pack("%dH" % len(identifiers), *identifiers)


RIGHT = {
    ulp.TCP_CRYPT_NORESUME: (1, 0),
    ulp.TCP_CRYPT_NOCACHE: (1, 0),
    ulp.TCP_CRYPT_RESUME_NONCE_LEN: (0, 5, 8),
    ulp.TCP_ENO_ENABLED: (0, -1, 1),
    ulp.TCP_ENO_SELF_AWARE: (1, 2, 0),
    ulp.TCP_ENO_ROLEOVERRIDE: (1, 0),
    ulp.TCP_ENO_SELF_GOPT: (1, 2, 3, 0),
    ulp.TCP_ENO_MANDATORY: (1, 0),
    ulp.TCP_ENO_TEPS: (b"\x24", b"\x21\x23", b"\x22\x24\x23\x21", b"\x23"),
    # One TEP, two with a global suboption, data with a length byte and without, and as long as can be.
    ulp.TCP_ENO_RAW: (b"\x20", b"\x03\x21\x7f", b"\x81\xa0ab\xa1", b"\xa0" + bytes(37), b"\x00", b""),
    ulp.TCP_CRYPT_ACONF: (aeads(1), aeads(2, 16), aeads(16, 1, 2)),
    ulp.TCP_CRYPT_BCONF: (aeads(16), aeads(16, 2, 1)),
}

WRONG = {
    ulp.TCP_CRYPT_NORESUME: (2, -1),
    ulp.TCP_CRYPT_NOCACHE: (2, -1),
    ulp.TCP_CRYPT_RESUME_NONCE_LEN: (9, -1, 256),
    ulp.TCP_ENO_ENABLED: (2, -2, 1 << 30),
    ulp.TCP_ENO_SELF_AWARE: (3, -1, 256),
    ulp.TCP_ENO_ROLEOVERRIDE: (2, -1),
    ulp.TCP_ENO_SELF_GOPT: (4, 8, 0x10, 0x20, 0x83, -1, 256),
    ulp.TCP_ENO_MANDATORY: (2, -1),
    # A global suboption, a reserved value, one that is unknown, the "v" bit, one twice, one right and one wrong.
    ulp.TCP_ENO_TEPS: (b"\x00", b"\x1f", b"\x7f", b"\xa3", b"\x23\x23", b"\x23\x7f", b"\x23" * 40),
    # Reserved bits, two global suboptions, lengths beyond the end, a length byte before what can have none, too long.
    ulp.TCP_ENO_RAW: (b"\x04\x20", b"\x01\x01\x20", b"\x80\xa0", b"\x85\xa0ab", b"\x80", b"\x80\x20a", bytes([0x20]) * 39),
    ulp.TCP_CRYPT_ACONF: (aeads(0), aeads(3), aeads(0x100), aeads(1, 1), aeads(1, 2, 16, 1), b"\x01", b"\x01\0\x02"),
    ulp.TCP_CRYPT_BCONF: (aeads(0xFFFF), aeads(2, 2), aeads(16, 7), bytes(3), aeads(*range(40))),
}


@test(family=FAMILIES)
def plain_socket_has_none_of_them(family):
    sock = fresh(family)
    check(set(ALL) <= set(in_header()), "options of the header")
    for option in in_header():
        raises(errno.ENOPROTOOPT, get, sock, option)
        # TCP looks at the length first, and takes no value shorter than an int.
        raises(errno.ENOPROTOOPT, put, sock, option, bytes(4))


@test(family=FAMILIES)
def what_is_read_before_anything_was_set(family):
    sock = attached(family)
    equal(wishes(sock), {option: default for option, (default, _) in WISHES.items()})
    for option in FACTS:
        raises(errno.ENOTCONN, get, sock, option)


@test(family=FAMILIES, option=tuple(map(label, WISHES)))
def value_is_read_back(family, option):
    option = getattr(ulp, option)
    sock = attached(family)
    before = wishes(sock)
    for value in RIGHT[option]:
        put(sock, option, value)
        equal(get(sock, option), value)
    # SELF_GOPT is another view of two, and all are back at their defaults but the lists.
    changed = {other for other, value in wishes(sock).items() if value != before[other]}
    check(changed <= {option}, "changed as well: %s" % [NAMES[other] for other in changed])


@test(family=FAMILIES, option=tuple(map(label, WISHES)))
def wrong_value_is_refused(family, option):
    option = getattr(ulp, option)
    sock = attached(family)
    put(sock, option, WISHES[option][1])
    before = wishes(sock)
    for value in WRONG[option]:
        raises(errno.EINVAL, put, sock, option, value)
        equal(wishes(sock), before)


@test(family=FAMILIES, option=tuple(map(label, INTS)))
def int_takes_four_bytes(family, option):
    option = getattr(ulp, option)
    sock = attached(family)
    before = wishes(sock)
    value = struct.pack("i", WISHES[option][1])
    for length in range(4):
        raises(errno.EINVAL, put, sock, option, value[:length])
    equal(wishes(sock), before)
    put(sock, option, value + b"more")
    equal(get(sock, option), WISHES[option][1])


@test(family=FAMILIES)
def facts_cannot_be_set(family):
    sock = attached(family)
    for option in FACTS:
        raises(errno.ENOPROTOOPT, put, sock, option, 1)


@test(family=FAMILIES)
def numbers_between_them_are_not_options(family):
    sock = attached(family)
    for option in set(range(6890, 6940)) - set(in_header()):
        raises(errno.ENOPROTOOPT, get, sock, option)
        raises(errno.ENOPROTOOPT, put, sock, option, 0)
        raises(errno.ENOPROTOOPT, sock.setsockopt, socket.SOL_SOCKET, option, 0)


@test(family=FAMILIES, option=tuple(map(label, WISHES)))
def buffer_of_getsockopt(family, option):
    """One that is too short is EINVAL, in a longer one only the value is written, and its length is told."""
    option = getattr(ulp, option)
    sock = attached(family)
    put(sock, option, WISHES[option][0])
    value = get(sock, option)
    value = struct.pack("i", value) if option in INTS else value
    for room in range(len(value) + 8):
        buffer = ctypes.create_string_buffer(b"\xee" * 64, 64)
        error, length = getsockopt(sock, option, ctypes.addressof(buffer), room)
        if room < len(value):
            equal((error, buffer.raw), (errno.EINVAL, b"\xee" * 64), "room %d" % room)
        else:
            equal((error, length), (0, len(value)), "room %d" % room)
            equal(buffer.raw, value.ljust(64, b"\xee"))
    equal(getsockopt(sock, option, ctypes.addressof(buffer), -1)[0], errno.EINVAL, "negative")


@test(family=FAMILIES, option=tuple(map(label, WISHES)))
def pointers_to_nowhere(family, option):
    option = getattr(ulp, option)
    sock = attached(family)
    before = wishes(sock)
    value = WISHES[option][1]
    length = len(value) or 1 if option in LISTS else 4
    for pointer in (BAD, 0):
        equal(setsockopt(sock, option, pointer, length), errno.EFAULT, "set")
        equal(wishes(sock), before)
    equal(setsockopt(sock, option, BAD, -1), errno.EINVAL, "negative length")
    put(sock, option, b"\x20" if option == ulp.TCP_ENO_RAW else WISHES[option][0])
    equal(getsockopt(sock, option, BAD, 256)[0], errno.EFAULT, "get")
    buffer = ctypes.create_string_buffer(256)
    equal(getsockopt(sock, option, ctypes.addressof(buffer), None)[0], errno.EFAULT, "length")


@test(family=FAMILIES)
def pointer_to_nothing_is_an_empty_value(family):
    sock = attached(family)
    for option in LISTS:
        put(sock, option, RIGHT[option][0])
        for pointer in (0, BAD):
            equal(setsockopt(sock, option, pointer, 0), 0, NAMES[option])
    for option in INTS:
        equal(setsockopt(sock, option, 0, 0), errno.EINVAL, NAMES[option])


# What two options have to do with each other


@test
def empty_list_of_teps_turns_eno_off():
    sock = attached()
    put(sock, ulp.TCP_ENO_TEPS, b"")
    equal((get(sock, ulp.TCP_ENO_TEPS), get(sock, ulp.TCP_ENO_ENABLED)), (b"", 0))
    # Another list undoes it.
    put(sock, ulp.TCP_ENO_TEPS, b"\x23")
    equal((get(sock, ulp.TCP_ENO_TEPS), get(sock, ulp.TCP_ENO_ENABLED)), (b"\x23", 1))


@test(value=(1, -1, 0))
def enabled_brings_the_default_list_of_teps_back(value):
    sock = attached()
    put(sock, ulp.TCP_ENO_TEPS, b"")
    put(sock, ulp.TCP_ENO_ENABLED, value)
    equal((get(sock, ulp.TCP_ENO_TEPS), get(sock, ulp.TCP_ENO_ENABLED)), (b"\x23", value))


@test(option=("TCP_CRYPT_ACONF", "TCP_CRYPT_BCONF"), family=FAMILIES)
def empty_list_of_aeads_is_that_of_the_namespace(option, family):
    ns, sysctl = net.pair().a, "ipv4." + option.lower().replace("crypt_", "crypt.")
    option = getattr(ulp, option)
    defer(ns.sysctl, sysctl, ulp.ALL_AEADS)
    sock = attached(family)
    for _ in range(2):
        ns.sysctl(sysctl, "aes256-gcm aes128-gcm")
        equal(get(sock, option), aeads(2, 1))
        ns.sysctl(sysctl, "chacha20-poly1305")
        equal(get(sock, option), aeads(16))
        put(sock, option, aeads(1))
        ns.sysctl(sysctl, "aes256-gcm")
        equal(get(sock, option), aeads(1), "its own")
        put(sock, option, b"")
        equal(get(sock, option), aeads(2), "the namespace's again")


@test
def global_suboption_is_a_view_of_two_options():
    sock = attached()
    for aware in (0, 1, 2):
        for role in (0, 1):
            put(sock, ulp.TCP_ENO_SELF_AWARE, aware)
            put(sock, ulp.TCP_ENO_ROLEOVERRIDE, role)
            equal(get(sock, ulp.TCP_ENO_SELF_GOPT), (2 if aware else 0) | role)
    for byte in (0, 1, 2, 3):
        put(sock, ulp.TCP_ENO_SELF_GOPT, byte)
        equal((get(sock, ulp.TCP_ENO_SELF_AWARE), get(sock, ulp.TCP_ENO_ROLEOVERRIDE)), (byte >> 1, byte & 1))
    # Who demands an aware peer goes on to do so, unless the bit is cleared.
    put(sock, ulp.TCP_ENO_SELF_AWARE, 2)
    put(sock, ulp.TCP_ENO_SELF_GOPT, 3)
    equal(get(sock, ulp.TCP_ENO_SELF_AWARE), 2)
    put(sock, ulp.TCP_ENO_SELF_GOPT, 1)
    equal(get(sock, ulp.TCP_ENO_SELF_AWARE), 0)


@test
def raw_contents_have_a_global_suboption_of_their_own():
    sock = attached()
    put(sock, ulp.TCP_ENO_SELF_GOPT, 3)
    for contents, byte in ((b"\x20", 0), (b"\x02\x20", 2), (b"\x20\x01", 1)):
        put(sock, ulp.TCP_ENO_RAW, contents)
        equal(get(sock, ulp.TCP_ENO_SELF_GOPT), byte)
    put(sock, ulp.TCP_ENO_RAW, b"")
    equal(get(sock, ulp.TCP_ENO_SELF_GOPT), 3)


if __name__ == "__main__":
    main()
