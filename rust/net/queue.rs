// SPDX-License-Identifier: GPL-2.0

//! A workqueue of our own.
//!
//! The shared queues of [`kernel::workqueue`] can't be used by a module that wants to be unloaded: nothing waits for a
//! work item whose last instructions are the module's. Dropping an [`OwnedQueue`] does.

use core::{
    ops::Deref,
    ptr::NonNull, //
};

use kernel::{
    prelude::*,
    workqueue::Queue, //
};

use crate::bindings;

/// An unbound workqueue, to which work is given as to any [`Queue`].
///
/// Drop runs what is queued to its end and then frees the queue; it sleeps, and must not happen in a work item of the
/// same queue: such an item must not own the queue, not even through the last [`Arc`](kernel::sync::Arc) of something.
///
/// # Invariants
///
/// `0` is a workqueue that `alloc_workqueue()` made and that was not destroyed.
pub(crate) struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A workqueue belongs to no thread, and its functions lock what they share.
unsafe impl Send for OwnedQueue {}
// SAFETY: As above.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Makes a queue. `name` is what its threads are called in `ps`. ENOMEM. Context: process, may sleep.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: `name` is a C string; the kernel makes a copy.
        let queue = unsafe { bindings::tcpcrypt_alloc_workqueue(name.as_char_ptr()) };

        // INVARIANT: Just made, and owned by nobody else.
        Ok(Self(NonNull::new(queue).ok_or(ENOMEM)?))
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant it is a workqueue, and it lives as long as `self`, which the result borrows.
        // The cast is between two descriptions of one C structure.
        unsafe { Queue::from_raw(self.0.as_ptr().cast()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it was not destroyed yet, and nobody can queue anything any more, because every
        // `&Queue` borrows `self`.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
