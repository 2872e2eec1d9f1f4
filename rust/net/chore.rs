// SPDX-License-Identifier: GPL-2.0

//! Work that has to be done again after a while, for as long as something exists.
//!
//! The kernel crate's delayed work is owned by an `Arc` that a queued work shares, and can't be cancelled: what it is for
//! would outlive its namespace, and the module.

use core::ops::Deref;

use kernel::{
    prelude::*,
    time::Jiffies,
    types::Opaque, //
};

use crate::bindings;

/// What is to be done.
pub(crate) trait Chore: Send + Sync {
    /// Does it; says in how many jiffies it is to be done again, if at all. Process context, may sleep.
    fn run(&self) -> Option<Jiffies>;
}

/// Something with its chore. Drop waits for the chore if it is being done, and may sleep.
///
/// # Invariants
///
/// `work` is initialised with [`run`], and `chore` is there as long as it may be queued.
#[pin_data(PinnedDrop)]
pub(crate) struct WithChore<T: Chore> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    #[pin]
    chore: T,
}

// SAFETY: Works are for any thread.
unsafe impl<T: Chore> Send for WithChore<T> {}
// SAFETY: As above; the kernel's functions on a work may be called by several threads at once.
unsafe impl<T: Chore> Sync for WithChore<T> {}

impl<T: Chore> WithChore<T> {
    /// Nothing is queued yet.
    pub(crate) fn new<E>(chore: impl PinInit<T, E>) -> impl PinInit<Self, E>
    where
        E: From<core::convert::Infallible>,
    {
        // INVARIANT: Initialised here.
        try_pin_init!(Self {
            work <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and its address final.
                unsafe { bindings::tcpcrypt_init_delayed_work(slot, Some(run::<T>)) }
            }),
            chore <- chore,
        }? E)
    }

    /// Has the chore done in `jiffies`, if it is not going to be done already. Any context.
    pub(crate) fn due_in(&self, jiffies: Jiffies) {
        // SAFETY: The work is initialised.
        unsafe { bindings::tcpcrypt_schedule_delayed_work(self.work.get(), jiffies) }
    }
}

impl<T: Chore> Deref for WithChore<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.chore
    }
}

#[pinned_drop]
impl<T: Chore> PinnedDrop for WithChore<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: As above; process context. The work is not queued by anybody any more: only owners of `self` do that, and
        // itself, which this waits for.
        unsafe { bindings::tcpcrypt_cancel_delayed_work_sync(self.work.get()) }
    }
}

/// # Safety
///
/// `work` must be that of a [`WithChore<T>`].
unsafe extern "C" fn run<T: Chore>(work: *mut bindings::work_struct) {
    // SAFETY: By the requirements; `work` is the first field of a delayed_work, which `Opaque` wraps without change. Drop
    // waits for this function.
    let this = unsafe {
        &*kernel::container_of!(
            work.cast::<Opaque<bindings::delayed_work>>(),
            WithChore<T>,
            work
        )
    };
    if let Some(jiffies) = this.chore.run() {
        this.due_in(jiffies);
    }
}
