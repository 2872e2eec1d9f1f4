#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Each option in each state that a socket can be in: what is read, and whether it can be set."""

import errno
import socket

from lib import net, ulp
from lib.harness import FAMILIES, defer, equal, main, raises, test, until
from lib.options import ALL, FACTS, KEYED, NAMES, NEGOTIATED, WISHES, error_of, get, put, wishes
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno
from peer.peer import Peer

MINE = eno.GLOBAL_A  # what the kernel's sockets here say of themselves, as active openers
AWARE_OFFER = eno.option(eno.GLOBAL_A, ulp.TEP)
AWARE_ANSWER = eno.option(eno.GLOBAL_A | eno.GLOBAL_B, ulp.TEP)

SETTINGS = {
    ulp.TCP_ENO_ENABLED: 1,
    ulp.TCP_ENO_SELF_AWARE: 1,
    ulp.TCP_ENO_ROLEOVERRIDE: 0,
    ulp.TCP_ENO_SELF_GOPT: MINE,
    ulp.TCP_ENO_MANDATORY: 0,
    ulp.TCP_CRYPT_NORESUME: 1,
    ulp.TCP_CRYPT_NOCACHE: 1,
    ulp.TCP_CRYPT_RESUME_NONCE_LEN: 5,
    ulp.TCP_ENO_TEPS: bytes([ulp.TEP]),
    ulp.TCP_ENO_RAW: b"",
    ulp.TCP_CRYPT_ACONF: b"\2\0\1\0",
    ulp.TCP_CRYPT_BCONF: b"\1\0",
}


def attach(sock):
    ulp.attach(sock)
    for option, value in SETTINGS.items():
        put(sock, option, value)


def wishes_are_open(sock):
    equal(wishes(sock), SETTINGS)
    for option, (default, other) in WISHES.items():
        for value in (other, default, SETTINGS[option]):
            put(sock, option, value)
    put(sock, ulp.TCP_ENO_ENABLED, 1)
    equal(wishes(sock), SETTINGS)


def wishes_are_closed(sock, expected):
    equal(wishes(sock), expected)
    for option, (default, other) in WISHES.items():
        for value in (default, other):
            raises(errno.EISCONN, put, sock, option, value)
    equal(wishes(sock), expected)


def there_are_none_of(facts, sock):
    for option in facts:
        raises(errno.ENOTCONN, get, sock, option)


def is_plain(sock):
    for option in ALL:
        raises(errno.ENOPROTOOPT, get, sock, option)
        raises(errno.ENOPROTOOPT, put, sock, option, bytes(4))


def negotiated(sock, peer):
    """The facts that need no keys, with a peer that is aware of applications."""
    role = 0 if peer.role == "B" else 1
    expected = {
        ulp.TCP_ENO_NEGTEP: ulp.TEP,
        ulp.TCP_ENO_ROLE: role,
        ulp.TCP_ENO_PEER_AWARE: 1,
        ulp.TCP_ENO_PEER_GOPT: eno.GLOBAL_A | (eno.GLOBAL_B if role == 0 else 0),
        ulp.TCP_ENO_TRANSCRIPT: peer.transcript,
    }
    equal({option: get(sock, option) for option in NEGOTIATED}, expected)


def keyed(sock, peer):
    equal(get(sock, ulp.TCP_ENO_SESSID), peer.secrets.session_id)
    equal(get(sock, ulp.TCP_CRYPT_CONF), peer.secrets.aead)
    equal(get(sock, ulp.TCP_CRYPT_RESUMED), 0)


def sent(active):
    """What was set, with what was sent."""
    return {**SETTINGS, ulp.TCP_ENO_SELF_GOPT: MINE if active else MINE | eno.GLOBAL_B}


def negotiating(family, active):
    """(socket, peer) after the handshake with a peer that is aware of applications."""
    if active:
        sock, peer = host().connect(family, attach)
        peer.wait_syn()
        peer.send_synack(AWARE_ANSWER)
        peer.wait_ack()
        peer.negotiate()
        connected(sock)
        return sock, peer
    listener = host().listener(family, attach)
    peer = host().peer_connect(listener, family)
    peer.send_syn(AWARE_OFFER)
    peer.wait_synack()
    peer.send_ack()
    peer.negotiate()
    return accepted(listener), peer


