// SPDX-License-Identifier: GPL-2.0

//! SO_KEEPALIVE on an encrypted connection (RFC 8548 sections 3.9, 8.2): a peer lives as long as it sends frames that
//! authenticate.
//!
//! After TCP_KEEPIDLE without such a frame a rekey is initiated, which the peer must answer. It is data to TCP, which
//! sends it again until it is acknowledged; there are no further probes, because none may be initiated before the first
//! is answered. When TCP_KEEPCNT times TCP_KEEPINTVL have passed since it left, or TCP_USER_TIMEOUT since the peer was
//! heard of, the connection ends with ETIMEDOUT.
//!
//! A probe that can't leave, because the peer's window is shut or earlier data are not acknowledged, proves nothing: there,
//! as with plain TCP, it is TCP's own timers that end the connection, or don't.
//!
//! TCP's own keep-alive goes on beside it. It sends nothing while our probe is under way, for then there are data that are
//! not acknowledged; it still finds peers dead where there is no rekey: before there are keys, and after our FIN.
//!
//! Nothing is done for that per frame: how far the peer's stream was opened tells whether it lives, and TCP's own note of
//! when the last data came tells when. The timer is the connection's work ([`Attachment::kick_in`]).
//!
//! Previous: `events.rs`, `rekey.rs`.

use kernel::{
    ffi::c_ulong,
    prelude::*,
    sync::{
        atomic::Relaxed,
        ArcBorrow, //
    },
};

use super::{
    frames::has_opened_enough,
    net_state,
    rekey,
    rx::{
        self,
        Settle, //
    },
    stats::Counter,
    Conn,
    Inner,
    Phase, //
};
use crate::{
    bindings,
    net::{
        attach::{
            self,
            Attachment, //
        },
        clock::Ticks,
        locked::LockedSock,
        sock::BhSock, //
    },
};

/// What is known of the peer's life.
pub(super) struct Life {
    /// How far its stream was opened when this was looked at.
    opened: u64,
    /// When the last frame before that came.
    heard: Ticks,
    probe: Option<Probe>,
}

/// A rekey that the peer has to answer.
struct Probe {
    /// When it was found to have left.
    since: Ticks,
    /// The sequence number behind it.
    end: u32,
}

impl Life {
    pub(super) fn new() -> Self {
        Self {
            opened: 0,
            heard: Ticks::now(),
            probe: None,
        }
    }

    /// Notes what was heard of the peer until now.
    fn update(&mut self, sk: &LockedSock<'_>, opened: u64) {
        if self.opened != opened {
            self.opened = opened;
            // What came last may be forged, but it came after what was opened, and once only.
            self.heard = self.heard.max(Ticks::ago(sk.last_data_age()));
            self.probe = None;
        }
    }
}

/// What is to be done.
enum Next {
    /// Nothing, for so many ticks.
    Wait(u64),
    /// The peer is to be probed.
    Probe,
    /// The peer is dead.
    Dead,
}

/// There are keys, or SO_KEEPALIVE was turned on: the time begins now. Atomic, the socket locked.
pub(super) fn begin(sk: &BhSock<'_>, inner: &mut Inner) {
    inner.life.heard = Ticks::now();
    inner.life.probe = None;
    if !sk.flag(bindings::sock_flags_SOCK_KEEPOPEN) {
        return;
    }
    if let Some(this) = attach::endpoint::<Conn>(sk) {
        Attachment::kick_in(this.as_arc_borrow(), sk, sk.keep_idle() as c_ulong);
    }
}

/// SO_KEEPALIVE is being turned on. Atomic, the socket locked.
pub(super) fn turned_on(this: ArcBorrow<'_, Conn>, sk: &BhSock<'_>) {
    if this.phase() != Phase::Encrypted {
        return;
    }
    if let Ok(mut inner) = this.inner.borrow_bh(sk) {
        if !sk.flag(bindings::sock_flags_SOCK_KEEPOPEN) {
            begin(sk, &mut inner);
        }
    }
    // The option itself is set before the work can have the lock.
    Attachment::kick(this, sk);
}

/// The part of the connection's work that looks after the peer. Process context.
pub(super) fn look(this: ArcBorrow<'_, Conn>, sk: &mut LockedSock<'_>) {
    if !sk.flag(bindings::sock_flags_SOCK_KEEPOPEN) {
        return;
    }
    let conn = &*this;
    let mut next = judge(conn, sk);
    if !matches!(next, Ok(Next::Wait(_))) && conn.phase() == Phase::Encrypted {
        // What is there and not read tells of life as well.
        rx::settle(conn, sk, Settle::Whole);
        next = judge(conn, sk);
    }
    if let (Ok(Next::Probe), Phase::Encrypted) = (&next, conn.phase()) {
        next = probe(conn, sk);
    }
    match next {
        Ok(Next::Wait(ticks)) if conn.phase() == Phase::Encrypted => {
            Attachment::kick_in(this, &sk.as_bh(), ticks.max(1) as c_ulong);
        }
        Ok(Next::Dead) if conn.phase() == Phase::Encrypted => {
            net_state(sk.sk()).count(Counter::KeepaliveTimeouts);
            conn.fail(sk, ETIMEDOUT);
        }
        _ => {}
    }
}

fn judge(conn: &Conn, sk: &LockedSock<'_>) -> Result<Next> {
    let mut inner = conn.inner.borrow(sk)?;
    let inner = &mut *inner;
    inner.life.update(sk, inner.rx_offset);
    let idle = inner.life.heard.age();
    let limit = sk.keep_idle();
    if idle < limit {
        return Ok(Next::Wait(limit - idle));
    }
    if inner.tx.is_ended() {
        // There is no rekey any more.
        return Ok(Next::Wait(limit));
    }
    let unheard = has_opened_enough(sk, inner) && sk.queued() > 0;
    let owed = inner.tx.owed_frames() > 0;
    let Some(probe) = inner.life.probe.as_mut() else {
        return Ok(Next::Probe);
    };
    if owed {
        probe.end = conn.sealed_end.load(Relaxed);
    }
    if owed || unheard || !sk.has_sent(probe.end) {
        // The peer's window is shut, or congestion control holds it back: that is for TCP's own timers. Or nobody reads
        // here, so that the answer may be there and not be looked at.
        probe.since = Ticks::now();
    }
    let waited = probe.since.age();
    let interval = sk.keep_interval();
    let left = match sk.user_timeout() {
        0 => (interval * sk.keep_count()).saturating_sub(waited),
        // As TCP: some time for the answer in any case.
        timeout => timeout
            .saturating_sub(idle)
            .max(interval.min(timeout).saturating_sub(waited)),
    };
    Ok(match left {
        0 => Next::Dead,
        left => Next::Wait(left.min(interval)),
    })
}

/// Has the peer answer.
fn probe(conn: &Conn, sk: &mut LockedSock<'_>) -> Result<Next> {
    // A rekey that it did not follow yet is as good.
    if !conn.inner.borrow(sk)?.tx.generations.is_ahead() {
        rekey::begin(conn, sk)?;
        net_state(sk.sk()).count(Counter::KeepaliveProbes);
    }
    conn.inner.borrow(sk)?.life.probe = Some(Probe {
        since: Ticks::now(),
        end: conn.sealed_end.load(Relaxed),
    });
    judge(conn, sk)
}
