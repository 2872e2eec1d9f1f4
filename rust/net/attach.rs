// SPDX-License-Identifier: GPL-2.0

//! How an endpoint is tied to its socket, and untied.
//!
//! Tied are: the ULP slot (`icsk_ulp_ops`, `icsk_ulp_data`, a reference on the module), `sk_prot`, `sk_socket->ops` and
//! the address-family operations, from the SYN on; `sk_data_ready` and `sk_write_space` from the moment the negotiation
//! succeeded. Until then everything is undone by [`detach`], after which the socket is plain TCP, and costs what plain
//! TCP costs. Nothing that other sockets share is written to.
//!
//! An endpoint leaves its slot only by [`detach`], [`detach_child`] or when TCP destroys the socket; the slot's
//! reference is then dropped after a grace period, in process context, so that readers under RCU can take their own.

use core::{
    cell::UnsafeCell,
    ptr, //
};

use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::Opaque,
};

use super::{
    endpoint::{
        Endpoint,
        Part, //
    },
    locked::LockedSock,
    sock::{
        BhSock,
        HeldSock,
        Sk, //
    },
    tables, //
};
use crate::bindings;

/// A callback of a socket.
pub(crate) type Callback = Option<unsafe extern "C" fn(sk: *mut bindings::sock)>;

/// What this layer keeps of an endpoint.
///
/// # Invariants
///
/// - `sk` is the socket to which the endpoint is or was attached, null before.
/// - `work` is initialised by [`Attachment::init`]; while it is queued it owns a reference on the endpoint (`owner`) and
///   one on the socket's memory.
#[pin_data]
pub(crate) struct Attachment {
    /// The endpoint itself, as `Arc::into_raw()` gave it.
    owner: UnsafeCell<*const ()>,
    sk: UnsafeCell<*mut bindings::sock>,
    /// The callbacks that were there before ours. Written before ours are installed.
    data_ready: UnsafeCell<Callback>,
    write_space: UnsafeCell<Callback>,
    /// Whether an application asked for the protocol on this socket.
    explicit: bool,
    #[pin]
    work: Opaque<bindings::delayed_work>,
    #[pin]
    free: Opaque<bindings::rcu_work>,
}

// SAFETY: The cells are written before the endpoint is published or under the socket lock, and read afterwards; the rest
// is for any thread.
unsafe impl Send for Attachment {}
// SAFETY: As above.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// An attachment to nothing yet.
    pub(crate) fn new<T: Endpoint>(explicit: bool) -> impl PinInit<Self> {
        pin_init!(Self {
            owner: UnsafeCell::new(ptr::null()),
            sk: UnsafeCell::new(ptr::null_mut()),
            data_ready: UnsafeCell::new(None),
            write_space: UnsafeCell::new(None),
            explicit,
            work <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and its address final.
                unsafe { bindings::tcpcrypt_init_delayed_work(slot, Some(run_work::<T>)) }
            }),
            free <- Opaque::ffi_init(|slot| {
                // SAFETY: As above.
                unsafe { bindings::tcpcrypt_init_rcu_work(slot, Some(free_endpoint::<T>)) }
            }),
        })
    }

    /// Whether an application asked for the protocol on this socket.
    pub(crate) fn is_explicit(&self) -> bool {
        self.explicit
    }

    fn saved_data_ready(&self) -> Callback {
        // SAFETY: Written once, before our callback was installed, which is the caller.
        unsafe { *self.data_ready.get() }
    }

    fn saved_write_space(&self) -> Callback {
        // SAFETY: As above.
        unsafe { *self.write_space.get() }
    }

    /// Has [`Endpoint::work`] run soon. Atomic context, the socket locked.
    pub(crate) fn kick<T: Endpoint>(this: ArcBorrow<'_, T>, sk: &BhSock<'_>) {
        Self::kick_in(this, sk, 0);
    }

    /// Has [`Endpoint::work`] run in `jiffies`, or sooner if it is to run sooner already; 0 is at once, whatever was
    /// said before.
    pub(crate) fn kick_in<T: Endpoint>(
        this: ArcBorrow<'_, T>,
        sk: &BhSock<'_>,
        jiffies: kernel::ffi::c_ulong,
    ) {
        let Some(queue) = T::queue() else { return };
        let queue: *const kernel::workqueue::Queue = queue;
        let endpoint: Arc<T> = this.into();
        let held = sk.hold();
        let work = endpoint.attachment().work.get();
        // SAFETY: The work is initialised, the queue outlives all endpoints (the module drops it last). The casts are
        // between descriptions of one C type.
        let newly = unsafe {
            if jiffies == 0 {
                !bindings::tcpcrypt_mod_delayed_work(queue.cast_mut().cast(), work, 0)
            } else {
                bindings::tcpcrypt_delayed_work_within(queue.cast_mut().cast(), work, jiffies)
            }
        };
        if newly {
            // INVARIANT: The queued work owns the two references from here on.
            core::mem::forget(endpoint);
            core::mem::forget(held);
        }
    }

    /// The socket is destroyed: what [`Attachment::kick_in`] asked for is not to be waited for. Any context; neither
    /// reference may be the last.
    fn cancel<T: Endpoint>(&self) {
        // SAFETY: The work is initialised.
        if unsafe { bindings::cancel_delayed_work(self.work.get().cast()) } {
            // SAFETY: The work was queued and does not run: its two references are taken over from it.
            unsafe {
                drop(Arc::<T>::from_raw((*self.owner.get()).cast()));
                drop(HeldSock::from_owned(*self.sk.get()));
            }
        }
    }

    /// Ends what [`Close::Later`](super::endpoint::Close::Later) began: TCP closes, and the reference that close() left
    /// is dropped. Process context; sleeps.
    pub(crate) fn finish_close(sk: Sk<'_>) {
        tables::restore_prot(sk);
        let close = tables::base_prot(sk).close;
        if let Some(close) = close {
            // SAFETY: The endpoint holds the reference that close() left it, which this call drops. The protocol is
            // TCP's again.
            unsafe { close(sk.as_ptr(), 0) };
        }
    }

    /// Whether [`LockedSock::has_socket`] is to be made true before TCP can be given anything.
    pub(crate) fn unlink_socket(sk: &LockedSock<'_>) {
        // SAFETY: This process owns the socket, and the `struct socket` is being released by its caller.
        unsafe { bindings::tcpcrypt_unlink_socket(sk.as_ptr()) };
    }
}

