#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A peer that rekeys (RFC 8548 section 3.8): we follow at once, with a frame of our own for each generation."""

import select
import socket

from lib.harness import check, equal, main, test
from lib.peerhost import host
from peer import crypt


def followed(peer, generation):
    """The next frame begins `generation` of our keys; returns its data."""
    frame = peer.read_frame()
    check(frame.control & crypt.REKEY, "rekey is set on the first frame of a generation")
    equal(peer.rx.generation, generation, "generation")
    return frame.data


@test(active=(True, False))
def rekey_with_data_is_followed_at_once(active):
    """Nobody reads: the answer comes all the same, and the data wait."""
    sock, peer = host().opened(4, active)
    peer.tx.rekey()
    peer.send(b"under the new keys", control=crypt.REKEY)
    equal(followed(peer, 1), b"")
    equal(sock.recv(100), b"under the new keys")
    sock.sendall(b"and back")
    equal(peer.recv(8), b"and back")


@test(active=(True, False))
def rekey_without_data_is_followed_and_not_readable(active):
    sock, peer = host().opened(4, active)
    peer.tx.rekey()
    peer.send(b"", control=crypt.REKEY)
    equal(followed(peer, 1), b"")
    check(not select.select([sock], [], [], 0.3)[0], "there is nothing to read")
    peer.send(b"data")
    equal(sock.recv(100), b"data")


@test
def each_generation_is_followed():
    """Three rekeys in a row, the last frame large enough to be opened in the reader's own memory."""
    sock, peer = host().opened(4, True)
    large = bytes(range(256)) * 32
    for data in (b"one", b"two", large):
        peer.tx.rekey()
        peer.send(data, control=crypt.REKEY)
    want, have = b"onetwo" + large, b""
    while len(have) < len(want):
        have += sock.recv(1 << 16)
    check(have == want, "the data of all three generations")
    for generation in (1, 2, 3):
        equal(followed(peer, generation), b"")
    sock.sendall(b"under the last")
    frame = peer.read_frame()
    equal((frame.data, frame.control), (b"under the last", 0))


@test
def rekey_before_the_end():
    """The frame with FINp may begin a generation; ours carries the end under the key that follows."""
    sock, peer = host().opened(4, True)
    peer.tx.rekey()
    peer.send(b"last", flags=crypt.FINP, control=crypt.REKEY)
    equal(sock.recv(100), b"last")
    equal(sock.recv(100), b"", "the authentic end")
    sock.shutdown(socket.SHUT_WR)
    equal(peer.wait_end(), b"")
    equal(peer.rx.generation, 1, "generation")


if __name__ == "__main__":
    main()
