#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tens of thousands of mutated SYN, SYN-ACK and ACK segments at listeners and at connecting sockets.

Whatever comes, each answer is the one of RFC 8547, the kernel's log stays silent (selftests/run looks), plain and
encrypted connections work afterwards and no memory is lost. TCPCRYPT_SEED repeats a run.
"""

import os
import socket
import struct

from lib import memory, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, HEAVY, check, defer, equal, main, test
from lib.mutate import MAYBE, NO, YES, Mutator, answered, eno_of, offered, packet
from lib.peerhost import accepted, connected, host
from peer import eno
from peer.tcp import ACK, FIN, PSH, RST, SYN, options_list

SEED = int(os.environ.get("TCPCRYPT_SEED") or int.from_bytes(os.urandom(4), "big"))
ROUNDS = 200 if HEAVY else 6
SYNS = 256  # in a round
SOCKETS = 64

NOTHING_LINGERS = struct.pack("ii", 1, 0)
ENOUGH = 4  # addresses of the other side


class Wire:
    """The TUN device without the peer's TCP: packets in and out as they are."""

    def __init__(self, family, label):
        stack = host().stack
        self.family, self.fd = family, stack.fd
        self.mutator = Mutator("%d %s %d" % (SEED, label, family))
        self.random = self.mutator.random
        self.kernel = stack.kernel_address(family)
        base = stack.address(family)
        self.sources = [base[:-1] + bytes([base[-1] + 10 + number]) for number in range(ENOUGH)]
        self.sent, self.port = 0, 1024

    def send(self, source, sport, dport, seq, ack, flags, options=b"", **other):
        self.write(packet(source, self.kernel, sport, dport, seq, ack, flags, options, **other))

    def write(self, raw):
        self.sent += 1
        try:
            os.write(self.fd, raw)
        except OSError:  # EINVAL: the device takes no packet without a whole IP header
            pass

    def receive(self):
        """Each TCP segment that the kernel sent: (source of ours, its port, kernel's port, seq, ack, flags, options)"""
        found = []
        while True:
            try:
                raw = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            if self.family == 4:
                if raw[0] != 0x45 or raw[9] != 6:
                    continue
                to, at = raw[16:20], 20
            else:
                if raw[0] >> 4 != 6 or raw[6] != 6:
                    continue
                to, at = raw[24:40], 40
            kport, port, seq, ack, doff, flags = struct.unpack_from("!HHIIBB", raw, at)
            found.append((to, port, kport, seq, ack, flags, raw[at + 20 : at + (doff >> 4) * 4]))

    def mutated(self, key, flags, seq, ack, options):
        """One with the header changed too."""
        source, sport, dport = key
        wrong = self.mutator.header(flags, seq, ack)
        self.send(source, sport, dport, wrong.pop("seq"), wrong.pop("ack"), wrong.pop("flags"), options, **wrong)


def refuses(options):
    """Whether a kernel may drop an otherwise good segment for its options: timestamps that it never sent, signatures,
    and a list that does not end well."""
    listed = options_list(options)
    rest = options[sum(len(raw) for _, raw in listed) :]
    return rest[:1] not in (b"", b"\0") or any(kind in (8, 19, 29) for kind, _ in listed)


def wrong(what, options, seen):
    return AssertionError("seed %d: %s with options %s: %s" % (SEED, what, options.hex(), seen))


# A listener


def listener_round(wire, listener, port, must):
    """SYNs, and then whatever to each that was answered."""
    random, mutator = wire.random, wire.mutator
    asked = {}
    # No port comes twice: a request that outlived its reset would answer as it did before.
    base, wire.port = wire.port, wire.port + SYNS
    for number in range(SYNS):
        source = random.choice(wire.sources)
        seq, options = random.getrandbits(32), mutator.options()
        key = (source, base + number, port)
        if mutator.often(0.25):
            wire.mutated(key, SYN, seq, 0, options)
            asked[key] = (seq, None)
        else:
            data = bytes(random.choice((1, 500))) if mutator.often(0.1) else b""
            wire.send(*key, seq, 0, SYN, options, payload=data)
            asked[key] = (seq, options)
    answers = {}
    for *key, seq, ack, flags, options in wire.receive():
        key = tuple(key)
        if flags & (SYN | ACK | RST) == SYN | ACK and key in asked and key not in answers:
            answers[key] = (seq, ack, options)
    outcomes = {}
    for key, (seq, ack, options) in answers.items():
        _, offer = asked[key]
        if offer is not None:
            judge_synack(offer, options)
        outcomes[key] = third_segments(wire, key, ack, seq + 1, eno_of(options))
    taken = accept_all(listener, outcomes, must)
    wire.receive()
    for key, (seq, ack, _) in answers.items():
        wire.send(*key, ack, seq + 1, RST)
    wire.receive()
    return len(answers), taken


