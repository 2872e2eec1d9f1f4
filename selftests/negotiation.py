#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""RFC 8547 negotiation that succeeds, in both roles against the Python peer, and when no option is offered at all."""

from lib import ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, check, defer, equal, main, test
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import crypt, eno
from peer.tcp import ACK, OPT_NOP, SYN, mss_option, options_list, pad

ENO_SYN = bytes([69, 3, 0x23])
ENO_SYNACK = bytes([69, 4, 1, 0x23])


def without_eno(segment):
    return [raw for kind, raw in options_list(segment.options) if kind not in (OPT_NOP, eno.KIND, 8)]


def kinds(segment):
    return [kind for kind, _ in options_list(segment.options) if kind != OPT_NOP]


@test(family=FAMILIES)
def syn_offers_curve25519(family):
    _, peer = host().connect(family)
    equal(peer.wait_syn().option(eno.KIND), [ENO_SYN], "option of the SYN")


@test(family=FAMILIES)
def synack_answers_with_role_and_tep(family):
    peer = host().peer_connect(host().listener(family), family)
    peer.send_syn()
    equal(peer.wait_synack().option(eno.KIND), [ENO_SYNACK], "option of the SYN-ACK")


@test(family=FAMILIES)
def other_options_stay_as_they_were(family):
    ns = host().ns
    defer(ulp.enable, ns)
    seen = {}
    for on in (0, 1):
        ulp.enable(ns, connect=on, listen=on)
        _, peer = host().connect(family)
        syn = peer.wait_syn()
        active = host().peer_connect(host().listener(family), family)
        active.send_syn(options=pad(mss_option() + bytes([4, 2, 3, 3, 7]) + (ENO_SYN if on else b"")))
        seen[on] = (without_eno(syn), without_eno(active.wait_synack()))
        equal(8 in kinds(syn), True, "timestamps in the SYN")
    equal(seen[1], seen[0], "options besides ENO")


@test(family=FAMILIES)
def third_segment_has_the_empty_option(family):
    sock, peer = host().connect(family)
    peer.wait_syn()
    peer.send_synack()
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "option of the ACK")


@test(family=FAMILIES)
def option_goes_on_until_the_other_side_speaks(family):
    """Also Init1 has it; once we have acknowledged that, nothing has it any more."""
    sock, peer = host().connect(family)
    peer.tcp.auto_ack = False
    peer.handshake()
    peer.tcp.wait(lambda: len(peer.tcp.rx) >= 8, what="Init1")
    first = [s for s in peer.tcp.log if s.has(ACK) and not s.has(SYN)]
    check(all(s.option(eno.KIND) == [eno.NON_SYN] for s in first), "every segment before ours has the option")
    start = len(peer.tcp.log)
    peer.tcp.auto_ack = True
    peer.tcp.send_ack()
    peer.exchange_keys()
    connected(sock)
    sock.sendall(b"x" * 4000)
    equal(peer.recv(4000), b"x" * 4000)
    later = [s for s in peer.tcp.log[start:] if s.has(ACK) and len(s.payload) > 200]
    check(later and not any(s.option(eno.KIND) for s in later), "no option once we had spoken")


@test(family=FAMILIES, active=(True, False))
def both_sides_agree(family, active):
    with ulp.Counting(host().ns) as count:
        sock, peer = host().opened(family, active)
        sock.sendall(b"to the peer")
        equal(peer.recv(11), b"to the peer")
        peer.send(b"from the peer")
        equal(recv_exactly(sock, 13), b"from the peer")
        equal(ulp.session_id(sock), peer.secrets.session_id, "session ID")
        equal(ulp.option(sock, ulp.TCP_ENO_NEGTEP), ulp.TEP, "TEP")
        equal(ulp.option(sock, ulp.TCP_ENO_ROLE), ulp.ROLE_A if active else ulp.ROLE_B, "role")
        equal(ulp.transcript(sock), peer.transcript, "transcript")
        equal(ulp.option(sock, ulp.TCP_CRYPT_CONF), peer.secrets.aead, "AEAD")
        equal(ulp.ulp_name(sock), b"tcpcrypt", "ULP")
        side = "Active" if active else "Passive"
        equal((count(side + "Offered"), count(side + "Encrypted")), (1, 1), "counters %s" % count.grown())


@test(family=FAMILIES, active=(True, False), aead=tuple(ulp.AEADS))
def each_aead_by_sysctl(family, active, aead):
    ns = host().ns
    defer(ulp.set_aead, ns)
    ulp.set_aead(ns, aead)
    sock, peer = host().opened(family, active)
    equal(peer.secrets.aead, ulp.AEADS[aead], "AEAD chosen")
    if active:
        equal(peer.received_init.ciphers, [ulp.AEADS[aead]], "AEADs offered")
    sock.sendall(b"out" * 1000)
    peer.send(b"in" * 1000)
    equal(peer.recv(3000), b"out" * 1000)
    equal(recv_exactly(sock, 2000), b"in" * 1000)


@test
def offer_keeps_the_order_of_aconf():
    ns = host().ns
    defer(ulp.set_aead, ns)
    ns.sysctl("ipv4.tcp_crypt.aconf", "chacha20-poly1305 aes256-gcm")
    _, peer = host().opened(4, True)
    equal(peer.received_init.ciphers, [crypt.CHACHA20_POLY1305, crypt.AES_256_GCM], "offer")


