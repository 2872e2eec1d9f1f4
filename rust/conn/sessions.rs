// SPDX-License-Identifier: GPL-2.0

//! The sessions of a namespace that may be resumed (RFC 8548 section 3.5).
//!
//! Every connection that gets keys leaves one here, at both ends. An active opener takes the youngest of its destination
//! when it makes its SYN, and a passive one that which the SYN names, when the handshake ends: who takes one has it alone,
//! so that no secret is used twice. What was taken and not used is gone: the peer may have used it.
//!
//! They are bounded in number, the oldest going first, and in time: expired ones are wiped by a chore of the namespace,
//! and are not found before that. A connection's sessions are of its namespace and, where it opens, of the peer's address.
//!
//! Context: any but hardirq; the lock is a leaf.

use core::net::Ipv6Addr;

use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        msecs_to_jiffies,
        BootTime,
        Instant,
        Jiffies, //
    },
};

use super::settings;
use crate::{
    net::{
        bh_lock::{
            new_bh_spinlock,
            BhSpinLock, //
        },
        chore::Chore,
    },
    proto::session::{
        Half,
        Resumable, //
    },
};

/// The cache.
#[pin_data]
pub(crate) struct Sessions {
    /// Whether sessions are kept, and resumed.
    on: Atomic<bool>,
    /// How many may be kept.
    max: Atomic<u32>,
    /// For how many seconds.
    lifetime: Atomic<u32>,
    /// How many there are, for those who find none.
    len: Atomic<u32>,
    #[pin]
    kept: BhSpinLock<Kept>,
}

struct Kept {
    /// By age: what is inserted later has a higher number.
    by_age: RBTree<u64, KBox<Session>>,
    /// By the half with which the peer names it.
    by_half: RBTree<Half, u64>,
    /// By the peer's address, the youngest first.
    by_peer: RBTree<(Ipv6Addr, u64), u64>,
    next: u64,
}

/// One of them.
pub(crate) struct Session {
    session: Resumable,
    peer: Ipv6Addr,
    since: Instant<BootTime>,
    /// When a listener agreed to resume it, in a handshake that may still end.
    agreed: Option<Instant<BootTime>>,
}

impl Session {
    /// What is resumed.
    pub(crate) fn resumable(&self) -> &Resumable {
        &self.session
    }

    /// It, to be used up.
    pub(crate) fn into_resumable(self) -> Resumable {
        self.session
    }

    /// Whether it may be resumed by somebody else than the one to whom that was promised.
    fn is_free(&self, lifetime: u32) -> bool {
        let promised = |since: &Instant<BootTime>| since.elapsed().as_millis() < HALF_OPEN;
        !self.has_expired(lifetime) && !self.agreed.as_ref().is_some_and(promised)
    }

    fn has_expired(&self, lifetime: u32) -> bool {
        self.since.elapsed().as_millis() >= i64::from(lifetime) * 1000
    }
}

impl Kept {
    /// Takes the one of this age out of all three trees.
    fn remove(&mut self, age: u64) -> Option<KBox<Session>> {
        let kept = self.by_age.remove(&age)?;
        self.by_half.remove(kept.session.peer_half());
        self.by_peer.remove(&(kept.peer, !age));
        Some(kept)
    }

    fn oldest(&self) -> Option<(u64, &Session)> {
        let (age, session) = self.by_age.iter().next()?;
        Some((*age, session))
    }

    /// Of `peer`, the youngest that `fits`.
    fn youngest(&mut self, peer: Ipv6Addr, fits: impl Fn(&Session) -> bool) -> Option<u64> {
        let mut cursor = self.by_peer.cursor_lower_bound_mut(&(peer, 0));
        while let Some(at) = cursor {
            let ((address, _), age) = at.current();
            if *address != peer {
                return None;
            }
            if self.by_age.get(age).is_some_and(|session| fits(session)) {
                return Some(*age);
            }
            cursor = at.move_next();
        }
        None
    }
}

impl Chore for Sessions {
    fn run(&self) -> Option<Jiffies> {
        self.trim(0);
        (self.len() > 0).then(|| msecs_to_jiffies(ROUND))
    }
}

/// How long expired sessions may be kept, in milliseconds.
pub(crate) const ROUND: u32 = 10_000;

/// For how long TCP waits for the end of a handshake, in milliseconds: SYN-ACKs are sent again for 63 s
/// (`tcp_synack_retries`).
const HALF_OPEN: i64 = 64_000;

