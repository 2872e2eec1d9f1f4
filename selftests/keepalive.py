#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""SO_KEEPALIVE (RFC 8548 sections 3.9, 8.2): a peer lives as long as it sends frames that authenticate.

The times are short, and judged generously: an emulated machine is slow, but never early.
"""

import errno
import fcntl
import select
import socket
import termios
import time

from lib import net, ulp
from lib.data import payload, recv_exactly
from lib.harness import check, defer, equal, main, raises, skip, test, until
from lib.pair import joined
from lib.peerhost import host
from peer import crypt
from peer.tcp import Timeout

IDLE, INTERVAL, COUNT = 1, 1, 3
DEATH = IDLE + INTERVAL * COUNT
TCP_USER_TIMEOUT = 18


def keep_alive(sock, idle=IDLE, interval=INTERVAL, count=COUNT, on=1):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, on)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)


def probed(peer, generation, timeout=4):
    """A probe comes: an empty frame that begins `generation`."""
    frame = peer.read_frame(timeout)
    equal((frame.data, frame.control, peer.rx.generation), (b"", crypt.REKEY, generation))


def for_seconds(peer, seconds, each=lambda: None):
    """Runs the peer's stack, and a function ten times in a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        each()
        try:
            peer.tcp.wait(lambda: False, 0.1)
        except Timeout:
            pass


def has_ended(sock):
    """Whether poll() shows an error."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))


def error_of(sock):
    """The error with which the connection ended, None if it lives."""
    if not has_ended(sock):
        return None
    try:
        sock.recv(1)
    except OSError as error:
        return error.errno
    raise AssertionError("no error")


def dies(sock, peer, low, high, each=lambda: None):
    """ETIMEDOUT after `low` to `high` seconds, and no sooner."""
    start = time.monotonic()
    error = None
    while error is None:
        check(time.monotonic() - start < high, "dead after %s s" % high)
        for_seconds(peer, 0.1, each)
        error = error_of(sock)
    equal(error, errno.ETIMEDOUT, "errno")
    check(time.monotonic() - start >= low, "not before %s s, but after %.1f" % (low, time.monotonic() - start))
    raises(errno.ETIMEDOUT, sock.send, b"x")


def forge(peer):
    """What an attacker can: acknowledge everything, TCP's keep-alive segments too."""
    peer.tcp.send_ack()


@test(family=(4, 6), active=(True, False))
def live_peer_answers_probes(family, active):
    """Set before connect(), or on the listener."""
    sock, peer = host().opened(family, active, keep_alive)
    peer.follows = True
    for generation in (1, 2, 3):
        heard = [segment for segment in peer.tcp.sent if segment.payload][-1].time
        probed(peer, generation)
        check(time.monotonic() - heard > IDLE * 0.9, "an idle second before each")
    until(lambda: peer.stack.drain() or ulp.generations(sock) == (3, 3), what="generations")
    sock.sendall(b"alive")
    equal(peer.recv(5), b"alive")


@test(active=(True, False), timeout=90)
def silent_peer_is_dead(active):
    """One probe, which TCP sends again; no other before it is answered."""
    sock, peer = host().opened(4, active, keep_alive)
    peer.tcp.auto_ack = False
    with ulp.Counting(host().ns) as count:
        dies(sock, peer, DEATH - 0.5, DEATH + 6)
        equal((count("KeepaliveProbes"), count("KeepaliveTimeouts")), (1, 1))
    peer.tcp.wait_rst()
    probed(peer, 1)
    check(not peer.tcp.rx, "one probe")


@test(family=(4, 6), timeout=90)
def forged_acknowledgements_are_no_life(family):
    """They keep a plain connection for ever."""
    sock, peer = host().opened(family, True, keep_alive)
    dies(sock, peer, DEATH - 0.5, DEATH + 6, lambda: forge(peer))


@test
def acknowledgements_keep_a_plain_connection():
    """The same on TCP without ENO: what is forged above would do."""
    sock, peer = host().connect(4, keep_alive)
    peer.handshake_plain()
    for_seconds(peer, DEATH + 2, lambda: forge(peer))
    equal(error_of(sock), None)


@test
def any_frame_is_a_sign_of_life():
    """Also one that nobody reads."""
    sock, peer = host().opened(4, True, keep_alive)
    for_seconds(peer, 3, lambda: peer.send(b"data"))
    check(not peer.tcp.rx, "no probe")
    check(sock.recv(4) == b"data", "data")
    probed(peer, 1)


@test
def frame_that_is_no_answer_is_a_sign_of_life():
    sock, peer = host().opened(4, True, keep_alive)
    probed(peer, 1)
    for_seconds(peer, DEATH + 1, lambda: peer.send(b"data"))
    equal(error_of(sock), None)
    for_seconds(peer, 1.5)
    check(not peer.tcp.rx, "no second probe before the first is answered")
    peer.rekey()
    probed(peer, 2)


@test
def late_answer_is_a_sign_of_life():
    sock, peer = host().opened(6, False, keep_alive)
    peer.follows = True
    peer.tcp.auto_ack = False
    for_seconds(peer, DEATH - 1)
    peer.tcp.auto_ack = True
    probed(peer, 1)
    for_seconds(peer, 0.5)
    equal(error_of(sock), None)
    probed(peer, 2)


