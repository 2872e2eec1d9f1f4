// SPDX-License-Identifier: GPL-2.0

//! The end of a connection: shutdown(), close(), and the time after close() (RFC 8548 section 3.7).
//!
//! The frame with FINp goes out behind everything that was written, and TCP's FIN behind it. After close() TCP would reset
//! the peer for any byte that still comes, and the peer's own FINp is bytes: so the socket is not closed for TCP until
//! that was read, or a minute has passed, or the peer sent data that nobody wants. Until then it is like one before
//! accept(), without a `struct socket`; where something is still to be sent it gets a stand-in.
//!
//! Previous: `tx.rs`, `rx.rs`.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        ArcBorrow, //
    },
    time::{
        msecs_to_jiffies,
        Instant,
        Monotonic, //
    },
};

use super::{
    exchange,
    rx::{
        self,
        Settle, //
    },
    tx,
    Conn,
    Pending,
    Phase, //
};
use crate::net::{
    attach::{
        self,
        Attachment,
        LiteSocket, //
    },
    endpoint::Close,
    errno,
    locked::LockedSock,
    sock::Sk,
};

/// How long a socket lives on after close(), in ms: as TCP's own in FIN_WAIT2.
const AFTERLIFE: u32 = 60_000;
/// How many may live on at a time.
const MAX_CLOSING: i32 = 16384;

/// How many live on.
static CLOSING: Atomic<i32> = Atomic::new(0);

/// What close() left.
pub(crate) enum Closing {
    /// It was not called.
    Open,
    /// The connection lives on since then.
    Since(Instant<Monotonic>),
    /// It does no more.
    Done,
}

/// shutdown(SHUT_WR): whether TCP sends its FIN now. Otherwise it goes out behind FINp.
pub(crate) fn shutdown_send(conn: &Conn, sk: &mut LockedSock<'_>) -> bool {
    match conn.phase() {
        Phase::Idle | Phase::Negotiating | Phase::Failed | Phase::Closed | Phase::Raw => {
            return true
        }
        Phase::Exchange | Phase::Encrypted => {}
    }
    send_end(conn, sk);
    false
}

