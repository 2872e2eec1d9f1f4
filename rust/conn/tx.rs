// SPDX-License-Identifier: GPL-2.0

//! sendmsg(): what leaves when, from the caller's bytes to TCP.
//!
//! One frame at a time may be half in TCP: it is `pending`, and everything waits behind it, so that frames leave whole and
//! in order. A frame that was sealed counts as sent for the caller.
//!
//! Previous: `seal.rs`, `net/adapters.rs`. Next: `net/wire.rs`, which checks that nothing else leaves.

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    prelude::*,
    sync::{
        atomic::Relaxed,
        ArcBorrow, //
    },
    time::msecs_to_jiffies, //
};

use super::{
    exchange::{
        self,
        Key, //
    },
    first_segments,
    raw,
    rekey::{
        self,
        Age, //
    },
    seal::{
        chunk,
        seal_bytes,
        seal_early,
        seal_from,
        MIN_IN_PLACE, //
    },
    Conn,
    Inner,
    Pending,
    Phase, //
};
use crate::{
    bindings,
    net::{
        adapters,
        attach::{
            self,
            Attachment, //
        },
        endpoint::Answer,
        errno,
        locked::{
            LockedSock,
            Timeout, //
        },
        pages::{
            FragPages,
            Msg, //
        },
        sealing::Lease, //
    },
    proto::{
        frame::FLAG_FINP,
        rekey::Generations, //
    },
};

/// When to try again after memory was short, in ms.
const RETRY: u32 = 100;
/// Least room for data that are written before there are keys.
const MIN_EARLY: usize = 16384;

/// The sending half.
pub(crate) struct Tx {
    pub(crate) key: Option<Key>,
    pub(super) generations: Generations,
    /// What `key` has done.
    pub(super) age: Age,
    /// Frames that the peer did not acknowledge, as far as was looked, oldest first.
    unacked: KVec<Unacked>,
    pending: Option<FragPages>,
    /// What is pending is a frame without data, that the peer waits for.
    prompt: bool,
    /// The last frame was given to TCP with MSG_MORE, which keeps it without an acknowledgement under way.
    held_back: bool,
    end: End,
}

/// A frame under way.
struct Unacked {
    /// The sequence number behind its last byte.
    end: u32,
    /// Its data, in bytes.
    data: u32,
}

/// How far the end of our stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The application sends no more: FINp is to be sent behind what it wrote.
    Wanted,
    /// The frame with FINp is sealed: TCP's FIN goes behind it.
    Sealed,
    /// TCP has its FIN.
    Sent,
}

impl Tx {
    pub(crate) const fn new() -> Self {
        Self {
            key: None,
            generations: Generations::new(),
            age: Age::new(),
            unacked: KVec::new(),
            pending: None,
            prompt: false,
            held_back: false,
            end: End::Open,
        }
    }

    /// How many frames are due for no other reason than new keys. None after the end (RFC 8548 sections 3.7, 3.8).
    pub(crate) fn owed_frames(&self) -> u64 {
        match self.end {
            End::Open => self.generations.owed_frames(),
            End::Wanted | End::Sealed | End::Sent => 0,
        }
    }

    /// Whether the application said that it sends no more.
    pub(crate) fn is_ended(&self) -> bool {
        self.end != End::Open
    }

    /// Whether everything, the end included, was given to TCP.
    pub(crate) fn is_done(&self) -> bool {
        self.end == End::Sent
    }
}

/// Makes `pages` the next bytes of our TCP stream. Nothing else must be pending.
pub(crate) fn queue(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner, pages: FragPages) {
    let len = pages.len();
    // Past 2^64 it begins anew, under another key: see `proto/rekey.rs`.
    inner.tx_offset = inner.tx_offset.wrapping_add(len as u64);
    conn.sealed_end
        .store(sk.write_seq().wrapping_add(len as u32), Relaxed);
    inner.tx.pending = Some(pages);
}

/// Gives TCP the rest of what is pending. EAGAIN if there is no room; somebody is called when there is.
pub(crate) fn push_pending(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner) -> Result {
    push(conn, sk, inner, 0)
}

