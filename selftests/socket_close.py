#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The end of a connection, module to module: shutdown of either half, close with data unsent, linger, reset."""

import errno
import select
import socket
import struct
import time

from lib.data import payload, recv_all, recv_exactly
from lib.harness import Background, check, equal, main, raises, test, until
from lib.pair import EVERYWHERE, TWO, Place, joined


def linger(sock, seconds):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))


@test(where=EVERYWHERE)
def close_is_an_end_of_file(where):
    a, b = joined(where)
    a.sendall(b"bye")
    a.close()
    equal(recv_all(b), b"bye")
    equal(b.recv(1), b"", "again")


@test(where=EVERYWHERE)
def half_closed_transfer(where):
    """The client ends its half; the server still sends a lot, then ends."""
    a, b = joined(where)
    data = payload(500000)
    a.sendall(b"request")
    a.shutdown(socket.SHUT_WR)
    equal(recv_all(b), b"request")
    writer = Background(lambda: (b.sendall(data), b.close()))
    check(recv_all(a) == data, "data")
    writer.join()
    raises(errno.EPIPE, a.send, b"x")


@test(where=TWO)
def shutdown_of_reading(where):
    """recv() ends at once; writing goes on."""
    a, b = joined(where)
    b.shutdown(socket.SHUT_RD)
    equal(b.recv(1), b"")
    b.sendall(b"still sending")
    equal(recv_exactly(a, 13), b"still sending")


@test(where=TWO)
def shutdown_of_both(where):
    a, b = joined(where)
    a.sendall(b"last")
    a.shutdown(socket.SHUT_RDWR)
    raises(errno.EPIPE, a.send, b"x")
    equal(recv_all(b), b"last")
    equal(a.recv(1), b"")


@test(where=TWO)
def shutdown_twice_is_harmless(where):
    a, b = joined(where)
    a.shutdown(socket.SHUT_WR)
    a.shutdown(socket.SHUT_WR)
    equal(recv_all(b), b"")
    b.close()
    equal(a.recv(1), b"")


@test(where=EVERYWHERE)
def close_right_after_a_large_send(where):
    """Everything that send() took arrives, however full the buffers are at close()."""
    a, b = joined(where)
    taken, data = 0, payload(1 << 20)
    a.setblocking(False)
    try:
        while taken < 8 << 20:
            taken += a.send(data)
    except BlockingIOError:
        pass
    a.close()
    equal(len(recv_all(b)), taken, "received")


@test(where=EVERYWHERE)
def close_right_after_connect_and_send(where):
    """Before the keys exist: the data comes through, and is never in the clear."""
    place = Place(where).watch()
    listener = place.listener()
    for size in (1, 1000, 20000):
        data = payload(size)
        sock = place.connect(listener)
        sock.sendall(data)
        sock.close()
        other, _ = listener.accept()
        check(recv_all(other) == data, "%d bytes" % size)
        other.close()


@test(where=TWO)
def server_answers_and_closes_at_once(where):
    place = Place(where).watch()
    listener = place.listener()
    data = payload(30000)
    for _ in range(5):
        sock = place.connect(listener)
        other, _ = listener.accept()
        other.sendall(data)
        other.close()
        check(recv_all(sock) == data, "data")
        sock.close()


@test(where=TWO)
def connect_and_close_without_data(where):
    place = Place(where)
    listener = place.listener()
    for _ in range(5):
        place.connect(listener).close()
        other, _ = listener.accept()
        try:
            equal(recv_all(other), b"")
        except ConnectionResetError:
            pass
        other.close()


@test(where=TWO)
def linger_zero_resets(where):
    a, b = joined(where)
    linger(a, 0)
    a.close()
    raises(errno.ECONNRESET, b.recv, 10)


@test(where=TWO)
def linger_waits_until_the_data_is_out(where):
    a, b = joined(where)
    linger(a, 20)
    data = payload(200000)
    reader = Background(recv_all, b)
    a.sendall(data)
    start = time.monotonic()
    a.close()
    check(time.monotonic() - start < 15, "close() took %.1f s" % (time.monotonic() - start))
    check(reader.join() == data, "data")


@test
def linger_gives_up_after_its_time():
    """The other side does not read: close() returns after a second, and nothing is stuck."""
    a, b = joined()
    linger(a, 1)
    poll = select.poll()
    poll.register(a, select.POLLOUT)
    while poll.poll(500):  # until the receiver's buffer is full as well
        try:
            a.send(payload(1 << 16), socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
    start = time.monotonic()
    a.close()
    check(0.5 < time.monotonic() - start < 10, "close() took %.1f s" % (time.monotonic() - start))
    b.close()


@test
def close_with_data_unread_resets():
    """As plain TCP does, so that the sender learns of it."""
    a, b = joined()
    a.sendall(b"not read")
    until(lambda: b.recv(100, socket.MSG_PEEK) == b"not read", what="data")
    b.close()
    poll = select.poll()
    poll.register(a, select.POLLIN)
    until(lambda: poll.poll(0) and poll.poll(0)[0][1] & select.POLLERR, what="POLLERR")
    raises(errno.ECONNRESET, a.recv, 1)


@test
def send_to_a_closed_socket():
    """First a reset, then EPIPE, as with plain TCP."""
    a, b = joined()
    b.close()
    equal(a.recv(1), b"")
    a.send(b"nobody is there")

    def error():
        try:
            a.send(b"x")
        except OSError as failure:
            return failure.errno

    check(until(error, what="error") in (errno.EPIPE, errno.ECONNRESET), "errno")


@test(where=TWO)
def data_in_both_directions_at_the_close(where):
    """Both sides send, end their halves, and read until the end."""
    a, b = joined(where)
    data = payload(300000)

    def side(sock):
        writer = Background(lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
        received = recv_all(sock)
        writer.join()
        return received

    sides = [Background(side, a), Background(side, b)]
    check(all(side.join() == data for side in sides), "data")


@test(where=TWO)
def corked_data_leaves_with_the_close(where):
    a, b = joined(where)
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    a.sendall(b"corked")
    a.close()
    equal(recv_all(b), b"corked")


if __name__ == "__main__":
    main()
