// SPDX-License-Identifier: GPL-2.0

//! TCP sockets: what may be read without the socket lock ([`Sk`]), and who has it.
//!
//! The lock of a socket has two owners that exclude each other: a process between `lock_sock()` and `release_sock()`,
//! which may sleep, and a softirq that holds the spinlock and found no process there. [`LockedSock`] is the proof of the
//! first, [`BhSock`] of the second or of either where a callback is called in both; only the first has functions that
//! sleep. A function that drops the lock takes `&mut`, so that nothing borrowed under the lock survives it.
//!
//! Next: `locked.rs` (what needs the lock), `pages.rs` (what is sent), `queue_read.rs` (what was received).

use core::{
    cell::{
        RefCell,
        RefMut, //
    },
    marker::PhantomData,
    net::Ipv6Addr,
    ops::Deref,
    ptr::{
        addr_of,
        addr_of_mut,
        NonNull, //
    },
};

use kernel::{
    prelude::*,
    time::msecs_to_jiffies,
    types::NotThreadSafe, //
};

use super::{
    locked::LockedSock,
    pernet::NetState, //
};
use crate::bindings;

/// A full TCP socket, IPv4 or IPv6, that is alive for `'a`.
///
/// # Invariants
///
/// `raw` points to a `struct tcp_sock` that is not freed during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Sk<'a> {
    raw: NonNull<bindings::sock>,
    _life: PhantomData<&'a bindings::sock>,
}

/// Reads a field that others may write meanwhile, as READ_ONCE().
macro_rules! read_once {
    ($sk:expr, $type:ty, $($field:tt)+) => {
        // SAFETY: By the invariant of `Sk` the pointer is to a live socket of that type; a volatile read of an aligned
        // scalar is the kernel's READ_ONCE().
        unsafe { addr_of!((*$sk.as_ptr().cast::<$type>()).$($field)+).read_volatile() }
    };
}
pub(super) use read_once;

