// SPDX-License-Identifier: GPL-2.0

//! What a half-open connection remembers: its SYN and what was answered to it, in the place that the request socket has
//! for the SYN of TCP_SAVE_SYN. So it costs no memory but where an offer was answered, and is freed with the request.
//!
//! Where the application itself wants the SYN, TCP has put it there before us, and it can't be replaced: the request is
//! known to other CPUs already. Then only the SYN is remembered, and the answer is made again by the settings of the day.
//! If those changed within the round trip, the transcripts differ and the key exchange fails.

use core::ptr;

use kernel::{
    error::to_result,
    prelude::*, //
};

use super::{
    endpoint::{
        Answered,
        Reply, //
    },
    sock::BhSock,
};
use crate::{
    bindings,
    proto::{
        ids::MAX_TCP_OPTIONS,
        wire::Bytes, //
    },
};

/// The TCP header without options.
const TCP_HEADER: usize = 20;

/// A SYN that a request socket saved. It lasts for `'a`, in which RCU is read: another CPU may make a socket of the same
/// request meanwhile, which takes it over, and frees it after a grace period where it is ours.
pub(super) struct SavedSyn<'a> {
    raw: *const bindings::saved_syn,
    tcp_options: &'a [u8],
    /// What was answered, if it was saved by us: [`Reply::raw`] as a byte, then [`Reply::option`].
    memo: &'a [u8],
}

impl<'a> SavedSyn<'a> {
    /// `None` if there is none.
    ///
    /// # Safety
    ///
    /// `req` must be valid, and RCU be read for `'a`.
    pub(super) unsafe fn of(req: *const bindings::request_sock) -> Option<Self> {
        // SAFETY: By the requirements of this function: it is freed with the request, or a grace period after a child took
        // it over, ours and (by `Kept`) TCP's own. The three lengths say what is in `data`.
        let (raw, headers) = unsafe {
            let saved = bindings::tcpcrypt_saved_syn(req);
            if saved.is_null() {
                return None;
            }
            let skip = (*saved).mac_hdrlen + (*saved).network_hdrlen;
            let data = ptr::addr_of!((*saved).data).cast::<u8>().add(skip as usize);
            // `spoil` may change it meanwhile.
            let len = ptr::addr_of!((*saved).tcp_hdrlen).read_volatile();
            (saved, core::slice::from_raw_parts(data, len as usize))
        };
        // The upper half of the byte is the length of the TCP header in words; what is behind it is ours.
        let doff = usize::from(headers.get(12)? >> 4) * 4;
        let (header, memo) = headers.split_at_checked(doff)?;
        Some(Self {
            raw,
            tcp_options: header.get(TCP_HEADER..)?,
            memo,
        })
    }

    /// The answer is taken back for good: the first segment after it did not confirm it, and was refused, so that a later
    /// one must not (RFC 8547 section 4.6). TCP keeps the request for a while.
    pub(super) fn spoil(&self) {
        if self.is_ours() {
            // SAFETY: It is valid by the type's description, and ours.
            unsafe { bindings::tcpcrypt_spoil_saved_syn(self.raw.cast_mut()) }
        }
    }

    /// Its TCP options.
    pub(super) fn tcp_options(&self) -> &'a [u8] {
        self.tcp_options
    }

    /// Whether it was [`save`]d here, not by TCP at the application's wish.
    pub(super) fn is_ours(&self) -> bool {
        !self.memo.is_empty()
    }

    /// It and what was answered.
    pub(super) fn answered(&self) -> Answered<'a> {
        Answered {
            syn_options: self.tcp_options,
            reply: self
                .memo
                .split_first()
                .map(|(raw, option)| (option, *raw != 0)),
        }
    }
}

/// A SYN that TCP saved, to be taken over by a child whose application may read and free it at once, while another CPU
/// still looks at it for the same request: the child gets a copy.
pub(super) struct Kept(ptr::NonNull<bindings::tcpcrypt_kept_syn>);

impl Kept {
    /// That of `saved`. ENOMEM. Any context.
    pub(super) fn new(saved: &SavedSyn<'_>) -> Result<Self> {
        // SAFETY: It is valid by the type's description.
        let kept = unsafe { bindings::tcpcrypt_keep_syn(saved.raw) };
        Ok(Self(ptr::NonNull::new(kept).ok_or(ENOMEM)?))
    }

    /// The child took it over. It is locked, and not known to its application yet.
    pub(super) fn taken_by(self, child: &BhSock<'_>) {
        // SAFETY: The child's SYN is the one that was copied. The memory is freed by the call.
        unsafe { bindings::tcpcrypt_swap_kept_syn(child.as_ptr(), self.0.as_ptr()) };
        core::mem::forget(self);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: It is owned, and was not given away.
        unsafe { bindings::tcpcrypt_drop_kept_syn(self.0.as_ptr()) }
    }
}

/// Saves the SYN with what is answered to it, where [`SavedSyn`] finds it. ENOMEM.
///
/// # Safety
///
/// No SYN-ACK may have left for `req`, nor may a SYN be saved in it; `syn` must be valid.
pub(super) unsafe fn save(
    req: *mut bindings::request_sock,
    syn: *const bindings::sk_buff,
    reply: &Reply,
) -> Result {
    let memo = Bytes::<{ 1 + MAX_TCP_OPTIONS }>::concat(&[
        &[u8::from(reply.raw)],
        reply.option.as_bytes(),
    ]);
    let memo = memo.ok_or(EINVAL)?;
    let memo = memo.as_bytes();
    // SAFETY: By the requirements of this function.
    to_result(unsafe { bindings::tcpcrypt_save_syn(req, syn, memo.as_ptr(), memo.len()) })
}
