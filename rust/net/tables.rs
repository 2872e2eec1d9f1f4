// SPDX-License-Identifier: GPL-2.0

//! The kernel's tables of functions, with ours in place: `struct proto`, `struct proto_ops`, the address-family
//! operations and the ULP's.
//!
//! They are copies of TCP's own, made once when the module is loaded and never changed afterwards; sockets point to them
//! while an endpoint is attached. Which of TCP's tables a copy was made from is known by the address family, and for the
//! address-family operations, of which v4-mapped IPv6 sockets have a third set, by the table itself.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{
        self,
        addr_of,
        addr_of_mut, //
    },
};

use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
};

use super::{
    adapters,
    endpoint::Endpoint,
    listener_calls,
    sock::Sk,
    wire, //
};
use crate::bindings;

/// Which `struct proto` a socket has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All calls are ours.
    Full = 0,
    /// As `Full`, and `release_cb` waits for accept().
    Unaccepted = 1,
    /// Only the socket's options are ours, and sending, by which an active opener finds out that it was heard. The data
    /// path is TCP's.
    Opened = 2,
    /// Only the socket's options are ours.
    Options = 3,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Full, Kind::Unaccepted, Kind::Opened, Kind::Options];

    /// The operations of the `struct socket` that go with it, of TCP and ours. None where there is no such socket yet.
    fn ops(
        self,
        base: &'static bindings::proto_ops,
        ours: *const bindings::proto_ops,
    ) -> *const bindings::proto_ops {
        match self {
            Kind::Full => ours,
            Kind::Unaccepted => ptr::null(),
            Kind::Opened | Kind::Options => base,
        }
    }
}

type AfOps = bindings::inet_connection_sock_af_ops;

struct Tables {
    prot: [[bindings::proto; Kind::ALL.len()]; 2],
    ops: [bindings::proto_ops; 2],
    listener_ops: [bindings::proto_ops; 2],
    /// TCP's operations of IPv4, IPv6 and v4-mapped sockets, and our copies.
    af_base: [*const AfOps; 3],
    af: [AfOps; 3],
    ulp: bindings::tcp_ulp_ops,
}

/// Written by [`build`] before anything is registered; the third address family entry as its comment says.
struct Global(UnsafeCell<MaybeUninit<Tables>>);

// SAFETY: Only read after `build`, but for the mapped entry, which `MAPPED` publishes.
unsafe impl Sync for Global {}

static TABLES: Global = Global(UnsafeCell::new(MaybeUninit::zeroed()));

/// State of the entry for v4-mapped sockets. TCP's table for them has no name outside; it is learnt from the first
/// socket that uses it.
static MAPPED: Atomic<i32> = Atomic::new(EMPTY);
const EMPTY: i32 = 0;
const FILLING: i32 = 1;
const READY: i32 = 2;

fn tables() -> *mut Tables {
    TABLES.0.get().cast()
}

fn family(sk: Sk<'_>) -> usize {
    usize::from(sk.is_ipv6())
}

