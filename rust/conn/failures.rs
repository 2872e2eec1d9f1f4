// SPDX-License-Identifier: GPL-2.0

//! The destinations to which ENO does not work, so that only the first connection there pays for finding out.
//!
//! RFC 8547 section 9 names what a path can do: it drops SYNs that have the option, so that a connection opens only when
//! the option is left out; or it takes the option out of the segments after them, so that this end encrypts and the
//! other one does not, and the connection is lost. Where that was seen, later connections are plain from their first
//! SYN, for the lifetime that the namespace sets. Those of which encryption was demanded do not ask.
//!
//! Who can make segments disappear, or forge a reset, gets a destination in here, and with it plain connections until
//! the entry expires. An active attacker can have each of them plain anyway, by taking the option out of the SYN; what it
//! gains is that it can go away meanwhile. Against that help no rules here, but a demand of the application
//! (TCP_ENO_MANDATORY); the lifetime bounds it, an administrator sees the entries, and [`Failures::forget`] follows the
//! first connection that gets keys. From off the path nothing can be done that does not end connections as well.
//!
//! How many SYNs have the option is in `syns.rs`.

use core::{
    fmt,
    net::Ipv6Addr, //
};

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
        BootTime,
        Delta,
        Instant, //
    },
};

use super::settings;
use crate::net::bh_lock::{
    new_bh_spinlock,
    BhSpinLock, //
};

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// SYNs with ENO were not answered, and the first one without it was.
    SynUnanswered,
    /// ENO succeeded, and then the peer answered in plain, reset the connection, or was not heard of again.
    NoKeys,
}

impl Why {
    /// How it is called in `/proc/net/tcp_eno_failed`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Why::SynUnanswered => "syn-unanswered",
            Why::NoKeys => "no-keys",
        }
    }
}

/// A destination that is remembered.
#[derive(Clone, Copy)]
pub(crate) struct Failure {
    /// The destination; an IPv4 address in its mapped form.
    pub(crate) to: Ipv6Addr,
    /// What was seen.
    pub(crate) why: Why,
    /// How many seconds it is remembered yet, rounded up.
    pub(crate) left: u32,
}

impl fmt::Display for Failure {
    /// As a line of `/proc/net/tcp_eno_failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to.to_ipv4_mapped() {
            Some(v4) => write!(f, "{v4}")?,
            None => write!(f, "{}", self.to)?,
        }
        write!(f, " {} {}", self.why.name(), self.left)
    }
}

struct Entry {
    why: Why,
    since: Instant<BootTime>,
    /// The key in `Table::by_age`.
    number: u64,
}

/// # Invariants
///
/// For each entry of `by_address` there is one of `by_age`, and the other way round. In the order of numbers they were
/// made, so that the first is the first to expire.
struct Table {
    by_address: RBTree<Ipv6Addr, Entry>,
    by_age: RBTree<u64, Ipv6Addr>,
    len: usize,
    next: u64,
}

impl Table {
    fn remove(&mut self, to: &Ipv6Addr) -> bool {
        let Some(entry) = self.by_address.remove(to) else {
            return false;
        };
        self.by_age.remove(&entry.number);
        self.len -= 1;
        true
    }

    /// What expires first, and its age.
    fn first(&self) -> Option<(Ipv6Addr, Delta)> {
        let (_, to) = self.by_age.iter().next()?;
        Some((*to, self.by_address.get(to)?.since.elapsed()))
    }

    /// Removes what is older than `lifetime`, and then so much that no more than `max` are left.
    fn prune(&mut self, lifetime: Delta, max: usize) {
        while let Some((to, age)) = self.first() {
            if self.len <= max && age < lifetime {
                return;
            }
            self.remove(&to);
        }
    }
}

/// What a namespace remembers. Any context but hardirq, unless said otherwise.
#[pin_data]
pub(crate) struct Failures {
    lifetime: Atomic<u32>,
    max: Atomic<u32>,
    /// As in the table, for those who find that it is empty.
    len: Atomic<usize>,
    #[pin]
    table: BhSpinLock<Table>,
}

