// SPDX-License-Identifier: GPL-2.0

//! Which SYNs of an active open have the option: the first and so many of those sent again as the namespace says, then
//! none (RFC 8547 section 4.6, the first exception). Once one left without it the connection is plain, whatever comes
//! back.
//!
//! Previous: `negotiate.rs`. What is learnt from it is in `failures.rs`.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

use super::{
    count,
    failures::Why,
    stats::Counter, //
};
use crate::{
    net::sock::BhSock,
    proto::eno, //
};

/// The SYNs of one open. Used with the socket locked.
pub(crate) struct Syns {
    with: Atomic<u32>,
    without: Atomic<u32>,
}

impl Syns {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self {
            with: Atomic::new(0),
            without: Atomic::new(0),
        }
    }

    /// Another open begins.
    pub(crate) fn reset(&self) {
        self.with.store(0, Relaxed);
        self.without.store(0, Relaxed);
    }

    /// A SYN leaves that has room for the option: whether it has it. `mandatory`: it always has.
    pub(crate) fn next_offers(&self, sk: &BhSock<'_>, mandatory: bool) -> bool {
        let with = self.with.load(Relaxed);
        let without = self.without.load(Relaxed);
        let offers = without == 0 && (mandatory || with <= sk.net_state().syn_retransmissions());
        if offers {
            self.with.store(with.saturating_add(1), Relaxed);
        } else {
            if without == 0 {
                count(sk, Counter::FallbackSynUnanswered);
            }
            self.without.store(without.saturating_add(1), Relaxed);
        }
        offers
    }

    /// A SYN-ACK with `tcp_options` was accepted: whether the option had been left out.
    ///
    /// The destination is remembered if this answers the first SYN without the option. After more of them, whatever
    /// stopped those stopped the others too; and a SYN-ACK with the option shows that the SYNs arrived, and that only the
    /// answer took long.
    pub(crate) fn left_out(&self, sk: &BhSock<'_>, tcp_options: &[u8]) -> bool {
        let without = self.without.load(Relaxed);
        if without == 1 && !eno::has_eno(tcp_options) {
            sk.net_state()
                .failures()
                .remember(sk.remote_address(), Why::SynUnanswered);
        }
        without > 0
    }
}