/// TCP's own `struct proto` for the family of `sk`.
pub(crate) fn base_prot(sk: Sk<'_>) -> &'static bindings::proto {
    // SAFETY: Statics of the kernel, which nobody changes after boot.
    unsafe {
        if sk.is_ipv6() {
            &*addr_of!(bindings::tcpv6_prot)
        } else {
            &*addr_of!(bindings::tcp_prot)
        }
    }
}

/// The stream socket's own operations for the family of `sk`.
pub(crate) fn base_ops(sk: Sk<'_>) -> &'static bindings::proto_ops {
    // SAFETY: As above.
    unsafe {
        if sk.is_ipv6() {
            &*addr_of!(bindings::inet6_stream_ops)
        } else {
            &*addr_of!(bindings::inet_stream_ops)
        }
    }
}

/// The `struct tcp_ulp_ops` that is registered and stands in slots.
pub(crate) fn ulp_ops() -> *mut bindings::tcp_ulp_ops {
    // SAFETY: A field's address in a static.
    unsafe { addr_of_mut!((*tables()).ulp) }
}

/// Whether the socket's `struct proto` is TCP's own: no ULP, no BPF, not MPTCP's, not SMC's.
pub(crate) fn is_plain(sk: Sk<'_>) -> bool {
    // SAFETY: The socket is alive; the field is a pointer that is replaced whole.
    let prot = unsafe { addr_of!((*sk.as_ptr()).__sk_common.skc_prot).read_volatile() };
    ptr::eq(prot, base_prot(sk))
}

fn af_ops(sk: Sk<'_>) -> *mut *const AfOps {
    // SAFETY: A field's address in a live socket.
    unsafe { addr_of_mut!((*sk.as_ptr().cast::<bindings::inet_connection_sock>()).icsk_af_ops) }
}

/// The index of TCP's table `base`.
fn af_index(base: *const AfOps) -> Option<usize> {
    // SAFETY: `build` filled the first two, and the third is read only when it is ready.
    let known = unsafe { &(*tables()).af_base };
    if ptr::eq(base, known[0]) {
        return Some(0);
    }
    if ptr::eq(base, known[1]) {
        return Some(1);
    }
    match MAPPED.load(Acquire) {
        // SAFETY: As above.
        READY => ptr::eq(base, unsafe { (*tables()).af_base[2] }).then_some(2),
        EMPTY => learn_mapped(base),
        _ => None,
    }
}

/// Takes `base` for the table of v4-mapped sockets, if it is: IPv6's functions, but for sending, which is IPv4's.
fn learn_mapped(base: *const AfOps) -> Option<usize> {
    let tables = tables();
    // SAFETY: The first two entries are filled; `base` is what a live TCP socket points to.
    let (v4, v6, base_ref) = unsafe { (&*(*tables).af_base[0], &*(*tables).af_base[1], &*base) };
    let same = |a: &AfOps, b: &AfOps, field: fn(&AfOps) -> Option<usize>| field(a) == field(b);
    if !same(base_ref, v4, |ops| ops.queue_xmit.map(|f| f as usize))
        || !same(base_ref, v6, |ops| ops.conn_request.map(|f| f as usize))
        || !same(base_ref, v6, |ops| ops.syn_recv_sock.map(|f| f as usize))
        || MAPPED.cmpxchg(EMPTY, FILLING, Full).is_err()
    {
        return None;
    }
    // SAFETY: Only the one that moved the state to FILLING writes, and others read after READY.
    unsafe {
        (*tables).af_base[2] = base;
        (*tables).af[2] = *base;
        override_af(&mut *addr_of_mut!((*tables).af[2]), &(*tables).af[0]);
    }
    MAPPED.store(READY, Release);
    Some(2)
}

/// Takes our functions over from another copy.
fn override_af(table: &mut AfOps, from: &AfOps) {
    table.queue_xmit = from.queue_xmit;
    table.sk_rx_dst_set = from.sk_rx_dst_set;
    table.conn_request = from.conn_request;
    table.syn_recv_sock = from.syn_recv_sock;
}

/// Whether the address-family operations of `sk` are TCP's own.
pub(crate) fn has_known_af_ops(sk: Sk<'_>) -> bool {
    // SAFETY: The socket is alive and its opener holds the lock.
    af_index(unsafe { *af_ops(sk) }).is_some()
}

/// The copy's index, if the operations of `sk` are ours.
fn own_af_index(sk: Sk<'_>) -> Option<usize> {
    // SAFETY: As above; the copies' addresses are those of fields of a static.
    unsafe {
        let ops = *af_ops(sk);
        (0..3).find(|i| ptr::eq(ops, addr_of!((*tables()).af[*i])))
    }
}

/// Whether the address-family operations of `sk` are ours. The socket locked, or a listener under RCU.
pub(crate) fn has_own_af_ops(sk: Sk<'_>) -> bool {
    own_af_index(sk).is_some()
}

/// Replaces the address-family operations by our copy. The socket locked.
pub(crate) fn install_af_ops(sk: Sk<'_>) {
    // SAFETY: The socket is locked.
    let index = af_index(unsafe { *af_ops(sk) });
    if let Some(index) = index {
        // SAFETY: As above; the copy lives as long as the module, which sockets with it hold or which takes it back.
        unsafe { af_ops(sk).write_volatile(addr_of!((*tables()).af[index])) };
    }
}

/// Puts TCP's address-family operations back. The socket locked.
pub(crate) fn restore_af_ops(sk: Sk<'_>) {
    if let Some(index) = own_af_index(sk) {
        // SAFETY: The socket is locked.
        unsafe { af_ops(sk).write_volatile((*tables()).af_base[index]) };
    }
}

/// TCP's table behind the one of `sk`, ours or not.
pub(crate) fn base_af_ops(sk: Sk<'_>) -> &'static AfOps {
    // SAFETY: The socket is alive, and the tables live as long as the kernel or the module.
    unsafe {
        match own_af_index(sk) {
            Some(index) => &*(*tables()).af_base[index],
            None => &**af_ops(sk),
        }
    }
}

/// Points `sk_prot` and, if there is a `struct socket`, its operations to ours. The socket locked.
pub(crate) fn install(sk: Sk<'_>, kind: Kind) {
    // SAFETY: The tables live as long as the module, on which the endpoint has a reference.
    unsafe {
        let tables = tables();
        let prot = addr_of_mut!((*tables).prot[family(sk)][kind as usize]);
        let ops = kind.ops(base_ops(sk), addr_of!((*tables).ops[family(sk)]));
        bindings::tcpcrypt_set_prot(sk.as_ptr(), prot, ops);
    }
}

/// Points `sk_prot` to TCP's, which children inherit, and the operations of the `struct socket` to those of a listener
/// with an endpoint. The socket locked.
pub(crate) fn install_listener(sk: Sk<'_>) {
    // SAFETY: As `install`.
    unsafe {
        bindings::tcpcrypt_set_prot(
            sk.as_ptr(),
            ptr::from_ref(base_prot(sk)).cast_mut(),
            addr_of!((*tables()).listener_ops[family(sk)]),
        );
    }
}

/// Points `sk_prot` and the socket's operations back to TCP's, where they are ours. The socket locked.
pub(crate) fn restore(sk: Sk<'_>) {
    // SAFETY: The kernel's tables live for ever.
    unsafe {
        bindings::tcpcrypt_set_prot(
            sk.as_ptr(),
            ptr::from_ref(base_prot(sk)).cast_mut(),
            base_ops(sk),
        )
    };
}

/// Points `sk_prot` back to TCP's, and leaves the rest: for close().
pub(crate) fn restore_prot(sk: Sk<'_>) {
    // SAFETY: As above.
    unsafe {
        bindings::tcpcrypt_set_prot(
            sk.as_ptr(),
            ptr::from_ref(base_prot(sk)).cast_mut(),
            ptr::null(),
        )
    };
}

/// Takes a reference on this module. EINVAL if it is being unloaded.
pub(crate) fn get_module() -> Result {
    // SAFETY: Our own module.
    if unsafe { bindings::tcpcrypt_try_module_get(module()) } {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// Drops a reference. The caller's last instructions are waited for by the module's exit.
pub(crate) fn put_module() {
    // SAFETY: A reference that `get_module` took.
    unsafe { bindings::module_put(module()) };
}

fn module() -> *mut bindings::module {
    // SAFETY: Only gives an address.
    unsafe { bindings::tcpcrypt_this_module() }
}

/// Fills the tables. Process context, once, before anything is registered.
///
/// EINVAL if TCP's tables are not what this was written for.
pub(crate) fn build<T: Endpoint>() -> Result {
    let tables = tables();
    let mut af_base = [ptr::null(); 3];
    for (index, domain) in [bindings::AF_INET, bindings::AF_INET6]
        .into_iter()
        .enumerate()
    {
        // SAFETY: A family number.
        af_base[index] = unsafe { bindings::tcpcrypt_af_ops_of_family(domain as i32) };
    }
    if af_base[0].is_null() {
        return Err(EINVAL);
    }
    // Without IPv6 its entry repeats IPv4's: no socket will ask for it.
    if af_base[1].is_null() {
        af_base[1] = af_base[0];
    }

    for v6 in [false, true] {
        let family = usize::from(v6);
        // SAFETY: Statics of the kernel; nobody reads our tables yet.
        unsafe {
            let (prot, ops): (*const bindings::proto, *const bindings::proto_ops) = if v6 {
                (
                    addr_of!(bindings::tcpv6_prot),
                    addr_of!(bindings::inet6_stream_ops),
                )
            } else {
                (
                    addr_of!(bindings::tcp_prot),
                    addr_of!(bindings::inet_stream_ops),
                )
            };
            for kind in Kind::ALL {
                let copy = addr_of_mut!((*tables).prot[family][kind as usize]);
                ptr::copy_nonoverlapping(prot, copy, 1);
                adapters::override_prot::<T>(&mut *copy, kind);
            }
            let copy = addr_of_mut!((*tables).ops[family]);
            ptr::copy_nonoverlapping(ops, copy, 1);
            adapters::override_ops::<T>(&mut *copy);
            listener_calls::override_ops::<T>(&mut *copy);
            let copy = addr_of_mut!((*tables).listener_ops[family]);
            ptr::copy_nonoverlapping(ops, copy, 1);
            listener_calls::override_listener_ops::<T>(&mut *copy);
            (*tables).af_base[family] = af_base[family];
            (*tables).af[family] = *af_base[family];
            wire::override_af_ops::<T>(&mut *addr_of_mut!((*tables).af[family]));
        }
    }
    // SAFETY: As above.
    unsafe { super::ulp::fill::<T>(&mut *addr_of_mut!((*tables).ulp), module()) };
    Ok(())
}
