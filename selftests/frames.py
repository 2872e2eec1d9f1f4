#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Encryption frames (RFC 8548 3.6, 3.7, 4.2) in both directions: sizes, segmentation, reserved bits, the authentic end."""

import array
import fcntl
import os
import select
import socket
import struct
import termios

from lib import ulp
from lib.data import recv_all, recv_exactly
from lib.harness import FAMILIES, Background, check, defer, equal, main, test, until
from lib.peerhost import host
from peer import crypt
from peer.tcp import FIN

ROLES = (True, False)
MAX_DATA = 65535 - crypt.TAG_LEN - 1


@test(family=FAMILIES, active=ROLES, aead=tuple(ulp.AEADS))
def frames_of_every_size_are_read(family, active, aead):
    ns = host().ns
    defer(ulp.set_aead, ns)
    ulp.set_aead(ns, aead)
    sock, peer = host().opened(family, active)
    for size in (1, 2, 15, 16, 17, 1383, 1400, 4096, 16384, 32768, MAX_DATA):
        data = os.urandom(size)
        reader = Background(recv_exactly, sock, size)
        peer.send(data)
        equal(reader.join(), data, "frame of %d bytes" % size)


@test(family=FAMILIES)
def one_byte_segments(family):
    sock, peer = host().opened(family, True)
    for size in (1, 40):
        data = os.urandom(size)
        peer.send(data, sizes=(1,))
        equal(recv_exactly(sock, size), data)


@test(sizes=((1, 60000), (2, 60000), (3, 60000), (4, 60000), (18, 60000), (1000, 3, 500)))
def frame_cut_anywhere(sizes):
    sock, peer = host().opened(4, False)
    for size in (1, 5000):
        data = os.urandom(size)
        peer.send(data, sizes=sizes)
        equal(recv_exactly(sock, size), data)


@test(family=FAMILIES)
def many_frames_in_one_segment(family):
    sock, peer = host().opened(family, False)
    data = [os.urandom(size) for size in (1, 0, 20, 3, 0, 0, 100, 7) * 4]
    peer.tcp.send_data(b"".join(peer.tx.seal(piece) for piece in data))
    equal(recv_exactly(sock, sum(map(len, data))), b"".join(data))


@test
def frames_that_cross_segments():
    sock, peer = host().opened(4, True)
    data = [os.urandom(size) for size in (100, 1500, 3, 2900, 10)]
    peer.tcp.send_data(b"".join(peer.tx.seal(piece) for piece in data), sizes=(70, 1400, 33, 900))
    equal(recv_exactly(sock, sum(map(len, data))), b"".join(data))


@test
def segments_in_the_wrong_order():
    sock, peer = host().opened(4, True)
    data = os.urandom(4000)
    frame, start = peer.tx.seal(data), peer.tcp.snd_nxt
    for at in (3000, 1000, 2000, 4000, 0):
        peer.tcp.transmit(peer.tcp.segment(0x10, frame[at : at + 1000], seq=start + at))
    equal(recv_exactly(sock, 4000), data)


@test
def overlapping_segments():
    sock, peer = host().opened(4, True)
    data = os.urandom(3000)
    frame, start = peer.tx.seal(data), peer.tcp.snd_nxt
    for at, to in ((0, 1000), (500, 1500), (0, 1600), (2500, 3020), (1400, 2600), (0, 1000)):
        peer.tcp.transmit(peer.tcp.segment(0x10, frame[at:to], seq=start + at))
    equal(recv_exactly(sock, 3000), data)


@test(active=ROLES)
def empty_frames_are_no_end_of_file(active):
    sock, peer = host().opened(4, active)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    peer.send(b"")
    peer.send(b"")
    peer.tcp.wait_acked()
    equal(poll.poll(100), [], "readable after an empty frame")
    peer.send(b"data")
    equal(recv_exactly(sock, 4), b"data")


@test(control=(0x02, 0x80, 0xFE))
def reserved_control_bits_are_ignored(control):
    sock, peer = host().opened(4, True)
    peer.send(b"first", control=control)
    peer.send(b"second")
    equal(recv_exactly(sock, 11), b"firstsecond")


@test(flags=(0x04, 0x80, 0xFC))
def reserved_flags_are_ignored(flags):
    sock, peer = host().opened(4, False)
    peer.send(b"first", flags=flags)
    peer.send(b"last", flags=flags | crypt.FINP)
    peer.tcp.send_fin()
    equal(recv_all(sock), b"firstlast")


@test
def urgent_field_is_not_data():
    sock, peer = host().opened(4, True)
    peer.send(b"see", flags=crypt.URGP, urgent=2)
    peer.send(b"", flags=crypt.URGP, urgent=0)
    peer.send(b" this", flags=crypt.URGP | crypt.FINP, urgent=0xFFFF)
    peer.tcp.send_fin()
    equal(recv_all(sock), b"see this")


@test
def urg_flag_of_tcp_takes_no_byte_away():
    """The TCP header is not authenticated: an URG flag set on the way must not steal a byte of ciphertext."""
    sock, peer = host().opened(4, True)
    frame = peer.tx.seal(b"complete data")
    peer.tcp.transmit(peer.tcp.segment(0x38, frame, urgent=5))
    equal(recv_exactly(sock, 13), b"complete data")


