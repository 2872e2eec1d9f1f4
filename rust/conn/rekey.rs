// SPDX-License-Identifier: GPL-2.0

//! When our keys change (RFC 8548 section 3.8): after so many bytes, after so long, when an application asks for it, and
//! because the peer's did. The rules are in `proto/rekey.rs`.
//!
//! Nothing watches a connection for that: a key is looked at when it is about to be used, so that one that is not used
//! stays. The first frame with data after the limit begins a generation; only an application's wish and the answer to a
//! peer make a frame of their own.
//!
//! Previous: `seal.rs`, `frames.rs`. Next: `tx.rs`, which sends what is owed.

use kernel::{
    ffi::c_int,
    prelude::*, //
};

use super::{
    net_state,
    stats::Counter,
    tx,
    Conn,
    Inner,
    Phase, //
};
use crate::{
    net::{
        attach,
        clock::Ticks,
        errno,
        locked::LockedSock,
        sock::Sk, //
    },
    proto::rekey::Wear,
};

/// What the key of the sending half has done, and since when.
pub(super) struct Age {
    wear: Wear,
    since: Option<Ticks>,
}

impl Age {
    pub(super) const fn new() -> Self {
        Self {
            wear: Wear::new(),
            since: None,
        }
    }

    /// It sealed a frame with `data` bytes of data.
    pub(super) fn sealed(&mut self, data: u64) {
        self.wear.sealed(data);
        self.since.get_or_insert_with(Ticks::now);
    }

    /// Whether it was first used `seconds` ago or earlier; never if that is 0.
    fn is_old(&self, seconds: u32) -> bool {
        seconds != 0
            && self
                .since
                .is_some_and(|since| since.seconds_ago() >= seconds.into())
    }
}

/// Makes `inner.tx.key` the one for the next frame. ENOMEM, after which there is none: see [`lost_key`]. Process context.
pub(super) fn key_for_frame(sk: &LockedSock<'_>, inner: &mut Inner, has_data: bool) -> Result {
    let tx = &mut inner.tx;
    let aead = tx.key.as_ref().ok_or(errno::proto())?.aead;
    let state = net_state(sk.sk());
    let worn =
        tx.age.wear.is_worn(aead, state.rekey_bytes()) || tx.age.is_old(state.rekey_seconds());
    if tx.generations.step(has_data, worn) {
        tx.age = Age::new();
        let key = tx.key.take().ok_or(errno::proto())?;
        tx.key = Some(key.next()?);
        state.count(Counter::RekeysTx);
    }
    Ok(())
}

/// Whether there was no memory for the next key, and the last one is wiped already: the connection can't go on.
pub(super) fn lost_key(conn: &Conn, sk: &LockedSock<'_>) -> bool {
    conn.phase() == Phase::Encrypted
        && conn
            .inner
            .borrow(sk)
            .is_ok_and(|inner| inner.tx.key.is_none())
}

/// Begins a generation now. Where the peer has yet to follow an earlier one and there are no data to be sent, when that
/// has followed. Process context.
pub(super) fn begin(conn: &Conn, sk: &mut LockedSock<'_>) -> Result {
    let result = {
        let mut inner = conn.inner.borrow(sk)?;
        inner.tx.generations.want();
        tx::flush(conn, sk, &mut inner)
    };
    match result {
        Err(error) if error != EAGAIN => Err(conn.fail(sk, error)),
        _ => {
            if let Some(this) = attach::endpoint::<Conn>(&sk.as_bh()) {
                tx::retry_later(this.as_arc_borrow(), sk);
            }
            Ok(())
        }
    }
}

/// setsockopt(TCP_CRYPT_REKEY). ENOTCONN without keys, EPIPE after the end of our stream.
pub(super) fn request(conn: &Conn, sk: Sk<'_>) -> Result {
    let mut sk = sk.lock();
    if conn.phase() != Phase::Encrypted {
        return Err(errno::notconn());
    }
    if conn.inner.borrow(&sk)?.tx.is_ended() {
        return Err(EPIPE);
    }
    begin(conn, &mut sk)
}

/// getsockopt(TCP_CRYPT_REKEY): the local and the remote generation number. They stop where an int ends. ENOTCONN without
/// keys.
pub(super) fn generations(conn: &Conn, sk: Sk<'_>) -> Result<[c_int; 2]> {
    let sk = sk.lock();
    if conn.phase() != Phase::Encrypted {
        return Err(errno::notconn());
    }
    let generations = conn.inner.borrow(&sk)?.tx.generations;
    let int = |number: u64| c_int::try_from(number).unwrap_or(c_int::MAX);
    Ok([int(generations.local()), int(generations.remote())])
}
