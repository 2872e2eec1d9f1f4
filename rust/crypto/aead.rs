// SPDX-License-Identifier: GPL-2.0

//! Authenticated encryption by the kernel's crypto API, which has the fast code for AES-GCM.
//!
//! A [`Cipher`] is a key, a [`Request`] the working memory of one operation, an [`SgList`] says where the bytes are:
//!
//! ```text
//! source:       associated data | plaintext          or   associated data | ciphertext | tag
//! destination:  associated data | ciphertext | tag   or   associated data | plaintext
//! ```
//!
//! The associated data is not written to the destination, its place is only skipped there.

use core::ptr::NonNull;

use kernel::{
    alloc::Flags,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

use crate::{
    bindings,
    proto::ids::Aead, //
};

fn algorithm(aead: Aead) -> &'static CStr {
    match aead {
        Aead::Aes128Gcm | Aead::Aes256Gcm => c"gcm(aes)",
        Aead::ChaCha20Poly1305 => c"rfc7539(chacha20,poly1305)",
    }
}

/// A cipher with the key of one direction.
///
/// Many requests may use one at the same time. Drop wipes the key; it does not sleep with the ciphers that are used here,
/// but the crypto API does not promise that for others: drop it in process context.
///
/// # Invariants
///
/// `tfm` is a synchronous transform that nobody else frees, with a key, and with tags of [`Aead::TAG_LEN`] bytes. The
/// key does not change while it is borrowed.
pub(crate) struct Cipher {
    tfm: NonNull<bindings::crypto_aead>,
}

// SAFETY: A transform belongs to no thread.
unsafe impl Send for Cipher {}
// SAFETY: With its key set, a transform is only read; what an operation writes is in the request (crypto_aead docs).
unsafe impl Sync for Cipher {}

impl Cipher {
    /// A cipher of the kind `aead` under `key`.
    ///
    /// EINVAL if the key has not [`Aead::key_len`] bytes, ENOENT if the kernel lacks the algorithm, ENOMEM, EINTR if it
    /// had to load a module and was killed. Context: process; sleeps, and may load a module the first time.
    pub(crate) fn new(aead: Aead, key: &[u8]) -> Result<Self> {
        if key.len() != aead.key_len() {
            return Err(EINVAL);
        }
        // SAFETY: The name is a C string. The mask asks for an implementation whose flag CRYPTO_ALG_ASYNC is as in the
        // type, that is, clear.
        let tfm = from_err_ptr(unsafe {
            bindings::crypto_alloc_aead(
                algorithm(aead).as_char_ptr(),
                0,
                bindings::CRYPTO_ALG_ASYNC,
            )
        })?;
        // INVARIANT: From here on `cipher` owns the transform. It has no key yet, and leaves this function with one or
        // not at all.
        let cipher = Self {
            tfm: NonNull::new(tfm).ok_or(ENOENT)?,
        };
        // SAFETY: `tfm` is a valid transform that no request uses yet.
        to_result(unsafe { bindings::crypto_aead_setauthsize(tfm, Aead::TAG_LEN as u32) })?;
        // SAFETY: As above, and `key` is valid for reads of its length, which is 16 or 32.
        to_result(unsafe { bindings::crypto_aead_setkey(tfm, key.as_ptr(), key.len() as u32) })?;
        Ok(cipher)
    }

    /// Bytes of an `aead_request` with its tail, for this implementation.
    fn request_size(&self) -> usize {
        // SAFETY: By the type invariant the transform is valid.
        unsafe { bindings::tcpcrypt_aead_request_size(self.tfm.as_ptr()) }
    }

    /// Working memory for operations with this cipher, or with another of the same kind. ENOMEM. Context: as `flags`.
    pub(crate) fn request(&self, flags: Flags) -> Result<Request> {
        let words = self.request_size().div_ceil(size_of::<u64>());
        Ok(Request {
            memory: KVec::from_elem(0, words + IV_WORDS, flags)?,
        })
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the transform is valid and ours; no operation is under way, because operations
        // are synchronous and borrow `self`.
        unsafe { bindings::tcpcrypt_aead_free(self.tfm.as_ptr()) };
    }
}

/// Words that a nonce takes.
const IV_WORDS: usize = Aead::NONCE_LEN.div_ceil(size_of::<u64>());

