#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Paths that drop ENO or take it away. The connection leaves ENO out of its SYN after some retransmissions, and what was
seen is remembered per destination: the next connection there is plain from its first SYN. /proc/net/tcp_eno_failed shows
it, and takes "clear" or an address to forget.
"""

import errno
import functools
import os
import socket
import subprocess
import sys
import time

from lib import ulp
from lib.bridge import middlebox, pass_on, without
from lib.data import recv_exactly
from lib.harness import FAMILIES, HEAVY, check, defer, equal, main, raises, skip, test, until
from lib.peerhost import Host, connected, host, wait_sessid
from peer import eno
from peer.peer import Peer
from peer.tcp import ACK, SYN

TCP_USER_TIMEOUT = 18
TCP_CLOSE = 7
TCP_ENO_MANDATORY = 6912
FILE = "/proc/thread-self/net/tcp_eno_failed"


def remembered(ns):
    """{address: (reason, seconds left)}, from a file whose lines are in the order of addresses."""
    with ns, open(FILE) as file:
        lines = [line.rstrip("\n").split(" ") for line in file]
    return {address: (reason, int(left)) for address, reason, left in lines}


def write(ns, text):
    with ns:
        fd = os.open(FILE, os.O_WRONLY)
    try:
        return os.write(fd, text)
    finally:
        os.close(fd)


def setting(name, value, ns=None):
    """Until the end of the test."""
    ns = ns or host().ns
    defer(ns.sysctl, "ipv4.tcp_eno." + name, ns.sysctl("ipv4.tcp_eno." + name))
    ns.sysctl("ipv4.tcp_eno." + name, value)


def begin(*, retransmissions=0):
    """What fails is remembered, nothing yet, and SYNs are sent again with ENO so often."""
    setting("failure_lifetime", 3600)
    setting("syn_retransmissions", retransmissions)


def number(family, last):
    """An address of the peer's network."""
    return ("10.99.0.%d" if family == 4 else "fd99::%d") % last


def connecting(family, last=2, on=None, setup=None):
    """(kernel socket in connect() to an address of the peer's, peer); the peer answers no SYN by itself."""
    on = on or host()
    peer = Peer.passive(on.stack, family, on.port())
    defer(peer.close)
    address = number(family, last)
    peer.tcp.local = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, address)
    sock = on.ns.socket(family)
    defer(sock.close)
    if setup:
        setup(sock)
    sock.setblocking(False)
    try:
        sock.connect((address, peer.tcp.lport))
    except BlockingIOError:
        pass
    return sock, peer


def has_option(segment):
    return bool(segment.option(eno.KIND))


def syns(peer):
    return [s for s in peer.tcp.log if s.flags & (SYN | ACK) == SYN]


def plain_syn(peer, which=1):
    """Waits for the first SYN (or a later one) without the option."""
    peer.tcp.wait(lambda: sum(not has_option(s) for s in syns(peer)) >= which, 20, "SYN without the option")
    return peer.wait_syn()


def works(sock, peer):
    """Plain TCP; the third segment has no option."""
    equal(peer.wait_ack().option(eno.KIND), [], "option of the third segment")
    connected(sock)
    sock.sendall(b"plain from the kernel")
    equal(peer.tcp.read(21), b"plain from the kernel")
    peer.tcp.send_data(b"plain to the kernel")
    equal(recv_exactly(sock, 19), b"plain to the kernel")
    check(not any(has_option(s) for s in peer.tcp.log if not s.has(SYN)), "no option")
    equal(ulp.ulp_name(sock), b"", "ULP")


def fails(family, last=2, on=None):
    """A connection over a path that drops SYNs with the option; syn_retransmissions is 0, so that it takes a second."""
    sock, peer = connecting(family, last, on)
    plain_syn(peer)
    peer.send_synack(option=None)
    works(sock, peer)


def tries(family, last=2, on=None, **more):
    """Whether a new connection there has the option in its first SYN."""
    sock, peer = connecting(family, last, on, **more)
    return has_option(peer.wait_syn())


@test(family=FAMILIES, retransmissions=(0, 1, 2, 3))
def left_out_after_so_many_retransmissions(family, retransmissions):
    begin(retransmissions=retransmissions)
    with ulp.Counting(host().ns) as count:
        sock, peer = connecting(family)
        plain_syn(peer)
        peer.send_synack(option=None)
        works(sock, peer)
        seen = syns(peer)
        equal([has_option(s) for s in seen], [True] * (retransmissions + 1) + [False], "options of the SYNs")
        equal(len({s.option(eno.KIND)[0] for s in seen[:-1]}), 1, "different options")
        took = seen[-1].time - seen[0].time
        # A second for each, as the kernel sends the first four again
        check(retransmissions + 0.8 < took < retransmissions + 1.9, "took %.1f s" % took)
        equal((count("FallbackSynUnanswered"), count("ActiveOffered")), (1, 1), "counters %s" % count.grown())
    (reason, left) = remembered(host().ns)[number(family, 2)]
    equal(reason, "syn-unanswered")
    check(3590 < left <= 3600, "%d s left" % left)


