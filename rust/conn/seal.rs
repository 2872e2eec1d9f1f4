// SPDX-License-Identifier: GPL-2.0

//! Frames into TCP's send queue: the twin of `frames.rs`.
//!
//! A frame is sealed straight from the caller's pages into the pages that TCP sends; small ones are copied there and
//! sealed in place.
//!
//! Previous: `exchange.rs`. The format is in `proto/frame.rs`. Next: `tx.rs`.

use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

use super::{
    exchange::Key,
    net_state,
    rekey,
    stats::Counter,
    tx::{
        note_unacked,
        queue, //
    },
    Conn,
    Inner, //
};
use crate::{
    net::{
        errno,
        locked::LockedSock,
        pages::{
            FragPages,
            Msg, //
        },
        sealing::{
            Lease,
            LEAD, //
        },
    },
    proto::frame::{
        Header,
        TAG_LEN, //
    },
};

/// Most plaintext in a frame that we send. As TLS's: a reader with a buffer of that size gets it without a copy.
const MAX_CHUNK: usize = 16384;
/// Least, where there is as much: below that the overhead shows.
const MIN_CHUNK: usize = 4096;
/// From this size on pinning the caller's pages is cheaper than copying.
pub(super) const MIN_IN_PLACE: usize = 2048;

/// The nonce of the frame that begins now.
fn nonce(inner: &Inner, key: &Key) -> [u8; 12] {
    key.randomizer.nonce(inner.tx_offset)
}

/// The header and flags of a frame with `len` bytes of data.
fn lead(len: usize, rekey: bool, flags: u8) -> Result<[u8; LEAD]> {
    let [control, high, low] = Header::for_data(len, rekey).ok_or(EINVAL)?.to_bytes();
    Ok([control, high, low, flags])
}

/// Seals `bytes`, which are the kernel's, as a frame that is pending then.
pub(super) fn seal_bytes(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    bytes: &[u8],
    flags: u8,
) -> Result {
    let mut pages = FragPages::new(sk, LEAD + bytes.len() + TAG_LEN)?;
    rekey::key_for_frame(sk, inner, !bytes.is_empty())?;
    pages.write(0, &lead(bytes.len(), inner.tx.generations.rekey(), flags)?);
    pages.write(LEAD, bytes);
    seal_in_place(conn, sk, inner, scratch, pages)
}

/// Seals the next chunk of the early data.
pub(super) fn seal_early(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
) -> Result {
    let early = core::mem::replace(&mut inner.early, KVVec::new());
    let rest = early.get(inner.early_sealed..).unwrap_or(&[]);
    let now = rest.get(..chunk(sk, rest.len())).unwrap_or(rest);
    let result = seal_bytes(conn, sk, inner, scratch, now, 0);
    let len = now.len();
    inner.early = early;
    result?;
    inner.early_sealed += len;
    Ok(())
}

/// Seals a frame whose plaintext is in `pages` already.
fn seal_in_place(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    mut pages: FragPages,
) -> Result {
    let key = inner.tx.key.as_ref().ok_or(errno::proto())?;
    let nonce = nonce(inner, key);
    scratch
        .get(&key.cipher)?
        .seal_in_place(&key.cipher, &mut pages, &nonce)?;
    sealed(conn, sk, inner, pages);
    Ok(())
}

/// A frame is sealed in `pages`.
fn sealed(conn: &Conn, sk: &LockedSock<'_>, inner: &mut Inner, pages: FragPages) {
    let data = pages.len() - LEAD - TAG_LEN;
    inner.tx.generations.sealed();
    inner.tx.age.sealed(data as u64);
    queue(conn, sk, inner, pages);
    note_unacked(sk, inner, conn.sealed_end.load(Relaxed), data as u32);
    let state = net_state(sk.sk());
    state.count(Counter::FramesTx);
    state.add(Counter::BytesTx, data as u64);
}

/// How many of `len` bytes go into the next frame: what congestion control lets out at once, so that frames are small
/// where latency counts and grow with the throughput.
pub(super) fn chunk(sk: &LockedSock<'_>, len: usize) -> usize {
    let window = sk.congestion_window() / MIN_CHUNK * MIN_CHUNK;
    len.min(window.clamp(MIN_CHUNK, MAX_CHUNK))
}

/// Seals the next `len` bytes of the caller as a frame that is pending then; returns how many it took.
pub(super) fn seal_from(
    conn: &Conn,
    sk: &LockedSock<'_>,
    inner: &mut Inner,
    scratch: &mut Lease,
    msg: &mut Msg<'_>,
    len: usize,
) -> Result<usize> {
    let mut pages = FragPages::new(sk, LEAD + len + TAG_LEN)?;
    rekey::key_for_frame(sk, inner, true)?;
    if len < MIN_IN_PLACE || !msg.has_pages() {
        pages.write(0, &lead(len, inner.tx.generations.rekey(), 0)?);
        pages.fill_from(msg, LEAD, len)?;
        seal_in_place(conn, sk, inner, scratch, pages)?;
        return Ok(len);
    }

    let key = inner.tx.key.as_ref().ok_or(errno::proto())?;
    let nonce = nonce(inner, key);
    let rekey = inner.tx.generations.rekey();
    let taken =
        scratch
            .get(&key.cipher)?
            .seal_from(&key.cipher, &mut pages, msg, len, &nonce, |len| {
                lead(len, rekey, 0)
            })?;
    sealed(conn, sk, inner, pages);
    Ok(taken)
}
