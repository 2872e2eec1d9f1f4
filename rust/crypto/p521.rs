// SPDX-License-Identifier: GPL-2.0

//! Ephemeral keys on P-521 (RFC 8548, 5) by [`curves::p521`].

use kernel::prelude::*;

use super::{
    agreement::Refused,
    curves::p521::{
        is_scalar,
        Point, //
    },
    rng, //
};
use crate::proto::{
    agreement::Compressed,
    ids::P521_LEN,
    secret::Secret, //
};

/// How often a private key is chosen. Hardly any choice among the numbers of 521 bits is not below the order.
const CHOICES: usize = 8;

/// A private key and its public key, for one agreement. The private key is in an allocation of its own and wiped on drop.
pub(crate) struct KeyPair(KBox<Keys>);

struct Keys {
    private: Secret<P521_LEN>,
    public: Compressed<P521_LEN>,
}

/// Chooses a private key (FIPS 186-5, A.2.2).
fn choose(private: &mut [u8; P521_LEN]) -> Result {
    for _ in 0..CHOICES {
        rng::fill(private);
        let [first, ..] = private;
        *first &= 1;
        if is_scalar(private) {
            return Ok(());
        }
    }
    Err(EAGAIN)
}

impl KeyPair {
    /// Makes a pair.
    ///
    /// EAGAIN while the random generator is not seeded, ENOMEM. Takes milliseconds. Context: process, may sleep.
    pub(super) fn generate() -> Result<Self> {
        if !rng::ready() {
            return Err(EAGAIN);
        }
        let mut keys = KBox::new(
            Keys {
                private: Secret::zeroed(),
                public: Compressed {
                    x: [0; P521_LEN],
                    y_is_odd: false,
                },
            },
            GFP_KERNEL,
        )?;
        let Keys { private, public } = &mut *keys;
        choose(private.expose_mut())?;
        let product = Point::base().and_then(|base| base.multiply(private.expose()));
        public.y_is_odd = product.ok_or(EINVAL)?.compress(&mut public.x);
        Ok(Self(keys))
    }

    /// The public key, to be sent.
    pub(super) fn public(&self) -> &Compressed<P521_LEN> {
        &self.0.public
    }

    /// Fills `shared` with the x coordinate of the product of this private key and the peer's public key, which may be
    /// anything. Uses the pair up.
    ///
    /// Takes milliseconds. Context: process.
    pub(super) fn agree(
        self,
        peer: &Compressed<P521_LEN>,
        shared: &mut [u8; P521_LEN],
    ) -> Result<(), Refused> {
        let peer = Point::decompress(&peer.x, peer.y_is_odd).ok_or(Refused::BadKey)?;
        let product = peer.multiply(self.0.private.expose());
        product.ok_or(Refused::BadKey)?.compress(shared);
        Ok(())
    }
}
