#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Frames that are wrong and ends that are forged (RFC 8548 3.6, 3.7): EBADMSG, ECONNABORTED or ECONNRESET, never end of file.

Each error is sticky and, once noticed, seen by poll() as POLLERR; data that came intact before it is still delivered.
"""

import errno
import select
import socket

from lib import ulp
from lib.data import recv_exactly
from lib.harness import FAMILIES, Background, check, equal, main, raises, test, until
from lib.peerhost import host
from peer import crypt

ROLES = (True, False)


def flip(position):
    def corrupt(frame):
        changed = bytearray(frame)
        changed[position] ^= 0x10
        return bytes(changed)

    return corrupt


def shorter(frame):
    """The length field says one byte less, so the rest is taken for another frame."""
    clen = int.from_bytes(frame[1:3], "big") - 1
    return frame[:1] + clen.to_bytes(2, "big") + frame[3:]


CORRUPTIONS = {
    "data": flip(5),
    "tag": flip(-1),
    "flags_byte": flip(3),
    "control_byte": flip(0),
    "length": shorter,
}


def is_dead(sock, expected):
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    # A frame may be opened as late as in recv(); poll() says until then that a read gets on
    until(lambda: dict(poll.poll(100)).get(sock.fileno(), 0) & (select.POLLIN | select.POLLERR), what="POLLIN or POLLERR")
    for _ in range(3):
        raises(expected, sock.recv, 100)
    raises(expected, sock.recv, 100, socket.MSG_PEEK)
    try:
        sock.send(b"more")
    except OSError as error:
        check(error.errno in (expected, errno.EPIPE), "send: %s" % error)
    else:
        raise AssertionError("send() after the error")
    check(dict(poll.poll(0)).get(sock.fileno(), 0) & select.POLLERR, "POLLERR")


@test(family=FAMILIES, active=ROLES, case=tuple(CORRUPTIONS))
def corrupt_frame(family, active, case):
    with ulp.Counting(host().ns) as count:
        sock, peer = host().opened(family, active)
        peer.send(b"intact")
        equal(recv_exactly(sock, 6), b"intact")
        peer.tcp.send_data(CORRUPTIONS[case](peer.tx.seal(b"data that is changed on the way")))
        is_dead(sock, errno.EBADMSG)
        peer.tcp.wait_rst()
        equal(count("FrameAuthFailed"), 1, "counters %s" % count.grown())


@test(aead=tuple(ulp.AEADS))
def corrupt_frame_of_each_aead(aead):
    ns = host().ns
    ulp.set_aead(ns, aead)
    try:
        sock, peer = host().opened(4, True)
        peer.tcp.send_data(flip(-3)(peer.tx.seal(b"x" * 3000)))
        is_dead(sock, errno.EBADMSG)
    finally:
        ulp.set_aead(ns)


@test
def intact_data_before_a_corrupt_frame_is_delivered():
    sock, peer = host().opened(4, True)
    good = peer.tx.seal(b"intact") + peer.tx.seal(b" too")
    peer.tcp.send_data(good + flip(-1)(peer.tx.seal(b"changed")))
    equal(recv_exactly(sock, 10), b"intact too")
    is_dead(sock, errno.EBADMSG)


@test
def corrupt_byte_in_a_large_frame():
    """None of the frame may be delivered, wherever the error is."""
    sock, peer = host().opened(4, True)
    reader = Background(recv_exactly, sock, 60000)
    peer.tcp.send_data(flip(59000)(peer.tx.seal(b"x" * 60000)))
    raises(errno.EBADMSG, reader.join)


@test
def replayed_frame():
    sock, peer = host().opened(4, True)
    frame = peer.send(b"once")
    peer.tcp.send_data(frame)
    equal(recv_exactly(sock, 4), b"once")
    is_dead(sock, errno.EBADMSG)


@test
def dropped_frame():
    """The stream goes on after a frame that was cut out: the offset no longer fits."""
    sock, peer = host().opened(4, True)
    peer.tx.seal(b"cut out")
    peer.send(b"next")
    is_dead(sock, errno.EBADMSG)


@test(clen=(0, 1, 15, 16))
def frame_too_short_for_a_tag(clen):
    sock, peer = host().opened(4, False)
    peer.tcp.send_data(b"\0" + clen.to_bytes(2, "big") + bytes(40))
    is_dead(sock, errno.EBADMSG)
    peer.tcp.wait_rst()


@test(plaintext=(b"", b"\x02", b"\x02\x00"))
def plaintext_too_short(plaintext):
    """Authentic, but without its flags byte, or with URGp and without the urgent field."""
    sock, peer = host().opened(4, True)
    peer.tcp.send_data(peer.tx.seal_plaintext(plaintext))
    is_dead(sock, errno.EBADMSG)


@test
def wrong_keys():
    """There is no key confirmation: the first frame shows it."""
    sock, peer = host().opened(4, True)
    peer.secrets.mk[0] = bytes(32)
    peer.tx = crypt.Direction(peer.secrets, peer.role, peer.tx.offset)
    peer.send(b"from somebody else")
    is_dead(sock, errno.EBADMSG)


@test(family=FAMILIES, active=ROLES)
def fin_without_finp(family, active):
    with ulp.Counting(host().ns) as count:
        sock, peer = host().opened(family, active)
        peer.send(b"data")
        peer.tcp.send_fin()
        equal(recv_exactly(sock, 4), b"data")
        is_dead(sock, errno.ECONNABORTED)
        equal(count("Truncated"), 1, "counters %s" % count.grown())


@test(cut=(1, 2, 3, 10, 25))
def fin_inside_a_frame(cut):
    sock, peer = host().opened(4, True)
    peer.tcp.send_fin(peer.tx.seal(b"cut off", crypt.FINP)[:cut])
    is_dead(sock, errno.ECONNABORTED)


@test(active=ROLES)
def fin_before_any_frame(active):
    sock, peer = host().opened(4, active)
    peer.tcp.send_fin()
    is_dead(sock, errno.ECONNABORTED)


@test
def blocked_reader_sees_a_forged_end():
    sock, peer = host().opened(4, True)
    sock.setblocking(True)
    reader = Background(sock.recv, 10)
    peer.tcp.send_fin()
    raises(errno.ECONNABORTED, reader.join)


@test(active=ROLES)
def reset_is_no_end_of_file(active):
    sock, peer = host().opened(4, active)
    peer.send(b"data")
    peer.tcp.wait_acked()
    equal(recv_exactly(sock, 4), b"data")
    peer.tcp.send_rst()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    until(lambda: dict(poll.poll(100)).get(sock.fileno(), 0) & select.POLLERR, what="POLLERR")
    raises(errno.ECONNRESET, sock.recv, 10)


@test
def reset_after_an_authentic_end_is_not_taken_back():
    """FINp has come: what follows in TCP cannot change that the stream was whole."""
    sock, peer = host().opened(4, True)
    peer.send(b"whole", flags=crypt.FINP)
    peer.tcp.wait_acked()
    equal(recv_exactly(sock, 6), b"whole")


@test(extra=("frame", "garbage", "plaintext"))
def data_after_finp_is_never_delivered(extra):
    sock, peer = host().opened(4, True)
    peer.send(b"last", flags=crypt.FINP)
    more = {"frame": peer.tx.seal(b"afterwards"), "garbage": bytes(50), "plaintext": b"in the clear" * 5}[extra]
    peer.tcp.send_data(more)
    peer.tcp.send_fin()
    received = b""
    try:
        while piece := sock.recv(100):
            received += piece
        for _ in range(3):
            check(sock.recv(100) == b"", "something after the end")
    except OSError as error:
        check(error.errno in (errno.EBADMSG, errno.ECONNABORTED, errno.ECONNRESET), "error %s" % error)
    check(received in (b"last", b""), "received %r" % received)


@test
def close_after_an_error_is_quiet():
    """A socket with a broken stream can be closed and forgotten like any other."""
    before = ulp.counters(host().ns)["Established"]
    sock, peer = host().opened(4, True)
    peer.tcp.send_data(bytes(100))
    is_dead(sock, errno.EBADMSG)
    sock.close()
    until(lambda: ulp.counters(host().ns)["Established"] <= before, what="connection gone")


@test
def rekey_bit_is_no_way_around_authentication():
    """A frame with the rekey bit under the old keys is forged."""
    sock, peer = host().opened(4, True)
    peer.send(b"old keys", control=crypt.REKEY)
    is_dead(sock, errno.EBADMSG)


if __name__ == "__main__":
    main()
