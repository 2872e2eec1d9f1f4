#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Known answers for tcpcrypt (RFC 8548), computed from the text of the RFC and nothing else.

Without arguments this writes vectors.txt beside itself; with --check it recomputes them and compares.
Needs the package `cryptography` for the key agreements and the AEADs; HMAC-SHA256 is in the standard library.

Each line of vectors.txt is a name and a value in hexadecimal.
"""

import hashlib
import hmac
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# 4.3: constants
CONST_NEXTK, CONST_SESSID, CONST_REKEY, CONST_KEY_A, CONST_KEY_B, CONST_RESUME = (
    bytes([i]) for i in range(1, 7)
)
INIT1_MAGIC = bytes.fromhex("15101a0e")
INIT2_MAGIC = bytes.fromhex("097105e0")

# 5: lengths for all TEPs
K_LEN = 32

# 6 and 7: name, identifier, ae_key_len, algorithm
AEADS = [
    ("aes128-gcm", 0x0001, 16, AESGCM),
    ("aes256-gcm", 0x0002, 32, AESGCM),
    ("chacha20-poly1305", 0x0010, 32, ChaCha20Poly1305),
]
AE_NONCE_LEN = 12

# Fixed inputs: the private keys are those of RFC 7748, 6.1 (Alice is host A, Bob host B).
PRIVATE_A = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
PRIVATE_B = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
N_A = bytes(range(0x00, 0x20))
N_B = bytes(range(0x20, 0x40))


def be(number, length):
    return number.to_bytes(length, "big")


# 3.1, figure 1
def hmac_hash(key, value):
    return hmac.new(key, value, hashlib.sha256).digest()


def extract(salt, ikm):
    return hmac_hash(salt, ikm)


def cprf(key, const, length):
    okm, t, n = b"", b"", 0
    while len(okm) < length:
        n += 1
        t = hmac_hash(key, t + const + bytes([n]))
        okm += t
    return okm[:length]


# RFC 8547, 4.1: a SYN-form option
def option(contents):
    return bytes([69, 2 + len(contents)]) + contents


# 4.1: key-exchange messages
def init1(ciphers, nonce, public, ignored=b""):
    rest = bytes([len(ciphers)]) + b"".join(be(c, 2) for c in ciphers) + nonce + public + ignored
    return INIT1_MAGIC + be(8 + len(rest), 4) + rest


def init2(cipher, nonce, public, ignored=b""):
    rest = be(cipher, 2) + nonce + public + ignored
    return INIT2_MAGIC + be(8 + len(rest), 4) + rest


# 3.6 and 4.2: a frame whose control byte is at `offset` of the TCP data stream
def frame(aead, traffic_key, offset, control, plaintext):
    _, _, ae_key_len, algorithm = aead
    key, nr = traffic_key[:ae_key_len], traffic_key[ae_key_len:]
    associated = bytes([control]) + be(len(plaintext) + 16, 2)
    frame_id = bytes(AE_NONCE_LEN - 8) + be(offset, 8)
    nonce = bytes(x ^ y for x, y in zip(frame_id, nr, strict=True))
    return associated + algorithm(key).encrypt(nonce, plaintext, associated)


def traffic_keys(aead, mk):
    length = aead[2] + AE_NONCE_LEN
    return {"ab": cprf(mk, CONST_KEY_A, length), "ba": cprf(mk, CONST_KEY_B, length)}


# 3.3, 3.4: everything that follows from the two options and the two messages
def session(name, aead, tep_byte, secret, a_option, b_option, first, second):
    transcript = a_option + b_option
    prk = extract(N_A, transcript + first + second + secret)

    yield f"{name}.a_option", a_option
    yield f"{name}.b_option", b_option
    yield f"{name}.init1", first
    yield f"{name}.init2", second
    yield f"{name}.es", secret
    yield f"{name}.prk", prk

    ss = [prk]
    for i in (1, 2):
        ss.append(cprf(ss[i - 1], CONST_NEXTK, K_LEN))
    for i in (0, 1, 2):
        yield f"{name}.ss.{i}", ss[i]
        # sn[i] is taken as empty for all i, as for a session that was not resumed.
        yield f"{name}.session_id.{i}", be(tep_byte, 1) + cprf(ss[i], CONST_SESSID, K_LEN)
        if i > 0:
            yield f"{name}.resume.{i}", cprf(ss[i], CONST_RESUME, 18)

    mk = [cprf(ss[0], CONST_REKEY, K_LEN)]
    for j in (1, 2):
        mk.append(cprf(mk[j - 1], CONST_REKEY, K_LEN))
    for j in (0, 1, 2):
        yield f"{name}.mk.{j}", mk[j]
        for direction, key in traffic_keys(aead, mk[j]).items():
            yield f"{name}.k_{direction}.{j}.key", key[: aead[2]]
            yield f"{name}.k_{direction}.{j}.nr", key[aead[2] :]


# 3.5: the session that resumes another one with ss[1]
NONCE_A = bytes(range(0x40, 0x48))
NONCE_B = bytes(range(0x50, 0x57))


def resumed(name, aead, ss):
    sn = NONCE_A + NONCE_B
    # What host B sent: X25519, v = 1.
    yield f"{name}.session_id", b"\xa3" + cprf(ss, CONST_SESSID + sn, K_LEN)
    mk = cprf(ss, CONST_REKEY + sn, K_LEN)
    for direction, key in traffic_keys(aead, mk).items():
        yield f"{name}.k_{direction}.0.key", key[: aead[2]]
        yield f"{name}.k_{direction}.0.nr", key[aead[2] :]


FINP, URGP = 1, 2
REKEY = 1

# name, generation, control, plaintext = flags | urgent if URGp | data (4.2.1)
FRAMES = [
    ("data", 0, 0, bytes([0]) + b"hello, world"),
    ("empty", 0, 0, bytes([0])),
    ("fin", 0, 0, bytes([FINP])),
    ("fin_data", 0, 0, bytes([FINP]) + b"bye"),
    ("urgent", 0, 0, bytes([URGP]) + be(0x0102, 2) + b"abc!"),
    ("urgent_fin_empty", 0, 0, bytes([URGP | FINP]) + be(0xFFFF, 2)),
    ("rekey", 1, REKEY, bytes([0]) + b"new keys"),
    ("rekey_empty", 2, REKEY, bytes([0])),
    ("after_rekey", 1, 0, bytes([0]) + b"same keys"),
    # What a peer may send from the future: all reserved bits set.
    ("reserved", 0, 0xFE, bytes([0xFC]) + b"ignore the rest"),
    ("longest", 0, 0, bytes([0]) + bytes(i % 251 for i in range(65535 - 16 - 1))),
]
OFFSETS = [0, 95, 2**32 - 1, 2**32 + 5, 2**64 - 1]


def frames(name, aead, mk):
    for direction in ("ab", "ba"):
        for label, generation, control, plaintext in FRAMES:
            key = traffic_keys(aead, mk[generation])[direction]
            for offset in OFFSETS[:1] if label == "longest" else OFFSETS:
                value = frame(aead, key, offset, control, plaintext)
                where = f"{name}.frame.{label}.{direction}.{offset:016x}"
                if label == "longest":
                    yield f"{where}.sha256", hashlib.sha256(value).digest()
                else:
                    yield where, value


# 5: Pub_A and Pub_B as they are in the messages, and ES
class Montgomery:
    def __init__(self, length, private_key, public_key):
        self.length, self.private_key, self.public_key = length, private_key, public_key

    def public(self, private):
        return self.private_key.from_private_bytes(private).public_key().public_bytes_raw()

    def shared(self, private, public):
        return self.private_key.from_private_bytes(private).exchange(self.public_key.from_public_bytes(public))


class Nist:
    def __init__(self, curve):
        self.curve, self.length = curve, (curve.key_size + 7) // 8

    def key(self, private):
        return ec.derive_private_key(int.from_bytes(private, "big"), self.curve)

    # The figure: L is the length of the whole field.
    def public(self, private):
        point = self.key(private).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        return be(2 + len(point), 2) + point

    def shared(self, private, public):
        point = ec.EllipticCurvePublicKey.from_encoded_point(self.curve, public[2:])
        return self.key(private).exchange(ec.ECDH(), point)


# 7, table 4
X25519 = Montgomery(32, X25519PrivateKey, X25519PublicKey)
OTHER_TEPS = [
    ("p256", 0x21, Nist(ec.SECP256R1())),
    ("p521", 0x22, Nist(ec.SECP521R1())),
    ("x448", 0x24, Montgomery(56, X448PrivateKey, X448PublicKey)),
]


# Private keys from nothing up anybody's sleeve. The topmost bits of P-521's are zero: that is a valid one.
def private(name, label, length):
    key = b"".join(hashlib.sha256(f"{name} {label} {i}".encode()).digest() for i in range(3))[:length]
    return b"\0" + key[1:] if name == "p521" else key


# The key agreements by themselves, and one whole session for each
def agreements():
    for name, _, scheme in OTHER_TEPS:
        for i in range(16):
            a, b = (private(name, f"{side}{i}", scheme.length) for side in "ab")
            yield f"agree.{name}.{i}.private_a", a
            yield f"agree.{name}.{i}.private_b", b
            yield f"agree.{name}.{i}.public_a", scheme.public(a)
            yield f"agree.{name}.{i}.public_b", scheme.public(b)
            yield f"agree.{name}.{i}.es", scheme.shared(a, scheme.public(b))


def sessions():
    for (name, tep, scheme), aead in zip(OTHER_TEPS, AEADS, strict=True):
        a, b = (private(name, side, scheme.length) for side in "ab")
        pub_a, pub_b = scheme.public(a), scheme.public(b)
        yield f"{name}.public_a", pub_a
        yield f"{name}.public_b", pub_b
        yield from session(
            name,
            aead,
            tep,
            scheme.shared(a, pub_b),
            option(be(tep, 1)),
            option(b"\x01" + be(tep, 1)),
            init1([aead[1] for aead in AEADS], N_A, pub_a),
            init2(aead[1], N_B, pub_b),
        )


def vectors():
    yield "private_a", PRIVATE_A
    yield "private_b", PRIVATE_B
    yield "public_a", X25519.public(PRIVATE_A)
    yield "public_b", X25519.public(PRIVATE_B)
    yield "n_a", N_A
    yield "n_b", N_B

    a_option, b_option = option(b"\x23"), option(b"\x01\x23")
    pub_a, pub_b = X25519.public(PRIVATE_A), X25519.public(PRIVATE_B)
    secret = X25519.shared(PRIVATE_A, pub_b)
    tep = 0x23  # what host B sent: X25519, v = 0

    # Host A offers all; host B selects one after the other.
    offer = init1([aead[1] for aead in AEADS], N_A, pub_a)
    for aead in AEADS:
        answer = init2(aead[1], N_B, pub_b)
        values = dict(session(aead[0], aead, tep, secret, a_option, b_option, offer, answer))
        yield from values.items()
        mk = [values[f"{aead[0]}.mk.{j}"] for j in (0, 1, 2)]
        yield from frames(aead[0], aead, mk)
        yield from resumed(f"{aead[0]}.resumed", aead, values[f"{aead[0]}.ss.1"])

    # The peer is host A, and sends options, ciphers and ignored bytes that are not known here.
    odd_a = option(bytes.fromhex("1c 21 81ffabcd 22 a3010203"))
    first = init1([0xFFFF, 0x0010, 0x0000, 0x0001], N_A, pub_a, b"to be ignored")
    yield from session(
        "odd_host_a", AEADS[0], tep, secret, odd_a, b_option, first, init2(AEADS[0][1], N_B, pub_b)
    )

    # The peer is host B, and sends several TEPs and ignored bytes.
    odd_b = option(bytes.fromhex("1d 00 21 80a1ee 23 7f"))
    second = init2(AEADS[2][1], N_B, pub_b, bytes(200))
    yield from session("odd_host_b", AEADS[2], tep, secret, a_option, odd_b, offer, second)

    yield from sessions()
    yield from agreements()


def main():
    path = pathlib.Path(__file__).with_name("vectors.txt")
    text = "".join(f"{name} {value.hex()}\n" for name, value in vectors())
    text = "# SPDX-License-Identifier: GPL-2.0\n# Written by tcpcrypt_kat.py\n" + text
    if sys.argv[1:] == ["--check"]:
        if path.read_text() != text:
            sys.exit(f"{path.name} is not what {sys.argv[0]} computes")
        print(f"{path.name}: {text.count(chr(10)) - 2} values as computed")
    elif not sys.argv[1:]:
        path.write_text(text)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
