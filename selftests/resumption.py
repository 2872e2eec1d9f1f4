#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""RFC 8548, section 3.5: a connection that goes on with the keys of an earlier one, without a message."""

import errno
import functools
import os
import socket

from lib import ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, raises, test, until
from lib.pair import EVERYWHERE, Place, encrypted
from lib.peerhost import Host, accepted, connected, wait_sessid
from peer import eno, session
from peer.peer import Peer
from peer.session import Session
from peer.tcp import ACK, OPT_NOP, SYN, mss_option, options_list, pad

NONCE = bytes(range(8))


@functools.cache
def host():
    return Host(resume=True)


def fresh(family, active, setup=None):
    """A connection with fresh keys, ended. The peer's session that may follow."""
    sock, peer = host().handshaken(family, active, setup)
    peer.exchange_keys()
    wait_sessid(sock)
    equal(ulp.option(sock, ulp.TCP_CRYPT_RESUMED), 0, "resumed")
    kept = Session.after(peer)
    peer.close()
    return kept


def again(family, setup=None):
    """(kernel socket that connects, peer that has seen its SYN)"""
    sock, peer = host().connect(family, setup)
    peer.wait_syn()
    return sock, peer


def agree(sock, peer, kept, nonce=NONCE[:7]):
    peer.send_synack(eno.option(0x01, kept.suboption(nonce)))
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "option of the ACK")
    session.resume(peer, kept, nonce)
    connected(sock)


def propose(family, kept, setup=None, nonce=NONCE, options=None):
    """(listener, peer) after a proposal and its SYN-ACK"""
    listener = host().listener(family, setup)
    peer = host().peer_connect(listener, family)
    option = eno.option(kept.suboption(nonce))
    peer.send_syn(option, options=options and options + option)
    peer.wait_synack()
    return listener, peer


def both_ways(sock, peer):
    sock.sendall(b"to the peer")
    equal(peer.recv(11), b"to the peer")
    peer.send(b"from the peer")
    equal(recv_exactly(sock, 13), b"from the peer")
    equal(ulp.session_id(sock), peer.secrets.session_id, "session ID")
    equal(ulp.option(sock, ulp.TCP_CRYPT_RESUMED), 1, "resumed")
    equal(ulp.option(sock, ulp.TCP_CRYPT_CONF), peer.secrets.aead, "AEAD")


@test(family=FAMILIES, first=("active", "passive"), then=("active", "passive"))
def resumed_in_every_direction(family, first, then):
    """first, then: what the kernel is. Its keys go by its role in the first connection."""
    kept = fresh(family, first == "active")
    with ulp.Counting(host().ns) as count:
        if then == "active":
            sock, peer = again(family)
            equal(session.named(peer.other_option)[:2], (kept.tep, kept.other), "proposal")
            agree(sock, peer, kept)
        else:
            listener, peer = propose(family, kept)
            equal(session.named(peer.other_option)[:2], (kept.tep, kept.other), "agreement")
            peer.send_ack()
            session.resume(peer, kept, NONCE)
            sock = accepted(listener)
        both_ways(sock, peer)
        equal(count("Resumed"), 1, "counted %s" % count.grown())


@test(family=FAMILIES)
def resumed_in_a_chain(family):
    kept = fresh(family, True)
    seen = set()
    for then in ("active", "passive", "passive", "active"):
        if then == "active":
            sock, peer = again(family)
            agree(sock, peer, kept)
        else:
            listener, peer = propose(family, kept)
            peer.send_ack()
            session.resume(peer, kept, NONCE)
            sock = accepted(listener)
        both_ways(sock, peer)
        seen.add(kept.own)
        kept = Session.after(peer)
        peer.close()
        sock.close()
    equal(len(seen), 4, "identifiers")


