// SPDX-License-Identifier: GPL-2.0

//! What goes into a key agreement and what comes out (RFC 8548, 5): public keys as they are on the
//! wire, and the shared secret.
//!
//! The agreement itself is the caller's. It validates the point: what is checked here is the
//! encoding alone.

use super::{
    ids::{
        Tep,
        P256_LEN,
        P521_LEN,
        X25519_LEN,
        X448_LEN, //
    },
    init::Error,
    secret::Secret,
    wire::{
        Bytes,
        Reader, //
    },
};

/// First byte of a compressed point with an even y (IEEE 1363, E.2.3; SEC 1, 2.3.3).
const COMPRESSED_EVEN: u8 = 0x02;
/// First byte of a compressed point with an odd y.
const COMPRESSED_ODD: u8 = 0x03;

/// A point of a NIST curve in compressed form. There need not be such a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compressed<const N: usize> {
    /// The x coordinate, big-endian.
    pub x: [u8; N],
    /// Whether the y coordinate is odd.
    pub y_is_odd: bool,
}

impl<const N: usize> Compressed<N> {
    /// `pubkey_len`, which counts itself as the figure in RFC 8548, 5 shows: the field has the
    /// bytes 0 and 1 of `pubkey_len`.
    fn pubkey_len() -> u16 {
        // 35 or 69.
        u16::try_from(N.saturating_add(3)).unwrap_or(u16::MAX)
    }

    fn parse(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let len = fields.be16().ok_or(Error::BadLength)?;
        if len != Self::pubkey_len() {
            return Err(Error::BadKey);
        }
        let y_is_odd = match fields.u8().ok_or(Error::BadLength)? {
            COMPRESSED_EVEN => false,
            COMPRESSED_ODD => true,
            _ => return Err(Error::BadKey),
        };
        let x = *fields.array().ok_or(Error::BadLength)?;
        Ok(Self { x, y_is_odd })
    }

    fn emit(&self) -> EncodedKey {
        let form = if self.y_is_odd {
            COMPRESSED_ODD
        } else {
            COMPRESSED_EVEN
        };
        let head = Self::pubkey_len().to_be_bytes().into_iter().chain([form]);
        EncodedKey::collect(head.chain(self.x))
    }
}

/// A public key as it is on the wire.
pub type EncodedKey = Bytes<{ Tep::MAX_PUBLIC_LEN }>;

/// An ephemeral public key, `Pub_A` or `Pub_B`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublicKey {
    /// Of `TCPCRYPT_ECDHE_P256`.
    P256(Compressed<P256_LEN>),
    /// Of `TCPCRYPT_ECDHE_P521`.
    P521(Compressed<P521_LEN>),
    /// Of `TCPCRYPT_ECDHE_Curve25519`: the u coordinate, little-endian (RFC 7748, 5).
    X25519([u8; X25519_LEN]),
    /// Of `TCPCRYPT_ECDHE_Curve448`: the u coordinate, little-endian (RFC 7748, 5).
    X448([u8; X448_LEN]),
}

impl PublicKey {
    /// The TEP that it is for.
    pub fn tep(&self) -> Tep {
        match self {
            PublicKey::P256(_) => Tep::P256,
            PublicKey::P521(_) => Tep::P521,
            PublicKey::X25519(_) => Tep::X25519,
            PublicKey::X448(_) => Tep::X448,
        }
    }

    /// Reads the field of a message.
    ///
    /// Fails if too little is left, or if it is a NIST curve's and not a compressed point of the
    /// curve's length.
    pub fn parse(tep: Tep, fields: &mut Reader<'_>) -> Result<PublicKey, Error> {
        Ok(match tep {
            Tep::P256 => PublicKey::P256(Compressed::parse(fields)?),
            Tep::P521 => PublicKey::P521(Compressed::parse(fields)?),
            Tep::X25519 => PublicKey::X25519(*fields.array().ok_or(Error::BadLength)?),
            Tep::X448 => PublicKey::X448(*fields.array().ok_or(Error::BadLength)?),
        })
    }

    /// The field of a message, [`Tep::public_len`] bytes.
    pub fn emit(&self) -> EncodedKey {
        match self {
            PublicKey::P256(point) => point.emit(),
            PublicKey::P521(point) => point.emit(),
            PublicKey::X25519(u) => EncodedKey::collect(*u),
            PublicKey::X448(u) => EncodedKey::collect(*u),
        }
    }
}

/// The ephemeral secret ES.
pub enum SharedSecret {
    /// Of `TCPCRYPT_ECDHE_P256`: the x coordinate, big-endian (IEEE 1363, 7.2.1).
    P256(Secret<P256_LEN>),
    /// Of `TCPCRYPT_ECDHE_P521`: the x coordinate, big-endian.
    P521(Secret<P521_LEN>),
    /// Of `TCPCRYPT_ECDHE_Curve25519`: the u coordinate, little-endian.
    X25519(Secret<X25519_LEN>),
    /// Of `TCPCRYPT_ECDHE_Curve448`: the u coordinate, little-endian.
    X448(Secret<X448_LEN>),
}

impl SharedSecret {
    /// One of `tep`, all zero, to be filled where it is.
    pub const fn zeroed(tep: Tep) -> SharedSecret {
        match tep {
            Tep::P256 => SharedSecret::P256(Secret::zeroed()),
            Tep::P521 => SharedSecret::P521(Secret::zeroed()),
            Tep::X25519 => SharedSecret::X25519(Secret::zeroed()),
            Tep::X448 => SharedSecret::X448(Secret::zeroed()),
        }
    }

    /// The TEP that it is for.
    pub fn tep(&self) -> Tep {
        match self {
            SharedSecret::P256(_) => Tep::P256,
            SharedSecret::P521(_) => Tep::P521,
            SharedSecret::X25519(_) => Tep::X25519,
            SharedSecret::X448(_) => Tep::X448,
        }
    }

    /// To read the bytes, of which there are [`Tep::shared_len`].
    pub fn expose(&self) -> &[u8] {
        match self {
            SharedSecret::P256(secret) => secret.expose(),
            SharedSecret::P521(secret) => secret.expose(),
            SharedSecret::X25519(secret) => secret.expose(),
            SharedSecret::X448(secret) => secret.expose(),
        }
    }

    /// Whether it is all zero, in a time that does not depend on the bytes.
    pub fn is_zero(&self) -> bool {
        match self {
            SharedSecret::P256(secret) => secret.ct_eq(&Secret::zeroed()),
            SharedSecret::P521(secret) => secret.ct_eq(&Secret::zeroed()),
            SharedSecret::X25519(secret) => secret.ct_eq(&Secret::zeroed()),
            SharedSecret::X448(secret) => secret.ct_eq(&Secret::zeroed()),
        }
    }
}
