// SPDX-License-Identifier: GPL-2.0

//! Ephemeral X448 keys (RFC 7748) by [`curves::x448`].

use kernel::prelude::*;

use super::{
    curves::x448::{
        x448,
        BASE, //
    },
    rng, //
};
use crate::proto::{
    ids::X448_LEN,
    secret::Secret, //
};

/// A private key and its public key, for one agreement. The private key is in an allocation of its own and wiped on drop.
pub(crate) struct KeyPair(KBox<Keys>);

struct Keys {
    private: Secret<X448_LEN>,
    public: [u8; X448_LEN],
}

impl KeyPair {
    /// Makes a pair.
    ///
    /// EAGAIN while the random generator is not seeded, ENOMEM. Takes hundreds of microseconds. Context: process, may
    /// sleep.
    pub(super) fn generate() -> Result<Self> {
        if !rng::ready() {
            return Err(EAGAIN);
        }
        let mut keys = KBox::new(
            Keys {
                private: Secret::zeroed(),
                public: [0; X448_LEN],
            },
            GFP_KERNEL,
        )?;
        let Keys { private, public } = &mut *keys;
        rng::fill(private.expose_mut());
        x448(private.expose(), &BASE, public);
        Ok(Self(keys))
    }

    /// The public key, to be sent.
    pub(super) fn public(&self) -> &[u8; X448_LEN] {
        &self.0.public
    }

    /// Fills `shared` with X448 of this private key and the peer's public key, which may be any bytes. Uses the pair up.
    ///
    /// The secret is all zero if the public key has a small order; the key exchange refuses that.
    ///
    /// Takes hundreds of microseconds. Context: process.
    pub(super) fn agree(self, peer: &[u8; X448_LEN], shared: &mut [u8; X448_LEN]) {
        x448(self.0.private.expose(), peer, shared);
    }
}
