// SPDX-License-Identifier: GPL-2.0

//! HMAC-SHA256 by the kernel's library, for the key schedule in [`proto::keys`](crate::proto::keys).

use core::mem::MaybeUninit;

use crate::{
    bindings,
    proto::hkdf::Hmac, //
};

/// The kernel's HMAC-SHA256. Does not sleep or allocate; the library wipes its contexts.
pub(crate) struct KernelHmac;

impl Hmac for KernelHmac {
    fn hmac_sha256(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
        let mut context = MaybeUninit::<bindings::hmac_sha256_ctx>::uninit();
        let context = context.as_mut_ptr();

        // SAFETY: `context` is valid for writes, `key` for reads of its length. This initialises the context and wipes
        // what it derived from the key on its own stack.
        unsafe { bindings::hmac_sha256_init_usingrawkey(context, key.as_ptr(), key.len()) };
        for part in parts {
            // SAFETY: `context` was initialised above, `part` is valid for reads of its length.
            unsafe { bindings::tcpcrypt_hmac_sha256_update(context, part.as_ptr(), part.len()) };
        }
        // SAFETY: `context` was initialised above and is not used again, `out` is valid for writes of the 32 bytes of a
        // SHA-256 digest. This wipes the context.
        unsafe { bindings::hmac_sha256_final(context, out.as_mut_ptr()) };
    }
}
