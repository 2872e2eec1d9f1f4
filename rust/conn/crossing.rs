// SPDX-License-Identifier: GPL-2.0

//! Simultaneous opens (RFC 8547 sections 4.3, 4.6 and figure 12): both ends send a SYN, and both answer the other's.
//!
//! There is a negotiation to be had if exactly one of the ends chose role B (TCP_ENO_ROLEOVERRIDE). The SYN-ACK that
//! answers the peer's SYN carries the option of our own SYN, and encryption is on once the segment that acknowledges it
//! has an ENO option too.
//!
//! Previous: `net/crossing.rs`, which shows segments before TCP judged them. So what they say is noted ([`incoming`]),
//! and believed when TCP has decided:
//!
//! - The peer's SYN is the one whose sequence number TCP took: `rcv_nxt` says so when our SYN-ACK leaves. TCP takes any
//!   SYN in SYN_SENT, so that a forged one that it takes ends this connection, with or without us. One that was not
//!   noted means plain TCP.
//! - A segment counts as an answer to our SYN if it acknowledges exactly that and is where the peer's first bytes have
//!   to be. Its checksum was right. Who forges one must have seen our SYN, or guess its sequence number: TCP believes
//!   in nothing more. That TCP dropped one of them for another reason (a filter, an old timestamp, a full queue) and took
//!   the next does not matter, because all of them say the same: an end for which ENO is off sends no option, and one for
//!   which it is on sends one in each segment until it hears one of ours without SYN. There is none before we have heard
//!   its answer ([`outgoing`]).
//! - So: on, if there was an answer with an option and none without. Notes are taken from the SYN on, also while the
//!   socket is still in SYN_SENT: a process that owns the socket has both wait in its backlog.
//!
//! Next: `exchange.rs`.

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        ArcBorrow, //
    },
};

use super::{
    count,
    negotiate::{
        self,
        atomic,
        counter, //
    },
    resume::Offer,
    stats::Counter,
    Conn,
    Step, //
};
use crate::{
    bindings,
    net::{
        crossing::Watched,
        endpoint::{
            Incoming,
            Outgoing,
            Part,
            Xmit, //
        },
        sock::{
            BhSock,
            Sk, //
        },
    },
    proto::{
        eno::{
            self,
            Found,
            Negotiated,
            Offered,
            Reason, //
        },
        ids::MAX_TCP_OPTIONS,
        wire::Bytes,
    },
};

/// SYNs that are noted, of a peer that sends one: the first that came, and one more in case that TCP drops that.
const SYNS: usize = 2;

/// The largest window that a SYN can announce, behind which nothing of the peer's can be yet.
const MAX_SYN_WINDOW: u32 = u16::MAX as u32;

/// What was noted of a peer that opens the connection as well. Behind a spinlock, for it is written without the socket
/// lock.
pub(crate) struct Crossing {
    watched: Watched,
    /// There since the first SYN with an offer.
    syns: Option<KBox<[Option<Syn>; SYNS]>>,
}

/// A SYN of the peer's, and what came in answer to ours from where it came from.
struct Syn {
    seq: u32,
    options: Bytes<MAX_TCP_OPTIONS>,
    /// Whether there was an answer.
    answered: bool,
    /// Whether a segment was without an option, or with another one.
    contradicted: bool,
}

impl Crossing {
    /// Nothing noted, and nothing to be.
    pub(crate) const fn new() -> Self {
        Self {
            watched: Watched::No,
            syns: None,
        }
    }

    fn watch(&mut self, sk: Sk<'_>, watched: Watched) {
        if self.watched != watched {
            sk.net_state().openings().change(self.watched, watched);
            self.watched = watched;
        }
    }

    /// The noted SYN with this sequence number.
    fn syn(&mut self, seq: u32) -> Option<&mut Syn> {
        let syns = self.syns.as_deref_mut()?;
        syns.iter_mut().flatten().find(|syn| syn.seq == seq)
    }

    /// Notes a SYN. Without memory it is not, and the connection will be plain.
    fn add(&mut self, sk: Sk<'_>, segment: &Incoming<'_>) {
        let Some(options) = Bytes::concat(&[segment.options]) else {
            return;
        };
        if self.syns.is_none() {
            self.syns = KBox::new([const { None }; SYNS], atomic()).ok();
        }
        let mut slots = self.syns.iter_mut().flat_map(|syns| syns.iter_mut());
        if let Some(slot) = slots.find(|slot| slot.is_none()) {
            *slot = Some(Syn {
                seq: segment.seq,
                options,
                answered: false,
                contradicted: false,
            });
            self.watch(sk, Watched::Crossing);
        }
    }
}

impl Syn {
    /// A segment that acknowledges came; `own_end` is the sequence number behind our SYN.
    fn answer(&mut self, segment: &Incoming<'_>, own_end: u32) {
        let offset = segment.seq.wrapping_sub(self.seq);
        let in_place = if segment.syn {
            offset == 0
        } else {
            (1..=MAX_SYN_WINDOW + 1).contains(&offset)
        };
        if segment.ack_seq != own_end || !in_place {
            return;
        }
        self.answered = true;
        // The peer must not alter its option between SYN and SYN-ACK.
        self.contradicted |= if segment.syn {
            !same_option(self.options.as_bytes(), segment.options)
        } else {
            !eno::has_eno(segment.options)
        };
    }
}

fn same_option(a: &[u8], b: &[u8]) -> bool {
    matches!((eno::find(a), eno::find(b)), (Found::One(a), Found::One(b)) if a == b)
}

