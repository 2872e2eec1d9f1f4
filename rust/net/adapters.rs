// SPDX-License-Identifier: GPL-2.0

//! The socket calls of an attached socket: one short function for each of the kernel's pointers in `struct proto` and
//! `struct proto_ops`, which makes the safe types and calls the [`Endpoint`].
//!
//! Every function looks the endpoint up anew, for a socket may be handed back to plain TCP between any two of them, and
//! then calls what the kernel would have called.

use kernel::{
    ffi::{
        c_char,
        c_int,
        c_long, //
    },
    prelude::*,
    sync::Arc,
};

use super::{
    attach,
    endpoint::{
        Answer,
        Close,
        Endpoint, //
    },
    errno,
    locked::LockedSock,
    options::{
        OptionReader,
        OptionWriter, //
    },
    pages::Msg,
    sock::{
        BhSock,
        Sk, //
    },
    tables::{
        self,
        Kind, //
    },
};
use crate::bindings;

/// Puts our functions into a copy of TCP's `struct proto`.
pub(crate) fn override_prot<T: Endpoint>(prot: &mut bindings::proto, kind: Kind) {
    prot.disconnect = Some(disconnect::<T>);
    prot.setsockopt = Some(setsockopt::<T>);
    prot.getsockopt = Some(getsockopt::<T>);
    if kind == Kind::Options {
        return;
    }
    prot.sendmsg = Some(sendmsg::<T>);
    if kind == Kind::Opened {
        return;
    }
    prot.recvmsg = Some(recvmsg::<T>);
    prot.close = Some(close::<T>);
    prot.shutdown = Some(shutdown::<T>);
    prot.ioctl = Some(ioctl::<T>);
    prot.keepalive = Some(keepalive::<T>);
    if kind == Kind::Unaccepted {
        prot.release_cb = Some(release_cb::<T>);
    }
    // sk_msg and sockmap would read ciphertext: sk_psock_init() refuses a socket with a ULP anyway.
    prot.psock_update_sk_prot = None;
}

/// Puts our functions into a copy of the stream sockets' `struct proto_ops`.
pub(crate) fn override_ops<T: Endpoint>(ops: &mut bindings::proto_ops) {
    ops.poll = Some(poll::<T>);
    // Without a function of the socket's, splice() reads through recvmsg() into pages of its own.
    ops.splice_read = None;
    ops.read_sock = Some(read_sock::<T>);
    ops.read_skb = Some(read_skb::<T>);
    ops.sendmsg_locked = Some(sendmsg_locked::<T>);
    ops.peek_len = Some(peek_len::<T>);
    // TCP_ZEROCOPY_RECEIVE maps the receive queue.
    ops.mmap = Some(bindings::sock_no_mmap);
}

/// The result of a call as C sees it.
fn to_c(result: Result<usize>) -> c_int {
    match result {
        Ok(n) => c_int::try_from(n).unwrap_or(c_int::MAX),
        Err(error) => error.to_errno(),
    }
}

fn status(result: Result) -> c_int {
    to_c(result.map(|()| 0))
}

/// The endpoint of a socket that is in use by a file or by the kernel, with a reference; not locked.
fn endpoint<T: Endpoint>(sk: Sk<'_>) -> Option<Arc<T>> {
    let _rcu = kernel::sync::rcu::read_lock();
    // SAFETY: Under RCU, in which a reference is taken.
    unsafe { attach::endpoint_of::<T>(sk) }.map(Arc::from)
}

/// A call that may sleep: its endpoint, and what keeps this code loaded.
///
/// An attached socket keeps the module loaded as long as its file is open. Where it is not attached any more, or may be
/// handed back to plain TCP while the call sleeps, the call holds a reference of its own. What runs before it is taken
/// and after it is dropped does not sleep, and is waited for by the module's exit.
pub(super) struct Entry<T: Endpoint> {
    pub(super) endpoint: Option<Arc<T>>,
    _stay: Option<Stay>,
}

impl<T: Endpoint> Entry<T> {
    /// EINTR if the module is being unloaded this very moment: the caller repeats the call, and finds plain TCP.
    pub(super) fn new(sk: Sk<'_>) -> Result<Self> {
        let endpoint = endpoint::<T>(sk);
        let settled = endpoint
            .as_ref()
            .is_some_and(|endpoint| endpoint.is_settled());
        let stay = if settled {
            None
        } else {
            Some(Stay::new().ok_or(EINTR)?)
        };
        Ok(Self {
            endpoint,
            _stay: stay,
        })
    }
}

/// As `?`, in functions that C calls.
macro_rules! enter {
    ($type:ty, $sk:expr) => {
        match Entry::<$type>::new($sk) {
            Ok(entry) => entry,
            Err(error) => return error.to_errno(),
        }
    };
}
pub(super) use enter;

