// SPDX-License-Identifier: GPL-2.0

//! Simultaneous opens: the segments of a peer whose SYN crossed ours, seen before TCP judges them.
//!
//! TCP calls nothing of a socket's own when it accepts a SYN in SYN_SENT, nor when it accepts the segment that takes the
//! socket from SYN_RECV to ESTABLISHED. What shows these segments is a netfilter hook at LOCAL_IN, where they may still
//! be forged, and the socket is not locked. So the hook has the endpoint take notes
//! ([`Endpoint::incoming`]), and the endpoint looks them up when TCP has decided: `conn/crossing.rs` says how.
//!
//! The hook is registered in a network namespace from the moment that a socket may offer there. For packets that are
//! none of its business it costs the call and a look at [`Openings`].

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit, //
};

use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
};

use super::{
    attach,
    endpoint::{
        Endpoint,
        Incoming, //
    },
    pernet::{
        self,
        Id,
        Net,
        NetState,
        PerNet, //
    },
    sock::HeldSock,
    wire::{
        self,
        TCP_HEADER, //
    },
};
use crate::{
    bindings,
    proto::{
        eno,
        ids::MAX_TCP_OPTIONS, //
    },
};

/// How far an open is, for the hook.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// It is over, or never began: the hook has nothing to look for.
    No,
    /// The SYN is out.
    Opening,
    /// A SYN with an offer came for it.
    Crossing,
}

/// How many sockets of a namespace the hook looks for segments of. They only keep its work small: a number that changes
/// while a packet passes has the effect of a packet that passes a little earlier or later.
pub(crate) struct Openings {
    /// All of them.
    opening: Atomic<u32>,
    /// Those for which a SYN came.
    crossing: Atomic<u32>,
    /// What is registered, for as long as a reader of netfilter's may look at it after it was unregistered.
    hooks: Hooks,
}

/// The hook in IPv4 and IPv6. Written by [`Crossings::hook`] before it is registered.
struct Hooks(UnsafeCell<MaybeUninit<[bindings::nf_hook_ops; 2]>>);

// SAFETY: Pointers to functions and to `Openings`, which are for any thread; only read once they are registered.
unsafe impl Send for Hooks {}
// SAFETY: As above.
unsafe impl Sync for Hooks {}

impl Openings {
    /// None.
    pub(crate) const fn new() -> Self {
        Self {
            opening: Atomic::new(0),
            crossing: Atomic::new(0),
            hooks: Hooks(UnsafeCell::new(MaybeUninit::uninit())),
        }
    }

    /// A socket goes from `old` to `new`. Context: any; for one socket at a time.
    pub(crate) fn change(&self, old: Watched, new: Watched) {
        let step = |count: &Atomic<u32>, was: bool, is: bool| match (was, is) {
            (false, true) => {
                count.fetch_add(1, Relaxed);
            }
            (true, false) => {
                count.fetch_sub(1, Relaxed);
            }
            _ => {}
        };
        step(&self.opening, old != Watched::No, new != Watched::No);
        step(
            &self.crossing,
            old == Watched::Crossing,
            new == Watched::Crossing,
        );
    }
}

/// What a namespace has: whether the hook is registered there. Its drop takes the hook back.
#[pin_data(PinnedDrop)]
pub(crate) struct Crossings<T: Endpoint> {
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

impl<T: Endpoint> PerNet for Crossings<T> {
    fn id() -> &'static Id {
        &ID
    }

    fn new(net: &Net) -> impl PinInit<Self, Error> {
        let net = NetPtr(net.as_ptr());
        try_pin_init!(Self {
            net,
            hooked <- new_mutex!(false, "tcpcrypt_crossings"),
            _endpoint: PhantomData,
        })
    }
}

impl<T: Endpoint> Crossings<T> {
    /// That of `net`.
    ///
    /// # Safety
    ///
    /// As of [`pernet::get`].
    pub(crate) unsafe fn of<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: By the requirements of this function.
        unsafe { pernet::get(net) }
    }

    fn openings(&self) -> &Openings {
        // SAFETY: The state of the namespace is registered before this one, and torn down after it.
        unsafe { NetState::of(self.net.0) }.openings()
    }

    /// Registers the hook in this namespace, if it is not yet. ENOMEM. Process context, may sleep.
    pub(crate) fn hook(&self) -> Result {
        let mut hooked = self.hooked.lock();
        if !*hooked {
            let openings = self.openings();
            let families = [bindings::NFPROTO_IPV4, bindings::NFPROTO_IPV6];
            let ops = families.map(|family| hook_ops::<T>(family as u8, openings));
            // SAFETY: Nothing is registered, and the mutex keeps others away.
            let ops = unsafe { (*openings.hooks.0.get()).write(ops) };
            // SAFETY: The namespace contains `self`, whose drop unregisters; the structures stay where they are.
            to_result(unsafe {
                bindings::nf_register_net_hooks(self.net.0, ops.as_ptr(), ops.len() as c_uint)
            })?;
            *hooked = true;
        }
        Ok(())
    }
}

