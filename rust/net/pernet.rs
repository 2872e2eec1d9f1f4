// SPDX-License-Identifier: GPL-2.0

//! State of network namespaces.
//!
//! [`PerNet`] is for anything that a namespace has one of, from when the module is loaded (or the namespace made) until
//! it is unloaded (or the namespace goes away); a [`Registration`] of such a type does that. [`NetState`] is the main
//! one: settings, which [`sysctl`](super::sysctl) changes, and counters, which [`proc`](super::proc) shows.

use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr,
    ptr::NonNull, //
};

use kernel::{
    error::from_result,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    },
    types::Opaque, //
};

use super::chore::WithChore;
use crate::{
    bindings,
    conn::{
        failures::Failures,
        limit::Exchanges,
        sessions::Sessions,
        settings::{
            Packed,
            PLAIN_PORTS,
            REKEY_BYTES,
            REKEY_SECONDS,
            SYN_RETRANSMISSIONS, //
        },
        stats::Counter, //
    },
    proto::{
        eno::TepList,
        handshake::AeadList, //
    },
};

use super::crossing::Openings;

/// A network namespace: `struct net`.
#[repr(transparent)]
pub(crate) struct Net(Opaque<bindings::net>);

impl Net {
    /// The namespace that C calls `net`.
    ///
    /// # Safety
    ///
    /// `net` must be a namespace, and it must not be freed during `'a`.
    pub(crate) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: The caller vouches for the pointer; the type is transparent.
        unsafe { &*net.cast() }
    }

    /// The namespace as C sees it.
    pub(crate) fn as_ptr(&self) -> *mut bindings::net {
        self.0.get()
    }
}

/// Where the kernel keeps the state of one type in every namespace. A `static`, one per type.
pub(crate) struct Id {
    /// What `net_generic()` wants; set before the first namespace is initialised.
    slot: Atomic<u32>,
    taken: Atomic<bool>,
}

impl Id {
    /// An identifier that nobody uses.
    pub(crate) const fn unused() -> Self {
        Self {
            slot: Atomic::new(0),
            taken: Atomic::new(false),
        }
    }

    /// The memory of this identifier in `net`. Context: any.
    fn memory(&self, net: &Net) -> *mut c_void {
        // SAFETY: `net` is a namespace. The slot is one that the kernel gave out, or 0 before that, which is not the
        // index of a pointer, but of memory that exists.
        unsafe { bindings::tcpcrypt_net_generic(net.as_ptr(), self.slot.load(Relaxed)) }
    }
}

/// Something that every network namespace has one of. Its `Drop` is what happens when the namespace goes away, or the
/// module.
pub(crate) trait PerNet: Sized + Send + Sync + 'static {
    /// Where it is kept: always the same static, not shared with another type.
    fn id() -> &'static Id;

    /// Makes that of `net`, which is there until what this makes was dropped. Failure keeps a new namespace from being
    /// made. Context: process, may sleep; under `pernet_ops_rwsem`.
    fn new(net: &Net) -> impl PinInit<Self, Error>;
}

/// Keeps a `T` in every network namespace.
///
/// Dropped in process context: it sleeps. What is registered later is torn down earlier, in a namespace too: register
/// what is used before its users.
///
/// # Invariants
///
/// `ops` is registered, and it is the only one with the identifier of `T`.
pub(crate) struct Registration<T: PerNet> {
    ops: KBox<Opaque<bindings::pernet_operations>>,
    _kept: PhantomData<T>,
}

// SAFETY: Nothing but Drop uses what it has, and any thread may unregister.
unsafe impl<T: PerNet> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: PerNet> Sync for Registration<T> {}

impl<T: PerNet> Registration<T> {
    /// Makes a `T` in every namespace that exists, and in each new one from now on.
    ///
    /// EBUSY if that is done already, ENOMEM, or the error of [`PerNet::new`]. Context: process, may sleep.
    pub(crate) fn new() -> Result<Self> {
        // kzalloc(), which the memory comes from, aligns at least for words.
        const { assert!(align_of::<T>() <= align_of::<u64>()) };
        let id = T::id();
        let ops = KBox::new(
            Opaque::new(bindings::pernet_operations {
                init: Some(init::<T>),
                exit: Some(exit::<T>),
                id: id.slot.as_ptr(),
                // A size of zero would give a null pointer that is no error.
                size: size_of::<T>().max(1),
                ..Default::default()
            }),
            GFP_KERNEL,
        )?;
        if id.taken.xchg(true, kernel::sync::atomic::Full) {
            return Err(EBUSY);
        }
        // SAFETY: `ops` is valid, in an allocation that moving the box does not move, and not registered. Its functions
        // are what they have to be.
        let result = unsafe { bindings::register_pernet_subsys(ops.get()) };
        if result != 0 {
            id.taken.store(false, Relaxed);
            return Err(Error::from_errno(result));
        }
        // INVARIANT: Just registered; `taken` keeps others away.
        Ok(Self {
            ops,
            _kept: PhantomData,
        })
    }
}