/// A `struct socket` without a file, for a socket whose own is gone but which still sends.
pub(crate) struct LiteSocket(*mut bindings::socket);

// SAFETY: A socket belongs to no thread.
unsafe impl Send for LiteSocket {}

impl LiteSocket {
    /// Makes one and puts it under `sk`. ENOMEM. May sleep.
    pub(crate) fn graft(sk: &LockedSock<'_>) -> Result<Self> {
        let mut socket = ptr::null_mut();
        let family = if sk.is_ipv6() {
            bindings::AF_INET6
        } else {
            bindings::AF_INET
        };
        // SAFETY: `socket` is valid for writes.
        kernel::error::to_result(unsafe {
            bindings::sock_create_lite(
                family as i32,
                bindings::sock_type_SOCK_STREAM as i32,
                bindings::IPPROTO_TCP as i32,
                &mut socket,
            )
        })?;
        // SAFETY: This process owns `sk`, which has no socket; the new one has no sock.
        unsafe { bindings::tcpcrypt_relink_socket(sk.as_ptr(), socket) };
        Ok(Self(socket))
    }

    /// Takes it away from `sk` again and frees it. May sleep.
    pub(crate) fn remove(self, sk: &LockedSock<'_>) {
        // SAFETY: This process owns `sk`, under which this socket is.
        unsafe {
            bindings::tcpcrypt_unlink_socket(sk.as_ptr());
            (*self.0).sk = ptr::null_mut();
            bindings::sock_release(self.0);
        }
    }
}

/// # Safety
///
/// `work` must be the work of the attachment of a `T`, that was queued and is now run.
unsafe extern "C" fn run_work<T: Endpoint>(work: *mut bindings::work_struct) {
    // SAFETY: By the requirements; `work` is the first field of a delayed_work, which `Opaque` wraps without change.
    let attachment: *const Attachment = unsafe {
        kernel::container_of!(
            work.cast::<Opaque<bindings::delayed_work>>(),
            Attachment,
            work
        )
    };
    // SAFETY: The queued work owned a reference on the endpoint, which keeps the attachment; so `owner` is its address.
    // It owned one on the socket's memory too. INVARIANT: Both are taken over here.
    let (endpoint, sk) = unsafe {
        let endpoint: Arc<T> = Arc::from_raw((*(*attachment).owner.get()).cast());
        let sk = *(*attachment).sk.get();
        (endpoint, HeldSock::from_owned(sk))
    };
    T::work(endpoint.as_arc_borrow(), sk.sk());
}

