#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Every reason of RFC 8547 for which encryption is disabled: plain TCP that works, its counter, and no option any more."""

import errno
import socket

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, raises, skip, test, until
from lib.peerhost import accepted, connected, host
from peer import eno
from peer.tcp import ACK, PSH, SYN, mss_option, pad

SYNACK = eno.synack_option(0x23)

# What a passive opener must not encrypt with: name -> (ENO options in the SYN, counter that grows)
BAD_SYN = {
    "none": (b"", "FallbackNoOption"),
    "doubled": (eno.option(0x23) * 2, "FallbackDuplicate"),
    "vacuous": (eno.option(), "FallbackNoTep"),
    "vacuous_with_global": (eno.option(0x00), "FallbackNoTep"),
    "unknown_tep": (eno.option(0x20), "FallbackNoTep"),
    "unknown_teps": (eno.option(0x21, 0x22, 0x24, 0x70), "FallbackNoTep"),
    "b_set": (eno.option(0x01, 0x23), "FallbackRole"),
    "b_set_after_the_tep": (eno.option(0x23, 0x01), "FallbackRole"),
    "length_beyond_the_end": (eno.option(0x84, 0xA3, b"abc"), "FallbackMalformed"),
    "length_before_v0": (eno.option(0x80, 0x23, 0x23), "FallbackMalformed"),
    "length_before_global": (eno.option(0x80, 0x01, 0x23), "FallbackMalformed"),
    "length_before_length": (eno.option(0x80, 0x80, 0xA3, b"x"), "FallbackMalformed"),
    "length_last": (eno.option(0x23, 0x80), "FallbackMalformed"),
}

# And an active opener in the SYN-ACK
BAD_SYNACK = {
    "none": (b"", "FallbackNoOption"),
    "doubled": (SYNACK * 2, "FallbackDuplicate"),
    "doubled_with_other": (SYNACK + eno.option(1), "FallbackDuplicate"),
    "echoed": (eno.option(0x23), "FallbackRole"),
    "b_clear": (eno.option(0x00, 0x23), "FallbackRole"),
    "b_in_second_global": (eno.option(0x00, 0x01, 0x23), "FallbackRole"),
    "vacuous": (eno.option(0x01), "FallbackNoTep"),
    "empty": (eno.option(), "FallbackRole FallbackNoTep"),
    "tep_not_offered": (eno.option(0x01, 0x24), "FallbackNoTep"),
    "length_beyond_the_end": (eno.option(0x01, 0x9F, 0xA3, b"abc"), "FallbackMalformed"),
    "length_before_v0": (eno.option(0x01, 0x80, 0x23, 0x23), "FallbackMalformed"),
    "length_last": (eno.option(0x01, 0x23, 0x85), "FallbackMalformed"),
}


def plain_both_ways(sock, peer):
    """Plain TCP, and nothing of us is left on the socket."""
    sock.sendall(b"plain from the kernel")
    equal(peer.tcp.read(21), b"plain from the kernel")
    peer.tcp.send_data(b"plain to the kernel")
    equal(recv_exactly(sock, 19), b"plain to the kernel")
    nonsyn = [s for s in peer.tcp.log if not s.has(SYN)]
    check(not any(s.option(eno.KIND) for s in nonsyn), "no ENO option once it is disabled")
    no_trace(sock)


def no_trace(sock):
    for option in (ulp.TCP_ENO_SESSID, ulp.TCP_ENO_NEGTEP, ulp.TCP_ENO_ROLE, ulp.TCP_CRYPT_CONF):
        raises(errno.ENOPROTOOPT, sock.getsockopt, socket.IPPROTO_TCP, option, 64)
    equal(ulp.ulp_name(sock), b"", "ULP")


def end_both(sock, peer):
    sock.shutdown(socket.SHUT_WR)
    peer.tcp.wait_fin()
    peer.tcp.send_fin()
    equal(recv_exactly(sock, 1), b"", "end of file")


@test(family=FAMILIES, case=tuple(BAD_SYN))
def syn(family, case):
    options, counter = BAD_SYN[case]
    listener = host().listener(family)
    with ulp.Counting(host().ns) as count:
        peer = host().peer_connect(listener, family)
        peer.send_syn(option=options or None)
        answer = peer.wait_synack().option(eno.KIND)
        # RFC 8547 4.6 allows a vacuous answer with b = 1 to an option
        check(answer == [] or (options and answer == [eno.option(1)]), "answer %r" % answer)
        peer.send_ack(b"")
        sock = accepted(listener)
        plain_both_ways(sock, peer)
        end_both(sock, peer)
        equal(count("PassiveEncrypted"), 0, "encrypted")
        if case != "none":
            equal(sum(map(count, counter.split())), 1, "%s of %s" % (counter, count.grown()))


@test(family=FAMILIES, case=tuple(BAD_SYNACK))
def synack(family, case):
    options, counter = BAD_SYNACK[case]
    with ulp.Counting(host().ns) as count:
        sock, peer = host().connect(family)
        peer.wait_syn()
        peer.send_synack(option=options or None)
        equal(peer.wait_ack().option(eno.KIND), [], "option of the third segment")
        connected(sock)
        plain_both_ways(sock, peer)
        end_both(sock, peer)
        equal((count("ActiveOffered"), count("ActiveEncrypted")), (1, 0), "offered, encrypted")
        equal(sum(map(count, counter.split())), 1, "%s of %s" % (counter, count.grown()))


