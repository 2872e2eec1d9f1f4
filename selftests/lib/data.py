# SPDX-License-Identifier: GPL-2.0
"""Test data that carries a canary, and transfers compared by hash."""

import hashlib
import os

CANARY = b"CANARY-in-the-clear-" + os.urandom(8).hex().encode()
BLOCK = 1 << 20


def _block():
    """1 MiB of noise with the canary every 512 bytes, so that a packet of any size that carries plaintext shows it."""
    noise = os.urandom(BLOCK // 8) * 8
    step = 512
    pieces = [CANARY + noise[at + len(CANARY) : at + step] for at in range(0, BLOCK, step)]
    return b"".join(pieces)


_the_block = None


def block():
    global _the_block
    if _the_block is None:
        _the_block = _block()
    return _the_block


def payload(size):
    """`size` bytes, the same in every call."""
    return (block() * (size // BLOCK + 1))[:size]


def pieces(size):
    """The same in steps of at most 64 KiB, without ever holding it all; each 64 KiB differs by its number."""
    source, at, step = block(), 0, 1 << 16
    while at < size:
        piece = bytearray(source[at % BLOCK : at % BLOCK + step])
        piece[-8:] = at.to_bytes(8, "big")
        yield bytes(piece[: min(step, size - at)])
        at += step


def digest_of(size):
    total = hashlib.sha256()
    for piece in pieces(size):
        total.update(piece)
    return total.hexdigest()


def send_pieces(sock, size):
    for piece in pieces(size):
        sock.sendall(piece)


def receive_digest(sock, size=None):
    """(bytes received, hash) up to `size` bytes or the end of the stream."""
    total, count = hashlib.sha256(), 0
    buffer = memoryview(bytearray(1 << 16))
    while size is None or count < size:
        got = sock.recv_into(buffer, min(len(buffer), size - count) if size is not None else len(buffer))
        if got == 0:
            break
        total.update(buffer[:got])
        count += got
    return count, total.hexdigest()


def recv_exactly(sock, count):
    """However the socket's timeout is set; less only at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def recv_all(sock):
    data = bytearray()
    while piece := sock.recv(1 << 16):
        data += piece
    return bytes(data)