impl Failures {
    /// Nothing.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            lifetime: Atomic::new(settings::FAILURE_LIFETIME.default),
            max: Atomic::new(settings::FAILURE_ENTRIES.default),
            len: Atomic::new(0),
            table <- new_bh_spinlock!(
                Table {
                    by_address: RBTree::new(),
                    by_age: RBTree::new(),
                    len: 0,
                    next: 0,
                },
                "tcpcrypt_failures"
            ),
        })
    }

    /// Runs `f` on the table.
    fn with<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        let mut table = self.table.lock();
        let result = f(&mut table);
        self.len.store(table.len, Relaxed);
        result
    }

    fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    fn duration(&self) -> Delta {
        Delta::from_secs(self.lifetime().into())
    }

    /// Remembers `to`, anew if it is remembered already. In place of the oldest if there are too many; without memory
    /// not at all.
    pub(crate) fn remember(&self, to: Ipv6Addr, why: Why) {
        let lifetime = self.duration();
        let max = self.max_entries() as usize;
        if lifetime.is_zero() {
            return;
        }
        // In softirq allocations may fail, and that is nothing to log.
        let flags = GFP_ATOMIC | kernel::alloc::flags::__GFP_NOWARN;
        let (Ok(address), Ok(age)) = (
            RBTreeNodeReservation::new(flags),
            RBTreeNodeReservation::new(flags),
        ) else {
            return;
        };
        self.with(|table| {
            table.remove(&to);
            table.prune(lifetime, max.saturating_sub(1));
            let number = table.next;
            table.next += 1;
            let entry = Entry {
                why,
                since: Instant::now(),
                number,
            };
            // INVARIANT: Neither key was there: the one was removed, and numbers are not used again.
            table.by_address.insert(address.into_node(to, entry));
            table.by_age.insert(age.into_node(number, to));
            table.len += 1;
        });
    }

    /// Whether `to` is remembered. Takes no lock while nothing is.
    pub(crate) fn knows(&self, to: Ipv6Addr) -> bool {
        if self.is_empty() {
            return false;
        }
        let lifetime = self.duration();
        self.with(|table| match table.by_address.get(&to) {
            Some(entry) if entry.since.elapsed() < lifetime => true,
            Some(_) => {
                table.remove(&to);
                false
            }
            None => false,
        })
    }

    /// ENO works to `to`: what was remembered of it is not true any more. Whether there was something. Takes no lock
    /// while nothing is.
    pub(crate) fn forget(&self, to: Ipv6Addr) -> bool {
        !self.is_empty() && self.with(|table| table.remove(&to))
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.with(|table| table.prune(self.duration(), 0));
    }

    /// Those with an address from `from` on, in order, as far as there is room. How many there are in `out`.
    pub(crate) fn list(&self, from: Ipv6Addr, out: &mut [Option<Failure>]) -> usize {
        let lifetime = self.duration();
        self.with(|table| {
            let mut cursor = table.by_address.cursor_lower_bound_mut(&from);
            let mut len = 0;
            while let Some(at) = cursor {
                let Some(place) = out.get_mut(len) else {
                    break;
                };
                let (to, entry) = at.current();
                let left = lifetime - entry.since.elapsed();
                if let Ok(left @ 1..) = u32::try_from((left.as_millis() + 999) / 1000) {
                    *place = Some(Failure {
                        to: *to,
                        why: entry.why,
                        left,
                    });
                    len += 1;
                }
                cursor = at.move_next();
            }
            len
        })
    }

    /// How long something is remembered, in seconds; 0: not at all.
    pub(crate) fn lifetime(&self) -> u32 {
        self.lifetime.load(Relaxed)
    }

    /// Of how many destinations.
    pub(crate) fn max_entries(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// What has expired until now does not come back with a longer lifetime, and with a shorter one more has.
    pub(crate) fn set_lifetime(&self, seconds: u32) {
        self.prune();
        self.lifetime.store(seconds, Relaxed);
        self.prune();
    }

    /// With fewer the oldest go.
    pub(crate) fn set_max_entries(&self, max: u32) {
        self.max.store(max, Relaxed);
        self.prune();
    }

    fn prune(&self) {
        self.with(|table| table.prune(self.duration(), self.max_entries() as usize));
    }
}