fn push(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner, flags: u32) -> Result {
    let Some(pages) = inner.tx.pending.as_mut() else {
        return Ok(());
    };
    let init = conn.phase() == Phase::Exchange;
    let prompt = inner.tx.prompt;
    // TCP puts its FIN on the segment with the last byte, if that did not leave (RFC 8548 section 3.7).
    let last = inner.tx.end == End::Sealed;
    let give = |pages: &mut FragPages| {
        if init {
            // Init messages don't wait for company (RFC 8548 section 3.3: PSH on the last byte).
            sk.uncorked(|| pages.push(sk, 0))
        } else if prompt {
            sk.uncorked(|| pages.push(sk, bindings::MSG_NOSIGNAL))
        } else if last {
            pages.push(sk, bindings::MSG_MORE)
        } else {
            pages.push(sk, flags | bindings::MSG_NOSIGNAL)
        }
    };
    let result = if sk.is_send_shutdown() && inner.tx.end != End::Open {
        sk.send_open(|| give(pages))
    } else {
        give(pages)
    };
    match result {
        Ok(()) => {
            inner.tx.pending = None;
            inner.tx.held_back &= !prompt;
            inner.tx.prompt = false;
            Ok(())
        }
        Err(error) => {
            if error == EAGAIN {
                conn.set(Pending::Output, true);
                sk.want_space();
            }
            Err(error)
        }
    }
}

/// Gives TCP everything that is ready: what is pending, early data, a rekey or the answer to one, the end. EAGAIN if
/// there is no room. Phase Encrypted.
pub(crate) fn flush(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner) -> Result {
    let ends = inner.tx.is_ended();
    give_all(conn, sk, inner, ends, false)
}

/// Whether small writes wait for others: TCP could not send the last ones yet, so that they lose no time. An
/// acknowledgement that is on its way calls [`flush`].
fn waits(sk: &LockedSock<'_>, inner: &Inner) -> bool {
    inner.early_left() < MIN_IN_PLACE && !inner.tx.held_back && sk.is_backed_up()
}

/// As [`flush`]; with `force` nothing is left waiting. `data_follow`: a frame with data does, and may begin a generation.
fn give_all(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    force: bool,
    data_follow: bool,
) -> Result {
    if inner.tx.pending.is_none() && !inner.has_output() {
        conn.set(Pending::Output, false);
        return Ok(());
    }
    let force = force || inner.tx.owed_frames() > 0;
    let mut scratch = Lease::new();
    loop {
        push_pending(conn, sk, inner)?;
        if inner.early_left() > 0 {
            if !force && waits(sk, inner) {
                conn.set(Pending::Output, false);
                conn.set(Pending::Held, true);
                sk.want_space();
                return Ok(());
            }
            if !sk.has_memory() {
                conn.set(Pending::Output, true);
                sk.want_space();
                return Err(EAGAIN);
            }
            seal_early(conn, sk, inner, &mut scratch)?;
            continue;
        }
        if !inner.early.is_empty() {
            inner.early = KVVec::new();
            inner.early_sealed = 0;
        }
        match inner.tx.end {
            End::Wanted => {
                seal_bytes(conn, sk, inner, &mut scratch, &[], FLAG_FINP)?;
                inner.tx.end = End::Sealed;
            }
            End::Sealed => {
                inner.tx.end = End::Sent;
                adapters::send_fin(sk);
            }
            // RFC 8548 section 3.8: at once, unless a FIN was sent.
            End::Open if inner.tx.owed_frames() > u64::from(data_follow) => {
                seal_bytes(conn, sk, inner, &mut scratch, &[], 0)?;
                inner.tx.prompt = true;
            }
            End::Open | End::Sent => break,
        }
    }
    let owes = inner.tx.owed_frames() > 0;
    conn.set(Pending::Output, owes);
    conn.set(Pending::Held, false);
    if owes {
        // Should those data not follow after all.
        sk.want_space();
    }
    Ok(())
}

impl Inner {
    /// Whether [`flush`] has something to do beside what is pending.
    fn has_output(&self) -> bool {
        !self.early.is_empty()
            || self.tx.owed_frames() > 0
            || matches!(self.tx.end, End::Wanted | End::Sealed)
    }

    /// Bytes that the application wrote and that are not sealed.
    pub(crate) fn early_left(&self) -> usize {
        self.early.len() - self.early_sealed
    }
}

/// Notes that the application sends no more.
pub(crate) fn end(inner: &mut Inner) {
    if inner.tx.end == End::Open {
        inner.tx.end = End::Wanted;
    }
}