impl<'a> Sk<'a> {
    /// # Safety
    ///
    /// `raw` must be a full TCP socket (`sk_fullsock()`, protocol TCP) that is not freed during `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::sock) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            // SAFETY: They say that it is a socket, so it is not null.
            raw: unsafe { NonNull::new_unchecked(raw) },
            _life: PhantomData,
        }
    }

    /// The C socket.
    pub(crate) fn as_ptr(self) -> *mut bindings::sock {
        self.raw.as_ptr()
    }

    /// `struct net` of the socket.
    pub(crate) fn net(self) -> *mut bindings::net {
        // SAFETY: The socket is alive by the type invariant.
        unsafe { bindings::tcpcrypt_sock_net(self.as_ptr()) }
    }

    /// `sk_state`. Any context.
    pub(crate) fn state(self) -> u32 {
        u32::from(read_once!(self, bindings::sock, __sk_common.skc_state))
    }

    /// Whether the socket is of family AF_INET6, v4-mapped addresses included.
    pub(crate) fn is_ipv6(self) -> bool {
        u32::from(read_once!(self, bindings::sock, __sk_common.skc_family)) == bindings::AF_INET6
    }

    /// Whether the peer's FIN was received, or this side called shutdown(SHUT_RD).
    pub(crate) fn is_rcv_shutdown(self) -> bool {
        u32::from(read_once!(self, bindings::sock, sk_shutdown)) & bindings::RCV_SHUTDOWN != 0
    }

    /// Whether the sending half was shut down.
    pub(crate) fn is_send_shutdown(self) -> bool {
        u32::from(read_once!(self, bindings::sock, sk_shutdown)) & bindings::SEND_SHUTDOWN != 0
    }

    /// Whether TCP has a pending error (`sk_err`).
    pub(crate) fn has_error(self) -> bool {
        read_once!(self, bindings::sock, sk_err) != 0
    }

    /// The local port, host byte order; 0 before it is chosen.
    pub(crate) fn local_port(self) -> u16 {
        let ports = self.ports();
        // SAFETY: All bit patterns are valid for the union's port pair.
        unsafe { ports.__bindgen_anon_1.skc_num }
    }

    /// The peer's port, host byte order; 0 before it is known.
    pub(crate) fn remote_port(self) -> u16 {
        let ports = self.ports();
        // SAFETY: As above.
        u16::from_be(unsafe { ports.__bindgen_anon_1.skc_dport })
    }

    /// The peer's address, unspecified before it is known; an IPv4 address in its mapped form, whatever the family of the
    /// socket.
    pub(crate) fn remote_address(self) -> Ipv6Addr {
        // TCP keeps the mapped form of IPv4 sockets too: sk_daddr_set(). The bytes are written once, before the SYN is
        // sent or the child known.
        let address = read_once!(self, bindings::sock, __sk_common.skc_v6_daddr);
        // SAFETY: All bit patterns are valid for the union's bytes.
        Ipv6Addr::from(unsafe { address.in6_u.u6_addr8 })
    }

    fn ports(self) -> bindings::sock_common__bindgen_ty_3 {
        read_once!(self, bindings::sock, __sk_common.__bindgen_anon_3)
    }

    /// Bytes in TCP's receive queue that were not read (`tcp_inq()`).
    pub(crate) fn queued(self) -> u32 {
        let next: u32 = read_once!(self, bindings::tcp_sock, rcv_nxt);
        let queued = next.wrapping_sub(read_once!(self, bindings::tcp_sock, copied_seq));
        // A FIN has a sequence number and no byte.
        if queued > 0 && self.is_finished() {
            queued - 1
        } else {
            queued
        }
    }

    /// Whether TCP has no connection (any more).
    pub(crate) fn is_closed(self) -> bool {
        self.state() == bindings::TCP_CLOSE
    }

    /// Whether our FIN is on its way and not acknowledged.
    pub(crate) fn awaits_last_ack(self) -> bool {
        matches!(
            self.state(),
            bindings::TCP_FIN_WAIT1 | bindings::TCP_CLOSING | bindings::TCP_LAST_ACK
        )
    }

    /// Whether something that was given to TCP did not leave yet, with an acknowledgement of something else on its way
    /// that will move it.
    pub(crate) fn is_backed_up(self) -> bool {
        let next: u32 = read_once!(self, bindings::tcp_sock, snd_nxt);
        next != self.write_seq() && next != self.snd_una()
    }

    /// Whether the peer's FIN was received.
    pub(crate) fn is_finished(self) -> bool {
        self.flag(bindings::sock_flags_SOCK_DONE)
    }

    /// SO_SNDBUF in bytes.
    pub(crate) fn sndbuf(self) -> usize {
        usize::try_from(read_once!(self, bindings::sock, sk_sndbuf)).unwrap_or(0)
    }

    /// TCP_KEEPIDLE, or the namespace's, in ticks.
    pub(crate) fn keep_idle(self) -> u64 {
        // SAFETY: The socket is alive by the type invariant; the functions only read.
        unsafe { bindings::tcpcrypt_keepalive_time(self.as_ptr()).into() }
    }

    /// TCP_KEEPINTVL, or the namespace's, in ticks.
    pub(crate) fn keep_interval(self) -> u64 {
        // SAFETY: As above.
        unsafe { bindings::tcpcrypt_keepalive_intvl(self.as_ptr()).into() }
    }

    /// TCP_KEEPCNT, or the namespace's.
    pub(crate) fn keep_count(self) -> u64 {
        // SAFETY: As above.
        unsafe { bindings::tcpcrypt_keepalive_probes(self.as_ptr()).into() }
    }

    /// TCP_USER_TIMEOUT in ticks, 0 if there is none.
    pub(crate) fn user_timeout(self) -> u64 {
        let ms: u32 = read_once!(self, bindings::inet_connection_sock, icsk_user_timeout);
        msecs_to_jiffies(ms) as u64
    }

    /// How many ticks ago the last data came from the peer, as far as TCP can tell.
    pub(crate) fn last_data_age(self) -> u64 {
        // SAFETY: As above.
        unsafe { bindings::tcpcrypt_last_data_age(self.as_ptr()).into() }
    }

    /// Whether all before the sequence number `end` has left at least once.
    pub(crate) fn has_sent(self, end: u32) -> bool {
        let next: u32 = read_once!(self, bindings::tcp_sock, snd_nxt);
        next.wrapping_sub(end) <= i32::MAX as u32
    }

    /// SO_RCVBUF in bytes.
    pub(crate) fn rcvbuf(self) -> usize {
        usize::try_from(read_once!(self, bindings::sock, sk_rcvbuf)).unwrap_or(0)
    }

    /// SO_RCVLOWAT in bytes, at least 1.
    pub(crate) fn low_water(self) -> usize {
        usize::try_from(read_once!(self, bindings::sock, sk_rcvlowat)).map_or(1, |n| n.max(1))
    }

    /// Whether a process sleeps until it can send.
    pub(crate) fn has_waiting_writer(self) -> bool {
        read_once!(self, bindings::sock, sk_write_pending) != 0
    }

    /// Whether the socket keeps its network namespace alive. Those that don't may outlive what we keep there.
    pub(crate) fn holds_net(self) -> bool {
        // SAFETY: The socket is alive; the bit is set when it is made.
        unsafe { (*self.as_ptr()).__sk_common.skc_net_refcnt() != 0 }
    }

    /// The settings and counters of the namespace. For sockets with [`Sk::holds_net`], their children, and listeners
    /// that answer.
    pub(crate) fn net_state(self) -> &'a NetState {
        // SAFETY: Callers run for a socket that keeps the namespace alive, or before the namespace takes its listeners
        // back, which it does before the state; and in the module, which unregisters what calls them before the state.
        unsafe { NetState::of(self.net()) }
    }

    /// The sequence number behind the last byte that was given to TCP.
    pub(crate) fn write_seq(self) -> u32 {
        read_once!(self, bindings::tcp_sock, write_seq)
    }

    /// The oldest sequence number that the peer did not acknowledge.
    pub(crate) fn snd_una(self) -> u32 {
        read_once!(self, bindings::tcp_sock, snd_una)
    }

    /// The sequence number of the first unread byte.
    pub(crate) fn copied_seq(self) -> u32 {
        read_once!(self, bindings::tcp_sock, copied_seq)
    }

    /// The sequence number that is expected next from the peer.
    pub(crate) fn rcv_nxt(self) -> u32 {
        read_once!(self, bindings::tcp_sock, rcv_nxt)
    }

    /// Bytes that congestion control lets be in flight.
    pub(crate) fn congestion_window(self) -> usize {
        let packets: u32 = read_once!(self, bindings::tcp_sock, snd_cwnd);
        let mss: u32 = read_once!(self, bindings::tcp_sock, mss_cache);
        (packets as usize).saturating_mul(mss as usize)
    }

    /// Whether the receive window can't grow enough for `target` more bytes, or memory is short, so that what is queued
    /// has to be taken out for more to come (`tcp_epollin_ready()`).
    pub(crate) fn must_drain(self) -> bool {
        // SAFETY: The socket is alive by the type invariant; the function only reads.
        unsafe { bindings::tcpcrypt_tcp_epollin_ready(self.as_ptr(), i32::MAX) }
    }

    /// Asks TCP to call `sk_write_space` when room appears. Any context.
    pub(crate) fn want_space(self) {
        // SAFETY: As above; only atomic bits are set. `sk_socket` can't go away: callers hold the socket lock or the file.
        unsafe { bindings::tcpcrypt_want_space(self.as_ptr()) }
    }

    /// Whether TCP-MD5 or TCP-AO is configured: then nothing may be added to segments.
    pub(crate) fn has_tcp_auth(self) -> bool {
        // SAFETY: As above.
        unsafe { bindings::tcpcrypt_has_tcp_auth(self.as_ptr()) }
    }

    /// Whether this connect() is one of TCP Fast Open, or of TCP_REPAIR.
    pub(crate) fn is_fast_opening(self) -> bool {
        // SAFETY: As above.
        unsafe { bindings::tcpcrypt_fast_opening(self.as_ptr()) }
    }

    /// `sock_flag()`.
    pub(crate) fn flag(self, flag: bindings::sock_flags) -> bool {
        // SAFETY: As above.
        unsafe { bindings::tcpcrypt_sock_flag(self.as_ptr(), flag) }
    }

    /// Whether a `struct socket` is attached: false before accept() and after close().
    pub(crate) fn has_socket(self) -> bool {
        !read_once!(self, bindings::sock, sk_socket).is_null()
    }

    /// Runs `f` with the spinlock held, if no process owns the socket. Any context but hardirq; does not sleep.
    pub(crate) fn try_bh(self, f: impl FnOnce(&BhSock<'_>)) {
        // SAFETY: The socket is alive.
        if unsafe { bindings::tcpcrypt_bh_lock_unowned(self.as_ptr()) } {
            // SAFETY: The spinlock is held and no process owns the socket.
            f(&unsafe { BhSock::new(self) });
            // SAFETY: It was taken above.
            unsafe { bindings::tcpcrypt_bh_unlock(self.as_ptr()) };
        }
    }

    /// Takes a reference on the socket's memory.
    pub(crate) fn hold(self) -> HeldSock {
        // SAFETY: The socket is alive by the type invariant.
        unsafe { bindings::tcpcrypt_sock_hold(self.as_ptr()) };
        // INVARIANT: The reference was just taken.
        HeldSock(self.raw)
    }

    /// Takes the socket lock for a process. Sleeps.
    pub(crate) fn lock(self) -> LockedSock<'a> {
        // SAFETY: The socket is alive by the type invariant, the context may sleep.
        unsafe { bindings::tcpcrypt_lock_sock(self.as_ptr()) };
        // SAFETY: The lock was just taken.
        unsafe { LockedSock::taken(self) }
    }
}

