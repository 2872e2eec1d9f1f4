// SPDX-License-Identifier: GPL-2.0

//! TCP-ENO on a connection: who offers, who answers, and the one way back to plain TCP (RFC 8547 section 4.6).
//!
//! Previous: `net/wire.rs`, `net/probe.rs`. The rules are in `proto/eno`. Next: `exchange.rs`.

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
};

use super::{
    count,
    crossing,
    first_segments,
    raw,
    resume::{
        self,
        Offer, //
    },
    stats::Counter,
    wishes::Wishes,
    Conn,
    Pending,
    Phase,
    Step, //
};
use crate::{
    crypto::rng,
    net::{
        attach::Attachment,
        endpoint::{
            Admission,
            Answered,
            Neighbours,
            Outgoing,
            Part,
            Reply,
            Xmit, //
        },
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
            self,
            Answer,
            Negotiated,
            Policy,
            Reason,
            TcpOptions, //
        },
        ids::{
            Role,
            Tep, //
        },
        session::{
            Agreement,
            Half, //
        },
    },
};

/// Allocations in softirq may fail, and that is counted, not logged.
pub(super) fn atomic() -> kernel::alloc::Flags {
    GFP_ATOMIC | kernel::alloc::flags::__GFP_NOWARN
}

/// Why a connection is plain TCP, as a counter.
pub(super) fn counter(reason: Reason) -> Counter {
    match reason {
        Reason::NoOption => Counter::FallbackNoOption,
        Reason::Malformed => Counter::FallbackMalformed,
        Reason::Duplicate => Counter::FallbackDuplicate,
        Reason::NoTep => Counter::FallbackNoTep,
        Reason::Role | Reason::NotAware => Counter::FallbackRole,
        Reason::NoAck => Counter::FallbackNoAck,
    }
}

/// What the application wishes, or else the namespace says, for an active opener or for a listener.
fn policy(wishes: Option<&Wishes>, state: &NetState) -> Policy {
    let teps = wishes
        .and_then(Wishes::teps)
        .unwrap_or_else(|| state.teps());
    let Some(wishes) = wishes else {
        return Policy::new(Role::A).teps(teps);
    };
    let policy = Policy::new(wishes.role()).aware(wishes.aware()).teps(teps);
    match wishes.raw() {
        Some(raw) => policy.raw(raw),
        None => policy,
    }
}

