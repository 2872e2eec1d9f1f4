#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""TCP Fast Open (RFC 7413) beside ENO: it keeps working, plain, and the data of a SYN come once and right. Data in a SYN
with an ENO option are discarded, whatever Fast Open would do with them (RFC 8547 section 4.7), and our own has none.
"""

import errno
import os
import select
import socket

from lib import net, ulp
from lib.data import recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, raises, skip, test
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno
from peer.peer import Peer
from peer.tcp import ACK, MASK, OPT_TFO, PSH, SYN, mss_option, pad

TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_KEY, TCP_FASTOPEN_NO_COOKIE = 30, 33, 34
TCPI_OPT_SYN_DATA = 32
# Bits of net.ipv4.tcp_fastopen
CLIENT, SERVER, CLIENT_NO_COOKIE, SERVER_NO_COOKIE = 1, 2, 4, 0x200

COOKIE = bytes([OPT_TFO, 10]) + b"cookie!!"
COOKIE_REQUEST = bytes([OPT_TFO, 2])


def fast_open(mode, *namespaces):
    """net.ipv4.tcp_fastopen until the end of the test."""
    for ns in namespaces:
        defer(ns.sysctl, "ipv4.tcp_fastopen", ns.sysctl("ipv4.tcp_fastopen"))
        ns.sysctl("ipv4.tcp_fastopen", mode)


def option(sock, name, value):
    sock.setsockopt(socket.IPPROTO_TCP, name, value)


def server(sock):
    option(sock, socket.TCP_FASTOPEN, 5)


def server_without_cookie(sock):
    server(sock)
    option(sock, TCP_FASTOPEN_NO_COOKIE, 1)


# Real sockets on both sides


def hosts():
    pair = net.pair()
    ulp.enable(pair.a, pair.b)
    fast_open(CLIENT | SERVER, pair.a, pair.b)
    return pair


def listening(pair, family, setup=server, port=0):
    sock = pair.b.socket(family)
    defer(sock.close)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((pair.address("b", family), port))
    setup(sock)
    sock.listen()
    sock.settimeout(20)
    return sock


def by_sendto(sock, address, data):
    sent = sock.sendto(data, socket.MSG_FASTOPEN, address)
    sock.sendall(data[sent:])


def by_connect(sock, address, data):
    option(sock, TCP_FASTOPEN_CONNECT, 1)
    sock.connect(address)
    sock.sendall(data)


def by_sendto_without_cookie(sock, address, data):
    option(sock, TCP_FASTOPEN_NO_COOKIE, 1)
    by_sendto(sock, address, data)


def by_connect_without_cookie(sock, address, data):
    option(sock, TCP_FASTOPEN_NO_COOKIE, 1)
    by_connect(sock, address, data)


WITH_COOKIE = (by_sendto, by_connect)
WITHOUT_COOKIE = (by_sendto_without_cookie, by_connect_without_cookie)


def connection(pair, listener, how, data):
    """Opens, writes, and has everything come once, both ways. Whether data in the SYN were acknowledged."""
    sock = pair.a.socket(4 if listener.family == socket.AF_INET else 6)
    defer(sock.close)
    opened = Background(how, sock, listener.getsockname()[:2], data)
    other = accepted(listener)
    check(recv_exactly(other, len(data)) == data, "data")
    opened.join()
    other.sendall(b"answer")
    equal(recv_exactly(sock, 6), b"answer")
    check(not ulp.is_encrypted(sock) and not ulp.is_encrypted(other), "plain")
    equal((ulp.ulp_name(sock), ulp.ulp_name(other)), (b"", b""), "ULP")
    sock.shutdown(socket.SHUT_WR)
    equal(recv_all(other), b"", "after the data")
    other.close()
    equal(recv_all(sock), b"", "after the answer")
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5] & TCPI_OPT_SYN_DATA)


@test(family=FAMILIES, how=WITH_COOKIE)
def cookie_first_then_data_in_the_syn(family, how):
    pair = hosts()
    listener = listening(pair, family)
    # A cookie of another test is no good: the key is new.
    option(listener, TCP_FASTOPEN_KEY, os.urandom(16))
    equal(connection(pair, listener, how, b"without a valid cookie"), False, "data in the SYN")
    for size in (1, 500, 100000):
        equal(connection(pair, listener, how, os.urandom(size)), True, "data in the SYN")


@test(family=FAMILIES, how=WITHOUT_COOKIE)
def no_cookie_needed_by_socket_option(family, how):
    pair = hosts()
    listener = listening(pair, family, server_without_cookie)
    for size in (1, 100000):
        equal(connection(pair, listener, how, os.urandom(size)), True, "data in the SYN")


@test(family=FAMILIES, how=WITH_COOKIE)
def no_cookie_needed_by_the_namespace(family, how):
    pair = hosts()
    fast_open(CLIENT | SERVER | CLIENT_NO_COOKIE | SERVER_NO_COOKIE, pair.a, pair.b)
    listener = listening(pair, family)
    for size in (1, 100000):
        equal(connection(pair, listener, how, os.urandom(size)), True, "data in the SYN")


@test(family=FAMILIES, how=WITH_COOKIE + WITHOUT_COOKIE)
def server_without_fast_open(family, how):
    """The data in the SYN, if any, are sent again."""
    pair = hosts()
    listener = listening(pair, family, lambda sock: None)
    for size in (5, 50000):
        equal(connection(pair, listener, how, os.urandom(size)), False, "data in the SYN")


@test(family=FAMILIES)
def ordinary_client_of_a_fast_open_server_is_encrypted(family):
    pair = hosts()
    for setup in (server, server_without_cookie):
        listener = listening(pair, family, setup)
        sock = pair.a.socket(family)
        defer(sock.close)
        sock.connect(listener.getsockname()[:2])
        other = accepted(listener)
        sock.sendall(b"hello")
        equal(recv_exactly(other, 5), b"hello")
        if not ulp.PLAIN:
            equal(wait_sessid(sock), wait_sessid(other), "session IDs")


@test
def key_is_set_and_read_back_and_kept_by_a_new_listener():
    pair = hosts()
    key = os.urandom(16)
    first = listening(pair, 4)
    option(first, TCP_FASTOPEN_KEY, key)
    equal(first.getsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_KEY, 32), key, "key")
    connection(pair, first, by_sendto, b"for the cookie")
    port = first.getsockname()[1]
    first.close()
    second = listening(pair, 4, port=port)
    option(second, TCP_FASTOPEN_KEY, os.urandom(16) + key)
    equal(connection(pair, second, by_sendto, b"cookie by the second key"), True, "data in the SYN")


# The kernel connects to the Python peer


def fast_open_send(peer, data):
    """A socket with MSG_FASTOPEN under way."""
    sock = host().ns.socket(peer.family)
    defer(sock.close)
    sock.setblocking(False)
    try:
        sock.sendto(data, socket.MSG_FASTOPEN, peer.address())
    except BlockingIOError:
        pass
    return sock


def no_syn_with_both(peer):
    """Neither data nor a Fast Open option that is not empty, in any SYN with ENO."""
    for syn in (s for s in peer.tcp.log if s.has(SYN)):
        if syn.option(eno.KIND):
            equal(syn.payload, b"", "data beside ENO")
            check(all(len(found) == 2 for found in syn.option(OPT_TFO)), "Fast Open option beside ENO")


@test(family=FAMILIES, how=WITHOUT_COOKIE)
def no_data_rides_in_a_syn_with_the_option(family, how):
    """Also when the program asks for Fast Open without a cookie, and when the SYN is sent again."""
    fast_open(CLIENT, host().ns)
    peer = Peer.passive(host().stack, family, host().port())
    defer(peer.close)
    sock = host().ns.socket(family)
    defer(sock.close)
    sock.setblocking(False)
    try:
        how(sock, peer.address(), b"early")
    except BlockingIOError:
        pass
    equal(peer.wait_syn().payload, b"early", "data of the SYN")
    peer.tcp.wait_segment(lambda s: s.has(SYN), 10, "the SYN again", start=1)
    no_syn_with_both(peer)
    # Not acknowledged: TCP sends the data again
    peer.send_synack(option=None)
    equal(peer.tcp.read(5), b"early")


def mandatory(sock):
    ulp.attach(sock)
    ulp.set_option(sock, ulp.TCP_ENO_MANDATORY, 1)


@test(family=FAMILIES, how=WITH_COOKIE + WITHOUT_COOKIE)
def client_that_must_encrypt_sends_nothing_early(family, how):
    """Fast Open leaves ENO out, so that the open fails, and nothing of the data is in any segment."""
    fast_open(CLIENT, host().ns)
    peer = Peer.passive(host().stack, family, host().port())
    defer(peer.close)
    sock = host().ns.socket(family)
    defer(sock.close)
    mandatory(sock)
    sock.setblocking(False)

    def opens_and_fails():
        try:
            how(sock, peer.address(), b"secret")
            sock.sendall(b"secret")
        except BlockingIOError:
            pass
        connected(sock)
        raise AssertionError("connected")

    raises(errno.ECONNABORTED, opens_and_fails)
    equal([s for s in peer.tcp.log if s.payload], [], "segments with data")


@test(family=FAMILIES)
def server_that_must_encrypt_takes_nothing_early(family):
    """A SYN without an offer is refused, data and all; data beside one are discarded."""
    fast_open(SERVER, host().ns)

    def setup(sock):
        server_without_cookie(sock)
        mandatory(sock)

    sock = host().listener(family, setup)
    peer = host().peer_connect(sock, family)
    peer.send_syn(None, payload=b"early")
    peer.tcp.wait_rst()
    sock.setblocking(False)
    raises(errno.EAGAIN, sock.accept)
    sock.settimeout(20)
    peer = host().peer_connect(sock, family)
    peer.send_syn(payload=b"early")
    discarded(peer, lambda: accepted(sock), True)


@test
def cookie_is_used_and_the_connection_plain():
    """The first connection fetches the cookie; the second has it, and data, in its SYN."""
    fast_open(CLIENT, host().ns)
    port = host().port()
    first = Peer.passive(host().stack, 4, port)
    sock = fast_open_send(first, b"first")
    first.wait_syn()
    first.send_synack(option=None, options=pad(mss_option() + COOKIE))
    connected(sock)
    sock.sendall(b"first")
    equal(first.tcp.read(5), b"first")
    no_syn_with_both(first)
    sock.close()
    first.close()

    second = Peer.passive(host().stack, 4, port)
    defer(second.close)
    sock = fast_open_send(second, b"second")
    syn = second.wait_syn()
    equal((syn.payload, syn.option(OPT_TFO)), (b"second", [COOKIE]), "data, cookie")
    equal(syn.option(eno.KIND), [], "ENO beside a cookie")
    second.tcp.rcv_nxt += len(syn.payload)
    second.send_synack(option=None)
    connected(sock)
    second.tcp.send_data(b"answer")
    equal(recv_exactly(sock, 6), b"answer")
    check(not ulp.is_encrypted(sock), "plain")


@test(family=FAMILIES)
def synack_that_acknowledges_more_than_the_syn(family):
    """Nothing was sent in it: the SYN-ACK is no good, whatever option it has."""
    sock, peer = host().connect(family)
    peer.wait_syn()
    beyond = peer.tcp.segment(SYN | ACK, b"", pad(mss_option() + eno.synack_option(0x23)), ack=peer.tcp.rcv_nxt + 5)
    peer.tcp.transmit(beyond, track=False)
    reset = peer.tcp.wait_segment(lambda s: s.has(4), 10, "RST")
    equal(reset.seq, (peer.tcp.rcv_nxt + 5) & MASK, "the RST answers the SYN-ACK")
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    equal(poll.poll(0), [], "connect() is still under way")
    # The right one, and all is well
    peer.tcp.rst_seen = False
    peer.tcp.log.remove(reset)
    peer.send_synack()
    equal(peer.wait_ack().option(eno.KIND), [eno.NON_SYN], "option of the ACK")
    connected(sock)
    peer.negotiate()
    peer.exchange_keys()
    equal(wait_sessid(sock), peer.secrets.session_id)


@test(family=FAMILIES, answer=(eno.synack_option(0x23), b""))
def data_in_a_synack_are_discarded(family, answer):
    sock, peer = host().connect(family)
    peer.wait_syn()
    peer.own_option = answer or None
    peer.tcp.transmit(peer.tcp.segment(SYN | ACK, b"early", pad(mss_option() + answer)), track=False)
    ack = peer.wait_ack()
    equal((ack.ack - peer.tcp.iss) & MASK, 1, "acknowledged")
    connected(sock)
    peer.tcp.snd_una = peer.tcp.snd_nxt = (peer.tcp.iss + 1) & MASK
    if answer:
        peer.negotiate()
        peer.exchange_keys()
        wait_sessid(sock)
        peer.send(b"later")
    else:
        peer.tcp.send_data(b"later")
    equal(recv_exactly(sock, 5), b"later")


# The Python peer connects to the kernel: RFC 8547 section 4.7


def listener(family, kind):
    """Listeners by what they do with data in a SYN."""
    ns = host().ns
    fast_open(SERVER | (SERVER_NO_COOKIE if kind == "no_cookie_by_sysctl" else 0), ns)
    setup = {"ordinary": None, "no_cookie": server_without_cookie}.get(kind, server)
    return host().listener(family, setup)


LISTENERS = ("ordinary", "cookie", "no_cookie", "no_cookie_by_sysctl")


def discarded(peer, sock_of, encrypted):
    """After the SYN: only the SYN is acknowledged, and what comes later in its place is what counts."""
    answer = peer.wait_synack()
    equal((answer.ack - peer.tcp.iss) & MASK, 1, "acknowledged")
    equal(bool(answer.option(eno.KIND)), encrypted, "ENO in the answer")
    peer.tcp.snd_una = peer.tcp.snd_nxt = (peer.tcp.iss + 1) & MASK
    peer.tcp._unacked.clear()
    if encrypted:
        peer.send_ack()
        peer.negotiate()
        sock = sock_of()
        peer.exchange_keys()
        wait_sessid(sock)
        peer.send(b"LATER")
    else:
        peer.send_nonsyn = False
        peer.tcp.transmit(peer.tcp.segment(ACK | PSH, b"LATER"))
        sock = sock_of()
    equal(recv_exactly(sock, 5), b"LATER")
    check(ulp.is_encrypted(sock) == encrypted, "encrypted")
    sock.sendall(b"answer")
    equal((peer.recv if encrypted else peer.tcp.read)(6), b"answer")
    sock.setblocking(False)
    try:
        raise AssertionError("more data: %r" % sock.recv(100))
    except BlockingIOError:
        pass


@test(family=FAMILIES, kind=LISTENERS)
def data_beside_the_option_are_discarded(family, kind):
    sock = listener(family, kind)
    peer = host().peer_connect(sock, family)
    peer.send_syn(payload=b"early")
    discarded(peer, lambda: accepted(sock), True)


@test(family=FAMILIES, kind=("no_cookie", "ordinary"), offer=(eno.option(0x21), eno.option(0x84, 0xA3), eno.option(1, 0x23)))
def data_are_discarded_where_negotiation_fails(family, kind, offer):
    """A TEP that we have not, a malformed option, the wrong role."""
    sock = listener(family, kind)
    peer = host().peer_connect(sock, family)
    peer.send_syn(offer, payload=b"early")
    discarded(peer, lambda: accepted(sock), False)


def by_excluded_port(sock):
    """ENO is off because of the port, which is known when it listens."""
    name = "ipv4.tcp_eno.exclude_local_ports"
    defer(host().ns.sysctl, name, host().ns.sysctl(name))
    host().ns.sysctl(name, sock.getsockname()[1])


def by_option(sock):
    """The program asked for the ULP, and turned ENO off."""
    ulp.attach(sock)
    ulp.set_option(sock, ulp.TCP_ENO_ENABLED, 0)


@test(family=FAMILIES, off=(by_excluded_port, by_option))
def data_are_discarded_where_eno_is_off(family, off):
    """By configuration, of the administrator or of the program."""

    def setup(sock):
        server_without_cookie(sock)
        off(sock)

    fast_open(SERVER, host().ns)
    sock = host().listener(family, setup)
    peer = host().peer_connect(sock, family)
    peer.send_syn(payload=b"early")
    discarded(peer, lambda: accepted(sock), False)


@test(family=FAMILIES)
def data_are_discarded_after_eno_was_turned_off(family):
    ulp.enable(host().ns)
    sock = listener(family, "no_cookie")
    ulp.enable(host().ns, listen=0)
    defer(ulp.enable, host().ns)
    peer = host().peer_connect(sock, family)
    peer.send_syn(payload=b"early")
    discarded(peer, lambda: accepted(sock), False)


def cookie_of(family, sock):
    """A valid Fast Open option for the peer."""
    peer = host().peer_connect(sock, family)
    peer.send_syn(option=None, options=pad(mss_option() + COOKIE_REQUEST))
    found = peer.wait_synack().option(OPT_TFO)
    peer.close()
    if not found or len(found[0]) < 6:
        skip("no cookie in the SYN-ACK")
    return found[0]


@test(family=FAMILIES, offer=(eno.option(0x23), eno.option(0x21)))
def data_beside_the_option_and_a_valid_cookie(family, offer):
    """Such a SYN must not be. The cookie makes it a plain connection; its data are discarded all the same."""
    sock = listener(family, "cookie")
    cookie = cookie_of(family, sock)
    peer = host().peer_connect(sock, family)
    peer.send_syn(offer, options=pad(mss_option() + cookie + offer), payload=b"early")
    discarded(peer, lambda: accepted(sock), False)


@test(family=FAMILIES)
def data_beside_the_option_and_a_wrong_cookie(family):
    sock = listener(family, "cookie")
    peer = host().peer_connect(sock, family)
    option = eno.option(0x23)
    peer.send_syn(option, options=pad(mss_option() + COOKIE + option), payload=b"early")
    discarded(peer, lambda: accepted(sock), False)


@test(family=FAMILIES)
def synack_with_a_cookie_leaves_the_option_out(family):
    sock = listener(family, "cookie")
    peer = host().peer_connect(sock, family)
    peer.send_syn(options=pad(mss_option() + COOKIE_REQUEST + eno.option(0x23)), payload=b"early")
    check(len(peer.wait_synack().option(OPT_TFO)) == 1, "cookie in the SYN-ACK")
    discarded(peer, lambda: accepted(sock), False)


@test(family=FAMILIES, kind=("cookie", "no_cookie"))
def data_without_the_option_are_fast_opens(family, kind):
    sock = listener(family, kind)
    options = mss_option() + (cookie_of(family, sock) if kind == "cookie" else b"")
    peer = host().peer_connect(sock, family)
    peer.send_syn(None, options=pad(options), payload=b"early")
    other = accepted(sock)
    equal(recv_exactly(other, 5), b"early")
    equal((peer.wait_synack().ack - peer.tcp.iss) & MASK, 6, "acknowledged")
    peer.send_ack(b"")
    peer.tcp.send_data(b"later")
    equal(recv_exactly(other, 5), b"later")


if __name__ == "__main__":
    main()
