// SPDX-License-Identifier: GPL-2.0

//! The registration as an upper layer protocol of TCP: setsockopt(TCP_ULP), children, destruction, inet_diag.

use kernel::{
    error::to_result,
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*,
};

use super::{
    attach,
    endpoint::Endpoint,
    errno,
    locked::LockedSock,
    sock::{
        BhSock,
        Sk, //
    },
    tables, //
};
use crate::bindings;

/// Fills the operations that [`Ulp::register`] registers.
pub(crate) fn fill<T: Endpoint>(ops: &mut bindings::tcp_ulp_ops, owner: *mut bindings::module) {
    ops.init = Some(init::<T>);
    ops.release = Some(release::<T>);
    ops.clone = Some(clone);
    ops.get_info = Some(get_info::<T>);
    ops.get_info_size = Some(get_info_size);
    for (to, from) in ops.name.iter_mut().zip(T::NAME.bytes()) {
        *to = from as c_char;
    }
    ops.owner = owner;
}

/// The ULP, registered; drop unregisters it.
///
/// # Invariants
///
/// [`tables::ulp_ops`] is registered.
pub(crate) struct Ulp(());

impl Ulp {
    /// Registers the operations of [`tables::build`], which must have run. EEXIST if the name is taken. May sleep.
    pub(crate) fn register() -> Result<Self> {
        // SAFETY: The operations are filled and static.
        to_result(unsafe { bindings::tcp_register_ulp(tables::ulp_ops()) })?;
        // INVARIANT: Just registered.
        Ok(Self(()))
    }
}

impl Drop for Ulp {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. No socket has the ULP: each holds a module reference.
        unsafe { bindings::tcp_unregister_ulp(tables::ulp_ops()) };
    }
}

/// # Safety
///
/// As `tcp_ulp_ops.init`: process context, the socket owned, no ULP attached.
unsafe extern "C" fn init<T: Endpoint>(sk: *mut bindings::sock) -> c_int {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { LockedSock::borrowed(Sk::from_raw(sk)) };
    // Only sockets that are TCP's own and not open yet.
    if sk.state() != bindings::TCP_CLOSE {
        return errno::isconn().to_errno();
    }
    if !tables::is_plain(sk.sk()) || !tables::has_known_af_ops(sk.sk()) {
        return EBUSY.to_errno();
    }
    match T::attach(&sk) {
        Ok(endpoint) => {
            attach::attach_explicit(&sk, endpoint);
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// As `tcp_ulp_ops.release`: the socket is being destroyed.
unsafe extern "C" fn release<T: Endpoint>(sk: *mut bindings::sock) {
    // SAFETY: By the requirements of this function.
    attach::release::<T>(unsafe { Sk::from_raw(sk) });
}

/// Every child begins as plain TCP; `syn_recv_sock` attaches to those that negotiated. The kernel takes no module
/// reference for a child.
///
/// # Safety
///
/// As `tcp_ulp_ops.clone`: softirq, the child locked.
unsafe extern "C" fn clone(
    _req: *const bindings::request_sock,
    child: *mut bindings::sock,
    _flags: bindings::gfp_t,
) {
    // SAFETY: By the requirements of this function.
    attach::detach_child(&unsafe { BhSock::new(Sk::from_raw(child)) });
}

/// Writes attributes for inet_diag.
pub(crate) struct DiagWriter {
    skb: *mut bindings::sk_buff,
    result: Result,
}

impl DiagWriter {
    /// Adds an attribute. What does not fit fails the whole message.
    pub(crate) fn put(&mut self, attribute: u32, value: &[u8]) {
        if self.result.is_ok() {
            // SAFETY: The buffer is valid during `get_info`; `value` is valid for reads.
            self.result = to_result(unsafe {
                bindings::nla_put(
                    self.skb,
                    attribute as c_int,
                    value.len() as c_int,
                    value.as_ptr().cast(),
                )
            });
        }
    }
}

/// # Safety
///
/// As `tcp_ulp_ops.get_info`: under RCU, the socket not locked.
unsafe extern "C" fn get_info<T: Endpoint>(
    sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
    net_admin: bool,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { Sk::from_raw(sk) };
    // SAFETY: Under RCU.
    let Some(endpoint) = (unsafe { attach::endpoint_of::<T>(sk) }) else {
        return 0;
    };
    if !net_admin {
        return 0;
    }
    // SAFETY: The buffer is valid.
    let nest = unsafe { bindings::tcpcrypt_nla_nest_start(skb, bindings::TCP_CRYPT_DIAG as c_int) };
    if nest.is_null() {
        return EMSGSIZE;
    }
    let mut out = DiagWriter {
        skb,
        result: Ok(()),
    };
    endpoint.diagnose(sk, &mut out);
    // SAFETY: `nest` was just begun in this buffer.
    unsafe { bindings::tcpcrypt_nla_nest_end(skb, nest) };
    match out.result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

const EMSGSIZE: c_int = -(bindings::EMSGSIZE as c_int);

/// Room for the nest and its attributes: the largest is a session ID of 33 bytes.
///
/// # Safety
///
/// None.
unsafe extern "C" fn get_info_size(_sk: *const bindings::sock, _net_admin: bool) -> usize {
    128
}
