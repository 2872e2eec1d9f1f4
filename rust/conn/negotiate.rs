// SPDX-License-Identifier: GPL-2.0

//! TCP-ENO on a connection: who offers, who answers, and the one way back to plain TCP (RFC 8547 section 4.6).
//!
//! Previous: `net/wire.rs`, `net/probe.rs`. The rules are in `proto/eno`. Next: `exchange.rs`.

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};

use super::{
    count,
    stats::Counter,
    wishes::Wishes,
    Conn,
    Phase,
    Step, //
};
use crate::{
    crypto::rng,
    net::{
        attach::Attachment,
        endpoint::{
            Admission,
            Neighbours,
            OptionWord,
            Outgoing,
            Xmit, //
        },
        locked::LockedSock,
        sock::{
            BhSock,
            Sk, //
        },
    },
    proto::{
        eno::{
            self,
            Answer,
            Negotiated,
            Offered,
            Policy,
            Reason,
            NON_SYN_OPTION, //
        },
        ids::Role,
    },
};

/// Allocations in softirq may fail, and that is counted, not logged.
fn atomic() -> kernel::alloc::Flags {
    GFP_ATOMIC | kernel::alloc::flags::__GFP_NOWARN
}

/// TCP's option of one byte that means nothing.
const NOP: u8 = 1;

/// Why a connection is plain TCP, as a counter.
fn counter(reason: Reason) -> Counter {
    match reason {
        Reason::NoOption => Counter::FallbackNoOption,
        Reason::Malformed => Counter::FallbackMalformed,
        Reason::Duplicate => Counter::FallbackDuplicate,
        Reason::NoTep => Counter::FallbackNoTep,
        Reason::Role | Reason::NotAware => Counter::FallbackRole,
        Reason::NoAck => Counter::FallbackNoAck,
    }
}

/// An option with NOPs in front, up to a word. `None` if it is longer: then it is not this layer's to send.
fn word(option: &[u8]) -> Option<OptionWord> {
    let mut word = [NOP; 4];
    let at = word.len().checked_sub(option.len())?;
    word.get_mut(at..)?.copy_from_slice(option);
    Some(word)
}

/// What an active opener offers.
fn offer() -> Offered {
    Offered::new(&Policy::new(Role::A))
}

/// What a passive opener answers to a SYN with these options.
///
/// It does not depend on settings that may change, so that it is the same when the SYN-ACK is sent, sent again, and when
/// the third segment comes: nothing has to be kept for a half-open connection.
fn answer_to(syn_options: &[u8]) -> Result<Answer, Reason> {
    // A SYN whose data mean something else is not for us (RFC 8547 section 4.7).
    if eno::has_data_bearing_fast_open(syn_options) {
        return Err(Reason::NoOption);
    }
    Answer::to(&Policy::new(Role::B), syn_options)
}

/// Whether an active opener may take part at all: RFC 8547 section 10 wants randomness, section 4.7 no data on the SYN,
/// and nothing may be added to what TCP-MD5 and TCP-AO sign.
fn may_offer(sk: &BhSock<'_>) -> bool {
    if !rng::ready() {
        count(sk, Counter::FallbackNoEntropy);
        return false;
    }
    !sk.has_tcp_auth() && !sk.is_fast_opening() && sk.holds_net()
}

fn excluded(sk: &BhSock<'_>) -> bool {
    sk.net_state().excludes(sk.local_port(), sk.remote_port())
}

/// A socket of nobody's sends its SYN.
pub(crate) fn connecting(sk: &BhSock<'_>) -> Option<Arc<Conn>> {
    if !sk.holds_net() || !sk.net_state().enable_connect() || excluded(sk) || !may_offer(sk) {
        return None;
    }
    match Conn::new(
        false,
        Wishes::new(-1),
        Phase::Negotiating,
        None,
        Step::Offered(offer()),
        atomic(),
    ) {
        Ok(conn) => Some(conn),
        Err(_) => {
            count(sk, Counter::FallbackNoMemory);
            None
        }
    }
}

/// A socket that the application attached sends its SYN.
pub(crate) fn opening(conn: &Conn, sk: &BhSock<'_>) -> bool {
    let enabled = match conn.wishes.enabled() {
        0 => false,
        1 => true,
        _ => sk.net_state().enable_connect() && !excluded(sk),
    };
    enabled && may_offer(sk) && begin(conn, sk).is_ok()
}

