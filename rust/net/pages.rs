// SPDX-License-Identifier: GPL-2.0

//! Memory of frames: pages of the kernel that TCP sends or a frame is opened into ([`FragPages`]), and the caller's own
//! pages, from which it is sealed and into which it is opened without a copy ([`IterPages`]).
//!
//! Previous: `sock.rs`. Next: `sealing.rs`.

use core::{
    mem,
    ptr::{
        self, //
    },
};

use kernel::prelude::*;

use super::locked::LockedSock;
use crate::{
    bindings,
    crypto::aead::SgList, //
};

/// A message of sendmsg() or recvmsg(): the bytes and where they are.
///
/// # Invariants
///
/// `raw` is valid and nobody else uses it during `'a`.
pub(crate) struct Msg<'a> {
    raw: &'a mut bindings::msghdr,
}

impl<'a> Msg<'a> {
    /// # Safety
    ///
    /// `raw` must be a message that the socket layer handed to this call, which is to be used by nobody else for `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::msghdr) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            // SAFETY: By the same.
            raw: unsafe { &mut *raw },
        }
    }

    /// The C message.
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::msghdr {
        self.raw
    }

    /// `msg_flags`.
    pub(crate) fn flags(&self) -> u32 {
        self.raw.msg_flags
    }

    /// Bytes that the caller still has to send, or room for.
    pub(crate) fn left(&self) -> usize {
        // SAFETY: `count` is the field of an iov_iter in use, whatever its kind; the unions only overlay iov_base.
        unsafe { self.raw.msg_iter.__bindgen_anon_1.__bindgen_anon_1.count }
    }

    /// Copies the next bytes of the caller into `to`. EFAULT if they can't be read; the message is not advanced then.
    /// May sleep.
    pub(crate) fn copy_from(&mut self, to: &mut [u8]) -> Result {
        // SAFETY: `to` is valid for writes of its length, the iterator by the type invariant.
        let copied = unsafe {
            bindings::tcpcrypt_copy_from_iter(
                to.as_mut_ptr().cast(),
                to.len(),
                &mut self.raw.msg_iter,
            )
        };
        if copied == to.len() {
            return Ok(());
        }
        // SAFETY: `copied` bytes were just advanced over.
        unsafe { bindings::iov_iter_revert(&mut self.raw.msg_iter, copied) };
        Err(EFAULT)
    }

    /// Passes `len` bytes of the caller's memory over, of which there must be as many.
    pub(crate) fn skip(&mut self, len: usize) {
        // SAFETY: By the type invariant; the function stops at the end.
        unsafe { bindings::iov_iter_advance(&mut self.raw.msg_iter, len) };
    }

    /// Copies `from` to the caller; returns how many bytes could be written. May sleep.
    pub(crate) fn copy_to(&mut self, from: &[u8]) -> usize {
        // SAFETY: `from` is valid for reads of its length, the iterator by the type invariant.
        unsafe {
            bindings::tcpcrypt_copy_to_iter(
                from.as_ptr().cast(),
                from.len(),
                &mut self.raw.msg_iter,
            )
        }
    }

    /// Whether the caller's memory is made of pages that can be used in place.
    pub(crate) fn has_pages(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::tcpcrypt_iter_has_pages(&self.raw.msg_iter) }
    }
}

/// How many pieces of the caller's memory one frame takes at the most.
const MAX_PIECES: usize = 24;

/// Pages of a caller, held while a frame is sealed from them or opened into them.
///
/// # Invariants
///
/// If `pinned`, the first `count` of `pages` are pinned and this value unpins them.
pub(crate) struct IterPages {
    pages: [*mut bindings::page; MAX_PIECES],
    count: usize,
    pinned: bool,
    written: bool,
    len: usize,
}

