#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reading and writing on an encrypted connection is as on any TCP socket: calls, flags, vectors, threads, processes."""

import array
import collections
import errno
import fcntl
import os
import signal
import socket
import struct
import termios

from lib.data import CANARY, payload, recv_all, recv_exactly
from lib.harness import Background, check, defer, equal, main, raises, test, until
from lib.pair import EVERYWHERE, TWO, Place, encrypted, joined

SIOCINQ, SIOCOUTQ = termios.FIONREAD, termios.TIOCOUTQ


def in_queue(sock):
    value = array.array("i", [0])
    fcntl.ioctl(sock, SIOCINQ, value)
    return value[0]


def wait_queued(sock, count):
    until(lambda: in_queue(sock) == count, what="%d bytes to read (%d)" % (count, in_queue(sock)))


@test(where=EVERYWHERE)
def send_and_recv(where):
    a, b = joined(where)
    for size in (1, 17, 1000, 16384, 70000):
        data = payload(size)
        for one, other in ((a, b), (b, a)):
            writer = Background(one.sendall, data)
            equal(recv_exactly(other, size), data, "%d bytes" % size)
            writer.join()


@test(where=EVERYWHERE)
def both_directions_at_once(where):
    a, b = joined(where)
    data = payload(600000)
    work = [Background(recv_exactly, s, len(data)) for s in (a, b)]
    senders = [Background(s.sendall, data) for s in (a, b)]
    for reader in work:
        check(reader.join() == data, "data")
    for sender in senders:
        sender.join()


@test(where=TWO)
def small_reads_of_a_large_write(where):
    a, b = joined(where)
    data = payload(20000)
    a.sendall(data)
    out = b""
    for size in (1, 2, 3, 100, 4095, 4096, 4097):
        out += recv_exactly(b, size)
    out += recv_exactly(b, len(data) - len(out))
    check(out == data, "data")


@test(where=TWO)
def large_read_of_small_writes(where):
    a, b = joined(where)
    for _ in range(100):
        a.sendall(CANARY)
    wait_queued(b, 100 * len(CANARY))
    equal(b.recv(1 << 16, socket.MSG_WAITALL | socket.MSG_DONTWAIT), CANARY * 100)


@test(where=TWO)
def read_and_write(where):
    a, b = joined(where)
    equal(os.write(a.fileno(), CANARY), len(CANARY))
    equal(os.read(b.fileno(), 1000), CANARY)


@test(where=TWO)
def readv_and_writev(where):
    a, b = joined(where)
    data = payload(9000)
    parts = [data[:1], data[1:1], data[1:5000], data[5000:]]
    equal(os.writev(a.fileno(), parts), 9000)
    wait_queued(b, 9000)
    buffers = [bytearray(10), bytearray(0), bytearray(7000), bytearray(5000)]
    equal(os.readv(b.fileno(), buffers), 9000)
    check(b"".join(buffers)[:9000] == data, "data")


@test(where=TWO)
def sendmsg_and_recvmsg(where):
    a, b = joined(where)
    data = payload(5000)
    equal(a.sendmsg([data[i : i + 50] for i in range(0, 5000, 50)]), 5000)
    wait_queued(b, 5000)
    got, ancillary, flags, _ = b.recvmsg(6000, 100)
    equal((got, ancillary, flags), (data, [], 0))


@test(where=TWO)
def recvmsg_tells_what_is_left_by_tcp_inq(where):
    a, b = joined(where)
    try:
        b.setsockopt(socket.IPPROTO_TCP, 36, 1)  # TCP_INQ
    except OSError as error:
        check(error.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT), "refused clearly: %s" % error)
        return
    a.sendall(payload(1000))
    wait_queued(b, 1000)
    _, ancillary, _, _ = b.recvmsg(300, 100)
    equal([(level, kind, struct.unpack("i", value)[0]) for level, kind, value in ancillary], [(6, 36, 700)])


@test(where=TWO)
def peek_leaves_the_data(where):
    a, b = joined(where)
    a.sendall(b"one" + CANARY)
    wait_queued(b, 3 + len(CANARY))
    for size in (1, 3, 1000, 2):
        equal(b.recv(size, socket.MSG_PEEK), (b"one" + CANARY)[:size])
    equal(b.recv(3), b"one")
    equal(b.recv(1000, socket.MSG_PEEK), CANARY)
    equal(b.recv(1000), CANARY)