/// Has FINp go out behind what was written; as much as possible now. Whether all of it is out.
fn send_end(conn: &Conn, sk: &mut LockedSock<'_>) -> bool {
    let result = match conn.inner.borrow(sk) {
        Ok(mut inner) => {
            tx::end(&mut inner);
            if conn.phase() == Phase::Encrypted {
                tx::flush(conn, sk, &mut inner).map(|()| inner.tx.is_done())
            } else {
                Ok(false)
            }
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(done) => done,
        Err(error) if error == EAGAIN => false,
        Err(error) => {
            conn.fail(sk, error);
            true
        }
    }
}

/// close().
pub(crate) fn close(this: ArcBorrow<'_, Conn>, sk: Sk<'_>, timeout: kernel::ffi::c_long) -> Close {
    let conn = &*this;
    let mut sk = sk.lock();
    match conn.phase() {
        Phase::Idle | Phase::Negotiating | Phase::Failed | Phase::Closed | Phase::Raw => {
            return Close::Now
        }
        Phase::Exchange | Phase::Encrypted => {}
    }
    if sk.is_closed() {
        // Why it is may be worth knowing for the next one.
        exchange::advance(conn, &mut sk);
        conn.leave(&mut sk);
        return Close::Now;
    }
    // As TCP: bytes that nobody read, or SO_LINGER of 0, mean a reset.
    if conn.phase() == Phase::Encrypted {
        rx::settle(conn, &mut sk, Settle::Control);
    }
    let unread = conn.is(Pending::Plain) || sk.queued() > 0 && conn.phase() == Phase::Encrypted;
    if unread || sk.linger() == Some(0) || conn.phase() == Phase::Failed {
        conn.fail(&mut sk, errno::connreset());
        return Close::Now;
    }

    let mut sent = send_end(conn, &mut sk);
    let mut timeout = LockedSock::timeout(timeout);
    // SO_LINGER: until the peer has acknowledged everything.
    while (!sent || sk.awaits_last_ack()) && !timeout.is_over() && conn.phase() != Phase::Failed {
        if sk.wait(&mut timeout).is_err() {
            break;
        }
        sent = send_end(conn, &mut sk);
    }
    if conn.phase() == Phase::Failed {
        return Close::Now;
    }
    if sent && conn.is(Pending::End) {
        conn.leave(&mut sk);
        return Close::Now;
    }
    if CLOSING.fetch_add(1, Relaxed) >= MAX_CLOSING {
        CLOSING.fetch_sub(1, Relaxed);
        conn.fail(&mut sk, errno::connreset());
        return Close::Now;
    }
    if live_on(this, &sk, sent).is_err() {
        CLOSING.fetch_sub(1, Relaxed);
        conn.fail(&mut sk, errno::connreset());
        return Close::Now;
    }
    Close::Later
}

/// Lets go of the application.
fn live_on(this: ArcBorrow<'_, Conn>, sk: &LockedSock<'_>, sent: bool) -> Result {
    Attachment::unlink_socket(sk);
    attach::watch_state::<Conn>(sk);
    let mut inner = this.inner.borrow(sk)?;
    if !sent {
        inner.lite = Some(LiteSocket::graft(sk)?);
    }
    inner.close = Closing::Since(Instant::now());
    this.set(Pending::Closed, true);
    Attachment::kick_in(this, &sk.as_bh(), msecs_to_jiffies(AFTERLIFE));
    // What came since the last look does not announce itself again.
    if !sent || sk.queued() > 0 || sk.is_finished() {
        Attachment::kick(this, &sk.as_bh());
    }
    Ok(())
}

/// The work of a connection whose application is gone. True if TCP is to close it now.
pub(crate) fn advance(this: ArcBorrow<'_, Conn>, sk: &mut LockedSock<'_>) -> bool {
    let conn = &*this;
    if conn.phase() == Phase::Exchange {
        exchange::advance(conn, sk);
    }
    let sent = match conn.phase() {
        Phase::Exchange => false,
        Phase::Encrypted => send_end(conn, sk),
        _ => true,
    };
    if conn.phase() == Phase::Encrypted {
        rx::settle(conn, sk, Settle::Control);
        if conn.phase() == Phase::Encrypted
            && (sk.queued() > 0 && !conn.is(Pending::End))
            && whole(conn, sk)
        {
            // Data for nobody: as TCP, a reset.
            conn.fail(sk, errno::connreset());
        }
    }
    let failed = conn.phase() == Phase::Failed;
    let done = failed || sent && conn.is(Pending::End);
    let Ok(mut inner) = conn.inner.borrow(sk) else {
        return false;
    };
    let left = match &inner.close {
        Closing::Since(since) => {
            let gone = since.elapsed().as_millis();
            i64::from(AFTERLIFE) - gone
        }
        _ => 0,
    };
    if sent || done {
        if let Some(lite) = inner.lite.take() {
            lite.remove(sk);
        }
    }
    if !done && left > 0 {
        drop(inner);
        tx::retry_later(this, sk);
        let left = u32::try_from(left).unwrap_or(AFTERLIFE);
        Attachment::kick_in(this, &sk.as_bh(), msecs_to_jiffies(left).max(1));
        return false;
    }
    if let Some(lite) = inner.lite.take() {
        lite.remove(sk);
    }
    let first = !matches!(inner.close, Closing::Done);
    inner.close = Closing::Done;
    drop(inner);
    if first {
        CLOSING.fetch_sub(1, Relaxed);
        if !done && !sent {
            exchange::given_up(conn, sk);
            // What was not sent in this time is lost, and the peer must not take it for the end.
            conn.fail(sk, ETIMEDOUT);
        }
        conn.leave(sk);
    }
    first
}

/// Whether a frame with data is all there.
fn whole(conn: &Conn, sk: &LockedSock<'_>) -> bool {
    sk.queued() >= conn.need.load(Relaxed)
}

impl Conn {
    /// Wipes the keys of a connection that ends in order.
    pub(crate) fn leave(&self, sk: &mut LockedSock<'_>) {
        if self.phase() == Phase::Encrypted {
            super::net_state(sk.sk()).uncount(super::stats::Counter::Established);
        }
        if let Ok(mut inner) = self.inner.borrow(sk) {
            inner.wipe();
        }
        self.set_phase(Phase::Closed);
    }
}
