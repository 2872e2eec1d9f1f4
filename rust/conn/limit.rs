// SPDX-License-Identifier: GPL-2.0

//! How many passive connections may wait for keys.
//!
//! A peer that opens connections and sends no Init1 makes each of them take more memory than a plain one does. Beyond the
//! limit listeners do not answer offers, so that more connections are plain TCP, with TCP's own limits. What was
//! answered is not taken back: the peer encrypts, so that the limit is passed by as many connections as were half open.
//!
//! Who keeps that many connections open has others plain meanwhile. That is in anybody's hands who can also have the
//! listener's queue full, and ends with the connections; where it must not be, the application demands encryption.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};

use super::settings;

/// The connections of a namespace that wait for keys. Any context.
pub(crate) struct Exchanges {
    max: Atomic<u32>,
    /// Shared with the connections, which may be freed after the namespace.
    running: Arc<Atomic<u32>>,
}

/// A connection that waits for keys, until it is dropped.
pub(crate) struct Exchanging(Arc<Atomic<u32>>);

impl Exchanges {
    /// None yet. ENOMEM. Context: process.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            max: Atomic::new(settings::MAX_EXCHANGES.default),
            running: Arc::new(Atomic::new(0), GFP_KERNEL)?,
        })
    }

    /// One more, whether there is room or not.
    pub(crate) fn begin(&self) -> Exchanging {
        self.running.fetch_add(1, Relaxed);
        Exchanging(self.running.clone())
    }

    /// How many there are.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Relaxed)
    }

    /// Whether offers are to be answered.
    pub(crate) fn has_room(&self) -> bool {
        self.running() < self.max()
    }

    /// With how many no more offers are answered.
    pub(crate) fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// Holds for offers to come.
    pub(crate) fn set_max(&self, max: u32) {
        self.max.store(max, Relaxed);
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