@test(family=FAMILIES)
def host_a_speaks_in_the_first_segment_after_the_syns(family):
    """What the application has written before connect() ended leaves with the segment that ends the handshake."""
    kept = fresh(family, True)
    sock, peer = again(family)
    sock.setblocking(False)
    peer.tcp.auto_ack = False
    peer.send_synack(eno.option(0x01, kept.suboption(b"")))
    connected(sock)
    sock.sendall(b"request")
    # Nothing is acknowledged: no round trip was needed.
    peer.tcp.wait(lambda: [s for s in peer.tcp.log if s.payload], what="data")
    session.resume(peer, kept, b"")
    first = next(s for s in peer.tcp.log if s.payload)
    equal(first.option(eno.KIND), [eno.NON_SYN], "option beside the data")
    equal(peer.rx.open(first.payload).data, b"request")


@test(family=FAMILIES)
def host_b_speaks_first_without_hearing_more(family):
    kept = fresh(family, False)
    listener, peer = propose(family, kept)
    peer.tcp.auto_ack = False
    peer.send_ack()
    session.resume(peer, kept, NONCE)
    sock = accepted(listener)
    sock.sendall(b"220 ready")
    peer.tcp.wait(lambda: [s for s in peer.tcp.log if s.payload], what="data")
    first = next(s for s in peer.tcp.log if s.payload)
    equal(peer.rx.open(first.payload).data, b"220 ready")


@test(family=FAMILIES)
def data_with_the_last_segment_of_the_handshake_are_read(family):
    kept = fresh(family, False)
    listener, peer = propose(family, kept)
    session.resume(peer, kept, NONCE)
    peer.tcp.transmit(peer.tcp.segment(ACK, peer.tx.seal(b"early"), pad(eno.NON_SYN)))
    sock = accepted(listener)
    equal(recv_exactly(sock, 5), b"early")
    both_ways(sock, peer)


@test(family=FAMILIES)
def full_segments_leave_room_for_the_option(family):
    """The maximum segment size stays right while the option rides along, and afterwards."""
    kept = fresh(family, True)
    sock, peer = again(family)
    peer.tcp.auto_ack = False
    agree(sock, peer, kept)
    sock.setblocking(False)
    sent = sock.send(b"x" * 20000)
    sock.setblocking(True)
    peer.tcp.wait(lambda: len(peer.tcp.rx) >= 5000, what="first window")
    first = [s for s in peer.tcp.log if not s.has(SYN)]
    check(all(s.option(eno.KIND) == [eno.NON_SYN] for s in first), "all have the option")
    equal(max(len(s.options) + len(s.payload) for s in first), 1400, "longest segment with its options")
    peer.tcp.auto_ack = True
    peer.tcp.send_ack()
    equal(peer.recv(sent), b"x" * sent)
    start = len(peer.tcp.log)
    sock.sendall(b"y" * 20000)
    equal(peer.recv(20000), b"y" * 20000)
    later = [s for s in peer.tcp.log[start:] if s.payload]
    check(not any(s.option(eno.KIND) for s in later), "no option later")
    equal(max(len(s.options) + len(s.payload) for s in later), 1400, "longest segment later")


@test(family=FAMILIES)
def the_agreement_fits_beside_what_linux_sends(family):
    """MSS, SACK, timestamps, window scale and 21 bytes of ENO are 40, without the padding."""
    kept = fresh(family, False)
    options = mss_option() + bytes([4, 2, 8, 10]) + bytes([0, 0, 0, 1]) + bytes(4) + bytes([OPT_NOP, 3, 3, 7])
    _, peer = propose(family, kept, options=options)
    synack = next(s for s in peer.tcp.log if s.has(SYN))
    found = {kind: raw for kind, raw in options_list(synack.options)}
    equal(sorted(kind for kind in found if kind != OPT_NOP), [2, 3, 4, 8, 69], "options")
    equal(len(found[69]), 21, "ENO option with its nonce of eight bytes")


@test(family=FAMILIES)
def the_syn_that_is_sent_again_is_the_same(family):
    fresh(family, True)
    _, peer = again(family)
    peer.tcp.wait(lambda: len(peer.tcp.log) >= 2, what="second SYN")
    first, second = [s.option(eno.KIND) for s in peer.tcp.log[:2]]
    equal(first, second, "option")
    check(session.named(first[0]), "a proposal")


