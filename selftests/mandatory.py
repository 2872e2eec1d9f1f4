#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""TCP_ENO_MANDATORY: a connection on which ENO does not succeed is aborted, and carries no plaintext. mandatory_connect.py has
what connect() says of it.
"""

import errno
import select
import socket

from lib import ulp
from lib.harness import FAMILIES, Background, check, defer, equal, main, raises, test, until
from lib.peerhost import accepted, host, wait_sessid
from peer import eno
from peer.tcp import ACK, PSH, SYN, pad

# What does not do, in a SYN-ACK and in a SYN
SYNACKS = {
    "none": b"",
    "echoed": eno.option(0x23),
    "other_tep": eno.option(0x01, 0x24),
    "vacuous": eno.option(0x01),
    "ill_formed": eno.option(0x01, 0x23, 0x85),
    "doubled": eno.option(0x01, 0x23) * 2,
}
SYNS = {"none": b"", "role": eno.option(0x01, 0x23), "other_tep": eno.option(0x24), "ill_formed": eno.option(0x23, 0x80)}


def mandatory(sock):
    ulp.attach(sock)
    ulp.set_option(sock, ulp.TCP_ENO_MANDATORY, 1)


def was_aborted(sock, peer):
    """The program is told, again and again; the peer got a reset and no data."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    events = until(lambda: poll.poll(1000), 20, "end of connect()")
    check(events[0][1] & select.POLLERR, "POLLERR in %x" % events[0][1])
    got_nothing(peer)
    equal(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.ECONNABORTED, "SO_ERROR")
    for _ in range(2):
        raises(errno.ECONNABORTED, sock.recv, 10)
        try:
            sock.send(b"plaintext")
        except OSError as error:
            check(error.errno in (errno.ECONNABORTED, errno.EPIPE), "send: %s" % error)
        else:
            raise AssertionError("sent")


def got_nothing(peer):
    peer.tcp.wait(lambda: peer.tcp.rst_seen, 20, "reset")
    equal([s.payload for s in peer.tcp.log if s.payload], [], "data")


@test(family=FAMILIES, active=(True, False))
def connection_that_succeeds_is_like_any_other(family, active):
    sock, peer = host().opened(family, active, mandatory)
    equal(ulp.session_id(sock), peer.secrets.session_id)
    sock.sendall(b"data")
    equal(peer.recv(4), b"data")


@test(family=FAMILIES, answer=tuple(SYNACKS))
def connect_to_one_that_does_not_encrypt(family, answer):
    with ulp.Counting(host().ns) as count:
        sock, peer = host().connect(family, mandatory)
        peer.wait_syn()
        peer.send_synack(SYNACKS[answer])
        was_aborted(sock, peer)
        equal(count("MandatoryAborted"), 1, "counters %s" % count.grown())


@test(family=FAMILIES)
def connect_that_waits_gets_the_error(family):
    """Whoever waits in connect() or in a write."""
    sock, peer = host().connect(family, mandatory)
    peer.wait_syn()
    sock.setblocking(True)
    writer = Background(sock.send, b"plaintext")
    until(writer.in_system_call, what="writer that waits")
    peer.send_synack(None)
    try:
        raise AssertionError("%d bytes written" % writer.join())
    except OSError as error:
        check(error.errno in (errno.ECONNABORTED, errno.EPIPE), "send: %s" % error)
    got_nothing(peer)


@test(family=FAMILIES, offer=tuple(SYNS))
def listener_refuses_a_syn_that_does_not_encrypt(family, offer):
    with ulp.Counting(host().ns) as count:
        listener = host().listener(family, mandatory)
        peer = host().peer_connect(listener, family)
        peer.send_syn(SYNS[offer])
        got_nothing(peer)
        check(not any(s.has(SYN) for s in peer.tcp.log), "no SYN-ACK")
        equal(count("MandatoryAborted"), 1, "counters %s" % count.grown())
    encrypted_after_all(listener, family)


@test(family=FAMILIES, data=(b"", b"plain"))
def listener_refuses_a_last_segment_without_the_option(family, data):
    with ulp.Counting(host().ns) as count:
        listener, peer = host().asked(family, setup=mandatory)
        peer.send_nonsyn = False
        peer.tcp.transmit(peer.tcp.segment(ACK | PSH, data))
        got_nothing(peer)
        equal((count("MandatoryAborted"), count("FallbackNoAck")), (1, 1), "counters %s" % count.grown())
    encrypted_after_all(listener, family)


@test(family=FAMILIES)
def what_was_refused_is_not_confirmed_later(family):
    """The first segment without SYN decides (RFC 8547 section 4.6), also while TCP still has the half-open connection."""
    listener, peer = host().asked(family, setup=mandatory)
    peer.send_nonsyn = False
    peer.send_ack()
    got_nothing(peer)
    peer.tcp.rst_seen = False
    peer.tcp.transmit(peer.tcp.segment(ACK, options=pad(eno.NON_SYN)))
    got_nothing(peer)
    listener.setblocking(False)
    raises(errno.EAGAIN, listener.accept)
    listener.setblocking(True)
    encrypted_after_all(listener, family)


@test(family=FAMILIES)
def listener_refuses_while_it_sends_cookies(family):
    """A SYN cookie has no room for the negotiation."""
    ns = host().ns
    defer(ns.sysctl, "ipv4.tcp_syncookies", ns.sysctl("ipv4.tcp_syncookies"))
    ns.sysctl("ipv4.tcp_syncookies", 2)
    listener = host().listener(family, mandatory)
    peer = host().peer_connect(listener, family)
    peer.send_nonsyn = False
    peer.send_syn()
    equal(peer.wait_synack().option(eno.KIND), [], "option of the SYN-ACK")
    peer.tcp.transmit(peer.tcp.segment(ACK | PSH, b"plain"))
    got_nothing(peer)
    listener.setblocking(False)
    raises(errno.EAGAIN, listener.accept)


def encrypted_after_all(listener, family):
    """Nothing of the refused is there to be accepted; the next one is."""
    peer = host().peer_connect(listener, family)
    peer.handshake()
    sock = accepted(listener)
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id)


if __name__ == "__main__":
    main()
