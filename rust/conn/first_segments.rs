// SPDX-License-Identifier: GPL-2.0

//! The ENO option in the first segments of an active opener (RFC 8547 section 4.6).
//!
//! On the passive side the segment that ends the handshake confirms the negotiation, whichever of these it is. Those with
//! data have to leave room for the option: TCP counts on a header that is longer by it, until the peer was heard of.

use kernel::sync::atomic::Relaxed;

use super::{
    Conn,
    Pending, //
};
use crate::{
    net::{
        attach,
        endpoint::{
            Outgoing,
            Xmit, //
        },
        sock::BhSock,
    },
    proto::eno::{
        self,
        NON_SYN_OPTION, //
    },
};

/// Bytes of an ENO option without contents in a header, with padding.
const RESERVE: i32 = 4;

/// Whether an active opener did not see a segment without SYN from the peer yet, as far as TCP tells: until then every
/// segment carries the option.
pub(crate) fn unheard(conn: &Conn, sk: &BhSock<'_>) -> bool {
    conn.offered.load(Relaxed)
        && sk.snd_una() == conn.una.load(Relaxed)
        && sk.rcv_nxt() == conn.nxt.load(Relaxed)
}

/// A segment of an open on which ENO succeeded.
pub(crate) fn acknowledge(conn: &Conn, sk: &BhSock<'_>, segment: &Outgoing<'_>) -> Xmit {
    if !unheard(conn, sk) {
        return Xmit::Pass;
    }
    // Without the option the peer would fall back: better that it never sees this segment.
    eno::append(segment.options, &NON_SYN_OPTION).map_or(Xmit::Drop, Xmit::SetOptions)
}

/// TCP accepted the SYN-ACK: notes what tells when the peer is heard of.
pub(crate) fn watch(conn: &Conn, sk: &BhSock<'_>) {
    conn.una.store(sk.snd_una(), Relaxed);
    conn.nxt.store(sk.rcv_nxt(), Relaxed);
}

/// Leaves room for the option. Atomic, the socket locked.
pub(crate) fn reserve(conn: &Conn, sk: &BhSock<'_>) {
    attach::reserve_header(sk, RESERVE);
    conn.set(Pending::Reserved, true);
}

/// Takes the room back, if there is some and the peer was heard of. Whether that is so. Atomic, the socket locked.
pub(crate) fn release(conn: &Conn, sk: &BhSock<'_>) -> bool {
    if !conn.is(Pending::Reserved) {
        return true;
    }
    if unheard(conn, sk) {
        return false;
    }
    cancel(conn, sk);
    true
}

/// Takes the room back, if there is some. Atomic, the socket locked.
pub(crate) fn cancel(conn: &Conn, sk: &BhSock<'_>) {
    if conn.is(Pending::Reserved) {
        attach::reserve_header(sk, -RESERVE);
        conn.set(Pending::Reserved, false);
    }
}