def opened(family, active):
    sock, peer = negotiating(family, active)
    peer.exchange_keys()
    wait_sessid(sock)
    return sock, peer


@test(family=FAMILIES)
def attached(family):
    sock = host().ns.socket(family)
    defer(sock.close)
    attach(sock)
    wishes_are_open(sock)
    there_are_none_of(FACTS, sock)


@test(family=FAMILIES)
def bound(family):
    sock = host().ns.socket(family)
    defer(sock.close)
    attach(sock)
    sock.bind(("", 0))
    wishes_are_open(sock)
    there_are_none_of(FACTS, sock)


@test(family=FAMILIES)
def syn_sent(family):
    sock, peer = host().connect(family, attach)
    peer.wait_syn()
    wishes_are_closed(sock, SETTINGS)
    there_are_none_of(FACTS, sock)


@test(family=FAMILIES)
def connect_given_up(family):
    """connect(AF_UNSPEC) while the SYN is unanswered: the wishes are there for the next connect()."""
    sock, peer = host().connect(family, attach)
    peer.wait_syn()
    equal(ulp.disconnect(sock), 0)
    wishes_are_open(sock)
    there_are_none_of(FACTS, sock)
    put(sock, ulp.TCP_ENO_SELF_AWARE, 0)
    other = Peer.passive(host().stack, family, host().port())
    defer(other.close)
    equal(error_of(sock.connect, other.address()), errno.EINPROGRESS)
    equal(other.wait_syn().option(eno.KIND), [eno.syn_option(ulp.TEP)])


@test(family=FAMILIES)
def connect_refused(family):
    sock = net.solo().socket(family)
    defer(sock.close)
    attach(sock)
    raises(errno.ECONNREFUSED, sock.connect, (net.LOOPBACK[family], 1))
    wishes_are_open(sock)
    there_are_none_of(FACTS, sock)


@test(family=FAMILIES)
def plain_because_the_peer_has_no_option(family):
    sock, peer = host().connect(family, attach)
    peer.handshake_plain()
    connected(sock)
    is_plain(sock)


@test(family=FAMILIES)
def plain_because_it_was_off(family):
    sock, peer = host().connect(family, lambda sock: (attach(sock), put(sock, ulp.TCP_ENO_ENABLED, 0)))
    peer.handshake_plain()
    connected(sock)
    is_plain(sock)


@test(family=FAMILIES)
def plain_child(family):
    listener = host().listener(family, attach)
    peer = host().peer_connect(listener, family)
    peer.handshake_plain()
    is_plain(accepted(listener))


@test(family=FAMILIES, active=(True, False))
def exchange_of_keys(family, active):
    sock, peer = negotiating(family, active)
    wishes_are_closed(sock, sent(active))
    negotiated(sock, peer)
    there_are_none_of(KEYED, sock)


@test(family=FAMILIES, active=(True, False))
def encrypted(family, active):
    sock, peer = opened(family, active)
    wishes_are_closed(sock, sent(active))
    negotiated(sock, peer)
    keyed(sock, peer)


@test(family=FAMILIES, active=(True, False))
def encrypted_by_default(family, active):
    """Without the application: no wishes but the system's, and peers that say nothing of themselves."""
    sock, peer = host().opened(family, active)
    defaults = {option: default for option, (default, _) in WISHES.items()}
    defaults.update({ulp.TCP_ENO_ENABLED: -1, ulp.TCP_ENO_SELF_GOPT: 0 if active else eno.GLOBAL_B})
    wishes_are_closed(sock, defaults)
    equal(get(sock, ulp.TCP_ENO_PEER_AWARE), 0)
    equal(get(sock, ulp.TCP_ENO_PEER_GOPT), eno.GLOBAL_B if active else 0)
    keyed(sock, peer)