#[pinned_drop]
impl<T: Endpoint> PinnedDrop for Crossings<T> {
    fn drop(self: Pin<&mut Self>) {
        let hooked = self.hooked.lock();
        if *hooked {
            // SAFETY: `hook` wrote it, and registered it here. A call that is under way looks at the namespace's
            // `NetState` only, which is there for longer than the grace period that the module's exit waits; in a
            // namespace that goes away nothing is received any more, and nobody lists its hooks.
            unsafe {
                let ops = (*self.openings().hooks.0.get()).assume_init_ref();
                bindings::nf_unregister_net_hooks(self.net.0, ops.as_ptr(), ops.len() as c_uint)
            }
        }
    }
}

/// Last: what the administrator's rules drop was not received, and what they rewrite is looked at as TCP will see it.
const PRIORITY: c_int = c_int::MAX;

fn hook_ops<T: Endpoint>(pf: u8, openings: &Openings) -> bindings::nf_hook_ops {
    // SAFETY: All zeros are a valid value of a structure of pointers and numbers.
    let mut ops: bindings::nf_hook_ops = unsafe { core::mem::zeroed() };
    ops.hook = Some(local_in::<T>);
    ops.priv_ = core::ptr::from_ref(openings).cast_mut().cast();
    ops.pf = pf;
    ops.hooknum = bindings::nf_inet_hooks_NF_INET_LOCAL_IN;
    ops.priority = PRIORITY;
    ops
}

/// # Safety
///
/// As a netfilter hook at LOCAL_IN, registered with [`hook_ops`]: softirq, under RCU, `skb` the caller's.
unsafe extern "C" fn local_in<T: Endpoint>(
    openings: *mut c_void,
    skb: *mut bindings::sk_buff,
    state: *const bindings::nf_hook_state,
) -> c_uint {
    // SAFETY: They are those of the namespace, which are there before the hook is registered, and a grace period longer
    // than it is.
    let openings = unsafe { &*openings.cast::<Openings>() };
    if openings.opening.load(Relaxed) != 0 {
        // SAFETY: By the requirements of this function.
        unsafe { note::<T>(skb, &*state, openings) };
    }
    bindings::NF_ACCEPT
}

/// Has the endpoint that a segment is for take a note of it.
///
/// # Safety
///
/// As of [`local_in`].
#[inline(never)]
unsafe fn note<T: Endpoint>(
    skb: *mut bindings::sk_buff,
    state: &bindings::nf_hook_state,
    openings: &Openings,
) {
    let mut buffer = [0u8; TCP_HEADER + MAX_TCP_OPTIONS];
    // SAFETY: The packet has its IP header; `buffer` has room for the longest TCP header.
    let th = unsafe {
        bindings::tcpcrypt_incoming_tcp(skb, state.pf, buffer.as_mut_ptr().cast::<c_void>())
    };
    if th.is_null() {
        return;
    }
    // SAFETY: A whole TCP header with its options, in the packet or the buffer.
    let (th, options) = unsafe { wire::split_header(th) };
    let (syn, ack) = (th.syn() != 0, th.ack() != 0);
    let crossing = openings.crossing.load(Relaxed) != 0;
    // A SYN without an offer decides nothing before there was one with it.
    let concerns =
        th.rst() == 0 && (crossing && (syn || ack) || syn && !ack && eno::has_eno(options));
    if !concerns {
        return;
    }
    // SAFETY: The header is that of the packet, in the namespace of the hook.
    let raw = unsafe { bindings::tcpcrypt_opening_sock(state.net, skb, state.pf, th) };
    if raw.is_null() {
        return;
    }
    // SAFETY: The function took a reference on a full TCP socket.
    let held = unsafe { HeldSock::from_owned(raw) };
    // SAFETY: Under RCU.
    let Some(endpoint) = (unsafe { attach::endpoint_of::<T>(held.sk()) }) else {
        return;
    };
    // SAFETY: The packet is TCP, by the above.
    if !unsafe { bindings::tcpcrypt_checksum_ok(skb, state.pf) } {
        return;
    }
    endpoint.incoming(
        held.sk(),
        &Incoming {
            syn,
            ack,
            seq: u32::from_be(th.seq),
            ack_seq: u32::from_be(th.ack_seq),
            options,
        },
    );
}
