// SPDX-License-Identifier: GPL-2.0

//! What a process does with a socket that it owns: waiting, errors, the state that sending and receiving touch.
//!
//! Previous: `sock.rs`.

use core::{
    ops::Deref,
    ptr::{
        addr_of,
        addr_of_mut, //
    },
};

use kernel::{
    error::to_result,
    prelude::*,
    types::NotThreadSafe, //
};

use super::{
    pages::Msg,
    sock::{
        read_once,
        BhSock,
        Sk, //
    },
    tables, //
};
use crate::bindings;

/// Proof that a process owns the socket (`lock_sock()`); drop releases it if this value took it.
///
/// # Invariants
///
/// The current process owns the socket.
pub(crate) struct LockedSock<'a> {
    sk: Sk<'a>,
    release: bool,
    _not_send: NotThreadSafe,
}

impl<'a> Deref for LockedSock<'a> {
    type Target = Sk<'a>;

    fn deref(&self) -> &Sk<'a> {
        &self.sk
    }
}

impl Drop for LockedSock<'_> {
    fn drop(&mut self) {
        if self.release {
            // SAFETY: By the type invariant this process owns the socket.
            unsafe { bindings::release_sock(self.as_ptr()) };
        }
    }
}

/// How long a call may still sleep, in jiffies.
pub(crate) struct Timeout(kernel::ffi::c_long);

impl Timeout {
    /// Whether the call must not sleep (any more).
    pub(crate) fn is_over(&self) -> bool {
        self.0 == 0
    }
}