@test(family=FAMILIES, active=(True, False))
def half_closed(family, active):
    """The peer's authentic end was read, and this side's sent: all can be read as long as the socket is open."""
    sock, peer = opened(family, active)
    peer.finish()
    equal(sock.recv(1), b"")
    wishes_are_closed(sock, sent(active))
    keyed(sock, peer)
    sock.shutdown(socket.SHUT_WR)
    peer.wait_end()
    wishes_are_closed(sock, sent(active))
    negotiated(sock, peer)
    keyed(sock, peer)


@test(family=FAMILIES, active=(True, False))
def failed_by_a_forged_frame(family, active):
    sock, peer = opened(family, active)
    frame = bytearray(peer.tx.seal(b"data"))
    frame[-1] ^= 1
    peer.tcp.send_data(bytes(frame))
    raises(errno.EBADMSG, sock.recv, 1)
    wishes_are_closed(sock, sent(active))
    negotiated(sock, peer)
    keyed(sock, peer)


@test(family=FAMILIES, active=(True, False))
def failed_in_the_exchange_of_keys(family, active):
    sock, peer = negotiating(family, active)
    if active:
        peer.read_init()
    peer.send_init(magic=0xBAD)
    raises(errno.EPROTO, sock.recv, 1)
    wishes_are_closed(sock, sent(active))
    negotiated(sock, peer)
    there_are_none_of(KEYED, sock)


@test(family=FAMILIES, active=(True, False))
def raw_mode(family, active):
    """What was negotiated can be read; there are no keys."""

    def setup(sock):
        ulp.attach(sock)
        put(sock, ulp.TCP_ENO_RAW, b"\x02\x20" if active else b"\x03\x20")

    if active:
        sock, peer = host().connect(family, setup)
        peer.wait_syn()
        peer.send_synack(eno.option(eno.GLOBAL_B, 0x20))
        peer.wait_ack()
        connected(sock)
    else:
        listener = host().listener(family, setup)
        peer = host().peer_connect(listener, family)
        peer.send_syn(eno.option(0x20))
        peer.wait_synack()
        peer.send_ack()
        sock = accepted(listener)
    expected = {
        ulp.TCP_ENO_NEGTEP: 0x20,
        ulp.TCP_ENO_ROLE: 0 if active else 1,
        ulp.TCP_ENO_PEER_AWARE: 0,
        ulp.TCP_ENO_PEER_GOPT: eno.GLOBAL_B if active else 0,
        ulp.TCP_ENO_TRANSCRIPT: b"".join(
            (eno.option(2, 0x20), eno.option(1, 0x20)) if active else (eno.option(0x20), eno.option(3, 0x20))
        ),
    }
    equal({option: get(sock, option) for option in NEGOTIATED}, expected)
    there_are_none_of(KEYED, sock)
    equal(get(sock, ulp.TCP_ENO_SELF_GOPT), 2 if active else 3)
    equal(get(sock, ulp.TCP_ENO_SELF_AWARE), 1, "as it was sent")
    for option, (default, other) in WISHES.items():
        raises(errno.EISCONN, put, sock, option, other)
        raises(errno.EISCONN, put, sock, option, default)


@test(family=FAMILIES)
def child_of_a_listener_that_was_closed(family):
    listener = host().listener(family, attach)
    peer = host().peer_connect(listener, family)
    peer.send_syn(AWARE_OFFER)
    peer.wait_synack()
    peer.send_ack()
    peer.negotiate()
    sock = accepted(listener)
    listener.close()
    peer.exchange_keys()
    until(lambda: ulp.is_encrypted(sock), what="session ID")
    wishes_are_closed(sock, sent(False))
    negotiated(sock, peer)
    keyed(sock, peer)


@test(family=FAMILIES, option=tuple(NAMES[option] for option in FACTS))
def facts_of_an_encrypted_connection_cannot_be_set(family, option):
    sock, peer = opened(family, True)
    raises(errno.ENOPROTOOPT, put, sock, getattr(ulp, option), 1)
    negotiated(sock, peer)
    keyed(sock, peer)


if __name__ == "__main__":
    main()
