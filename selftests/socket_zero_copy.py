#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""sendfile, splice, io_uring and MSG_ZEROCOPY carry plaintext in and out, and ciphertext on the wire."""

import errno
import fcntl
import os
import select
import socket
import subprocess
import tempfile

from lib.data import CANARY, payload, recv_all, recv_exactly
from lib.harness import Background, check, defer, equal, main, skip, test, until
from lib.pair import EVERYWHERE, TWO, joined

SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
F_SETPIPE_SZ = 1031
SPLICE_F_NONBLOCK = 2


def file_with(data):
    file = tempfile.TemporaryFile()
    defer(file.close)
    file.write(data)
    file.flush()
    return file


def pipe():
    reading, writing = os.pipe()
    for fd in (reading, writing):
        defer(close_quietly, fd)
    return reading, writing


def close_quietly(fd):
    try:
        os.close(fd)
    except OSError:
        pass


@test(where=EVERYWHERE)
def sendfile_from_a_file(where):
    a, b = joined(where)
    data = payload(700000)
    file = file_with(data)
    reader = Background(recv_exactly, b, len(data))
    at = 0
    while at < len(data):
        at += os.sendfile(a.fileno(), file.fileno(), at, len(data) - at)
    check(reader.join() == data, "data")


@test
def sendfile_of_a_part_and_beyond_the_end():
    a, b = joined()
    data = payload(10000)
    file = file_with(data)
    equal(os.sendfile(a.fileno(), file.fileno(), 9000, 5000), 1000)
    equal(os.sendfile(a.fileno(), file.fileno(), 10000, 5000), 0)
    a.sendall(b"then a write")
    equal(recv_exactly(b, 1012), data[9000:] + b"then a write")


@test
def sendfile_nonblocking():
    a, b = joined()
    data = payload(4 << 20)
    file = file_with(data)
    a.setblocking(False)
    reader = Background(recv_exactly, b, len(data))
    at = 0
    while at < len(data):
        try:
            at += os.sendfile(a.fileno(), file.fileno(), at, len(data) - at)
        except BlockingIOError:
            select.select([], [a], [], 20)
    check(reader.join() == data, "data")


@test
def file_changed_after_sendfile():
    """The bytes are sealed once: a change of the page afterwards never sends two versions under one nonce."""
    a, b = joined()
    file = file_with(payload(65536))
    before = payload(65536)
    reader = Background(recv_exactly, b, 65536)
    equal(os.sendfile(a.fileno(), file.fileno(), 0, 65536), 65536)
    file.seek(0)
    file.write(bytes(65536))
    file.flush()
    received = reader.join()
    check(all(x in (y, 0) for x, y in zip(received[::97], before[::97])), "bytes of either version")


@test(where=TWO)
def splice_from_a_pipe(where):
    a, b = joined(where)
    reading, writing = pipe()
    data = payload(50000)
    os.write(writing, data)
    reader = Background(recv_exactly, b, len(data))
    at = 0
    while at < len(data):
        at += os.splice(reading, a.fileno(), len(data) - at)
    check(reader.join() == data, "data")


@test(where=TWO)
def splice_to_a_pipe(where):
    a, b = joined(where)
    reading, writing = pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 1 << 20)
    data, got = payload(300000), bytearray()
    writer = Background(a.sendall, data)
    while len(got) < len(data):
        count = os.splice(b.fileno(), writing, 100000)
        check(count > 0, "splice: %d" % count)
        while count:
            piece = os.read(reading, count)
            got += piece
            count -= len(piece)
    writer.join()
    check(bytes(got) == data, "data")


@test
def splice_to_a_pipe_with_nothing_there_and_at_the_end():
    a, b = joined()
    _, writing = pipe()
    b.setblocking(False)
    try:
        os.splice(b.fileno(), writing, 100, flags=SPLICE_F_NONBLOCK)
    except BlockingIOError:
        pass
    else:
        raise AssertionError("no EAGAIN")
    a.close()
    until(lambda: select.select([b], [], [], 0)[0], what="end")
    equal(os.splice(b.fileno(), writing, 100), 0, "end of file")


@test
def splice_and_recv_take_turns():
    a, b = joined()
    reading, writing = pipe()
    a.sendall(b"0123456789abcdef")
    until(lambda: len(b.recv(100, socket.MSG_PEEK)) == 16, what="data")
    equal(b.recv(3), b"012")
    equal(os.splice(b.fileno(), writing, 5), 5)
    equal(os.read(reading, 100), b"34567")
    equal(b.recv(100), b"89abcdef")


@test(where=TWO)
def socket_to_socket_through_a_pipe(where):
    """A proxy that splices."""
    a, b = joined(where)
    c, d = joined(where)
    reading, writing = pipe()
    data = payload(200000)

    def proxy():
        while count := os.splice(b.fileno(), writing, 65536):
            while count:
                count -= os.splice(reading, c.fileno(), count)
        c.shutdown(socket.SHUT_WR)

    work = Background(proxy)
    reader = Background(recv_all, d)
    a.sendall(data)
    a.shutdown(socket.SHUT_WR)
    check(reader.join() == data, "data")
    work.join()


@test(where=TWO)
def zerocopy_send_copies_but_completes(where):
    a, b = joined(where)
    try:
        a.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    except OSError as error:
        check(error.errno in (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL), "refused clearly: %s" % error)
        return
    data = payload(30000)
    try:
        sent = a.send(data, MSG_ZEROCOPY)
    except OSError as error:
        check(error.errno in (errno.EOPNOTSUPP, errno.EINVAL), "refused clearly: %s" % error)
        return
    check(recv_exactly(b, sent) == data[:sent], "data")
    poll = select.poll()
    poll.register(a, 0)
    check(poll.poll(10000), "completion is announced")
    _, ancillary, _, _ = a.recvmsg(0, 200, socket.MSG_ERRQUEUE)
    check(ancillary, "completion in the error queue")


def uring_program():
    """Compiled at the start of the test."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "uring.c")
    program = os.path.join(tempfile.mkdtemp(), "uring")
    try:
        subprocess.run(["gcc", "-O1", "-Wall", "-o", program, source], check=True)
    except FileNotFoundError:
        skip("no gcc")
    return program


@test(timeout=120)
def io_uring_send_and_recv():
    program = uring_program()
    data = CANARY * 1000
    for where in TWO:
        a, b = joined(where)
        reader = Background(recv_exactly, b, len(data))
        done = subprocess.run([program, "send", str(a.fileno())], pass_fds=[a.fileno()], input=data, capture_output=True)
        if done.returncode == 4:
            skip("no io_uring: %s" % done.stderr.decode().strip())
        equal((done.returncode, done.stderr), (0, b""), "send")
        check(reader.join() == data, "data")
        writer = Background(b.sendall, data)
        command = [program, "recv", str(a.fileno()), str(len(data))]
        done = subprocess.run(command, pass_fds=[a.fileno()], capture_output=True)
        equal((done.returncode, done.stderr), (0, b""), "recv")
        writer.join()
        check(done.stdout == data, "data")


@test(timeout=120)
def io_uring_waits_for_data_and_for_the_end():
    program = uring_program()
    a, b = joined()
    command = [program, "recv", str(a.fileno()), "100"]
    child = subprocess.Popen(command, pass_fds=[a.fileno()], stdout=subprocess.PIPE)
    defer(child.wait)
    b.sendall(b"late")
    b.shutdown(socket.SHUT_WR)
    out, _ = child.communicate(timeout=60)
    if child.returncode == 4:
        skip("no io_uring")
    equal((child.returncode, out), (0, b"late"))


if __name__ == "__main__":
    main()
