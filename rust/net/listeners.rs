// SPDX-License-Identifier: GPL-2.0

//! Listeners that answer by the namespace's default: the hook that they need, and those that already listen when the
//! default changes.
//!
//! Such a listener carries no endpoint, and the module no reference for it: only its address-family operations are ours,
//! and they are taken back when the module or the namespace goes away. When the default goes off they stay: the setting
//! is looked at for each SYN.

use core::marker::PhantomData;

use kernel::{new_mutex, prelude::*, sync::Mutex};

use super::{
    attach,
    endpoint::Endpoint,
    pernet::{
        self,
        Id,
        Net,
        PerNet, //
    },
    probe,
    sock::{
        HeldSock,
        Sk, //
    },
    tables,
    wire::{
        self,
        SynAckHook, //
    },
};
use crate::bindings;

/// What a namespace has: whether the hook is registered there. Its drop takes the hook back, and before that has the
/// default listeners answer no more.
#[pin_data(PinnedDrop)]
pub(crate) struct Listeners<T: Endpoint> {
    net: NetPtr,
    #[pin]
    hooked: Mutex<bool>,
    _endpoint: PhantomData<T>,
}

/// The namespace that contains this state.
struct NetPtr(*mut bindings::net);

// SAFETY: Namespaces belong to no thread.
unsafe impl Send for NetPtr {}
// SAFETY: As above.
unsafe impl Sync for NetPtr {}

static ID: Id = Id::unused();

struct HookOf<T>(PhantomData<T>);

impl<T: Endpoint> HookOf<T> {
    const HOOK: &'static SynAckHook = &SynAckHook::new::<T>();
}

impl<T: Endpoint> PerNet for Listeners<T> {
    fn id() -> &'static Id {
        &ID
    }

    fn new(net: &Net) -> impl PinInit<Self, Error> {
        let net = NetPtr(net.as_ptr());
        try_pin_init!(Self {
            net,
            hooked <- new_mutex!(false, "tcpcrypt_hooked"),
            _endpoint: PhantomData,
        })
    }
}

impl<T: Endpoint> Listeners<T> {
    /// That of `net`.
    ///
    /// # Safety
    ///
    /// As of [`pernet::get`].
    pub(crate) unsafe fn of<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: By the requirements of this function.
        unsafe { pernet::get(net) }
    }

    /// Registers the hook in this namespace, if it is not yet. ENOMEM. Process context, may sleep.
    pub(crate) fn hook(&self) -> Result {
        let mut hooked = self.hooked.lock();
        if !*hooked {
            // SAFETY: The namespace contains `self`, whose drop unregisters.
            unsafe { HookOf::<T>::HOOK.register(self.net.0) }?;
            *hooked = true;
        }
        Ok(())
    }

    fn unhook(&self) {
        let mut hooked = self.hooked.lock();
        if *hooked {
            // SAFETY: It is registered here.
            unsafe { HookOf::<T>::HOOK.unregister(self.net.0) };
            *hooked = false;
        }
    }

    /// The default was turned on: the listeners that are there take part. Process context, may sleep.
    pub(crate) fn pick_up(&self) -> Result {
        self.hook()?;
        for_each(self.net.0, wanted, |sk| {
            let locked = sk.lock();
            if locked.state() == bindings::TCP_LISTEN {
                probe::listen_by_default::<T>(&locked.as_bh());
            }
        });
        Ok(())
    }

    /// The listeners that took part by the default do no more. Process context, may sleep.
    fn let_go(&self) {
        for_each(self.net.0, taken, |sk| {
            let locked = sk.lock();
            let locked = locked.as_bh();
            if !attach::has_ulp(&locked) && tables::has_own_af_ops(locked.sk()) {
                wire::stop_answering(&locked);
            }
        });
    }
}

#[pinned_drop]
impl<T: Endpoint> PinnedDrop for Listeners<T> {
    fn drop(self: Pin<&mut Self>) {
        self.let_go();
        self.unhook();
    }
}

/// # Safety
///
/// `sk` must be a listening socket, under its bucket's lock.
unsafe extern "C" fn wanted(sk: *mut bindings::sock) -> bool {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { Sk::from_raw(sk) };
    tables::is_plain(sk) && !tables::has_own_af_ops(sk) && tables::has_known_af_ops(sk)
}

/// # Safety
///
/// As of [`wanted`].
unsafe extern "C" fn taken(sk: *mut bindings::sock) -> bool {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { Sk::from_raw(sk) };
    // SAFETY: A volatile read of a pointer.
    let ulp = unsafe { bindings::tcpcrypt_ulp_ops(sk.as_ptr().cast()) };
    tables::has_own_af_ops(sk) && ulp.is_null()
}

/// Calls `f` for the listening TCP sockets of `net` that `want`s. Those that `f` leaves wanted are passed by.
fn for_each(
    net: *mut bindings::net,
    want: unsafe extern "C" fn(*mut bindings::sock) -> bool,
    mut f: impl FnMut(Sk<'_>),
) {
    let (mut bucket, mut skip) = (0, 0);
    loop {
        // SAFETY: `net` is alive; `want` is called under the bucket's lock.
        let sk =
            unsafe { bindings::tcpcrypt_find_listener(net, &mut bucket, &mut skip, Some(want)) };
        if sk.is_null() {
            return;
        }
        // SAFETY: The function took a reference. Listening sockets in this table are full TCP sockets.
        let held = unsafe { HeldSock::from_owned(sk) };
        f(held.sk());
        // SAFETY: The reference keeps the socket; the functions only read.
        if unsafe { want(sk) } {
            skip += 1;
        }
    }
}
