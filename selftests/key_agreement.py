#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""All four TEPs (RFC 8548 section 5): agreement with the peer and among ourselves, and public keys that are refused."""

import errno
import socket
import struct

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, equal, main, raises, test
from lib.pair import EVERYWHERE, joined
from lib.peerhost import host, wait_sessid
from peer import agreement
from peer.eno import TEP_P256, TEP_P521, TEP_X448, TEP_X25519

TEPS = (TEP_P256, TEP_P521, TEP_X25519, TEP_X448)
NIST = (TEP_P256, TEP_P521)
ROLES = (True, False)


def negotiates(*teps):
    """A socket that offers or accepts these, best first."""

    def setup(sock):
        ulp.attach(sock)
        sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ENO_TEPS, bytes(teps))

    return setup


def handshaken(family, active, tep):
    return host().handshaken(family, active, negotiates(tep), (tep,))


def both_ways(sock, peer):
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    sock.sendall(b"from the kernel")
    equal(peer.recv(15), b"from the kernel")
    peer.send(b"from the peer")
    equal(recv_exactly(sock, 13), b"from the peer")


@test(family=FAMILIES, active=ROLES, tep=TEPS)
def kernel_and_peer_agree(family, active, tep):
    sock, peer = handshaken(family, active, tep)
    peer.exchange_keys()
    both_ways(sock, peer)
    equal(ulp.option(sock, ulp.TCP_ENO_NEGTEP), tep, "negotiated TEP")
    equal(peer.secrets.session_id[0], tep, "first byte of the session ID")


@test(where=EVERYWHERE, tep=TEPS)
def two_kernels_agree(where, tep):
    for ns in (net.solo(), net.pair().a, net.pair().b):
        ns.sysctl("ipv4.tcp_crypt.resume", 0)  # a session that is resumed agrees on nothing
    client, server = joined(where, negotiates(tep), negotiates(tep))
    for sock in (client, server):
        equal(ulp.option(sock, ulp.TCP_ENO_NEGTEP), tep, "negotiated TEP")
    equal(ulp.session_id(client), ulp.session_id(server), "session ID")
    client.sendall(b"request")
    equal(recv_exactly(server, 7), b"request")
    server.sendall(b"response")
    equal(recv_exactly(client, 8), b"response")


@test(family=FAMILIES, tep=TEPS)
def peer_chooses_from_what_the_kernel_offers(family, tep):
    sock, peer = host().handshaken(family, True, negotiates(*TEPS), (tep,))
    peer.exchange_keys()
    both_ways(sock, peer)


@test(family=FAMILIES, tep=TEPS)
def kernel_chooses_from_what_the_peer_offers(family, tep):
    """By its own preference, whatever the order of the offer."""
    others = [other for other in TEPS if other != tep]
    sock, peer = host().handshaken(family, False, negotiates(tep, *others), TEPS)
    peer.exchange_keys()
    both_ways(sock, peer)
    equal(peer.tep, tep, "negotiated TEP")


@test
def only_the_mandatory_tep_is_offered_unasked():
    _, peer = host().handshaken(4, True)
    equal(peer.other_option, bytes([69, 3, TEP_X25519]), "offer")


@test(active=ROLES, tep=NIST)
def points_of_both_signs_agree(active, tep):
    """What is compressed is the sign of y: both must come, from both sides."""
    seen = set()

    def agree():
        sock, peer = handshaken(4, active, tep)
        peer.exchange_keys()
        both_ways(sock, peer)
        seen.add(("kernel", peer.received_init.public[2]))
        seen.add(("peer", peer.keys.public[2]))
        return len(seen) == 4

    # One of 2^38 times it does not come to that.
    check(any(agree() for _ in range(40)), "both signs: %r" % seen)


@test(active=ROLES, tep=NIST)
def x_coordinate_with_leading_zeros(active, tep):
    sock, peer = handshaken(4, active, tep)
    # The first byte of P-521's has one bit.
    while peer.keys.public[3:5] > b"\0\xff":
        peer.keys = agreement.KeyPair(tep)
    peer.exchange_keys()
    both_ways(sock, peer)


@test(tep=TEPS)
def shared_secret_with_leading_zeros(tep):
    """It has the length of a coordinate nonetheless."""
    sock, peer = handshaken(4, True, tep)
    public = peer.read_init().public
    mask = 0xFF00 if tep != TEP_P521 else 0x1FF
    while struct.unpack("!H", peer.keys.shared(public)[:2])[0] & mask:
        peer.keys = agreement.KeyPair(tep)
    peer.send_init()
    peer.derive()
    both_ways(sock, peer)


