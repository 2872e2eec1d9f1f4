#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The Python peer is sound: it talks with a plain kernel TCP, with a second peer, and its options and keys add up.

Runs without the module.
"""

import os

from lib import net
from lib.data import recv_exactly
from lib.harness import FAMILIES, Background, check, equal, main, skip, test
from lib.peerhost import accepted, connected, host
from peer import agreement, crypt, eno, tcp
from peer.peer import Peer


@test(module=False, family=FAMILIES)
def plain_kernel_connects(family):
    sock, peer = host().connect(family)
    peer.handshake_plain()
    connected(sock)
    sock.sendall(b"x" * 5000)
    equal(peer.tcp.read(5000), b"x" * 5000)
    peer.tcp.send_data(b"y" * 5000)
    equal(recv_exactly(sock, 5000), b"y" * 5000)
    sock.shutdown(net.socket.SHUT_WR)
    peer.tcp.wait_fin()
    peer.tcp.send_fin()
    equal(sock.recv(1), b"", "end of file")


@test(module=False, family=FAMILIES)
def plain_kernel_accepts(family):
    listener = host().listener(family)
    peer = host().peer_connect(listener, family)
    peer.handshake_plain()
    sock = accepted(listener)
    data = os.urandom(300000)
    sender = Background(sock.sendall, data)
    equal(peer.tcp.read(len(data)), data)
    sender.join()
    receiver = Background(recv_exactly, sock, len(data))
    peer.tcp.send_data(data)
    equal(receiver.join(), data)


@test(module=False)
def plain_kernel_sees_lost_segments_again():
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.tcp.RTO = 0.05
    peer.send_syn(option=None, lose=True)
    peer.wait_synack()
    peer.send_ack()
    sock = accepted(listener)
    peer.tcp.lose(peer.tcp.segment(tcp.ACK, b"lost"))
    peer.tcp.wait_acked()
    equal(sock.recv(4), b"lost")


class Wire:
    """Two stacks without a device: what one sends the other receives."""

    def __init__(self, number):
        self.connections, self.other, self.queue = [], None, []
        self.number = number

    def address(self, family):
        return bytes([10, 0, 0, self.number]) if family == 4 else bytes(15) + bytes([self.number])

    def kernel_address(self, family):
        return self.other.address(family)

    random_iss = staticmethod(lambda: int.from_bytes(os.urandom(4), "big"))

    def send(self, segment):
        self.other.queue.append(segment.to_packet())

    def pump(self, timeout=0):
        for wire in (self, self.other):
            while wire.queue:
                segment = tcp.Segment.from_packet(wire.queue.pop(0))
                for connection in wire.connections:
                    if connection.wants(segment):
                        connection.on_segment(segment)
        return False

    drain = pump


def two_peers(family, tep=eno.TEP_X25519):
    one, two = Wire(1), Wire(2)
    one.other, two.other = two, one
    passive = Peer.passive(two, family, 80)
    active = Peer.active(one, family, 80)
    active.teps = passive.teps = (tep,)
    active.send_syn()
    passive.wait_syn()
    passive.send_synack()
    active.wait_synack()
    active.send_ack()
    check(passive.wait_ack().option(eno.KIND), "third segment has the option")
    active.negotiate()
    passive.negotiate()
    return active, passive


@test(module=False, family=FAMILIES, aead=tuple(crypt.AEADS))
def two_peers_agree(family, aead):
    active, passive = two_peers(family)
    equal((active.role, passive.role), ("A", "B"), "roles")
    equal(active.transcript, bytes([69, 3, 0x23, 69, 4, 1, 0x23]), "transcript")
    active.send_init(ciphers=[aead], sizes=[1, 7, 30])
    passive.read_init()
    passive.send_init()
    active.read_init()
    active.derive()
    passive.derive()
    equal(active.secrets.session_id, passive.secrets.session_id, "session ID")
    equal(active.secrets.session_id[0], 0x23, "its first byte")
    for sender, receiver in ((active, passive), (passive, active)):
        for size in (0, 1, 65518):
            data = os.urandom(size)
            sender.send(data)
            equal(receiver.read_frame().data, data)
        sender.finish(b"end")
        equal(receiver.wait_end(), b"end")


@test(module=False, tep=tuple(agreement.SCHEMES))
def two_peers_agree_by_every_tep(tep):
    active, passive = two_peers(4, tep)
    active.send_init()
    passive.read_init()
    passive.send_init()
    active.read_init()
    active.derive()
    passive.derive()
    equal(active.secrets.session_id, passive.secrets.session_id, "session ID")
    equal(active.secrets.session_id[0], tep, "its first byte")
    active.send(b"frame")
    equal(passive.recv(5), b"frame")


@test(module=False, tep=(("p256", 0x21), ("p521", 0x22), ("x448", 0x24)))
def known_answers_of_every_tep_come_out_the_same(tep):
    name, identifier = tep
    known = known_answers()

    def of(key):
        return known["%s.%s" % (name, key)]

    byte, _, transcript = eno.negotiate(of("a_option"), of("b_option"), (identifier,))
    first, second = crypt.Init1.parse(of("init1"), identifier), crypt.Init2.parse(of("init2"), identifier)
    equal((first.public, second.public), (of("public_a"), of("public_b")), "public keys")
    secrets = crypt.Secrets(known["n_a"], transcript, of("init1"), of("init2"), of("es"), byte, second.cipher)
    equal(secrets.session_id, of("session_id.0"), "session ID")
    equal(secrets.master(0), of("mk.0"), "mk[0]")


@test(module=False)
def rekeyed_frames_open():
    active, passive = two_peers(4)
    active.send_init()
    passive.read_init()
    passive.send_init()
    active.read_init()
    active.derive()
    passive.derive()
    active.send(b"old")
    active.tx.rekey()
    active.send(b"new", control=crypt.REKEY)
    equal(passive.recv(6), b"oldnew")
    equal(passive.rx.generation, 1, "generation")


@test(module=False)
def expand_is_hkdf():
    """Test case 1 of RFC 5869."""
    prk = crypt.extract(bytes(range(13)), b"\x0b" * 22)
    equal(prk.hex(), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    okm = crypt.cprf(prk, bytes(range(0xF0, 0xFA)), 42)
    equal(okm.hex(), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")


def known_answers():
    """Those of the protocol core's tests, which were computed by something else than this peer."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "proto", "kat", "vectors.txt")
    if not os.path.exists(path):
        skip("no vectors")
    with open(path) as file:
        pairs = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {name: bytes.fromhex(value) for name, value in pairs}


