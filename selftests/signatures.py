#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""TCP-MD5 and TCP-AO beside ENO: nothing may be added to what they sign, so that such connections are plain and work."""

import errno
import socket

from lib import net, ulp
from lib.capture import segments
from lib.data import payload, recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, raises, test
from lib.pair import encrypted
from lib.peerhost import accepted
from lib.tcp_auth import KIND, SIGN, md5
from peer import eno

HOW = tuple(SIGN)


def hosts():
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    return pair


def listening(pair, family, setup=None):
    sock = pair.b.socket(family)
    defer(sock.close)
    sock.bind((pair.address("b", family), 0))
    if setup:
        setup(sock)
    sock.listen()
    sock.settimeout(20)
    return sock


def connecting(pair, family, listener, setup=None, address=None):
    sock = pair.a.socket(family)
    defer(sock.close)
    sock.bind((address or pair.address("a", family), 0))
    if setup:
        setup(sock)
    sock.settimeout(20)
    sock.connect(listener.getsockname()[:2])
    return sock


def both_ways(one, two):
    data = payload(200000)
    for source, target in ((one, two), (two, one)):
        writer = Background(source.sendall, data)
        check(recv_exactly(target, len(data)) == data, "data")
        writer.join()


def is_plain(*socks):
    check(not any(map(ulp.is_encrypted, socks)), "plain")
    equal([ulp.ulp_name(s) for s in socks], [b""] * len(socks), "ULP")


@test(family=FAMILIES, how=HOW)
def signed_on_both_sides(family, how):
    pair, sign = hosts(), SIGN[how]
    with segments(pair.a) as seen:
        listener = listening(pair, family, lambda s: sign(s, pair.address("a", family)))
        sock = connecting(pair, family, listener, lambda s: sign(s, pair.address("b", family)))
        other = accepted(listener)
        both_ways(sock, other)
        is_plain(sock, other)
        sock.shutdown(socket.SHUT_WR)
        equal(recv_all(other), b"")
    mine = seen(listener.getsockname()[1])
    check(all(len(s.option(KIND[how])) == 1 for s in mine), "every segment is signed")
    check(not any(s.option(eno.KIND) for s in mine), "no ENO option")


@test(family=FAMILIES, how=HOW)
def wrong_key_connects_nobody(family, how):
    pair, sign = hosts(), SIGN[how]
    listener = listening(pair, family, lambda s: sign(s, pair.address("a", family)))
    listener.settimeout(0)
    sock = pair.a.socket(family)
    defer(sock.close)
    sign(sock, pair.address("b", family), b"another")
    sock.settimeout(2.5)
    try:
        sock.connect(listener.getsockname()[:2])
        raise AssertionError("connected")
    except OSError:
        pass
    try:
        listener.accept()
        raise AssertionError("accepted")
    except BlockingIOError:
        pass


@test(family=FAMILIES, how=HOW)
def listener_with_a_key_for_somebody_else(family, how):
    """Who needs no signature gets plain TCP: a listener that signs answers no offer."""
    pair, sign = hosts(), SIGN[how]
    other_address = "10.77.0.77" if family == 4 else "fd77::77"
    listener = listening(pair, family, lambda s: sign(s, other_address))
    sock = connecting(pair, family, listener)
    other = accepted(listener)
    both_ways(sock, other)
    is_plain(sock, other)


@test(family=FAMILIES, how=HOW)
def client_with_a_key_for_somebody_else(family, how):
    """MD5 lets it connect, plain; TCP-AO refuses."""
    pair, sign = hosts(), SIGN[how]
    listener = listening(pair, family)
    other_address = "10.77.0.77" if family == 4 else "fd77::77"
    if how == "ao":
        raises(errno.EKEYREJECTED, connecting, pair, family, listener, lambda s: sign(s, other_address))
        return
    sock = connecting(pair, family, listener, lambda s: sign(s, other_address))
    other = accepted(listener)
    both_ways(sock, other)
    is_plain(sock, other)


@test(family=FAMILIES)
def signed_from_the_middle_of_a_connection_on(family):
    """Programs may begin to sign when the connection is there: encrypted ones are signed and go on."""
    pair = hosts()
    listener = listening(pair, family)
    sock = connecting(pair, family, listener)
    other = accepted(listener)
    both_ways(sock, other)
    encrypted(sock, other)
    md5(sock, pair.address("b", family))
    md5(other, pair.address("a", family))
    with segments(pair.a) as seen:
        both_ways(sock, other)
    mine = [s for s in seen(listener.getsockname()[1]) if s.payload]
    check(mine and all(len(s.option(KIND["md5"])) == 1 for s in mine), "every segment is signed")


@test(family=FAMILIES, how=HOW)
def explicit_wish_gives_way(family, how):
    """The program asked for the ULP and for signatures: plain, and signed."""
    pair, sign = hosts(), SIGN[how]

    def both(address):
        def setup(sock):
            if not ulp.PLAIN:
                ulp.attach(sock)
            sign(sock, address)

        return setup

    listener = listening(pair, family, both(pair.address("a", family)))
    sock = connecting(pair, family, listener, both(pair.address("b", family)))
    other = accepted(listener)
    both_ways(sock, other)
    is_plain(sock, other)


if __name__ == "__main__":
    main()