@test
def peek_sees_several_frames():
    a, b = joined("veth4", client=lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1))
    for number in range(5):
        a.sendall(b"%d" % number * 10)
        wait_queued(b, 10 * (number + 1))
    expected = b"0" * 10 + b"1" * 10 + b"2" * 10 + b"3" * 10 + b"4" * 10
    equal(b.recv(50, socket.MSG_PEEK | socket.MSG_WAITALL), expected)
    equal(b.recv(50, socket.MSG_WAITALL), expected)


@test
def peek_waits_for_data():
    a, b = joined()
    reader = Background(b.recv, 10, socket.MSG_PEEK)
    a.sendall(b"later")
    equal(reader.join(), b"later")


@test
def peek_offset_moves_over_plaintext():
    a, b = joined()
    try:
        b.setsockopt(socket.SOL_SOCKET, 42, 0)  # SO_PEEK_OFF
    except OSError as error:
        check(error.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT), "refused clearly: %s" % error)
        return
    a.sendall(b"0123456789")
    wait_queued(b, 10)
    equal(b.recv(4, socket.MSG_PEEK), b"0123")
    equal(b.recv(4, socket.MSG_PEEK), b"4567")
    equal(b.recv(2), b"01")
    equal(b.recv(10, socket.MSG_PEEK), b"89")


