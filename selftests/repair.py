#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""TCP_REPAIR, as CRIU uses it: a plain connection is taken out of the kernel at one end, or at both, and put back into a new
socket, without the other end's noticing. A restored connection is plain: nothing was negotiated in it. Encrypted ones
refuse (socket_refused.py).
"""

import socket
import struct

from lib import ulp
from lib.data import payload, recv_all, recv_exactly
from lib.harness import Background, check, defer, equal, main, test, until
from lib.pair import Place, encrypted
from lib.peerhost import accepted

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS, TCP_TIMESTAMP, TCP_REPAIR_WINDOW = 19, 20, 21, 22, 24, 29
RECV_QUEUE, SEND_QUEUE = 1, 2
MSS, WINDOW_SCALE, SACK, TIMESTAMPS = 2, 3, 4, 8


def option(sock, name, value=None, size=4):
    if value is None:
        return sock.getsockopt(socket.IPPROTO_TCP, name, size)
    return sock.setsockopt(socket.IPPROTO_TCP, name, value)


class Image:
    """What is needed to make the connection again. Taking it ends the socket, of which the network hears nothing."""

    def __init__(self, sock):
        self.names = sock.getsockname(), sock.getpeername()
        self.family = sock.family
        option(sock, TCP_REPAIR, 1)
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        self.options, scales = info[5], info[6]
        self.window_scale = (scales & 15) | (scales >> 4) << 16
        self.mss = struct.unpack_from("I", info, 16)[0]
        self.timestamp = struct.unpack("I", option(sock, TCP_TIMESTAMP))[0]
        self.window = option(sock, TCP_REPAIR_WINDOW, size=20)
        self.sequence, self.unread = {}, b""
        for queue in (SEND_QUEUE, RECV_QUEUE):
            option(sock, TCP_REPAIR_QUEUE, queue)
            self.sequence[queue] = struct.unpack("I", option(sock, TCP_QUEUE_SEQ))[0]
        sock.setblocking(False)
        try:
            self.unread = sock.recv(65536, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        sock.close()

    def restore(self, ns):
        with ns:
            sock = socket.socket(self.family, socket.SOCK_STREAM)
        defer(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        option(sock, TCP_REPAIR, 1)
        sock.bind(self.names[0])
        for queue, sequence in self.sequence.items():
            option(sock, TCP_REPAIR_QUEUE, queue)
            back = len(self.unread) if queue == RECV_QUEUE else 0
            option(sock, TCP_QUEUE_SEQ, struct.pack("I", (sequence - back) & 0xFFFFFFFF))
        sock.connect(self.names[1])
        option(sock, TCP_REPAIR_QUEUE, RECV_QUEUE)
        if self.unread:
            equal(sock.send(self.unread), len(self.unread), "put back")
        settings = struct.pack("II", MSS, self.mss)
        if self.options & 4:
            settings += struct.pack("II", WINDOW_SCALE, self.window_scale)
        if self.options & 2:
            settings += struct.pack("II", SACK, 0)
        if self.options & 1:
            settings += struct.pack("II", TIMESTAMPS, 0)
            option(sock, TCP_TIMESTAMP, struct.pack("I", self.timestamp))
        option(sock, TCP_REPAIR_OPTIONS, settings)
        option(sock, TCP_REPAIR_WINDOW, self.window)
        # Without a probe, which the other end would reset if it is not there again
        option(sock, TCP_REPAIR, -1)
        sock.settimeout(20)
        return sock


WHERE = ("veth4", "veth6", "mapped")
# Which defaults are on (connect, listen) so that the connection is plain
PLAIN = {"off": (0, 0), "client_offered": (1, 0), "server_would_answer": (0, 1)}


def plain_connection(where, how):
    place = Place(where)
    connect, listen = PLAIN[how]
    if not ulp.PLAIN:
        ulp.enable(place.client, place.server, connect=connect, listen=listen)
        defer(ulp.enable, place.client, place.server)
    listener = place.listener()
    listener.settimeout(20)
    client = place.connect(listener)
    server = accepted(listener)
    listener.close()
    return place, client, server


def both_ways(one, two, size=100000):
    data = payload(size)
    for source, target in ((one, two), (two, one)):
        writer = Background(source.sendall, data)
        check(recv_exactly(target, size) == data, "data")
        writer.join()


def end(one, two):
    one.shutdown(socket.SHUT_WR)
    equal(recv_all(two), b"")
    two.close()
    equal(recv_all(one), b"")


@test(where=WHERE, how=tuple(PLAIN), side=("client", "server"))
def one_end_is_restored(where, how, side):
    place, client, server = plain_connection(where, how)
    both_ways(client, server)
    # While everything is on, to which a restored connection must be indifferent
    ulp.enable(place.client, place.server)
    if side == "client":
        client = Image(client).restore(place.client)
    else:
        server = Image(server).restore(place.server)
    equal((ulp.ulp_name(client), ulp.ulp_name(server)), (b"", b""), "ULP")
    both_ways(client, server)
    end(client, server)


@test(where=WHERE)
def both_ends_are_restored_and_what_was_not_read(where):
    place, client, server = plain_connection(where, "client_offered")
    client.sendall(b"read before")
    equal(recv_exactly(server, 11), b"read before")
    client.sendall(b"not read before")
    until(lambda: len(server.recv(100, socket.MSG_PEEK)) == 15, what="data")
    ulp.enable(place.client, place.server)
    images = Image(client), Image(server)
    equal(images[1].unread, b"not read before")
    client, server = images[0].restore(place.client), images[1].restore(place.server)
    equal(recv_exactly(server, 15), b"not read before")
    both_ways(client, server)
    end(client, server)


@test(where=WHERE)
def address_is_free_for_an_encrypted_connection_afterwards(where):
    """The restored socket leaves nothing of its mode behind."""
    place, client, server = plain_connection(where, "off")
    ulp.enable(place.client, place.server)
    client = Image(client).restore(place.client)
    end(client, server)
    listener = place.listener()
    listener.settimeout(20)
    client = place.connect(listener)
    server = accepted(listener)
    encrypted(client, server)
    both_ways(client, server)


if __name__ == "__main__":
    main()
