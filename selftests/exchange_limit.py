#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""max_exchanges: with so many connections that wait for the peer's keys, a listener answers no more offers, and what
comes then is plain TCP that works."""

import socket

from lib import ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, test, until
from lib.peerhost import accepted, host, wait_sessid
from peer import eno

TCP_SAVE_SYN = 27


def limit(number):
    defer(host().ns.sysctl, "ipv4.tcp_crypt.max_exchanges", host().ns.sysctl("ipv4.tcp_crypt.max_exchanges"))
    host().ns.sysctl("ipv4.tcp_crypt.max_exchanges", number)


def waiting():
    return ulp.counters(host().ns)["Exchanging"]


def none_waits():
    until(lambda: waiting() == 0, what="no connection that waits for keys")


def asked(listener, family):
    """(peer after the SYN-ACK, whether that had an offer)"""
    peer = host().peer_connect(listener, family)
    peer.send_syn()
    return peer, peer.wait_synack().option(eno.KIND) == [eno.synack_option(0x23)]


def waits_for_keys(listener, family):
    peer, answered = asked(listener, family)
    check(answered, "answered")
    peer.send_ack()
    peer.negotiate()
    return peer


def is_plain(listener, family):
    with ulp.Counting(host().ns) as count:
        peer, answered = asked(listener, family)
        check(not answered, "not answered")
        equal(count("FallbackBusy"), 1, "counters %s" % count.grown())
        peer.send_ack(b"")
        sock = accepted(listener)
        peer.tcp.send_data(b"plain")
        equal(recv_exactly(sock, 5), b"plain")
        equal(ulp.ulp_name(sock), b"", "ULP")


@test(family=FAMILIES)
def beyond_the_limit_plain(family):
    none_waits()
    limit(2)
    listener = host().listener(family)
    peers = [waits_for_keys(listener, family) for _ in range(2)]
    until(lambda: waiting() == 2, what="two that wait")
    socks = [accepted(listener) for _ in peers]
    is_plain(listener, family)
    peers[0].exchange_keys()
    wait_sessid(socks[0])
    equal(waiting(), 1, "after one has keys")
    waits_for_keys(listener, family)
    until(lambda: waiting() == 2, what="two that wait")


@test
def zero_answers_nobody():
    none_waits()
    limit(0)
    is_plain(host().listener(4), 4)


@test(how=("reset", "wrong Init1", "closed by the application", "listener closed", "end"))
def every_end_of_an_exchange_gives_its_place_back(how):
    none_waits()
    listener = host().listener(4)
    peer = waits_for_keys(listener, 4)
    until(lambda: waiting() == 1, what="one that waits")
    if how == "listener closed":
        listener.close()
    else:
        sock = accepted(listener)
        if how == "reset":
            peer.tcp.send_rst()
        elif how == "wrong Init1":
            peer.tcp.send_data(b"GET / HTTP/1.0\r\n\r\n")
        elif how == "end":
            peer.tcp.send_fin()
        sock.close()
        if how == "closed by the application":
            peer.tcp.send_rst()
    none_waits()


@test(save_syn=(0, 1))
def synack_that_is_sent_again_is_the_same(save_syn):
    """The limit is reached between the two."""
    none_waits()
    limit(1)
    listener = host().listener(4, lambda sock: sock.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, save_syn))
    peer, answered = asked(listener, 4)
    check(answered, "answered")
    waits_for_keys(listener, 4)
    until(lambda: waiting() == 1, what="one that waits")
    again = peer.tcp.wait_segment(lambda s: s is not peer.tcp.log[0] and s.has(0x12), 10, "second SYN-ACK")
    equal(again.option(eno.KIND), [eno.synack_option(0x23)])
    peer.send_ack()
    peer.negotiate()
    until(lambda: waiting() == 2, what="two that wait")


if __name__ == "__main__":
    main()
