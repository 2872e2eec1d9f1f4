// SPDX-License-Identifier: GPL-2.0

//! The moments at which a socket opens: a probe on the tracepoint `inet_sock_set_state`.
//!
//! The kernel has no other hook at which a module learns, without the application's help, that a socket is about to
//! connect or to listen. The tracepoint fires before the state changes: in process context with the socket owned for
//! connect() and listen(), and in softirq for what the network causes. The probe must not sleep.

use core::ptr::{
    self,
    NonNull, //
};

use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    str::CStrExt, //
};

use super::{
    attach,
    endpoint::{
        Endpoint,
        Part, //
    },
    sock::{
        BhSock,
        Sk, //
    },
    tables,
    wire, //
};
use crate::bindings;

/// The probe, registered; drop unregisters it and waits for calls under way.
///
/// # Invariants
///
/// `tracepoint` is the one on which `probe` is registered.
pub(crate) struct StateProbe {
    tracepoint: NonNull<bindings::tracepoint>,
    probe: *mut c_void,
}

// SAFETY: Tracepoints belong to no thread.
unsafe impl Send for StateProbe {}
// SAFETY: As above; there is nothing to do with a shared one.
unsafe impl Sync for StateProbe {}

impl StateProbe {
    /// Registers the probe for endpoints `T`. ENOENT if the kernel has no such tracepoint, ENOMEM. May sleep.
    pub(crate) fn new<T: Endpoint>() -> Result<Self> {
        let mut found: *mut bindings::tracepoint = ptr::null_mut();
        // SAFETY: `pick` writes to `found` during the call only.
        unsafe { bindings::for_each_kernel_tracepoint(Some(pick), (&raw mut found).cast()) };
        let tracepoint = NonNull::new(found).ok_or(ENOENT)?;
        let probe: unsafe extern "C" fn(*mut c_void, *const bindings::sock, c_int, c_int) =
            set_state::<T>;
        let probe = probe as *mut c_void;
        // SAFETY: The probe has the tracepoint's prototype (TP_PROTO), with the data pointer in front.
        to_result(unsafe { bindings::tracepoint_probe_register(found, probe, ptr::null_mut()) })?;
        Ok(Self { tracepoint, probe })
    }
}

impl Drop for StateProbe {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::tracepoint_probe_unregister(
                self.tracepoint.as_ptr(),
                self.probe,
                ptr::null_mut(),
            );
            bindings::tcpcrypt_tracepoint_synchronize();
        }
    }
}

/// # Safety
///
/// `tracepoint` must be valid, `found` a pointer to a pointer.
unsafe extern "C" fn pick(tracepoint: *mut bindings::tracepoint, found: *mut c_void) {
    // SAFETY: By the requirements of this function.
    unsafe {
        if CStr::from_char_ptr((*tracepoint).name.cast()) == c"inet_sock_set_state" {
            *found.cast::<*mut bindings::tracepoint>() = tracepoint;
        }
    }
}

/// # Safety
///
/// As a probe of `inet_sock_set_state`.
unsafe extern "C" fn set_state<T: Endpoint>(
    _data: *mut c_void,
    raw: *const bindings::sock,
    old: c_int,
    new: c_int,
) {
    let (old, new) = (old as u32, new as u32);
    // What concerns us, before anything else: the probe runs for every state of every socket.
    let opening = old == bindings::TCP_CLOSE
        && (new == bindings::TCP_SYN_SENT || new == bindings::TCP_LISTEN);
    // A SYN-ACK establishes in SYN_SENT (`wire.rs`); a SYN leads to SYN_RECV, in which children begin, too.
    let undecided = old == bindings::TCP_SYN_SENT
        && !matches!(new, bindings::TCP_ESTABLISHED | bindings::TCP_SYN_RECV)
        || old == bindings::TCP_SYN_RECV;
    let unlistened = old == bindings::TCP_LISTEN;
    if !(opening || undecided || unlistened) {
        return;
    }
    // SAFETY: By the requirements of this function. Other protocols' sockets use the tracepoint as well (MPTCP).
    if u32::from(unsafe { (*raw).sk_protocol }) != bindings::IPPROTO_TCP {
        return;
    }
    // SAFETY: A full TCP socket, which the caller has locked.
    let sk = unsafe { BhSock::new(Sk::from_raw(raw.cast_mut())) };
    match new {
        bindings::TCP_SYN_SENT => connect::<T>(&sk),
        bindings::TCP_LISTEN => listen::<T>(&sk),
        _ if unlistened => {
            if tables::has_own_af_ops(sk.sk()) {
                wire::stop_answering(&sk);
            }
        }
        bindings::TCP_ESTABLISHED => crossed::<T>(&sk),
        _ => unopened::<T>(&sk, old, new),
    }
}

fn connect<T: Endpoint>(sk: &BhSock<'_>) {
    match attach::endpoint::<T>(sk) {
        Some(endpoint) => {
            // TCP_ULP took no other.
            tables::install_af_ops(sk.sk());
            let part = T::opening(endpoint.as_arc_borrow(), sk);
            if part == Part::Takes {
                endpoint.offers(sk);
            }
            attach::follow::<T>(sk, part);
        }
        None if attach::has_ulp(sk) || !tables::is_plain(sk.sk()) => {}
        None => {
            if let Some(endpoint) = T::connecting(sk) {
                // A socket that can't be attached to stays plain.
                if attach::attach_opening(sk, endpoint.clone()).is_ok() {
                    endpoint.offers(sk);
                }
            }
        }
    }
}

fn listen<T: Endpoint>(sk: &BhSock<'_>) {
    match attach::endpoint::<T>(sk) {
        Some(_) => {
            attach::start_listening(sk);
            // The application may change its mind later: it is asked for each SYN.
            let _ = wire::start_answering(sk);
        }
        None => listen_by_default::<T>(sk),
    }
}

/// Has a listener answer offers if the namespace's default says so. Atomic, the socket locked.
pub(crate) fn listen_by_default<T: Endpoint>(sk: &BhSock<'_>) {
    if !attach::has_ulp(sk) && tables::is_plain(sk.sk()) && T::listening(sk) {
        let _ = wire::start_answering(sk);
    }
}

/// A child is established, or a simultaneous open came to its end.
fn crossed<T: Endpoint>(sk: &BhSock<'_>) {
    let Some(endpoint) = attach::endpoint::<T>(sk).filter(|endpoint| endpoint.is_opening()) else {
        return;
    };
    // TCP announces the segment's own data next.
    match T::crossed(endpoint.as_arc_borrow(), sk) {
        Part::Takes => attach::settle::<T>(sk, &*endpoint),
        part => attach::follow::<T>(sk, part),
    }
}

/// The connect() failed or was given up; or a child was.
fn unopened<T: Endpoint>(sk: &BhSock<'_>, old: u32, new: u32) {
    let Some(endpoint) = attach::endpoint::<T>(sk) else {
        return;
    };
    if old == bindings::TCP_SYN_RECV && !endpoint.is_opening() {
        return;
    }
    endpoint.unopened(sk);
    if endpoint.attachment().is_explicit() && new == bindings::TCP_CLOSE {
        // The application's wish holds for its next connect() too; only the address family's functions depend on it.
        tables::restore_af_ops(sk.sk());
    } else {
        attach::detach::<T>(sk);
    }
}