fn begin(conn: &Conn, sk: &BhSock<'_>) -> Result {
    conn.inner.borrow_bh(sk)?.step = Step::Offered(offer());
    conn.offered.store(false, Relaxed);
    conn.set_phase(Phase::Negotiating);
    Ok(())
}

/// A listener that the application attached begins to listen.
pub(crate) fn listens(conn: &Conn, sk: Sk<'_>) -> bool {
    match conn.wishes.enabled() {
        0 => false,
        1 => true,
        _ => listens_by_default(sk),
    }
}

/// Whether the default has a listener answer.
pub(crate) fn listens_by_default(sk: Sk<'_>) -> bool {
    sk.holds_net()
        && sk.net_state().enable_listen()
        && !sk.net_state().excludes_local(sk.local_port())
}

/// The open failed, or crossed with one of the peer's.
///
/// In a simultaneous open both ends have b = 0, unless an application chose: roles are not to be had, and the
/// connection is plain TCP (RFC 8547 section 4.6, rule 3). The SYN-ACK then leaves without an option, as the second
/// exception there allows.
pub(crate) fn unopened(conn: &Conn, sk: &BhSock<'_>, crossed: bool) {
    if crossed {
        count(sk, Counter::FallbackRole);
    }
    if let Ok(mut inner) = conn.inner.borrow_bh(sk) {
        inner.step = Step::None;
    }
    conn.set_phase(Phase::Idle);
}

/// A segment leaves.
pub(crate) fn outgoing(conn: &Conn, sk: &BhSock<'_>, segment: &Outgoing) -> Xmit {
    match conn.phase() {
        Phase::Idle => Xmit::Pass,
        Phase::Negotiating => offer_on(conn, sk, segment),
        Phase::Exchange | Phase::Encrypted | Phase::Failed | Phase::Closed => {
            if !is_sealed(conn, segment) {
                return block(sk);
            }
            if conn.phase() == Phase::Exchange && acknowledges(conn, sk) {
                return match word(&NON_SYN_OPTION) {
                    Some(word) if segment.has_room => Xmit::AddOption(word),
                    // Without the option the peer would fall back: better that it never sees this segment.
                    _ => Xmit::Drop,
                };
            }
            Xmit::Pass
        }
    }
}

fn offer_on(conn: &Conn, sk: &BhSock<'_>, segment: &Outgoing) -> Xmit {
    if !segment.syn || segment.ack {
        return Xmit::Pass;
    }
    // Every SYN is built anew from the same policy: those sent again are the same (RFC 8547 section 4.6).
    let word =
        word(offer().option().as_bytes()).filter(|_| segment.has_room && segment.payload == 0);
    match word {
        Some(word) => {
            if !conn.offered.xchg(true, kernel::sync::atomic::Full) {
                count(sk, Counter::ActiveOffered);
            }
            Xmit::AddOption(word)
        }
        None => {
            // A SYN without the option may have been answered by the time that one with it is: no offer at all.
            conn.offered.store(false, Relaxed);
            count(sk, Counter::FallbackNoSpace);
            Xmit::Pass
        }
    }
}

/// Whether an active opener did not see a segment without SYN from the peer yet, as far as TCP tells: until then every
/// segment carries the option (RFC 8547 section 4.6).
fn acknowledges(conn: &Conn, sk: &BhSock<'_>) -> bool {
    conn.offered.load(Relaxed)
        && sk.snd_una() == conn.una.load(Relaxed)
        && sk.rcv_nxt() == conn.nxt.load(Relaxed)
}

/// Whether the payload ends where what was sealed ends, or before.
fn is_sealed(conn: &Conn, segment: &Outgoing) -> bool {
    let end = segment.seq.wrapping_add(segment.payload);
    segment.payload == 0 || conn.sealed_end.load(Relaxed).wrapping_sub(end) <= i32::MAX as u32
}

fn block(sk: &BhSock<'_>) -> Xmit {
    count(sk, Counter::PlaintextBlocked);
    kernel::pr_warn_once!("a segment with plaintext of an encrypted connection was dropped\n");
    Xmit::Drop
}

