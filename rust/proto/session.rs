// SPDX-License-Identifier: GPL-2.0

//! A session with its keys, and sessions that may be resumed (RFC 8548, 3.3 to 3.5).
//!
//! Every session, fresh or resumed, gives the secret of one that may follow it: a [`Resumable`],
//! which is used up by being resumed. Whoever keeps them hands one to an active opener as a
//! [`Proposal`], and to a passive opener as an [`Agreement`]; when ENO has succeeded with it,
//! [`Resumable::resume`] makes the session, with no message and no public-key operation.

use super::{
    eno::Negotiated,
    hkdf::Hmac,
    ids::{
        Aead,
        Role,
        Tep,
        RESUME_HALF_LEN,
        RESUME_NONCE_MAX,
        SESSION_ID_LEN, //
    },
    keys::{
        MasterKey,
        SessionNonce,
        SessionSecret, //
    },
    wire::Bytes, //
};

/// A session of a connection: application data may flow in frames ([`super::frame`]).
pub struct Established {
    /// `session_id[i]`.
    pub session_id: [u8; SESSION_ID_LEN],
    /// The AEAD for both directions.
    pub aead: Aead,
    /// This end's role in the original session, which says what keys it sends with (3.3).
    pub role: Role,
    /// `mk[0]` for what is sent, and again for what is received: the generations of the two
    /// directions advance by themselves (3.8).
    pub tx: MasterKey,
    /// As `tx`.
    pub rx: MasterKey,
    /// `ss[i+1]`; `ss[i]` is wiped.
    pub next: SessionSecret,
}

impl Established {
    /// The session of `secret`, which is `ss[i]`, and `nonce`, which is `sn[i]`.
    pub fn derive<H: Hmac>(
        secret: SessionSecret,
        nonce: &SessionNonce,
        tep_byte: u8,
        aead: Aead,
        role: Role,
    ) -> Self {
        Self {
            session_id: secret.session_id::<H>(tep_byte, nonce),
            aead,
            role,
            tx: secret.master::<H>(nonce),
            rx: secret.master::<H>(nonce),
            next: secret.next::<H>(),
        }
    }
}

/// One half of a resumption identifier `resume[i]` (3.5, figures 2 and 3).
pub type Half = [u8; RESUME_HALF_LEN];

/// A resumption nonce: at most 8 bytes (3.5).
pub type ResumptionNonce = Bytes<RESUME_NONCE_MAX>;

/// A session that may be resumed once.
pub struct Resumable {
    secret: SessionSecret,
    tep: Tep,
    aead: Aead,
    role: Role,
    own: Half,
    peer: Half,
}

impl Resumable {
    /// The session of `secret`, which is `ss[i]` for some `i > 0`, of a connection that was made
    /// with `tep` and `aead`, where this end's original role was `role`.
    pub fn new<H: Hmac>(secret: SessionSecret, tep: Tep, aead: Aead, role: Role) -> Self {
        let (first, second) = secret.resume::<H>();
        let (own, peer) = match role {
            Role::A => (first, second),
            Role::B => (second, first),
        };
        Self {
            secret,
            tep,
            aead,
            role,
            own,
            peer,
        }
    }

    /// The half by which the peer names this session.
    pub fn peer_half(&self) -> &Half {
        &self.peer
    }

    /// The TEP of the original session, with which alone it may be resumed.
    pub fn tep(&self) -> Tep {
        self.tep
    }

    /// The AEAD of the original session, which a resumed one has too.
    pub fn aead(&self) -> Aead {
        self.aead
    }

    /// What an active opener sends to resume it.
    pub fn proposal(&self, nonce: ResumptionNonce) -> Proposal {
        Proposal {
            tep: self.tep,
            own: self.own,
            peer: self.peer,
            nonce,
        }
    }

    /// What a passive opener sends to resume it.
    pub fn agreement(&self, nonce: ResumptionNonce) -> Agreement {
        Agreement {
            own: self.own,
            nonce,
        }
    }

    /// The session, once ENO has succeeded with it. `None` if what was negotiated is something else.
    pub fn resume<H: Hmac>(self, negotiated: &Negotiated) -> Option<Established> {
        let resumption = negotiated.resumption()?;
        if resumption.peer != self.peer || negotiated.tep() != Some(self.tep) {
            return None;
        }
        // sn[i] = nonce_a | nonce_b, by the original roles (figures 2 and 3).
        let (a, b) = match self.role {
            Role::A => (&resumption.own_nonce, &resumption.peer_nonce),
            Role::B => (&resumption.peer_nonce, &resumption.own_nonce),
        };
        let nonce = SessionNonce::concat(&[a.as_bytes(), b.as_bytes()])?;
        Some(Established::derive::<H>(
            self.secret,
            &nonce,
            negotiated.tep_byte(),
            self.aead,
            self.role,
        ))
    }
}

/// An active opener's proposal to resume a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// The TEP.
    pub tep: Tep,
    /// The half that is sent.
    pub own: Half,
    /// The half that agrees.
    pub peer: Half,
    /// What is sent behind the half.
    pub nonce: ResumptionNonce,
}

/// A passive opener's agreement to resume a session that was proposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// The half that is sent.
    pub own: Half,
    /// What is sent behind the half.
    pub nonce: ResumptionNonce,
}

/// What the options of both ends say of a session that they resume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resumption {
    /// The half that the peer sent.
    pub peer: Half,
    /// The nonce that this end sent.
    pub own_nonce: ResumptionNonce,
    /// The nonce that the peer sent.
    pub peer_nonce: ResumptionNonce,
}