/// # Safety
///
/// `work` must be the `free` of the attachment of a `T`, queued by [`release`].
unsafe extern "C" fn free_endpoint<T: Endpoint>(work: *mut bindings::work_struct) {
    // SAFETY: As for `run_work`.
    let attachment: *const Attachment = unsafe {
        kernel::container_of!(work.cast::<Opaque<bindings::rcu_work>>(), Attachment, free)
    };
    // SAFETY: The slot's reference was handed to this work.
    drop(unsafe { Arc::<T>::from_raw((*(*attachment).owner.get()).cast()) });
}

fn icsk(sk: Sk<'_>) -> *mut bindings::inet_connection_sock {
    sk.as_ptr().cast()
}

/// Whether another upper layer protocol, or ours, is attached.
pub(crate) fn has_ulp(sk: &BhSock<'_>) -> bool {
    // SAFETY: The socket is alive and locked.
    unsafe { !(*icsk(sk.sk())).icsk_ulp_ops.is_null() }
}

/// The endpoint that is attached to `sk`, if it is one of ours; without the lock.
///
/// # Safety
///
/// The result must be used under RCU or the socket lock only.
pub(crate) unsafe fn endpoint_of<'a, T: Endpoint>(sk: Sk<'a>) -> Option<ArcBorrow<'a, T>> {
    let icsk = icsk(sk);
    // The data before the operations: `publish` writes them in that order and `withdraw` clears them in the other, so
    // that what another protocol puts there later is never taken for ours.
    // SAFETY: The socket is alive. The two fields are pointers, which others replace whole.
    let (data, ops) = unsafe {
        (
            bindings::tcpcrypt_ulp_data(icsk),
            bindings::tcpcrypt_ulp_ops(icsk),
        )
    };
    if data.is_null() || !ptr::eq(ops, tables::ulp_ops()) {
        return None;
    }
    // SAFETY: With our operations in the slot the data is an endpoint, whose reference is kept for a grace period after
    // it left the slot.
    Some(unsafe { ArcBorrow::from_raw(data.cast::<T>()) })
}

/// The endpoint that is attached to `sk`, with a reference.
pub(crate) fn endpoint<T: Endpoint>(sk: &BhSock<'_>) -> Option<Arc<T>> {
    // SAFETY: The socket is locked.
    unsafe { endpoint_of(sk.sk()) }.map(Arc::from)
}

/// Whether `endpoint` is the one that is attached to `sk`.
pub(crate) fn is_attached<T: Endpoint>(endpoint: &T, sk: &LockedSock<'_>) -> bool {
    // SAFETY: The socket is locked.
    unsafe { endpoint_of::<T>(sk.sk()) }.is_some_and(|attached| ptr::eq(&*attached, endpoint))
}

/// Puts `endpoint` into the slot. The module reference for it is the caller's, and goes with it.
fn publish<T: Endpoint>(sk: &BhSock<'_>, endpoint: Arc<T>, set_ops: bool) {
    let attachment: *const Attachment = endpoint.attachment();
    let raw = Arc::into_raw(endpoint);
    let icsk = icsk(sk.sk());
    // SAFETY: The reference in `raw` keeps the attachment; nobody else knows it yet. The socket is locked.
    unsafe {
        *(*attachment).owner.get() = raw.cast();
        *(*attachment).sk.get() = sk.as_ptr();
        bindings::tcpcrypt_publish_ulp(
            icsk,
            if set_ops {
                tables::ulp_ops()
            } else {
                ptr::null()
            },
            raw.cast_mut().cast(),
        );
    }
}

/// Takes the endpoint out of the slot and has it freed after a grace period. Does not put the module reference.
fn withdraw<T: Endpoint>(sk: &BhSock<'_>) {
    // SAFETY: The socket is locked.
    let Some(endpoint) = (unsafe { endpoint_of::<T>(sk.sk()) }) else {
        return;
    };
    let attachment: *const Attachment = endpoint.attachment();
    // SAFETY: As above.
    unsafe { bindings::tcpcrypt_withdraw_ulp(icsk(sk.sk())) };
    queue_free::<T>(attachment);
}

fn queue_free<T: Endpoint>(attachment: *const Attachment) {
    let Some(queue) = T::queue() else { return };
    let queue: *const kernel::workqueue::Queue = queue;
    // SAFETY: The work is initialised and was never queued: an endpoint leaves its slot once. It takes over the slot's
    // reference.
    unsafe { bindings::queue_rcu_work(queue.cast_mut().cast(), (*attachment).free.get()) };
}