/// sendmsg().
pub(crate) fn send(
    this: ArcBorrow<'_, Conn>,
    sk: &mut LockedSock<'_>,
    msg: &mut Msg<'_>,
) -> Answer<Result<usize>> {
    let flags = msg.flags();
    let mut timeout = sk.snd_timeout(flags & bindings::MSG_DONTWAIT != 0);
    if this.phase() == Phase::Idle {
        return Answer::Plain;
    }
    while this.phase() == Phase::Negotiating {
        if flags & bindings::MSG_FASTOPEN != 0 {
            // As TCP, for a socket that is connecting already.
            return Answer::Plain;
        }
        if let Err(error) = sk.wait_connect(&mut timeout) {
            return Answer::Done(Err(sk.stream_error(flags, error)));
        }
        if !attach::is_attached(&*this, sk) {
            return Answer::Plain;
        }
        if this.phase() == Phase::Negotiating {
            // Connected, and no SYN-ACK was seen: there is no such way.
            return Answer::Done(Err(errno::proto()));
        }
    }
    if this.phase() == Phase::Raw {
        raw::sends(&this, sk);
        return Answer::Plain;
    }
    if flags & bindings::MSG_OOB != 0 {
        return Answer::Done(Err(errno::opnotsupp()));
    }
    first_segments::release(&this, &sk.as_bh());
    if this.phase() == Phase::Exchange && this.need.load(Relaxed) == 0 {
        // A session that is resumed waits for nobody.
        exchange::advance(&this, sk);
    }
    let size = msg.left();
    let mut sent = 0;
    let result = send_all(&this, sk, msg, flags, &mut timeout, &mut sent);
    retry_later(this, sk);
    if flags & bindings::MSG_ZEROCOPY != 0 && sent > 0 {
        sk.complete_zerocopy(msg, sent);
    }
    Answer::Done(match result {
        Ok(()) => Ok(size),
        Err(_) if sent > 0 => Ok(sent),
        Err(error) => Err(error),
    })
}

fn send_all(
    conn: &Conn,
    sk: &mut LockedSock<'_>,
    msg: &mut Msg<'_>,
    flags: u32,
    timeout: &mut Timeout,
    sent: &mut usize,
) -> Result {
    let mut scratch = Lease::new();
    // Whether TCP holds back what the caller did not ask it to.
    let mut held_back = false;
    let result = loop {
        if msg.left() == 0 {
            break Ok(());
        }
        let step = send_some(conn, sk, msg, flags, &mut scratch, &mut held_back);
        let error = match step {
            Ok(n) => {
                *sent += n;
                continue;
            }
            Err(error) => error,
        };
        if error != EAGAIN {
            break Err(error);
        }
        // The lock is dropped meanwhile: there may be room now.
        let pushed = core::mem::take(&mut held_back);
        if pushed {
            sk.push_held_back();
        }
        if timeout.is_over() {
            break Err(EAGAIN);
        }
        let waited = if conn.phase() == Phase::Exchange {
            sk.wait(timeout)
        } else if pushed && sk.has_memory() {
            Ok(())
        } else {
            // With room in the buffer, memory itself was short: then it waits for a while.
            sk.wait_memory(timeout)
        };
        if let Err(error) = waited {
            break Err(error);
        }
    };
    if held_back {
        sk.push_held_back();
    }
    match result {
        Ok(()) => Ok(()),
        Err(error) if rekey::lost_key(conn, sk) => Err(conn.fail(sk, error)),
        Err(error) if conn.phase() == Phase::Failed || error == EAGAIN || error == EFAULT => {
            Err(error)
        }
        Err(error) => Err(sk.stream_error(
            if *sent > 0 {
                flags | bindings::MSG_NOSIGNAL
            } else {
                flags
            },
            error,
        )),
    }
}