impl<T: PerNet> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered by the type invariant. This calls `exit` for every namespace that is left, and waits for
        // those that are being torn down.
        unsafe { bindings::unregister_pernet_subsys(self.ops.get()) };
        T::id().taken.store(false, Relaxed);
    }
}

/// # Safety
///
/// Called by the kernel for a namespace that has memory for a `T`, which nobody uses yet.
unsafe extern "C" fn init<T: PerNet>(net: *mut bindings::net) -> c_int {
    // SAFETY: The kernel gives a namespace, and keeps it until after `exit`.
    let net = unsafe { Net::from_raw(net) };
    from_result(|| {
        // SAFETY: The memory has the size of a `T` and enough alignment by the assertion in `Registration::new`. From
        // here until `exit` it is neither freed nor moved, and used by nobody but those to whom `get` lends it, so it
        // is as good as static. (After an error nobody uses it, and the kernel frees it.)
        let memory: &'static mut MaybeUninit<T> = unsafe { &mut *T::id().memory(net).cast() };
        memory.write_pin_init(T::new(net))?;
        Ok(0)
    })
}

/// # Safety
///
/// Called by the kernel once for each namespace for which `init` succeeded; then it frees the memory.
unsafe extern "C" fn exit<T: PerNet>(net: *mut bindings::net) {
    // SAFETY: The namespace is there until after this.
    let net = unsafe { Net::from_raw(net) };
    // SAFETY: `init` put a `T` there. The references that `get` gave are gone, by what it asks of its callers.
    unsafe { ptr::drop_in_place(T::id().memory(net).cast::<T>()) };
}

/// The `T` of `net`. Context: any.
///
/// # Safety
///
/// From before the call until the end of `'a` `T` must be registered and `net` must not get as far as its exit functions.
/// That is so for as long as something exists that was registered after `T` and is torn down before it in `net`, such as
/// netfilter hooks, or as long as a socket that is not the kernel's own exists in `net` and the module is pinned.
pub(crate) unsafe fn get<'a, T: PerNet>(net: *mut bindings::net) -> &'a T {
    // SAFETY: `net` is a namespace by the requirements of this function.
    let memory = T::id().memory(unsafe { Net::from_raw(net) });
    // SAFETY: `init` put a `T` there, and `exit` is not called during `'a`.
    unsafe { &*memory.cast::<T>() }
}

/// A set of ports, which `proc_do_large_bitmap()` writes and anybody reads without a lock.
///
/// # Invariants
///
/// `first` points at the first of the 65536 bits that `words` has.
pub(crate) struct PortSet {
    words: KVec<Atomic<usize>>,
    first: *mut usize,
}

// SAFETY: The pointer is to memory that is owned by the set and that is only accessed atomically, or by C as a bitmap.
unsafe impl Send for PortSet {}
// SAFETY: As above.
unsafe impl Sync for PortSet {}

impl PortSet {
    /// Bits in a set.
    pub(crate) const BITS: usize = 1 << 16;

    const WORD: usize = usize::BITS as usize;

    /// A set of `ports`. ENOMEM. Context: process.
    fn new(ports: &[u16]) -> Result<Self> {
        let mut words = KVec::with_capacity(Self::BITS / Self::WORD, GFP_KERNEL)?;
        for first in (0..Self::BITS).step_by(Self::WORD) {
            let mine = ports
                .iter()
                .map(|&port| usize::from(port).wrapping_sub(first));
            let word = mine
                .filter(|bit| *bit < Self::WORD)
                .fold(0, |word, bit| word | 1 << bit);
            words.push(Atomic::new(word), GFP_KERNEL)?;
        }
        let first = words.as_mut_ptr().cast();
        // INVARIANT: There is a word for each `WORD` bits, and the allocation stays where it is.
        Ok(Self { words, first })
    }

