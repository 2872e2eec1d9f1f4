// SPDX-License-Identifier: GPL-2.0

//! Frames out of TCP's receive queue.
//!
//! A frame stays in TCP's queue until all of it is there; then it is opened from there, straight into the caller's pages
//! when it fits, or else into pages of ours, from which it is copied as it is asked for ([`Chunk`]). A frame that does
//! not fit the receive buffer is drained out of it piece by piece ([`Partial`]).
//!
//! Previous: `exchange.rs`. The format is in `proto/frame.rs`. Next: `rx.rs`.

use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

use super::{
    exchange::Key,
    net_state,
    stats::Counter,
    Conn,
    Inner,
    Pending, //
};
use crate::{
    net::{
        errno,
        locked::LockedSock,
        pages::{
            FragPages,
            Msg, //
        },
        sealing::Lease,
        sock::BhSock, //
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
    pub(super) chunks: KVec<Chunk>,
    partial: Option<Partial>,
}

/// Plaintext: bytes `at` to `end` of `pages`.
pub(super) struct Chunk {
    pub(super) pages: FragPages,
    pub(super) at: usize,
    pub(super) end: usize,
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
pub(super) enum Opened {
    /// That many bytes are in the caller's memory.
    InPlace(usize),
    /// Its data, if any, are in a chunk.
    Aside,
}

/// Opens the next frame, if all of it is there; EAGAIN if not. EBADMSG for one that is malformed or forged, or that
/// follows the authenticated end. With `msg` its data may go straight there.
pub(super) fn next_frame(
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
        next_generation(conn, sk, inner)?;
    }
    let result = open(conn, sk, inner, scratch, &header, msg)?;
    sk.consume(len as u32);
    opened(conn, sk, inner, &header);
    Ok(result)
}

/// The peer rekeyed (RFC 8548 section 3.8): the frame itself is under the new key, and we are to follow at once.
fn next_generation(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner) -> Result {
    let key = inner.rx.key.take().ok_or(errno::proto())?;
    inner.rx.key = Some(key.next()?);
    inner.tx.generations.received();
    net_state(sk.sk()).count(Counter::RekeysRx);
    if inner.tx.owed_frames() > 0 {
        conn.set(Pending::Output, true);
    }
    Ok(())
}

/// A frame was opened and consumed.
fn opened(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner, header: &Header) {
    inner.rx_offset = inner.rx_offset.wrapping_add(header.frame_len() as u64);
    conn.need.store(HEADER_LEN as u32, Relaxed);
    let state = net_state(sk.sk());
    state.count(Counter::FramesRx);
    state.add(Counter::BytesRx, data_len(header) as u64);
}

/// Bytes of data in a frame without an urgent field.
pub(super) fn data_len(header: &Header) -> usize {
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
        next_generation(conn, sk, inner)?;
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

/// Whether a frame that begins a generation of keys is all there, maybe behind others that nobody reads: it is to be
/// followed at once. Looks at no header twice as long as the frames before it are not read. Atomic, the socket locked.
pub(super) fn finds_rekey(conn: &Conn, sk: &BhSock<'_>) -> bool {
    if conn.is(Pending::Drain) || conn.is(Pending::End) {
        return false;
    }
    let queued = sk.queued();
    let first = sk.copied_seq();
    let mut at = conn.scanned.load(Relaxed).wrapping_sub(first);
    if at > queued {
        // All that was looked at is read.
        at = 0;
    }
    let found = loop {
        let mut bytes = [0; HEADER_LEN];
        if ((queued - at) as usize) < HEADER_LEN || sk.peek_late(at, &mut bytes).is_err() {
            break false;
        }
        let Ok(header) = Header::parse(&bytes) else {
            break false;
        };
        let len = header.frame_len() as u32;
        if queued - at < len {
            break false;
        }
        if header.rekey() {
            break true;
        }
        at += len;
    };
    conn.scanned.store(first.wrapping_add(at), Relaxed);
    found
}

/// Whether what was opened and not read is as much as may be received besides. Then even a rekey waits for the reader.
pub(super) fn has_opened_enough(sk: &LockedSock<'_>, inner: &Inner) -> bool {
    inner.rx.opened() >= sk.rcvbuf()
}

/// Whether the next frame is there and too short for more than two bytes of data.
pub(super) fn is_control(sk: &LockedSock<'_>, queued: usize) -> bool {
    let mut bytes = [0; HEADER_LEN];
    if queued < HEADER_LEN || sk.as_bh().peek(0, &mut bytes).is_err() {
        return false;
    }
    Header::parse(&bytes).map_or(true, |header| header.frame_len() <= MAX_CONTROL)
}