@test
def host_b_follows_bconf():
    ns = host().ns
    defer(ulp.set_aead, ns)
    ns.sysctl("ipv4.tcp_crypt.bconf", "aes256-gcm aes128-gcm")
    _, peer = host().opened(4, False, ciphers=[crypt.CHACHA20_POLY1305, crypt.AES_128_GCM, crypt.AES_256_GCM])
    equal(peer.secrets.aead, crypt.AES_256_GCM, "AEAD chosen")


def finished(listener, peer, option):
    """The third segment with this option, the keys, and the same session ID."""
    peer.send_ack(pad(option))
    peer.negotiate()
    sock = accepted(listener)
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")


@test(
    offer=(
        eno.option(0x21, 0x22, 0x23, 0x24, 0x7F),
        eno.option(0x00, 0x23),
        eno.option(0x23, 0x00),
        eno.option(0x1E, 0x23),  # reserved bits and "a" are ignored, b is 0
        eno.option(0x00, 0x01, 0x23),  # only the first global suboption counts
        eno.option(0x81, 0xA1, b"xy", 0x23),  # data of another TEP with a length byte
        eno.option(0x23, 0xFF, b"to the end"),
    )
)
def passive_side_finds_its_tep(offer):
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.send_syn(offer)
    equal(peer.wait_synack().option(eno.KIND), [ENO_SYNACK])
    finished(listener, peer, eno.NON_SYN)


@test(length=(0, 1, 8, 9, 17))
def resumption_offer_gets_fresh_keys(length):
    """RFC 8548 3.5: less than nine bytes are as v = 0, and nothing that we know is named by the rest."""
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.send_syn(eno.option(0xA3, b"\x55" * length))
    equal(peer.wait_synack().option(eno.KIND), [ENO_SYNACK])
    finished(listener, peer, eno.NON_SYN)


@test(
    answer=(
        eno.option(0x01, 0x21, 0x23),
        eno.option(0x01, 0x23, 0x24),  # 0x24 was not offered
        eno.option(0x23, 0x01),
        eno.option(0x1F, 0x23),
        eno.option(0x01, 0x00, 0x23),
        eno.option(0x01, 0x80, 0xFF, b"x", 0x23),
    )
)
def active_side_takes_the_last_valid_tep(answer):
    sock, peer = host().connect(4)
    peer.wait_syn()
    peer.send_synack(answer)
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN])
    peer.negotiate()
    peer.exchange_keys()
    connected(sock)
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")


@test(contents=(b"", b"\x01\x02\x03"), copies=(1, 2))
def contents_of_the_non_syn_form_are_ignored(contents, copies):
    listener = host().listener(4)
    peer = host().peer_connect(listener, 4)
    peer.send_syn()
    peer.wait_synack()
    finished(listener, peer, (bytes([eno.KIND, 2 + len(contents)]) + contents) * copies)


@test(active=(True, False))
def nothing_is_offered_when_off(active):
    ns = host().ns
    defer(ulp.enable, ns)
    ulp.enable(ns, connect=0, listen=0)
    with ulp.Counting(ns) as count:
        if active:
            sock, peer = host().connect(4)
            equal(peer.wait_syn().option(eno.KIND), [], "option")
        else:
            peer = host().peer_connect(host().listener(4), 4)
            peer.send_syn()
            equal(peer.wait_synack().option(eno.KIND), [], "option")
        equal((count("ActiveOffered"), count("PassiveOffered")), (0, 0), "offers of %s" % count.grown())


@test(port=(22, 443, 853, 993))
def always_encrypted_ports_are_left_alone(port):
    _, peer = host().connect(4, port=port)
    equal(peer.wait_syn().option(eno.KIND), [], "option towards port %d" % port)
    active = host().peer_connect(host().listener(4, port=port), 4)
    active.send_syn()
    equal(active.wait_synack().option(eno.KIND), [], "option of the listener on port %d" % port)


@test
def excluded_ports_can_be_changed():
    ns = host().ns
    names = ("ipv4.tcp_eno.exclude_remote_ports", "ipv4.tcp_eno.exclude_local_ports")
    before = [ns.sysctl(name) for name in names]
    for name, value in zip(names, before):
        defer(ns.sysctl, name, value)
    ns.sysctl(names[0], "7000-7010,7020")
    ns.sysctl(names[1], "7030")
    for port, expected in ((7005, []), (7020, []), (7011, [ENO_SYN]), (443, [ENO_SYN])):
        _, peer = host().connect(4, port=port)
        equal(peer.wait_syn().option(eno.KIND), expected, "towards port %d" % port)
    for port, expected in ((7030, []), (7005, [ENO_SYNACK])):
        active = host().peer_connect(host().listener(4, port=port), 4)
        active.send_syn()
        equal(active.wait_synack().option(eno.KIND), expected, "listener on port %d" % port)


@test(active=(True, False), family=FAMILIES)
def explicit_ulp_works_with_the_sysctls_off(active, family):
    ns = host().ns
    defer(ulp.enable, ns)
    ulp.enable(ns, connect=0, listen=0)
    sock, peer = host().opened(family, active, setup=ulp.attach)
    equal(wait_sessid(sock), peer.secrets.session_id, "session ID")


@test
def session_ids_and_nonces_never_repeat():
    seen, nonces, keys = set(), set(), set()
    for number in range(6):
        sock, peer = host().opened(4, number % 2 == 0)
        seen.add(ulp.session_id(sock))
        nonces.add(peer.received_init.nonce)
        keys.add(peer.received_init.public)
    equal((len(seen), len(nonces), len(keys)), (6, 6, 6), "different session IDs, nonces and public keys")


if __name__ == "__main__":
    main()