impl IterPages {
    /// Takes up to `len` of the caller's next bytes and adds them to `list`; fewer if the list is full, the caller's
    /// memory is in too many pieces, or ends in an address that is not mapped. `written` says that the memory will be
    /// written to. Advances the message by [`IterPages::len`]. EFAULT if there is not one byte, May sleep.
    pub(super) fn take(
        msg: &mut Msg<'_>,
        len: usize,
        list: &mut SgList,
        written: bool,
    ) -> Result<Self> {
        let iter: *mut bindings::iov_iter = &mut msg.raw.msg_iter;
        let mut taken = Self {
            pages: [ptr::null_mut(); MAX_PIECES],
            count: 0,
            // SAFETY: By the type invariant of `Msg`.
            pinned: unsafe { bindings::tcpcrypt_iter_pins(iter) },
            written,
            len: 0,
        };
        while taken.len < len {
            let room = list.room().saturating_sub(1).min(MAX_PIECES - taken.count);
            if room == 0 {
                break;
            }
            let mut array = taken
                .pages
                .get_mut(taken.count..)
                .ok_or(EINVAL)?
                .as_mut_ptr();
            let mut offset = 0;
            // SAFETY: The iterator is valid and has pages (the caller looked); the array has room for `room` entries,
            // and is used because it is not null.
            let got = unsafe {
                bindings::iov_iter_extract_pages(
                    iter,
                    &mut array,
                    len - taken.len,
                    room as u32,
                    0,
                    &mut offset,
                )
            };
            let Ok(mut left) = usize::try_from(got) else {
                break;
            };
            if left == 0 {
                break;
            }
            taken.len += left;
            let batch = taken.count..taken.count + (offset + left).div_ceil(PAGE_SIZE);
            // INVARIANT: The pages were pinned for us, if this kind of iterator pins.
            taken.count = batch.end;
            for &page in taken.pages.get(batch).ok_or(EINVAL)? {
                let part = left.min(PAGE_SIZE - offset);
                // SAFETY: The page is pinned, or held by who made the iterator, for longer than the operation. What its
                // owner writes to it meanwhile only changes what is sent. There is an entry: `room` counted them.
                unsafe { list.push_page(page, offset as u32, part as u32) }?;
                left -= part;
                offset = 0;
            }
        }
        if taken.len == 0 {
            return Err(EFAULT);
        }
        Ok(taken)
    }

    /// Bytes taken.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives the bytes back to the message, which then stands where it stood before.
    pub(crate) fn give_back(self, msg: &mut Msg<'_>) {
        // SAFETY: `take` advanced the iterator by that many bytes.
        unsafe { bindings::iov_iter_revert(&mut msg.raw.msg_iter, self.len) };
    }
}

impl Drop for IterPages {
    fn drop(&mut self) {
        if !self.pinned || self.count == 0 {
            return;
        }
        let (pages, count) = (self.pages.as_mut_ptr(), self.count);
        // SAFETY: By the type invariant these pages are pinned, once for each entry.
        unsafe {
            if self.written {
                bindings::unpin_user_pages_dirty_lock(pages, count, true);
            } else {
                bindings::unpin_user_pages(pages, count);
            }
        }
    }
}

/// Pages of the kernel, cut from the fragment that the socket or the task allocates from, as TCP does for its own data.
///
/// # Invariants
///
/// Each entry of `pieces` is `bv_len` bytes in the linear map on which this value holds a page reference, and that
/// nobody else was given. `len` is their sum.
pub(crate) struct FragPages {
    pieces: KVec<bindings::bio_vec>,
    len: usize,
    /// How many bytes of them TCP took.
    sent: usize,
}

// SAFETY: Pages belong to no thread.
unsafe impl Send for FragPages {}

