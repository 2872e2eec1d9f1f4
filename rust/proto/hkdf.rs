// SPDX-License-Identifier: GPL-2.0

//! `Extract` and `CPRF` of RFC 8548, 3.1: HKDF (RFC 5869) over HMAC-SHA256.

use super::{
    ids::K_LEN,
    secret::Secret, //
};

/// HMAC-SHA256 (RFC 2104), by whoever has it.
pub trait Hmac {
    /// HMAC-SHA256 under `key` (of any length) of the concatenation of `parts`. No allocation, any
    /// context.
    fn hmac_sha256(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]);
}

/// `Extract(salt, IKM)`, where `ikm` is the list of the parts of IKM.
pub fn extract<H: Hmac>(salt: &[u8], ikm: &[&[u8]]) -> Secret<K_LEN> {
    let mut prk = Secret::zeroed();
    H::hmac_sha256(salt, ikm, prk.expose_mut());
    prk
}

/// `CPRF(key, constant | session_nonce, L)`, written to `okm`, of which `L` is the length.
///
/// `okm` must be at most 255 * 32 bytes, as RFC 5869 has it (the longest in tcpcrypt is 44): what
/// is beyond that stays as it is.
pub fn cprf<'a, H: Hmac>(
    key: &Secret<K_LEN>,
    constant: u8,
    session_nonce: &[u8],
    okm: impl IntoIterator<Item = &'a mut u8>,
) {
    let mut okm = okm.into_iter().peekable();
    // T(0) is the empty string, T(n) = HMAC(key, T(n-1) | constant | session_nonce | n).
    let mut block = Secret::<K_LEN>::zeroed();
    for counter in 1..=u8::MAX {
        if okm.peek().is_none() {
            return;
        }
        let mut next = Secret::zeroed();
        let previous: &[u8] = if counter == 1 { &[] } else { block.expose() };
        H::hmac_sha256(
            key.expose(),
            &[previous, &[constant], session_nonce, &[counter]],
            next.expose_mut(),
        );
        block = next;
        // The block comes first: `zip` asks its left side first, and must not take a place that it
        // can't fill.
        for (from, to) in block.expose().iter().zip(okm.by_ref()) {
            *to = *from;
        }
    }
}
