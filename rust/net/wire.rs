// SPDX-License-Identifier: GPL-2.0

//! The handshake on the wire: what leaves and what TCP accepted.
//!
//! Segments of attached sockets are seen in `queue_xmit` of their own address-family operations, after TCP built them and
//! before there is an IP header; other sockets' segments pass nothing of ours. SYN-ACKs are sent for request sockets,
//! which share their operations, so that they are seen by a netfilter hook at LOCAL_OUT. The hook is registered in a
//! network namespace from the moment that one of its listeners may answer an offer.
//!
//! What is received is seen after TCP accepted it, as MPTCP does: the SYN-ACK in `sk_rx_dst_set`, the segment that ends
//! a handshake in `syn_recv_sock`.

use core::ptr;

use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
};

use super::{
    attach,
    endpoint::{
        Admission,
        Endpoint,
        Neighbours,
        Outgoing,
        Part,
        Xmit, //
    },
    errno,
    saved_syn::{
        self,
        Kept,
        SavedSyn, //
    },
    sock::{
        BhSock,
        Sk, //
    },
    tables, //
};
use crate::{
    bindings,
    proto::eno::{
        self,
        TcpOptions, //
    },
};

/// The TCP header without options.
pub(crate) const TCP_HEADER: usize = 20;

/// Puts our functions into a copy of TCP's address-family operations.
pub(crate) fn override_af_ops<T: Endpoint>(ops: &mut bindings::inet_connection_sock_af_ops) {
    ops.queue_xmit = Some(queue_xmit::<T>);
    ops.sk_rx_dst_set = Some(sk_rx_dst_set::<T>);
    ops.conn_request = Some(conn_request::<T>);
    ops.syn_recv_sock = Some(syn_recv_sock::<T>);
}

/// The TCP header of a segment, and the option bytes behind it.
///
/// # Safety
///
/// `skb` must be a TCP segment whose transport header is set and linear, for `'a`.
unsafe fn header<'a>(skb: *const bindings::sk_buff) -> (&'a bindings::tcphdr, &'a [u8]) {
    // SAFETY: By the requirements of this function.
    unsafe { split_header(bindings::tcpcrypt_tcp_hdr(skb)) }
}

/// The TCP header at `th`, and the option bytes behind it.
///
/// # Safety
///
/// `th` must point to a TCP header with as many words as it says, for `'a`.
pub(crate) unsafe fn split_header<'a>(
    th: *const bindings::tcphdr,
) -> (&'a bindings::tcphdr, &'a [u8]) {
    // SAFETY: By the requirements of this function. `doff` counts words of the header.
    unsafe {
        let len = usize::from((*th).doff()) * 4;
        let options = core::slice::from_raw_parts(
            th.cast::<u8>().add(TCP_HEADER),
            len.saturating_sub(TCP_HEADER),
        );
        (&*th, options)
    }
}

/// Replaces the options of a segment that leaves. ENOMEM.
///
/// # Safety
///
/// `skb` must be an outgoing segment that is the caller's, with no more option bytes than `options`; with `ip_header` its
/// data begin with the IP header, without with the TCP header.
unsafe fn set_options(
    skb: *mut bindings::sk_buff,
    options: &TcpOptions,
    ip_header: bool,
) -> Result {
    let options = options.as_bytes();
    let len = options.len() as u32;
    // SAFETY: By the requirements of this function. What is added is no more than all.
    unsafe {
        to_result(bindings::tcpcrypt_skb_cow_head(skb, len))?;
        bindings::tcpcrypt_set_tcp_options(skb, options.as_ptr(), len, ip_header);
    }
    Ok(())
}

/// # Safety
///
/// As `queue_xmit`: the socket locked, `skb` given away.
unsafe extern "C" fn queue_xmit<T: Endpoint>(
    raw: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
    flow: *mut bindings::flowi,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { BhSock::new(Sk::from_raw(raw)) };
    // SAFETY: The socket is locked.
    if let Some(endpoint) = unsafe { attach::endpoint_of::<T>(sk.sk()) } {
        // SAFETY: TCP just built the segment.
        let (th, options) = unsafe { header(skb) };
        let segment = Outgoing {
            syn: th.syn() != 0,
            ack: th.ack() != 0,
            rst: th.rst() != 0,
            seq: u32::from_be(th.seq),
            // SAFETY: As above.
            payload: unsafe { bindings::tcpcrypt_tcp_payload(skb) },
            options,
        };
        match endpoint.outgoing(&sk, &segment) {
            Xmit::Pass => {}
            Xmit::SetOptions(options) => {
                // SAFETY: The segment is ours, and as TCP built it.
                let set = unsafe { set_options(skb, &options, false) };
                if set.is_err() {
                    // A segment without its option must not leave: TCP sends it again.
                    // SAFETY: The segment is ours.
                    unsafe { bindings::tcpcrypt_kfree_skb(skb) };
                    return errno::nobufs().to_errno();
                }
            }
            Xmit::Drop => {
                // SAFETY: The segment is ours.
                unsafe { bindings::tcpcrypt_kfree_skb(skb) };
                return 0;
            }
        }
    }
    match tables::base_af_ops(sk.sk()).queue_xmit {
        // SAFETY: As this function.
        Some(queue_xmit) => unsafe { queue_xmit(raw, skb, flow) },
        None => errno::nobufs().to_errno(),
    }
}