/// # Safety
///
/// As `proto.sendmsg`: process context, `sk` alive, `msg` valid.
unsafe extern "C" fn sendmsg<T: Endpoint>(
    sk: *mut bindings::sock,
    msg: *mut bindings::msghdr,
    len: usize,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    let _entry = enter!(T, socket);
    // SAFETY: By the requirements of this function.
    unsafe { send_owned::<T>(&mut socket.lock(), msg, len) }
}

/// # Safety
///
/// As `proto_ops.sendmsg_locked`: as `sendmsg`, and the caller owns the socket.
unsafe extern "C" fn sendmsg_locked<T: Endpoint>(
    sk: *mut bindings::sock,
    msg: *mut bindings::msghdr,
    len: usize,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    let _entry = enter!(T, socket);
    // SAFETY: As above. TCP's own drops the lock as well.
    let mut locked = unsafe { LockedSock::borrowed(socket) };
    // SAFETY: As above.
    unsafe { send_owned::<T>(&mut locked, msg, len) }
}

/// # Safety
///
/// `msg` must be a valid message of this call.
unsafe fn send_owned<T: Endpoint>(
    sk: &mut LockedSock<'_>,
    msg: *mut bindings::msghdr,
    len: usize,
) -> c_int {
    if let Some(endpoint) = attach::endpoint::<T>(&sk.as_bh()) {
        // SAFETY: By the requirements of this function.
        let mut message = unsafe { Msg::from_raw(msg) };
        if let Answer::Done(result) = T::send(endpoint.as_arc_borrow(), sk, &mut message) {
            return to_c(result);
        }
    }
    // SAFETY: The socket is plain TCP, and owned.
    unsafe { bindings::tcp_sendmsg_locked(sk.as_ptr(), msg, len) }
}

/// # Safety
///
/// As `proto.recvmsg`: process context, `sk` alive, `msg` valid.
unsafe extern "C" fn recvmsg<T: Endpoint>(
    sk: *mut bindings::sock,
    msg: *mut bindings::msghdr,
    len: usize,
    flags: c_int,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    let _entry = enter!(T, socket);
    // The error queue is TCP's: it holds no stream data.
    if flags as u32 & bindings::MSG_ERRQUEUE == 0 {
        let mut locked = socket.lock();
        if let Some(endpoint) = attach::endpoint::<T>(&locked.as_bh()) {
            // SAFETY: By the requirements of this function.
            let mut message = unsafe { Msg::from_raw(msg) };
            let answer = T::receive(
                endpoint.as_arc_borrow(),
                &mut locked,
                &mut message,
                flags as u32,
            );
            if let Answer::Done(result) = answer {
                return to_c(result);
            }
        }
    }
    match tables::base_prot(socket).recvmsg {
        // SAFETY: As TCP's own, not locked.
        Some(recvmsg) => unsafe { recvmsg(sk, msg, len, flags) },
        None => errno::opnotsupp().to_errno(),
    }
}

/// # Safety
///
/// As `proto.close`: process context, and the caller's reference on `sk` goes with the call.
unsafe extern "C" fn close<T: Endpoint>(sk: *mut bindings::sock, timeout: c_long) {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    if let Some(endpoint) = endpoint::<T>(socket) {
        match T::close(endpoint.as_arc_borrow(), socket, timeout) {
            Close::Now => {}
            Close::Later => return,
        }
    }
    tables::restore_prot(socket);
    if let Some(close) = tables::base_prot(socket).close {
        // SAFETY: As this function; `sk_prot` is TCP's again.
        unsafe { close(sk, timeout) };
    }
}

/// # Safety
///
/// As `proto.shutdown`: process context, the socket owned.
unsafe extern "C" fn shutdown<T: Endpoint>(sk: *mut bindings::sock, how: c_int) {
    // SAFETY: By the requirements of this function. inet_shutdown() looks at nothing that it read before.
    let mut locked = unsafe { LockedSock::borrowed(Sk::from_raw(sk)) };
    if how as u32 & bindings::SEND_SHUTDOWN != 0 {
        if let Some(endpoint) = attach::endpoint::<T>(&locked.as_bh()) {
            if !T::shutdown_send(endpoint.as_arc_borrow(), &mut locked) {
                return;
            }
        }
    }
    if let Some(shutdown) = tables::base_prot(locked.sk()).shutdown {
        // SAFETY: As this function.
        unsafe { shutdown(sk, how) };
    }
}

/// TCP sends its FIN, for a shutdown() that [`Endpoint::shutdown_send`] held back.
pub(crate) fn send_fin(sk: &LockedSock<'_>) {
    if let Some(shutdown) = tables::base_prot(sk.sk()).shutdown {
        // SAFETY: This process owns the socket.
        unsafe { shutdown(sk.as_ptr(), bindings::SEND_SHUTDOWN as c_int) };
    }
}

