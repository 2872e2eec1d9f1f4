#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Every violation in the key exchange aborts: EPROTO and a RST, sticky, seen by poll(), and never an end of file."""

import errno
import select
import socket
import struct

from lib import ulp
from lib.data import CANARY
from lib.harness import FAMILIES, Background, check, equal, main, raises, test, until
from lib.peerhost import accepted, host
from peer import crypt


def low_order():
    """Public keys of X25519 that force the all-zero shared secret (RFC 7748 section 6)."""
    one = (1).to_bytes(32, "little")
    p = (2**255 - 19).to_bytes(32, "little")
    p_plus_1 = (2**255 - 18).to_bytes(32, "little")
    order8 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
    return {"zero_key": bytes(32), "key_one": one, "key_p": p, "key_p_plus_1": p_plus_1, "key_of_order_8": order8}


def common(magic_of_the_other):
    return {
        "wrong_magic": dict(magic=0x15101A0F),
        "magic_of_the_other_message": dict(magic=magic_of_the_other),
        "length_zero": dict(length=0),
        "length_below_the_header": dict(length=7),
        "length_without_the_key": dict(length=60),
        "length_absurd": dict(length=0xFFFFFFFF),
        "length_of_a_mebibyte": dict(length=1 << 20),
    } | {name: dict(public=key) for name, key in low_order().items()}


INIT1 = common(crypt.INIT2_MAGIC) | {
    "no_ciphers": dict(ciphers=()),
    "unknown_ciphers": dict(ciphers=(0x7777, 0xFFFF, 0x0000)),
    "ciphers_beyond_the_message": dict(nciphers=255),
}

INIT2 = common(crypt.INIT1_MAGIC) | {
    "cipher_unknown": dict(cipher=0x7777),
    "cipher_zero": dict(cipher=0),
}


def is_dead(sock, expected=errno.EPROTO):
    """The error, by every way there is to notice it."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    until(lambda: dict(poll.poll(100)).get(sock.fileno(), 0) & select.POLLERR, what="POLLERR")
    raises(expected, sock.recv, 100)
    raises(expected, sock.recv, 100)
    try:
        sock.send(CANARY)
    except OSError as error:
        check(error.errno in (expected, errno.EPIPE), "send: %s" % error)
    else:
        raise AssertionError("send() after the error")
    raises(expected, sock.recv, 100, socket.MSG_PEEK)
    check(not ulp.is_encrypted(sock), "no session ID")
    check(dict(poll.poll(0)).get(sock.fileno(), 0) & select.POLLERR, "POLLERR stays")


@test(family=FAMILIES, case=tuple(INIT1))
def init1(family, case):
    with ulp.Counting(host().ns) as count:
        sock, peer = host().handshaken(family, False)
        peer.send_init(**INIT1[case])
        is_dead(sock)
        peer.tcp.wait_rst()
        equal(count("HandshakeFailed"), 1, "counters %s" % count.grown())


@test(family=FAMILIES, case=tuple(INIT2))
def init2(family, case):
    with ulp.Counting(host().ns) as count:
        sock, peer = host().handshaken(family, True)
        peer.read_init()
        peer.send_init(**INIT2[case])
        is_dead(sock)
        peer.tcp.wait_rst()
        equal(count("HandshakeFailed"), 1, "counters %s" % count.grown())


@test(family=FAMILIES)
def cipher_that_was_not_offered(family):
    ns = host().ns
    ns.sysctl("ipv4.tcp_crypt.aconf", "aes256-gcm")
    try:
        sock, peer = host().handshaken(family, True)
        peer.read_init()
        peer.send_init(cipher=crypt.AES_128_GCM)
        is_dead(sock)
        peer.tcp.wait_rst()
    finally:
        ulp.set_aead(ns)


@test
def no_common_cipher():
    ns = host().ns
    ns.sysctl("ipv4.tcp_crypt.bconf", "chacha20-poly1305")
    try:
        sock, peer = host().handshaken(4, False)
        peer.send_init(ciphers=(crypt.AES_128_GCM, crypt.AES_256_GCM))
        is_dead(sock)
        peer.tcp.wait_rst()
    finally:
        ulp.set_aead(ns)


@test(active=(True, False))
def plaintext_instead_of_an_init(active):
    """What a host behind a middlebox might send that lost only the ENO option of the third segment."""
    sock, peer = host().handshaken(4, active)
    peer.tcp.send_data(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
    is_dead(sock)
    peer.tcp.wait_rst()


@test
def nothing_that_was_queued_gets_out():
    """Plaintext that waited for the keys is dropped with them."""
    sock, peer = host().handshaken(4, True)
    sock.sendall(CANARY * 50)
    peer.read_init()
    peer.send_init(magic=1)
    is_dead(sock)
    peer.tcp.wait_rst()
    check(not any(CANARY in s.payload for s in peer.tcp.log), "no plaintext on the wire")


@test
def blocked_reader_gets_the_error():
    sock, peer = host().handshaken(4, True)
    sock.setblocking(True)
    reader = Background(sock.recv, 10)
    peer.read_init()
    peer.send_init(public=bytes(32))
    raises(errno.EPROTO, reader.join)


@test
def blocked_writer_gets_the_error():
    sock, peer = host().handshaken(4, True, lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192))
    sock.setblocking(True)
    writer = Background(sock.sendall, bytes(4 << 20))
    peer.read_init()
    peer.send_init(public=bytes(32))
    try:
        writer.join()
    except OSError as error:
        check(error.errno in (errno.EPROTO, errno.EPIPE), "error %s" % error)
    else:
        raise AssertionError("sendall() succeeded")


@test
def short_message_with_the_length_of_its_content():
    """message_len says that the public key is not there."""
    sock, peer = host().handshaken(4, False)
    body = bytes([1]) + struct.pack("!H", 1) + bytes(32) + bytes(31)
    peer.tcp.send_data(struct.pack("!II", crypt.INIT1_MAGIC, 8 + len(body)) + body)
    is_dead(sock)
    peer.tcp.wait_rst()


@test
def error_before_accept_is_found_after_it():
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.handshake()
    peer.send_init(public=bytes(32))
    peer.tcp.wait_acked()
    is_dead(accepted(listener))
    peer.tcp.wait_rst()


if __name__ == "__main__":
    main()