/// TCP calls it when it accepted a SYN-ACK, and for later segments when it has no route cached.
///
/// # Safety
///
/// As `sk_rx_dst_set`: the socket locked, `skb` a segment of it.
unsafe extern "C" fn sk_rx_dst_set<T: Endpoint>(
    raw: *mut bindings::sock,
    skb: *const bindings::sk_buff,
) {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { BhSock::new(Sk::from_raw(raw)) };
    let base = tables::base_af_ops(sk.sk());
    if let Some(set) = base.sk_rx_dst_set {
        // SAFETY: As this function.
        unsafe { set(raw, skb) };
    }
    if skb.is_null() {
        return;
    }
    // SAFETY: The segment was accepted, its header is linear.
    let (th, options) = unsafe { header(skb) };
    if th.syn() == 0 || th.ack() == 0 {
        return;
    }
    let Some(endpoint) = attach::endpoint::<T>(&sk) else {
        return;
    };
    match T::syn_ack(endpoint.as_arc_borrow(), &sk, options) {
        Some(Part::Takes) => attach::settle::<T>(&sk, &*endpoint),
        Some(part) => attach::follow::<T>(&sk, part),
        None => {}
    }
}

/// A SYN came to a listener. TCP sends the SYN-ACK within this call: [`local_out`] finds the offer by way of a per-CPU
/// variable, so that nothing is kept of SYNs that offer nothing.
///
/// Data beside the option are discarded: no TEP here defines a use for them, so that each case of RFC 8547 section 4.7
/// demands it, whatever Fast Open would do with them.
///
/// # Safety
///
/// As `conn_request`: softirq, the listener not locked.
unsafe extern "C" fn conn_request<T: Endpoint>(
    listener: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let Some(base) = tables::base_af_ops(unsafe { Sk::from_raw(listener) }).conn_request else {
        return 0;
    };
    // SAFETY: TCP checked the header.
    let (_, options) = unsafe { header(skb) };
    // SAFETY: As above; under RCU.
    let refused = unsafe {
        let listener = Sk::from_raw(listener);
        attach::endpoint_of::<T>(listener)
            .is_some_and(|endpoint| endpoint.refuses(listener, options))
    };
    if refused {
        // SAFETY: As this function.
        unsafe { bindings::tcpcrypt_send_reset(listener, skb) };
        return 0;
    }
    if !eno::has_eno(options) {
        // SAFETY: As this function.
        return unsafe { base(listener, skb) };
    }
    // SAFETY: Softirqs are off, so that this CPU does nothing else with the variable; the SYN lives as long as the call.
    unsafe {
        bindings::tcpcrypt_discard_syn_data(skb);
        bindings::tcpcrypt_set_current_syn(skb);
        let result = base(listener, skb);
        bindings::tcpcrypt_set_current_syn(ptr::null());
        result
    }
}

/// Has a listener answer offers. The socket locked. EBUSY if it is not an ordinary TCP socket.
pub(crate) fn start_answering(sk: &BhSock<'_>) -> Result {
    if !tables::has_known_af_ops(sk.sk()) {
        return Err(EBUSY);
    }
    tables::install_af_ops(sk.sk());
    Ok(())
}

/// Has a listener answer no more. The socket locked.
pub(crate) fn stop_answering(sk: &BhSock<'_>) {
    tables::restore_af_ops(sk.sk());
}