/// The SYN is about to leave: from here on there is something to note. Atomic, the socket locked.
pub(crate) fn watch(conn: &Conn, sk: &BhSock<'_>) {
    let mut crossing = conn.crossing.lock();
    crossing.syns = None;
    crossing.watch(sk.sk(), Watched::Opening);
}

/// There is nothing more to note. Any context.
pub(crate) fn unwatch(conn: &Conn, sk: Sk<'_>) {
    let mut crossing = conn.crossing.lock();
    crossing.syns = None;
    crossing.watch(sk, Watched::No);
}

/// A segment came that TCP did not judge yet. Softirq, the socket not locked.
pub(crate) fn incoming(conn: &Conn, sk: Sk<'_>, segment: &Incoming<'_>) {
    let mut crossing = conn.crossing.lock();
    if crossing.watched == Watched::No {
        return;
    }
    if segment.ack {
        let own_end = sk.write_seq();
        for syn in crossing.syns.as_deref_mut().into_iter().flatten().flatten() {
            syn.answer(segment, own_end);
        }
    } else if let Some(syn) = crossing.syn(segment.seq) {
        // Sent again, and not to be altered; the peer may have left the option out, which turns ENO off.
        syn.contradicted |= !same_option(syn.options.as_bytes(), segment.options);
    } else if sk.state() == bindings::TCP_SYN_SENT && eno::has_eno(segment.options) {
        crossing.add(sk, segment);
    }
}

/// What becomes of a segment other than a SYN, before the connection is established: the SYN-ACK of a simultaneous open,
/// and what TCP has to say until that is acknowledged. Atomic, the socket locked.
pub(crate) fn outgoing(conn: &Conn, sk: &BhSock<'_>, segment: &Outgoing<'_>) -> Xmit {
    let (Ok(mut inner), Ok(mut offer)) = (conn.inner.borrow_bh(sk), conn.offer.borrow_bh(sk))
    else {
        return Xmit::Drop;
    };
    let Some(Offer { offered, .. }) = &*offer else {
        return Xmit::Pass;
    };
    if !segment.syn {
        // An acknowledgement of a SYN that came again. The peer may take it for the end of the handshake, and leave the
        // option out from then on, though we heard no answer with it yet. The SYN-ACK says as much.
        let answers = matches!(inner.step, Step::Crossed(_));
        return if answers && !segment.rst {
            Xmit::Drop
        } else {
            Xmit::Pass
        };
    }
    let options = eno::append(segment.options, offered.option().as_bytes());
    if !matches!(inner.step, Step::Crossed(_)) {
        match decide(conn, sk, offered, options.is_some()) {
            Ok(negotiated) => inner.step = Step::Crossed(negotiated),
            // The second exception of RFC 8547 section 4.6: no option in this SYN-ACK, and none any more.
            Err(why) => {
                if let Some(why) = why {
                    count(sk, why);
                }
                *offer = None;
                return Xmit::Pass;
            }
        }
    }
    // Without the option the peer would fall back: TCP sends it again.
    options.map_or(Xmit::Drop, Xmit::SetOptions)
}

/// What the peer's SYN, which TCP accepted, and ours come to. An error without a counter was counted before.
fn decide(
    conn: &Conn,
    sk: &BhSock<'_>,
    offered: &Offered,
    has_room: bool,
) -> Result<KBox<Negotiated>, Option<Counter>> {
    if !conn.offered.load(Relaxed) {
        return Err(None);
    }
    if !has_room {
        return Err(Some(Counter::FallbackNoSpace));
    }
    let negotiated = match conn.crossing.lock().syn(peer_syn(sk)) {
        Some(syn) if !syn.contradicted => offered.on_syn(syn.options.as_bytes()),
        _ => Err(Reason::NoOption),
    }
    .map_err(|reason| Some(counter(reason)))?;
    // The peer may encrypt as soon as the SYN-ACK is out: memory is needed before.
    KBox::new(negotiated, atomic()).map_err(|_| Some(Counter::FallbackNoMemory))
}

/// The sequence number of the peer's SYN, as long as TCP took nothing behind it.
fn peer_syn(sk: &BhSock<'_>) -> u32 {
    sk.rcv_nxt().wrapping_sub(1)
}

/// TCP accepted the segment that ends a simultaneous open. Atomic, the socket locked; the segment's own data are not
/// queued yet.
pub(crate) fn established(conn: ArcBorrow<'_, Conn>, sk: &BhSock<'_>) -> Part {
    // TCP takes an acknowledgement of nothing, too.
    let acknowledged = sk.snd_una() == sk.write_seq();
    let heard = match conn.crossing.lock().syn(peer_syn(sk)) {
        Some(syn) => acknowledged && syn.answered && !syn.contradicted,
        None => false,
    };
    unwatch(&conn, sk.sk());
    let step = match conn.inner.borrow_bh(sk) {
        Ok(mut inner) => core::mem::replace(&mut inner.step, Step::None),
        Err(_) => Step::None,
    };
    let Step::Crossed(negotiated) = step else {
        // Counted when the SYN-ACK left.
        return negotiate::unencrypted(conn, sk);
    };
    if !heard {
        count(sk, Counter::FallbackNoAck);
        return negotiate::unencrypted(conn, sk);
    }
    match negotiate::succeed(conn, sk, negotiated) {
        Ok(()) => Part::Takes,
        Err(_) => negotiate::unencrypted(conn, sk),
    }
}
