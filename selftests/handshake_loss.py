#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Handshake segments that are lost, repeated or forged: the option stays the same and the connection is encrypted."""

import socket

from lib.data import recv_exactly
from lib.harness import FAMILIES, equal, main, test, until
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno
from peer.tcp import ACK, RST, SYN, mss_option

ENO_SYN = eno.syn_option(0x23)
ENO_SYNACK = eno.synack_option(0x23)


def same_secrets(sock, peer):
    """Keys and one message each way."""
    if peer.secrets is None:
        peer.negotiate()
        peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")
    sock.sendall(b"kernel")
    equal(peer.recv(6), b"kernel")
    peer.send(b"peer")
    equal(recv_exactly(sock, 4), b"peer")


def wait_nth(peer, flags, number, timeout=15):
    """The number-th segment with exactly these of SYN and ACK."""

    def found():
        return [s for s in peer.tcp.log if s.flags & (SYN | ACK) == flags]

    peer.tcp.wait(lambda: len(found()) >= number, timeout, "segment number %d" % number)
    return found()


@test(family=FAMILIES)
def lost_syn_is_repeated_with_the_same_option(family):
    sock, peer = host().connect(family)
    for segment in wait_nth(peer, SYN, 3):
        equal(segment.option(eno.KIND), [ENO_SYN], "option")
    peer._take_option(peer.tcp.log[0])
    peer.send_synack()
    connected(sock)
    same_secrets(sock, peer)


def silent(family):
    """(listener, peer, its SYN): a peer that does not answer the SYN-ACK by itself."""
    listener = host().listener(family)
    peer = host().peer_connect(listener, family)
    peer.tcp.auto_ack = False
    return listener, peer, peer.send_syn()


def two_answers(listener, peer):
    """Both SYN-ACKs are the same; then the connection goes on."""
    for segment in wait_nth(peer, SYN | ACK, 2):
        equal(segment.option(eno.KIND), [ENO_SYNACK], "option")
    peer.tcp.auto_ack = True
    peer.wait_synack()
    peer.send_ack()
    same_secrets(accepted(listener), peer)


@test(family=FAMILIES)
def lost_synack_or_ack_brings_the_same_option_again(family):
    """To the passive side they are one: its SYN-ACK is not answered."""
    listener, peer, _ = silent(family)
    two_answers(listener, peer)


@test(family=FAMILIES)
def syn_that_comes_twice_gets_the_same_answer(family):
    listener, peer, syn = silent(family)
    peer.wait_synack()
    for _ in range(3):  # the kernel answers a repeated SYN at a limited rate
        peer.tcp.transmit(syn, track=False)
    two_answers(listener, peer)


@test(family=FAMILIES)
def lost_ack_then_init1(family):
    """The third segment is lost; Init1, which has the option too, is the first that arrives."""
    listener, peer = host().asked(family)
    peer.negotiate()
    peer.send_init()
    sock = accepted(listener)
    peer.read_init()
    peer.derive()
    same_secrets(sock, peer)


@test(family=FAMILIES)
def repeated_synack_is_acknowledged_with_the_option(family):
    """Our ACK was lost on its way: the other side has not spoken yet, so the next one needs the option too."""
    sock, peer = host().connect(family)
    peer.tcp.auto_ack = False
    peer.wait_syn()
    synack = peer.send_synack()
    peer.wait_ack()
    start = len(peer.tcp.log)
    peer.tcp.transmit(synack, track=False)
    again = peer.tcp.wait_segment(lambda s: s.has(ACK) and not s.has(SYN) and not s.payload, start=start)
    equal(again.option(eno.KIND), [eno.NON_SYN], "option")
    peer.tcp.auto_ack = True
    connected(sock)
    same_secrets(sock, peer)


@test(family=FAMILIES)
def lost_init1_is_repeated_identically(family):
    """What TCP retransmits are the same bytes, with the option as long as the peer is silent."""
    sock, peer = host().connect(family)
    peer.tcp.auto_ack = False
    peer.handshake()

    def copies():
        return [s for s in peer.tcp.log if s.payload]

    peer.tcp.wait(lambda: len(copies()) >= 2, 15, "retransmission")
    first, second = copies()[:2]
    size = min(len(first.payload), len(second.payload))
    equal(second.payload[:size], first.payload[:size], "retransmitted bytes")
    equal(second.option(eno.KIND), [eno.NON_SYN], "option")
    peer.tcp.auto_ack = True
    peer.tcp.send_ack()
    connected(sock)
    same_secrets(sock, peer)


@test
def lost_data_is_repeated_as_the_same_ciphertext():
    sock, peer = host().opened(4, True)
    peer.tcp.auto_ack = False
    start = len(peer.tcp.log)
    sock.sendall(b"x" * 1000)

    def copies():
        return [s for s in peer.tcp.log[start:] if len(s.payload) > 500]

    peer.tcp.wait(lambda: len(copies()) >= 2, 15, "retransmission")
    first, second = copies()[:2]
    equal((second.seq, second.payload), (first.seq, first.payload), "retransmitted segment")
    peer.tcp.auto_ack = True
    peer.tcp.send_ack()
    equal(peer.recv(1000), b"x" * 1000)


@test
def forged_synack_changes_nothing():
    """One that TCP refuses, without the option, before the real one."""
    sock, peer = host().connect(4)
    peer.wait_syn()
    forged = peer.tcp.segment(SYN | ACK, b"", mss_option(), ack=peer.tcp.rcv_nxt + 77, seq=12345)
    peer.stack.send(forged)
    peer.tcp.wait_segment(lambda s: s.has(RST), what="refusal")
    peer.tcp.rst_seen = False
    peer.send_synack()
    connected(sock)
    same_secrets(sock, peer)


@test(family=FAMILIES)
def forged_ack_changes_nothing(family):
    """A third segment without the option and with a wrong acknowledgement number."""
    listener, peer = host().asked(family)
    peer.stack.send(peer.tcp.segment(ACK, ack=peer.tcp.rcv_nxt + 4242))
    peer.tcp.wait_segment(lambda s: s.has(RST), what="refusal")
    peer.tcp.rst_seen = False
    peer.send_ack()
    same_secrets(accepted(listener), peer)


@test
def reset_during_the_handshake_is_refused_connection():
    sock, peer = host().connect(4)
    peer.wait_syn()
    peer.tcp.transmit(peer.tcp.segment(RST | ACK), track=False)
    until(lambda: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111, what="ECONNREFUSED")


@test
def many_half_open_connections_cost_nothing_lasting():
    """SYNs that are never followed up; a good connection among them is encrypted."""
    listener = host().listener(4, backlog=256)
    peers = []
    for _ in range(64):
        peer = host().peer_connect(listener, 4)
        peer.tcp.auto_ack = False
        peer.send_syn()
        peers.append(peer)
    good = host().peer_connect(listener, 4)
    good.handshake()
    same_secrets(accepted(listener), good)


if __name__ == "__main__":
    main()
