// SPDX-License-Identifier: GPL-2.0

//! Reading bytes that a peer sent, and short byte strings of bounded length.
//!
//! [`Reader`] is the only parser primitive of this crate: it hands out parts of a slice from front
//! to back and answers `None` where there is not enough left. Nothing in `proto` reads a peer's
//! bytes in any other way.

/// A slice that is consumed from the front.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// The next `n` bytes, or `None` (and nothing is consumed) if fewer are left.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(n)?;
        self.left = left;
        Some(taken)
    }

    /// The next `N` bytes as an array, or `None` (and nothing is consumed) if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, left) = self.left.split_first_chunk()?;
        self.left = left;
        Some(taken)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        let [byte] = *self.array()?;
        Some(byte)
    }

    /// The next two bytes as a big-endian integer.
    pub fn be16(&mut self) -> Option<u16> {
        self.array().copied().map(u16::from_be_bytes)
    }

    /// The next four bytes as a big-endian integer.
    pub fn be32(&mut self) -> Option<u32> {
        self.array().copied().map(u32::from_be_bytes)
    }

    /// All that is left, possibly nothing.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.left)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// A byte string of at most `N` bytes, kept in place.
///
/// # Invariants
///
/// `len <= N`, and the bytes from `len` on are zero (so that the derived equality is that of the
/// strings).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Bytes<N> {
    /// No bytes.
    pub const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    /// The bytes of `bytes`; those after the `N`th are left out, so `N` has to be chosen for the
    /// longest case.
    pub fn collect(bytes: impl IntoIterator<Item = u8>) -> Self {
        let mut out = Self {
            bytes: [0; N],
            len: 0,
        };
        // INVARIANT: one more for each place that is filled.
        for (to, from) in out.bytes.iter_mut().zip(bytes) {
            *to = from;
            out.len = out.len.saturating_add(1);
        }
        out
    }

    /// The concatenation of `parts`, or `None` if that is longer than `N`.
    pub fn concat(parts: &[&[u8]]) -> Option<Self> {
        let mut out = Self {
            bytes: [0; N],
            len: 0,
        };
        let mut free: &mut [u8] = &mut out.bytes;
        for part in parts {
            let (to, left) = free.split_at_mut_checked(part.len())?;
            to.copy_from_slice(part);
            free = left;
        }
        // INVARIANT: what is not free has been filled from the front, and what is free was never
        // written.
        let free = free.len();
        out.len = N.saturating_sub(free);
        Some(out)
    }

    /// The string.
    pub fn as_bytes(&self) -> &[u8] {
        // By the type's invariant the default is never taken.
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
