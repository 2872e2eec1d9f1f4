#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""poll, select, epoll, time limits and low-water marks speak of plaintext: ready means that a read or write gets on."""

import errno
import select
import socket
import struct
import time

from lib.data import payload, recv_exactly
from lib.harness import Background, check, equal, main, raises, test, until
from lib.pair import TWO, joined
from lib.peerhost import host

SO_RCVTIMEO, SO_SNDTIMEO = 20, 21


def events(sock, timeout=0):
    """As poll() tells them."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return dict(poll.poll(timeout)).get(sock.fileno(), 0)


def fill(sock):
    """Until send() would block; the number of bytes taken."""
    taken, data = 0, payload(1 << 16)
    try:
        while True:
            taken += sock.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return taken


@test(where=TWO)
def poll_of_an_idle_connection(where):
    a, b = joined(where)
    for sock in (a, b):
        equal(events(sock), select.POLLOUT)


@test(where=TWO)
def poll_wakes_for_data(where):
    a, b = joined(where)
    poll = select.poll()
    poll.register(b, select.POLLIN)
    waiter = Background(poll.poll, 20000)
    a.sendall(b"x")
    equal(waiter.join(), [(b.fileno(), select.POLLIN)])
    equal(b.recv(10), b"x")
    equal(events(b), select.POLLOUT)


@test(where=TWO)
def select_for_reading_and_writing(where):
    a, b = joined(where)
    equal(select.select([b], [b], [], 0), ([], [b], []))
    a.sendall(b"x")
    equal(select.select([b], [], [], 20)[0], [b])


@test(where=TWO)
def not_writable_while_full_and_writable_again(where):
    a, b = joined(where)
    total = 0
    until(lambda: not fill(a), what="really full")
    check(not events(a) & select.POLLOUT, "not writable")
    poll = select.poll()
    poll.register(a, select.POLLOUT)
    waiter = Background(poll.poll, 20000)
    b.settimeout(0.3)
    try:
        while waiter.running():
            total += len(b.recv(1 << 16))
    except TimeoutError:
        pass
    equal(waiter.join(), [(a.fileno(), select.POLLOUT)])
    check(fill(a) > 0, "a write gets on")


@test(where=TWO)
def epoll_level_and_edge(where):
    a, b = joined(where)
    level, edge = select.epoll(), select.epoll()
    level.register(b, select.EPOLLIN)
    edge.register(b, select.EPOLLIN | select.EPOLLET)
    equal((level.poll(0), edge.poll(0)), ([], []))
    a.sendall(b"one")
    equal(edge.poll(20), [(b.fileno(), select.EPOLLIN)])
    equal(edge.poll(0), [], "edge without anything new")
    equal(level.poll(0), [(b.fileno(), select.EPOLLIN)])
    a.sendall(b"two")
    equal(edge.poll(20), [(b.fileno(), select.EPOLLIN)], "new data is a new edge")
    equal(recv_exactly(b, 6), b"onetwo")
    equal(level.poll(0), [])


@test(where=TWO)
def edge_triggered_reader_misses_nothing(where):
    """Reads to EAGAIN after each event, as an event loop does."""
    a, b = joined(where)
    size, got = 1 << 20, 0
    edge = select.epoll()
    edge.register(b, select.EPOLLIN | select.EPOLLET)
    b.setblocking(False)
    writer = Background(a.sendall, payload(size))
    while got < size:
        check(edge.poll(20), "event with %d of %d bytes" % (got, size))
        try:
            while piece := b.recv(7000):
                got += len(piece)
        except BlockingIOError:
            pass
    writer.join()
    equal(got, size)


@test(where=TWO)
def edge_triggered_writer_misses_nothing(where):
    a, b = joined(where)
    data, at = payload(1 << 20), 0
    edge = select.epoll()
    a.setblocking(False)
    edge.register(a, select.EPOLLOUT | select.EPOLLET)
    reader = Background(recv_exactly, b, len(data))
    while at < len(data):
        check(edge.poll(20), "event at %d" % at)
        try:
            while at < len(data):
                at += a.send(data[at : at + 50000])
        except BlockingIOError:
            pass
    check(reader.join() == data, "data")


@test
def oneshot_fires_once():
    a, b = joined()
    poll = select.epoll()
    poll.register(b, select.EPOLLIN | select.EPOLLONESHOT)
    a.sendall(b"x")
    equal(poll.poll(20), [(b.fileno(), select.EPOLLIN)])
    a.sendall(b"y")
    equal(poll.poll(0.2), [])
    poll.modify(b, select.EPOLLIN | select.EPOLLONESHOT)
    equal(poll.poll(20), [(b.fileno(), select.EPOLLIN)])


@test(where=TWO)
def end_of_stream_is_readable_and_rdhup(where):
    a, b = joined(where)
    a.shutdown(socket.SHUT_WR)
    until(lambda: events(b) == select.POLLIN | select.POLLOUT | select.POLLRDHUP, what="POLLIN and POLLRDHUP")
    equal(b.recv(1), b"")
    b.shutdown(socket.SHUT_WR)
    until(lambda: events(b) & select.POLLHUP, what="POLLHUP with both halves closed")


@test(active=(True, False))
def part_of_a_frame_is_not_readable(active):
    """Neither are the bytes of the key exchange."""
    sock, peer = host().handshaken(4, active)
    sock.settimeout(None)
    check(not events(sock) & select.POLLIN, "before the exchange")
    peer.exchange_keys()
    check(not events(sock, 200) & select.POLLIN, "after it")
    frame = peer.tx.seal(b"whole frame")
    for at in range(len(frame) - 1):
        peer.tcp.send_data(frame[at : at + 1])
        check(not events(sock) & select.POLLIN, "with %d of %d bytes" % (at + 1, len(frame)))
    raises(errno.EAGAIN, sock.recv, 1, socket.MSG_DONTWAIT)
    peer.tcp.send_data(frame[-1:])
    until(lambda: events(sock) & select.POLLIN, what="POLLIN")
    equal(sock.recv(100), b"whole frame")


@test(where=TWO)
def receive_time_limit(where):
    a, b = joined(where)
    b.setsockopt(socket.SOL_SOCKET, SO_RCVTIMEO, struct.pack("ll", 0, 200000))
    start = time.monotonic()
    raises(errno.EAGAIN, b.recv, 1)
    check(0.15 < time.monotonic() - start < 10, "waited %.2f s" % (time.monotonic() - start))
    a.sendall(b"xy")
    until(lambda: events(b) & select.POLLIN, what="data")
    equal(b.recv(10, socket.MSG_WAITALL), b"xy", "what is there when the limit is over")


@test(where=TWO)
def send_time_limit(where):
    a, b = joined(where)
    a.setsockopt(socket.SOL_SOCKET, SO_SNDTIMEO, struct.pack("ll", 0, 200000))
    sent = 0
    try:
        while True:
            sent += a.send(payload(1 << 16))
    except BlockingIOError:
        pass
    a.shutdown(socket.SHUT_WR)
    got = 0
    while piece := b.recv(1 << 16):
        got += len(piece)
    equal(got, sent, "bytes that send() counted")


@test(where=TWO)
def low_water_mark_counts_plaintext(where):
    a, b = joined(where)
    b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100)
    a.sendall(bytes(90))
    check(not events(b, 300) & select.POLLIN, "with 90 of 100 bytes")
    a.sendall(bytes(10))
    until(lambda: events(b) & select.POLLIN, what="POLLIN with 100 bytes")
    equal(len(b.recv(1000)), 100)
    a.sendall(bytes(10))
    a.shutdown(socket.SHUT_WR)
    until(lambda: events(b) & select.POLLIN, what="POLLIN at the end of the stream")


@test
def low_water_mark_larger_than_a_frame():
    a, b = joined()
    b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100000)
    writer = Background(a.sendall, bytes(100000))
    until(lambda: events(b) & select.POLLIN, what="POLLIN")
    writer.join()
    equal(len(recv_exactly(b, 100000)), 100000)


@test(where=TWO)
def several_waiters(where):
    """Two threads in recv(), one in poll(): each piece of data wakes somebody."""
    a, b = joined(where)
    readers = [Background(b.recv, 1) for _ in range(3)]
    for number in range(3):
        a.sendall(b"%d" % number)
    equal(sorted(reader.join() for reader in readers), [b"0", b"1", b"2"])


@test
def close_wakes_the_other_side():
    a, b = joined()
    reader = Background(b.recv, 10)
    a.close()
    equal(reader.join(), b"")


@test
def shutdown_wakes_a_reader_of_the_same_socket():
    a, _ = joined()
    reader = Background(a.recv, 10)
    until(reader.running, what="reader")
    a.shutdown(socket.SHUT_RD)
    equal(reader.join(), b"")


if __name__ == "__main__":
    main()
