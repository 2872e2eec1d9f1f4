// SPDX-License-Identifier: GPL-2.0

//! recvmsg(): from frames in TCP's receive queue to the caller's bytes.
//!
//! A frame stays in TCP's queue until all of it is there; then it is opened from there, straight into the caller's pages
//! when it fits, or else into pages of ours, from which it is copied as it is asked for ([`Chunk`]). A frame that does
//! not fit the receive buffer is drained out of it piece by piece ([`Partial`]).
//!
//! Previous: `net/adapters.rs`, `exchange.rs`. Frames are in `proto/frame.rs`. Next: `events.rs`, which tells when there
//! is something to read.

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        ArcBorrow, //
    },
};

use super::{
    exchange::{
        self,
        Key, //
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
        locked::LockedSock, //
        pages::{
            FragPages,
            Msg, //
        },
        sealing::Lease,
    },
    proto::frame::{
        self,
        Header,
        HEADER_LEN,
        MIN_CLEN, //
    },
};

/// From this size on opening into the caller's pages is cheaper than copying.
const MIN_IN_PLACE: usize = 2048;
/// A frame that is no longer may be one without data: only with FINp, an urgent field or rekey.
pub(crate) const MAX_CONTROL: usize = HEADER_LEN + MIN_CLEN + 2;

/// The receiving half.
pub(crate) struct Rx {
    pub(crate) key: Option<Key>,
    /// What was opened and not read yet, oldest first.
    chunks: KVec<Chunk>,
    partial: Option<Partial>,
}

/// Plaintext: bytes `at` to `end` of `pages`.
struct Chunk {
    pages: FragPages,
    at: usize,
    end: usize,
}

/// A frame that is being drained: the first `have` bytes of `pages`.
struct Partial {
    pages: FragPages,
    have: usize,
}

impl Rx {
    pub(crate) const fn new() -> Self {
        Self {
            key: None,
            chunks: KVec::new(),
            partial: None,
        }
    }

    /// Opened bytes that were not read.
    pub(crate) fn opened(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.end - chunk.at).sum()
    }

    /// Whether a frame was drained in part.
    pub(crate) fn has_partial(&self) -> bool {
        self.partial.is_some()
    }
}

/// What a frame came to.
enum Opened {
    /// That many bytes are in the caller's memory.
    InPlace(usize),
    /// Its data, if any, are in a chunk.
    Aside,
}

/// Whether an error says that the frame is not all there.
fn is_short(error: Error) -> bool {
    error == EAGAIN
}

/// Opens the next frame, if all of it is there; EAGAIN if not. EBADMSG for one that is malformed or forged, or that
/// follows the authenticated end. With `msg` its data may go straight there.
fn next_frame(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    msg: Option<&mut Msg<'_>>,
) -> Result<Opened> {
    if inner.rx.partial.is_some() {
        return drain(conn, sk, inner, scratch);
    }
    let queued = sk.queued() as usize;
    if conn.is(Pending::End) {
        // RFC 8548 section 3.7: FINp is on the last frame.
        return Err(if queued > 0 { errno::badmsg() } else { EAGAIN });
    }
    if queued < HEADER_LEN {
        conn.need.store(HEADER_LEN as u32, Relaxed);
        return Err(EAGAIN);
    }
    let mut bytes = [0; HEADER_LEN];
    sk.as_bh().peek(0, &mut bytes)?;
    let header = Header::parse(&bytes).map_err(|_| errno::badmsg())?;
    let len = header.frame_len();
    conn.need.store(len as u32, Relaxed);
    if queued < len {
        if sk.must_drain() {
            inner.rx.partial = Some(Partial {
                pages: FragPages::new(sk, len)?,
                have: 0,
            });
            return drain(conn, sk, inner, scratch);
        }
        return Err(EAGAIN);
    }
    if header.rekey() {
        // RFC 8548 section 3.8: the frame itself is under the new key.
        exchange::next_generation(inner)?;
        conn.set(Pending::Output, true);
    }
    let result = open(conn, sk, inner, scratch, &header, msg)?;
    sk.consume(len as u32);
    opened(conn, sk, inner, &header);
    Ok(result)
}

/// A frame was opened and consumed.
fn opened(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner, header: &Header) {
    inner.rx_offset += header.frame_len() as u64;
    conn.need.store(HEADER_LEN as u32, Relaxed);
    let state = net_state(sk.sk());
    state.count(Counter::FramesRx);
    state.add(Counter::BytesRx, data_len(header) as u64);
}

/// Bytes of data in a frame without an urgent field.
fn data_len(header: &Header) -> usize {
    header.clen() - MIN_CLEN
}

