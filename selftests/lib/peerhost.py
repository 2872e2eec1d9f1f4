# SPDX-License-Identifier: GPL-2.0
"""The kernel under test in one namespace, the Python peer on the TUN device beside it."""

import functools
import itertools
import select
import socket

from peer.peer import DEFAULT, Peer
from peer.tun import Stack

from . import net, ulp
from .harness import defer, until

_ports = itertools.count(9001)


class Host:
    def __init__(self, mtu=1500, resume=False):
        """resume: sessions are kept for the next connection. Mostly a test wants no traces of the one before it."""
        self.ns = net.Netns("p")
        with self.ns:
            self.stack = Stack(mtu=mtu)
        if ulp.loaded():
            ulp.enable(self.ns)
            self.ns.sysctl("ipv4.tcp_crypt.resume", int(resume))

    def port(self):
        return next(_ports)

    def listener(self, family, setup=None, port=None, backlog=16):
        """A listening kernel socket; setup(sock) before listen()."""
        sock = self.ns.socket(family)
        defer(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.stack.kernel[family], port or self.port()))
        if setup:
            setup(sock)
        sock.listen(backlog)
        sock.settimeout(20)
        return sock

    def connect(self, family, setup=None, port=None):
        """(kernel socket in connect(), passive peer that has not answered yet)."""
        peer = Peer.passive(self.stack, family, port or self.port())
        defer(peer.close)
        sock = self.ns.socket(family)
        defer(sock.close)
        if setup:
            setup(sock)
        sock.setblocking(False)
        try:
            sock.connect(peer.address())
        except BlockingIOError:
            pass
        return sock, peer

    def peer_connect(self, listener, family):
        """An active peer towards a listener that has not sent its SYN yet."""
        peer = Peer.active(self.stack, family, listener.getsockname()[1])
        defer(peer.close)
        return peer

    def asked(self, family, option=DEFAULT, setup=None, teps=None, **syn):
        """(listener, active peer) after the peer's SYN and the kernel's SYN-ACK."""
        listener = self.listener(family, setup)
        peer = self.peer_connect(listener, family)
        peer.teps = teps or peer.teps
        peer.send_syn(option, **syn)
        peer.wait_synack()
        return listener, peer

    def handshaken(self, family, active, setup=None, teps=None):
        """(kernel socket, peer) after the TCP handshake with ENO; the peer has not sent its Init yet.

        active: the kernel connects. teps: the peer's. A server's side of the key exchange may wait for accept(), so that comes first.
        """
        if active:
            sock, peer = self.connect(family, setup)
            peer.teps = teps or peer.teps
            peer.handshake()
            connected(sock)
            return sock, peer
        listener, peer = self.asked(family, setup=setup, teps=teps)
        peer.send_ack()
        peer.negotiate()
        return accepted(listener), peer

    def opened(self, family, active, setup=None, teps=None, **init):
        """(kernel socket, peer) with keys on both sides."""
        sock, peer = self.handshaken(family, active, setup, teps)
        peer.exchange_keys(**init)
        wait_sessid(sock)
        return sock, peer


def connected(sock, timeout=20):
    """Waits for connect() to end and raises its error."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(timeout * 1000):
        raise AssertionError("connect() does not end")
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, "connect")
    sock.settimeout(timeout)


def accepted(listener):
    sock, _ = listener.accept()
    defer(sock.close)
    sock.settimeout(20)
    return sock


def wait_sessid(sock):
    return until(lambda: ulp.is_encrypted(sock) and ulp.session_id(sock), what="session ID")


@functools.cache
def host():
    """The one that all the tests of a file share."""
    return Host()
