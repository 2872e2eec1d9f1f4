// SPDX-License-Identifier: GPL-2.0

//! Ephemeral keys of all TEPs, and the agreement on a shared secret (RFC 8548, 5).
//!
//! One variant for each TEP, on both sides of the agreement and in its result, so that no key is ever used with another
//! curve's.

use kernel::prelude::*;

use super::x25519;
use crate::proto::{
    agreement::{
        PublicKey,
        SharedSecret, //
    },
    ids::Tep, //
};

/// A private key and its public key, for one agreement. The private key is in memory of its own and wiped on drop.
pub(crate) enum KeyPair {
    X25519(x25519::KeyPair),
}

/// Why there is no shared secret.
pub(crate) enum Refused {
    /// The peer's public key is not one of this curve, or leads to a secret that everybody knows.
    BadKey,
}

impl KeyPair {
    /// Makes a pair for `tep`.
    ///
    /// EAGAIN while the random generator is not seeded, ENOMEM. Context: process, may sleep.
    pub(crate) fn generate(tep: Tep) -> Result<Self> {
        match tep {
            Tep::X25519 => Ok(Self::X25519(x25519::KeyPair::generate()?)),
            Tep::P256 | Tep::P521 | Tep::X448 => Err(EOPNOTSUPP),
        }
    }

    /// The public key, to be sent.
    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::X25519(pair) => PublicKey::X25519(*pair.public()),
        }
    }

    /// Fills `shared` with the secret that this private key and the peer's public key make, which may be anything that
    /// could be read. Uses the pair up.
    ///
    /// Context: process, may sleep.
    pub(crate) fn agree(self, peer: &PublicKey, shared: &mut SharedSecret) -> Result<(), Refused> {
        match (self, peer, shared) {
            (Self::X25519(pair), PublicKey::X25519(peer), SharedSecret::X25519(shared)) => {
                pair.agree(peer, shared.expose_mut())
            }
            _ => Err(Refused::BadKey),
        }
    }
}