impl Sessions {
    /// Empty, with the default limits.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            on: Atomic::new(true),
            max: Atomic::new(settings::CACHE_ENTRIES.default),
            lifetime: Atomic::new(settings::CACHE_LIFETIME.default),
            len: Atomic::new(0),
            kept <- new_bh_spinlock!(
                Kept {
                    by_age: RBTree::new(),
                    by_half: RBTree::new(),
                    by_peer: RBTree::new(),
                    next: 0,
                },
                "tcpcrypt_sessions"
            ),
        })
    }

    /// Whether sessions are kept, and resumed.
    pub(crate) fn on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Turned off, all are wiped.
    pub(crate) fn set_on(&self, on: bool) {
        self.on.store(on, Relaxed);
        self.trim(0);
    }

    /// How many may be kept.
    pub(crate) fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// How many more may be kept, if there were none.
    fn limit(&self) -> u32 {
        match self.on() {
            true => self.max(),
            false => 0,
        }
    }

    /// Whether any are kept.
    pub(crate) fn keeps(&self) -> bool {
        self.limit() > 0
    }

    /// With fewer the oldest go.
    pub(crate) fn set_max(&self, max: u32) {
        self.max.store(max, Relaxed);
        self.trim(0);
    }

    /// For how many seconds they are kept.
    pub(crate) fn lifetime(&self) -> u32 {
        self.lifetime.load(Relaxed)
    }

    /// Those that are older go.
    pub(crate) fn set_lifetime(&self, lifetime: u32) {
        self.lifetime.store(lifetime, Relaxed);
        self.trim(0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Relaxed)
    }

    /// Wipes those that have expired, and the oldest until `room` more may be kept.
    fn trim(&self, room: u32) {
        let (max, lifetime) = (self.limit(), self.lifetime());
        loop {
            let mut kept = self.kept.lock();
            let surplus = self.len().saturating_add(room) > max;
            let gone = match kept.oldest() {
                Some((age, oldest)) if surplus || oldest.has_expired(lifetime) => kept.remove(age),
                _ => return,
            };
            self.count(&kept, -1);
            drop(kept);
            // Wiped and freed without the lock.
            drop(gone);
        }
    }

    fn count(&self, _locked: &Kept, change: i32) {
        let len = self.len.load(Relaxed);
        self.len.store(len.saturating_add_signed(change), Relaxed);
    }

    /// Keeps `session`, made with the host `peer`; gives the half by which it is found. ENOMEM: it is not kept. ENOSPC if
    /// none are kept. Process context.
    pub(crate) fn insert(&self, session: Resumable, peer: Ipv6Addr) -> Result<Half> {
        if !self.keeps() {
            return Err(ENOSPC);
        }
        let half = *session.peer_half();
        let by_age = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let by_half = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let by_peer = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let since = Instant::now();
        let session = KBox::new(
            Session {
                session,
                peer,
                since,
                agreed: None,
            },
            GFP_KERNEL,
        )?;
        self.trim(1);
        let mut kept = self.kept.lock();
        let age = kept.next;
        kept.next += 1;
        kept.by_age.insert(by_age.into_node(age, session));
        kept.by_half.insert(by_half.into_node(half, age));
        kept.by_peer.insert(by_peer.into_node((peer, !age), age));
        self.count(&kept, 1);
        Ok(half)
    }

    /// Takes the youngest of `peer` that is `allowed`.
    pub(crate) fn take_for(
        &self,
        peer: Ipv6Addr,
        allowed: impl Fn(&Resumable) -> bool,
    ) -> Option<KBox<Session>> {
        if self.len() == 0 {
            return None;
        }
        let lifetime = self.lifetime();
        let mut kept = self.kept.lock();
        let fits = |session: &Session| allowed(&session.session) && session.is_free(lifetime);
        let age = kept.youngest(peer, fits)?;
        self.take(&mut kept, age)
    }

    /// Takes the one that the peer names by `half`.
    pub(crate) fn take_named(&self, half: &Half) -> Option<KBox<Session>> {
        let mut kept = self.kept.lock();
        let age = *kept.by_half.get(half)?;
        self.take(&mut kept, age)
    }

    fn take(&self, kept: &mut Kept, age: u64) -> Option<KBox<Session>> {
        let taken = kept.remove(age)?;
        self.count(kept, -1);
        Some(taken)
    }

    /// Promises the one that the peer names by `half`, if `f` agrees: until the handshake can't end any more nobody else
    /// resumes it.
    pub(crate) fn promise<R>(
        &self,
        half: &Half,
        f: impl FnOnce(&Resumable) -> Option<R>,
    ) -> Option<R> {
        if self.len() == 0 {
            return None;
        }
        let lifetime = self.lifetime();
        let mut kept = self.kept.lock();
        let age = *kept.by_half.get(half)?;
        let session = kept.by_age.get_mut(&age)?;
        if !session.is_free(lifetime) {
            return None;
        }
        let agreed = f(&session.session)?;
        session.agreed = Some(Instant::now());
        Some(agreed)
    }

    /// Wipes the one that the peer names by `half`, if it is there yet.
    pub(crate) fn forget(&self, half: &Half) {
        drop(self.take_named(half));
    }
}