@test(family=FAMILIES)
def as_long_as_no_syn_is_answered(family):
    """Once the option was left out it does not come back, whatever is set meanwhile."""
    begin()
    sock, peer = connecting(family)
    plain_syn(peer)
    host().ns.sysctl("ipv4.tcp_eno.syn_retransmissions", 127)
    plain_syn(peer, 3)
    equal([has_option(s) for s in syns(peer)], [True, False, False, False])
    peer.send_synack(option=None)
    works(sock, peer)
    # Not the first without it was answered: the others were lost as well
    equal(remembered(host().ns), {})


@test(family=FAMILIES)
def never_left_out(family):
    begin(retransmissions=127)
    sock, peer = connecting(family)
    peer.tcp.wait(lambda: len(syns(peer)) == 5, 20, "five SYNs")
    check(all(map(has_option, syns(peer))), "the option in all")


@test(family=FAMILIES)
def answer_with_the_option_came_late(family):
    """To the first SYN, when it was sent again without the option: the connection is plain, and the path is good."""
    begin()
    sock, peer = connecting(family)
    plain_syn(peer)
    peer.send_synack()
    works(sock, peer)
    equal(remembered(host().ns), {})
    check(tries(family), "the next one tries")


@test(family=FAMILIES)
def peer_without_eno_is_not_remembered(family):
    begin()
    sock, peer = connecting(family)
    peer.handshake_plain()
    works(sock, peer)
    equal(remembered(host().ns), {})


@test(family=FAMILIES, attached=(False, True))
def next_connection_is_plain_at_once(family, attached):
    begin()
    fails(family)
    with ulp.Counting(host().ns) as count:
        start = time.monotonic()
        sock, peer = connecting(family, setup=ulp.attach if attached else None)
        check(not has_option(peer.wait_syn()), "no option in the first SYN")
        peer.send_synack(option=None)
        works(sock, peer)
        check(time.monotonic() - start < 0.9, "no delay")
        equal((count("FallbackRemembered"), count("ActiveOffered")), (1, 0), "counters %s" % count.grown())


@test(family=FAMILIES)
def mandatory_encryption_asks_nobody(family):
    """Neither what is remembered nor the number of retransmissions."""
    begin()
    fails(family)

    def setup(sock):
        ulp.attach(sock)
        ulp.set_option(sock, TCP_ENO_MANDATORY, 1)

    sock, peer = connecting(family, setup=setup)
    peer.tcp.wait(lambda: len(syns(peer)) == 3, 20, "three SYNs")
    check(all(map(has_option, syns(peer))), "the option in all")


@test(family=FAMILIES, how=("all", "the address"))
def forgotten_by_the_administrator(family, how):
    begin()
    fails(family)
    check(not tries(family), "remembered")
    text = b"clear\n" if how == "all" else number(family, 2).encode() + b"\n"
    equal(write(host().ns, text), len(text))
    equal(remembered(host().ns), {})
    check(tries(family), "tries again")


@test(family=FAMILIES)
def forgotten_after_its_lifetime(family):
    begin()
    setting("failure_lifetime", 2)
    fails(family)
    equal(remembered(host().ns)[number(family, 2)], ("syn-unanswered", 2))
    check(not tries(family), "remembered")
    until(lambda: not remembered(host().ns), 3, "nothing")
    check(tries(family), "tries again")


@test
def shorter_lifetime_holds_for_what_is_remembered():
    begin()
    fails(4)
    host().ns.sysctl("ipv4.tcp_eno.failure_lifetime", 2)
    until(lambda: not remembered(host().ns), 3, "nothing")
    host().ns.sysctl("ipv4.tcp_eno.failure_lifetime", 3600)
    equal(remembered(host().ns), {}, "after the lifetime is long again")


@test
def without_lifetime_nothing_is_remembered():
    begin()
    setting("failure_lifetime", 0)
    fails(4)
    equal(remembered(host().ns), {})
    check(tries(4), "tries again")


@test(family=FAMILIES)
def other_destinations_are_not_concerned(family):
    begin()
    fails(family)
    check(tries(family, 3), "another address")
    check(tries(4 if family == 6 else 6), "the other family")
    fails(family, 3)
    equal(sorted(remembered(host().ns)), [number(family, 2), number(family, 3)])