/// Takes the next bytes of the caller: into a frame, or into the early data. EAGAIN if there is no room.
fn send_some(
    conn: &Conn,
    sk: &mut LockedSock<'_>,
    msg: &mut Msg<'_>,
    flags: u32,
    scratch: &mut Lease,
    held_back: &mut bool,
) -> Result<usize> {
    conn.failure()?;
    if sk.is_send_shutdown() || sk.has_error() || conn.phase() == Phase::Closed {
        return Err(EPIPE);
    }
    let mut inner = conn.inner.borrow(sk)?;
    let inner = &mut *inner;
    if inner.tx.is_ended() {
        return Err(EPIPE);
    }
    if conn.phase() == Phase::Exchange {
        return write_early(sk, inner, msg);
    }
    let small = msg.left() < MIN_IN_PLACE && flags & bindings::MSG_MORE == 0;
    let joins = small
        && inner.early_left() + msg.left() < MIN_IN_PLACE
        && inner.tx.owed_frames() == 0
        && waits(sk, inner);
    give_all(conn, sk, inner, !joins, true)?;
    if !sk.has_memory() {
        sk.want_space();
        return Err(EAGAIN);
    }
    if joins {
        let taken = write_early(sk, inner, msg)?;
        conn.set(Pending::Held, true);
        sk.want_space();
        return Ok(taken);
    }
    let len = chunk(sk, msg.left());
    let taken = seal_from(conn, sk, inner, scratch, msg, len)?;
    conn.set(Pending::Output, inner.tx.owed_frames() > 0);
    let more = msg.left() > 0;
    *held_back = more && flags & bindings::MSG_MORE == 0;
    let flags = if more {
        flags | bindings::MSG_MORE
    } else {
        flags
    };
    inner.tx.held_back = flags & bindings::MSG_MORE != 0;
    match push(conn, sk, inner, flags) {
        // The rest of the frame goes out when there is room; for the caller it is sent.
        Err(error) if error != EAGAIN => Err(error),
        _ => Ok(taken),
    }
}

/// Tries again in a while to send what could not be sent for want of memory: where nothing is under way, no
/// acknowledgement will come that asks for it.
pub(crate) fn retry_later(this: ArcBorrow<'_, Conn>, sk: &LockedSock<'_>) {
    if this.is(Pending::Output) && sk.snd_una() == sk.write_seq() {
        Attachment::kick_in(this, &sk.as_bh(), msecs_to_jiffies(RETRY));
    }
}

/// How much may be written before there are keys.
pub(crate) fn early_limit(sk: crate::net::sock::Sk<'_>) -> usize {
    (sk.sndbuf() / 2).max(MIN_EARLY)
}

fn write_early(sk: &LockedSock<'_>, inner: &mut Inner, msg: &mut Msg<'_>) -> Result<usize> {
    let room = early_limit(sk.sk()).saturating_sub(inner.early.len());
    let len = msg.left().min(room);
    if len == 0 {
        sk.want_space();
        return Err(EAGAIN);
    }
    let at = inner.early.len();
    inner.early.resize(at + len, 0, GFP_KERNEL_ACCOUNT)?;
    let to = inner.early.get_mut(at..).ok_or(EINVAL)?;
    if let Err(error) = msg.copy_from(to) {
        inner.early.truncate(at);
        return Err(error);
    }
    Ok(len)
}

/// Whether more may be written before there are keys.
pub(crate) fn has_early_room(conn: &Conn, sk: &LockedSock<'_>) -> bool {
    conn.inner
        .borrow(sk)
        .is_ok_and(|inner| inner.early.len() < early_limit(sk.sk()))
}

/// Whether `a` is behind `b` in the sequence space.
fn after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).wrapping_sub(1) < i32::MAX as u32
}

/// Notes a frame for [`unsent_bytes`], and forgets those that were acknowledged. Without memory SIOCOUTQ says less.
pub(super) fn note_unacked(sk: &LockedSock<'_>, inner: &mut Inner, end: u32, data: u32) {
    let unacked = &mut inner.tx.unacked;
    if unacked.len() == unacked.capacity() {
        let una = sk.snd_una();
        unacked.retain(|frame| after(frame.end, una));
    }
    let _ = unacked.push(Unacked { end, data }, GFP_KERNEL);
}

/// How many plaintext bytes the peer did not acknowledge. Of a frame that it acknowledged in part, as many as are left
/// of it.
pub(crate) fn unsent_bytes(conn: &Conn, sk: &LockedSock<'_>) -> usize {
    let Ok(mut inner) = conn.inner.borrow(sk) else {
        return 0;
    };
    let una = sk.snd_una();
    let unacked = &mut inner.tx.unacked;
    unacked.retain(|frame| after(frame.end, una));
    if unacked.is_empty() {
        *unacked = KVec::new();
    }
    let frames = unacked
        .iter()
        .map(|frame| frame.data.min(frame.end.wrapping_sub(una)) as usize);
    frames.sum::<usize>() + inner.early_left()
}
