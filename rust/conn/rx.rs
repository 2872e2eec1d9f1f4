// SPDX-License-Identifier: GPL-2.0

//! recvmsg(): what the caller gets of the frames, and what they tell of the stream's end.
//!
//! Previous: `net/adapters.rs`, `frames.rs`. Next: `events.rs`, which tells when there is something to read.

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        ArcBorrow, //
    },
};

use super::{
    exchange,
    frames::{
        data_len,
        finds_rekey,
        has_opened_enough,
        is_control,
        next_frame,
        Opened,
        MAX_CONTROL, //
    },
    net_state,
    stats::Counter,
    tx,
    Conn,
    Inner,
    Pending,
    Phase, //
};
use crate::{
    bindings,
    crypto::aead,
    net::{
        attach,
        endpoint::Answer,
        errno,
        locked::LockedSock,
        pages::Msg,
        sealing::Lease, //
    },
    proto::frame::{
        Header,
        HEADER_LEN, //
    },
};

/// Whether an error says that the frame is not all there.
fn is_short(error: Error) -> bool {
    error == EAGAIN
}

/// How far [`settle`] goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// Frames without data are opened, and all up to one that begins a generation of keys; one that must be drained is.
    Control,
    /// All whole frames are opened, so that an authenticated end is known.
    End,
    /// As many whole frames as may be, so that it is known whether the peer sent one.
    Whole,
}

/// Brings what is known of the stream up to date, outside recvmsg(): for poll(), and for the workqueue. Process context;
/// a failure ends the connection.
pub(crate) fn settle(conn: &Conn, sk: &mut LockedSock<'_>, how: Settle) {
    let result = settle_owned(conn, sk, how);
    finish(conn, sk, result);
    if let Some(error) = truncated(conn, sk) {
        conn.fail(sk, error);
    }
}

fn settle_owned(conn: &Conn, sk: &LockedSock<'_>, how: Settle) -> Result {
    let mut inner = conn.inner.borrow(sk)?;
    let mut scratch = Lease::new();
    while sk.queued() > 0 {
        if how != Settle::End
            && is_whole_with_data(conn, sk, &inner)?
            && (has_opened_enough(sk, &inner)
                || how == Settle::Control && !finds_rekey(conn, &sk.as_bh()))
        {
            // For the reader.
            return Ok(());
        }
        next_frame(conn, sk, &mut inner, &mut scratch, None)?;
    }
    Ok(())
}

/// Whether the next frame has data and is all there. Notes how long it is.
fn is_whole_with_data(conn: &Conn, sk: &LockedSock<'_>, inner: &Inner) -> Result<bool> {
    let queued = sk.queued() as usize;
    if inner.rx.has_partial() || conn.is(Pending::End) || queued < HEADER_LEN {
        return Ok(false);
    }
    let mut bytes = [0; HEADER_LEN];
    sk.as_bh().peek(0, &mut bytes)?;
    let header = Header::parse(&bytes).map_err(|_| errno::badmsg())?;
    conn.need.store(header.frame_len() as u32, Relaxed);
    Ok(queued >= header.frame_len() && header.frame_len() > MAX_CONTROL)
}

/// Ends the connection for an error that is one, and sends what a frame called for.
fn finish(conn: &Conn, sk: &mut LockedSock<'_>, result: Result) {
    match result {
        Ok(()) => {}
        Err(error) if is_short(error) || error == EBUSY => {}
        Err(error) => {
            broken(conn, sk, error);
            return;
        }
    }
    if conn.is(Pending::Output) {
        let _ = conn
            .inner
            .borrow(sk)
            .and_then(|mut inner| tx::flush(conn, sk, &mut inner));
    }
}

fn broken(conn: &Conn, sk: &mut LockedSock<'_>, error: Error) -> Error {
    if aead::is_forged(error) {
        net_state(sk.sk()).count(Counter::FrameAuthFailed);
    }
    conn.fail(sk, error)
}