impl<'a> LockedSock<'a> {
    /// For a lock that was taken just now, to be released by drop.
    ///
    /// # Safety
    ///
    /// The current process must have taken the lock of `sk`, which goes to the result.
    pub(super) unsafe fn taken(sk: Sk<'a>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            sk,
            release: true,
            _not_send: NotThreadSafe,
        }
    }

    /// For callbacks that the kernel calls with the socket owned by the current process.
    ///
    /// # Safety
    ///
    /// The current process must own `sk` for `'a`, and the caller of the callback must expect that the lock is dropped
    /// meanwhile, if functions with `&mut self` are used.
    pub(crate) unsafe fn borrowed(sk: Sk<'a>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            sk,
            release: false,
            _not_send: NotThreadSafe,
        }
    }

    /// The socket, for `'a`.
    pub(crate) fn sk(&self) -> Sk<'a> {
        self.sk
    }

    /// For functions that are used in both contexts.
    pub(crate) fn as_bh(&self) -> BhSock<'_> {
        // SAFETY: This process owns the socket as long as `self` is borrowed.
        unsafe { BhSock::new(self.sk) }
    }

    /// Runs `f` with the lock dropped.
    pub(crate) fn unlocked<R>(&mut self, f: impl FnOnce(Sk<'a>) -> R) -> R {
        // SAFETY: By the type invariant this process owns the socket.
        unsafe { bindings::release_sock(self.as_ptr()) };
        let result = f(self.sk);
        // SAFETY: The socket is alive by the invariant of `Sk`.
        unsafe { bindings::tcpcrypt_lock_sock(self.as_ptr()) };
        result
    }

    /// `sock_rcvtimeo()`: SO_RCVTIMEO, or nothing for a call that must not block.
    pub(crate) fn rcv_timeout(&self, noblock: bool) -> Timeout {
        // SAFETY: The socket is alive.
        Timeout(unsafe { bindings::tcpcrypt_sock_rcvtimeo(self.as_ptr(), noblock) })
    }

    /// `sock_sndtimeo()`.
    pub(crate) fn snd_timeout(&self, noblock: bool) -> Timeout {
        // SAFETY: The socket is alive.
        Timeout(unsafe { bindings::tcpcrypt_sock_sndtimeo(self.as_ptr(), noblock) })
    }

    /// A timeout of `jiffies`.
    pub(crate) fn timeout(jiffies: kernel::ffi::c_long) -> Timeout {
        Timeout(jiffies)
    }

    /// `sock_rcvlowat()`: how many bytes a read of `len` waits for.
    pub(crate) fn rcvlowat(&self, waitall: bool, len: usize) -> usize {
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        // SAFETY: The socket is alive.
        let target =
            unsafe { bindings::tcpcrypt_sock_rcvlowat(self.as_ptr(), waitall.into(), len) };
        usize::try_from(target).unwrap_or(1)
    }

    /// Sleeps until anything happens on the socket. EAGAIN when the time is over, ERESTARTSYS or EINTR on a signal.
    /// Drops the lock meanwhile.
    pub(crate) fn wait(&mut self, timeout: &mut Timeout) -> Result {
        if timeout.is_over() {
            return Err(EAGAIN);
        }
        self.check_signal(timeout)?;
        // SAFETY: This process owns the socket; the function sleeps with the lock dropped, which `&mut self` allows.
        unsafe { bindings::tcpcrypt_sk_wait_data(self.as_ptr(), &mut timeout.0) };
        Ok(())
    }

    /// Sleeps until a connect() under way is through (`sk_stream_wait_connect()`). EPIPE if there is none, EAGAIN,
    /// ERESTARTSYS or EINTR. Drops the lock meanwhile.
    pub(crate) fn wait_connect(&mut self, timeout: &mut Timeout) -> Result {
        // SAFETY: As for `wait`.
        to_result(unsafe { bindings::sk_stream_wait_connect(self.as_ptr(), &mut timeout.0) })
    }

    /// Sleeps until the send buffer has room (`sk_stream_wait_memory()`). EPIPE, EAGAIN, ERESTARTSYS or EINTR. Drops
    /// the lock meanwhile.
    pub(crate) fn wait_memory(&mut self, timeout: &mut Timeout) -> Result {
        self.sk.want_space();
        // SAFETY: As for `wait`. `sk_socket` is there: callers come through a file, or grafted one.
        to_result(unsafe { bindings::sk_stream_wait_memory(self.as_ptr(), &mut timeout.0) })
    }

    fn check_signal(&self, timeout: &Timeout) -> Result {
        // SAFETY: Reads the current task.
        if unsafe { bindings::tcpcrypt_signal_pending() } {
            // SAFETY: A pure function.
            return to_result(unsafe { bindings::tcpcrypt_sock_intr_errno(timeout.0) });
        }
        Ok(())
    }

    /// Whether the send buffer has room for another frame (`sk_stream_memory_free()`).
    pub(crate) fn has_memory(&self) -> bool {
        // SAFETY: The socket is alive and locked.
        unsafe { bindings::tcpcrypt_sk_stream_memory_free(self.as_ptr()) }
    }

    /// Takes the pending error of TCP, if there is one (`sock_error()`).
    pub(crate) fn take_error(&self) -> Result {
        // SAFETY: The socket is alive.
        to_result(unsafe { bindings::tcpcrypt_sock_error(self.as_ptr()) })
    }

    /// [`BhSock::set_error`].
    pub(crate) fn set_error(&self, error: Error) {
        self.as_bh().set_error(error);
    }

    /// Resets the connection: RST to the peer, `error` for everybody who waits (`tcp_abort()`). Drops the lock
    /// meanwhile.
    pub(crate) fn abort(&mut self, error: Error) {
        self.unlocked(|sk| {
            // SAFETY: The socket is alive; the function takes the lock itself.
            unsafe { bindings::tcp_abort(sk.as_ptr(), -error.to_errno()) };
        });
    }

    /// Runs `f` with the sending half open for TCP, after the application closed it: what was written before still goes
    /// out.
    pub(crate) fn send_open<R>(&self, f: impl FnOnce() -> R) -> R {
        let shutdown = read_once!(self.sk, bindings::sock, sk_shutdown);
        let put = |value: u8| {
            // SAFETY: The socket is alive and locked; readers without the lock use READ_ONCE().
            unsafe { addr_of_mut!((*self.as_ptr()).sk_shutdown).write_volatile(value) }
        };
        put(shutdown & !(bindings::SEND_SHUTDOWN as u8));
        let result = f();
        // A reset meanwhile closed both halves, which stays so.
        put(shutdown | read_once!(self.sk, bindings::sock, sk_shutdown));
        result
    }

    /// Sends what TCP holds back because more was announced (MSG_MORE). Drops the lock meanwhile.
    pub(crate) fn push_held_back(&mut self) {
        let socket = read_once!(self.sk, bindings::sock, sk_socket);
        if socket.is_null() {
            return;
        }
        self.unlocked(|sk| {
            if let Some(splice_eof) = tables::base_prot(sk).splice_eof {
                // SAFETY: The caller came through the socket, or owns its stand-in; the function takes the lock itself.
                unsafe { splice_eof(socket) };
            }
        });
    }

    /// The error of a send that failed with `error`: TCP's own where there is one, and SIGPIPE for EPIPE unless
    /// `flags` has MSG_NOSIGNAL (`sk_stream_error()`).
    pub(crate) fn stream_error(&self, flags: u32, error: Error) -> Error {
        // SAFETY: The socket is alive and locked.
        Error::from_errno(unsafe {
            bindings::sk_stream_error(self.as_ptr(), flags as i32, error.to_errno())
        })
    }

    /// Completes a send with MSG_ZEROCOPY whose bytes were copied.
    pub(crate) fn complete_zerocopy(&self, msg: &mut Msg<'_>, size: usize) {
        // SAFETY: The socket is alive and locked, the message valid.
        unsafe { bindings::tcpcrypt_zerocopy_done(self.as_ptr(), msg.as_ptr(), size) };
    }

    /// SO_PEEK_OFF: how many unread bytes the next peek passes over.
    pub(crate) fn peek_offset(&self) -> usize {
        // SAFETY: The socket is alive.
        usize::try_from(unsafe { bindings::tcpcrypt_peek_offset(self.as_ptr()) }).unwrap_or(0)
    }

    /// SO_PEEK_OFF: `len` bytes were peeked at, or read.
    pub(crate) fn move_peek_offset(&self, len: usize, peeked: bool) {
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        let (peeked, read) = if peeked { (len, 0) } else { (0, len) };
        // SAFETY: The socket is alive.
        unsafe { bindings::tcpcrypt_move_peek_offset(self.as_ptr(), peeked, read) };
    }

    /// Whether a call of recvmsg() is to be told how many bytes are left (TCP_INQ, or io_uring's own).
    pub(crate) fn wants_left(&self, msg: &mut Msg<'_>) -> bool {
        // SAFETY: The socket is alive and locked, the message valid.
        unsafe { bindings::tcpcrypt_wants_inq(self.as_ptr(), msg.as_ptr()) }
    }

    /// Tells it.
    pub(crate) fn tell_left(&self, msg: &mut Msg<'_>, left: usize) {
        let left = i32::try_from(left).unwrap_or(i32::MAX);
        // SAFETY: As above. A control message for which there is no room is marked as cut off in the message.
        unsafe { bindings::tcpcrypt_put_inq(self.as_ptr(), msg.as_ptr(), left) };
    }

    /// Keeps urgent bytes in the stream, where they don't tear frames apart.
    pub(crate) fn keep_urgent_inline(sk: &BhSock<'_>) {
        // SAFETY: The socket is alive and locked.
        unsafe { bindings::tcpcrypt_add_connect_options(sk.as_ptr()) };
    }

    /// SO_LINGER: the time in jiffies, if it is on.
    pub(crate) fn linger(&self) -> Option<kernel::ffi::c_ulong> {
        self.flag(bindings::sock_flags_SOCK_LINGER)
            .then(|| read_once!(self.sk, bindings::sock, sk_lingertime))
    }

    /// Runs `f` with Nagle's algorithm and TCP_CORK out of force, for messages that the peer waits for.
    pub(crate) fn uncorked<R>(&self, f: impl FnOnce() -> R) -> R {
        let tp: *mut bindings::tcp_sock = self.as_ptr().cast();
        // SAFETY: The socket is alive and locked, and with it the bit-field, in both calls.
        let nonagle = unsafe { (*tp).nonagle() };
        // SAFETY: As above.
        unsafe { (*tp).set_nonagle((bindings::TCP_NAGLE_OFF | bindings::TCP_NAGLE_PUSH) as u8) };
        let result = f();
        // SAFETY: As above. `TCP_NAGLE_PUSH` is not kept: TCP clears it itself when it pushed.
        unsafe { (*tp).set_nonagle(nonagle) };
        result
    }
}
