// SPDX-License-Identifier: GPL-2.0

//! The socket options of include/uapi/linux/tcp_eno.h, those of TCP that an encrypted connection can't have, and what
//! inet_diag is told.

use core::ops::RangeInclusive;

use kernel::{
    ffi::c_int,
    prelude::*, //
};

use super::{
    raw,
    rekey,
    resume,
    wishes::{
        Global,
        Teps,
        Wishes, //
    },
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
    proto::{
        eno::{
            Aware,
            Negotiated,
            RawContents,
            TepList, //
        },
        handshake::AeadList,
        ids::{
            Aead,
            Role,
            Tep,
            GLOBAL_A,
            GLOBAL_B,
            RESUME_NONCE_MAX,
            SESSION_ID_LEN,
            SUBOPTION_GLT, //
        },
    },
};

/// setsockopt() at level IPPROTO_TCP.
pub(crate) fn set(conn: &Conn, sk: Sk<'_>, option: u32, value: &OptionReader) -> Answer<Result> {
    Answer::Done(match option {
        bindings::TCP_ENO_ENABLED => {
            int(value, -1..=1).and_then(|enabled| wish(conn, sk, |w| w.set_enabled(enabled)))
        }
        bindings::TCP_ENO_TEPS => teps(value).and_then(|teps| wish(conn, sk, |w| w.set_teps(teps))),
        bindings::TCP_ENO_SELF_AWARE => int(value, 0..=2).and_then(|mode| {
            let aware = match mode {
                0 => Aware::Clear,
                1 => Aware::Set,
                _ => Aware::Mandatory,
            };
            wish_global(conn, sk, |global| Global { aware, ..global })
        }),
        bindings::TCP_ENO_ROLEOVERRIDE => int(value, 0..=1).and_then(|b| {
            let role = if b == 0 { Role::A } else { Role::B };
            wish_global(conn, sk, |global| Global { role, ..global })
        }),
        bindings::TCP_ENO_SELF_GOPT => {
            let all = c_int::from(GLOBAL_A | GLOBAL_B);
            int(value, 0..=all).and_then(|byte| {
                let byte = byte as u8;
                wish_global(conn, sk, |global| global.with_byte(byte))
            })
        }
        bindings::TCP_ENO_RAW => raw(value).and_then(|raw| wish(conn, sk, |w| w.set_raw(raw))),
        bindings::TCP_ENO_MANDATORY => int(value, 0..=1)
            .and_then(|mandatory| wish(conn, sk, |w| w.set_mandatory(mandatory == 1))),
        bindings::TCP_CRYPT_ACONF => {
            aeads(value).and_then(|list| wish(conn, sk, |w| w.set_aconf(list)))
        }
        bindings::TCP_CRYPT_BCONF => {
            aeads(value).and_then(|list| wish(conn, sk, |w| w.set_bconf(list)))
        }
        bindings::TCP_CRYPT_REKEY => {
            int(value, 1..=c_int::MAX).and_then(|_| rekey::request(conn, sk))
        }
        bindings::TCP_CRYPT_NORESUME => {
            int(value, 0..=1).and_then(|on| wish(conn, sk, |w| w.set_no_resume(on == 1)))
        }
        bindings::TCP_CRYPT_NOCACHE => {
            int(value, 0..=1).and_then(|on| wish(conn, sk, |w| w.set_no_cache(on == 1)))
        }
        bindings::TCP_CRYPT_RESUME_NONCE_LEN => int(value, 0..=RESUME_NONCE_MAX as c_int)
            .and_then(|len| wish(conn, sk, |w| w.set_nonce_len(len as u32))),
        bindings::TCP_CRYPT_CACHE_FLUSH => value.int().and_then(|flush| match flush {
            0 => Err(EINVAL),
            _ => resume::flush(conn, sk),
        }),
        bindings::TCP_ULP if conn.phase() == Phase::Raw => match raw::give_way(conn, sk) {
            Ok(()) => return Answer::Plain,
            Err(error) => Err(error),
        },
        // It reads and writes the queues, in which there is ciphertext.
        bindings::TCP_REPAIR if is_encrypted(conn) => Err(errno::opnotsupp()),
        _ => return Answer::Plain,
    })
}

/// An int in `range`. EINVAL, EFAULT.
fn int(value: &OptionReader, range: RangeInclusive<c_int>) -> Result<c_int> {
    let int = value.int()?;
    range.contains(&int).then_some(int).ok_or(EINVAL)
}