/// The error of a stream that ended without its authenticated end, when nothing can be read any more: TCP's own, or
/// ECONNABORTED.
fn truncated(conn: &Conn, sk: &LockedSock<'_>) -> Option<Error> {
    if conn.is(Pending::End) || conn.phase() != Phase::Encrypted {
        return None;
    }
    let finished = sk.is_finished();
    let closed = sk.is_closed();
    if !finished && !closed {
        return None;
    }
    let need = conn.need.load(Relaxed);
    if sk.queued() >= need {
        // There is more to look at first.
        return None;
    }
    if let Err(error) = sk.take_error() {
        return Some(error);
    }
    if finished {
        net_state(sk.sk()).count(Counter::Truncated);
        return Some(errno::connaborted());
    }
    // Closed by this side's own doing: disconnect(), or a timeout that left no error.
    Some(errno::connreset())
}

/// recvmsg().
pub(crate) fn receive(
    this: ArcBorrow<'_, Conn>,
    sk: &mut LockedSock<'_>,
    msg: &mut Msg<'_>,
    flags: u32,
) -> Answer<Result<usize>> {
    let conn = &*this;
    if matches!(conn.phase(), Phase::Idle | Phase::Raw) {
        return Answer::Plain;
    }
    if flags & bindings::MSG_OOB != 0 && conn.phase() != Phase::Negotiating {
        return Answer::Done(Err(EINVAL));
    }
    let mut timeout = sk.rcv_timeout(flags & bindings::MSG_DONTWAIT != 0);
    let target = sk.rcvlowat(flags & bindings::MSG_WAITALL != 0, msg.left());
    let peek = flags & bindings::MSG_PEEK != 0;
    let mut reader = Reader {
        peek,
        from: if peek { sk.peek_offset() } else { 0 },
        skip: flags & bindings::MSG_TRUNC != 0,
        done: 0,
        scratch: Lease::new(),
    };
    let result = loop {
        if let Err(error) = conn.failure() {
            break Err(error);
        }
        if conn.phase() == Phase::Closed {
            break Err(errno::notconn());
        }
        if conn.phase() == Phase::Exchange {
            exchange::advance(conn, sk);
        }
        if conn.phase() == Phase::Encrypted {
            let read = reader.read(conn, sk, msg);
            finish_read(conn, sk, &read);
            match read {
                Ok(()) => {}
                Err(error) if is_short(error) => {}
                Err(error) => break Err(error),
            }
        }
        if msg.left() == 0 || reader.done >= target {
            break Ok(());
        }
        if conn.is(Pending::End) && !conn.is(Pending::Plain) {
            break Ok(());
        }
        if let Err(error) = conn.failure() {
            break Err(error);
        }
        if let Some(error) = truncated(conn, sk) {
            if reader.done > 0 {
                break Ok(());
            }
            break Err(conn.fail(sk, error));
        }
        if sk.is_rcv_shutdown() && !sk.is_finished() {
            // This side's own shutdown(SHUT_RD).
            break Ok(());
        }
        if let Err(error) = sk.wait(&mut timeout) {
            break Err(error);
        }
        if !attach::is_attached(conn, sk) || conn.phase() == Phase::Raw {
            if reader.done == 0 {
                return Answer::Plain;
            }
            break Ok(());
        }
    };
    if reader.done > 0 || result.is_ok() {
        sk.move_peek_offset(reader.done, peek);
        tell_left(conn, sk, msg);
        return Answer::Done(Ok(reader.done));
    }
    Answer::Done(result.map(|()| 0))
}

/// TCP_INQ and io_uring: how many bytes are left to be read.
fn tell_left(conn: &Conn, sk: &LockedSock<'_>, msg: &mut Msg<'_>) {
    if sk.wants_left(msg) {
        let left = available(conn, sk).unwrap_or(0);
        // As TCP: one for an end that was not read yet.
        let left = if left == 0 && conn.is(Pending::End) {
            1
        } else {
            left
        };
        sk.tell_left(msg, left);
    }
}

