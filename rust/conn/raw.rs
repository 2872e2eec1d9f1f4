// SPDX-License-Identifier: GPL-2.0

//! Raw mode (TCP_ENO_RAW): ENO is negotiated for a TEP above TCP, by an option that the application wrote, and what is
//! sent is what the application sends.
//!
//! Such a connection keeps its endpoint for the socket options, and has no part in the data path but this: an active
//! opener's segments carry the ENO option until the peer was heard of (RFC 8547 section 4.6), and have to leave room for
//! it.

use kernel::prelude::*;

use super::{
    first_segments,
    Conn,
    Pending,
    Phase, //
};
use crate::net::{
    attach,
    locked::LockedSock,
    sock::{
        BhSock,
        Sk, //
    },
};

/// An active open succeeded. Atomic, the socket locked.
pub(crate) fn begin(conn: &Conn, sk: &BhSock<'_>) {
    first_segments::reserve(conn, sk);
    conn.set_phase(Phase::Raw);
}

/// connect(AF_UNSPEC): the socket may open anew. The socket owned.
pub(crate) fn leave(conn: &Conn, sk: &BhSock<'_>) {
    first_segments::cancel(conn, sk);
    if let Ok(mut inner) = conn.inner.borrow_bh(sk) {
        inner.negotiated = None;
    }
    conn.set_phase(Phase::Idle);
    attach::open_anew::<Conn>(sk);
}

/// The application wants another upper layer protocol, such as kernel TLS, which has one slot with this one: from here on
/// the socket is TCP's own. EBUSY as long as the peer was not heard of. Process context.
pub(crate) fn give_way(conn: &Conn, sk: Sk<'_>) -> Result {
    let sk = sk.lock();
    if !attach::is_attached(conn, &sk) || conn.phase() != Phase::Raw {
        return Ok(());
    }
    sends(conn, &sk);
    let sk = sk.as_bh();
    if conn.is(Pending::Reserved) {
        return Err(EBUSY);
    }
    attach::detach::<Conn>(&sk);
    Ok(())
}

/// The application sends: if the peer was heard of, TCP's own functions do everything from here on. Process context, the
/// socket owned.
pub(crate) fn sends(conn: &Conn, sk: &LockedSock<'_>) {
    let sk = sk.as_bh();
    // Never set on a passive opener, whose segments nobody watches.
    if conn.is(Pending::Reserved) && first_segments::release(conn, &sk) {
        attach::watch_no_segments(&sk);
    }
}