/// TEP identifiers. EINVAL if one is unknown, or twice there; EFAULT.
fn teps(value: &OptionReader) -> Result<Teps> {
    let mut buffer = [0; TepList::MAX];
    let ids = value.bytes(&mut buffer)?;
    if ids.is_empty() {
        return Ok(Teps::Off);
    }
    let mut teps = Tep::ALL;
    for (place, id) in teps.iter_mut().zip(ids) {
        *place = Tep::from_id(*id).ok_or(EINVAL)?;
    }
    let list = teps.get(..ids.len()).and_then(TepList::from_slice);
    list.map(Teps::List).ok_or(EINVAL)
}

/// The contents of an option, `None` if there are none. EINVAL if they can't be those of an option; EFAULT.
fn raw(value: &OptionReader) -> Result<Option<RawContents>> {
    let mut buffer = [0; RawContents::MAX_LEN];
    let contents = value.bytes(&mut buffer)?;
    if contents.is_empty() {
        return Ok(None);
    }
    RawContents::new(contents).map(Some).map_err(|_| EINVAL)
}

/// An array of AEAD identifiers, `None` if it is empty. EINVAL, also if one is unknown or twice there; EFAULT.
fn aeads(value: &OptionReader) -> Result<Option<AeadList>> {
    let mut buffer = [0; size_of::<u16>() * AeadList::MAX];
    let bytes = value.bytes(&mut buffer)?;
    let mut aeads = [Aead::Aes128Gcm; AeadList::MAX];
    let mut len = 0;
    for id in bytes.chunks(size_of::<u16>()) {
        // An odd last byte is none.
        let id = u16::from_ne_bytes(id.try_into().map_err(|_| EINVAL)?);
        let aead = Aead::from_id(id).ok_or(EINVAL)?;
        if aeads.get(..len).ok_or(EINVAL)?.contains(&aead) {
            return Err(EINVAL);
        }
        *aeads.get_mut(len).ok_or(EINVAL)? = aead;
        len += 1;
    }
    Ok(aeads.get(..len).and_then(AeadList::from_slice))
}

/// Notes a wish. EISCONN once a SYN was sent: a closed socket may still wish, and a listener, for SYNs to come.
fn wish(conn: &Conn, sk: Sk<'_>, f: impl FnOnce(&Wishes)) -> Result {
    let sk = sk.lock();
    let may = matches!(sk.state(), bindings::TCP_CLOSE | bindings::TCP_LISTEN);
    if conn.phase() != Phase::Idle || !may {
        return Err(errno::isconn());
    }
    f(&conn.wishes);
    Ok(())
}

fn wish_global(conn: &Conn, sk: Sk<'_>, f: impl FnOnce(Global) -> Global) -> Result {
    wish(conn, sk, |wishes| wishes.set_global(f(wishes.global())))
}

fn is_encrypted(conn: &Conn) -> bool {
    matches!(
        conn.phase(),
        Phase::Exchange | Phase::Encrypted | Phase::Failed | Phase::Closed
    )
}

/// getsockopt() at level IPPROTO_TCP.
pub(crate) fn get(conn: &Conn, sk: Sk<'_>, option: u32, value: &OptionWriter) -> Answer<Result> {
    let wishes = &conn.wishes;
    Answer::Done(match option {
        bindings::TCP_ENO_ENABLED => value.int(wishes.enabled()),
        bindings::TCP_ENO_TEPS => put_teps(value, wishes, sk),
        bindings::TCP_ENO_SELF_AWARE => {
            let sent = own_global(conn, sk);
            sent.and_then(|sent| value.int(aware(wishes, sent)))
        }
        bindings::TCP_ENO_ROLEOVERRIDE => value.int(role(wishes.role()).into()),
        bindings::TCP_ENO_SELF_GOPT => {
            let sent = own_global(conn, sk);
            sent.and_then(|sent| {
                let planned = || match wishes.raw() {
                    Some(raw) => raw.global(),
                    None => wishes.global().byte(),
                };
                value.int(sent.unwrap_or_else(planned).into())
            })
        }
        bindings::TCP_ENO_RAW => {
            let raw = wishes.raw();
            value.bytes(raw.as_ref().map_or(&[], RawContents::as_bytes))
        }
        bindings::TCP_ENO_MANDATORY => value.int(wishes.mandatory().into()),
        bindings::TCP_CRYPT_RESUMED => {
            let resumed = resume::resumed(conn, sk);
            resumed.and_then(|resumed| value.int(resumed.into()))
        }
        bindings::TCP_CRYPT_NORESUME => value.int(wishes.no_resume().into()),
        bindings::TCP_CRYPT_NOCACHE => value.int(wishes.no_cache().into()),
        bindings::TCP_CRYPT_RESUME_NONCE_LEN => value.int(wishes.nonce_len() as c_int),
        bindings::TCP_CRYPT_ACONF => {
            let list = wishes.aconf().unwrap_or_else(|| sk.net_state().aconf());
            put_aeads(value, &list)
        }
        bindings::TCP_CRYPT_BCONF => {
            let list = wishes.bconf().unwrap_or_else(|| sk.net_state().bconf());
            put_aeads(value, &list)
        }
        bindings::TCP_ENO_SESSID => {
            let id = session(conn, &sk.lock()).map(|(id, _)| id);
            id.and_then(|id| value.bytes(&id))
        }
        bindings::TCP_CRYPT_CONF => {
            let aead = session(conn, &sk.lock()).map(|(_, aead)| aead);
            aead.and_then(|aead| value.int(aead.into()))
        }
        bindings::TCP_CRYPT_REKEY => {
            let generations = rekey::generations(conn, sk);
            generations.and_then(|ints| value.bytes(ints.map(c_int::to_ne_bytes).as_flattened()))
        }
        bindings::TCP_ENO_NEGTEP => {
            let tep = negotiated(conn, sk, |negotiated| negotiated.tep_byte() & SUBOPTION_GLT);
            tep.and_then(|tep| value.int(tep.into()))
        }
        bindings::TCP_ENO_ROLE => {
            let role = negotiated(conn, sk, |negotiated| role(negotiated.role()));
            role.and_then(|role| value.int(role.into()))
        }
        bindings::TCP_ENO_PEER_AWARE => {
            let byte = negotiated(conn, sk, Negotiated::peer_global);
            byte.and_then(|byte| value.int((byte & GLOBAL_A != 0).into()))
        }
        bindings::TCP_ENO_PEER_GOPT => {
            let byte = negotiated(conn, sk, Negotiated::peer_global);
            byte.and_then(|byte| value.int(byte.into()))
        }
        bindings::TCP_ENO_TRANSCRIPT => transcript(conn, sk, value),
        // Maps the receive queue.
        bindings::TCP_ZEROCOPY_RECEIVE if is_encrypted(conn) => Err(errno::opnotsupp()),
        _ => return Answer::Plain,
    })
}

