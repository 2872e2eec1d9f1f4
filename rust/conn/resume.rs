// SPDX-License-Identifier: GPL-2.0

//! Session resumption (RFC 8548 section 3.5): which session an open proposes, which a listener agrees to, and what is kept
//! for the next one.
//!
//! The sessions are in `sessions.rs`, the rules in `proto/session.rs`.

use kernel::prelude::*;

use super::{
    sessions::{
        self,
        Session, //
    },
    wishes::Wishes,
    Conn, //
};
use crate::{
    crypto::{
        hmac::KernelHmac,
        rng, //
    },
    net::{
        errno,
        locked::LockedSock,
        pernet::NetState,
        sock::{
            BhSock,
            Sk, //
        },
    },
    proto::{
        eno::{
            Offered,
            Policy, //
        },
        ids::{
            Aead,
            Role,
            Tep,
            RESUME_NONCE_MAX, //
        },
        keys::SessionSecret,
        session::{
            Agreement,
            Half,
            Resumable, //
            ResumptionNonce,
        },
    },
};

/// What an active opener sends in its SYN.
pub(crate) struct Offer {
    /// The negotiation.
    pub(crate) offered: Offered,
    /// The session that it proposes to resume.
    pub(crate) session: Option<KBox<Session>>,
}

impl Offer {
    /// An offer by `policy`, with the youngest session of the destination, if the application does not object. Atomic.
    pub(crate) fn new(policy: &Policy, wishes: &Wishes, sk: &BhSock<'_>) -> Self {
        let offered = Offered::new(policy);
        if wishes.no_resume() || offered.role() != Role::A {
            return Self {
                offered,
                session: None,
            };
        }
        let state = sk.net_state();
        // The cipher is not negotiated again: it has to be one that is offered now.
        let ciphers = wishes.aconf().unwrap_or_else(|| state.aconf());
        let allowed = |session: &Resumable| {
            policy.may_resume(session.tep()) && ciphers.contains(session.aead())
        };
        let session = state.sessions().take_for(sk.remote_address(), allowed);
        let offered = match &session {
            Some(session) => {
                offered.resuming(session.resumable().proposal(nonce(wishes.nonce_len())))
            }
            None => offered,
        };
        Self { offered, session }
    }

    /// The offer without the session, which takes less space in the SYN.
    pub(crate) fn renounce(&mut self) {
        self.offered = self.offered.not_resuming();
        self.session = None;
    }
}

/// A nonce of `len` bytes.
fn nonce(len: u32) -> ResumptionNonce {
    let mut bytes = [0; RESUME_NONCE_MAX];
    rng::fill(&mut bytes);
    ResumptionNonce::collect(bytes.into_iter().take(len as usize))
}

/// Whether a listener resumes the session that the peer names, and how it says so. Softirq.
pub(crate) fn agree(
    state: &NetState,
    wishes: Option<&Wishes>,
    tep: Tep,
    half: &Half,
) -> Option<Agreement> {
    if wishes.is_some_and(Wishes::no_resume) {
        return None;
    }
    let len = wishes.map_or(RESUME_NONCE_MAX as u32, Wishes::nonce_len);
    let ciphers = wishes
        .and_then(Wishes::bconf)
        .unwrap_or_else(|| state.bconf());
    let agreed = |session: &Resumable| {
        let allowed = session.tep() == tep && ciphers.contains(session.aead());
        allowed.then(|| session.agreement(nonce(len)))
    };
    state.sessions().promise(half, agreed)
}

/// Keeps the session that may follow this one, if the application does not object. Gives the half by which it is found.
/// Process context.
pub(crate) fn keep(
    conn: &Conn,
    sk: &LockedSock<'_>,
    next: SessionSecret,
    (tep, aead, role): (Tep, Aead, Role),
) -> Option<Half> {
    let sessions = sk.net_state().sessions();
    if conn.wishes.no_cache() || !sessions.keeps() {
        return None;
    }
    let session = Resumable::new::<KernelHmac>(next, tep, aead, role);
    // Without memory it is not kept.
    let half = sessions.insert(session, sk.remote_address()).ok()?;
    sessions.due_in(kernel::time::msecs_to_jiffies(sessions::ROUND));
    Some(half)
}

/// TCP_CRYPT_RESUMED. ENOTCONN if there are no keys. Process context.
pub(crate) fn resumed(conn: &Conn, sk: Sk<'_>) -> Result<bool> {
    let sk = sk.lock();
    let inner = conn.inner.borrow(&sk)?;
    let session = inner.established.as_ref().ok_or(errno::notconn())?;
    Ok(session.resumed)
}

/// TCP_CRYPT_CACHE_FLUSH: wipes the session that was kept of this connection. ENOTCONN if there are no keys. Process
/// context.
pub(crate) fn flush(conn: &Conn, sk: Sk<'_>) -> Result {
    let sk = sk.lock();
    let mut inner = conn.inner.borrow(&sk)?;
    let session = inner.established.as_mut().ok_or(errno::notconn())?;
    if let Some(half) = session.next.take() {
        sk.net_state().sessions().forget(&half);
    }
    Ok(())
}