@test
def turned_on_and_off_later():
    sock, peer = host().opened(4, True)
    peer.follows = True
    for_seconds(peer, IDLE + 0.5)
    check(not peer.tcp.rx, "off")
    start = time.monotonic()
    keep_alive(sock)
    probed(peer, 1)
    check(time.monotonic() - start > IDLE * 0.9, "the time begins when it is turned on")
    keep_alive(sock, on=0)
    for_seconds(peer, DEATH)
    check(not peer.tcp.rx, "off again")


@test
def times_of_the_namespace():
    """Those of net.ipv4.tcp_keepalive_*, unless the socket has its own."""
    times = (("time", IDLE, 7200), ("intvl", INTERVAL, 75), ("probes", COUNT, 9))
    for name, value, default in times:
        host().ns.sysctl("ipv4.tcp_keepalive_" + name, value)
        defer(host().ns.sysctl, "ipv4.tcp_keepalive_" + name, default)
    sock, peer = host().opened(4, True, lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    peer.tcp.auto_ack = False
    dies(sock, peer, DEATH - 0.5, DEATH + 6)


@test
def user_timeout_decides():
    """TCP_USER_TIMEOUT counts from the last sign of life, whatever TCP_KEEPCNT says."""
    sock, peer = host().opened(4, True, lambda sock: keep_alive(sock, count=30))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 3000)
    dies(sock, peer, 2.5, 9, lambda: forge(peer))


@test
def shut_window_is_no_death():
    """A probe that can't leave proves nothing. TCP asks for room by itself, for ever."""
    sock, peer = host().opened(4, True, keep_alive)
    peer.follows = True
    peer.tcp.window = 0
    peer.tcp.send_ack()
    sock.setblocking(False)
    equal(sock.send(b"waits for room"), 14)
    for_seconds(peer, DEATH + 2, lambda: forge(peer))
    equal(error_of(sock), None)
    peer.tcp.window = 65535
    peer.tcp.send_ack()
    equal(peer.recv(14), b"waits for room")
    probed(peer, 1)


@test
def half_closed_connection_is_left_to_tcp():
    """After our end there is no rekey; TCP's own keep-alive is there still."""
    sock, peer = host().opened(4, True, keep_alive)
    sock.shutdown(socket.SHUT_WR)
    peer.wait_end()
    for_seconds(peer, DEATH + 1, lambda: forge(peer))
    equal(error_of(sock), None)
    dies(sock, peer, 2, DEATH + 8)


@test
def default_is_off():
    sock, peer = host().opened(4, True, lambda sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1))
    peer.tcp.auto_ack = False
    for_seconds(peer, DEATH + 1)
    equal(error_of(sock), None)
    check(not peer.tcp.rx, "no probe")


@test(unread=("nothing", "some", "some both ways", "all", "all both ways"), timeout=90)
def peer_that_does_not_read_is_alive(unread):
    """Module to module: it answers probes from behind what nobody reads, and where there is no room it is waited for."""

    def small(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)

    a, b = joined("veth6", lambda sock: (keep_alive(sock), small(sock)), small)
    data, sent = payload(1 << 18), {a: 0, b: 0}
    size = {"nothing": 0, "some": 3000, "all": len(data)}[unread.split()[0]]
    for sock in (a, b) if "both" in unread else (a,):
        sock.setblocking(False)
        while sent[sock] < size:
            if not select.select([], [sock], [], 0.5)[1]:
                break
            sent[sock] += sock.send(data[sent[sock] : sent[sock] + 3000])
        sock.setblocking(True)
    end = time.monotonic() + 2 * DEATH
    until(lambda: has_ended(a) or time.monotonic() > end, 3 * DEATH, "the end of the wait")
    equal(a.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
    if size < len(data):
        check(ulp.generations(a)[0] >= 2, "it was probed, and alive: %s" % (ulp.generations(a),))
    check(recv_exactly(b, sent[a]) == data[: sent[a]], "data")
    check(recv_exactly(a, sent[b]) == data[: sent[b]], "data back")


@test(where=("veth4", "veth6"), timeout=90)
def network_that_is_gone(where):
    """Both sides find out, though only one has something to say."""
    if not net.has_netem():
        skip("no netem")
    pair = net.pair()
    a, b = joined(where, keep_alive, keep_alive)
    a.sendall(b"hello")
    equal(recv_exactly(b, 5), b"hello")
    # Data that are not acknowledged are for TCP's retransmission timeout.
    until(lambda: fcntl.ioctl(a, termios.TIOCOUTQ, bytes(4)) == bytes(4), what="acknowledgement")
    for ns in (pair.a, pair.b):
        defer(net.netem, ns, None)
        net.netem(ns, "loss 100%")
    start = time.monotonic()
    for sock in (a, b):
        until(lambda: has_ended(sock), 20, "an error")
        raises(errno.ETIMEDOUT, sock.recv, 1)
    check(time.monotonic() - start > DEATH - 1.5, "not too early")


if __name__ == "__main__":
    main()