/// # Safety
///
/// As `proto.disconnect`: process context, the socket owned.
unsafe extern "C" fn disconnect<T: Endpoint>(sk: *mut bindings::sock, flags: c_int) -> c_int {
    // SAFETY: By the requirements of this function.
    let mut locked = unsafe { LockedSock::borrowed(Sk::from_raw(sk)) };
    if let Some(endpoint) = attach::endpoint::<T>(&locked.as_bh()) {
        if let Err(error) = T::disconnect(endpoint.as_arc_borrow(), &mut locked) {
            return error.to_errno();
        }
    }
    match tables::base_prot(locked.sk()).disconnect {
        // SAFETY: As this function.
        Some(disconnect) => unsafe { disconnect(sk, flags) },
        None => errno::opnotsupp().to_errno(),
    }
}

/// # Safety
///
/// As `proto.ioctl`: process context, `arg` valid for writes.
unsafe extern "C" fn ioctl<T: Endpoint>(
    sk: *mut bindings::sock,
    cmd: c_int,
    arg: *mut c_int,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    let command = cmd as u32;
    let entry = enter!(T, socket);
    if let Some(endpoint) = entry
        .endpoint
        .as_ref()
        .filter(|_| command == bindings::TCPCRYPT_SIOCINQ)
    {
        let mut locked = socket.lock();
        if let Answer::Done(result) = T::readable_bytes(endpoint.as_arc_borrow(), &mut locked) {
            return match result {
                Ok(n) => {
                    // SAFETY: By the requirements of this function.
                    unsafe { *arg = to_c(Ok(n)) };
                    0
                }
                Err(error) => error.to_errno(),
            };
        }
    }
    let Some(ioctl) = tables::base_prot(socket).ioctl else {
        return ENOTTY.to_errno();
    };
    // SAFETY: As this function.
    let result = unsafe { ioctl(sk, cmd, arg) };
    if result == 0 && command == bindings::TCPCRYPT_SIOCOUTQ {
        if let Some(endpoint) = &entry.endpoint {
            let mut locked = socket.lock();
            if let Answer::Done(unsent) = T::unsent_bytes(endpoint.as_arc_borrow(), &mut locked) {
                // SAFETY: By the requirements of this function.
                unsafe { *arg = to_c(Ok(unsent)) };
            }
        }
    }
    result
}

/// # Safety
///
/// As `proto.setsockopt`: process context, not locked, `value` of `len` bytes.
pub(super) unsafe extern "C" fn setsockopt<T: Endpoint>(
    sk: *mut bindings::sock,
    level: c_int,
    option: c_int,
    value: bindings::sockptr_t,
    len: u32,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    let entry = enter!(T, socket);
    if level as u32 == bindings::IPPROTO_TCP {
        if let Some(endpoint) = &entry.endpoint {
            // SAFETY: By the requirements of this function.
            let reader = unsafe { OptionReader::new(value, len) };
            let answer = T::set_option(endpoint.as_arc_borrow(), socket, option as u32, &reader);
            if let Answer::Done(result) = answer {
                return status(result);
            }
        }
    }
    let Some(setsockopt) = tables::base_prot(socket).setsockopt else {
        return ENOPROTOOPT;
    };
    // SAFETY: As this function.
    let result = unsafe { setsockopt(sk, level, option, value, len) };
    if result == 0 && level as u32 == bindings::IPPROTO_TCP {
        if let Some(endpoint) = &entry.endpoint {
            T::option_set(endpoint.as_arc_borrow(), socket, option as u32);
        }
    }
    result
}

/// # Safety
///
/// As `proto.keepalive`: SO_KEEPALIVE is about to become `on`; the socket locked.
unsafe extern "C" fn keepalive<T: Endpoint>(sk: *mut bindings::sock, on: c_int) {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { BhSock::new(Sk::from_raw(sk)) };
    if let Some(keepalive) = tables::base_prot(socket.sk()).keepalive {
        // SAFETY: As this function.
        unsafe { keepalive(sk, on) };
    }
    if let (true, Some(endpoint)) = (on != 0, attach::endpoint::<T>(&socket)) {
        T::keep_alive(endpoint.as_arc_borrow(), &socket);
    }
}

/// # Safety
///
/// As `proto.getsockopt`: process context, not locked, user pointers.
pub(super) unsafe extern "C" fn getsockopt<T: Endpoint>(
    sk: *mut bindings::sock,
    level: c_int,
    option: c_int,
    value: *mut c_char,
    len: *mut c_int,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    let entry = enter!(T, socket);
    if level as u32 == bindings::IPPROTO_TCP {
        if let Some(endpoint) = &entry.endpoint {
            let writer = OptionWriter::new(value.cast(), len);
            let answer = T::get_option(endpoint.as_arc_borrow(), socket, option as u32, &writer);
            if let Answer::Done(result) = answer {
                return status(result);
            }
        }
    }
    match tables::base_prot(socket).getsockopt {
        // SAFETY: As this function.
        Some(getsockopt) => unsafe { getsockopt(sk, level, option, value, len) },
        None => ENOPROTOOPT,
    }
}