@test(family=FAMILIES, size=(2304, 8192), frame=(1400, 20000, MAX_DATA))
def frame_larger_than_the_receive_buffer(family, size, frame):
    def small(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    sock, peer = host().opened(family, False, small)
    data = os.urandom(frame)
    reader = Background(recv_exactly, sock, 2 * frame)
    peer.send(data)
    peer.send(data)
    equal(reader.join(), data * 2)


@test(active=ROLES, last=(b"", b"last words"))
def authentic_end_of_the_other_side(active, last):
    sock, peer = host().opened(4, active)
    peer.send(b"data ")
    peer.finish(last)
    equal(recv_all(sock), b"data " + last)
    equal(sock.recv(1), b"", "end of file again")
    sock.sendall(b"other half")
    equal(peer.recv(10), b"other half")
    sock.close()
    equal(peer.wait_end(), b"")


@test
def finp_is_the_end_also_before_the_fin():
    sock, peer = host().opened(4, True)
    peer.send(b"data", flags=crypt.FINP)
    equal(recv_all(sock), b"data")
    peer.tcp.send_fin()
    peer.tcp.wait_acked()
    equal(sock.recv(1), b"", "end of file again")


@test(family=FAMILIES, active=ROLES)
def end_of_our_side(family, active):
    """FINp on the last frame only, FIN on the segment with its last byte."""
    sock, peer = host().opened(family, active)
    def write():
        sock.sendall(b"a" * 30000)
        sock.sendall(b"b" * 10)
        sock.shutdown(socket.SHUT_WR)

    writer = Background(write)
    equal(peer.wait_end(), b"a" * 30000 + b"b" * 10)
    writer.join()
    equal([f.fin for f in peer.frames[:-1]], [False] * (len(peer.frames) - 1), "FINp before the end")
    stream_end = peer.frames[-1].offset + 3 + peer.frames[-1].clen
    fin = next(s for s in peer.tcp.log if s.has(FIN))
    equal((fin.seq + len(fin.payload) - peer.tcp.irs - 1) & 0xFFFFFFFF, stream_end, "place of the FIN")
    check(fin.payload, "FIN in a segment of its own")
    peer.send(b"half-closed")
    peer.finish()
    equal(recv_all(sock), b"half-closed")


@test(active=ROLES)
def end_without_any_data(active):
    sock, peer = host().opened(4, active)
    sock.close()
    equal(peer.wait_end(), b"")
    equal(len(peer.frames), 1, "frames")


@test(size=(1, 100, 16384, 65536, 200000))
def our_frames_are_well_formed(size):
    """Reserved bits clear, no urgent field, no empty frames, data small enough for the length field."""
    sock, peer = host().opened(4, True)
    writer = Background(sock.sendall, bytes(size))
    equal(peer.recv(size), bytes(size))
    writer.join()
    for frame in peer.frames:
        equal((frame.control, frame.flags, frame.urgent), (0, 0, None), "control, flags, urgent")
        check(0 < len(frame.data) <= MAX_DATA, "data of %d bytes" % len(frame.data))


@test
def writes_that_wait_share_frames():
    """Small writes that TCP cannot send yet do not get a frame each."""
    sock, peer = host().opened(4, True)
    peer.tcp.auto_ack = False
    sock.settimeout(None)  # with a time limit of its own, Python would wait in spite of MSG_DONTWAIT
    writes = 0
    try:
        while writes < 1000:
            writes += sock.send(b"0123456789", socket.MSG_DONTWAIT) // 10
    except BlockingIOError:
        pass
    check(writes >= 500, "only %d writes of ten bytes fit into the send buffer" % writes)
    peer.tcp.auto_ack = True
    peer.tcp.send_ack()
    equal(peer.recv(10 * writes), b"0123456789" * writes)
    check(len(peer.frames) < writes // 2, "%d frames for %d writes" % (len(peer.frames), writes))


@test
def bytes_not_acknowledged_are_counted_as_plaintext():
    """SIOCOUTQ while the peer acknowledges nothing, and after it has."""
    sock, peer = host().opened(4, True)
    sock.sendall(b"settled")
    equal(peer.recv(7), b"settled")
    value = array.array("i", [0])

    def out_queue():
        fcntl.ioctl(sock, termios.TIOCOUTQ, value)
        return value[0]

    until(lambda: out_queue() == 0, what="nothing outstanding (%d)" % out_queue())
    peer.tcp.auto_ack = False
    sock.sendall(bytes(1000))
    sock.sendall(bytes(10))
    equal(out_queue(), 1010, "outstanding")
    peer.tcp.auto_ack = True
    equal(peer.recv(1010), bytes(1010))
    until(lambda: out_queue() == 0, what="nothing outstanding (%d)" % out_queue())


@test
def traffic_keys_differ_by_direction():
    """A frame of ours sent back to us does not open."""
    sock, peer = host().opened(4, True)
    sock.sendall(b"reflect me")
    raw = peer.tcp.read(3)
    raw += peer.tcp.read(struct.unpack("!H", raw[1:])[0])
    equal(peer.rx.open(raw).data, b"reflect me")
    peer.tcp.send_data(raw)
    until(lambda: error_of(sock), what="error")


def error_of(sock):
    try:
        check(sock.recv(100) != b"reflect me", "accepted")
    except OSError as error:
        return error.errno
    return 0


@test
def window_closed_and_reopened():
    """The peer's window is shut for a while: everything arrives, in order."""
    sock, peer = host().opened(4, True)
    peer.tcp.window = 0
    peer.tcp.send_ack()
    writer = Background(sock.sendall, bytes(range(250)) * 400)
    peer.tcp.wait(lambda: len([s for s in peer.tcp.log if s.length() <= 1]) >= 1, what="probe")
    peer.tcp.window = 65535
    peer.tcp.send_ack()
    equal(peer.recv(100000), bytes(range(250)) * 400)
    writer.join()


if __name__ == "__main__":
    main()