@test(family=FAMILIES)
def the_synack_that_is_sent_again_is_the_same(family):
    kept = fresh(family, False)
    _, peer = propose(family, kept)
    peer.tcp.wait(lambda: len([s for s in peer.tcp.log if s.has(SYN)]) >= 2, what="second SYN-ACK")
    first, second = [s.option(eno.KIND) for s in peer.tcp.log if s.has(SYN)][:2]
    equal(first, second, "option")
    check(session.named(first[0]), "an agreement")


@test(family=FAMILIES, how=("unknown", "used", "short", "other TEP"))
def what_is_not_known_is_answered_by_fresh_keys(family, how):
    kept = fresh(family, False)
    if how == "used":
        listener, peer = propose(family, kept)
        peer.send_ack()
        session.resume(peer, kept, NONCE)
        accepted(listener)
    suboption = {
        "unknown": bytes([0xA3]) + os.urandom(9) + NONCE,
        "used": kept.suboption(NONCE),
        "short": kept.suboption(b"")[:9],
        "other TEP": bytes([0xA1]) + kept.own + NONCE,
    }[how]
    option = eno.option(0x23, suboption) if how == "other TEP" else eno.option(suboption)
    listener, peer = host().asked(family, option)
    equal(peer.other_option, eno.option(0x01, 0x23), "SYN-ACK")
    peer.send_ack(pad(eno.NON_SYN))
    peer.negotiate()
    sock = accepted(listener)
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    equal(ulp.option(sock, ulp.TCP_CRYPT_RESUMED), 0, "resumed")


@test(family=FAMILIES)
def an_active_opener_takes_fresh_keys(family):
    fresh(family, True)
    sock, peer = again(family)
    check(session.named(peer.other_option), "a proposal")
    with ulp.Counting(host().ns) as count:
        peer.send_synack()
        peer.wait_ack()
        peer.negotiate()
        peer.exchange_keys()
        equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
        equal(count("ResumptionDeclined"), 1, "counted %s" % count.grown())
    equal(ulp.option(sock, ulp.TCP_CRYPT_RESUMED), 0, "resumed")


@test(family=FAMILIES, how=("wrong", "echo", "short"))
def a_half_that_does_not_match_turns_eno_off(family, how):
    kept = fresh(family, True)
    sock, peer = again(family)
    tep, half, nonce = session.named(peer.other_option)
    answer = {
        "wrong": bytes([0xA3]) + bytes(x ^ 1 for x in kept.own) + NONCE[:7],
        "echo": bytes([0xA3]) + half + nonce[:7],
        "short": kept.suboption(b"")[:9],
    }[how]
    peer.send_synack(eno.option(0x01, answer))
    equal(peer.wait_ack().option(eno.KIND), [], "option of the ACK")
    connected(sock)
    equal(ulp.ulp_name(sock), b"", "ULP")
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")


@test(family=FAMILIES)
def a_session_is_proposed_once(family):
    """Whether the SYN was answered or not: the other side may have used it."""
    fresh(family, True)
    sock, peer = again(family)
    first = session.named(peer.other_option)
    check(first, "a proposal")
    sock.close()
    peer.close()
    _, peer = again(family)
    # There may be one of another test's.
    second = session.named(peer.other_option)
    check(not second or second[1] != first[1], "the same again")


@test(family=FAMILIES)
def a_session_is_promised_once(family):
    """Two SYNs name it before either handshake ends: the second is answered by fresh keys, as is what opens meanwhile."""
    kept = fresh(family, False)
    listener, one = propose(family, kept)
    two = Peer.active(host().stack, family, listener.getsockname()[1])
    defer(two.close)
    two.send_syn(eno.option(kept.suboption(NONCE)))
    two.wait_synack()
    equal(two.other_option, eno.option(0x01, 0x23), "second SYN-ACK")
    _, opened = again(family)
    proposed = session.named(opened.other_option)
    check(not proposed or proposed[1] != kept.other, "proposed by the host that has promised it")
    one.send_ack()
    session.resume(one, kept, NONCE)
    sock = accepted(listener)
    both_ways(sock, one)


