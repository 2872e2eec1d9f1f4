// SPDX-License-Identifier: GPL-2.0

//! The kernel's ticks: a clock that costs nothing to read, for what need not be exact.

use crate::bindings;

/// Ticks in a second.
const PER_SECOND: u64 = bindings::TCPCRYPT_HZ as u64;

/// A moment, in ticks since some time before the boot. There are 64 bits of them: it does not wrap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// Now. Any context.
    pub(crate) fn now() -> Self {
        // SAFETY: Reads a variable.
        Self(unsafe { bindings::tcpcrypt_jiffies_64() })
    }

    /// So many ticks ago.
    pub(crate) fn ago(ticks: u64) -> Self {
        Self(Self::now().0.saturating_sub(ticks))
    }

    /// How many ticks it is ago, 0 if it is to come.
    pub(crate) fn age(self) -> u64 {
        Self::now().0.saturating_sub(self.0)
    }

    /// How many whole seconds it is ago.
    pub(crate) fn seconds_ago(self) -> u64 {
        self.age() / PER_SECOND
    }
}