impl FragPages {
    /// Allocates `len` bytes, uninitialised. ENOMEM. May sleep.
    pub(crate) fn new(sk: &LockedSock<'_>, len: usize) -> Result<Self> {
        let mut pages = Self {
            pieces: KVec::with_capacity(2, GFP_KERNEL)?,
            len: 0,
            sent: 0,
        };
        // SAFETY: The socket is alive and locked, so that its fragment is ours; the task's is anyway.
        let frag = unsafe { bindings::tcpcrypt_sk_page_frag(sk.as_ptr()) };
        while pages.len < len {
            // SAFETY: As above; the context may sleep.
            if !unsafe { bindings::sk_page_frag_refill(sk.as_ptr(), frag) } {
                return Err(ENOMEM);
            }
            // SAFETY: As above.
            let frag = unsafe { &mut *frag };
            let part = (len - pages.len).min((frag.size - frag.offset) as usize);
            pages.pieces.push(
                bindings::bio_vec {
                    bv_page: frag.page,
                    bv_len: part as u32,
                    bv_offset: frag.offset,
                },
                GFP_KERNEL,
            )?;
            // SAFETY: The fragment holds a reference on its page. INVARIANT: This is the reference; the bytes are taken
            // out of the fragment.
            unsafe { bindings::tcpcrypt_get_page(frag.page) };
            frag.offset += part as u32;
            pages.len += part;
        }
        Ok(pages)
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that TCP did not take yet.
    pub(crate) fn unsent(&self) -> usize {
        self.len - self.sent
    }

    /// Leaves only the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        let mut keep = len;
        for piece in self.pieces.iter_mut() {
            let part = keep.min(piece.bv_len as usize);
            // INVARIANT: Fewer bytes of the same page; the reference stays until drop, for an empty piece too.
            piece.bv_len = part as u32;
            keep -= part;
        }
        self.len = len - keep;
    }

    /// The piece of memory at `offset`, up to its end or `len` bytes; empty if there is none.
    fn piece(&self, offset: usize, len: usize) -> &[u8] {
        let mut offset = offset;
        for piece in self.pieces.iter() {
            let size = piece.bv_len as usize;
            if offset < size {
                let len = len.min(size - offset);
                // SAFETY: By the type invariant the bytes are in the linear map, and ours.
                return unsafe {
                    let start: *const u8 = bindings::tcpcrypt_page_address(piece.bv_page).cast();
                    core::slice::from_raw_parts(start.add(piece.bv_offset as usize + offset), len)
                };
            }
            offset -= size;
        }
        &[]
    }