@test(family=FAMILIES)
def a_promise_of_what_is_wiped_is_refused(family):
    """The other side encrypts with it from the third segment on: there is no way back."""
    other = alone()
    sock, peer = other.opened(family, False)
    kept = Session.after(peer)
    listener, peer = other.asked(family, eno.option(kept.suboption(NONCE)))
    check(session.named(peer.other_option), "an agreement")
    ulp.set_option(sock, ulp.TCP_CRYPT_CACHE_FLUSH, 1)
    peer.tcp.auto_ack = False
    with ulp.Counting(other.ns) as count:
        peer.send_ack()
        peer.tcp.wait_rst()
        equal(count("ResumptionLost"), 1, "counted %s" % count.grown())


@test(family=FAMILIES)
def crossing_proposals_of_one_session_lead_to_fresh_keys(family):
    """Both hosts open with it at the same time, and not to each other's port."""
    kept = fresh(family, True)
    again(family)
    _, peer = host().asked(family, eno.option(kept.suboption(NONCE)))
    equal(peer.other_option, eno.option(0x01, 0x23), "SYN-ACK")


def wish(option, value=1):
    def setup(sock):
        ulp.attach(sock)
        ulp.set_option(sock, option, value)

    return setup


@test(family=FAMILIES)
def no_resume_proposes_nothing_and_agrees_to_nothing(family):
    kept = fresh(family, True)
    _, peer = again(family, wish(ulp.TCP_CRYPT_NORESUME))
    equal(session.named(peer.other_option), None, "proposal")
    _, peer = host().asked(family, eno.option(kept.suboption(NONCE)), wish(ulp.TCP_CRYPT_NORESUME))
    equal(peer.other_option, eno.option(0x01, 0x23), "SYN-ACK")


@test(family=FAMILIES, active=(True, False))
def no_cache_keeps_nothing(family, active):
    other = alone()
    other.opened(family, active, wish(ulp.TCP_CRYPT_NOCACHE))
    equal(ulp.counters(other.ns)["SessionsKept"], 0, "sessions kept")
    other.opened(family, active)
    equal(ulp.counters(other.ns)["SessionsKept"], 1, "sessions kept without the wish")


@test(family=FAMILIES)
def a_flush_wipes_what_was_kept_of_the_connection(family):
    sock, peer = host().opened(family, True)
    kept = Session.after(peer)
    raises(errno.EINVAL, ulp.set_option, sock, ulp.TCP_CRYPT_CACHE_FLUSH, 0)
    ulp.set_option(sock, ulp.TCP_CRYPT_CACHE_FLUSH, 1)
    ulp.set_option(sock, ulp.TCP_CRYPT_CACHE_FLUSH, 1)
    _, peer = host().asked(family, eno.option(kept.suboption(NONCE)))
    equal(peer.other_option, eno.option(0x01, 0x23), "SYN-ACK")


@test(length=(0, 1, 5, 8))
def nonces_have_the_length_that_was_asked_for(length):
    kept = fresh(4, True)
    setup = wish(ulp.TCP_CRYPT_RESUME_NONCE_LEN, length)
    sock, peer = again(4, setup)
    equal(len(session.named(peer.other_option)[2]), length, "nonce of the proposal")
    agree(sock, peer, kept)
    both_ways(sock, peer)
    kept = Session.after(peer)
    peer.close()
    listener, peer = propose(4, kept, setup)
    equal(len(session.named(peer.other_option)[2]), length, "nonce of the agreement")


