// SPDX-License-Identifier: GPL-2.0

//! The key exchange (RFC 8548 section 3.3), driven by the workqueue: Init1 out, Init2 in, or the other way round.
//!
//! Previous: `negotiate.rs`. The messages and the key schedule are in `proto/handshake.rs`. Next: `tx.rs`, `rx.rs`.

use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

use super::{
    events,
    failures::Why,
    keepalive,
    net_state,
    resume,
    stats::Counter,
    tx,
    Conn,
    Inner,
    Phase,
    Session,
    Step, //
};
use crate::{
    crypto::{
        aead::Cipher,
        agreement::{
            KeyPair,
            Refused, //
        },
        hmac::KernelHmac,
        rng, //
    },
    net::{
        attach,
        errno,
        locked::LockedSock, //
        pages::FragPages,
        registered::shared,
    },
    proto::{
        agreement::SharedSecret,
        eno::Negotiated,
        frame,
        handshake::{
            self,
            AwaitInit1,
            AwaitInit2, //
        },
        ids::{
            Aead,
            Tep,
            NONCE_LEN, //
        },
        init::{
            self,
            Kind, //
        },
        keys::{
            Direction,
            MasterKey,
            NonceRandomizer, //
        },
        session::Established,
    },
};

/// The key of one direction and generation.
pub(crate) struct Key {
    pub(crate) cipher: Cipher,
    pub(crate) randomizer: NonceRandomizer,
    master: MasterKey,
    pub(crate) aead: Aead,
    direction: Direction,
}

impl Key {
    /// ENOMEM. Process context.
    fn derive(master: MasterKey, aead: Aead, direction: Direction) -> Result<Self> {
        let traffic = master.traffic::<KernelHmac>(aead, direction);
        Ok(Self {
            cipher: Cipher::new(aead, traffic.key())?,
            randomizer: traffic.into_randomizer(),
            master,
            aead,
            direction,
        })
    }

    /// The key of the next generation (RFC 8548 section 3.8); this one is wiped. ENOMEM: then there is none, and the
    /// connection is over. Process context.
    pub(crate) fn next(self) -> Result<Self> {
        Self::derive(self.master.next::<KernelHmac>(), self.aead, self.direction)
    }
}

/// Why an exchange did not go on.
enum Stop {
    /// More has to come from the peer, or there must be room in the send buffer.
    Wait,
    /// The peer broke the protocol, or memory is short.
    Fail(Error),
    /// The peer's stream is no key exchange, or ended without one.
    Foreign(Error),
}

impl From<handshake::Error> for Stop {
    fn from(error: handshake::Error) -> Self {
        pr_debug!("key exchange failed: {:?}\n", error);
        match error {
            handshake::Error::BadMagic => Stop::Foreign(errno::proto()),
            _ => Stop::Fail(errno::proto()),
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BadKey => handshake::Error::BadKey.into(),
            Refused::Failed(error) => error.into(),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if error == EAGAIN {
            Stop::Wait
        } else {
            Stop::Fail(error)
        }
    }
}

impl From<kernel::alloc::AllocError> for Stop {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Stop::Fail(ENOMEM)
    }
}

/// Goes on with the exchange as far as possible: in the workqueue, and in calls that wait for it. Process context, the
/// socket owned. Does nothing before accept(), when there is no `struct socket` to send through.
pub(crate) fn advance(conn: &Conn, sk: &mut LockedSock<'_>) {
    if !sk.has_socket() {
        return;
    }
    while conn.phase() == Phase::Exchange {
        let result = match conn.inner.borrow(sk) {
            Ok(mut inner) => step(conn, sk, &mut inner),
            Err(error) => Err(Stop::Fail(error)),
        };
        let stop = match result {
            Ok(()) => continue,
            Err(Stop::Wait) => match lost(sk) {
                Some(stop) => stop,
                None => return,
            },
            Err(stop) => stop,
        };
        let error = match stop {
            Stop::Wait => return,
            Stop::Fail(error) => error,
            Stop::Foreign(error) => {
                blame_path(conn, sk);
                error
            }
        };
        net_state(sk.sk()).count(Counter::HandshakeFailed);
        conn.fail(sk, error);
        return;
    }
}