fn open(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    header: &Header,
    msg: Option<&mut Msg<'_>>,
) -> Result<Opened> {
    let len = data_len(header);
    if let Some(msg) = msg.filter(|msg| {
        len >= MIN_IN_PLACE && msg.left() >= len && inner.rx.chunks.is_empty() && msg.has_pages()
    }) {
        if open_in_place(conn, sk, inner, scratch, header, msg)? {
            return Ok(Opened::InPlace(len));
        }
    }
    open_aside(conn, sk, inner, scratch, header)?;
    Ok(Opened::Aside)
}

/// Opens a frame into the caller's pages; false if that is not possible.
fn open_in_place(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    header: &Header,
    msg: &mut Msg<'_>,
) -> Result<bool> {
    let key = inner.rx.key.as_ref().ok_or(errno::proto())?;
    let nonce = key.randomizer.nonce(inner.rx_offset);
    let space = scratch.get(&key.cipher)?;
    space.open_to(&key.cipher, sk, header.frame_len(), msg, &nonce, |flags| {
        // An urgent field would stand where the data begin.
        if flags & frame::FLAG_URGP != 0 {
            return false;
        }
        if flags & frame::FLAG_FINP != 0 {
            conn.set(Pending::End, true);
        }
        true
    })
}

/// Opens a frame into pages of ours.
fn open_aside(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    header: &Header,
) -> Result {
    let key = inner.rx.key.as_ref().ok_or(errno::proto())?;
    let nonce = key.randomizer.nonce(inner.rx_offset);
    let space = scratch.get(&key.cipher)?;
    let pages = space.open_aside(&key.cipher, sk, header.frame_len(), &nonce)?;
    keep(conn, inner, header, pages)
}

/// Keeps the data of a frame whose plaintext is in `pages` behind the place of the header.
fn keep(conn: &Conn, inner: &mut Inner, header: &Header, pages: FragPages) -> Result {
    let mut first = [0; 3];
    let have = header.plain_len().min(first.len());
    let first = first.get_mut(..have).ok_or(EINVAL)?;
    pages.read(HEADER_LEN, first);
    let plain = frame::parse_plain(first).map_err(|_| errno::badmsg())?;
    if plain.fin {
        conn.set(Pending::End, true);
    }
    let (at, end) = (HEADER_LEN + plain.data_at, HEADER_LEN + header.plain_len());
    if at < end {
        inner.rx.chunks.push(Chunk { pages, at, end }, GFP_KERNEL)?;
        conn.set(Pending::Plain, true);
    }
    Ok(())
}

/// Takes what is there of a frame that is larger than the receive buffer, and opens it when it is whole.
fn drain(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
) -> Result<Opened> {
    let Some(partial) = inner.rx.partial.as_mut() else {
        return Err(EAGAIN);
    };
    let missing = partial.pages.len() - partial.have;
    let now = missing.min(sk.queued() as usize);
    sk.copy_unread(now as u32, &mut partial.pages, partial.have)?;
    sk.consume(now as u32);
    partial.have += now;
    if now < missing {
        // All that comes is of use at once.
        conn.need.store(1, Relaxed);
        conn.set(Pending::Drain, true);
        return Err(EAGAIN);
    }
    conn.set(Pending::Drain, false);
    let Some(Partial { mut pages, .. }) = inner.rx.partial.take() else {
        return Err(EAGAIN);
    };
    let mut bytes = [0; HEADER_LEN];
    pages.read(0, &mut bytes);
    let header = Header::parse(&bytes).map_err(|_| errno::badmsg())?;
    if header.rekey() {
        exchange::next_generation(inner)?;
        conn.set(Pending::Output, true);
    }
    let key = inner.rx.key.as_ref().ok_or(errno::proto())?;
    let nonce = key.randomizer.nonce(inner.rx_offset);
    scratch
        .get(&key.cipher)?
        .open_in_place(&key.cipher, &mut pages, &nonce)?;
    keep(conn, inner, &header, pages)?;
    opened(conn, sk, inner, &header);
    Ok(Opened::Aside)
}

/// How far [`settle`] goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// Frames without data are processed, and one that must be drained is.
    Control,
    /// All whole frames are opened, so that an authenticated end is known.
    End,
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
        if how == Settle::Control && is_whole_with_data(conn, sk, &inner)? {
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

/// Whether the next frame is there and too short for more than two bytes of data.
fn is_control(sk: &LockedSock<'_>, queued: usize) -> bool {
    let mut bytes = [0; HEADER_LEN];
    if queued < HEADER_LEN || sk.as_bh().peek(0, &mut bytes).is_err() {
        return false;
    }
    Header::parse(&bytes).map_or(true, |header| header.frame_len() <= MAX_CONTROL)
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
    if conn.phase() == Phase::Idle {
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
        if !attach::is_attached(conn, sk) {
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