@test(family=FAMILIES, with_data=(False, True))
def ack_without_option(family, with_data):
    """The first ACK decides (RFC 8547 4.6, rule 1)."""
    listener = host().listener(family)
    with ulp.Counting(host().ns) as count:
        peer = host().peer_connect(listener, family)
        peer.send_nonsyn = False
        peer.send_syn()
        equal(peer.wait_synack().option(eno.KIND), [SYNACK])
        if with_data:
            peer.tcp.transmit(peer.tcp.segment(ACK | PSH, b"data in the first ACK"))
        else:
            peer.send_ack(b"")
        sock = accepted(listener)
        if with_data:
            equal(recv_exactly(sock, 21), b"data in the first ACK")
        plain_both_ways(sock, peer)
        equal((count("PassiveEncrypted"), count("FallbackNoAck")), (0, 1), "counters %s" % count.grown())


@test
def option_after_a_first_ack_without_it_changes_nothing():
    listener, peer = host().asked(4)
    peer.send_nonsyn = False
    peer.send_ack(b"")
    sock = accepted(listener)
    peer.tcp.transmit(peer.tcp.segment(ACK | PSH, b"late", pad(eno.NON_SYN)))
    equal(recv_exactly(sock, 4), b"late")
    no_trace(sock)


@test(case=("second_without", "second_with_other_tep"))
def retransmitted_syn_that_differs(case):
    """An active opener may leave ENO out of a retransmitted SYN; then it is plain, never broken."""
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.tcp.auto_ack = False
    peer.send_syn()
    peer.wait_synack()
    option = b"" if case == "second_without" else eno.option(0x21)
    again = peer.tcp.segment(SYN, b"", pad(mss_option() + option), seq=peer.tcp.iss, ack=0)
    peer.tcp.transmit(again, track=False)
    peer.send_nonsyn = False
    peer.send_ack(b"")
    peer.tcp.auto_ack = True
    sock = accepted(listener)
    plain_both_ways(sock, peer)


@test
def ill_formed_option_list_is_plain():
    """An ENO option whose TCP length runs out of the header."""
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.send_syn(option=None, options=mss_option() + bytes([69, 9, 0x23, 1]))
    peer.wait_synack()
    peer.send_ack(b"")
    plain_both_ways(accepted(listener), peer)
    sock, passive = host().connect(4)
    passive.wait_syn()
    passive.send_synack(option=None, options=mss_option() + bytes([69, 0, 0x23, 1]))
    equal(passive.wait_ack().option(eno.KIND), [])
    connected(sock)
    plain_both_ways(sock, passive)


@test
def option_in_experimental_form_is_not_ours():
    """Kind 253 with ExID 0x454E is for older implementations (RFC 8547 section 11)."""
    peer = host().peer_connect(host().listener(4), 4)
    peer.send_syn(option=None, options=pad(mss_option() + bytes([253, 5, 0x45, 0x4E, 0x23])))
    equal(peer.wait_synack().option(eno.KIND), [])


@test(family=FAMILIES)
def resumption_answer_that_nobody_asked_for(family):
    """A TEP with session data in the SYN-ACK is not valid here; the connection must work, and not be half encrypted."""
    sock, peer = host().connect(family)
    peer.wait_syn()
    peer.send_synack(eno.option(0x01, 0xA3, bytes(17)))
    third = peer.wait_ack()
    connected(sock)
    if third.option(eno.KIND):
        peer.negotiate()
        peer.exchange_keys()
        equal(until(lambda: ulp.is_encrypted(sock) and ulp.session_id(sock)), peer.secrets.session_id)
    else:
        plain_both_ways(sock, peer)


@test(family=FAMILIES)
def plain_hosts_on_either_side(family):
    """Module off on one side of a link, on on the other."""
    pair = net.pair()
    for a, b in ((1, 0), (0, 1)):
        ulp.enable(pair.a, connect=a, listen=a)
        ulp.enable(pair.b, connect=b, listen=b)
        for client, server, side in ((pair.a, pair.b, "b"), (pair.b, pair.a, "a")):
            listener = server.socket(family)
            defer(listener.close)
            listener.bind((pair.address(side, family), 0))
            listener.listen()
            sock = client.socket(family)
            defer(sock.close)
            sock.settimeout(20)
            sock.connect(listener.getsockname()[:2])
            other = accepted(listener)
            sock.sendall(b"ping")
            equal(recv_exactly(other, 4), b"ping")
            other.sendall(b"pong")
            equal(recv_exactly(sock, 4), b"pong")
            no_trace(sock)
            no_trace(other)


@test
def tls_ulp_fits_on_a_connection_that_fell_back():
    sock, peer = host().connect(4)
    peer.handshake_plain()
    connected(sock)
    plain_both_ways(sock, peer)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, ulp.TCP_ULP, b"tls")
    except OSError as error:
        if error.errno == errno.ENOENT:
            skip("no tls module")
        raise
    equal(ulp.ulp_name(sock), b"tls", "ULP")


@test(family=FAMILIES)
def syn_cookies_are_plain(family):
    ns = host().ns
    defer(ns.sysctl, "ipv4.tcp_syncookies", ns.sysctl("ipv4.tcp_syncookies"))
    ns.sysctl("ipv4.tcp_syncookies", 2)
    listener = host().listener(family)
    peer = host().peer_connect(listener, family)
    peer.send_nonsyn = False
    peer.send_syn()
    equal(peer.wait_synack().option(eno.KIND), [], "option of the SYN-ACK")
    peer.send_ack(b"")
    plain_both_ways(accepted(listener), peer)


@test
def early_data_of_the_server_stays_plain():
    """The server speaks first, on a connection that fell back because of the third segment."""
    listener, peer = host().asked(4)
    peer.send_nonsyn = False
    peer.send_ack(b"")
    sock = accepted(listener)
    sock.sendall(b"220 ready\r\n")
    equal(peer.tcp.read(11), b"220 ready\r\n")
    no_trace(sock)


if __name__ == "__main__":
    main()