/// An active opener's peer did not take part in the exchange: the path has taken the option out of the third segment, or
/// stops what it does not understand (RFC 8547 section 9).
fn blame_path(conn: &Conn, sk: &LockedSock<'_>) {
    if conn.offered.load(Relaxed) {
        net_state(sk.sk())
            .failures()
            .remember(sk.remote_address(), Why::NoKeys);
    }
}

/// The connection is given up a minute after close(), without keys. If TCP has no acknowledgement of Init1 either, the
/// path stops it.
pub(crate) fn given_up(conn: &Conn, sk: &LockedSock<'_>) {
    if conn.phase() == Phase::Exchange && sk.snd_una() == conn.una.load(Relaxed) {
        blame_path(conn, sk);
    }
}

/// Why nothing will come any more, if so.
fn lost(sk: &LockedSock<'_>) -> Option<Stop> {
    let closed = sk.is_closed();
    if !closed && !sk.is_finished() {
        return None;
    }
    let error = match sk.take_error() {
        Err(error) => error,
        Ok(()) if closed => errno::connreset(),
        Ok(()) => return Some(Stop::Foreign(errno::connaborted())),
    };
    // The other errors are this host's, or say that there is no way at all.
    Some(if [errno::connreset(), EPIPE, ETIMEDOUT].contains(&error) {
        Stop::Foreign(error)
    } else {
        Stop::Fail(error)
    })
}

/// One step. Ok: there may be another one.
fn step(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner) -> Result<(), Stop> {
    tx::push_pending(conn, sk, inner)?;
    match core::mem::replace(&mut inner.step, Step::None) {
        Step::SendInit1 => send_init1(conn, sk, inner),
        Step::AwaitInit2(state) => match read_message(conn, sk, inner, Kind::Init2)? {
            Some(init2) => {
                let (state, keys) = KBox::into_inner(state);
                let state = state.on_init2(&init2)?;
                let established = agree(state, keys, &init2)?;
                begin(conn, sk, inner, established)
            }
            None => {
                inner.step = Step::AwaitInit2(state);
                Err(Stop::Wait)
            }
        },
        Step::AwaitInit1 => match read_message(conn, sk, inner, Kind::Init1)? {
            Some(init1) => answer_init1(conn, sk, inner, &init1),
            None => {
                inner.step = Step::AwaitInit1;
                Err(Stop::Wait)
            }
        },
        Step::Resume(session) => {
            let negotiated = inner.negotiated.as_ref().ok_or(errno::proto())?;
            let session = KBox::into_inner(session).into_resumable();
            let established = session.resume::<KernelHmac>(negotiated);
            begin(conn, sk, inner, established.ok_or(errno::proto())?)
        }
        Step::None | Step::Crossed(_) | Step::Promised => Err(Stop::Fail(errno::proto())),
    }
}

fn nonce() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    rng::fill(&mut nonce);
    nonce
}

/// The TEP that was negotiated. There is none in raw mode, which exchanges no keys.
fn tep(negotiated: &Negotiated) -> Result<Tep> {
    negotiated.tep().ok_or(errno::proto())
}

/// A pair that was made in advance, if `tep` has any, or else a new one.
fn key_pair(tep: Tep) -> Result<KeyPair> {
    match shared() {
        Some(shared) if tep == Tep::X25519 => Ok(KeyPair::X25519(shared.pool.take_or_generate()?)),
        _ => KeyPair::generate(tep),
    }
}

/// Host A begins.
fn send_init1(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner) -> Result<(), Stop> {
    let negotiated = inner.negotiated.as_ref().ok_or(errno::proto())?;
    let keys = key_pair(tep(negotiated)?)?;
    let offer = conn
        .wishes
        .aconf()
        .unwrap_or_else(|| net_state(sk.sk()).aconf());
    let (state, init1) = AwaitInit2::start(negotiated, offer, &nonce(), &keys.public());
    let boxed = KBox::new((state, keys), GFP_KERNEL)?;
    queue_message(conn, sk, inner, init1.as_bytes())?;
    inner.step = Step::AwaitInit2(boxed);
    Ok(())
}

