// SPDX-License-Identifier: GPL-2.0

//! Everything that the module registers, in order, and undone in the opposite one.

use core::{
    marker::PhantomData,
    ptr, //
};

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    },
};

use super::{
    crossing::Crossings,
    endpoint::Endpoint,
    listeners::Listeners,
    pernet::{
        Net,
        NetState,
        Registration, //
    },
    probe::StateProbe,
    proc::ProcFiles,
    queue::OwnedQueue,
    sealing::Workspaces,
    sock::Sk,
    sysctl::{
        Events,
        Sysctls, //
    },
    tables,
    ulp::Ulp, //
};
use crate::{
    bindings,
    crypto::x25519::Pool, //
};

/// Ephemeral keys that are made in advance.
const KEYS_IN_ADVANCE: usize = 64;

/// What all endpoints share.
pub(crate) struct Shared {
    /// Where their work runs.
    pub(crate) queue: OwnedQueue,
    /// Ephemeral keys.
    pub(crate) pool: Pool,
    /// Memory for sealing and opening.
    pub(crate) workspaces: Workspaces,
}

/// The address of the [`Shared`], while it is there.
static SHARED: Atomic<usize> = Atomic::new(0);

/// What all endpoints share; None before it is there and after. For code that runs for an endpoint, all of which are
/// gone before it is dropped.
pub(crate) fn shared() -> Option<&'static Shared> {
    let address = SHARED.load(Acquire);
    // SAFETY: Not null means that `SharedOwner` is there. Whoever calls runs for a socket that is attached, or in the
    // queue's own work: `Registered` drops it after no socket is attached any more and its work is done.
    unsafe { ptr::with_exposed_provenance::<Shared>(address).as_ref() }
}

/// Owns the [`Shared`] and makes it known.
struct SharedOwner {
    _shared: KBox<Shared>,
}

impl SharedOwner {
    fn new() -> Result<Self> {
        let shared = KBox::new(
            Shared {
                queue: OwnedQueue::new(c"tcpcrypt")?,
                pool: Pool::new(KEYS_IN_ADVANCE)?,
                workspaces: Workspaces::new()?,
            },
            GFP_KERNEL,
        )?;
        SHARED.store(ptr::from_ref(&*shared).expose_provenance(), Release);
        Ok(Self { _shared: shared })
    }
}

impl Drop for SharedOwner {
    fn drop(&mut self) {
        // Endpoints on their way out are freed by work that is queued after a grace period.
        // SAFETY: Process context.
        unsafe { bindings::rcu_barrier() };
        // The queue finishes its work when it is dropped; what runs there may still look at `SHARED`, so that it is not
        // reset before. Nothing else runs: every socket was detached and its module reference dropped.
    }
}

/// Waits for whoever runs the module's last instructions after it dropped its reference.
struct LastInstructions;

impl Drop for LastInstructions {
    fn drop(&mut self) {
        // SAFETY: Process context.
        unsafe {
            bindings::synchronize_net();
            bindings::synchronize_rcu_tasks();
        }
    }
}

struct OpenEvents<T>(PhantomData<T>);

// SAFETY: There is no value of it.
unsafe impl<T> Send for OpenEvents<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for OpenEvents<T> {}

impl<T: Endpoint> Events for OpenEvents<T> {
    fn connect_changes(net: &Net, on: bool) {
        // SAFETY: The sysctls are made after this state and gone before.
        let crossings = unsafe { Crossings::<T>::of(net.as_ptr()) };
        if on && crossings.hook().is_err() {
            pr_warn!("no memory to see simultaneous opens in a namespace: they stay plain\n");
        }
    }

    fn listen_changed(net: &Net, on: bool) {
        // Turned off, listeners go on to look at the setting for each SYN, and to end the handshakes that they began: the
        // peers of those will encrypt.
        if !on {
            return;
        }
        // SAFETY: The sysctls are made after the listeners' state and gone before.
        let listeners = unsafe { Listeners::<T>::of(net.as_ptr()) };
        if listeners.pick_up().is_err() {
            pr_warn!("no memory to answer ENO in a namespace: its listeners stay plain\n");
        }
    }
}

/// The module's registrations. The fields are dropped in the order in which they stand here.
pub(crate) struct Registered<T: Endpoint> {
    // Nobody changes settings any more.
    _sysctls: Sysctls<OpenEvents<T>>,
    // No socket is attached by default any more, and none by TCP_ULP.
    _probe: StateProbe,
    _ulp: Ulp,
    // No segment that comes passes a hook.
    _crossings: Registration<Crossings<T>>,
    // Listeners are plain again, SYN-ACKs pass no hook.
    _listeners: Registration<Listeners<T>>,
    _files: ProcFiles,
    _wait: LastInstructions,
    // What endpoints on their way out use.
    _shared: SharedOwner,
    _states: Arc<Registration<NetState>>,
    // Work ended above: its last instructions too.
    _wait_again: LastInstructions,
}

impl<T: Endpoint> Registered<T> {
    /// Registers everything. Process context, may sleep.
    pub(crate) fn new() -> Result<Self> {
        tables::build::<T>()?;
        // In the opposite order of the fields: what a step uses is there before it.
        let wait_again = LastInstructions;
        let states = Arc::new(Registration::<NetState>::new()?, GFP_KERNEL)?;
        let shared = SharedOwner::new()?;
        let files = ProcFiles::new(states.clone())?;
        let listeners = Registration::<Listeners<T>>::new()?;
        let crossings = Registration::<Crossings<T>>::new()?;
        let ulp = Ulp::register()?;
        let probe = StateProbe::new::<T>()?;
        let sysctls = Sysctls::new(states.clone())?;
        Ok(Self {
            _sysctls: sysctls,
            _probe: probe,
            _ulp: ulp,
            _crossings: crossings,
            _listeners: listeners,
            _files: files,
            _wait: LastInstructions,
            _shared: shared,
            _states: states,
            _wait_again: wait_again,
        })
    }
}

/// Makes sure that an open of the socket, active or passive, is seen in its namespace. ENOMEM. Process context, may
/// sleep.
pub(crate) fn hook_for<T: Endpoint>(sk: Sk<'_>) -> Result {
    // SAFETY: The socket keeps its namespace, and the caller the module.
    let (listeners, crossings) =
        unsafe { (Listeners::<T>::of(sk.net()), Crossings::<T>::of(sk.net())) };
    listeners.hook()?;
    crossings.hook()
}