/// The global suboption that was sent, if the negotiation succeeded.
fn own_global(conn: &Conn, sk: Sk<'_>) -> Result<Option<u8>> {
    let sk = sk.lock();
    let inner = conn.inner.borrow(&sk)?;
    Ok(inner.negotiated.as_ref().map(|n| n.own_global()))
}

/// As TCP_ENO_SELF_AWARE says it: the wish, unless what was sent differs. The contents for raw mode may, and so may the
/// answer of a listener whose wishes changed since.
fn aware(wishes: &Wishes, sent: Option<u8>) -> c_int {
    let wish = match wishes.aware() {
        Aware::Clear => 0,
        Aware::Set => 1,
        Aware::Mandatory => 2,
    };
    match sent.map(|byte| byte & GLOBAL_A != 0) {
        Some(bit) if bit != (wish > 0) => bit.into(),
        _ => wish,
    }
}

/// Writes TEP identifiers.
fn put_teps(value: &OptionWriter, wishes: &Wishes, sk: Sk<'_>) -> Result {
    let list = match wishes.listed_teps() {
        Teps::Off => return value.bytes(&[]),
        Teps::Default => sk.net_state().teps(),
        Teps::List(list) => list,
    };
    let mut buffer = [0; TepList::MAX];
    let mut len = 0;
    for (place, tep) in buffer.iter_mut().zip(list.iter()) {
        *place = tep.id();
        len += 1;
    }
    value.bytes(buffer.get(..len).unwrap_or_default())
}

/// Writes an array of AEAD identifiers.
fn put_aeads(value: &OptionWriter, list: &AeadList) -> Result {
    let mut buffer = [0; size_of::<u16>() * AeadList::MAX];
    let mut len = 0;
    for (place, aead) in buffer.chunks_mut(size_of::<u16>()).zip(list.iter()) {
        place.copy_from_slice(&aead.id().to_ne_bytes());
        len += place.len();
    }
    value.bytes(buffer.get(..len).unwrap_or_default())
}

fn transcript(conn: &Conn, sk: Sk<'_>, value: &OptionWriter) -> Result {
    let mut bytes = KVec::new();
    negotiated(conn, sk, |negotiated| {
        bytes.extend_from_slice(negotiated.transcript(), GFP_KERNEL)
    })??;
    value.bytes(&bytes)
}

/// As TCP_ENO_ROLE and TCP_ENO_ROLEOVERRIDE say it.
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
fn negotiated<R>(conn: &Conn, sk: Sk<'_>, f: impl FnOnce(&Negotiated) -> R) -> Result<R> {
    let sk = sk.lock();
    let inner = conn.inner.borrow(&sk)?;
    let negotiated = inner.negotiated.as_deref().ok_or(errno::notconn())?;
    Ok(f(negotiated))
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