/// A reference on a socket's memory.
///
/// # Invariants
///
/// Owns one reference.
pub(crate) struct HeldSock(NonNull<bindings::sock>);

// SAFETY: References are counted atomically and belong to no thread.
unsafe impl Send for HeldSock {}
// SAFETY: As above; what `Sk` does without the lock is safe from any thread.
unsafe impl Sync for HeldSock {}

impl HeldSock {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `raw` must be a full TCP socket, and the caller must own a reference on it, which goes to the result.
    pub(crate) unsafe fn from_owned(raw: *mut bindings::sock) -> Self {
        // INVARIANT, SAFETY: By the requirements of this function.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    /// The socket.
    pub(crate) fn sk(&self) -> Sk<'_> {
        // SAFETY: The reference keeps it alive; it came from an `Sk`.
        unsafe { Sk::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for HeldSock {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::tcpcrypt_sock_put(self.0.as_ptr()) };
    }
}

/// Proof that the socket lock is held, by a process or a softirq. Atomic context: nothing here sleeps.
///
/// # Invariants
///
/// The current context owns the socket, or holds its spinlock with no process owning it.
pub(crate) struct BhSock<'a> {
    sk: Sk<'a>,
    _not_send: NotThreadSafe,
}

impl<'a> BhSock<'a> {
    /// # Safety
    ///
    /// The current context must own the lock of `sk` in one of the two ways for `'a`.
    pub(crate) unsafe fn new(sk: Sk<'a>) -> Self {
        // INVARIANT: By the requirements of this function.
        Self {
            sk,
            _not_send: NotThreadSafe,
        }
    }

