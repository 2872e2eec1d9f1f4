// SPDX-License-Identifier: GPL-2.0

//! Frames sealed and opened where their bytes are: in a caller's pages, in pages of ours, in TCP's receive queue.
//!
//! The lists of memory that the cipher works on are filled and emptied within each function here, so that no list
//! outlives what it points to.

use core::ptr;

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full, //
    },
};

use super::{
    locked::LockedSock, //
    pages::{
        FragPages,
        IterPages,
        Msg, //
    },
    registered::shared,
};
use crate::{
    crypto::aead::{
        Cipher,
        Request,
        SgList, //
    },
    proto::{
        frame::{
            HEADER_LEN,
            TAG_LEN, //
        },
        ids::Aead,
    },
};

/// Bytes in front of a frame's data: the header, which is associated data, and the flags.
pub(crate) const LEAD: usize = HEADER_LEN + 1;

/// Entries for one side of an operation. Bytes in more pieces are copied together first.
const PIECES: usize = 40;

type Nonce = [u8; Aead::NONCE_LEN];

/// Memory for one operation at a time. A call gets one with its first frame, by a [`Lease`], and uses it for all of them.
pub(crate) struct Workspace {
    request: Request,
    src: SgList,
    dst: SgList,
    /// Stands for the lead in front of a caller's pages.
    lead: KBox<[u8; LEAD]>,
}

/// Workspaces that nobody uses: up to one for each CPU, so that a call finds one without a lock or an allocation.
pub(crate) struct Workspaces(KVec<Slot>);

/// # Invariants
///
/// Holds 0 or the address that `KBox::into_raw()` gave for a workspace, which then belongs to the slot.
struct Slot(Atomic<usize>);

impl Slot {
    fn take(&self) -> Option<KBox<Workspace>> {
        let address = self.0.xchg(0, Full);
        let workspace = ptr::with_exposed_provenance_mut::<Workspace>(address);
        // SAFETY: By the type invariant; the exchange made it ours alone.
        (!workspace.is_null()).then(|| unsafe { KBox::from_raw(workspace) })
    }

    /// Gives `workspace` back to the slot, or frees it if there is one.
    fn put(&self, workspace: KBox<Workspace>) {
        let raw = KBox::into_raw(workspace);
        if self.0.cmpxchg(0, raw.expose_provenance(), Full).is_err() {
            // SAFETY: It came from `into_raw` and was not given away. INVARIANT: Unchanged.
            drop(unsafe { KBox::from_raw(raw) });
        }
    }
}

impl Workspaces {
    /// None yet. ENOMEM. Process context.
    pub(crate) fn new() -> Result<Self> {
        let mut slots = KVec::new();
        for _ in 0..kernel::cpu::nr_cpu_ids() {
            // INVARIANT: Empty.
            slots.push(Slot(Atomic::new(0)), GFP_KERNEL)?;
        }
        Ok(Self(slots))
    }

    /// That of the CPU that runs this just now.
    fn slot(&self) -> Option<&Slot> {
        self.0.get(kernel::cpu::CpuId::current().as_u32() as usize)
    }
}

impl Drop for Workspaces {
    fn drop(&mut self) {
        for slot in &self.0 {
            drop(slot.take());
        }
    }
}

/// A workspace for the time of a call, taken when it is needed first.
pub(crate) struct Lease(Option<KBox<Workspace>>);

