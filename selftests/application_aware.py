#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The application-aware bit (RFC 8547 section 4.2): sent as the program says, the peer's read, and asked for."""

import errno

from lib import ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, equal, main, raises, test
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno

CLEAR, SET, MANDATORY = 0, 1, 2
ROLES = (True, False)


def wishes(aware):
    def setup(sock):
        ulp.attach(sock)
        if aware is not None:
            ulp.set_option(sock, ulp.TCP_ENO_SELF_AWARE, aware)

    return setup


def option(active, aware):
    """The peer's option, where the kernel connects (active) or listens."""
    flags = (0x01 if active else 0) | (0x02 if aware else 0)
    return eno.option(flags, 0x23) if flags else eno.option(0x23)


def negotiated(family, active, setup, theirs):
    """(kernel socket, peer, the kernel's option); the peer sends `theirs`."""
    if active:
        sock, peer = host().connect(family, setup)
        sent = peer.wait_syn().option(eno.KIND)
        peer.send_synack(theirs)
        third = peer.wait_ack()
        connected(sock)
        return sock, peer, sent, bool(third.option(eno.KIND))
    listener = host().listener(family, setup)
    peer = host().peer_connect(listener, family)
    peer.send_syn(theirs)
    sent = peer.wait_synack().option(eno.KIND)
    peer.send_ack()
    return accepted(listener), peer, sent, bool(sent)


def same_session(sock, peer):
    peer.negotiate()
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")


def is_plain(sock, peer):
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")
    peer.tcp.send_data(b"as well")
    equal(recv_exactly(sock, 7), b"as well")
    raises(errno.ENOPROTOOPT, ulp.session_id, sock)


@test(family=FAMILIES, active=ROLES, aware=(None, CLEAR, SET, MANDATORY))
def bit_is_sent_as_it_was_set(family, active, aware):
    """And is clear where nothing was set."""
    sock, peer, sent, _ = negotiated(family, active, wishes(aware), option(active, True))
    bits = (0x02 if aware else 0) | (0 if active else 0x01)
    equal(sent, [eno.option(bits, 0x23) if bits else eno.option(0x23)], "option")
    same_session(sock, peer)


@test(family=FAMILIES, active=ROLES, theirs=(False, True))
def bit_of_the_peer_is_read(family, active, theirs):
    sock, peer, _, _ = negotiated(family, active, wishes(SET), option(active, theirs))
    same_session(sock, peer)
    equal(ulp.option(sock, ulp.TCP_ENO_PEER_AWARE), int(theirs), "TCP_ENO_PEER_AWARE")
    equal(ulp.option(sock, ulp.TCP_ENO_PEER_GOPT), int(active) | int(theirs) << 1, "TCP_ENO_PEER_GOPT")


@test(family=FAMILIES, active=ROLES)
def other_bits_of_the_peer_are_read_too(family, active):
    """The reserved ones, for nothing else; and only the first global suboption."""
    byte = 0x1D if active else 0x1C
    sock, peer, _, _ = negotiated(family, active, wishes(None), eno.option(byte, 0x23, 0x02))
    same_session(sock, peer)
    equal(ulp.option(sock, ulp.TCP_ENO_PEER_AWARE), 0, "TCP_ENO_PEER_AWARE")
    equal(ulp.option(sock, ulp.TCP_ENO_PEER_GOPT), byte, "TCP_ENO_PEER_GOPT")


@test(family=FAMILIES, active=ROLES)
def mandatory_mode_with_an_aware_peer_is_encrypted(family, active):
    sock, peer, _, on = negotiated(family, active, wishes(MANDATORY), option(active, True))
    equal(on, True, "ENO in the answer")
    same_session(sock, peer)


@test(family=FAMILIES, active=ROLES)
def mandatory_mode_with_an_unaware_peer_is_plain(family, active):
    with ulp.Counting(host().ns) as count:
        sock, peer, _, on = negotiated(family, active, wishes(MANDATORY), option(active, False))
        equal(on, False, "ENO in the answer")
        is_plain(sock, peer)
        equal(count("FallbackRole"), 1, "counters %s" % count.grown())


@test(family=FAMILIES)
def mandatory_mode_with_an_implicit_global_suboption_is_plain(family):
    """A SYN-ACK has to have one, a SYN has not."""
    listener = host().listener(family, wishes(MANDATORY))
    peer = host().peer_connect(listener, family)
    peer.send_syn()
    equal(peer.wait_synack().option(eno.KIND), [], "option of the SYN-ACK")
    peer.send_ack(b"")
    is_plain(accepted(listener), peer)


if __name__ == "__main__":
    main()
