#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A middlebox between two hosts with the module: it strips, echoes, changes, drops, cuts. Plain TCP works in every case
that RFC 8547 can detect; tampering that it cannot detect ends in an error, never in plaintext or an end of file.
"""

import errno
import socket
import subprocess

from lib import ulp
from lib.bridge import blanked, middlebox, pass_on, without
from lib.data import payload, recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, skip, test, until
from lib.pair import encrypted
from peer import eno
from peer.tcp import ACK, PSH, SYN, Segment

STRIP = {"removed": without, "overwritten": blanked}


def connection(family, rule, timeout=15):
    """(client, server) through the middlebox with this rule."""
    box = middlebox()
    defer(setattr, box, "rule", pass_on)
    listener = box.b.socket(family)
    defer(listener.close)
    listener.bind((box.address("b", family), 0))
    listener.listen()
    port = listener.getsockname()[1]
    # What is left of earlier connections is not counted
    box.rule = lambda segment, to_b: rule(segment, to_b) if port in (segment.sport, segment.dport) else [segment]
    client = box.a.socket(family)
    defer(client.close)
    client.settimeout(timeout)
    client.connect(listener.getsockname()[:2])
    listener.settimeout(timeout)
    server, _ = listener.accept()
    defer(server.close)
    server.settimeout(timeout)
    return client, server


def both_ways(client, server):
    client.sendall(b"request" * 1000)
    equal(recv_exactly(server, 7000), b"request" * 1000)
    server.sendall(b"answer" * 1000)
    equal(recv_exactly(client, 6000), b"answer" * 1000)
    client.shutdown(socket.SHUT_WR)
    equal(recv_all(server), b"")
    server.close()
    equal(recv_all(client), b"")


def is_plain(*socks):
    check(not any(map(ulp.is_encrypted, socks)), "plain on both sides")
    equal([ulp.ulp_name(s) for s in socks], [b""] * len(socks), "ULP")


@test(family=FAMILIES)
def nothing_touched(family):
    """The middlebox itself is no obstacle."""
    client, server = connection(family, lambda segment, to_b: [segment])
    encrypted(client, server)
    both_ways(client, server)


@test(family=FAMILIES, how=tuple(STRIP))
def option_stripped_from_the_syn(family, how):
    def rule(segment, to_b):
        return [STRIP[how](segment, eno.KIND) if segment.flags & (SYN | ACK) == SYN else segment]

    client, server = connection(family, rule)
    is_plain(client, server)
    both_ways(client, server)


@test(family=FAMILIES, how=tuple(STRIP))
def option_stripped_from_the_synack(family, how):
    def rule(segment, to_b):
        return [STRIP[how](segment, eno.KIND) if segment.has(SYN | ACK) else segment]

    client, server = connection(family, rule)
    is_plain(client, server)
    both_ways(client, server)


@test(family=FAMILIES)
def option_stripped_from_everything(family):
    client, server = connection(family, lambda segment, to_b: [without(segment, eno.KIND)])
    is_plain(client, server)
    both_ways(client, server)


@test(family=FAMILIES, all_of_them=(False, True))
def option_stripped_from_the_ack_only(family, all_of_them):
    """RFC 8547 section 9, failures of type 2: the server is plain, the client encrypts and fails with an error."""
    done = []

    def rule(segment, to_b):
        if to_b and not segment.has(SYN) and (all_of_them or not done):
            done.append(1)
            without(segment, eno.KIND)
        return [segment]

    with ulp.Counting(middlebox().b) as count:
        client, server = connection(family, rule)
        check(not ulp.is_encrypted(server), "server is plain")
        equal(count("FallbackNoAck"), 1, "counters %s" % count.grown())
        client.sendall(b"must not be seen")
        received = recv_exactly(server, 8)
        equal(received[:4], bytes.fromhex("15101a0e"), "the server sees Init1")
        server.sendall(b"220 I speak first\r\n")
        try:
            data = client.recv(100)
        except OSError as error:
            check(error.errno in (errno.EPROTO, errno.ECONNRESET), "error %s" % error)
        else:
            raise AssertionError("client received %r" % data)
        check(b"must not" not in received, "no plaintext of the client")


@test(family=FAMILIES)
def option_echoed_by_a_load_balancer(family):
    """The server has no ENO; unknown options of the SYN come back in the SYN-ACK."""
    box, kept = middlebox(), []
    ulp.enable(box.b, connect=0, listen=0)
    defer(ulp.enable, box.b)

    def rule(segment, to_b):
        if segment.flags & (SYN | ACK) == SYN:
            kept[:] = segment.option(eno.KIND)
        elif segment.has(SYN | ACK) and kept:
            segment.options = segment.options + b"\x01" + kept[0]
        return [segment]

    client, server = connection(family, rule)
    is_plain(client, server)
    both_ways(client, server)


def fails_at_both_ends(client, server):
    for sock in (client, server):
        try:
            sock.sendall(b"hello")
        except OSError:
            pass
    for sock in (client, server):
        try:
            data = sock.recv(100)
        except OSError as error:
            check(error.errno in (errno.EBADMSG, errno.ECONNRESET, errno.ECONNABORTED, errno.EPROTO), str(error))
        else:
            raise AssertionError("received %r" % data)


@test(family=FAMILIES)
def changed_offer_is_noticed(family):
    """Another TEP in the SYN: the negotiation transcripts differ, so do the keys."""

    def rule(segment, to_b):
        if segment.flags & (SYN | ACK) == SYN:
            without(segment, eno.KIND)
            segment.options = segment.options + eno.option(0x21, 0x23)
        return [segment]

    fails_at_both_ends(*connection(family, rule))


@test(family=FAMILIES)
def changed_answer_is_noticed(family):
    """The application-aware bit set on the way."""

    def rule(segment, to_b):
        if segment.has(SYN | ACK):
            segment.options = segment.options.replace(eno.option(1, 0x23), eno.option(3, 0x23))
        return [segment]

    fails_at_both_ends(*connection(family, rule))


def cut(segment, size):
    """In pieces of `size`; PSH and FIN on the last."""
    if len(segment.payload) <= size or segment.has(SYN):
        return [segment]
    pieces = []
    for at in range(0, len(segment.payload), size):
        last = at + size >= len(segment.payload)
        pieces.append(
            Segment(
                segment.src,
                segment.dst,
                segment.sport,
                segment.dport,
                segment.seq + at,
                segment.ack,
                segment.flags if last else segment.flags & ~(PSH | 1),
                segment.window,
                segment.options,
                segment.payload[at : at + size],
            )
        )
    return pieces


@test(family=FAMILIES, size=(1, 7, 100))
def segments_cut_anew(family, size):
    client, server = connection(family, lambda segment, to_b: cut(segment, size))
    encrypted(client, server)
    if size > 1:
        both_ways(client, server)
        return
    client.sendall(b"one by one")
    equal(recv_exactly(server, 10), b"one by one")


@test(timeout=120)
def each_early_segment_lost_in_turn():
    """The first, second, ... tenth segment of a connection never arrives the first time."""
    data = payload(3000)
    for number in range(1, 11):
        counter = iter(range(1, 1 << 30))

        def rule(segment, to_b):
            return [] if next(counter) == number else [segment]

        client, server = connection(4, rule)
        client.sendall(data)
        check(recv_exactly(server, 3000) == data, "data without segment %d" % number)
        server.sendall(data)
        check(recv_exactly(client, 3000) == data, "data back without segment %d" % number)
        encrypted(client, server)
        client.close()
        server.close()


@test
def each_segment_twice():
    client, server = connection(4, lambda segment, to_b: [segment, segment])
    encrypted(client, server)
    both_ways(client, server)


@test
def flags_that_are_not_protected():
    """URG set and PSH cleared on the way change nothing for the reader."""

    def rule(segment, to_b):
        if segment.payload:
            segment.flags = (segment.flags | 0x20) & ~PSH
            segment.urgent = 3
        return [segment]

    client, server = connection(4, rule)
    encrypted(client, server)
    both_ways(client, server)


@test
def fin_injected_by_an_attacker():
    """A forged FIN in sequence is no end of file."""
    client, server = connection(4, lambda segment, to_b: [segment])
    encrypted(client, server)
    client.sendall(b"first")
    equal(recv_exactly(server, 5), b"first")
    armed = [True]
    # The frame with "second", not one with "first" that TCP sends again: a FIN there would be an old one.
    length = 3 + 1 + len(b"second") + 16

    def rule(segment, to_b):
        if to_b and len(segment.payload) == length and armed:
            armed.clear()
            segment.payload, segment.flags = b"", segment.flags | 1
        return [segment]

    middlebox().rule = rule
    client.sendall(b"second")
    try:
        data = recv_exactly(server, 6)
    except OSError as error:
        check(error.errno in (errno.ECONNABORTED, errno.EBADMSG, errno.ECONNRESET), str(error))
    else:
        raise AssertionError("server read %r" % data)


@test
def bit_flipped_by_an_attacker():
    client, server = connection(4, lambda segment, to_b: [segment])
    encrypted(client, server)

    def rule(segment, to_b):
        if to_b and len(segment.payload) > 30:
            changed = bytearray(segment.payload)
            changed[-1] ^= 1
            segment.payload = bytes(changed)
        return [segment]

    middlebox().rule = rule
    client.sendall(b"x" * 1000)
    try:
        server.recv(10)
    except OSError as error:
        equal(error.errno, errno.EBADMSG)
    else:
        raise AssertionError("accepted")
    until(lambda: error_of(client), what="error at the client")


def error_of(sock):
    try:
        sock.recv(1)
    except OSError as error:
        return error.errno
    raise AssertionError("end of file")


@test(where=("output of a", "output of b"))
def nftables_resets_the_option(where):
    """The same by an unmodified firewall in one of the hosts."""
    ns = middlebox().a if where.endswith("a") else middlebox().b
    rules = "table inet strip { chain out { type filter hook output priority 300; reset tcp option 69; }; }"
    try:
        done = ns.command(["nft", rules], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output = done.communicate()[0]
    except FileNotFoundError:
        skip("no nft")
    if done.returncode:
        skip("nft: %s" % output.strip().splitlines()[0])
    defer(ns.run, "nft delete table inet strip")
    client, server = connection(4, pass_on)
    is_plain(client, server)
    both_ways(client, server)


@test(family=FAMILIES)
def transfer_through_the_middlebox(family):
    client, server = connection(family, lambda segment, to_b: [segment])
    encrypted(client, server)
    data = payload(500000)
    writer = Background(lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
    check(recv_all(server) == data, "data")
    writer.join()


if __name__ == "__main__":
    main()
