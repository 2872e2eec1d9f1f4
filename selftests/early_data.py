#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Programs that write or read while TCP is still connecting: nothing of it is ever in the clear on a connection that
becomes encrypted, and nothing is lost on one that falls back.
"""

import errno
import os
import select
import socket
import tempfile

from lib import ulp
from lib.data import CANARY, payload, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, raises, test, until
from lib.peerhost import connected, host
from peer import eno
from peer.peer import Peer
from peer.tcp import SYN

TCP_FASTOPEN_CONNECT = 30
DATA = CANARY * 30


def by_send(sock):
    sock.sendall(DATA)


def by_write(sock):
    equal(os.write(sock.fileno(), DATA), len(DATA), "written")


def by_sendfile(sock):
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.flush()
        equal(os.sendfile(sock.fileno(), file.fileno(), 0, len(DATA)), len(DATA), "sent")


def by_splice(sock):
    reading, writing = os.pipe()
    os.write(writing, DATA)
    equal(os.splice(reading, sock.fileno(), len(DATA)), len(DATA), "spliced")
    os.close(reading)
    os.close(writing)


def by_sendmsg(sock):
    equal(sock.sendmsg([DATA[:100], DATA[100:]]), len(DATA), "sent")


WAYS = (by_send, by_write, by_sendmsg, by_sendfile, by_splice)


def no_plaintext(peer):
    check(not any(CANARY in s.payload for s in peer.tcp.log), "no plaintext on the wire")


def waits(sock, function):
    """The function, running in a thread that sleeps in the kernel."""
    sock.setblocking(True)
    work = Background(function, sock)
    until(work.in_system_call, what="a thread that sleeps")
    return work


@test(way=WAYS, family=FAMILIES)
def writer_that_waits_for_the_connection(way, family):
    sock, peer = host().connect(family)
    peer.wait_syn()
    writer = waits(sock, way)
    peer.send_synack()
    check(peer.wait_ack().option(eno.KIND), "third segment has the option")
    peer.negotiate()
    peer.exchange_keys()
    equal(peer.recv(len(DATA)), DATA)
    writer.join()
    no_plaintext(peer)


@test(way=WAYS)
def writer_that_waits_and_the_connection_is_plain(way):
    sock, peer = host().connect(4)
    peer.wait_syn()
    writer = waits(sock, way)
    peer.send_synack(option=None)
    equal(peer.tcp.read(len(DATA)), DATA)
    writer.join()


@test(option=(eno.synack_option(0x23), b""))
def reader_that_waits_for_the_connection(option):
    sock, peer = host().connect(4)
    peer.wait_syn()
    reader = waits(sock, lambda s: recv_exactly(s, 5))
    peer.send_synack(option=option or None)
    if option:
        peer.wait_ack()
        peer.negotiate()
        peer.exchange_keys()
        peer.send(b"hello")
    else:
        peer.wait_ack()
        peer.tcp.send_data(b"hello")
    equal(reader.join(), b"hello")


@test
def writer_that_waits_and_the_connection_is_refused():
    sock, peer = host().connect(4)
    peer.wait_syn()
    writer = waits(sock, by_send)
    peer.tcp.send_rst()
    try:
        writer.join()
    except OSError as error:
        check(error.errno in (errno.ECONNREFUSED, errno.EPIPE), "error %s" % error)
    else:
        raise AssertionError("written")


@test(way=WAYS)
def nonblocking_writer_while_connecting(way):
    sock, peer = host().connect(4)
    peer.wait_syn()
    try:
        way(sock)
    except OSError as error:
        check(error.errno in (errno.EAGAIN, errno.ENOTCONN), "error %s" % error)
    else:
        raise AssertionError("taken")
    peer.send_synack()
    peer.wait_ack()
    peer.negotiate()
    connected(sock)
    way(sock)
    peer.exchange_keys()
    equal(peer.recv(len(DATA)), DATA)
    no_plaintext(peer)


@test
def poll_while_connecting():
    sock, peer = host().connect(4)
    peer.wait_syn()
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    equal(poll.poll(0), [], "events before the SYN-ACK")
    peer.send_synack()
    peer.wait_ack()
    equal(poll.poll(10000), [(sock.fileno(), select.POLLOUT)], "events after it")


def fast_open_peer(flags):
    ns = host().ns
    defer(ns.sysctl, "ipv4.tcp_fastopen", ns.sysctl("ipv4.tcp_fastopen"))
    ns.sysctl("ipv4.tcp_fastopen", flags)
    peer = Peer.passive(host().stack, 4, host().port())
    defer(peer.close)
    sock = ns.socket(4)
    defer(sock.close)
    return sock, peer


def answered(peer, syn):
    """The SYN-ACK with the option, if there was one, and then the data by whatever was negotiated."""
    check(not (syn.payload and syn.option(eno.KIND)), "no data beside the option")
    if not syn.option(eno.KIND):
        peer.tcp.rcv_nxt += len(syn.payload)
        peer.send_synack(option=None)
        equal(syn.payload + peer.tcp.read(len(DATA) - len(syn.payload)), DATA)
        return
    peer.send_synack()
    if not peer.wait_ack().option(eno.KIND):
        equal(peer.tcp.read(len(DATA)), DATA)
        return
    peer.negotiate()
    peer.exchange_keys()
    equal(peer.recv(len(DATA)), DATA)
    no_plaintext(peer)


@test(flags=(0x1, 0x5))
def sendto_with_fast_open(flags):
    """A blocking MSG_FASTOPEN connects and goes on to send within one call; with 4, without a cookie."""
    sock, peer = fast_open_peer(flags)
    work = Background(sock.sendto, DATA, socket.MSG_FASTOPEN, peer.address())
    answered(peer, peer.wait_syn())
    equal(work.join(), len(DATA), "sent")


@test(flags=(0x1, 0x5))
def connect_with_fast_open(flags):
    """TCP_FASTOPEN_CONNECT: the SYN may leave with the first write."""
    sock, peer = fast_open_peer(flags)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)

    def program():
        sock.connect(peer.address())
        sock.sendall(DATA)

    work = Background(program)
    answered(peer, peer.wait_syn())
    work.join()


@test
def sendto_with_fast_open_and_a_plain_server():
    sock, peer = fast_open_peer(0x1)
    work = Background(sock.sendto, DATA, socket.MSG_FASTOPEN, peer.address())
    peer.wait_syn()
    peer.send_synack(option=None)
    equal(peer.tcp.read(len(DATA)), DATA)
    equal(work.join(), len(DATA), "sent")


@test
def connect_that_is_given_up():
    """close() while the SYN is out; the late SYN-ACK gets a RST."""
    sock, peer = host().connect(4)
    peer.wait_syn()
    before = ulp.counters(host().ns)["Established"]
    sock.close()
    peer.send_synack()
    peer.tcp.wait_rst()
    equal(ulp.counters(host().ns)["Established"], before, "established")


@test
def attach_while_connecting_is_too_late():
    ns = host().ns
    defer(ulp.enable, ns)
    ulp.enable(ns, connect=0)
    sock, peer = host().connect(4)
    peer.wait_syn()
    try:
        ulp.attach(sock)
    except OSError as error:
        check(error.errno in (errno.EISCONN, errno.EINVAL, errno.ENOTCONN, errno.EALREADY), str(error))
    else:
        raise AssertionError("attached")
    peer.send_synack(option=None)
    connected(sock)
    sock.sendall(b"plain")
    equal(peer.tcp.read(5), b"plain")


@test
def large_early_write_of_a_client():
    """More than the send buffer takes, before the keys: the writer sleeps, and all of it arrives encrypted."""
    sock, peer = host().connect(4)
    peer.handshake()
    connected(sock)
    sock.setblocking(True)
    data = payload(300000)
    writer = Background(sock.sendall, data)
    peer.exchange_keys()
    check(peer.recv(len(data), 30) == data, "data")
    writer.join()
    no_plaintext(peer)
    check(not [s for s in peer.tcp.log if s.has(SYN) and s.payload], "no data in the SYN")


@test
def reset_while_data_waits_for_the_keys():
    sock, peer = host().connect(4)
    peer.handshake()
    connected(sock)
    sock.sendall(DATA)
    peer.tcp.send_rst()
    raises(errno.ECONNRESET, sock.recv, 1)
    no_plaintext(peer)


if __name__ == "__main__":
    main()
