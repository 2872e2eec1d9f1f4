// SPDX-License-Identifier: GPL-2.0

//! One TCP connection under tcpcrypt: what happens at each call of an application and at each event of TCP.
//!
//! A connection goes through these phases, and nowhere else:
//!
//! ```text
//!   Idle ──SYN──▶ Negotiating ──ENO succeeds──▶ Exchange ──keys──▶ Encrypted
//!                    │ │ │                         │                  │
//!                    │ │ └──TCP_ENO_MANDATORY──▶ Failed ◀─────────────┤
//!                    │ ▼                                              ▼
//!                    │ plain TCP (detached)                        Closed
//!                    └──TCP_ENO_RAW──▶ Raw
//! ```
//!
//! A passive opener begins at Exchange or Raw: there is no connection before the third segment of the handshake.
//!
//! - `negotiate.rs`: TCP-ENO, from the SYN to the decision; `crossing.rs`: simultaneous opens.
//! - `syns.rs`, `failures.rs`: where it does not work; `limit.rs`: when it would be too much.
//! - `raw.rs`: connections whose TEP is the application's.
//! - `first_segments.rs`: what an active opener's segments have until the peer answers.
//! - `resume.rs`, `sessions.rs`: connections that need no exchange of keys.
//! - `exchange.rs`: Init1, Init2 and the keys, in a workqueue.
//! - `seal.rs`, `tx.rs`: sendmsg(); `frames.rs`, `rx.rs`: recvmsg().
//! - `rekey.rs`: when the keys change.
//! - `keepalive.rs`: SO_KEEPALIVE.
//! - `close.rs`: shutdown(), close(), and what lives on after it.
//! - `sockopt.rs`: options and inet_diag; `wishes.rs`: what was asked for by them.
//!
//! The phase and a few numbers are atomics, for callbacks that are called within functions that hold the rest; the rest
//! is [`Inner`], behind the socket lock.

pub(crate) mod close;
pub(crate) mod crossing;
pub(crate) mod events;
pub(crate) mod exchange;
pub(crate) mod failures;
pub(crate) mod first_segments;
pub(crate) mod frames;
pub(crate) mod keepalive;
pub(crate) mod limit;
pub(crate) mod negotiate;
pub(crate) mod raw;
pub(crate) mod rekey;
pub(crate) mod resume;
pub(crate) mod rx;
pub(crate) mod seal;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod sockopt;
pub(crate) mod stats;
pub(crate) mod syns;
pub(crate) mod tx;
pub(crate) mod wishes;

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

use self::{
    crossing::Crossing,
    resume::Offer,
    wishes::Wishes, //
};
use crate::{
    net::{
        attach::{
            Attachment,
            LiteSocket, //
        },
        bh_lock::{
            new_bh_spinlock,
            BhSpinLock, //
        },
        locked::LockedSock,
        pernet::NetState,
        sock::{
            BhSock,
            Sk,
            SockCell, //
        },
    },
    proto::{
        eno::Negotiated,
        handshake::AwaitInit2,
        ids::{
            Aead,
            SESSION_ID_LEN, //
        },
        session::Half,
    },
};

/// Where a connection is. The values are those of TCP_CRYPT_STATE_* in the ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Attached by the application, not opened.
    Idle = 0,
    /// The SYN is out or about to be.
    Negotiating = 1,
    /// ENO succeeded; no plaintext may leave any more, and there are no keys yet.
    Exchange = 2,
    /// The keys are there.
    Encrypted = 3,
    /// Aborted. Every call returns the error.
    Failed = 4,
    /// Closed in order; TCP still sends what was sealed.
    Closed = 5,
    /// ENO succeeded in raw mode: the data are the application's.
    Raw = 6,
}

