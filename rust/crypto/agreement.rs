// SPDX-License-Identifier: GPL-2.0

//! Ephemeral keys of all TEPs, and the agreement on a shared secret (RFC 8548, 5).
//!
//! One variant for each TEP, on both sides of the agreement and in its result, so that no key is ever used with another
//! curve's.

use kernel::prelude::*;

use super::{
    p256,
    p521,
    x25519,
    x448, //
};
use crate::proto::{
    agreement::{
        PublicKey,
        SharedSecret, //
    },
    ids::Tep, //
};

/// A private key and its public key, for one agreement. The private key is in memory of its own and wiped on drop.
pub(crate) enum KeyPair {
    P256(p256::KeyPair),
    P521(p521::KeyPair),
    X25519(x25519::KeyPair),
    X448(x448::KeyPair),
}

/// Why there is no shared secret.
pub(crate) enum Refused {
    /// The peer's public key is not one of this curve, or leads to a secret that everybody knows.
    BadKey,
    /// ENOMEM.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl KeyPair {
    /// Makes a pair for `tep`.
    ///
    /// EAGAIN while the random generator is not seeded, ENOMEM. Context: process, may sleep.
    // Not inlined, so that what it needs of the stack is not there while the caller sends.
    #[inline(never)]
    pub(crate) fn generate(tep: Tep) -> Result<Self> {
        Ok(match tep {
            Tep::P256 => Self::P256(p256::KeyPair::generate()?),
            Tep::P521 => Self::P521(p521::KeyPair::generate()?),
            Tep::X25519 => Self::X25519(x25519::KeyPair::generate()?),
            Tep::X448 => Self::X448(x448::KeyPair::generate()?),
        })
    }

    /// The public key, to be sent.
    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::P256(pair) => PublicKey::P256(*pair.public()),
            Self::P521(pair) => PublicKey::P521(*pair.public()),
            Self::X25519(pair) => PublicKey::X25519(*pair.public()),
            Self::X448(pair) => PublicKey::X448(*pair.public()),
        }
    }

    /// Fills `shared` with the secret that this private key and the peer's public key make, which may be anything that
    /// could be read. Uses the pair up.
    ///
    /// Context: process, may sleep.
    #[inline(never)]
    pub(crate) fn agree(self, peer: &PublicKey, shared: &mut SharedSecret) -> Result<(), Refused> {
        match (self, peer, shared) {
            (Self::P256(pair), PublicKey::P256(peer), SharedSecret::P256(shared)) => {
                pair.agree(peer, shared.expose_mut())
            }
            (Self::P521(pair), PublicKey::P521(peer), SharedSecret::P521(shared)) => {
                pair.agree(peer, shared.expose_mut())
            }
            (Self::X25519(pair), PublicKey::X25519(peer), SharedSecret::X25519(shared)) => {
                pair.agree(peer, shared.expose_mut())
            }
            (Self::X448(pair), PublicKey::X448(peer), SharedSecret::X448(shared)) => {
                pair.agree(peer, shared.expose_mut());
                Ok(())
            }
            _ => Err(Refused::BadKey),
        }
    }
}