/// After a read: an answer to a rekey leaves, a broken stream ends.
fn finish_read(conn: &Conn, sk: &mut LockedSock<'_>, read: &Result) {
    match read {
        Err(error) if *error == EFAULT || *error == EBUSY => {}
        Err(error) => finish(conn, sk, Err(*error)),
        Ok(()) => finish(conn, sk, Ok(())),
    }
}

/// One call's reading.
struct Reader {
    peek: bool,
    /// Where a peek begins, in bytes behind what was not read.
    from: usize,
    /// MSG_TRUNC: what is read is thrown away.
    skip: bool,
    /// Bytes given to the caller.
    done: usize,
    scratch: Lease,
}

impl Reader {
    /// Gives the caller what is there. EAGAIN when no more is, EFAULT, EBADMSG and others for a broken stream.
    fn read(&mut self, conn: &Conn, sk: &LockedSock<'_>, msg: &mut Msg<'_>) -> Result {
        let mut inner = conn.inner.borrow(sk)?;
        let inner = &mut *inner;
        loop {
            self.copy_chunks(conn, inner, msg)?;
            if msg.left() == 0 {
                // A frame without data behind what was read tells of the end while the reader is there.
                if self.peek || !is_control(sk, sk.queued() as usize) || conn.is(Pending::End) {
                    return Ok(());
                }
            }
            if conn.is(Pending::End) && sk.queued() == 0 {
                return Ok(());
            }
            let target = if self.peek || self.skip {
                None
            } else {
                Some(&mut *msg)
            };
            match next_frame(conn, sk, inner, &mut self.scratch, target)? {
                Opened::InPlace(len) => self.done += len,
                Opened::Aside => {}
            }
        }
    }

    /// Copies opened bytes to the caller, and forgets them unless this is a peek.
    fn copy_chunks(&mut self, conn: &Conn, inner: &mut Inner, msg: &mut Msg<'_>) -> Result {
        let chunks = &mut inner.rx.chunks;
        // A peek passes what it gave before.
        let mut skip = if self.peek { self.from + self.done } else { 0 };
        let mut read = 0;
        for chunk in chunks.iter_mut() {
            let have = chunk.end - chunk.at;
            if skip >= have {
                skip -= have;
                continue;
            }
            let want = msg.left().min(have - skip);
            if want == 0 {
                break;
            }
            let copied = if self.skip {
                msg.skip(want);
                want
            } else {
                chunk.pages.copy_to(msg, chunk.at + skip, want)
            };
            self.done += copied;
            if !self.peek {
                chunk.at += copied;
                read += usize::from(chunk.at == chunk.end);
            }
            if copied < want {
                drop_read(conn, inner, read);
                return Err(EFAULT);
            }
            skip = 0;
        }
        drop_read(conn, inner, read);
        Ok(())
    }
}

/// Forgets the first `n` chunks.
fn drop_read(conn: &Conn, inner: &mut Inner, n: usize) {
    for _ in 0..n {
        // There are as many; a failure to remove one would only keep it empty.
        let _ = inner.rx.chunks.remove(0);
    }
    if n > 0 && inner.rx.chunks.is_empty() {
        conn.set(Pending::Plain, false);
    }
}

/// Bytes that recvmsg() would give without waiting: opened ones, and those of whole frames in the queue.
pub(crate) fn available(conn: &Conn, sk: &LockedSock<'_>) -> Result<usize> {
    let inner = conn.inner.borrow(sk)?;
    let mut total = inner.rx.opened();
    if inner.rx.has_partial() || inner.rx.key.is_none() {
        return Ok(total);
    }
    let queued = sk.queued();
    let mut at = 0u32;
    while queued.saturating_sub(at) as usize >= HEADER_LEN {
        let mut bytes = [0; HEADER_LEN];
        sk.as_bh().peek(at, &mut bytes)?;
        let Ok(header) = Header::parse(&bytes) else {
            break;
        };
        let len = header.frame_len();
        if ((queued - at) as usize) < len {
            break;
        }
        total += data_len(&header);
        at += len as u32;
    }
    Ok(total)
}
