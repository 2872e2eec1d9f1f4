#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Options of a listening socket: set before and after listen(), inherited, changed while a handshake is under way; accept()
on it; and the same socket after it stopped listening."""

import errno
import os
import select
import socket
import threading

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, HEAVY, Background, check, defer, equal, main, raises, test, until
from lib.options import FACTS, NAMES, WISHES, error_of, get, put, wishes
from lib.peerhost import accepted, connected, host, wait_sessid
from peer import eno
from peer.peer import Peer

AWARE_ANSWER = eno.option(eno.GLOBAL_A | eno.GLOBAL_B, ulp.TEP)
ANSWER = eno.synack_option(ulp.TEP)


def listener(family, *settings):
    """Attached, with (option, value) set before listen()."""

    def setup(sock):
        ulp.attach(sock)
        for option, value in settings:
            put(sock, option, value)

    return host().listener(family, setup)


def answer(sock, family):
    """What a SYN with an offer is answered."""
    peer = host().peer_connect(sock, family)
    peer.send_syn()
    found = peer.wait_synack().option(eno.KIND)
    return found[0] if found else None


def open_from(sock, family):
    """(child, peer), encrypted."""
    peer = host().peer_connect(sock, family)
    peer.handshake()
    child = accepted(sock)
    peer.exchange_keys()
    wait_sessid(child)
    return child, peer


@test(family=FAMILIES)
def wishes_are_read_and_set_while_it_listens(family):
    sock = listener(family)
    for option, (default, other) in WISHES.items():
        equal(get(sock, option), default, NAMES[option])
        put(sock, option, other)
        equal(get(sock, option), other, NAMES[option])
        put(sock, option, default)
        put(sock, ulp.TCP_ENO_ENABLED, 1)
    for option in FACTS:
        raises(errno.ENOTCONN, get, sock, option)
    equal(ulp.ulp_name(sock), b"tcpcrypt")


@test(family=FAMILIES)
def wishes_from_before_listen_are_there_after_it(family):
    sock = host().ns.socket(family)
    defer(sock.close)
    ulp.attach(sock)
    put(sock, ulp.TCP_ENO_MANDATORY, 1)
    put(sock, ulp.TCP_ENO_SELF_AWARE, 2)
    put(sock, ulp.TCP_ENO_RAW, bytes([3, 0x20]))
    put(sock, ulp.TCP_CRYPT_BCONF, b"\x10\0")
    before = wishes(sock)
    sock.listen(1)
    equal(wishes(sock), before)


@test(family=FAMILIES)
def change_holds_for_the_next_syn(family):
    sock = listener(family)
    equal(answer(sock, family), ANSWER)
    put(sock, ulp.TCP_ENO_SELF_AWARE, 1)
    equal(answer(sock, family), AWARE_ANSWER)
    put(sock, ulp.TCP_ENO_ENABLED, 0)
    equal(answer(sock, family), None)
    put(sock, ulp.TCP_ENO_ENABLED, 1)
    put(sock, ulp.TCP_ENO_SELF_GOPT, 0)
    equal(answer(sock, family), ANSWER)
    put(sock, ulp.TCP_ENO_TEPS, b"")
    equal(answer(sock, family), None)


@test(family=FAMILIES)
def listener_that_was_off_is_turned_on(family):
    sock = listener(family, (ulp.TCP_ENO_ENABLED, 0))
    equal(answer(sock, family), None)
    put(sock, ulp.TCP_ENO_ENABLED, 1)
    equal(answer(sock, family), ANSWER)
    open_from(sock, family)


@test(family=FAMILIES)
def children_inherit_and_cannot_be_changed(family):
    settings = [
        (ulp.TCP_ENO_SELF_AWARE, 1),
        (ulp.TCP_ENO_MANDATORY, 1),
        (ulp.TCP_CRYPT_ACONF, b"\2\0"),
        (ulp.TCP_CRYPT_BCONF, b"\x10\0\1\0"),
        (ulp.TCP_ENO_TEPS, b"\x23"),
    ]
    sock = listener(family, *settings)
    child, peer = open_from(sock, family)
    for option, value in settings:
        equal(get(child, option), value, NAMES[option])
    for option, (_, other) in WISHES.items():
        raises(errno.EISCONN, put, child, option, other)
    equal(get(child, ulp.TCP_CRYPT_CONF), 16, "role B's preference")
    equal(get(child, ulp.TCP_ENO_SELF_GOPT), eno.GLOBAL_A | eno.GLOBAL_B, "sent")
    equal(peer.transcript[-4:], AWARE_ANSWER)
    # What its listener wishes later is nothing to a child.
    put(sock, ulp.TCP_ENO_SELF_AWARE, 0)
    put(sock, ulp.TCP_CRYPT_ACONF, b"")
    for option, value in settings:
        equal(get(child, option), value, NAMES[option])


@test(family=FAMILIES, change=("aware", "off", "no_teps"))
def handshake_under_way_goes_on_with_what_was_answered(family, change):
    sock = listener(family)
    peer = host().peer_connect(sock, family)
    peer.send_syn()
    peer.wait_synack()
    if change == "aware":
        put(sock, ulp.TCP_ENO_SELF_AWARE, 1)
    elif change == "off":
        put(sock, ulp.TCP_ENO_ENABLED, 0)
    else:
        put(sock, ulp.TCP_ENO_TEPS, b"")
    peer.send_ack()
    peer.negotiate()
    child = accepted(sock)
    peer.exchange_keys()
    wait_sessid(child)
    equal(ulp.session_id(child), peer.secrets.session_id)
    equal(ulp.transcript(child), eno.syn_option(ulp.TEP) + ANSWER)
    equal(get(child, ulp.TCP_ENO_SELF_GOPT), eno.GLOBAL_B, "what was sent")
    equal(get(child, ulp.TCP_ENO_SELF_AWARE), 0, "what was sent")


@test(family=FAMILIES)
def synack_that_is_sent_again_is_the_same_after_a_change(family):
    sock = listener(family)
    peer = host().peer_connect(sock, family)
    peer.send_syn()
    first = peer.wait_synack()
    put(sock, ulp.TCP_ENO_SELF_AWARE, 1)
    peer.tcp.log.clear()
    again = peer.wait_synack()
    equal(again.option(eno.KIND), first.option(eno.KIND))


@test
def attaching_is_too_late():
    sock = host().listener(4)
    raises(errno.EISCONN, ulp.attach, sock)
    for option in WISHES:
        raises(errno.ENOPROTOOPT, get, sock, option)


# accept()


def pair_listener(family, blocking=True):
    pair = net.pair()
    ulp.enable(pair.a, pair.b, connect=0, listen=0)
    sock = pair.b.socket(family)
    defer(sock.close)
    sock.bind((pair.address("b", family), 0))
    ulp.attach(sock)
    sock.listen(64)
    sock.setblocking(blocking)
    return sock


def client(sock, family, attach):
    one = net.pair().a.socket(family)
    defer(one.close)
    if attach:
        ulp.attach(one)
    one.connect(sock.getsockname()[:2])
    return one


def talk(one, two, encrypted):
    if encrypted:
        until(lambda: ulp.is_encrypted(one) and ulp.is_encrypted(two), what="session IDs")
        equal(ulp.session_id(one), ulp.session_id(two))
        equal(get(two, ulp.TCP_ENO_ROLE), ulp.ROLE_B)
    else:
        equal((ulp.ulp_name(one), ulp.ulp_name(two)), (b"", b""), "plain")
    for source, sink in ((one, two), (two, one)):
        source.sendall(b"hello")
        equal(recv_exactly(sink, 5), b"hello")
    if not encrypted:
        raises(errno.ENOPROTOOPT, get, two, ulp.TCP_ENO_ENABLED)
        two.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        equal(two.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)


@test(family=FAMILIES)
def accept_gives_plain_and_encrypted_children(family):
    sock = pair_listener(family)
    for encrypted in (True, False, False, True):
        one = client(sock, family, encrypted)
        two, _ = sock.accept()
        defer(two.close)
        talk(one, two, encrypted)


@test(family=FAMILIES)
def accept_that_waits(family):
    sock = pair_listener(family)
    for encrypted in (False, True):
        waiting = Background(sock.accept)
        until(waiting.in_system_call, what="accept() asleep")
        one = client(sock, family, encrypted)
        two, _ = waiting.join()
        defer(two.close)
        talk(one, two, encrypted)


@test(family=FAMILIES)
def accept_that_does_not_wait(family):
    sock = pair_listener(family, blocking=False)
    raises(errno.EAGAIN, sock.accept)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    equal(poll.poll(0), [])
    for encrypted in (True, False):
        one = client(sock, family, encrypted)
        equal(poll.poll(10000), [(sock.fileno(), select.POLLIN)])
        fd, _ = sock._accept()  # accept4()
        two = socket.socket(fileno=fd)
        defer(two.close)
        two.setblocking(True)
        check(not os.get_inheritable(fd), "SOCK_CLOEXEC")
        talk(one, two, encrypted)
    raises(errno.EAGAIN, sock.accept)


@test(family=FAMILIES)
def accept_needs_a_listener(family):
    """accept() on a socket that does not listen is EINVAL, attached or not."""
    sock = net.pair().b.socket(family)
    defer(sock.close)
    ulp.attach(sock)
    raises(errno.EINVAL, sock.accept)


# After it stopped listening


def stop_by_shutdown(sock):
    sock.shutdown(socket.SHUT_RD)


def stop_by_disconnect(sock):
    equal(ulp.disconnect(sock), 0, "connect(AF_UNSPEC)")


STOPS = (stop_by_shutdown, stop_by_disconnect)


@test(family=FAMILIES, stop=STOPS)
def connect_after_it_listened(family, stop):
    sock = pair_listener(family)
    put(sock, ulp.TCP_ENO_SELF_AWARE, 1)
    stop(sock)
    raises(errno.EINVAL, sock.accept)
    equal(get(sock, ulp.TCP_ENO_SELF_AWARE), 1, "its wishes are there")
    put(sock, ulp.TCP_ENO_SELF_AWARE, 2)
    other = net.pair().a.socket(family)
    defer(other.close)
    other.bind((net.Pair.address("a", family), 0))
    ulp.attach(other)
    put(other, ulp.TCP_ENO_SELF_AWARE, 1)
    other.listen(1)
    sock.connect(other.getsockname()[:2])
    two, _ = other.accept()
    defer(two.close)
    until(lambda: ulp.is_encrypted(sock) and ulp.is_encrypted(two), what="session IDs")
    equal(get(sock, ulp.TCP_ENO_ROLE), ulp.ROLE_A)
    sock.sendall(b"hello")
    equal(recv_exactly(two, 5), b"hello")
    two.close()
    equal(sock.recv(1), b"", "authentic end")


@test(family=FAMILIES, stop=STOPS)
def write_that_waits_for_such_a_connect(family, stop):
    """It began before it was known that the connection is encrypted."""
    sock = host().ns.socket(family)
    defer(sock.close)
    ulp.attach(sock)
    sock.listen(1)
    stop(sock)
    peer = Peer.passive(host().stack, family, host().port())
    defer(peer.close)
    sock.setblocking(False)
    equal(error_of(sock.connect, peer.address()), errno.EINPROGRESS)
    sock.setblocking(True)
    writer = Background(sock.sendall, b"hello")
    until(writer.in_system_call, what="writer asleep")
    with ulp.Counting(host().ns) as count:
        peer.handshake()
        peer.exchange_keys()
        equal(peer.recv(5), b"hello")
        equal(count("PlaintextBlocked"), 0)
    writer.join()


@test(family=FAMILIES, stop=STOPS)
def plain_connect_after_it_listened(family, stop):
    sock = pair_listener(family)
    stop(sock)
    put(sock, ulp.TCP_ENO_ENABLED, 0)
    other = net.pair().a.socket(family)
    defer(other.close)
    other.bind((net.Pair.address("a", family), 0))
    other.listen(1)
    sock.connect(other.getsockname()[:2])
    two, _ = other.accept()
    defer(two.close)
    talk(sock, two, False)


@test(family=FAMILIES, stop=STOPS)
def it_listens_again(family, stop):
    sock = pair_listener(family)
    address = sock.getsockname()
    for encrypted in (True, False):
        stop(sock)
        if sock.getsockname()[1] != address[1]:
            sock.bind(address)
        sock.listen(8)
        one = client(sock, family, encrypted)
        two, _ = sock.accept()
        defer(two.close)
        talk(one, two, encrypted)


@test(family=FAMILIES)
def listen_that_fails(family):
    """The port is taken: the socket is not a listener, its options are there, and it can connect."""
    other = pair_listener(family)
    first, sock = net.pair().b.socket(family), net.pair().b.socket(family)
    for each in (first, sock):
        defer(each.close)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("", 0) if each is first else ("", first.getsockname()[1]))
        ulp.attach(each)
    first.listen(1)
    raises(errno.EADDRINUSE, sock.listen, 1)
    equal(get(sock, ulp.TCP_ENO_ENABLED), 1)
    raises(errno.EINVAL, sock.accept)
    first.close()
    sock.connect(other.getsockname()[:2])
    two, _ = other.accept()
    defer(two.close)
    talk(sock, two, True)


@test(family=FAMILIES)
def child_outlives_its_listener(family):
    sock = pair_listener(family)
    pairs = []
    for encrypted in (True, False):
        one = client(sock, family, encrypted)
        two, _ = sock.accept()
        defer(two.close)
        pairs.append((one, two, encrypted))
    # One that nobody accepts.
    orphan = client(sock, family, True)
    sock.close()
    for each in pairs:
        talk(*each)
    orphan.settimeout(20)
    check(error_of(orphan.recv, 1) in (errno.ECONNRESET, errno.ECONNABORTED), "reset")


def references():
    with open("/sys/module/tcpcrypt/refcnt") as file:
        return int(file.read())


@test(family=FAMILIES)
def references_on_the_module_are_balanced(family):
    """Each attached socket has one, and a plain child none."""
    until(lambda: references() == 0, 90, "idle module")
    sock = pair_listener(family)
    equal(references(), 1, "listener")
    plain = client(sock, family, False)
    child, _ = sock.accept()
    equal(references(), 1, "plain child")
    one = client(sock, family, True)
    two, _ = sock.accept()
    talk(one, two, True)
    equal(references(), 3, "encrypted pair")
    raises(errno.EAGAIN, pair_listener(family, blocking=False).accept)
    one.close()
    equal(two.recv(1), b"")
    two.close()
    stop_by_shutdown(sock)
    sock.listen(1)
    sock.close()
    talk(plain, child, False)
    child.close()
    until(lambda: references() == 1, 90, "all but the second listener")


@test(family=FAMILIES, timeout=180)
def wishes_that_change_while_connections_come(family):
    """Every connection is encrypted or plain, at both ends."""
    sock = pair_listener(family)
    stop = threading.Event()
    changes = (
        (ulp.TCP_ENO_ENABLED, (0, 1)),
        (ulp.TCP_ENO_SELF_GOPT, (2, 1, 0)),
        (ulp.TCP_ENO_RAW, (b"\1\x7f", b"\1\x7f" + bytes([0xA0]) + bytes(35), b"")),
        (ulp.TCP_ENO_TEPS, (b"", b"\x23")),
        (ulp.TCP_CRYPT_BCONF, (b"\2\0", b"\x10\0\1\0", b"")),
    )

    def change():
        while not stop.is_set():
            for option, values in changes:
                for value in values:
                    put(sock, option, value)
                    get(sock, option)

    changer = Background(change)
    defer(stop.set)
    encrypted = 0
    for _ in range(400 if HEAVY else 60):
        one = net.pair().a.socket(family)
        ulp.attach(one)
        one.connect(sock.getsockname()[:2])
        two, _ = sock.accept()
        for source, sink in ((one, two), (two, one)):
            source.sendall(b"hello")
            equal(recv_exactly(sink, 5), b"hello")
        identifiers = [ulp.is_encrypted(end) and ulp.session_id(end) for end in (one, two)]
        equal(identifiers[0], identifiers[1])
        encrypted += bool(identifiers[0])
        one.close()
        two.close()
    stop.set()
    changer.join()
    check(encrypted > 0, "some are encrypted")


@test
def listener_cannot_connect():
    """And goes on to listen when it was tried."""
    sock = pair_listener(4)
    raises(errno.EISCONN, sock.connect, sock.getsockname())
    one = client(sock, 4, True)
    two, _ = sock.accept()
    defer(two.close)
    talk(one, two, True)
    connected(one)


if __name__ == "__main__":
    main()