@test(family=FAMILIES)
def a_cipher_that_is_not_wanted_any_more_is_not_resumed(family):
    """The keys of a session are of one cipher. Lists that lack it mean fresh keys."""
    other = alone()
    sock, peer = other.opened(family, True)
    kept = Session.after(peer)
    equal(kept.aead, ulp.AEADS["aes128-gcm"], "AEAD")
    ulp.set_aead(other.ns, "chacha20-poly1305")
    _, peer = other.connect(family)
    peer.wait_syn()
    equal(session.named(peer.other_option), None, "proposal")
    _, peer = other.asked(family, eno.option(kept.suboption(NONCE)))
    equal(peer.other_option, eno.option(0x01, 0x23), "SYN-ACK")
    ulp.set_aead(other.ns)
    _, peer = other.asked(family, eno.option(kept.suboption(NONCE)))
    check(session.named(peer.other_option), "an agreement once it is wanted again")


@test
def nonces_differ():
    seen = set()
    for _ in range(3):
        fresh(4, True)
        sock, peer = again(4)
        seen.add(session.named(peer.other_option)[2])
    equal(len(seen), 3, "nonces")


def alone():
    """A namespace of its own: its settings are changed, or its sessions counted."""
    return Host(resume=True)


def one_session(other):
    sock, peer = other.opened(4, True)
    kept = Session.after(peer)
    peer.close()
    sock.close()
    return kept


def is_known(other, kept):
    _, peer = other.asked(4, eno.option(kept.suboption(NONCE)))
    return session.named(peer.other_option) is not None


@test
def the_oldest_go_first():
    other = alone()
    other.ns.sysctl("ipv4.tcp_crypt.cache_entries", 2)
    kept = [one_session(other) for _ in range(3)]
    # Each connection proposed the one before it, which is gone with that.
    other.ns.sysctl("ipv4.tcp_crypt.cache_entries", 4096)
    check(is_known(other, kept[2]) and not is_known(other, kept[0]), "the youngest is there, the oldest is not")


@test
def fewer_entries_wipe_at_once():
    other = alone()
    kept = one_session(other)
    other.ns.sysctl("ipv4.tcp_crypt.cache_entries", 0)
    equal(ulp.counters(other.ns)["SessionsKept"], 0)
    other.ns.sysctl("ipv4.tcp_crypt.cache_entries", 100)
    check(not is_known(other, kept), "it is gone")


@test
def turned_off_wipes_and_keeps_nothing():
    other = alone()
    kept = one_session(other)
    other.ns.sysctl("ipv4.tcp_crypt.resume", 0)
    equal(ulp.counters(other.ns)["SessionsKept"], 0)
    check(not is_known(other, kept), "it is gone")
    one_session(other)
    equal(ulp.counters(other.ns)["SessionsKept"], 0)


@test(timeout=90)
def sessions_expire():
    other = alone()
    other.ns.sysctl("ipv4.tcp_crypt.cache_lifetime", 1)
    kept = one_session(other)
    until(lambda: not is_known(other, kept), 5, "expiry")
    until(lambda: ulp.counters(other.ns)["SessionsKept"] == 0, 30, "wiping without anybody who asks")


@test
def namespaces_share_nothing():
    kept = one_session(alone())
    check(not is_known(alone(), kept), "known elsewhere")


@test(where=EVERYWHERE)
def both_ends_are_ours(where):
    place = Place(where)
    for ns in (place.client, place.server):
        # Wipes what was kept of the same addresses.
        ns.sysctl("ipv4.tcp_crypt.resume", 0)
        ns.sysctl("ipv4.tcp_crypt.resume", 1)
    listener = place.listener()
    ids = []
    for resumed in (0, 1, 1):
        one = place.connect(listener)
        two, _ = listener.accept()
        defer(two.close)
        encrypted(one, two)
        equal([ulp.option(sock, ulp.TCP_CRYPT_RESUMED) for sock in (one, two)], [resumed] * 2, "resumed")
        equal(ulp.session_id(one), ulp.session_id(two), "session IDs")
        ids.append(ulp.session_id(one))
        for a, b in ((one, two), (two, one)):
            a.sendall(b"x" * 100000)
            equal(recv_exactly(b, 100000), b"x" * 100000)
        one.shutdown(socket.SHUT_WR)
        equal(two.recv(1), b"")
        two.close()
        equal(one.recv(1), b"")
        one.close()
    equal(len(set(ids)), 3, "session IDs")


if __name__ == "__main__":
    main()
