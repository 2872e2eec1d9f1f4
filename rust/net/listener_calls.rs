// SPDX-License-Identifier: GPL-2.0

//! The calls that a socket with an endpoint of the application's wish gets before it has a peer: connect(), accept(), and
//! the options of a listener.
//!
//! A listener's `sk_prot` is TCP's own, because children are made from it, so that its options can't be taken there, as
//! `adapters.rs` does. They are taken one step earlier, by the operations of its `struct socket`. Those are not inherited
//! by children, but by the `struct socket` that accept() makes for a child: see [`accept`].
//!
//! A socket keeps these operations when it stops listening, and TCP's `sk_prot` as well: it may be read by a softirq
//! that makes a child this very moment. What was ours before comes back with the next [`connect`].

use kernel::ffi::{
    c_char,
    c_int, //
};

use super::{
    adapters::{
        self,
        enter,
        Entry, //
    },
    attach,
    endpoint::Endpoint,
    errno,
    sock::Sk,
    tables, //
};
use crate::bindings;

/// Puts our functions into a copy of the stream sockets' `struct proto_ops`.
pub(crate) fn override_ops<T: Endpoint>(ops: &mut bindings::proto_ops) {
    ops.connect = Some(connect::<T>);
    // Also on sockets that do not listen: accept() may have begun before listen().
    ops.accept = Some(accept::<T>);
}

/// Puts those functions into the copy that are for listeners only.
pub(crate) fn override_listener_ops<T: Endpoint>(ops: &mut bindings::proto_ops) {
    override_ops::<T>(ops);
    ops.setsockopt = Some(setsockopt::<T>);
    ops.getsockopt = Some(getsockopt::<T>);
}

/// # Safety
///
/// As `proto_ops.connect`: process context, `sock` has a TCP sock for the time of the call.
unsafe extern "C" fn connect<T: Endpoint>(
    sock: *mut bindings::socket,
    address: *mut bindings::sockaddr_unsized,
    len: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { Sk::from_raw((*sock).sk) };
    let entry = enter!(T, sk);
    if entry.endpoint.is_some() && tables::is_plain(sk) && sk.state() == bindings::TCP_CLOSE {
        // It listened. Whoever still takes it for a listener got its sk_prot under RCU.
        // SAFETY: Process context, no lock is held. (The kernel crate has no name for it in 7.2.)
        unsafe { bindings::synchronize_net() };
        attach::stop_listening::<T>(&sk.lock());
    }
    let Some(base) = tables::base_ops(sk).connect else {
        return errno::opnotsupp().to_errno();
    };
    // SAFETY: As this function.
    let result = unsafe { base(sock, address, len, flags) };
    if let Some(endpoint) = entry.endpoint.as_ref().filter(|_| result == 0) {
        if let Err(error) = T::connected(endpoint.as_arc_borrow(), &mut sk.lock()) {
            return error.to_errno();
        }
    }
    result
}

/// accept(): a child that is attached has got its own operations when this returns, by `release_cb`, and any other TCP's.
///
/// # Safety
///
/// As `proto_ops.accept`: process context, both sockets alive, `sock` with a TCP sock, `newsock` without.
unsafe extern "C" fn accept<T: Endpoint>(
    sock: *mut bindings::socket,
    newsock: *mut bindings::socket,
    arg: *mut bindings::proto_accept_arg,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { Sk::from_raw((*sock).sk) };
    let ops = tables::base_ops(sk);
    // do_accept() gave it the operations of the listener, which hold no reference on this module for it: they have the
    // same owner as TCP's. kernel_accept() does so behind this call, so that a plain child would keep them, and refer to
    // them when the module is gone. Nothing here can undo that, so that the kernel is refused: a listener to which an
    // application attached is none that a kernel service can use. (One that takes part by default has TCP's operations.)
    // SAFETY: Nobody else knows `newsock` yet: its file, if it has one, is not installed.
    unsafe {
        if (*newsock).ops.is_null() {
            return errno::opnotsupp().to_errno();
        }
        (*newsock).ops = ops;
    }
    let _entry = enter!(T, sk);
    match ops.accept {
        // SAFETY: As this function.
        Some(accept) => unsafe { accept(sock, newsock, arg) },
        None => errno::opnotsupp().to_errno(),
    }
}

/// # Safety
///
/// As `proto_ops.setsockopt`: process context, `sock` has a TCP sock, `value` has `len` bytes.
unsafe extern "C" fn setsockopt<T: Endpoint>(
    sock: *mut bindings::socket,
    level: c_int,
    option: c_int,
    value: bindings::sockptr_t,
    len: u32,
) -> c_int {
    // SAFETY: By the requirements of this function. sock_common_setsockopt(), which is TCP's, does the same.
    unsafe { adapters::setsockopt::<T>((*sock).sk, level, option, value, len) }
}

/// # Safety
///
/// As `proto_ops.getsockopt`: process context, `sock` has a TCP sock, user pointers.
unsafe extern "C" fn getsockopt<T: Endpoint>(
    sock: *mut bindings::socket,
    level: c_int,
    option: c_int,
    value: *mut c_char,
    len: *mut c_int,
) -> c_int {
    // SAFETY: By the requirements of this function. sock_common_getsockopt(), which is TCP's, does the same.
    unsafe { adapters::getsockopt::<T>((*sock).sk, level, option, value, len) }
}