    /// Whether `port` is in the set. Context: any.
    pub(crate) fn contains(&self, port: u16) -> bool {
        let port = usize::from(port);
        self.words
            .get(port / Self::WORD)
            .is_some_and(|word| word.load(Relaxed) >> (port % Self::WORD) & 1 != 0)
    }

    /// Where the pointer to the bits is: what `proc_do_large_bitmap()` calls data.
    pub(super) fn data(&self) -> *const *mut usize {
        &self.first
    }
}

/// One number of each kind per CPU.
///
/// # Invariants
///
/// `first` is per-CPU memory for as many numbers as there are counters.
struct Counters {
    first: NonNull<u64>,
}

// SAFETY: Per-CPU memory is for everybody; a CPU adds to its own number, atomically with regard to its interrupts.
unsafe impl Send for Counters {}
// SAFETY: As above.
unsafe impl Sync for Counters {}

impl Counters {
    /// All zero. ENOMEM. Context: process, may sleep.
    fn new() -> Result<Self> {
        // SAFETY: Allocates.
        let first = unsafe { bindings::tcpcrypt_percpu_alloc(Counter::ALL.len()) };
        // INVARIANT: Just allocated.
        Ok(Self {
            first: NonNull::new(first).ok_or(ENOMEM)?,
        })
    }

    fn place(&self, counter: Counter) -> *mut u64 {
        // A per-CPU pointer is not the address of the number, so this must not be the arithmetic of addresses in one
        // allocation.
        self.first.as_ptr().wrapping_add(counter as usize)
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is per-CPU memory, and ours.
        unsafe { bindings::tcpcrypt_percpu_free(self.first.as_ptr()) };
    }
}

/// The settings and counters of a namespace. A new namespace has the defaults.
///
/// Reading a setting takes no lock: what a connection reads was so at some moment around. Context: any.
#[pin_data]
pub(crate) struct NetState {
    enable_connect: Atomic<bool>,
    enable_listen: Atomic<bool>,
    openings: Openings,
    teps: Atomic<u64>,
    syn_retransmissions: Atomic<u32>,
    aconf: Atomic<u64>,
    bconf: Atomic<u64>,
    exchanges: Exchanges,
    rekey_bytes: Atomic<u64>,
    rekey_seconds: Atomic<u32>,
    exclude_local: PortSet,
    exclude_remote: PortSet,
    counters: Counters,
    #[pin]
    failures: Failures,
    #[pin]
    sessions: WithChore<Sessions>,
    /// Held while `enable_listen` changes and listeners are told.
    #[pin]
    pub(super) listen_change: Mutex<()>,
}

static NET_STATE: Id = Id::unused();

impl PerNet for NetState {
    fn id() -> &'static Id {
        &NET_STATE
    }

    fn new(_net: &Net) -> impl PinInit<Self, Error> {
        let ciphers = Packed::new(&AeadList::default()).to_bits();
        try_pin_init!(Self {
            enable_connect: Atomic::new(false),
            enable_listen: Atomic::new(false),
            openings: Openings::new(),
            teps: Atomic::new(Packed::new(&TepList::default()).to_bits()),
            syn_retransmissions: Atomic::new(SYN_RETRANSMISSIONS.default),
            aconf: Atomic::new(ciphers),
            bconf: Atomic::new(ciphers),
            exchanges: Exchanges::new()?,
            rekey_bytes: Atomic::new(REKEY_BYTES),
            rekey_seconds: Atomic::new(REKEY_SECONDS.default),
            exclude_local: PortSet::new(PLAIN_PORTS)?,
            exclude_remote: PortSet::new(PLAIN_PORTS)?,
            counters: Counters::new()?,
            failures <- Failures::new(),
            sessions <- WithChore::new(Sessions::new()),
            listen_change <- new_mutex!((), "tcpcrypt_listen_change"),
        })
    }
}