/// Ties `endpoint` to a socket that is about to open, whose own operations are TCP's. Atomic, the socket locked.
///
/// EBUSY if something else is attached or the socket is not an ordinary one; EINVAL if the module is on its way out.
pub(crate) fn attach_opening<T: Endpoint>(sk: &BhSock<'_>, endpoint: Arc<T>) -> Result {
    if has_ulp(sk) || !tables::is_plain(sk.sk()) || !tables::has_known_af_ops(sk.sk()) {
        return Err(EBUSY);
    }
    tables::get_module()?;
    publish(sk, endpoint, true);
    tables::install(sk.sk(), tables::Kind::Full);
    tables::install_af_ops(sk.sk());
    Ok(())
}

/// Ties `endpoint` to a socket on which the application set TCP_ULP; the core sets the slot's operations afterwards and
/// has the module reference.
pub(crate) fn attach_explicit<T: Endpoint>(sk: &LockedSock<'_>, endpoint: Arc<T>) {
    let sk = sk.as_bh();
    publish(&sk, endpoint, false);
    tables::install(sk.sk(), tables::Kind::Full);
}

/// Ties `endpoint` to a fresh child, whose operations are TCP's. The caller took the module reference. Softirq, the
/// child locked.
pub(crate) fn attach_child<T: Endpoint>(child: &BhSock<'_>, endpoint: Arc<T>) {
    let carries_data = endpoint.carries_data();
    publish(child, endpoint, true);
    if carries_data {
        tables::install(child.sk(), tables::Kind::Unaccepted);
        tables::install_af_ops(child.sk());
        install_callbacks::<T>(child);
    } else {
        tables::install(child.sk(), tables::Kind::Options);
    }
}

/// Replaces the callbacks, once the negotiation succeeded. Atomic, the socket locked.
pub(crate) fn install_callbacks<T: Endpoint>(sk: &BhSock<'_>) {
    let raw = sk.as_ptr();
    let Some(endpoint) = endpoint::<T>(sk) else {
        return;
    };
    let attachment = endpoint.attachment();
    if attachment.saved_data_ready().is_some() {
        // Never twice: ours would call themselves.
        return;
    }
    // SAFETY: The socket is locked; ours are not installed yet, so that nobody reads the cells.
    unsafe {
        *attachment.data_ready.get() = (*raw).sk_data_ready;
        *attachment.write_space.get() = (*raw).sk_write_space;
        bindings::tcpcrypt_set_callbacks(raw, Some(data_ready::<T>), Some(write_space::<T>));
    }
}

/// Has [`Endpoint::data_ready`] told of changes of state too. For a socket that nobody uses any more: its callback is not
/// kept. The socket owned.
pub(crate) fn watch_state<T: Endpoint>(sk: &LockedSock<'_>) {
    // SAFETY: The socket is alive and owned.
    unsafe { bindings::tcpcrypt_set_state_change(sk.as_ptr(), Some(data_ready::<T>)) };
}

/// Follows what the endpoint of an open socket decided. Atomic, the socket locked.
pub(crate) fn follow<T: Endpoint>(sk: &BhSock<'_>, part: Part) {
    match part {
        Part::Takes | Part::Refuses => {}
        Part::Plain => detach::<T>(sk),
    }
}

/// The negotiation succeeded: ties what is not tied yet, or unties what is not needed. Atomic, the socket locked.
pub(crate) fn settle<T: Endpoint>(sk: &BhSock<'_>, endpoint: &T) {
    if endpoint.carries_data() {
        install_callbacks::<T>(sk);
    } else {
        tables::install(sk.sk(), tables::Kind::Opened);
    }
}

/// Has TCP leave `bytes` more, or less, of each segment to headers. Atomic, the socket locked.
pub(crate) fn reserve_header(sk: &BhSock<'_>, bytes: i32) {
    // SAFETY: The socket is alive and locked, and connected, so that `icsk_sync_mss` is set.
    unsafe { bindings::tcpcrypt_reserve_header(sk.as_ptr(), bytes) }
}

/// The endpoint has seen the segments that it wanted to see: leaves it the socket's options. Atomic, the socket locked.
pub(crate) fn watch_no_segments(sk: &BhSock<'_>) {
    tables::restore_af_ops(sk.sk());
    tables::install(sk.sk(), tables::Kind::Options);
}

/// A socket disconnects whose endpoint has no part in the data path: as it was after TCP_ULP, or plain TCP if it was not
/// attached by that. Atomic, the socket locked.
pub(crate) fn open_anew<T: Endpoint>(sk: &BhSock<'_>) {
    // SAFETY: The socket is locked.
    let explicit = unsafe { endpoint_of::<T>(sk.sk()) }
        .is_some_and(|endpoint| endpoint.attachment().is_explicit());
    if explicit {
        tables::restore_af_ops(sk.sk());
        tables::install(sk.sk(), tables::Kind::Full);
    } else {
        detach::<T>(sk);
    }
}