def judge_synack(offer, options):
    expected, found = offered(offer), eno_of(options)
    if expected == NO and found not in ([], [eno.option(1)]):
        raise wrong("SYN", offer, "answered by %s" % found[0].hex())
    answers = [[eno.synack_option(identifier)] for identifier in range(0x21, 0x25)]
    if expected == YES and found not in answers or expected == MAYBE and found not in answers + [[]]:
        raise wrong("SYN", offer, "answered by %s" % [raw.hex() for raw in found])


def third_segments(wire, key, seq, ack, answer):
    """Some segments to a request. (Whether a child must be encrypted, the options that say so), None if there is no
    telling."""
    random, mutator = wire.random, wire.mutator
    expected = None
    if mutator.often(0.15):
        wire.send(*key, seq, ack, RST)
        return None
    options = b"\x01\x01" + eno.NON_SYN if mutator.often(0.3) else mutator.options()
    if mutator.often(0.6):
        wire.send(*key, seq, ack, ACK | random.choice((0, PSH)), options, payload=bytes(random.choice((0, 0, 5, 200))))
        if not refuses(options):
            expected = (bool(answer and eno_of(options)), options)
    else:
        wire.mutated(key, ACK, seq, ack, options)
    if mutator.often(0.3):
        wire.mutated(key, ACK | random.choice((PSH, SYN, FIN, 0)), seq, ack, mutator.options())
    return expected


def accept_all(listener, outcomes, must):
    """Judges the children, and resets them. must: plain ones must not be there."""
    count = 0
    while True:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return count
        with sock:
            count += 1
            source = socket.inet_pton(sock.family, address[0])
            key = (source, address[1], listener.getsockname()[1])
            expected = outcomes.get(key)
            has_ulp = ulp.ulp_name(sock) == b"tcpcrypt"
            if must and not has_ulp:
                raise AssertionError("seed %d: plain child of %r" % (SEED, key))
            if expected is not None and has_ulp != expected[0]:
                raise wrong("first ACK", expected[1], "%s child of %r" % ("encrypted" if has_ulp else "plain", key))
            sock.setblocking(False)
            try:
                sock.recv(4096)
            except OSError:
                pass
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOTHING_LINGERS)


def listen(family, setup):
    sock = host().listener(family, setup, backlog=4096)
    sock.setblocking(False)
    return sock, sock.getsockname()[1]


# Connecting sockets


def connecting_round(wire, setup):
    """Sockets in connect(), and then SYN-ACKs or crossing SYNs, and whatever after them."""
    random, mutator = wire.random, wire.mutator
    socks = {}
    port = random.randrange(1024, 60000)
    for number in range(SOCKETS):
        sock = host().ns.socket(wire.family)
        if setup:
            setup(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOTHING_LINGERS)
        source = random.choice(wire.sources)
        try:
            sock.connect((socket.inet_ntop(sock.family, source), port))
        except BlockingIOError:
            pass
        socks[source, port, sock.getsockname()[1]] = sock
    syns = {}
    for *key, seq, ack, flags, options in wire.receive():
        if flags & (SYN | ACK) == SYN:
            equal(eno_of(options), [eno.syn_option(eno.TEP_X25519)], "option of the SYN")
            syns[tuple(key)] = seq + 1
    expected, isns = {}, {}
    for key, ack in syns.items():
        seq = isns[key] = random.getrandbits(32)
        options = mutator.options(passive=True)
        if mutator.often(0.5):
            wire.send(*key, seq, ack, SYN | ACK, options)
            expected[key] = options
            continue
        wire.mutated(key, SYN | ACK if mutator.often(0.7) else SYN, seq, ack, options)
        if mutator.often(0.7):
            wire.send(*key, seq, ack, SYN | ACK, mutator.options(passive=True))
    judged = 0
    for *key, seq, ack, flags, options in wire.receive():
        if flags & (SYN | ACK | RST) == ACK and tuple(key) in expected:
            judged += 1
            judge_ack(expected.pop(tuple(key)), options)
    for key, ack in syns.items():
        for _ in range(random.choice((1, 1, 2))):
            wire.mutated(key, ACK | random.choice((0, PSH, FIN, SYN)), isns[key] + 1, ack, mutator.options())
    wire.receive()
    for sock in socks.values():
        for call in (lambda: sock.send(b"x"), lambda: sock.recv(4096)):
            try:
                call()
            except OSError:
                pass
    for key, ack in syns.items():
        wire.send(*key, isns[key] + 1, ack, RST | ACK)
    for sock in socks.values():
        sock.close()
    wire.receive()
    return len(syns), judged