/// Working memory for one operation at a time. It is wiped on drop, for it holds what ciphers leave there.
///
/// Reusable for any number of operations, with each cipher for which [`Request::fits`].
pub(crate) struct Request {
    /// An `aead_request` with the cipher's tail, then the nonce. From kmalloc(), which gives the alignment that
    /// `CRYPTO_MINALIGN` asks for.
    memory: KVec<u64>,
}

impl Request {
    /// Whether the memory is enough for `cipher`: yes for that which made it and, as long as nobody loads another
    /// implementation, for all of its kind.
    pub(crate) fn fits(&self, cipher: &Cipher) -> bool {
        cipher.request_size() <= self.iv_offset() * size_of::<u64>()
    }

    fn iv_offset(&self) -> usize {
        self.memory.len() - IV_WORDS
    }

    /// Encrypts `crypt_len` bytes that follow `assoc_len` bytes of associated data in `src`, to behind the place of the
    /// associated data in `dst`, and the tag after that.
    ///
    /// EINVAL if a list is shorter than that or the request does not fit the cipher; ENOMEM possible. `src` and `dst`
    /// must not overlap, but see [`Request::seal_in_place`]. Does not sleep. Context: process, BH or softirq.
    pub(crate) fn seal(
        &mut self,
        cipher: &Cipher,
        src: &mut SgList,
        dst: &mut SgList,
        assoc_len: u32,
        crypt_len: u32,
        nonce: &[u8; Aead::NONCE_LEN],
    ) -> Result {
        check(src, &[assoc_len, crypt_len])?;
        check(dst, &[assoc_len, crypt_len, TAG_LEN])?;
        // SAFETY: The lists are as long as needed.
        unsafe {
            self.run(
                Way::Seal,
                cipher,
                src.head(),
                dst.head(),
                assoc_len,
                crypt_len,
                nonce,
            )
        }
    }

    /// As [`Request::seal`], with one list for both.
    pub(crate) fn seal_in_place(
        &mut self,
        cipher: &Cipher,
        list: &mut SgList,
        assoc_len: u32,
        crypt_len: u32,
        nonce: &[u8; Aead::NONCE_LEN],
    ) -> Result {
        check(list, &[assoc_len, crypt_len, TAG_LEN])?;
        let list = list.head();
        // SAFETY: The list is as long as needed.
        unsafe { self.run(Way::Seal, cipher, list, list, assoc_len, crypt_len, nonce) }
    }

    /// Decrypts and checks `crypt_len` bytes, of which the last [`Aead::TAG_LEN`] are the tag, that follow `assoc_len`
    /// bytes of associated data in `src`, to behind the place of the associated data in `dst`.
    ///
    /// EBADMSG ([`is_forged`]) if anything was changed; the destination may hold anything then, and must not be looked at. EINVAL if a
    /// list is shorter than that, `crypt_len` shorter than a tag or the request does not fit the cipher; ENOMEM
    /// possible. `src` and `dst` must not overlap, but see [`Request::open_in_place`]. Does not sleep. Context: process,
    /// BH or softirq.
    pub(crate) fn open(
        &mut self,
        cipher: &Cipher,
        src: &mut SgList,
        dst: &mut SgList,
        assoc_len: u32,
        crypt_len: u32,
        nonce: &[u8; Aead::NONCE_LEN],
    ) -> Result {
        let plain_len = crypt_len.checked_sub(TAG_LEN).ok_or(EINVAL)?;
        check(src, &[assoc_len, crypt_len])?;
        check(dst, &[assoc_len, plain_len])?;
        // SAFETY: The lists are as long as needed.
        unsafe {
            self.run(
                Way::Open,
                cipher,
                src.head(),
                dst.head(),
                assoc_len,
                crypt_len,
                nonce,
            )
        }
    }

    /// As [`Request::open`], with one list for both.
    pub(crate) fn open_in_place(
        &mut self,
        cipher: &Cipher,
        list: &mut SgList,
        assoc_len: u32,
        crypt_len: u32,
        nonce: &[u8; Aead::NONCE_LEN],
    ) -> Result {
        check(list, &[assoc_len, crypt_len])?;
        let list = list.head();
        // SAFETY: The list is as long as needed.
        unsafe { self.run(Way::Open, cipher, list, list, assoc_len, crypt_len, nonce) }
    }

