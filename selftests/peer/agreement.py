# SPDX-License-Identifier: GPL-2.0
"""RFC 8548 section 5: the key agreement of each TEP, and public keys as they are in Init1 and Init2."""

import struct

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .eno import TEP_P256, TEP_P521, TEP_X448, TEP_X25519


class Montgomery:
    """X25519 and X448: the u coordinate without a length."""

    def __init__(self, private, public, length):
        self.private, self.public, self.length = private, public, length

    def generate(self):
        return self.private.generate()

    def encode(self, key):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def exchange(self, private, field):
        return private.exchange(self.public.from_public_bytes(field))


class Weierstrass:
    """P-256 and P-521: a compressed point behind pubkey_len, the length of both together."""

    def __init__(self, curve):
        self.curve = curve
        self.length = 2 + 1 + (curve.key_size + 7) // 8

    def generate(self):
        return ec.generate_private_key(self.curve)

    def encode(self, key):
        return struct.pack("!H", self.length) + key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def exchange(self, private, field):
        if struct.unpack_from("!H", field)[0] != self.length or field[2] not in (2, 3):
            raise ValueError("public key %s" % field.hex())
        return private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(self.curve, field[2:]))


SCHEMES = {
    TEP_P256: Weierstrass(ec.SECP256R1()),
    TEP_P521: Weierstrass(ec.SECP521R1()),
    TEP_X25519: Montgomery(x25519.X25519PrivateKey, x25519.X25519PublicKey, 32),
    TEP_X448: Montgomery(x448.X448PrivateKey, x448.X448PublicKey, 56),
}


class KeyPair:
    def __init__(self, tep=TEP_X25519):
        self.scheme = SCHEMES[tep]
        self.private = self.scheme.generate()
        self.public = self.scheme.encode(self.private.public_key())

    def shared(self, public):
        """Raises ValueError if the public key is not valid, or the result all zero."""
        return self.scheme.exchange(self.private, public)
