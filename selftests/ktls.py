#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Kernel TLS beside ENO: on plain connections it works as without the module, also where an offer was made in vain; an
encrypted one has its ULP already.
"""

import errno
import os
import socket
import struct

from lib import ulp
from lib.data import CANARY, payload, recv_all, recv_exactly
from lib.harness import Background, check, defer, equal, main, raises, skip, test
from lib.pair import TWO, Place, encrypted
from lib.peerhost import accepted

SOL_TLS, TLS_TX, TLS_RX = 282, 1, 2
TLS_1_2, TLS_1_3, AES_GCM_128 = 0x0303, 0x0304, 51

# Which defaults are on: (connect, listen)
PLAIN = {"off": (0, 0), "client_offers": (1, 0), "server_would_answer": (0, 1)}


def connection(where, connect, listen):
    place = Place(where)
    if not ulp.PLAIN:
        ulp.enable(place.client, place.server, connect=connect, listen=listen)
        defer(ulp.enable, place.client, place.server)
    listener = place.listener()
    listener.settimeout(20)
    return place.connect(listener), accepted(listener)


def keys(version):
    """A struct tls12_crypto_info_aes_gcm_128."""
    return struct.pack("HH8s16s4s8s", version, AES_GCM_128, os.urandom(8), os.urandom(16), os.urandom(4), bytes(8))


def tls(sock):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ULP, b"tls")
    except OSError as error:
        if error.errno == errno.ENOENT:
            skip("no tls module")
        raise


@test(where=TWO + ("mapped",), plain=tuple(PLAIN), version=(TLS_1_2, TLS_1_3))
def records_on_a_plain_connection(where, plain, version):
    client, server = connection(where, *PLAIN[plain])
    client.sendall(b"STARTTLS")
    equal(recv_exactly(server, 8), b"STARTTLS")
    there, back = keys(version), keys(version)
    for sock, tx, rx in ((client, there, back), (server, back, there)):
        tls(sock)
        sock.setsockopt(SOL_TLS, TLS_TX, tx)
        sock.setsockopt(SOL_TLS, TLS_RX, rx)
        equal(ulp.ulp_name(sock), b"tls", "ULP")
        sock.settimeout(20)
    data = payload(100000)
    for one, two in ((client, server), (server, client)):
        writer = Background(one.sendall, data)
        check(recv_exactly(two, len(data)) == data, "data")
        writer.join()
    client.shutdown(socket.SHUT_WR)
    equal(recv_all(server), b"")


@test(where=TWO + ("mapped",))
def encrypted_connection_has_a_ulp(where):
    if ulp.PLAIN:
        return
    client, server = connection(where, 1, 1)
    encrypted(client, server)
    for sock in (client, server):
        raises(errno.EEXIST, sock.setsockopt, socket.IPPROTO_TCP, ulp.TCP_ULP, b"tls")
        raises(errno.ENOPROTOOPT, sock.setsockopt, SOL_TLS, TLS_TX, keys(TLS_1_3))
        equal(ulp.ulp_name(sock), b"tcpcrypt", "ULP")
    for one, two in ((client, server), (server, client)):
        one.sendall(CANARY)
        equal(recv_exactly(two, len(CANARY)), CANARY)


@test(where=TWO)
def before_there_is_a_connection(where):
    """ENOTCONN, as without the module; and the socket connects all the same."""
    place = Place(where)
    listener = place.listener()
    sock = place.client.socket(place.family)
    defer(sock.close)
    raises(errno.ENOTCONN, tls, sock)
    raises(errno.ENOTCONN, tls, listener)
    sock.connect(listener.getsockname()[:2])
    other = accepted(listener)
    sock.sendall(b"hello")
    equal(recv_exactly(other, 5), b"hello")
    encrypted(sock, other)


if __name__ == "__main__":
    main()