    /// # Safety
    ///
    /// `src` and `dst` must be the heads of lists that are borrowed exclusively for the call, and that have the bytes
    /// which the operation reads and writes.
    #[expect(clippy::too_many_arguments)]
    unsafe fn run(
        &mut self,
        way: Way,
        cipher: &Cipher,
        src: *mut bindings::scatterlist,
        dst: *mut bindings::scatterlist,
        assoc_len: u32,
        crypt_len: u32,
        nonce: &[u8; Aead::NONCE_LEN],
    ) -> Result {
        if !self.fits(cipher) {
            return Err(EINVAL);
        }
        let iv_offset = self.iv_offset();
        let request = self.memory.as_mut_ptr();
        // SAFETY: The offset is that of the last `IV_WORDS` words of the allocation.
        let iv: *mut u8 = unsafe { request.add(iv_offset) }.cast();
        let request: *mut bindings::aead_request = request.cast();
        // SAFETY: There are `IV_WORDS` words from `iv` on, which hold a nonce; `nonce` is not part of our memory.
        unsafe { iv.copy_from_nonoverlapping(nonce.as_ptr(), nonce.len()) };
        // SAFETY: The memory in front of `iv` is large enough for a request of this cipher and aligned for it. The
        // transform is valid by the type invariant of `Cipher`.
        unsafe {
            bindings::tcpcrypt_aead_request_set(
                request,
                cipher.tfm.as_ptr(),
                src,
                dst,
                assoc_len,
                crypt_len,
                iv,
            )
        };
        // SAFETY: The request is set up; the transform has a key and is synchronous, so that nothing is used after the
        // call. The caller vouches for the lists, whose memory is valid by the contract of the functions that filled
        // them.
        to_result(unsafe {
            match way {
                Way::Seal => bindings::crypto_aead_encrypt(request),
                Way::Open => bindings::crypto_aead_decrypt(request),
            }
        })
    }
}