impl NetState {
    /// That of `net`. Context: any.
    ///
    /// # Safety
    ///
    /// As of [`get`].
    pub(crate) unsafe fn of<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: The caller vouches for the same.
        unsafe { get(net) }
    }

    /// Whether connections that are opened here try ENO.
    pub(crate) fn enable_connect(&self) -> bool {
        self.enable_connect.load(Relaxed)
    }

    /// Which sockets the hook at LOCAL_IN looks for segments of.
    pub(crate) fn openings(&self) -> &Openings {
        &self.openings
    }

    /// Whether listeners answer ENO.
    pub(crate) fn enable_listen(&self) -> bool {
        self.enable_listen.load(Relaxed)
    }

    /// What is offered and accepted, best first.
    pub(crate) fn teps(&self) -> TepList {
        Packed::from_bits(self.teps.load(Relaxed)).unpack()
    }

    /// How often a SYN is sent again with ENO, before it is sent without.
    pub(crate) fn syn_retransmissions(&self) -> u32 {
        self.syn_retransmissions.load(Relaxed)
    }

    /// The sessions that may be resumed.
    pub(crate) fn sessions(&self) -> &WithChore<Sessions> {
        &self.sessions
    }

    /// The destinations to which ENO does not work.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// The passive connections that wait for keys.
    pub(crate) fn exchanges(&self) -> &Exchanges {
        &self.exchanges
    }

    /// What is offered in role A, best first.
    pub(crate) fn aconf(&self) -> AeadList {
        Packed::from_bits(self.aconf.load(Relaxed)).unpack()
    }

    /// What is accepted in role B, best first.
    pub(crate) fn bconf(&self) -> AeadList {
        Packed::from_bits(self.bconf.load(Relaxed)).unpack()
    }

    /// After how many bytes of data a key of ours is to be changed; 0 for no such limit.
    pub(crate) fn rekey_bytes(&self) -> u64 {
        self.rekey_bytes.load(Relaxed)
    }

    /// After how many seconds; 0 for no such limit.
    pub(crate) fn rekey_seconds(&self) -> u32 {
        self.rekey_seconds.load(Relaxed)
    }

    /// Whether connections of the local port `local` (host byte order) stay plain.
    pub(crate) fn excludes_local(&self, local: u16) -> bool {
        self.exclude_local.contains(local)
    }

    /// Whether connections to or from the remote port `remote` (host byte order) stay plain.
    pub(crate) fn excludes_remote(&self, remote: u16) -> bool {
        self.exclude_remote.contains(remote)
    }

    /// Whether connections between these ports (host byte order) stay plain.
    pub(crate) fn excludes(&self, local: u16, remote: u16) -> bool {
        self.excludes_local(local) || self.excludes_remote(remote)
    }

    /// Adds one to `counter`.
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds `n` to `counter`.
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        // SAFETY: It is a number in per-CPU memory, by the type invariant of `Counters`.
        unsafe { bindings::tcpcrypt_percpu_add(self.counters.place(counter), n) };
    }

    /// Takes one from `counter`, which is a gauge.
    pub(crate) fn uncount(&self, counter: Counter) {
        self.add(counter, 1_u64.wrapping_neg());
    }

    /// The sum of what all CPUs have added to `counter`.
    pub(crate) fn total(&self, counter: Counter) -> u64 {
        // SAFETY: As in `add`.
        unsafe { bindings::tcpcrypt_percpu_sum(self.counters.place(counter)) }
    }

    pub(super) fn set_enable_connect(&self, on: bool) {
        self.enable_connect.store(on, Relaxed);
    }

    /// To be called with `listen_change` held.
    pub(super) fn set_enable_listen(&self, on: bool) {
        self.enable_listen.store(on, Relaxed);
    }

    pub(super) fn set_teps(&self, list: &TepList) {
        self.teps.store(Packed::new(list).to_bits(), Relaxed);
    }

    pub(super) fn set_syn_retransmissions(&self, times: u32) {
        self.syn_retransmissions.store(times, Relaxed);
    }

    pub(super) fn set_aconf(&self, list: &AeadList) {
        self.aconf.store(Packed::new(list).to_bits(), Relaxed);
    }

    pub(super) fn set_bconf(&self, list: &AeadList) {
        self.bconf.store(Packed::new(list).to_bits(), Relaxed);
    }

    pub(super) fn set_rekey_bytes(&self, bytes: u64) {
        self.rekey_bytes.store(bytes, Relaxed);
    }

    pub(super) fn set_rekey_seconds(&self, seconds: u32) {
        self.rekey_seconds.store(seconds, Relaxed);
    }

    pub(super) fn exclude_local(&self) -> &PortSet {
        &self.exclude_local
    }

    pub(super) fn exclude_remote(&self) -> &PortSet {
        &self.exclude_remote
    }
}
