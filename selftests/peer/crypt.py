# SPDX-License-Identifier: GPL-2.0
"""RFC 8548: key schedule (3.3), session ID (3.4), Init1 and Init2 (4.1), encryption frames (3.6, 4.2).

For all TEPs: HKDF-Expand-SHA256 as CPRF, K_LEN, N_A_LEN and N_B_LEN of 32 bytes (section 5).
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .agreement import SCHEMES
from .eno import TEP_X25519

# Section 4.3
CONST_NEXTK, CONST_SESSID, CONST_REKEY, CONST_KEY_A, CONST_KEY_B, CONST_RESUME = (bytes([i]) for i in range(1, 7))
INIT1_MAGIC, INIT2_MAGIC = 0x15101A0E, 0x097105E0

# Section 7, with section 6: identifier -> (primitive, ae_key_len)
AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305 = 0x0001, 0x0002, 0x0010
AEADS = {AES_128_GCM: (AESGCM, 16), AES_256_GCM: (AESGCM, 32), CHACHA20_POLY1305: (ChaCha20Poly1305, 32)}
NONCE_LEN, TAG_LEN = 12, 16
K_LEN = N_LEN = 32

# Sections 4.2 and 4.2.1
REKEY = 0x01
FINP, URGP = 0x01, 0x02


class ProtocolError(AssertionError):
    """The other end broke the RFC."""


def extract(salt, ikm):
    return hmac.new(salt, ikm, hashlib.sha256).digest()


def cprf(key, const, length):
    """HKDF-Expand: T(i) = HMAC(PRK, T(i-1) | CONST | i)."""
    okm, block, counter = b"", b"", 1
    while len(okm) < length:
        block = hmac.new(key, block + const + bytes([counter]), hashlib.sha256).digest()
        okm += block
        counter += 1
    return okm[:length]


class Secrets:
    """What the two hosts have in common once Init1 and Init2 were exchanged. In the names of section 3.3."""

    def __init__(self, n_a, transcript, init1, init2, shared, tep_byte, aead):
        self.ss = [extract(n_a, transcript + init1 + init2 + shared)]
        self.mk = [cprf(self.ss[0], CONST_REKEY, K_LEN)]
        self.aead = aead
        self.session_id = bytes([tep_byte]) + cprf(self.ss[0], CONST_SESSID, K_LEN)

    def session_secret(self, i):
        while len(self.ss) <= i:
            self.ss.append(cprf(self.ss[-1], CONST_NEXTK, K_LEN))
        return self.ss[i]

    def master(self, j):
        while len(self.mk) <= j:
            self.mk.append(cprf(self.mk[-1], CONST_REKEY, K_LEN))
        return self.mk[j]

    def traffic(self, sender, j):
        """(key, nonce randomizer) of the frames that host `sender` ("A" or "B") sends in generation j."""
        length = AEADS[self.aead][1]
        okm = cprf(self.master(j), CONST_KEY_A if sender == "A" else CONST_KEY_B, length + NONCE_LEN)
        return okm[:length], okm[length:]


def init1(ciphers, nonce, public, magic=INIT1_MAGIC, length=None, nciphers=None, ignored=b""):
    body = bytes([len(ciphers) if nciphers is None else nciphers])
    body += b"".join(struct.pack("!H", c) for c in ciphers)
    body += nonce + public + ignored
    return struct.pack("!II", magic, 8 + len(body) if length is None else length) + body


def init2(cipher, nonce, public, magic=INIT2_MAGIC, length=None, ignored=b""):
    body = struct.pack("!H", cipher) + nonce + public + ignored
    return struct.pack("!II", magic, 8 + len(body) if length is None else length) + body


@dataclass
class Init1:
    ciphers: list
    nonce: bytes
    public: bytes
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw, tep=TEP_X25519):
        magic, length, count = struct.unpack_from("!IIB", raw)
        if magic != INIT1_MAGIC or length != len(raw):
            raise ProtocolError("Init1 header %s" % raw[:9].hex())
        if length != 9 + 2 * count + N_LEN + SCHEMES[tep].length:
            raise ProtocolError("Init1 is %d bytes with %d ciphers" % (length, count))
        ciphers = list(struct.unpack_from("!%dH" % count, raw, 9))
        rest = raw[9 + 2 * count :]
        return cls(ciphers, rest[:N_LEN], rest[N_LEN:], raw)


@dataclass
class Init2:
    cipher: int
    nonce: bytes
    public: bytes
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, raw, tep=TEP_X25519):
        magic, length, cipher = struct.unpack_from("!IIH", raw)
        if magic != INIT2_MAGIC or length != len(raw) or length != 10 + N_LEN + SCHEMES[tep].length:
            raise ProtocolError("Init2 header %s of %d bytes" % (raw[:10].hex(), len(raw)))
        return cls(cipher, raw[10 : 10 + N_LEN], raw[10 + N_LEN :], raw)


def new_nonce():
    return os.urandom(N_LEN)


@dataclass
class Frame:
    """A frame that was opened."""

    control: int
    clen: int
    flags: int
    urgent: int
    data: bytes
    offset: int

    @property
    def fin(self):
        return bool(self.flags & FINP)


class Direction:
    """The frames of one direction: the keys of its generation and the offset in the stream that makes the nonce."""

    def __init__(self, secrets, sender, offset):
        self.secrets, self.sender, self.offset, self.generation = secrets, sender, offset, 0
        self._load()

    def _load(self):
        key, self.randomizer = self.secrets.traffic(self.sender, self.generation)
        self.cipher = AEADS[self.secrets.aead][0](key)

    def rekey(self):
        self.generation += 1
        self._load()

    def _nonce(self):
        frame_id = bytes(NONCE_LEN - 8) + struct.pack("!Q", self.offset)
        return bytes(a ^ b for a, b in zip(frame_id, self.randomizer))

    def seal(self, data, flags=0, control=0, urgent=None):
        plaintext = bytes([flags]) + (b"" if urgent is None else struct.pack("!H", urgent)) + data
        return self.seal_plaintext(plaintext, control)

    def seal_plaintext(self, plaintext, control=0):
        associated = struct.pack("!BH", control, len(plaintext) + TAG_LEN)
        frame = associated + self.cipher.encrypt(self._nonce(), plaintext, associated)
        self.offset += len(frame)
        return frame

    def open(self, raw):
        """A whole frame as it was on the wire."""
        control, clen = struct.unpack_from("!BH", raw)
        if control & REKEY:
            self.rekey()
        try:
            plaintext = self.cipher.decrypt(self._nonce(), raw[3:], raw[:3])
        except InvalidTag:
            raise ProtocolError("frame at %d does not authenticate" % self.offset) from None
        offset, self.offset = self.offset, self.offset + len(raw)
        flags, urgent, data = plaintext[0], None, plaintext[1:]
        if flags & URGP:
            urgent, data = struct.unpack("!H", data[:2])[0], data[2:]
        return Frame(control, clen, flags, urgent, data, offset)