impl Request {
    /// Wipes what the last operation left. Context: any.
    pub(crate) fn wipe(&mut self) {
        let len = size_of_val(self.memory.as_slice());
        // SAFETY: The memory is ours and valid for writes of its length; zeros are words.
        unsafe { bindings::tcpcrypt_memzero(self.memory.as_mut_ptr().cast(), len) };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Whether `error`, which [`Request::open`] gave, means that the bytes are not what the peer sealed: EBADMSG.
pub(crate) fn is_forged(error: Error) -> bool {
    error.to_errno().unsigned_abs() == bindings::EBADMSG
}

enum Way {
    Seal,
    Open,
}

const TAG_LEN: u32 = Aead::TAG_LEN as u32;

/// EINVAL unless `list` has as many bytes as the sum of `parts`.
fn check(list: &SgList, parts: &[u32]) -> Result {
    let needed: u64 = parts.iter().map(|&part| u64::from(part)).sum();
    if needed <= list.bytes() {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// A list of pieces of memory, in an allocation of fixed size.
///
/// # Invariants
///
/// The first `used` entries of `entries` are set and have `bytes` bytes together, and the last of them is marked as the
/// end.
pub(crate) struct SgList {
    entries: KVec<bindings::scatterlist>,
    used: usize,
    bytes: u64,
}

// SAFETY: The pointers are to memory that belongs to no thread; those who push it vouch for it.
unsafe impl Send for SgList {}

impl SgList {
    /// A list for at most `capacity` entries, of which one has an entry for each piece that does not directly follow the
    /// one before. Takes 32 bytes per entry. ENOMEM, EINVAL if it is 0. Context: as `flags`.
    pub(crate) fn new(capacity: usize, flags: Flags) -> Result<Self> {
        if capacity == 0 {
            return Err(EINVAL);
        }
        let mut entries = KVec::with_capacity(capacity, flags)?;
        for _ in 0..capacity {
            entries
                .push_within_capacity(bindings::scatterlist::default())
                .map_err(|_| ENOMEM)?;
        }
        // INVARIANT: No entry is used.
        Ok(Self {
            entries,
            used: 0,
            bytes: 0,
        })
    }

    /// Forgets all entries, and with that ends the obligations of those who pushed them. Context: any.
    pub(crate) fn clear(&mut self) {
        // INVARIANT: No entry is used.
        self.used = 0;
        self.bytes = 0;
    }

    /// Bytes in all entries.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many entries are free. Context: any.
    pub(crate) fn room(&self) -> usize {
        self.entries.len() - self.used
    }

    /// Adds `len` bytes from `offset` on in `page`, which may be any in a run of physically contiguous pages in the
    /// kernel's linear map. Nothing is done if `len` is 0. Context: any.
    ///
    /// ENOSPC if the list is full, even if the bytes would not have needed an entry.
    ///
    /// # Safety
    ///
    /// Until the list is cleared or dropped the memory must stay allocated. During an operation that has the list as its
    /// destination, nobody else may read or write the memory; if it has it as its source, nobody should write to it
    /// (what comes out is unspecified, otherwise).
    pub(crate) unsafe fn push_page(
        &mut self,
        page: *mut bindings::page,
        offset: u32,
        len: u32,
    ) -> Result {
        if len == 0 {
            return Ok(());
        }
        let used = self.next()?;
        // SAFETY: Entry `used` exists, and those before it are set by the type invariant. The caller vouches for the
        // memory.
        let used = unsafe {
            bindings::tcpcrypt_sg_push_page(self.entries.as_mut_ptr(), used, page, offset, len)
        };
        self.pushed(used, len);
        Ok(())
    }

    /// Adds `len` bytes at `buffer`, which is memory in the kernel's linear map: from kmalloc() or a page, neither on
    /// the stack, in vmalloc() memory nor in a static of the module. As [`SgList::push_page`] otherwise.
    ///
    /// # Safety
    ///
    /// As of [`SgList::push_page`], and `buffer` must be such memory.
    pub(crate) unsafe fn push_buf(&mut self, buffer: *const u8, len: u32) -> Result {
        if len == 0 {
            return Ok(());
        }
        let used = self.next()?;
        // SAFETY: Entry `used` exists, and those before it are set by the type invariant. The caller vouches for the
        // memory.
        let used = unsafe {
            bindings::tcpcrypt_sg_push_buf(self.entries.as_mut_ptr(), used, buffer.cast(), len)
        };
        self.pushed(used, len);
        Ok(())
    }

    /// Adds `len` bytes from `offset` on of what `skb` holds, in its head, its fragments and its fragment list.
    /// Context: any.
    ///
    /// EMSGSIZE, with the list as it was, if they need more entries than are free.
    ///
    /// # Safety
    ///
    /// `skb` must have `offset + len` bytes, all in memory that the kernel may read (no device memory), and no other
    /// thread may change it meanwhile. What is said for [`SgList::push_page`] holds for its memory.
    pub(crate) unsafe fn push_skb(
        &mut self,
        skb: *mut bindings::sk_buff,
        offset: u32,
        len: u32,
    ) -> Result {
        if len == 0 {
            return Ok(());
        }
        let offset = i32::try_from(offset).map_err(|_| EINVAL)?;
        let signed_len = i32::try_from(len).map_err(|_| EINVAL)?;
        let room = u32::try_from(self.room())?;
        let used = u32::try_from(self.used)?;
        // SAFETY: `room` entries from `used` on exist and are free, and those before are set by the type invariant. The
        // caller vouches for the bytes in `skb`.
        let used = to_count(unsafe {
            bindings::tcpcrypt_sg_push_skb(
                self.entries.as_mut_ptr(),
                used,
                room,
                skb,
                offset,
                signed_len,
            )
        })?;
        self.pushed(used, len);
        Ok(())
    }

    /// The index of the next free entry. ENOSPC.
    fn next(&self) -> Result<u32> {
        if self.room() == 0 {
            return Err(ENOSPC);
        }
        u32::try_from(self.used).map_err(|_| ENOSPC)
    }

    fn pushed(&mut self, used: u32, len: u32) {
        // INVARIANT: The callers got `used` from a helper that set and marked the entries up to there for `len` bytes.
        self.used = used as usize;
        self.bytes += u64::from(len);
    }

    fn head(&mut self) -> *mut bindings::scatterlist {
        self.entries.as_mut_ptr()
    }
}

fn to_count(n: i32) -> Result<u32> {
    to_result(n.min(0))?;
    Ok(n.unsigned_abs())
}