/// Hands the socket back to plain TCP. Only before [`install_callbacks`]. Atomic, the socket locked.
pub(crate) fn detach<T: Endpoint>(sk: &BhSock<'_>) {
    tables::restore_af_ops(sk.sk());
    tables::restore(sk.sk());
    withdraw::<T>(sk);
    tables::put_module();
}

/// A socket that an application attached begins to listen: its children must inherit TCP's own `sk_prot`. Atomic, the
/// socket locked.
pub(crate) fn start_listening(sk: &BhSock<'_>) {
    tables::install_listener(sk.sk());
}

/// Such a socket is about to connect, and a grace period ago it listened no more. Nothing happens if it listens again, or
/// has no endpoint any more.
pub(crate) fn stop_listening<T: Endpoint>(sk: &LockedSock<'_>) {
    let attached = endpoint::<T>(&sk.as_bh()).is_some();
    if attached && sk.state() == bindings::TCP_CLOSE {
        tables::install(sk.sk(), tables::Kind::Full);
    }
}

/// Points the operations of the `struct socket` to ours again: kernel_accept() overwrites them after accept().
pub(crate) fn ensure_ops(sk: &LockedSock<'_>) {
    tables::install(sk.sk(), tables::Kind::Full);
}

/// A child was cloned from a listener of ours: makes it plain TCP. Softirq, the child locked and not yet known.
pub(crate) fn detach_child(child: &BhSock<'_>) {
    let icsk = icsk(child.sk());
    // SAFETY: The child is locked and new. Its slot is a copy of the listener's, without references.
    unsafe {
        (*icsk).icsk_ulp_data = ptr::null_mut();
        (*icsk).icsk_ulp_ops = ptr::null();
    }
}

/// The core destroys the socket and puts the module reference itself.
pub(crate) fn release<T: Endpoint>(sk: Sk<'_>) {
    // SAFETY: The socket is dead: nobody else replaces the slot.
    let Some(endpoint) = (unsafe { endpoint_of::<T>(sk) }) else {
        return;
    };
    endpoint.released(sk);
    endpoint.attachment().cancel::<T>();
    let attachment: *const Attachment = endpoint.attachment();
    // SAFETY: As above. The core clears the operations itself.
    unsafe { (*icsk(sk)).icsk_ulp_data = ptr::null_mut() };
    queue_free::<T>(attachment);
}

/// `sk_data_ready`. Called by TCP with the socket locked, in softirq or process context; and by whoever wakes readers.
///
/// # Safety
///
/// `sk` must be a socket on which [`install_callbacks`] put it.
unsafe extern "C" fn data_ready<T: Endpoint>(sk: *mut bindings::sock) {
    // SAFETY: By the requirements of this function; TCP calls it with the lock held.
    let sk = unsafe { BhSock::new(Sk::from_raw(sk)) };
    // SAFETY: The socket is locked.
    let Some(endpoint) = (unsafe { endpoint_of::<T>(sk.sk()) }) else {
        return;
    };
    if T::data_ready(endpoint, &sk) {
        call(endpoint.attachment().saved_data_ready(), &sk);
    }
}

/// `sk_write_space`. As [`data_ready`].
///
/// # Safety
///
/// As of [`data_ready`].
unsafe extern "C" fn write_space<T: Endpoint>(sk: *mut bindings::sock) {
    // SAFETY: As in `data_ready`.
    let sk = unsafe { BhSock::new(Sk::from_raw(sk)) };
    // SAFETY: The socket is locked.
    let Some(endpoint) = (unsafe { endpoint_of::<T>(sk.sk()) }) else {
        return;
    };
    if T::write_space(endpoint, &sk) {
        call(endpoint.attachment().saved_write_space(), &sk);
    }
}

/// Wakes readers past our own callback.
pub(crate) fn wake_readers<T: Endpoint>(endpoint: &T, sk: &BhSock<'_>) {
    call(endpoint.attachment().saved_data_ready(), sk);
}

/// Wakes writers past our own callback.
pub(crate) fn wake_writers<T: Endpoint>(endpoint: &T, sk: &BhSock<'_>) {
    call(endpoint.attachment().saved_write_space(), sk);
}

fn call(callback: Callback, sk: &BhSock<'_>) {
    if let Some(callback) = callback {
        // SAFETY: The callback was this socket's, and is called with the lock held as TCP does.
        unsafe { callback(sk.as_ptr()) };
    }
}