/// Host B answers.
fn answer_init1(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    init1: &[u8],
) -> Result<(), Stop> {
    let negotiated = inner.negotiated.as_ref().ok_or(errno::proto())?;
    let keys = key_pair(tep(negotiated)?)?;
    let prefer = conn
        .wishes
        .bconf()
        .unwrap_or_else(|| net_state(sk.sk()).bconf());
    let state = AwaitInit1::new(negotiated, prefer);
    let (state, init2) = state.on_init1(init1, &nonce(), &keys.public())?;
    // The peer's key is judged before anything is answered.
    let established = agree(state, keys, init1)?;
    queue_message(conn, sk, inner, init2.as_bytes())?;
    begin(conn, sk, inner, established)
}

fn agree(
    state: handshake::AwaitSecret,
    keys: KeyPair,
    received: &[u8],
) -> Result<Established, Stop> {
    let mut shared = SharedSecret::zeroed(state.peer_public().tep());
    keys.agree(state.peer_public(), &mut shared)?;
    Ok(state.finish::<KernelHmac>(received, &shared)?)
}

/// Makes `message` the next that is given to TCP.
fn queue_message(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner, message: &[u8]) -> Result {
    let mut pages = FragPages::new(sk, message.len())?;
    pages.write(0, message);
    tx::queue(conn, sk, inner, pages);
    // What does not fit now goes out when there is room.
    match tx::push_pending(conn, sk, inner) {
        Err(error) if error != EAGAIN => Err(error),
        _ => Ok(()),
    }
}

/// Takes a whole message of the peer's out of the receive queue, if it is there.
fn read_message(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    kind: Kind,
) -> Result<Option<KVec<u8>>, Stop> {
    let queued = sk.queued();
    let mut prefix = [0; 8];
    let negotiated = inner.negotiated.as_ref().ok_or(errno::proto())?;
    let have = prefix.len().min(queued as usize);
    let start = prefix.get_mut(..have).ok_or(EINVAL)?;
    sk.as_bh().peek(0, start)?;
    let need = init::message_len(kind, tep(negotiated)?, start)?.unwrap_or(have + 1);
    conn.need.store(need as u32, Relaxed);
    if (queued as usize) < need || have < prefix.len() {
        return Ok(None);
    }
    let mut message = KVec::from_elem(0, need, GFP_KERNEL)?;
    sk.as_bh().peek(0, &mut message)?;
    sk.consume(need as u32);
    inner.rx_offset += need as u64;
    Ok(Some(message))
}

/// The keys are there.
fn begin(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    established: Established,
) -> Result<(), Stop> {
    let Established {
        session_id,
        aead,
        role,
        tx,
        rx,
        next,
    } = established;
    let negotiated = inner.negotiated.as_ref().ok_or(errno::proto())?;
    let tep = tep(negotiated)?;
    let resumed = negotiated.resumption().is_some();
    inner.tx.key = Some(Key::derive(tx, aead, role.tx_direction())?);
    inner.rx.key = Some(Key::derive(rx, aead, role.rx_direction())?);
    inner.established = Some(KBox::new(
        Session {
            id: session_id,
            aead,
            resumed,
            next: resume::keep(conn, sk, next, (tep, aead, role)),
        },
        GFP_KERNEL,
    )?);
    conn.need.store(frame::HEADER_LEN as u32, Relaxed);
    conn.scanned.store(sk.copied_seq(), Relaxed);
    conn.set_phase(Phase::Encrypted);
    inner.exchanging = None;
    if resumed {
        net_state(sk.sk()).count(Counter::Resumed);
    } else if conn.offered.load(Relaxed) {
        net_state(sk.sk()).failures().forget(sk.remote_address());
    }
    net_state(sk.sk()).count(Counter::Established);
    // Early data leave before anybody who is woken can write more.
    match tx::flush(conn, sk, inner) {
        Err(error) if error != EAGAIN => return Err(Stop::Fail(error)),
        _ => {}
    }
    let sk = sk.as_bh();
    keepalive::begin(&sk, inner);
    events::wake_writers(conn, &sk);
    attach::wake_readers(conn, &sk);
    Ok(())
}
