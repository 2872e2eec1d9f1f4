// SPDX-License-Identifier: GPL-2.0

//! The kernel's random numbers.

use crate::bindings;

/// Whether the kernel's generator has been seeded, so that what [`fill`] gives is fit for keys.
///
/// It never becomes false again. Context: any.
pub(crate) fn ready() -> bool {
    // SAFETY: Reads one variable of the random driver; callable in any context and before it is seeded.
    unsafe { bindings::rng_is_initialized() }
}

/// Fills `buffer` with random bytes. They are predictable as long as [`ready`] says no.
///
/// Does not sleep. Context: any.
pub(crate) fn fill(buffer: &mut [u8]) {
    // SAFETY: `buffer` is valid for writes of its length, and nobody else sees it meanwhile.
    unsafe { bindings::get_random_bytes(buffer.as_mut_ptr().cast(), buffer.len()) }
}
