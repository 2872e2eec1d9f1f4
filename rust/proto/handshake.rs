// SPDX-License-Identifier: GPL-2.0

//! The key exchange (RFC 8548, 3.3): one state for each thing that is waited for, and each event
//! turns one into the next.
//!
//! ```text
//! host A   start ---------> AwaitInit2 -- on_init2 --+
//!                 Init1                              +--> AwaitSecret -- finish --> Established
//! host B   new -----------> AwaitInit1 -- on_init1 --+
//!                                          Init2
//! ```
//!
//! Public-key operations are the caller's: it brings its own public key and nonce, fresh for each
//! connection, and between `on_init*` and `finish` computes the shared secret from
//! [`AwaitSecret::peer_public`]. What comes out is in [`super::session`].

pub use super::init::{
    AeadList,
    Error,
    Message, //
};

use super::{
    agreement::{
        PublicKey,
        SharedSecret, //
    },
    eno::Negotiated,
    hkdf::{
        extract,
        Hmac, //
    },
    ids::{Aead, Role, Tep, NONCE_LEN},
    init::{
        Init1,
        Init2, //
    },
    keys::{
        SessionNonce,
        SessionSecret, //
    },
    session::Established, //
};

/// `sn[0]`: the session nonce of a session that was not resumed (RFC 8548, 3.3).
const FRESH: SessionNonce = SessionNonce::EMPTY;

/// Host A, which has sent Init1.
pub struct AwaitInit2 {
    negotiated: Negotiated,
    tep: Tep,
    offer: AeadList,
    nonce_a: [u8; NONCE_LEN],
    init1: Message,
}

impl AwaitInit2 {
    /// The Init1 to send, with `offer` as `sym_cipher_list`, `nonce` as `N_A` and `public` as
    /// `Pub_A`, a key for the negotiated TEP.
    pub fn start(
        negotiated: &Negotiated,
        offer: AeadList,
        nonce: &[u8; NONCE_LEN],
        public: &PublicKey,
    ) -> (AwaitInit2, Message) {
        let init1 = Init1::emit(&offer, nonce, public);
        let state = AwaitInit2 {
            negotiated: *negotiated,
            tep: public.tep(),
            offer,
            nonce_a: *nonce,
            init1,
        };
        (state, init1)
    }

    /// Takes Init2, whole, as [`super::init::message_len`] delimits it.
    ///
    /// Fails if it is not well-formed or selects a cipher that was not offered.
    pub fn on_init2(self, init2: &[u8]) -> Result<AwaitSecret, Error> {
        let received = Init2::parse(self.tep, init2)?;
        let aead = received
            .cipher
            .filter(|aead| self.offer.contains(*aead))
            .ok_or(Error::CipherNotOffered)?;
        Ok(AwaitSecret {
            negotiated: self.negotiated,
            role: Role::A,
            aead,
            nonce_a: self.nonce_a,
            peer_public: received.public,
            sent: self.init1,
        })
    }
}

/// Host B, which waits for Init1.
pub struct AwaitInit1 {
    negotiated: Negotiated,
    prefer: AeadList,
}

impl AwaitInit1 {
    /// Accepts the ciphers of `prefer`, in that order of preference.
    pub fn new(negotiated: &Negotiated, prefer: AeadList) -> Self {
        Self {
            negotiated: *negotiated,
            prefer,
        }
    }

    /// Takes Init1, whole, as [`super::init::message_len`] delimits it; gives the Init2 to send,
    /// with `nonce` as `N_B` and `public`, a key for the negotiated TEP, as `Pub_B`.
    ///
    /// Fails if it is not well-formed or offers no cipher that is accepted.
    pub fn on_init1(
        self,
        init1: &[u8],
        nonce: &[u8; NONCE_LEN],
        public: &PublicKey,
    ) -> Result<(AwaitSecret, Message), Error> {
        let received = Init1::parse(public.tep(), init1)?;
        let aead = self
            .prefer
            .iter()
            .find(|aead| received.offers(*aead))
            .ok_or(Error::NoCommonCipher)?;
        let init2 = Init2::emit(aead, nonce, public);
        let state = AwaitSecret {
            negotiated: self.negotiated,
            role: Role::B,
            aead,
            nonce_a: *received.nonce,
            peer_public: received.public,
            sent: init2,
        };
        Ok((state, init2))
    }
}

/// Both messages have been exchanged; the shared secret is still to be computed.
pub struct AwaitSecret {
    negotiated: Negotiated,
    role: Role,
    aead: Aead,
    nonce_a: [u8; NONCE_LEN],
    peer_public: PublicKey,
    sent: Message,
}

impl AwaitSecret {
    /// The peer's ephemeral public key.
    pub fn peer_public(&self) -> &PublicKey {
        &self.peer_public
    }

    /// The AEAD that host B selected.
    pub fn aead(&self) -> Aead {
        self.aead
    }

    /// Derives the session from `shared`, the ephemeral secret ES, and `received`, the very bytes
    /// that were given to `on_init1` or `on_init2` (they are part of what is hashed, ignored bytes
    /// included).
    ///
    /// Fails if `shared` is another TEP's, or all zero, which is found out in constant time. RFC
    /// 8548, 5 and RFC 7748, 6 demand that for Curve25519 and Curve448; with the NIST curves it is
    /// as likely as any other value, but nothing that should be relied on either.
    pub fn finish<H: Hmac>(
        self,
        received: &[u8],
        shared: &SharedSecret,
    ) -> Result<Established, Error> {
        if shared.tep() != self.peer_public.tep() || shared.is_zero() {
            return Err(Error::BadKey);
        }
        let sent = self.sent.as_bytes();
        let (init1, init2) = match self.role {
            Role::A => (sent, received),
            Role::B => (received, sent),
        };
        let transcript = self.negotiated.transcript();
        let prk = extract::<H>(&self.nonce_a, &[transcript, init1, init2, shared.expose()]);

        Ok(Established::derive::<H>(
            SessionSecret::from_prk(prk),
            &FRESH,
            self.negotiated.tep_byte(),
            self.aead,
            self.role,
        ))
    }
}