const ENOPROTOOPT: c_int = -(bindings::ENOPROTOOPT as c_int);

/// accept() grafted the child onto its socket and drops the lock: the moment to begin, with a socket to send through.
///
/// # Safety
///
/// As `proto.release_cb`: atomic, the socket owned.
pub(crate) unsafe extern "C" fn release_cb<T: Endpoint>(sk: *mut bindings::sock) {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { BhSock::new(Sk::from_raw(sk)) };
    // SAFETY: The socket is owned; accept() is the only one who sets the field of a child.
    let has_socket = unsafe { !(*sk).sk_socket.is_null() };
    if has_socket {
        tables::install(socket.sk(), tables::Kind::Full);
        if let Some(endpoint) = attach::endpoint::<T>(&socket) {
            T::accepted(endpoint.as_arc_borrow(), &socket);
        }
    }
    if let Some(release_cb) = tables::base_prot(socket.sk()).release_cb {
        // SAFETY: As this function.
        unsafe { release_cb(sk) };
    }
}

/// # Safety
///
/// As `proto_ops.poll`: process context, not locked.
unsafe extern "C" fn poll<T: Endpoint>(
    file: *mut bindings::file,
    sock: *mut bindings::socket,
    wait: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: By the requirements of this function the socket has a TCP sock as long as its file is open.
    let sk = unsafe { Sk::from_raw((*sock).sk) };
    let Some(base) = tables::base_ops(sk).poll else {
        return 0;
    };
    let Ok(entry) = Entry::<T>::new(sk) else {
        // SAFETY: As this function.
        return unsafe { base(file, sock, wait) };
    };
    // SAFETY: As this function. It also puts the caller on the wait queue, before anything is looked at.
    let mask = unsafe { base(file, sock, wait) };
    match &entry.endpoint {
        Some(endpoint) => {
            // SAFETY: A poll table or null.
            let requested = unsafe { wait.as_ref() }.map_or(!0, |wait| wait._key);
            T::poll(endpoint.as_arc_borrow(), sk, mask, requested)
        }
        None => mask,
    }
}

/// # Safety
///
/// As `proto_ops.read_sock`: the socket owned.
unsafe extern "C" fn read_sock<T: Endpoint>(
    sk: *mut bindings::sock,
    desc: *mut bindings::read_descriptor_t,
    actor: bindings::sk_read_actor_t,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { BhSock::new(Sk::from_raw(sk)) };
    if attach::endpoint::<T>(&socket).is_some() {
        return errno::opnotsupp().to_errno();
    }
    match tables::base_ops(socket.sk()).read_sock {
        // SAFETY: As this function.
        Some(read_sock) => unsafe { read_sock(sk, desc, actor) },
        None => errno::opnotsupp().to_errno(),
    }
}

/// # Safety
///
/// As `proto_ops.read_skb`: the socket owned or under RCU.
unsafe extern "C" fn read_skb<T: Endpoint>(
    sk: *mut bindings::sock,
    actor: bindings::skb_read_actor_t,
) -> c_int {
    // SAFETY: By the requirements of this function.
    let socket = unsafe { Sk::from_raw(sk) };
    if endpoint::<T>(socket).is_some() {
        return errno::opnotsupp().to_errno();
    }
    match tables::base_ops(socket).read_skb {
        // SAFETY: As this function.
        Some(read_skb) => unsafe { read_skb(sk, actor) },
        None => errno::opnotsupp().to_errno(),
    }
}

/// # Safety
///
/// As `proto_ops.peek_len`: process context, not locked.
unsafe extern "C" fn peek_len<T: Endpoint>(sock: *mut bindings::socket) -> c_int {
    // SAFETY: By the requirements of this function.
    let sk = unsafe { Sk::from_raw((*sock).sk) };
    let entry = enter!(T, sk);
    if let Some(endpoint) = &entry.endpoint {
        let mut locked = sk.lock();
        if let Answer::Done(result) = T::readable_bytes(endpoint.as_arc_borrow(), &mut locked) {
            return to_c(result);
        }
    }
    match tables::base_ops(sk).peek_len {
        // SAFETY: As this function.
        Some(peek_len) => unsafe { peek_len(sock) },
        None => 0,
    }
}

/// A reference on the module.
struct Stay(());

impl Stay {
    fn new() -> Option<Self> {
        tables::get_module().ok().map(|()| Self(()))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        tables::put_module();
    }
}