/// TCP makes a child out of a request whose handshake ended.
///
/// # Safety
///
/// As `syn_recv_sock`: softirq under RCU, the listener not locked; a child is returned locked.
unsafe extern "C" fn syn_recv_sock<T: Endpoint>(
    listener: *const bindings::sock,
    skb: *mut bindings::sk_buff,
    req: *mut bindings::request_sock,
    dst: *mut bindings::dst_entry,
    req_unhash: *mut bindings::request_sock,
    own_req: *mut bool,
    opt_child_init: Option<
        unsafe extern "C" fn(newsk: *mut bindings::sock, sk: *const bindings::sock),
    >,
) -> *mut bindings::sock {
    // SAFETY: By the requirements of this function.
    let lsk = unsafe { Sk::from_raw(listener.cast_mut()) };
    let Some(base) = tables::base_af_ops(lsk).syn_recv_sock else {
        return ptr::null_mut();
    };
    // SAFETY: The segment was checked by TCP. The request lives as long as this call, which is under RCU; what it saved
    // goes to the child below, or to that which another CPU makes of the same request at the same time.
    let (th, ack_options, saved) = unsafe {
        let (th, options) = header(skb);
        (th, options, SavedSyn::of(req))
    };
    let is_saved_by_us = saved.as_ref().is_some_and(SavedSyn::is_ours);
    // With TCP Fast Open the "segment that ends the handshake" is the SYN itself.
    let answered = saved
        .as_ref()
        .map(SavedSyn::answered)
        .filter(|_| th.syn() == 0);
    let admission = if tables::is_plain(lsk) {
        // SAFETY: Under RCU.
        let endpoint = unsafe { attach::endpoint_of::<T>(lsk) };
        T::admit(lsk, endpoint.as_deref(), answered, ack_options)
    } else {
        Admission::Plain
    };
    // The request of a SYN cookie is made for this call, and is in no table.
    // SAFETY: As this function.
    let is_past = || !req_unhash.is_null() && unsafe { bindings::tcpcrypt_is_past(req) };
    let mut endpoint = match admission {
        Admission::Plain => None,
        Admission::Attach(endpoint) => {
            if tables::get_module().is_err() {
                return ptr::null_mut();
            }
            Some(endpoint)
        }
        Admission::Later => return ptr::null_mut(),
        // Another CPU has made the child of this request, and with it took the SYN: TCP finds that out.
        Admission::Refuse if is_past() => None,
        Admission::Refuse => {
            // Not for the SYN of a Fast Open: what comes of that is an ordinary handshake.
            if th.syn() == 0 {
                if let Some(saved) = &saved {
                    saved.spoil();
                }
                // SAFETY: As this function.
                unsafe { bindings::tcpcrypt_send_reset(listener, skb) };
            }
            return ptr::null_mut();
        }
    };

    let Ok(kept) = saved
        .as_ref()
        .filter(|saved| !saved.is_ours())
        .map(Kept::new)
        .transpose()
    else {
        // Without memory the peer sends the segment again.
        if endpoint.take().is_some() {
            tables::put_module();
        }
        return ptr::null_mut();
    };
    // SAFETY: As this function.
    let child = unsafe { base(listener, skb, req, dst, req_unhash, own_req, opt_child_init) };
    // SAFETY: `own_req` is valid and was set if there is a child.
    let owned = !child.is_null() && unsafe { *own_req };
    // A child that is not the request's own was destroyed already.
    if owned {
        // SAFETY: The child is returned locked.
        let child = unsafe { BhSock::new(Sk::from_raw(child)) };
        tables::restore_af_ops(child.sk());
        if is_saved_by_us {
            // SAFETY: The child was given the copy of the SYN, is locked and not known to its application yet.
            unsafe { bindings::tcpcrypt_free_saved_syn(child.as_ptr()) };
        } else if let Some(kept) = kept {
            kept.taken_by(&child);
        }
        if let Some(endpoint) = endpoint.take() {
            attach::attach_child(&child, endpoint);
            // SAFETY: The child is locked.
            if let Some(endpoint) = unsafe { attach::endpoint_of::<T>(child.sk()) } {
                T::admitted(endpoint, &child);
            }
        }
    }
    if endpoint.is_some() {
        // It found no child.
        drop(endpoint);
        tables::put_module();
    }
    child
}

/// Before connection tracking (-200), which then sees what leaves.
const PRIORITY: c_int = -201;

/// The netfilter hook for SYN-ACKs, in IPv4 and IPv6.
pub(crate) struct SynAckHook([bindings::nf_hook_ops; 2]);

// SAFETY: The structure is only read, and its pointers are to functions.
unsafe impl Send for SynAckHook {}
// SAFETY: As above.
unsafe impl Sync for SynAckHook {}

impl SynAckHook {
    /// The hook of endpoints `T`.
    pub(crate) const fn new<T: Endpoint>() -> Self {
        Self([
            hook_ops::<T>(bindings::NFPROTO_IPV4 as u8),
            hook_ops::<T>(bindings::NFPROTO_IPV6 as u8),
        ])
    }

    /// Registers it in a namespace. Process context, may sleep.
    ///
    /// # Safety
    ///
    /// `net` must be alive, and [`SynAckHook::unregister`] be called before it dies and before the module is unloaded.
    pub(crate) unsafe fn register(&'static self, net: *mut bindings::net) -> Result {
        // SAFETY: By the requirements; the structures are static.
        to_result(unsafe {
            bindings::nf_register_net_hooks(net, self.0.as_ptr(), self.0.len() as c_uint)
        })
    }

