// SPDX-License-Identifier: GPL-2.0

//! TCP's receive queue, read in place: what is there from the first unread byte on, without copying or consuming it.
//!
//! Buffers in the queue follow each other by sequence number but may overlap, when a segment came twice with other
//! bounds: the walk goes by sequence number and never assumes that the next buffer begins where the last one ended.

use kernel::prelude::*;

use super::{locked::LockedSock, pages::FragPages, sock::BhSock};
use crate::{
    bindings,
    crypto::aead::SgList, //
};

impl BhSock<'_> {
    /// Calls `f` with a buffer, an offset in it and a length, for each piece of the `len` bytes from `offset` on behind
    /// the first unread byte. EAGAIN if they are not all there.
    fn for_each_piece(
        &self,
        offset: u32,
        len: u32,
        f: impl FnMut(*mut bindings::sk_buff, u32, u32) -> Result,
    ) -> Result {
        let copied = self.copied_seq();
        let mut skip = 0;
        // SAFETY: The socket is locked. The function may free buffers that were read to their end, no others.
        let first = unsafe { bindings::tcp_recv_skb(self.as_ptr(), copied, &mut skip) };
        self.for_each_piece_from(first, copied.wrapping_add(offset), len, f)
    }

    /// The same for the `len` bytes from the sequence number `at` on, from the buffer `skb` of the queue on, or null.
    fn for_each_piece_from(
        &self,
        mut skb: *mut bindings::sk_buff,
        mut at: u32,
        len: u32,
        mut f: impl FnMut(*mut bindings::sk_buff, u32, u32) -> Result,
    ) -> Result {
        let mut left = len;
        while left > 0 {
            if skb.is_null() {
                return Err(EAGAIN);
            }
            // SAFETY: The buffer is in the queue, which is locked.
            let (from, have) =
                unsafe { (at.wrapping_sub(bindings::tcpcrypt_skb_seq(skb)), (*skb).len) };
            // A buffer that ends before `at`, or is a bare FIN, has nothing for us: `from` is beyond its length.
            if from < have {
                let part = left.min(have - from);
                f(skb, from, part)?;
                at = at.wrapping_add(part);
                left -= part;
            }
            // SAFETY: As above.
            skb = unsafe { bindings::tcpcrypt_skb_next(self.as_ptr(), skb) };
        }
        Ok(())
    }

    /// Copies the bytes from `offset` on behind the first unread byte. EAGAIN if they are not all there.
    pub(crate) fn peek(&self, offset: u32, to: &mut [u8]) -> Result {
        self.for_each_piece(offset, to.len() as u32, copy_to(to))
    }

    /// The same for bytes that are near the end of the queue: the search begins there.
    pub(crate) fn peek_late(&self, offset: u32, to: &mut [u8]) -> Result {
        let at = self.copied_seq().wrapping_add(offset);
        // SAFETY: The socket is locked.
        let skb = unsafe { bindings::tcpcrypt_last_skb_before(self.as_ptr(), at) };
        self.for_each_piece_from(skb, at, to.len() as u32, copy_to(to))
    }
}

/// Copies one piece after the other to `to`, which has room for them.
fn copy_to(to: &mut [u8]) -> impl FnMut(*mut bindings::sk_buff, u32, u32) -> Result + '_ {
    let mut done = 0;
    move |skb, from, len| {
        let part = to.get_mut(done..done + len as usize).ok_or(EINVAL)?;
        // SAFETY: The buffer has `from + len` bytes, `part` is valid for writes of `len`.
        kernel::error::to_result(unsafe {
            bindings::skb_copy_bits(skb, from as i32, part.as_mut_ptr().cast(), len as i32)
        })?;
        done += len as usize;
        Ok(())
    }
}

impl LockedSock<'_> {
    /// Adds the first `len` unread bytes to `list`, in place. EAGAIN if they are not all there; EMSGSIZE or ENOSPC if
    /// they are in too many pieces, the list is to be cleared then. The list is to be used before the lock is dropped or
    /// anything is consumed.
    pub(crate) fn map_unread(&self, len: u32, list: &mut SgList) -> Result {
        self.as_bh().for_each_piece(0, len, |skb, from, part| {
            // SAFETY: The buffer has these bytes and stays as it is while the socket is locked: TCP coalesces and
            // collapses only with the lock. Its memory is readable, for sockets of devmem are never attached.
            unsafe { list.push_skb(skb, from, part) }
        })
    }

    /// Copies the first `len` unread bytes to `to`, from `offset` on. EAGAIN if they are not all there.
    pub(crate) fn copy_unread(&self, len: u32, to: &mut FragPages, offset: usize) -> Result {
        let mut done = 0;
        self.as_bh().for_each_piece(0, len, |skb, from, part| {
            // SAFETY: The buffer has these bytes.
            unsafe { to.fill_from_skb(offset + done, skb, from as usize, part as usize) }?;
            done += part as usize;
            Ok(())
        })
    }

    /// Marks the first `len` unread bytes as read: frees their buffers and tells the peer about the room.
    pub(crate) fn consume(&self, len: u32) {
        // SAFETY: This process owns the socket.
        unsafe { bindings::tcp_read_done(self.as_ptr(), len as usize) };
    }
}