    /// The socket, for `'a`.
    pub(crate) fn sk(&self) -> Sk<'a> {
        self.sk
    }

    /// Sets an error that poll() shows and the next call of the socket layer returns, and wakes everybody.
    pub(crate) fn set_error(&self, error: Error) {
        // SAFETY: The socket is alive and locked; it is TCP that calls the second function in either context.
        unsafe {
            addr_of_mut!((*self.as_ptr()).sk_err).write_volatile(-error.to_errno());
            bindings::sk_error_report(self.as_ptr());
        }
    }
}

impl<'a> Deref for BhSock<'a> {
    type Target = Sk<'a>;

    fn deref(&self) -> &Sk<'a> {
        &self.sk
    }
}

/// Data of a connection behind the lock of its socket.
///
/// A borrow lasts no longer than a borrow of the proof of the lock, so that it ends before the lock is dropped. That
/// code does not borrow twice at once is checked at run time, as by [`RefCell`].
pub(crate) struct SockCell<T>(RefCell<T>);

// SAFETY: The contents are reached only with a proof of the socket lock, which one context has at a time.
unsafe impl<T: Send> Sync for SockCell<T> {}

impl<T> SockCell<T> {
    /// Puts `value` behind the lock.
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Borrows the contents. The caller gives the proof for the socket that the cell belongs to. EBUSY if the same
    /// context borrowed it already: a bug, which costs that call and no more.
    pub(crate) fn borrow<'a>(&'a self, _proof: &'a LockedSock<'_>) -> Result<RefMut<'a, T>> {
        self.0.try_borrow_mut().map_err(|_| EBUSY)
    }

    /// As [`SockCell::borrow`], in callbacks.
    pub(crate) fn borrow_bh<'a>(&'a self, _proof: &'a BhSock<'_>) -> Result<RefMut<'a, T>> {
        self.0.try_borrow_mut().map_err(|_| EBUSY)
    }
}