    /// Undoes [`SynAckHook::register`]. When it returns no call is under way.
    ///
    /// # Safety
    ///
    /// It must be registered in `net`.
    pub(crate) unsafe fn unregister(&'static self, net: *mut bindings::net) {
        // SAFETY: By the requirements of this function.
        unsafe { bindings::nf_unregister_net_hooks(net, self.0.as_ptr(), self.0.len() as c_uint) }
    }
}

const fn hook_ops<T: Endpoint>(pf: u8) -> bindings::nf_hook_ops {
    // SAFETY: All zeros are a valid value of a structure of pointers and numbers.
    let mut ops: bindings::nf_hook_ops = unsafe { core::mem::zeroed() };
    ops.hook = Some(local_out::<T>);
    ops.pf = pf;
    ops.hooknum = bindings::nf_inet_hooks_NF_INET_LOCAL_OUT;
    ops.priority = PRIORITY;
    ops
}

/// # Safety
///
/// As a netfilter hook at LOCAL_OUT: under RCU, `skb` the caller's.
unsafe extern "C" fn local_out<T: Endpoint>(
    _priv: *mut c_void,
    skb: *mut bindings::sk_buff,
    state: *const bindings::nf_hook_state,
) -> c_uint {
    // SAFETY: By the requirements of this function.
    if unsafe { answer::<T>(skb, (*state).pf) }.is_err() {
        // SYN-ACKs are sent again.
        return bindings::NF_DROP;
    }
    bindings::NF_ACCEPT
}

/// Adds the answer to an offer to a SYN-ACK. Err if it could not be added.
///
/// # Safety
///
/// As of [`local_out`].
unsafe fn answer<T: Endpoint>(skb: *mut bindings::sk_buff, pf: u8) -> Result {
    // SAFETY: By the requirements; a socket in `skb->sk` is kept by the packet.
    let req: *mut bindings::request_sock = unsafe { (*skb).sk.cast() };
    if req.is_null() {
        return Ok(());
    }
    // SAFETY: Full, request and time-wait sockets begin with the same structure.
    let state = u32::from(unsafe { (*req).__req_common.skc_state });
    // SAFETY: The packet has its IP header.
    let is_tcp = unsafe { bindings::tcpcrypt_skb_is_tcp(skb, pf) };
    if state != bindings::TCP_NEW_SYN_RECV || !is_tcp {
        return Ok(());
    }
    // SAFETY: In this state it is a request socket. Its listener lives as long.
    let listener = unsafe { (*req).__req_common.__bindgen_anon_5.skc_listener };
    if listener.is_null() {
        return Ok(());
    }
    // SAFETY: As above; a listener of a TCP request is a full TCP socket.
    let listener = unsafe { Sk::from_raw(listener) };
    if !tables::has_own_af_ops(listener) || !tables::is_plain(listener) {
        return Ok(());
    }
    // SAFETY: The packet is a segment that TCP built.
    let (th, options) = unsafe { header(skb) };
    if th.syn() == 0 || th.ack() == 0 {
        return Ok(());
    }
    // SAFETY: Under RCU; the current SYN is what this call answers.
    let (current, saved) = unsafe { (bindings::tcpcrypt_current_syn_of(req), SavedSyn::of(req)) };
    // One that is sent again is as it was (RFC 8547 section 4.6).
    if let Some((option, _)) = saved.as_ref().and_then(|saved| saved.answered().reply) {
        let all = eno::append(options, option).ok_or(ENOSPC)?;
        // SAFETY: The packet is ours at the hook.
        return unsafe { set_options(skb, &all, true) };
    }
    // The SYN was saved at the application's wish, or this is the first SYN-ACK.
    let syn_options = match &saved {
        Some(saved) => saved.tcp_options(),
        None if current.is_null() => return Ok(()),
        // SAFETY: As above.
        None => unsafe { header(current) }.1,
    };
    let neighbours = Neighbours {
        options,
        is_kept: saved.is_none(),
        is_first: !current.is_null(),
    };
    // SAFETY: Under RCU.
    let endpoint = unsafe { attach::endpoint_of::<T>(listener) };
    let Some(reply) = T::answer(listener, endpoint.as_deref(), syn_options, &neighbours) else {
        return Ok(());
    };
    let all = eno::append(options, reply.option.as_bytes()).ok_or(ENOSPC)?;
    if saved.is_none() {
        // For the SYN-ACKs to come, and for the transcript. Without memory this SYN-ACK is dropped, and the next one,
        // for which there is no current SYN, leaves plain.
        // SAFETY: The request is not known to anybody else yet, as no SYN-ACK left, and has no saved SYN.
        unsafe { saved_syn::save(req, current, &reply) }?;
    }
    // SAFETY: The packet is ours at the hook.
    unsafe { set_options(skb, &all, true) }
}