@functools.cache
def other_host():
    return Host()


@test
def other_namespaces_are_not_concerned():
    begin()
    setting("failure_lifetime", 3600, other_host().ns)
    fails(4)
    equal(remembered(other_host().ns), {})
    check(tries(4, on=other_host()), "tries there")


@test
def ipv4_address_by_way_of_ipv6():
    """An IPv6 socket that talks IPv4 goes the same way."""
    begin()
    fails(4)
    peer = Peer.passive(host().stack, 4, host().port())
    defer(peer.close)
    sock = host().ns.socket(6)
    defer(sock.close)
    sock.setblocking(False)
    try:
        sock.connect(("::ffff:" + number(4, 2), peer.tcp.lport))
    except BlockingIOError:
        pass
    check(not has_option(peer.wait_syn()), "remembered")
    write(host().ns, b"::ffff:" + number(4, 2).encode())
    equal(remembered(host().ns), {})


@test
def bounded():
    """What expires first makes room."""
    begin()
    setting("failure_entries", 3)
    for last in (5, 3, 4, 2):
        fails(4, last)
        check(number(4, last) in remembered(host().ns), "remembered")
    equal(sorted(remembered(host().ns)), [number(4, last) for last in (2, 3, 4)])
    host().ns.sysctl("ipv4.tcp_eno.failure_entries", 1)
    equal(list(remembered(host().ns)), [number(4, 2)], "with room for one")
    check(tries(4, 3), "forgotten")


@test
def many_are_shown_in_order():
    begin()
    pairs = [connecting(4, last) for last in range(100, 160)]
    for sock, peer in pairs:
        plain_syn(peer)
        peer.send_synack(option=None)
    for sock, peer in pairs:
        connected(sock)
    equal(list(remembered(host().ns)), [number(4, last) for last in range(100, 160)])


def opened(family, **more):
    """(kernel socket, peer) after a handshake with ENO; the peer has Init1 and has not answered."""
    sock, peer = connecting(family, **more)
    peer.handshake()
    connected(sock)
    peer.read_init()
    return sock, peer


ENDS = {
    "plain answer": lambda peer: peer.tcp.send_data(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "end": lambda peer: peer.tcp.send_fin(),
    "reset": lambda peer: peer.tcp.send_rst(),
}


@test(family=FAMILIES, how=tuple(ENDS))
def no_keys_after_eno_succeeded(family, how):
    """As when a middlebox takes the option out of the third segment: the server takes Init1 for the application's."""
    begin()
    sock, peer = opened(family)
    ENDS[how](peer)
    error = {"plain answer": errno.EPROTO, "end": errno.ECONNABORTED, "reset": errno.ECONNRESET}
    raises(error[how], sock.recv, 1)
    equal(remembered(host().ns)[number(family, 2)][0], "no-keys")
    check(not tries(family), "the next one is plain")


@test(how=tuple(ENDS), closed=("before", "after"))
def no_keys_and_the_application_does_not_look(how, closed):
    begin()
    sock, peer = opened(4)
    if closed == "before":
        sock.close()
        ENDS[how](peer)
    else:
        ENDS[how](peer)
        if how == "reset":
            until(lambda: sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE, what="reset")
        sock.close()
    until(lambda: list(remembered(host().ns)) == [number(4, 2)], what="remembered")
    equal(remembered(host().ns)[number(4, 2)][0], "no-keys")


@test
def init1_is_never_acknowledged():
    """A path that drops what it does not understand: TCP gives up."""
    begin()
    sock, peer = connecting(4, setup=lambda s: s.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 1500))
    peer.wait_syn()
    peer.tcp.auto_ack = False
    peer.send_synack()
    connected(sock)
    raises(errno.ETIMEDOUT, sock.recv, 1)
    equal(remembered(host().ns)[number(4, 2)][0], "no-keys")


@test(timeout=120, acknowledged=(False, True))
def application_gives_up(acknowledged):
    """A minute after close(). An acknowledged Init1 waits for accept() on the other side."""
    if not HEAVY:
        skip("takes a minute")
    begin()
    sock, peer = connecting(4)
    peer.wait_syn()
    peer.tcp.auto_ack = acknowledged
    peer.send_synack()
    connected(sock)
    if acknowledged:
        peer.tcp.read(8)
    sock.close()
    peer.tcp.wait_rst(90)
    equal(list(remembered(host().ns)), [] if acknowledged else [number(4, 2)])


