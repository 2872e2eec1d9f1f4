// SPDX-License-Identifier: GPL-2.0

//! Ephemeral X25519 keys (RFC 7748) by the kernel's library, and a pool of some made in advance.
//!
//! Making a pair costs about as much as the agreement itself. The [`Pool`] makes pairs on a workqueue, so that a
//! connection waits for one multiplication and not for two.

use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    sync::Arc,
    time::{
        BootTime,
        Instant, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

use crate::{
    bindings,
    crypto::{
        agreement::Refused,
        rng, //
    },
    net::{
        bh_lock::{
            new_bh_spinlock,
            BhSpinLock, //
        },
        queue::OwnedQueue, //
    },
    proto::{
        ids::X25519_LEN as KEY_LEN,
        secret::Secret, //
    }, //
};

/// A private key and its public key, for one agreement. The private key is wiped on drop.
///
/// It is in an allocation of its own, so that moving the pair about leaves no copies of the private key behind.
pub(crate) struct KeyPair(KBox<Keys>);

struct Keys {
    private: Secret<KEY_LEN>,
    public: [u8; KEY_LEN],
}

impl KeyPair {
    /// Makes a pair.
    ///
    /// EAGAIN while the random generator is not seeded, ENOMEM. Takes tens of microseconds. Context: process, may sleep.
    pub(crate) fn generate() -> Result<Self> {
        if !rng::ready() {
            return Err(EAGAIN);
        }
        let mut keys = KBox::new(
            Keys {
                private: Secret::zeroed(),
                public: [0; KEY_LEN],
            },
            GFP_KERNEL,
        )?;
        let Keys { private, public } = &mut *keys;
        rng::fill(private.expose_mut());
        // SAFETY: The pointers are to 32 bytes each, the first valid for writes, the second for reads. The scalar needs
        // no clamping before: every implementation that the library has clamps its own copy (RFC 7748, 5).
        if !unsafe {
            bindings::curve25519_generate_public(public.as_mut_ptr(), private.expose().as_ptr())
        } {
            // Only for a private key of zeros.
            return Err(EAGAIN);
        }
        Ok(Self(keys))
    }

    /// The public key, to be sent.
    pub(crate) fn public(&self) -> &[u8; KEY_LEN] {
        &self.0.public
    }

    /// X25519 of this private key and the peer's public key, which may be any 32 bytes. Uses the pair up.
    ///
    /// Refuses a public key that makes a secret of zeros (RFC 8548, 5).
    ///
    /// Takes tens of microseconds. Context: any but hardirq; meant for process context.
    pub(crate) fn agree(
        self,
        peer: &[u8; KEY_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), Refused> {
        // SAFETY: The pointers are to 32 bytes each, the first valid for writes, the others for reads.
        let usable = unsafe {
            bindings::curve25519(
                shared.as_mut_ptr(),
                self.0.private.expose().as_ptr(),
                peer.as_ptr(),
            )
        };
        usable.then_some(()).ok_or(Refused::BadKey)
    }
}

/// A pair of this age, in milliseconds, is not used any more.
///
/// Who reads the memory can follow the connections that the pairs there are used for later. With an age, that ends soon.
const STALE_MS: i64 = 10 * 60 * 1000;

/// Pairs made in advance, each given out once, and wiped if it was not until it is stale. Nothing looks for those while no
/// connection asks for a pair: then they are of no use to anybody.
///
/// There are none for the other curves: they are negotiated only where somebody asked for them, and elsewhere a pool of
/// them would be work for nothing. Their connections wait for two multiplications.
///
/// The first pairs are made when the pool is, later ones when half of them are gone. Dropping the pool waits for the
/// work that makes them (it sleeps) and wipes what is left.
pub(crate) struct Pool {
    // The order is that of the teardown: the queue finishes its work, which uses the shelf.
    queue: OwnedQueue,
    shelf: Arc<Shelf>,
}

/// A pair, and since when it is there.
struct Kept {
    pair: KeyPair,
    since: Instant<BootTime>,
}

#[pin_data]
struct Shelf {
    /// Has room for `capacity` pairs, so that putting one there doesn't allocate.
    #[pin]
    pairs: BhSpinLock<KVec<Kept>>,
    capacity: usize,
    #[pin]
    work: Work<Shelf>,
}

impl_has_work! {
    impl HasWork<Self> for Shelf { self.work }
}

impl WorkItem for Shelf {
    type Pointer = Arc<Shelf>;

    /// Context: process, on the pool's queue.
    fn run(this: Arc<Shelf>) {
        while this.pairs.lock().len() < this.capacity {
            let Ok(pair) = KeyPair::generate() else {
                // Connections make their own; the next one that does asks again.
                return;
            };
            // Only this work item adds, and an item never runs twice at a time: there is room. The pair must not be
            // dropped with the lock held, though, if there were none, so the guard goes first.
            let since = Instant::now();
            let refused = this.pairs.lock().push_within_capacity(Kept { pair, since });
            drop(refused);
        }
    }
}

impl Pool {
    /// An empty pool for `capacity` pairs, being filled. ENOMEM. Context: process, may sleep.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        let pairs = KVec::with_capacity(capacity, GFP_KERNEL)?;
        let pool = Self {
            queue: OwnedQueue::new(c"tcpcrypt_keys")?,
            shelf: Arc::pin_init(
                pin_init!(Shelf {
                    pairs <- new_bh_spinlock!(pairs, "tcpcrypt_key_pool"),
                    capacity,
                    work <- new_work!("tcpcrypt::Shelf::work"),
                }),
                GFP_KERNEL,
            )?,
        };
        pool.refill();
        Ok(pool)
    }

    /// A pair of the pool's, or `None` if it is empty just now: [`KeyPair::generate`] one, or try later.
    ///
    /// Wipes those that are stale. Does not sleep or allocate. Context: process, BH or softirq.
    pub(crate) fn take(&self) -> Option<KeyPair> {
        let (pair, left) = {
            let mut pairs = self.shelf.pairs.lock();
            pairs.retain(|kept| kept.since.elapsed().as_millis() < STALE_MS);
            (pairs.pop().map(|kept| kept.pair), pairs.len())
        };
        if left <= self.shelf.capacity / 2 {
            self.refill();
        }
        pair
    }

    /// A pair of the pool's or else a new one. Errors as [`KeyPair::generate`]. Context: process, may sleep.
    pub(crate) fn take_or_generate(&self) -> Result<KeyPair> {
        self.take().map_or_else(KeyPair::generate, Ok)
    }

    fn refill(&self) {
        // An error means that it is queued already.
        let _ = self.queue.enqueue(self.shelf.clone());
    }
}
