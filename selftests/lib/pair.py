# SPDX-License-Identifier: GPL-2.0
"""Connected sockets, module to module, over a veth link or lo, with the wire watched for the canary meanwhile."""

import socket

from . import net, ulp
from .capture import Capture
from .harness import defer, equal, until

# Where a pair of sockets lives: place and address family ("mapped": an IPv6 socket that talks IPv4)
EVERYWHERE = ("veth4", "veth6", "lo4", "lo6", "mapped")
TWO = ("veth4", "lo6")


class Place:
    def __init__(self, where):
        self.family = 6 if where.endswith("6") or where == "mapped" else 4
        if where.startswith("lo"):
            self.client = self.server = net.solo()
            self.address, self.device = net.LOOPBACK[self.family], "lo"
        else:
            self.client, self.server = net.pair().a, net.pair().b
            self.address, self.device = net.Pair.address("b", self.family), "veth0"
        if where == "mapped":
            self.address = "::ffff:" + net.Pair.address("b", 4)
        ulp.enable(self.client, self.server)

    def watch(self):
        """The canary must not be on the wire until the end of the test."""
        if not ulp.PLAIN:
            defer(Capture(self.client, self.device).verify)
        return self

    def listener(self, setup=None, backlog=64):
        sock = self.server.socket(self.family)
        defer(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.address, 0))
        if setup:
            setup(sock)
        sock.listen(backlog)
        return sock

    def connect(self, listener, setup=None):
        sock = self.client.socket(self.family)
        defer(sock.close)
        if setup:
            setup(sock)
        sock.connect(listener.getsockname()[:2])
        return sock


def encrypted(*socks):
    for sock in () if ulp.PLAIN else socks:
        until(lambda: ulp.is_encrypted(sock), 20, "session ID of %s" % (sock,))


def joined(where="veth4", client=None, server=None, watch=True):
    """(client, server): blocking, connected, encrypted. client and server are called with the sockets first."""
    place = Place(where)
    if watch:
        place.watch()
    listener = place.listener(server)
    one = place.connect(listener, client)
    two, _ = listener.accept()
    defer(two.close)
    encrypted(one, two)
    if not ulp.PLAIN:
        equal(ulp.session_id(one), ulp.session_id(two), "session IDs")
    listener.close()
    return one, two
