// SPDX-License-Identifier: GPL-2.0

//! A spinlock for data that processes share with softirqs: `spin_lock_bh()`.
//!
//! [`SpinLock`](kernel::sync::SpinLock) leaves softirqs on, so that one which comes while the lock is held on the same
//! CPU, and wants it, waits for ever.

use kernel::sync::lock::{
    Backend,
    Lock, //
};

use crate::bindings;

/// Data behind a spinlock that keeps softirqs off while it is held. Context: process, BH or softirq; never hardirq, nor
/// with interrupts disabled.
pub(crate) type BhSpinLock<T> = Lock<T, BhSpinLockBackend>;

/// Makes an initialiser for a [`BhSpinLock`] with its own lockdep class.
macro_rules! new_bh_spinlock {
    ($inner:expr, $name:literal) => {
        $crate::net::bh_lock::BhSpinLock::new(
            $inner,
            ::kernel::c_str!($name),
            ::kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_bh_spinlock;

/// `spinlock_t` by its `_bh` functions.
pub(crate) struct BhSpinLockBackend;

// SAFETY: A `spinlock_t` excludes every other CPU, and with softirqs off, everything on this CPU that may take it.
// `relock` is the default, which uses `lock`.
unsafe impl Backend for BhSpinLockBackend {
    type State = kernel::bindings::spinlock_t;
    type GuardState = ();

    unsafe fn init(
        ptr: *mut Self::State,
        name: *const kernel::ffi::c_char,
        key: *mut kernel::bindings::lock_class_key,
    ) {
        // SAFETY: By the requirements of this function `ptr` is valid for writes, and the others for ever.
        unsafe { kernel::bindings::__spin_lock_init(ptr, name, key) }
    }

    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: By the requirements of this function the lock is initialised. The cast is between two descriptions
        // of one C structure.
        unsafe { bindings::tcpcrypt_spin_lock_bh(ptr.cast()) }
    }

    unsafe fn unlock(ptr: *mut Self::State, _guard_state: &Self::GuardState) {
        // SAFETY: By the requirements of this function the caller owns the lock, which `lock` or `try_lock` took.
        unsafe { bindings::tcpcrypt_spin_unlock_bh(ptr.cast()) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: By the requirements of this function the lock is initialised.
        (unsafe { bindings::tcpcrypt_spin_trylock_bh(ptr.cast()) } != 0).then_some(())
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: By the requirements of this function the lock is initialised.
        unsafe { kernel::bindings::spin_assert_is_held(ptr) }
    }
}
