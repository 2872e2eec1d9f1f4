// SPDX-License-Identifier: GPL-2.0

//! Bytes that nobody else may see, and that are gone when their owner is.

use core::{
    hint::black_box,
    sync::atomic::{
        compiler_fence,
        Ordering, //
    }, //
};

/// `N` secret bytes, wiped on drop.
///
/// Unlike an array it can be neither copied, cloned, printed nor compared with `==`. A move is a
/// copy of which the compiler forgets the source, and a register or a spilled temporary is out of
/// anybody's reach, so keep a `Secret` where it was made (in an allocation of the connection)
/// rather than hand it through many frames.
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// All zero, to be filled by [`Secret::expose_mut`].
    pub const fn zeroed() -> Self {
        Self([0; N])
    }

    /// To read the bytes, for a primitive that needs them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// To write the bytes where they stay.
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// Whether both have the same bytes, in a time that does not depend on them.
    pub fn ct_eq(&self, other: &Self) -> bool {
        let differing = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        black_box(differing) == 0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0 = [0; N];
        // Nobody reads the zeros, so the compiler could leave the stores out, and does. `black_box`
        // gives the address away to an empty piece of assembly that, for all that the code
        // generator knows, reads the memory behind it: the stores have to be done before it. That
        // holds for LLVM, which is what builds the kernel; the language itself calls it a best
        // effort only, and the alternative, a volatile write, would be `unsafe`. The test
        // `a_secret_is_wiped_on_drop` looks at the stack that an optimised build leaves behind. The
        // fence keeps the stores from being moved behind a later one, such as that which gives the
        // memory back.
        black_box(&mut self.0);
        compiler_fence(Ordering::SeqCst);
    }
}
