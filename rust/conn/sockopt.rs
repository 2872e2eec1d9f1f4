// SPDX-License-Identifier: GPL-2.0

//! The socket options of include/uapi/linux/tcp_eno.h, those of TCP that an encrypted connection can't have, and what
//! inet_diag is told.

use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

use super::{
    Conn,
    Phase, //
};
use crate::{
    bindings,
    net::{
        endpoint::Answer,
        errno,
        locked::LockedSock,
        options::{
            OptionReader,
            OptionWriter, //
        },
        sock::Sk,
        ulp::DiagWriter,
    },
    proto::ids::{
        Role,
        SESSION_ID_LEN,
        SUBOPTION_GLT, //
    },
};

/// setsockopt() at level IPPROTO_TCP.
pub(crate) fn set(conn: &Conn, sk: Sk<'_>, option: u32, value: &OptionReader) -> Answer<Result> {
    match option {
        bindings::TCP_ENO_ENABLED => Answer::Done(set_enabled(conn, sk, value)),
        // It reads and writes the queues, in which there is ciphertext.
        bindings::TCP_REPAIR if is_encrypted(conn) => Answer::Done(Err(errno::opnotsupp())),
        _ => Answer::Plain,
    }
}

fn set_enabled(conn: &Conn, sk: Sk<'_>, value: &OptionReader) -> Result {
    let enabled = value.int()?;
    if !(-1..=1).contains(&enabled) {
        return Err(EINVAL);
    }
    let sk = sk.lock();
    if conn.phase() != Phase::Idle || sk.state() != bindings::TCP_CLOSE {
        return Err(errno::isconn());
    }
    conn.enabled.store(enabled, Relaxed);
    Ok(())
}

fn is_encrypted(conn: &Conn) -> bool {
    matches!(
        conn.phase(),
        Phase::Exchange | Phase::Encrypted | Phase::Failed | Phase::Closed
    )
}

/// getsockopt() at level IPPROTO_TCP.
pub(crate) fn get(conn: &Conn, sk: Sk<'_>, option: u32, value: &OptionWriter) -> Answer<Result> {
    Answer::Done(match option {
        bindings::TCP_ENO_ENABLED => value.int(conn.enabled.load(Relaxed)),
        bindings::TCP_ENO_SESSID => {
            let id = session(conn, &sk.lock()).map(|(id, _)| id);
            id.and_then(|id| value.bytes(&id))
        }
        bindings::TCP_CRYPT_CONF => {
            let aead = session(conn, &sk.lock()).map(|(_, aead)| aead);
            aead.and_then(|aead| value.int(i32::from(aead)))
        }
        bindings::TCP_ENO_NEGTEP => {
            let tep = negotiated(conn, &sk.lock(), |negotiated| negotiated.tep_byte() & SUBOPTION_GLT);
            tep.and_then(|tep| value.int(i32::from(tep)))
        }
        bindings::TCP_ENO_ROLE => {
            let role = negotiated(conn, &sk.lock(), |negotiated| role(negotiated.role()));
            role.and_then(|role| value.int(i32::from(role)))
        }
        bindings::TCP_ENO_TRANSCRIPT => transcript(conn, sk, value),
        // Maps the receive queue.
        bindings::TCP_ZEROCOPY_RECEIVE if is_encrypted(conn) => Err(errno::opnotsupp()),
        _ => return Answer::Plain,
    })
}

fn transcript(conn: &Conn, sk: Sk<'_>, value: &OptionWriter) -> Result {
    let mut bytes = KVec::new();
    negotiated(conn, &sk.lock(), |negotiated| {
        bytes.extend_from_slice(negotiated.transcript(), GFP_KERNEL)
    })??;
    value.bytes(&bytes)
}

/// As TCP_ENO_ROLE says it.
fn role(role: Role) -> u8 {
    match role {
        Role::A => 0,
        Role::B => 1,
    }
}

/// The session ID and the AEAD's identifier. ENOTCONN if there are no keys.
fn session(conn: &Conn, sk: &LockedSock<'_>) -> Result<([u8; SESSION_ID_LEN], u16)> {
    let inner = conn.inner.borrow(sk)?;
    match &inner.established {
        Some(session) => Ok((session.id, session.aead.id())),
        None => Err(errno::notconn()),
    }
}

/// What was negotiated. ENOTCONN if nothing was.
fn negotiated<R>(
    conn: &Conn,
    sk: &LockedSock<'_>,
    f: impl FnOnce(&crate::proto::eno::Negotiated) -> R,
) -> Result<R> {
    let inner = conn.inner.borrow(sk)?;
    inner
        .negotiated
        .as_ref()
        .map(|n| f(n))
        .ok_or(errno::notconn())
}

/// inet_diag: what can be told without the lock, which its caller must not wait for.
pub(crate) fn diagnose(conn: &Conn, sk: Sk<'_>, out: &mut DiagWriter) {
    let phase = conn.phase();
    let state = [phase as u8];
    out.put(bindings::TCP_CRYPT_DIAG_STATE, &state);
    if !is_encrypted(conn) {
        return;
    }
    // The lock is tried, not waited for: a connection that is busy shows its state only.
    sk.try_bh(|locked| {
        let Ok(inner) = conn.inner.borrow_bh(locked) else {
            return;
        };
        if let Some(negotiated) = &inner.negotiated {
            let tep = negotiated.tep_byte() & SUBOPTION_GLT;
            out.put(bindings::TCP_CRYPT_DIAG_TEP, &[tep]);
            out.put(bindings::TCP_CRYPT_DIAG_ROLE, &[role(negotiated.role())]);
        }
        if let Some(session) = &inner.established {
            out.put(
                bindings::TCP_CRYPT_DIAG_AEAD,
                &session.aead.id().to_ne_bytes(),
            );
            out.put(bindings::TCP_CRYPT_DIAG_SESSID, &session.id);
        }
    });
}