/// A connection.
#[pin_data]
pub(crate) struct Conn {
    #[pin]
    attachment: Attachment,
    phase: Atomic<u32>,
    /// The error of the phase Failed, as a positive errno.
    error: Atomic<i32>,
    /// What the application asked for.
    #[pin]
    wishes: Wishes,
    /// Active opener: the offer, and whether a SYN with it left. Borrowed for no longer than it takes to look at it, also
    /// within functions that borrow `inner`.
    offer: SockCell<Option<Offer>>,
    /// The SYNs of this open.
    syns: syns::Syns,
    offered: Atomic<bool>,
    /// The sequence number behind the last byte that may leave: the end of what is sealed, or of an Init message.
    sealed_end: Atomic<u32>,
    /// Unread bytes in TCP's queue with which there is something to do: a whole frame, a header or an Init message.
    need: Atomic<u32>,
    /// The sequence number behind the frames in TCP's queue that were looked at for a rekey.
    scanned: Atomic<u32>,
    /// Bits of [`Pending`]: what waits for room in the send buffer, or was asked for.
    pending: Atomic<u32>,
    /// `snd_una` and `rcv_nxt` when our SYN was answered.
    una: Atomic<u32>,
    nxt: Atomic<u32>,
    #[pin]
    crossing: BhSpinLock<Crossing>,
    inner: SockCell<Inner>,
}

/// Bits of `Conn::pending`.
#[derive(Clone, Copy)]
pub(crate) enum Pending {
    /// Something is ready to be given to TCP: early data, the rest of a frame, an Init message, the end.
    Output = 1,
    /// Decrypted bytes are there to be read.
    Plain = 2,
    /// The authenticated end was read from the peer.
    End = 4,
    /// close() was called; the connection lives on without an application.
    Closed = 8,
    /// Small writes wait for an acknowledgement, to share a frame.
    Held = 32,
    /// Every segment leaves room for the ENO option: `first_segments.rs`.
    Reserved = 64,
    /// The kernel waits for room to drain a frame that is larger than the receive buffer.
    Drain = 16,
}

/// What the socket lock protects.
pub(crate) struct Inner {
    /// What was negotiated; there from the phase Exchange on.
    negotiated: Option<KBox<Negotiated>>,
    step: Step,
    /// The ends of the stream, there from the phase Encrypted on.
    established: Option<KBox<Session>>,
    /// Plaintext that was written before there were keys, and how much of it is sealed.
    early: KVVec<u8>,
    early_sealed: usize,
    /// Offset of the next byte in the peer's TCP stream, and in ours (RFC 8548 section 3.6).
    rx_offset: u64,
    tx_offset: u64,
    tx: tx::Tx,
    rx: frames::Rx,
    life: keepalive::Life,
    close: close::Closing,
    /// Counts a passive connection for as long as it waits for keys.
    exchanging: Option<limit::Exchanging>,
    /// The stand-in for the `struct socket`, after close().
    lite: Option<LiteSocket>,
}

/// How far the key exchange is.
pub(crate) enum Step {
    /// Before it, and after it.
    None,
    /// Active opener: the peer's SYN crossed ours and fits it. What will be when the peer answers, too.
    Crossed(KBox<Negotiated>),
    /// Host A: Init1 is to be sent.
    SendInit1,
    /// Host A: Init1 was sent.
    AwaitInit2(KBox<(AwaitInit2, crate::crypto::agreement::KeyPair)>),
    /// Host B.
    AwaitInit1,
    /// Passive opener: a session was promised, and is to be taken.
    Promised,
    /// Either: no messages, the keys follow from an earlier session.
    Resume(KBox<sessions::Session>),
}

impl Step {
    /// With how many bytes of the peer's there is something to do.
    fn needs(&self) -> u32 {
        u32::from(!matches!(self, Step::Resume(_)))
    }
}

/// What is known of a connection with keys.
pub(crate) struct Session {
    id: [u8; SESSION_ID_LEN],
    aead: Aead,
    /// Whether an earlier session was resumed.
    resumed: bool,
    /// By what the session that may follow this one is found, if it was kept.
    next: Option<Half>,
}