@test(how=("cipher", "length"))
def broken_key_exchange_is_not_the_path(how):
    begin()
    sock, peer = opened(4)
    init2 = bytearray(peer.build_init())
    if how == "cipher":
        init2[8:10] = b"\x77\x77"
    else:
        init2[4:8] = b"\0\0\xff\xff"
    peer.tcp.send_data(bytes(init2))
    raises(errno.EPROTO, sock.recv, 1)
    equal(remembered(host().ns), {})


@test(family=FAMILIES)
def keys_make_it_forgotten(family):
    """A connection that was under way already shows that ENO works."""
    begin()
    sock, peer = opened(family)
    fails(family)
    check(number(family, 2) in remembered(host().ns), "remembered")
    peer.send_init()
    peer.derive()
    wait_sessid(sock)
    equal(remembered(host().ns), {})
    check(tries(family), "tries again")


@test(text=(b"", b"\n", b"clea", b"clear all", b"10.99.0", b"10.99.0.2/32", b"10.99.0.2 10.99.0.3", b"fd99::2::", b"\xff", b"x" * 5000))
def invalid_writes_change_nothing(text):
    begin()
    fails(4)
    before = remembered(host().ns).keys()
    if text:
        raises(errno.EINVAL, write, host().ns, text)
    equal(remembered(host().ns).keys(), before)


@test
def address_that_is_not_remembered():
    begin()
    raises(errno.ENOENT, write, host().ns, b"10.99.0.2")
    raises(errno.ENOENT, write, host().ns, b"fd99::2")


CLEAR = """
import sys
try:
    with open("/proc/self/net/tcp_eno_failed", "w") as file:
        file.write("clear")
except OSError as error:
    sys.exit(error.errno)
"""


def clears_as(uid, command):
    return subprocess.run(command + [sys.executable, "-c", CLEAR], user=uid, group=uid, extra_groups=[]).returncode


@test
def only_an_administrator_clears():
    begin()
    fails(4)
    with host().ns:
        with open(FILE) as file:
            check(file.read(), "shown to everybody")
        equal(clears_as(65534, []), errno.EACCES, "without privileges")
        equal(clears_as(0, ["setpriv", "--bounding-set=-net_admin"]), errno.EPERM, "root without CAP_NET_ADMIN")
        equal(clears_as(65534, ["unshare", "--user", "--map-root-user"]), errno.EACCES, "root of another namespace")
        check(remembered(host().ns), "still remembered")
        # Not in one step: who is root there must be known before the network namespace is made
        own = ["unshare", "--user", "--map-root-user", "unshare", "--net"]
        equal(clears_as(65534, own), 0, "in a namespace of their own")
        check(remembered(host().ns), "still remembered")


def through(family, rule, timeout=20):
    """(client, server) through the middlebox, and how long connect() took."""
    box = middlebox()
    defer(setattr, box, "rule", pass_on)
    listener = box.b.socket(family)
    defer(listener.close)
    listener.bind((box.address("b", family), 0))
    listener.listen()
    box.rule = rule
    client = box.a.socket(family)
    defer(client.close)
    client.settimeout(timeout)
    start = time.monotonic()
    client.connect(listener.getsockname()[:2])
    took = time.monotonic() - start
    listener.settimeout(timeout)
    server, _ = listener.accept()
    defer(server.close)
    server.settimeout(timeout)
    return client, server, took


def talks(client, server):
    client.sendall(b"request")
    equal(recv_exactly(server, 7), b"request")
    server.sendall(b"answer")
    equal(recv_exactly(client, 6), b"answer")
    equal([ulp.ulp_name(s) for s in (client, server)], [b"", b""], "ULP")


@test(family=FAMILIES)
def middlebox_that_drops_the_option(family):
    """With the settings as they are in the beginning."""
    setting("failure_lifetime", 3600, middlebox().a)

    def rule(segment, to_b):
        return [] if has_option(segment) else [segment]

    client, server, took = through(family, rule)
    check(2.5 < took < 4.5, "connect() took %.1f s" % took)
    talks(client, server)
    client, server, took = through(family, rule)
    check(took < 0.9, "the second connect() took %.1f s" % took)
    talks(client, server)


@test(family=FAMILIES)
def middlebox_that_strips_the_third_segment(family):
    setting("failure_lifetime", 3600, middlebox().a)

    def rule(segment, to_b):
        return [segment if segment.has(SYN) else without(segment, eno.KIND)]

    client, server, _ = through(family, rule)
    client.sendall(b"request")
    equal(recv_exactly(server, 4), bytes.fromhex("15101a0e"), "the server sees Init1")
    server.close()
    raises(errno.ECONNRESET, client.recv, 1)
    client, server, _ = through(family, rule)
    talks(client, server)


if __name__ == "__main__":
    main()
