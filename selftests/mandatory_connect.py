#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What connect() tells a program that set TCP_ENO_MANDATORY when the connection would be plain: the call that waits, and the
one that does not, with poll(), SO_ERROR or another connect() after it."""

import errno
import select
import socket

from lib import net, ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, raises, test, until
from lib.options import error_of, put
from lib.pair import encrypted
from lib.peerhost import host
from peer.peer import Peer

# Whether connect() returns before the connection was aborted, or after it, is for the scheduler to say.
AGAIN = tuple(range(5))


def mandatory(sock):
    ulp.attach(sock)
    put(sock, ulp.TCP_ENO_MANDATORY, 1)


def is_over(sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    events = poll.poll(0)
    check(events and events[0][1] & select.POLLERR and events[0][1] & select.POLLHUP, "poll: %s" % events)
    for _ in range(2):
        raises(errno.ECONNABORTED, sock.recv, 1)
        check(error_of(sock.send, b"plaintext") in (errno.ECONNABORTED, errno.EPIPE), "send()")


@test(family=FAMILIES, again=AGAIN)
def call_that_waits(family, again):
    peer = Peer.passive(host().stack, family, host().port())
    defer(peer.close)
    sock = host().ns.socket(family)
    defer(sock.close)
    mandatory(sock)
    call = Background(error_of, sock.connect, peer.address())
    peer.wait_syn()
    until(call.in_system_call, what="connect() asleep")
    peer.send_synack(option=None)
    equal(call.join(), errno.ECONNABORTED)
    is_over(sock)
    check(error_of(sock.connect, peer.address()) in (errno.EISCONN, errno.EINVAL), "connect() again")


def by_so_error(sock, _):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def by_connect(sock, peer):
    return error_of(sock.connect, peer.address())


@test(family=FAMILIES, ask=(by_so_error, by_connect), again=AGAIN)
def call_that_does_not_wait(family, ask, again):
    sock, peer = host().connect(family, mandatory)
    peer.wait_syn()
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    equal(poll.poll(0), [], "before the answer")
    peer.send_synack(option=None)
    events = poll.poll(20000)
    check(events and events[0][1] & select.POLLERR, "poll: %s" % events)
    equal(ask(sock, peer), errno.ECONNABORTED)
    is_over(sock)


@test(family=FAMILIES)
def call_with_eno_off(family):
    """Nothing is sent; the program may think again, and connect with the same socket."""
    pair = net.pair()
    ulp.enable(pair.b)
    listener = pair.listener(family)
    defer(listener.close)
    sock = pair.a.socket(family)
    defer(sock.close)
    mandatory(sock)
    put(sock, ulp.TCP_ENO_ENABLED, 0)
    for _ in range(2):
        raises(errno.ECONNABORTED, sock.connect, listener.getsockname()[:2])
    put(sock, ulp.TCP_ENO_ENABLED, 1)
    sock.connect(listener.getsockname()[:2])
    two, _ = listener.accept()
    defer(two.close)
    encrypted(sock, two)
    sock.sendall(b"hello")
    equal(recv_exactly(two, 5), b"hello")


if __name__ == "__main__":
    main()