def judge_ack(synack, options):
    expected, found = answered(synack), eno_of(options)
    if expected == YES and found != [eno.NON_SYN] or expected == NO and found:
        raise wrong("SYN-ACK", synack, "acknowledged with %s" % [raw.hex() for raw in found])


# The tests


def works_as_before(family):
    """Encrypted and plain, in both roles, and nothing of the flood is left."""
    for active in (True, False):
        sock, peer = host().opened(family, active)
        sock.sendall(b"encrypted")
        equal(peer.recv(9), b"encrypted")
        peer.send(b"back")
        equal(recv_exactly(sock, 4), b"back")
        equal(ulp.session_id(sock), peer.secrets.session_id, "session ID")
    sock, peer = host().connect(family)
    peer.handshake_plain()
    connected(sock)
    listener = host().listener(family)
    other = host().peer_connect(listener, family)
    other.handshake_plain()
    for one, its_peer in ((sock, peer), (accepted(listener), other)):
        one.sendall(b"plain")
        equal(its_peer.tcp.read(5), b"plain")
        its_peer.tcp.send_data(b"back")
        equal(recv_exactly(one, 4), b"back")


def quiet(ns):
    """Settings for a flood, put back at the end."""
    for name, value in (
        ("ipv4.tcp_syncookies", 0),
        ("ipv4.tcp_max_syn_backlog", 16384),
        ("core.somaxconn", 4096),
        ("ipv4.tcp_challenge_ack_limit", 2147483647),
    ):
        defer(ns.sysctl, name, ns.sysctl(name))
        ns.sysctl(name, value)


def flood(family, label, a_round):
    """Rounds of it, and the same memory as after the first ones."""
    ns = host().ns
    quiet(ns)
    wire = Wire(family, label)
    for _ in range(2):
        a_round(wire)
    established = ulp.counters(ns)["Established"]
    with memory.Unchanged(ns, slack=100):
        results = [a_round(wire) for _ in range(ROUNDS)]
    equal(ulp.counters(ns)["Established"], established, "established connections")
    print("# seed %d: %d segments, answered and judged %s" % (SEED, wire.sent, [sum(r) for r in zip(*results)]))
    return results


def mandatory(sock):
    ulp.attach(sock)
    ulp.set_option(sock, ulp.TCP_ENO_MANDATORY, 1)


HOW = {"default": None, "attached": ulp.attach, "mandatory": mandatory}


@test(family=FAMILIES, how=tuple(HOW), timeout=3000)
def listener_gets_mutated_segments(family, how):
    sock, port = listen(family, HOW[how])
    must = how == "mandatory"
    with ulp.Counting(host().ns) as count:
        results = flood(family, "listener " + how, lambda wire: listener_round(wire, sock, port, must))
        check(count("PassiveEncrypted") > ROUNDS, "many negotiations succeeded: %s" % count.grown())
    answered_, taken = (sum(r) for r in zip(*results))
    check(answered_ > ROUNDS * SYNS / (10 if must else 2), "many SYNs were answered: %d" % answered_)
    check(taken > answered_ / 10, "many handshakes came to an end: %d" % taken)
    sock.close()
    works_as_before(family)


@test(family=FAMILIES, how=("default", "attached"), timeout=3000)
def connecting_sockets_get_mutated_segments(family, how):
    results = flood(family, "connect " + how, lambda wire: connecting_round(wire, HOW[how]))
    opened, judged = (sum(r) for r in zip(*results))
    check(opened == ROUNDS * SOCKETS, "SYNs: %d" % opened)
    check(judged > opened / 4, "many SYN-ACKs were judged: %d" % judged)
    works_as_before(family)


if __name__ == "__main__":
    main()