/// With the reference count it has to fit kmalloc-1k: twice as much would be lost for each connection.
const _: () = assert!(size_of::<Conn>() + 2 * size_of::<usize>() <= 1024);

impl Conn {
    /// A connection that is to be attached. ENOMEM. Context: as `flags`.
    fn new(
        explicit: bool,
        wishes: impl PinInit<Wishes>,
        phase: Phase,
        negotiated: Option<KBox<Negotiated>>,
        step: Step,
        flags: kernel::alloc::Flags,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                attachment <- Attachment::new::<Conn>(explicit),
                phase: Atomic::new(phase as u32),
                error: Atomic::new(0),
                wishes <- wishes,
                offer: SockCell::new(None),
                syns: syns::Syns::new(),
                offered: Atomic::new(false),
                sealed_end: Atomic::new(0),
                need: Atomic::new(0),
                scanned: Atomic::new(0),
                pending: Atomic::new(0),
                una: Atomic::new(0),
                nxt: Atomic::new(0),
                crossing <- new_bh_spinlock!(Crossing::new(), "tcpcrypt_crossing"),
                inner: SockCell::new(Inner {
                    negotiated,
                    step,
                    established: None,
                    early: KVVec::new(),
                    early_sealed: 0,
                    rx_offset: 0,
                    tx_offset: 0,
                    tx: tx::Tx::new(),
                    rx: frames::Rx::new(),
                    life: keepalive::Life::new(),
                    close: close::Closing::Open,
                    exchanging: None,
                    lite: None,
                }),
            }),
            flags,
        )
    }

    /// Where the connection is. Any context; stable under the socket lock.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Negotiating,
            2 => Phase::Exchange,
            3 => Phase::Encrypted,
            5 => Phase::Closed,
            6 => Phase::Raw,
            _ => Phase::Failed,
        }
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Relaxed);
    }

    /// Whether a bit of `pending` is set.
    fn is(&self, what: Pending) -> bool {
        self.pending.load(Relaxed) & what as u32 != 0
    }

    /// Sets or clears a bit of `pending`. The socket locked.
    fn set(&self, what: Pending, on: bool) {
        let old = self.pending.load(Relaxed);
        let new = if on {
            old | what as u32
        } else {
            old & !(what as u32)
        };
        if new != old {
            self.pending.store(new, Relaxed);
        }
    }

    /// The sticky error, in the phase Failed.
    fn failure(&self) -> Result {
        if self.phase() == Phase::Failed {
            return Err(Error::from_errno(-self.error.load(Relaxed)));
        }
        Ok(())
    }

    /// Ends the connection with `error`: wipes the keys, resets the peer, and wakes everybody. Returns the error. Drops
    /// the lock meanwhile. Process context.
    fn fail(&self, sk: &mut LockedSock<'_>, error: Error) -> Error {
        if self.failure().is_err() {
            return Error::from_errno(-self.error.load(Relaxed));
        }
        self.error.store(-error.to_errno(), Relaxed);
        if self.phase() == Phase::Encrypted {
            net_state(sk.sk()).uncount(stats::Counter::Established);
        }
        self.set_phase(Phase::Failed);
        self.set(Pending::Output, false);
        if let Ok(mut inner) = self.inner.borrow(sk) {
            inner.wipe();
        }
        sk.abort(error);
        // TCP's own reset leaves ECONNRESET and the like where there was no connection any more.
        sk.set_error(error);
        error
    }
}

impl Inner {
    /// Drops keys and data.
    fn wipe(&mut self) {
        self.step = Step::None;
        self.exchanging = None;
        self.early = KVVec::new();
        self.early_sealed = 0;
        self.tx = tx::Tx::new();
        self.rx = frames::Rx::new();
    }
}

/// The settings and counters of the socket's namespace.
fn net_state(sk: Sk<'_>) -> &NetState {
    sk.net_state()
}

/// The same, for callbacks.
fn count(sk: &BhSock<'_>, counter: stats::Counter) {
    sk.sk().net_state().count(counter);
}