class Curve:
    """y^2 = x^3 - 3x + b modulo p."""

    def __init__(self, p, b, length):
        self.p, self.b, self.length = p, b, length

    def has(self, x):
        """Whether there is a point with this x."""
        square = (x**3 - 3 * x + self.b) % self.p
        return pow(square, (self.p - 1) // 2, self.p) in (0, 1)

    def first(self, has, start=1):
        """The least x from `start` on that a point has, or has not."""
        return next(x for x in range(start, start + 1000) if self.has(x) == has)

    def encode(self, x, form=2):
        return struct.pack("!HB", 3 + self.length, form) + x.to_bytes(self.length, "big")


CURVES = {
    TEP_P256: Curve(
        2**256 - 2**224 + 2**192 + 2**96 - 1, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B, 32
    ),
    TEP_P521: Curve(
        2**521 - 1,
        int(
            "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF88"
            "3D2C34F1EF451FD46B503F00",
            16,
        ),
        66,
    ),
}


def bad_points(curve):
    good = curve.encode(curve.first(True))
    long = curve.length + 3
    yield "not_on_the_curve", curve.encode(curve.first(False))
    yield "not_on_the_curve_odd", curve.encode(curve.first(False), 3)
    # A point if it were reduced.
    yield "x_above_p", curve.encode(curve.first(True) + curve.p)
    yield "x_all_ones", curve.encode(256**curve.length - 1)
    yield "x_of_p", curve.encode(curve.p)
    for form in (0, 1, 4, 5, 6, 0x82, 0xFF):
        yield "form_%02x" % form, curve.encode(curve.first(True), form)
    for length in (0, 1, 2, long - 2, long - 1, long + 1, 0xFFFF):
        yield "pubkey_len_%d" % length, struct.pack("!H", length) + good[2:]
    uncompressed = b"\4" + bytes(2 * curve.length)
    yield "uncompressed", struct.pack("!H", 2 + len(uncompressed)) + uncompressed
    yield "infinity", struct.pack("!HB", 3, 0) + bytes(curve.length)
    yield "zeros", bytes(len(good))


def points(tep):
    """Points with coordinates that nobody comes upon by chance."""
    curve = CURVES[tep]
    yield curve.first(True)
    yield next(x for x in range(curve.p - 1, 0, -1) if curve.has(x))
    # There is such a point on P-256 too, but the kernel's formulas have no result for it.
    if tep == TEP_P521:
        yield 0


BAD = {(tep, name): key for tep, curve in CURVES.items() for name, key in bad_points(curve)}
# RFC 7748 section 6.2: the points of low order, also as they are before reduction.
P448 = 2**448 - 2**224 - 1
BAD |= {
    (TEP_X448, name): u.to_bytes(56, "little")
    for name, u in {"zero": 0, "one": 1, "minus_one": P448 - 1, "p": P448, "p_plus_one": P448 + 1}.items()
}


@test(family=FAMILIES, active=ROLES, case=tuple(BAD))
def bad_public_key_aborts(family, active, case):
    with ulp.Counting(host().ns) as count:
        sock, peer = handshaken(family, active, case[0])
        if active:
            peer.read_init()
        peer.send_init(public=BAD[case])
        raises(errno.EPROTO, sock.recv, 100)
        raises(errno.EPROTO, sock.recv, 100)
        peer.tcp.wait_rst()
        equal(count("HandshakeFailed"), 1, "counters %s" % count.grown())


@test(active=ROLES, tep=TEPS)
def public_key_of_another_length_aborts(active, tep):
    """Of the lengths that the other TEPs have: a message with one that is too short for it, or has a key of its own."""
    sock, peer = handshaken(4, active, tep)
    if active:
        peer.read_init()
    peer.send_init(public=peer.keys.public[:-1])
    raises(errno.EPROTO, sock.recv, 100)
    peer.tcp.wait_rst()


@test(active=ROLES, tep=NIST)
def smallest_and_largest_coordinates_are_accepted(active, tep):
    """What is refused above is refused for what is wrong with it."""
    for x in points(tep):
        for form in (2, 3):
            sock, peer = handshaken(4, active, tep)
            if active:
                peer.read_init()
            peer.send_init(public=CURVES[tep].encode(x, form))
            wait_sessid(sock)


if __name__ == "__main__":
    main()