@test(where=TWO)
def dontwait_with_nothing_to_read(where):
    a, b = joined(where)
    raises(errno.EAGAIN, b.recv, 10, socket.MSG_DONTWAIT)
    raises(errno.EAGAIN, b.recv, 10, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    a.sendall(b"x")
    wait_queued(b, 1)
    equal(b.recv(10, socket.MSG_DONTWAIT), b"x")


@test(where=TWO)
def dontwait_with_a_full_buffer(where):
    """All that was taken arrives, and nothing else."""
    a, b = joined(where)
    data, taken = payload(1 << 18), 0
    try:
        while True:
            taken += a.send(data[taken % 1000 :], socket.MSG_DONTWAIT)
            check(taken < 1 << 28, "never full")
    except BlockingIOError:
        pass
    check(taken > 0, "something was taken")
    a.shutdown(socket.SHUT_WR)
    equal(len(recv_all(b)), taken, "received")


@test(where=TWO)
def waitall_waits(where):
    a, b = joined(where)
    reader = Background(b.recv, 40000, socket.MSG_WAITALL)
    data = payload(40000)
    for at in range(0, 40000, 10000):
        a.sendall(data[at : at + 10000])
        until(lambda: in_queue(b) == 0, what="taken")
    check(reader.join() == data, "data")


@test
def waitall_ends_with_the_stream():
    a, b = joined()
    reader = Background(b.recv, 1000, socket.MSG_WAITALL)
    a.sendall(b"short")
    a.shutdown(socket.SHUT_WR)
    equal(reader.join(), b"short")


@test(where=TWO)
def more_holds_data_back_until_the_rest(where):
    a, b = joined(where)
    a.send(b"head ", socket.MSG_MORE)
    a.send(b"body ", socket.MSG_MORE)
    a.send(b"tail")
    equal(recv_exactly(b, 14), b"head body tail")


@test
def more_without_a_rest_is_sent_all_the_same():
    """After TCP's 200 ms, or with the end of the stream."""
    a, b = joined()
    a.send(b"alone", socket.MSG_MORE)
    equal(recv_exactly(b, 5), b"alone")
    a.send(b"end", socket.MSG_MORE)
    a.shutdown(socket.SHUT_WR)
    equal(recv_all(b), b"end")


@test
def nosignal_and_sigpipe():
    a, _ = joined()
    signals = []
    defer(signal.signal, signal.SIGPIPE, signal.signal(signal.SIGPIPE, lambda *_: signals.append(1)))
    a.shutdown(socket.SHUT_WR)
    raises(errno.EPIPE, a.send, b"x", socket.MSG_NOSIGNAL)
    equal(signals, [], "signals with MSG_NOSIGNAL")
    raises(errno.EPIPE, a.send, b"x")
    equal(signals, [1], "signals without")


@test
def trunc_discards_plaintext_bytes():
    a, b = joined()
    a.sendall(b"0123456789")
    wait_queued(b, 10)
    buffer = bytearray(b"unchanged!")
    equal(b.recv_into(buffer, 4, socket.MSG_TRUNC), 4)
    equal(bytes(buffer), b"unchanged!")
    equal(b.recv(100), b"456789")


@test
def empty_reads_and_writes():
    a, b = joined()
    equal(a.send(b""), 0)
    a.sendall(b"x")
    wait_queued(b, 1)
    equal(b.recv(0), b"")
    equal(b.recv(10), b"x")


@test(where=TWO)
def queue_lengths_are_in_plaintext_bytes(where):
    a, b = joined(where)
    equal(in_queue(b), 0, "after the key exchange")
    for total, more in ((1, 1), (1001, 1000), (21001, 20000)):
        a.sendall(payload(more))
        wait_queued(b, total)
    b.recv(500)
    equal(in_queue(b), 20501, "after reading 500")
    value = array.array("i", [0])

    def out_queue():
        fcntl.ioctl(a, SIOCOUTQ, value)
        return value[0]

    until(lambda: out_queue() == 0, what="everything acknowledged")
    try:
        while True:
            a.send(bytes(10000), socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass
    check(out_queue() > 0, "bytes not acknowledged yet")


@test
def nodelay_and_cork():
    a, b = joined()
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(20):
        a.sendall(b"%02d" % number)
        equal(recv_exactly(b, 2), b"%02d" % number)
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    a.sendall(b"corked ")
    a.sendall(b"together")
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    equal(recv_exactly(b, 15), b"corked together")


@test(where=TWO)
def fork_and_dup(where):
    """Two processes share the socket; the stream ends with the last of them."""
    a, b = joined(where)
    twin = a.dup()
    defer(twin.close)
    pid = os.fork()
    if pid == 0:
        try:
            b.close()
            a.sendall(b"from the child")
            os._exit(0 if recv_exactly(a, 5) == b"child" else 1)
        except BaseException:
            os._exit(2)
    equal(recv_exactly(b, 14), b"from the child")
    b.sendall(b"child")
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "child's status")
    a.close()
    twin.sendall(b"from the twin")
    equal(recv_exactly(b, 13), b"from the twin")
    twin.close()
    equal(recv_all(b), b"", "end of file after the last close")


@test(where=TWO, timeout=90)
def many_threads_on_one_socket(where):
    a, b = joined(where)
    threads, each, chunk = 8, 150, 700

    def write(number):
        for _ in range(each):
            a.sendall(bytes([number]) * chunk)

    def read():
        seen = collections.Counter()
        while piece := b.recv(5000):
            seen.update(piece)
        return seen

    readers = [Background(read) for _ in range(4)]
    writers = [Background(write, number) for number in range(threads)]
    for writer in writers:
        writer.join(60)
    a.shutdown(socket.SHUT_WR)
    total = sum((reader.join(60) for reader in readers), collections.Counter())
    equal(dict(total), {number: each * chunk for number in range(threads)}, "bytes of each thread")


@test(where=TWO)
def nonblocking_connect(where):
    place = Place(where).watch()
    listener = place.listener()
    sock = place.client.socket(place.family)
    defer(sock.close)
    sock.setblocking(False)
    result = sock.connect_ex(listener.getsockname()[:2])
    check(result in (0, errno.EINPROGRESS), "connect: %d" % result)
    until(lambda: sock.connect_ex(listener.getsockname()[:2]) in (0, errno.EISCONN), what="connected")
    sock.setblocking(True)
    other, _ = listener.accept()
    defer(other.close)
    sock.sendall(CANARY)
    equal(recv_exactly(other, len(CANARY)), CANARY)
    equal(sock.getpeername(), other.getsockname(), "addresses")
    raises(errno.EISCONN, sock.connect, listener.getsockname()[:2])


@test
def refused_connect_and_a_second_one():
    """The socket that failed once connects and is encrypted the next time."""
    place = Place("veth4")
    listener = place.listener()
    closed = place.listener()
    address = closed.getsockname()
    closed.close()
    sock = place.client.socket(4)
    defer(sock.close)
    raises(errno.ECONNREFUSED, sock.connect, address)
    sock.connect(listener.getsockname())
    other, _ = listener.accept()
    defer(other.close)
    encrypted(sock, other)


if __name__ == "__main__":
    main()