@test(module=False, aead=(("aes128-gcm", 1), ("aes256-gcm", 2), ("chacha20-poly1305", 16)))
def known_answers_come_out_the_same(aead):
    name, identifier = aead
    known = known_answers()

    def of(key):
        return known["%s.%s" % (name, key)]

    tep, _, transcript = eno.negotiate(of("a_option"), of("b_option"))
    secrets = crypt.Secrets(known["n_a"], transcript, of("init1"), of("init2"), of("es"), tep, identifier)
    equal(crypt.Init2.parse(of("init2")).cipher, identifier, "cipher of Init2")
    equal(secrets.ss[0], of("prk"), "PRK")
    equal(secrets.session_id, of("session_id.0"), "session ID")
    for i in range(3):
        equal(secrets.session_secret(i), of("ss.%d" % i), "ss[%d]" % i)
        equal(secrets.master(i), of("mk.%d" % i), "mk[%d]" % i)
        for sender, direction in (("A", "k_ab"), ("B", "k_ba")):
            key = (of("%s.%d.key" % (direction, i)), of("%s.%d.nr" % (direction, i)))
            equal(secrets.traffic(sender, i), key, "%s[%d]" % (direction, i))
    for sender, direction in (("A", "ab"), ("B", "ba")):
        for offset in (0, 95, 2**32 + 5, 2**64 - 1):
            for frame, flags, data in (("data", 0, b"hello, world"), ("empty", 0, b""), ("fin_data", crypt.FINP, b"bye")):
                sealed = crypt.Direction(secrets, sender, offset).seal(data, flags)
                equal(sealed, of("frame.%s.%s.%016x" % (frame, direction, offset)), "frame")
                equal(crypt.Direction(secrets, sender, offset).open(sealed).data, data, "opened")


@test(module=False)
def options_parse_by_the_rfc():
    def subs(*contents):
        return [(s.glt, s.v, s.data) for s in eno.parse(eno.option(*contents))]

    equal(subs(0x23), [(0x23, 0, b"")])
    equal(subs(1, 0x23), [(1, 0, b""), (0x23, 0, b"")])
    equal(subs(0xA3, b"abc"), [(0x23, 1, b"abc")])
    equal(subs(0x82, 0xA3, b"abc", 0x21), [(0x23, 1, b"abc"), (0x21, 0, b"")])
    for wrong in ((0x84, 0xA3, b"abc"), (0x80, 0x23, 1), (0x80, 0x83, 1), (0x80,), (0x80, 0xA3)):
        try:
            eno.parse(eno.option(*wrong))
        except eno.Malformed:
            continue
        raise AssertionError("accepted %r" % (wrong,))


@test(module=False)
def last_common_tep_of_b_wins():
    a = eno.option(0x21, 0x23)
    equal(eno.negotiate(a, eno.option(1, 0x23, 0x24), (0x21, 0x23))[0], 0x23)
    equal(eno.negotiate(a, eno.option(1, 0x23, 0x21), (0x21, 0x23))[0], 0x21)
    for b in (a, eno.option(1), eno.option(1, 0x30)):
        try:
            eno.negotiate(a, b)
        except eno.Disabled:
            continue
        raise AssertionError("negotiated with %s" % b.hex())


if __name__ == "__main__":
    main()
