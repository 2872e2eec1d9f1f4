#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Suboptions on the wire (RFC 8547 4.1, 4.2, 4.4, 4.5): what a listener answers and what a connecting socket accepts,
for every byte and every length at each place, in every order of preference, and up to the full option space.
"""

import itertools
import socket

from lib import ulp
from lib.harness import FAMILIES, check, equal, main, test
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno
from peer.peer import Peer
from peer.tcp import OPT_NOP, mss_option, pad

X25519, P256, P521, X448 = 0x23, 0x21, 0x22, 0x24
ANSWER = [eno.synack_option(X25519)]
LONGEST_DATA = 17  # of a tcpcrypt suboption: half an identifier, and a nonce


def wants(*teps):
    """In order of preference."""

    def setup(sock):
        ulp.attach(sock)
        sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ENO_TEPS, bytes(teps))

    return setup


def ask(listener, family, offer, options=None):
    """The ENO options of the SYN-ACK to this offer."""
    peer = Peer.active(host().stack, family, listener.getsockname()[1])
    try:
        peer.send_syn(offer, pad(offer) if options is None else options)
        return peer.wait_synack().option(eno.KIND)
    finally:
        peer.close()


def answers(family, expected, setup=None):
    """expected: {offer: whether it is accepted}"""
    listener = host().listener(family, setup, backlog=1024)
    for offer, accepts in expected.items():
        found = ask(listener, family, offer)
        check(found == ANSWER if accepts else found in ([], [eno.option(1)]), "%s: %s" % (offer.hex(), found))


def connects(family, expected, setup=None):
    """expected: {option of the SYN-ACK: TEP or None}"""
    for answer, tep in expected.items():
        sock, peer = host().connect(family, setup)
        peer.wait_syn()
        peer.send_synack(answer, pad(answer))
        found = peer.wait_ack().option(eno.KIND)
        equal(found, [eno.NON_SYN] if tep else [], "option of the ACK to %s" % answer.hex())
        connected(sock)
        if tep:
            equal(ulp.option(sock, ulp.TCP_ENO_NEGTEP), tep, "TEP of %s" % answer.hex())
        else:
            equal(ulp.ulp_name(sock), b"", "ULP after %s" % answer.hex())
        peer.close()
        sock.close()


# Each byte at each place


@test(family=FAMILIES)
def every_byte_before_the_tep_of_a_syn(family):
    def accepts(byte):
        if byte < 0x20:
            return not byte & 1
        if byte < 0x80:
            return byte != X25519  # there twice
        return byte == 0x80 | X25519  # a length byte before a suboption without data, or data up to the end

    answers(family, {eno.option(byte, X25519): accepts(byte) for byte in range(256)})


@test(family=FAMILIES)
def every_byte_after_a_length_byte_of_a_syn(family):
    answers(family, {eno.option(X25519, 0x80, b, 0x55): b >= 0xA0 and b & 0x7F != X25519 for b in range(256)})


@test(family=FAMILIES)
def every_global_suboption_of_a_syn(family):
    """Only b of the first one counts."""
    several = {eno.option(first, X25519, 1, 0x1F): not first & 1 for first in range(0x20)}
    behind = {eno.option(X25519, only): not only & 1 for only in range(0x20)}
    answers(family, {**several, **behind})


@test(family=FAMILIES)
def every_byte_before_the_tep_of_a_synack(family):
    def accepts(byte):
        return byte < 0x80 and byte != X25519

    connects(family, {eno.option(1, byte, X25519): X25519 if accepts(byte) else None for byte in range(256)})


@test(family=FAMILIES)
def every_global_suboption_of_a_synack(family):
    several = {eno.option(first, X25519, first ^ 1): X25519 if first & 1 else None for first in range(0x20)}
    behind = {eno.option(X25519, only): X25519 if only & 1 else None for only in range(0x20)}
    connects(family, {**several, **behind})


# Lengths


@test(family=FAMILIES)
def every_length_of_a_length_byte(family):
    """n bytes are announced and m there: ill-formed if they are too few, and global suboptions where there are more."""
    near = {(n, m) for n in range(1, 33) for m in (0, n - 1, n, n + 1, 34) if m <= 34}
    answers(family, {eno.option(X25519, 0x7F + n, 0xA1, bytes(m)): m >= n for n, m in near})


@test(family=FAMILIES)
def every_length_of_a_length_byte_in_a_synack(family):
    near = {(n, m) for n in (1, 2, 8, 31, 32) for m in (0, n - 1, n, n + 1) if m <= 33}
    connects(family, {eno.option(1, X25519, 0x7F + n, 0xA1, bytes(m)): X25519 if m >= n else None for n, m in near})


@test(family=FAMILIES)
def every_length_of_data_up_to_the_end(family):
    """Those of another TEP do not matter; ours has no more than a proposal to resume."""
    others = {eno.option(X25519, 0xFF, bytes(n)): True for n in range(37)}
    ours = {eno.option(0x80 | X25519, bytes([X25519] * n)): n <= LONGEST_DATA for n in range(38)}
    answers(family, {**others, **ours})


# Several TEPs


@test(family=FAMILIES)
def unknown_repeated_and_empty(family):
    answers(
        family,
        {
            eno.option(0x20, 0x25, 0x7F): False,
            eno.option(0x20, 0x25, 0x7F, X25519): True,
            eno.option(X25519, 0x20, 0x20, 0x7F, 0x7F): True,
            eno.option(X25519, X25519): False,
            eno.option(X25519, 0x80, 0x80 | X25519, 0x55): False,
            eno.option(X25519, 0x20, 0x80 | X25519): False,
            eno.option(): False,
            eno.option(0): False,
            eno.option(*range(0x20, 0x46)): True,  # 38 of them
        },
    )
    connects(
        family,
        {
            eno.option(1, 0x20, 0x7F): None,
            eno.option(1, X25519, 0x20, 0x7F): X25519,
            eno.option(1, X25519, X25519): None,
            eno.option(1): None,
            eno.option(): None,
            eno.option(1, *range(0x20, 0x45)): X25519,
        },
    )


@test(family=FAMILIES)
def no_option_is_answered_with_none(family):
    """A vacuous answer is only for those who know the option (RFC 8547 4.6)."""
    listener = host().listener(family)
    equal(ask(listener, family, None, pad(mss_option())), [], "SYN-ACK")


ORDERS = tuple(itertools.permutations((X25519, P256, P521)))


@test(family=FAMILIES)
def listener_picks_by_its_own_preference(family):
    for order in ORDERS:
        listener = host().listener(family, wants(*order), backlog=256)
        for count in (1, 2, 3):
            for offered in itertools.permutations(ORDERS[0], count):
                best = next(tep for tep in order if tep in offered)
                found = ask(listener, family, eno.option(*offered))
                equal(found, [eno.synack_option(best)], "answer by %s to %s" % (order, offered))


@test(family=FAMILIES)
def connecting_socket_offers_the_best_last(family):
    for order in ORDERS:
        _, peer = host().connect(family, wants(*order))
        equal(peer.wait_syn().option(eno.KIND), [eno.option(*reversed(order))], "SYN by %s" % (order,))
        peer.close()


@test(family=FAMILIES)
def last_valid_tep_of_host_b_is_negotiated(family):
    """Also against the preference of the connecting socket; what was not offered or has data does not count."""
    expected = {eno.option(1, *order): order[-1] for order in ORDERS}
    expected[eno.option(1, P256, X25519, X448)] = X25519
    expected[eno.option(1, X25519, P256, P521, P521)] = P256
    expected[eno.option(1, X25519, P256, 0x80 | P521, b"data")] = P256
    connects(family, expected, wants(*ORDERS[0]))


@test(b=(0, 1), a=(0, 1))
def reserved_bits_are_never_sent(b, a):
    def setup(sock):
        ulp.attach(sock)
        ulp.set_option(sock, ulp.TCP_ENO_SELF_GOPT, 2 * a + b)

    _, peer = host().connect(4, setup)
    first = [2 * a + b] if a or b else []
    equal(peer.wait_syn().option(eno.KIND), [eno.option(*first, X25519)], "SYN")
    listener = host().listener(4, setup)
    equal(ask(listener, 4, eno.option(X25519)), [eno.option(2 * a + 1, X25519)], "SYN-ACK")


# Where the option is, and how long


OTHERS = bytes.fromhex("020405780402080a0000000100000000030307")  # MSS, SACK, timestamps, window scale: 19 bytes


@test(family=FAMILIES)
def option_at_every_place(family):
    listener = host().listener(family, backlog=256)
    option = eno.option(X25519)
    for at in range(38):
        options = (bytes([OPT_NOP]) * at + option).ljust((at + 6) // 4 * 4, b"\0")
        equal(ask(listener, family, option, options), ANSWER, "answer to %s" % options.hex())
    for at in range(4):
        options = bytes([OPT_NOP]) * at + b"\0" * (4 - at) + pad(option)
        equal(ask(listener, family, option, options), [], "behind the end of the list: %s" % options.hex())


LONG = {
    "40": (b"", eno.option(0x9F, 0xA1, bytes(range(32)), 0x20, 0x7F, X25519, 0x30)),
    "21 beside others": (OTHERS, eno.option(0x8E, 0xA1, bytes(range(15)), 0x20, X25519)),
}


@test(family=FAMILIES, length=tuple(LONG))
def full_option_space_of_a_syn(family, length):
    """Each of its bytes is in the transcript, and so in the keys."""
    others, option = LONG[length]
    equal(len(others + option), 40, "bytes")
    listener = host().listener(family)
    peer = host().peer_connect(listener, family)
    peer.send_syn(option, others + option)
    equal(peer.wait_synack().option(eno.KIND), ANSWER, "SYN-ACK")
    peer.send_ack()
    peer.negotiate()
    sock = accepted(listener)
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    equal(ulp.transcript(sock), option + ANSWER[0], "transcript")


@test(family=FAMILIES)
def full_option_space_of_a_synack(family):
    option = eno.option(1, 0x9F, 0xA1, bytes(range(32)), 0x20, X25519, 0x30)
    equal(len(option), 40, "bytes")
    sock, peer = host().connect(family)
    peer.wait_syn()
    peer.send_synack(option, option)
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "ACK")
    peer.negotiate()
    peer.exchange_keys()
    connected(sock)
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    equal(ulp.transcript(sock), eno.option(X25519) + option, "transcript")


@test(family=FAMILIES)
def changed_option_in_a_repeated_synack_changes_nothing(family):
    """What TCP took first was acknowledged with an option: from then on there is no way back."""
    for first, second in ((eno.option(1, X25519), b""), (eno.option(1, X25519), eno.option(1, 0x20, X25519))):
        sock, peer = host().connect(family)
        peer.wait_syn()
        synack = peer.send_synack(first)
        equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "ACK")
        synack.options = pad(mss_option() + second)
        peer.tcp.transmit(synack, track=False)
        peer.negotiate()
        peer.exchange_keys()
        connected(sock)
        equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
        peer.close()


if __name__ == "__main__":
    main()