/// TCP accepted the SYN-ACK: whether the connection will be encrypted.
pub(crate) fn syn_ack(
    conn: kernel::sync::ArcBorrow<'_, Conn>,
    sk: &BhSock<'_>,
    tcp_options: &[u8],
) -> bool {
    let result = match conn.inner.borrow_bh(sk) {
        Ok(inner) => match &inner.step {
            Step::Offered(offered) if conn.offered.load(Relaxed) => offered.on_syn(tcp_options),
            _ => return false,
        },
        Err(_) => return false,
    };
    let negotiated = match result {
        Ok(negotiated) => negotiated,
        Err(reason) => {
            count(sk, counter(reason));
            return false;
        }
    };
    if begin_exchange(&conn, sk, &negotiated, Step::SendInit1).is_err() {
        // No option was acknowledged yet, so that plain TCP is still allowed.
        count(sk, Counter::FallbackNoMemory);
        return false;
    }
    count(sk, Counter::ActiveEncrypted);
    Attachment::kick(conn, sk);
    true
}

/// From here on the connection is encrypted or it fails.
fn begin_exchange(conn: &Conn, sk: &BhSock<'_>, negotiated: &Negotiated, step: Step) -> Result {
    let mut inner = conn.inner.borrow_bh(sk)?;
    inner.negotiated = Some(KBox::new(*negotiated, atomic())?);
    inner.step = step;
    conn.sealed_end.store(sk.write_seq(), Relaxed);
    conn.need.store(1, Relaxed);
    conn.una.store(sk.snd_una(), Relaxed);
    conn.nxt.store(sk.rcv_nxt(), Relaxed);
    conn.set_phase(Phase::Exchange);
    LockedSock::keep_urgent_inline(sk);
    Ok(())
}

/// The option for a SYN-ACK.
pub(crate) fn answer(
    listener: Sk<'_>,
    conn: Option<&Conn>,
    syn_options: &[u8],
    neighbours: &Neighbours<'_>,
) -> Option<OptionWord> {
    let listens = match conn {
        Some(conn) => listens(conn, listener),
        None => listens_by_default(listener),
    };
    if !listens || listener.has_tcp_auth() {
        return None;
    }
    let note = |counter| {
        if neighbours.is_first {
            listener.net_state().count(counter);
        }
    };
    // RFC 8547 section 4.7: not beside a Fast Open cookie.
    if eno::has_data_bearing_fast_open(neighbours.options) {
        note(Counter::FallbackNoSpace);
        return None;
    }
    let answer = match answer_to(syn_options) {
        Ok(answer) => answer,
        Err(Reason::NoOption) => return None,
        Err(reason) => {
            note(counter(reason));
            return None;
        }
    };
    if !rng::ready() {
        note(Counter::FallbackNoEntropy);
        return None;
    }
    if !neighbours.has_room {
        note(Counter::FallbackNoSpace);
        return None;
    }
    note(Counter::PassiveOffered);
    word(answer.option().as_bytes())
}

/// The segment that ends a handshake came.
///
/// That it has an ENO option shows that our SYN-ACK had one, for a peer that obeys the RFC.
pub(crate) fn admit(
    listener: Sk<'_>,
    conn: Option<&Conn>,
    syn_options: Option<&[u8]>,
    ack_options: &[u8],
) -> Admission<Conn> {
    // Without the saved SYN it was a SYN cookie's, whose SYN-ACK had no option.
    let Some(Ok(answer)) = syn_options.map(answer_to) else {
        return Admission::Plain;
    };
    let state = listener.net_state();
    let negotiated = match answer.confirm(ack_options) {
        Ok(negotiated) => negotiated,
        Err(reason) => {
            state.count(counter(reason));
            return Admission::Plain;
        }
    };
    // The peer encrypts from here on: without memory the connection has to wait, for plain it can't be.
    let wishes = Wishes::of_child(conn.map(|conn| &conn.wishes));
    let conn = KBox::new(negotiated, atomic())
        .map_err(Error::from)
        .and_then(|negotiated| {
            Conn::new(
                false,
                wishes,
                Phase::Exchange,
                Some(negotiated),
                Step::AwaitInit1,
                atomic(),
            )
        });
    match conn {
        Ok(conn) => Admission::Attach(conn),
        Err(_) => {
            state.count(Counter::FallbackNoMemory);
            Admission::Later
        }
    }
}

/// The child of an admitted connection exists.
pub(crate) fn admitted(conn: &Conn, child: &BhSock<'_>) {
    conn.sealed_end.store(child.write_seq(), Relaxed);
    conn.need.store(1, Relaxed);
    LockedSock::keep_urgent_inline(child);
    count(child, Counter::PassiveEncrypted);
}