impl Lease {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// The workspace, for operations with `cipher`. ENOMEM. May sleep.
    pub(crate) fn get(&mut self, cipher: &Cipher) -> Result<&mut Workspace> {
        if self.0.is_none() {
            self.0 = shared().and_then(|shared| shared.workspaces.slot()?.take());
        }
        if !self
            .0
            .as_ref()
            .is_some_and(|space| space.request.fits(cipher))
        {
            self.0 = Some(KBox::new(
                Workspace {
                    request: cipher.request(GFP_KERNEL)?,
                    src: SgList::new(PIECES, GFP_KERNEL)?,
                    dst: SgList::new(PIECES, GFP_KERNEL)?,
                    lead: KBox::new([0; LEAD], GFP_KERNEL)?,
                },
                GFP_KERNEL,
            )?);
        }
        self.0.as_deref_mut().ok_or(ENOMEM)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut workspace) = self.0.take() else {
            return;
        };
        // Ciphers leave secrets of the last frame in the request.
        workspace.request.wipe();
        if let Some(slot) = shared().and_then(|shared| shared.workspaces.slot()) {
            slot.put(workspace);
        }
    }
}

impl Workspace {
    fn clear(&mut self) {
        self.src.clear();
        self.dst.clear();
    }

    /// Runs `f` with empty lists, and empties them again, whatever way it ends.
    fn with_lists<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        self.clear();
        let result = f(self);
        self.clear();
        result
    }

    /// Seals a frame whose plaintext is in `pages` behind the header, with room for the tag at the end.
    pub(crate) fn seal_in_place(
        &mut self,
        cipher: &Cipher,
        pages: &mut FragPages,
        nonce: &Nonce,
    ) -> Result {
        let crypt_len = pages
            .len()
            .checked_sub(HEADER_LEN + TAG_LEN)
            .ok_or(EINVAL)?;
        self.with_lists(|space| {
            // SAFETY: `with_lists` empties the list, before `pages` can go away.
            unsafe { pages.add_to(&mut space.dst, 0, pages.len()) }?;
            space.request.seal_in_place(
                cipher,
                &mut space.dst,
                HEADER_LEN as u32,
                crypt_len as u32,
                nonce,
            )
        })
    }

    /// Seals a frame whose data are the next `len` bytes of the caller, in `pages`, which are made for `len` bytes of
    /// data. Returns the bytes that it took, which may be fewer if they are in many pieces: `pages` is shorter then, and
    /// `lead` was asked again. Otherwise nothing was taken.
    pub(crate) fn seal_from(
        &mut self,
        cipher: &Cipher,
        pages: &mut FragPages,
        msg: &mut Msg<'_>,
        len: usize,
        nonce: &Nonce,
        lead: impl Fn(usize) -> Result<[u8; LEAD]>,
    ) -> Result<usize> {
        pages.write(0, &lead(len)?);
        let (taken, result) = self.with_lists(|space| {
            // The header is associated data and the flags are plaintext: both are read where the frame will have them.
            // SAFETY: `with_lists` empties the lists, before `pages` can go away.
            unsafe { pages.add_to(&mut space.src, 0, LEAD) }?;
            let taken = IterPages::take(msg, len, &mut space.src, false)?;
            let result = space.seal_taken(cipher, pages, &taken, len, nonce, lead);
            Ok::<_, Error>((taken, result))
        })?;
        match result {
            Ok(()) => Ok(taken.len()),
            Err(error) => {
                taken.give_back(msg);
                Err(error)
            }
        }
    }

    fn seal_taken(
        &mut self,
        cipher: &Cipher,
        pages: &mut FragPages,
        taken: &IterPages,
        wanted: usize,
        nonce: &Nonce,
        lead: impl Fn(usize) -> Result<[u8; LEAD]>,
    ) -> Result {
        let len = taken.len();
        if len < wanted {
            pages.truncate(LEAD + len + TAG_LEN);
            pages.write(0, &lead(len)?);
        }
        // SAFETY: `with_lists`, within which this is called, empties the list.
        unsafe { pages.add_to(&mut self.dst, 0, pages.len()) }?;
        self.request.seal(
            cipher,
            &mut self.src,
            &mut self.dst,
            HEADER_LEN as u32,
            (1 + len) as u32,
            nonce,
        )
    }

    /// Opens the frame of `frame_len` bytes that the receive queue begins with, to the caller's next bytes, and gives
    /// its flags to `accept`. If that says no, or the bytes are in too many pieces, the answer is false and nothing is
    /// taken, though the caller's memory may have been written to. EBADMSG for a forged frame.
    pub(crate) fn open_to(
        &mut self,
        cipher: &Cipher,
        sk: &LockedSock<'_>,
        frame_len: usize,
        msg: &mut Msg<'_>,
        nonce: &Nonce,
        accept: impl FnOnce(u8) -> bool,
    ) -> Result<bool> {
        let data = frame_len.checked_sub(LEAD + TAG_LEN).ok_or(EINVAL)?;
        let opened = self.with_lists(|space| {
            // SAFETY: `with_lists` empties the list; the lead is in kmalloc() memory of ours.
            unsafe { space.dst.push_buf(space.lead.as_ptr(), LEAD as u32) }?;
            if sk.map_unread(frame_len as u32, &mut space.src).is_err() {
                return Ok(None);
            }
            let Ok(taken) = IterPages::take(msg, data, &mut space.dst, true) else {
                return Ok(None);
            };
            if taken.len() < data {
                return Ok::<_, Error>(Some((taken, Ok(false))));
            }
            let result = space.request.open(
                cipher,
                &mut space.src,
                &mut space.dst,
                HEADER_LEN as u32,
                (frame_len - HEADER_LEN) as u32,
                nonce,
            );
            Ok(Some((taken, result.map(|()| true))))
        })?;
        let Some((taken, result)) = opened else {
            return Ok(false);
        };
        let [.., flags] = *self.lead;
        match result {
            Ok(true) if accept(flags) => Ok(true),
            other => {
                taken.give_back(msg);
                other.map(|_| false)
            }
        }
    }

    /// Opens the frame of `frame_len` bytes that the receive queue begins with into new pages: the place of the header,
    /// then the plaintext. EBADMSG for a forged frame, ENOMEM.
    pub(crate) fn open_aside(
        &mut self,
        cipher: &Cipher,
        sk: &LockedSock<'_>,
        frame_len: usize,
        nonce: &Nonce,
    ) -> Result<FragPages> {
        let plain_len = frame_len.checked_sub(TAG_LEN).ok_or(EINVAL)?;
        let opened = self.with_lists(|space| {
            if sk.map_unread(frame_len as u32, &mut space.src).is_err() {
                return Ok(None);
            }
            let pages = FragPages::new(sk, plain_len)?;
            // SAFETY: `with_lists` empties the list, before `pages` is used otherwise.
            unsafe { pages.add_to(&mut space.dst, 0, pages.len()) }?;
            space.request.open(
                cipher,
                &mut space.src,
                &mut space.dst,
                HEADER_LEN as u32,
                (frame_len - HEADER_LEN) as u32,
                nonce,
            )?;
            Ok::<_, Error>(Some(pages))
        })?;
        if let Some(pages) = opened {
            return Ok(pages);
        }
        // In too many pieces: copied together first.
        let mut pages = FragPages::new(sk, frame_len)?;
        sk.copy_unread(frame_len as u32, &mut pages, 0)?;
        self.open_in_place(cipher, &mut pages, nonce)?;
        Ok(pages)
    }

    /// Opens a whole frame in `pages`, where it is. EBADMSG for a forged frame.
    pub(crate) fn open_in_place(
        &mut self,
        cipher: &Cipher,
        pages: &mut FragPages,
        nonce: &Nonce,
    ) -> Result {
        let crypt_len = pages.len().checked_sub(HEADER_LEN).ok_or(EINVAL)?;
        self.with_lists(|space| {
            // SAFETY: `with_lists` empties the list, before `pages` can go away.
            unsafe { pages.add_to(&mut space.dst, 0, pages.len()) }?;
            space.request.open_in_place(
                cipher,
                &mut space.dst,
                HEADER_LEN as u32,
                crypt_len as u32,
                nonce,
            )
        })
    }
}