/// What a passive opener answers to a SYN with these options. By the settings of this moment: what was answered is kept
/// with the SYN.
fn answer_to(
    policy: &Policy,
    syn_options: &[u8],
    agree: impl FnOnce(Tep, &Half) -> Option<Agreement>,
) -> Result<Answer, Reason> {
    // A SYN whose data mean something else is not for us (RFC 8547 section 4.7).
    if eno::has_data_bearing_fast_open(syn_options) {
        return Err(Reason::NoOption);
    }
    Answer::to(policy, syn_options, agree)
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

/// Whether it is remembered that ENO does not work to the destination.
fn is_in_vain(sk: &BhSock<'_>) -> bool {
    let known = sk.net_state().failures().knows(sk.remote_address());
    if known {
        count(sk, Counter::FallbackRemembered);
    }
    known
}

fn excluded(sk: &BhSock<'_>) -> bool {
    sk.net_state().excludes(sk.local_port(), sk.remote_port())
}

/// A socket of nobody's sends its SYN.
pub(crate) fn connecting(sk: &BhSock<'_>) -> Option<Arc<Conn>> {
    if !sk.holds_net() || !sk.net_state().enable_connect() || excluded(sk) || !may_offer(sk) {
        return None;
    }
    if is_in_vain(sk) {
        return None;
    }
    let conn = Conn::new(
        false,
        Wishes::new(-1),
        Phase::Negotiating,
        None,
        Step::None,
        atomic(),
    );
    match conn.and_then(|conn| begin(&conn, sk).map(|()| conn)) {
        Ok(conn) => Some(conn),
        Err(_) => {
            count(sk, Counter::FallbackNoMemory);
            None
        }
    }
}

/// A socket that the application attached sends its SYN.
pub(crate) fn opening(conn: ArcBorrow<'_, Conn>, sk: &BhSock<'_>) -> Part {
    let enabled = match conn.wishes.enabled() {
        0 => false,
        1 => true,
        _ => sk.net_state().enable_connect() && !excluded(sk),
    };
    let in_vain = || !conn.wishes.mandatory() && is_in_vain(sk);
    if enabled && may_offer(sk) && !in_vain() && begin(&conn, sk).is_ok() {
        Part::Takes
    } else {
        unencrypted(conn, sk)
    }
}

/// An active open on which ENO has no success: plain TCP, unless the application does not want that.
pub(super) fn unencrypted(conn: ArcBorrow<'_, Conn>, sk: &BhSock<'_>) -> Part {
    if !conn.wishes.mandatory() {
        return Part::Plain;
    }
    count(sk, Counter::MandatoryAborted);
    give_up(conn, sk);
    Part::Refuses
}

/// The connection must not go on: nothing leaves any more, and the work aborts it. Atomic, the socket locked.
fn give_up(conn: ArcBorrow<'_, Conn>, sk: &BhSock<'_>) {
    conn.error.store(-errno::connaborted().to_errno(), Relaxed);
    conn.set_phase(Phase::Failed);
    // Now, and not when the work aborts: TCP wakes who waits for connect(), and SO_ERROR tells what came of it.
    sk.set_error(errno::connaborted());
    Attachment::kick(conn, sk);
}

fn begin(conn: &Conn, sk: &BhSock<'_>) -> Result {
    let policy = policy(Some(&conn.wishes), sk.net_state());
    *conn.offer.borrow_bh(sk)? = Some(Offer::new(&policy, &conn.wishes, sk));
    conn.offered.store(false, Relaxed);
    conn.syns.reset();
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

/// Whether the SYNs to a listener of nobody's are looked at: also where its port keeps it from answering, because the data
/// beside an offer are to be discarded even when ENO is off (RFC 8547 section 4.7).
pub(crate) fn watches_by_default(sk: Sk<'_>) -> bool {
    sk.holds_net() && sk.net_state().enable_listen()
}

/// Whether the default has a listener answer.
pub(crate) fn listens_by_default(sk: Sk<'_>) -> bool {
    watches_by_default(sk) && !sk.net_state().excludes_local(sk.local_port())
}

/// The open failed.
pub(crate) fn unopened(conn: &Conn, sk: &BhSock<'_>) {
    if let Ok(mut offer) = conn.offer.borrow_bh(sk) {
        *offer = None;
    }
    conn.set_phase(Phase::Idle);
}

/// A segment leaves.
pub(crate) fn outgoing(conn: &Conn, sk: &BhSock<'_>, segment: &Outgoing<'_>) -> Xmit {
    match conn.phase() {
        Phase::Idle => Xmit::Pass,
        Phase::Negotiating => offer_on(conn, sk, segment),
        Phase::Raw => first_segments::acknowledge(conn, sk, segment),
        // The SYN of a connection that must not come about. TCP forgot the error when it began to connect.
        Phase::Failed if segment.syn => {
            sk.set_error(errno::connaborted());
            Xmit::Drop
        }
        Phase::Exchange | Phase::Encrypted | Phase::Failed | Phase::Closed => {
            if !is_sealed(conn, segment) {
                return block(sk);
            }
            if conn.phase() == Phase::Exchange || conn.is(Pending::Reserved) {
                return first_segments::acknowledge(conn, sk, segment);
            }
            Xmit::Pass
        }
    }
}

fn offer_on(conn: &Conn, sk: &BhSock<'_>, segment: &Outgoing<'_>) -> Xmit {
    if !segment.syn || segment.ack {
        return crossing::outgoing(conn, sk, segment);
    }
    // The same in every SYN that has it (RFC 8547 section 4.6).
    let options = match conn.offer.borrow_bh(sk) {
        Ok(mut offer) => offer
            .as_mut()
            .filter(|_| segment.payload == 0)
            .and_then(|offer| with_offer(conn, offer, segment.options)),
        Err(_) => return Xmit::Drop,
    };
    match options {
        Some(_) if !conn.syns.next_offers(sk, conn.wishes.mandatory()) => {
            conn.offered.store(false, Relaxed);
            Xmit::Pass
        }
        Some(options) => {
            if !conn.offered.xchg(true, kernel::sync::atomic::Full) {
                count(sk, Counter::ActiveOffered);
            }
            Xmit::SetOptions(options)
        }
        None => {
            // A SYN without the option may have been answered by the time that one with it is: no offer at all.
            conn.offered.store(false, Relaxed);
            count(sk, Counter::FallbackNoSpace);
            Xmit::Pass
        }
    }
}

/// Whether the payload ends where what was sealed ends, or before.
fn is_sealed(conn: &Conn, segment: &Outgoing<'_>) -> bool {
    let end = segment.seq.wrapping_add(segment.payload);
    segment.payload == 0 || conn.sealed_end.load(Relaxed).wrapping_sub(end) <= i32::MAX as u32
}

fn block(sk: &BhSock<'_>) -> Xmit {
    count(sk, Counter::PlaintextBlocked);
    kernel::pr_warn_once!("a segment with plaintext of an encrypted connection was dropped\n");
    Xmit::Drop
}

/// The options of a SYN with the offer; without the session that it would resume, if there is no space for that.
fn with_offer(conn: &Conn, offer: &mut Offer, options: &[u8]) -> Option<TcpOptions> {
    let all = eno::append(options, offer.offered.option().as_bytes());
    if all.is_some() || conn.offered.load(Relaxed) || offer.session.is_none() {
        return all;
    }
    offer.renounce();
    eno::append(options, offer.offered.option().as_bytes())
}

/// TCP accepted the SYN-ACK.
pub(crate) fn syn_ack(conn: ArcBorrow<'_, Conn>, sk: &BhSock<'_>, tcp_options: &[u8]) -> Part {
    if conn.syns.left_out(sk, tcp_options) {
        return unencrypted(conn, sk);
    }
    let result = match conn.offer.borrow_bh(sk) {
        Ok(offer) => match &*offer {
            Some(offer) if conn.offered.load(Relaxed) => offer.offered.on_syn(tcp_options),
            _ => return unencrypted(conn, sk),
        },
        Err(_) => return unencrypted(conn, sk),
    };
    let negotiated = match result {
        Ok(negotiated) => negotiated,
        Err(reason) => {
            count(sk, counter(reason));
            return unencrypted(conn, sk);
        }
    };
    let succeeded = KBox::new(negotiated, atomic())
        .map_err(Error::from)
        .and_then(|negotiated| succeed(conn, sk, negotiated));
    if succeeded.is_err() {
        // No option was acknowledged yet, so that plain TCP is still allowed.
        count(sk, Counter::FallbackNoMemory);
        return unencrypted(conn, sk);
    }
    Part::Takes
}

/// An active open succeeded: from here on the connection is encrypted or it fails; or it is what the application makes of
/// it, in raw mode.
pub(super) fn succeed(
    conn: ArcBorrow<'_, Conn>,
    sk: &BhSock<'_>,
    negotiated: KBox<Negotiated>,
) -> Result {
    let mut inner = conn.inner.borrow_bh(sk)?;
    // A session that was proposed and is not resumed is gone with this: it must not be proposed again.
    let offer = conn.offer.borrow_bh(sk)?.take();
    let session = offer.and_then(|offer| offer.session);
    first_segments::watch(&conn, sk);
    let (tep, role) = (negotiated.tep(), negotiated.role());
    let resumed = negotiated.resumption().is_some();
    inner.negotiated = Some(negotiated);
    if tep.is_none() {
        raw::begin(&conn, sk);
        count(sk, Counter::ActiveRaw);
        return Ok(());
    }
    inner.step = match (session, role) {
        (Some(session), _) if resumed => {
            // The first segments may have data.
            first_segments::reserve(&conn, sk);
            Step::Resume(session)
        }
        (session, role) => {
            if session.is_some() {
                count(sk, Counter::ResumptionDeclined);
            }
            match role {
                Role::A => Step::SendInit1,
                Role::B => Step::AwaitInit1,
            }
        }
    };
    conn.sealed_end.store(sk.write_seq(), Relaxed);
    conn.need.store(inner.step.needs(), Relaxed);
    conn.set_phase(Phase::Exchange);
    LockedSock::keep_urgent_inline(sk);
    count(sk, Counter::ActiveEncrypted);
    Attachment::kick(conn, sk);
    Ok(())
}

/// connect() is about to report success. ECONNABORTED if the application asked for no plain connection, and this would be
/// one: the work that aborts it may not have run yet.
pub(crate) fn connected(conn: &Conn, sk: &mut LockedSock<'_>) -> Result {
    if conn.inner.borrow(sk)?.negotiated.is_some() {
        return Ok(());
    }
    conn.failure().inspect_err(|error| {
        sk.abort(*error);
        let _ = sk.take_error();
    })
}

/// Whether a listener that the application attached refuses a SYN.
pub(crate) fn refuses(conn: &Conn, listener: Sk<'_>, syn_options: &[u8]) -> bool {
    if !conn.wishes.mandatory() {
        return false;
    }
    let state = listener.net_state();
    let answer = answer_to(&policy(Some(&conn.wishes), state), syn_options, |_, _| None);
    if listens(conn, listener) && answer.is_ok() {
        return false;
    }
    state.count(Counter::MandatoryAborted);
    true
}

/// The option for a SYN-ACK.
pub(crate) fn answer(
    listener: Sk<'_>,
    conn: Option<&Conn>,
    syn_options: &[u8],
    neighbours: &Neighbours<'_>,
) -> Option<Reply> {
    let listens = match conn {
        Some(conn) => listens(conn, listener),
        None => listens_by_default(listener),
    };
    if !listens || listener.has_tcp_auth() {
        return None;
    }
    let state = listener.net_state();
    let note = |counter| {
        if neighbours.is_first {
            state.count(counter);
        }
    };
    // RFC 8547 section 4.7: not beside a Fast Open cookie.
    if eno::has_data_bearing_fast_open(neighbours.options) {
        note(Counter::FallbackNoSpace);
        return None;
    }
    let wishes = conn.map(|conn| &conn.wishes);
    let policy = policy(wishes, state);
    // A nonce can't be made again.
    let agree = |tep, half: &Half| match neighbours.is_kept {
        true => resume::agree(state, wishes, tep, half),
        false => None,
    };
    let fits =
        |answer: &Answer| eno::append(neighbours.options, answer.option().as_bytes()).is_some();
    let answer = match answer_to(&policy, syn_options, agree) {
        Ok(answer) if !fits(&answer) => answer_to(&policy, syn_options, |_, _| None),
        answer => answer,
    };
    let answer = match answer {
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
    if !fits(&answer) {
        note(Counter::FallbackNoSpace);
        return None;
    }
    // Where the application has SYNs saved, SYN-ACKs that are sent again come here too. They have to be the same.
    if neighbours.is_first && !answer.is_raw() && !state.exchanges().has_room() {
        note(Counter::FallbackBusy);
        return None;
    }
    note(Counter::PassiveOffered);
    Some(Reply {
        option: answer.option(),
        raw: answer.is_raw(),
    })
}

/// The segment that ends a handshake came.
pub(crate) fn admit(
    listener: Sk<'_>,
    conn: Option<&Conn>,
    answered: Option<Answered<'_>>,
    ack_options: &[u8],
) -> Admission<Conn> {
    let wishes = conn.map(|conn| &conn.wishes);
    let state = listener.net_state();
    let negotiated = match confirmed(wishes, state, answered, ack_options) {
        Ok(negotiated) => negotiated,
        Err(reason) => {
            if let Some(reason) = reason {
                state.count(counter(reason));
            }
            if wishes.is_some_and(Wishes::mandatory) {
                state.count(Counter::MandatoryAborted);
                return Admission::Refuse;
            }
            return Admission::Plain;
        }
    };
    let (phase, step) = match (negotiated.tep(), negotiated.resumption()) {
        (None, _) => (Phase::Raw, Step::None),
        (Some(_), None) => (Phase::Exchange, Step::AwaitInit1),
        // Not taken yet: several CPUs may come here with segments of one handshake, of which one makes the child.
        (Some(_), Some(_)) => (Phase::Exchange, Step::Promised),
    };
    // The peer encrypts from here on: without memory the connection has to wait, for plain it can't be.
    let conn = KBox::new(negotiated, atomic())
        .map_err(Error::from)
        .and_then(|negotiated| {
            let wishes = Wishes::of_child(wishes);
            Conn::new(false, wishes, phase, Some(negotiated), step, atomic())
        });
    match conn {
        Ok(conn) => Admission::Attach(conn),
        Err(_) => {
            state.count(Counter::FallbackNoMemory);
            Admission::Later
        }
    }
}

/// What the handshake of a passive open came to. An error without a reason is a SYN that was not answered, and was
/// counted then.
///
/// That the segment has an ENO option shows that our SYN-ACK had one, for a peer that obeys the RFC.
fn confirmed(
    wishes: Option<&Wishes>,
    state: &NetState,
    answered: Option<Answered<'_>>,
    ack_options: &[u8],
) -> Result<Negotiated, Option<Reason>> {
    // Without the saved SYN it was a SYN cookie's, whose SYN-ACK had no option.
    let answered = answered.ok_or(None)?;
    let answer = match answered.reply {
        Some((option, raw)) => Answer::sent(option, raw, answered.syn_options).map_err(Some)?,
        None => {
            let policy = policy(wishes, state);
            answer_to(&policy, answered.syn_options, |_, _| None).map_err(|_| None)?
        }
    };
    Ok(answer.confirm(ack_options)?)
}

/// The child of an admitted connection exists.
pub(crate) fn admitted(conn: ArcBorrow<'_, Conn>, child: &BhSock<'_>) {
    if conn.phase() == Phase::Raw {
        count(child, Counter::PassiveRaw);
        return;
    }
    conn.sealed_end.store(child.write_seq(), Relaxed);
    LockedSock::keep_urgent_inline(child);
    if let Ok(mut inner) = conn.inner.borrow_bh(child) {
        if let Step::Promised = inner.step {
            let negotiated = inner.negotiated.as_ref();
            let resumption = negotiated.and_then(|negotiated| negotiated.resumption());
            let session = resumption
                .and_then(|resumption| child.net_state().sessions().take_named(&resumption.peer));
            inner.step = session.map_or(Step::None, Step::Resume);
        }
        conn.need.store(inner.step.needs(), Relaxed);
        match inner.step {
            Step::Resume(_) => {}
            Step::None => {
                // Wiped since it was promised; the peer encrypts with it from here on.
                drop(inner);
                count(child, Counter::ResumptionLost);
                give_up(conn, child);
                return;
            }
            _ => inner.exchanging = Some(child.net_state().exchanges().begin()),
        }
    }
    count(child, Counter::PassiveEncrypted);
}