    fn piece_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        let piece = self.piece(offset, len);
        let (start, len) = (piece.as_ptr().cast_mut(), piece.len());
        // SAFETY: By the type invariant the bytes are only ours, `self` is borrowed exclusively, and the shared slice
        // is gone.
        unsafe { core::slice::from_raw_parts_mut(start, len) }
    }

    /// Writes `bytes` from `offset` on; what would be behind the end is left out.
    pub(crate) fn write(&mut self, mut offset: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let piece = self.piece_mut(offset, bytes.len());
            let Some((now, later)) = bytes
                .split_at_checked(piece.len())
                .filter(|(now, _)| !now.is_empty())
            else {
                return;
            };
            piece.copy_from_slice(now);
            offset += now.len();
            bytes = later;
        }
    }

    /// Reads up to `to.len()` bytes from `offset` on; returns how many there were.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let piece = self.piece(offset + done, rest.len());
            let Some(rest) = rest.get_mut(..piece.len()).filter(|rest| !rest.is_empty()) else {
                break;
            };
            rest.copy_from_slice(piece);
            done += piece.len();
        }
        done
    }

    /// Copies `len` bytes of the caller to `offset`. EFAULT; the message is not advanced then. May sleep.
    pub(crate) fn fill_from(&mut self, msg: &mut Msg<'_>, offset: usize, len: usize) -> Result {
        let mut done = 0;
        while done < len {
            let piece = self.piece_mut(offset + done, len - done);
            let size = piece.len();
            if size == 0 {
                return Err(EINVAL);
            }
            if let Err(error) = msg.copy_from(piece) {
                // SAFETY: `done` bytes were advanced over.
                unsafe { bindings::iov_iter_revert(&mut msg.raw.msg_iter, done) };
                return Err(error);
            }
            done += size;
        }
        Ok(())
    }

    /// Copies up to `len` bytes from `offset` on to the caller; returns how many could be written. May sleep.
    pub(crate) fn copy_to(&self, msg: &mut Msg<'_>, offset: usize, len: usize) -> usize {
        let mut done = 0;
        while done < len {
            let piece = self.piece(offset + done, len - done);
            if piece.is_empty() {
                break;
            }
            let copied = msg.copy_to(piece);
            done += copied;
            if copied < piece.len() {
                break;
            }
        }
        done
    }

    /// Adds `len` bytes from `offset` on to `list`. ENOSPC.
    ///
    /// # Safety
    ///
    /// The list must be cleared before `self` is dropped or its bytes are used otherwise.
    pub(super) unsafe fn add_to(&self, list: &mut SgList, offset: usize, len: usize) -> Result {
        let mut done = 0;
        while done < len {
            let piece = self.piece(offset + done, len - done);
            if piece.is_empty() {
                return Err(EINVAL);
            }
            // SAFETY: By the type invariant the memory stays allocated as long as `self`, and nobody else uses it; the
            // caller vouches for the list.
            unsafe { list.push_buf(piece.as_ptr(), piece.len() as u32) }?;
            done += piece.len();
        }
        Ok(())
    }

    /// Fills `len` bytes from `offset` on out of a buffer of TCP's receive queue, from `from` on.
    ///
    /// # Safety
    ///
    /// `skb` must be valid and have `from + len` bytes.
    pub(crate) unsafe fn fill_from_skb(
        &mut self,
        offset: usize,
        skb: *const bindings::sk_buff,
        from: usize,
        len: usize,
    ) -> Result {
        let mut done = 0;
        while done < len {
            let piece = self.piece_mut(offset + done, len - done);
            let size = piece.len();
            if size == 0 {
                return Err(EINVAL);
            }
            // SAFETY: By the requirements of this function; the piece is valid for writes of its length.
            kernel::error::to_result(unsafe {
                bindings::skb_copy_bits(
                    skb,
                    (from + done) as i32,
                    piece.as_mut_ptr().cast(),
                    size as i32,
                )
            })?;
            done += size;
        }
        Ok(())
    }

    /// Gives TCP what it did not take yet, as far as the send buffer has room. Ok if it took everything, EAGAIN if not:
    /// then call again when there is room; other errors are those of the connection. Does not drop the lock: it does
    /// not wait for room.
    ///
    /// `flags`: MSG_MORE and MSG_NOSIGNAL as for sendmsg().
    pub(crate) fn push(&mut self, sk: &LockedSock<'_>, flags: u32) -> Result {
        while self.unsent() > 0 {
            let mut msg = bindings::msghdr {
                msg_flags: bindings::MSG_SPLICE_PAGES
                    | bindings::MSG_NO_SHARED_FRAGS
                    | bindings::MSG_DONTWAIT
                    | (flags & (bindings::MSG_MORE | bindings::MSG_NOSIGNAL | bindings::MSG_EOR)),
                ..Default::default()
            };
            // SAFETY: The pieces stay where they are during the call, and TCP takes references of its own on the pages
            // that it keeps. They are not slab pages.
            unsafe {
                bindings::iov_iter_bvec(
                    &mut msg.msg_iter,
                    bindings::ITER_SOURCE,
                    self.pieces.as_ptr(),
                    self.pieces.len(),
                    self.len,
                );
                bindings::iov_iter_advance(&mut msg.msg_iter, self.sent);
            }
            // SAFETY: This process owns the socket, and `sk_socket` is there as `LockedSock::push`'s callers made sure.
            let sent =
                unsafe { bindings::tcp_sendmsg_locked(sk.as_ptr(), &mut msg, self.unsent()) };
            let Ok(sent) = usize::try_from(sent) else {
                return Err(Error::from_errno(sent));
            };
            if sent == 0 {
                return Err(EAGAIN);
            }
            self.sent = (self.sent + sent).min(self.len);
        }
        Ok(())
    }
}

impl Drop for FragPages {
    fn drop(&mut self) {
        for piece in self.pieces.iter() {
            // SAFETY: By the type invariant the reference is ours.
            unsafe { bindings::tcpcrypt_put_page(piece.bv_page) };
        }
    }
}

const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

const _: () = assert!(mem::size_of::<bindings::bio_vec>() == 16);
