// SPDX-License-Identifier: GPL-2.0

//! What wakes whom: data and room from TCP, accept(), poll(), and the work that they ask for.
//!
//! The callbacks of TCP are called within functions that hold the connection's data, so that they look at the atomics
//! only and leave the rest to the workqueue. What poll() says is the truth: it processes frames without data first,
//! because only what they hold tells whether there is something to read.

use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    },
    workqueue::Queue,
};

use super::{
    close,
    crossing,
    exchange,
    frames,
    keepalive,
    negotiate,
    raw,
    rx::{
        self,
        Settle, //
    },
    sockopt,
    tx,
    wishes::Wishes,
    Conn,
    Pending,
    Phase,
    Step, //
};
use crate::{
    bindings,
    net::{
        attach::{
            self,
            Attachment, //
        },
        endpoint::{
            Admission,
            Answer,
            Answered,
            Close,
            Endpoint,
            Incoming,
            Neighbours,
            Outgoing,
            Part,
            Reply,
            Xmit, //
        },
        errno,
        locked::LockedSock,
        options::{
            OptionReader,
            OptionWriter, //
        },
        pages::Msg,
        sock::{
            BhSock,
            Sk, //
        },
        ulp::DiagWriter,
    },
    proto::frame::{
        Header,
        HEADER_LEN, //
    },
};

impl Endpoint for Conn {
    const NAME: &'static str = "tcpcrypt";

    fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    fn is_settled(&self) -> bool {
        !matches!(self.phase(), Phase::Idle | Phase::Negotiating | Phase::Raw)
    }

    fn queue() -> Option<&'static Queue> {
        Some(&crate::net::registered::shared()?.queue)
    }

    fn attach(sk: &LockedSock<'_>) -> Result<Arc<Self>> {
        if !sk.holds_net() {
            return Err(errno::opnotsupp());
        }
        crate::net::registered::hook_for::<Self>(sk.sk())?;
        Conn::new(
            true,
            Wishes::new(1),
            Phase::Idle,
            None,
            Step::None,
            GFP_KERNEL,
        )
    }

    fn connecting(sk: &BhSock<'_>) -> Option<Arc<Self>> {
        negotiate::connecting(sk)
    }

    fn listening(sk: &BhSock<'_>) -> bool {
        negotiate::watches_by_default(sk.sk())
    }

    fn carries_data(&self) -> bool {
        self.phase() != Phase::Raw
    }

    fn opening(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> Part {
        negotiate::opening(this, sk)
    }

    fn offers(&self, sk: &BhSock<'_>) {
        crossing::watch(self, sk);
    }

    fn is_opening(&self) -> bool {
        self.phase() == Phase::Negotiating
    }

    fn unopened(&self, sk: &BhSock<'_>) {
        crossing::unwatch(self, sk.sk());
        negotiate::unopened(self, sk);
    }

    fn incoming(&self, sk: Sk<'_>, segment: &Incoming<'_>) {
        crossing::incoming(self, sk, segment);
    }

    fn crossed(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> Part {
        crossing::established(this, sk)
    }

    fn outgoing(&self, sk: &BhSock<'_>, segment: &Outgoing<'_>) -> Xmit {
        negotiate::outgoing(self, sk, segment)
    }

    fn syn_ack(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>, tcp_options: &[u8]) -> Option<Part> {
        if this.phase() != Phase::Negotiating {
            return None;
        }
        crossing::unwatch(&this, sk.sk());
        Some(negotiate::syn_ack(this, sk, tcp_options))
    }

    fn refuses(&self, listener: Sk<'_>, syn_options: &[u8]) -> bool {
        negotiate::refuses(self, listener, syn_options)
    }

    fn answer(
        listener: Sk<'_>,
        endpoint: Option<&Self>,
        syn_options: &[u8],
        neighbours: &Neighbours<'_>,
    ) -> Option<Reply> {
        negotiate::answer(listener, endpoint, syn_options, neighbours)
    }

    fn connected(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Result {
        negotiate::connected(&this, sk)
    }

    fn admit(
        listener: Sk<'_>,
        endpoint: Option<&Self>,
        answered: Option<Answered<'_>>,
        ack_options: &[u8],
    ) -> Admission<Self> {
        negotiate::admit(listener, endpoint, answered, ack_options)
    }

    fn admitted(this: ArcBorrow<'_, Self>, child: &BhSock<'_>) {
        negotiate::admitted(this, child);
    }

    fn accepted(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) {
        if sk.queued() >= this.need.load(Relaxed) || sk.is_finished() {
            Attachment::kick(this, sk);
        }
    }

    fn data_ready(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> bool {
        let finished = sk.is_finished() || sk.is_closed();
        match this.phase() {
            Phase::Idle | Phase::Negotiating | Phase::Failed | Phase::Closed | Phase::Raw => true,
            _ if this.is(Pending::Closed) => {
                Attachment::kick(this, sk);
                false
            }
            Phase::Exchange => {
                // Before accept() there is nothing to send the answer through: see `accepted`.
                if sk.has_socket() && (finished || sk.queued() >= this.need.load(Relaxed)) {
                    Attachment::kick(this, sk);
                }
                false
            }
            Phase::Encrypted => {
                if frame_is_there(&this, sk) {
                    if frames::finds_rekey(&this, sk) {
                        Attachment::kick(this, sk);
                    }
                    return true;
                }
                if finished {
                    return true;
                }
                if this.is(Pending::Drain) || sk.queued() > 0 && sk.must_drain() {
                    Attachment::kick(this, sk);
                }
                false
            }
        }
    }

    fn write_space(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> bool {
        let held = this.is(Pending::Held);
        // A writer that sleeps sends what is pending itself.
        if this.is(Pending::Output) && !sk.has_waiting_writer() || held && !sk.is_backed_up() {
            Attachment::kick(this, sk);
        } else if held {
            wake_writers(&this, sk);
            return false;
        }
        true
    }

    fn work(this: ArcBorrow<'_, Self>, sk: Sk<'_>) {
        let mut locked = sk.lock();
        if !attach::is_attached(&*this, &locked) {
            return;
        }
        if this.is(Pending::Closed) {
            if close::advance(this, &mut locked) {
                drop(locked);
                Attachment::finish_close(sk);
            }
            return;
        }
        attach::ensure_ops(&locked);
        match this.phase() {
            Phase::Exchange => exchange::advance(&this, &mut locked),
            Phase::Encrypted => {
                flush(&this, &mut locked);
                tx::retry_later(this, &locked);
                rx::settle(&this, &mut locked, Settle::Control);
                keepalive::look(this, &mut locked);
                let readable = frame_is_there(&this, &locked.as_bh());
                if readable || this.is(Pending::Plain) || this.is(Pending::End) {
                    attach::wake_readers(&*this, &locked.as_bh());
                }
            }
            Phase::Failed => {
                // Found to be not what the application demands, where nothing could be aborted.
                if let (Err(error), false) = (this.failure(), locked.is_closed()) {
                    locked.abort(error);
                    locked.set_error(error);
                }
            }
            _ => {}
        }
    }

    fn send(
        this: ArcBorrow<'_, Self>,
        sk: &mut LockedSock<'_>,
        msg: &mut Msg<'_>,
    ) -> Answer<Result<usize>> {
        tx::send(this, sk, msg)
    }

    fn receive(
        this: ArcBorrow<'_, Self>,
        sk: &mut LockedSock<'_>,
        msg: &mut Msg<'_>,
        flags: u32,
    ) -> Answer<Result<usize>> {
        rx::receive(this, sk, msg, flags)
    }

    fn poll(this: ArcBorrow<'_, Self>, sk: Sk<'_>, mask: u32, requested: u32) -> u32 {
        poll(&this, sk, mask, requested)
    }

    fn shutdown_send(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> bool {
        close::shutdown_send(&this, sk)
    }

    fn close(this: ArcBorrow<'_, Self>, sk: Sk<'_>, timeout: kernel::ffi::c_long) -> Close {
        close::close(this, sk, timeout)
    }

    fn disconnect(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Result {
        match this.phase() {
            Phase::Idle | Phase::Negotiating => Ok(()),
            Phase::Raw => {
                raw::leave(&this, &sk.as_bh());
                Ok(())
            }
            // The listener is closed, and with it children that nobody accepted.
            _ if !sk.has_socket() => Ok(()),
            // As kernel TLS: what the socket is can't be undone while others use it.
            _ => Err(errno::opnotsupp()),
        }
    }

    fn readable_bytes(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Answer<Result<usize>> {
        match this.phase() {
            Phase::Idle | Phase::Negotiating | Phase::Raw => Answer::Plain,
            Phase::Exchange | Phase::Failed | Phase::Closed => Answer::Done(Ok(0)),
            Phase::Encrypted => Answer::Done(rx::available(&this, sk)),
        }
    }

    fn unsent_bytes(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Answer<usize> {
        match this.phase() {
            Phase::Exchange | Phase::Encrypted => Answer::Done(tx::unsent_bytes(&this, sk)),
            _ => Answer::Plain,
        }
    }

    fn set_option(
        this: ArcBorrow<'_, Self>,
        sk: Sk<'_>,
        option: u32,
        value: &OptionReader,
    ) -> Answer<Result> {
        sockopt::set(&this, sk, option, value)
    }

    fn option_set(this: ArcBorrow<'_, Self>, sk: Sk<'_>, option: u32) {
        // The times of SO_KEEPALIVE.
        if matches!(
            option,
            bindings::TCP_KEEPIDLE
                | bindings::TCP_KEEPINTVL
                | bindings::TCP_KEEPCNT
                | bindings::TCP_USER_TIMEOUT
        ) && this.phase() == Phase::Encrypted
            && sk.flag(bindings::sock_flags_SOCK_KEEPOPEN)
        {
            Attachment::kick(this, &sk.lock().as_bh());
        }
    }

    fn keep_alive(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) {
        keepalive::turned_on(this, sk);
    }

    fn get_option(
        this: ArcBorrow<'_, Self>,
        sk: Sk<'_>,
        option: u32,
        value: &OptionWriter,
    ) -> Answer<Result> {
        sockopt::get(&this, sk, option, value)
    }

    fn diagnose(&self, sk: Sk<'_>, out: &mut DiagWriter) {
        sockopt::diagnose(self, sk, out);
    }

    fn released(&self, sk: Sk<'_>) {
        crossing::unwatch(self, sk);
        // A connection that TCP ended, and whose application is gone.
        if self.phase() == Phase::Encrypted {
            super::net_state(sk).uncount(super::stats::Counter::Established);
            self.set_phase(Phase::Closed);
        }
    }
}

/// Whether the next frame is all there, as far as a softirq can tell: one without data counts.
fn frame_is_there(conn: &Conn, sk: &BhSock<'_>) -> bool {
    let queued = sk.queued() as usize;
    if conn.is(Pending::End) {
        return true;
    }
    if conn.is(Pending::Drain) {
        return false;
    }
    let need = conn.need.load(Relaxed) as usize;
    if queued < need {
        return false;
    }
    if need > HEADER_LEN {
        return true;
    }
    let mut bytes = [0; HEADER_LEN];
    if sk.peek(0, &mut bytes).is_err() {
        return false;
    }
    match Header::parse(&bytes) {
        Ok(header) => {
            conn.need.store(header.frame_len() as u32, Relaxed);
            queued >= header.frame_len()
        }
        // The reader is to find out.
        Err(_) => true,
    }
}

/// Gives TCP what is ready and wakes writers if all of it went.
fn flush(conn: &Conn, sk: &mut LockedSock<'_>) {
    if !conn.is(Pending::Output) && !conn.is(Pending::Held) {
        return;
    }
    let result = conn
        .inner
        .borrow(sk)
        .and_then(|mut inner| tx::flush(conn, sk, &mut inner));
    match result {
        Ok(()) => wake_writers(conn, &sk.as_bh()),
        Err(error) if error == EAGAIN || error == EBUSY => {}
        Err(error) => {
            conn.fail(sk, error);
        }
    }
}

/// Wakes writers. TCP's own callback asks it to call no more when there is room; while small writes are held, the next
/// acknowledgement is to be heard of all the same.
pub(crate) fn wake_writers(conn: &Conn, sk: &BhSock<'_>) {
    attach::wake_writers(conn, sk);
    if conn.is(Pending::Held) {
        sk.want_space();
    }
}

const READ: u32 = bindings::POLLIN | bindings::POLLRDNORM;
const WRITE: u32 = bindings::POLLOUT | bindings::POLLWRNORM;

/// poll().
fn poll(conn: &Conn, sk: Sk<'_>, mask: u32, requested: u32) -> u32 {
    match conn.phase() {
        Phase::Idle | Phase::Negotiating | Phase::Closed | Phase::Raw => return mask,
        Phase::Failed => return mask | READ | WRITE | bindings::POLLERR | bindings::POLLHUP,
        Phase::Exchange | Phase::Encrypted => {}
    }
    // Urgent data are part of the stream.
    let mut mask = mask & !(READ | bindings::POLLRDHUP | bindings::POLLPRI);
    let finished = sk.is_finished() || sk.is_closed();
    let asks = requested & (READ | bindings::POLLRDHUP) != 0;

    if finished && conn.phase() == Phase::Exchange {
        exchange::advance(conn, &mut sk.lock());
    }
    if asks && conn.phase() == Phase::Encrypted && needs_a_look(conn, sk, finished, requested) {
        let how = if finished && requested & bindings::POLLRDHUP != 0 {
            Settle::End
        } else {
            Settle::Control
        };
        rx::settle(conn, &mut sk.lock(), how);
    }
    if conn.phase() == Phase::Failed {
        return mask | READ | WRITE | bindings::POLLERR | bindings::POLLHUP;
    }
    if is_readable(conn, sk) {
        mask |= READ;
    }
    if conn.is(Pending::End) {
        mask |= bindings::POLLRDHUP;
    }
    if sk.is_rcv_shutdown() && !sk.is_finished() {
        // This side's own shutdown(SHUT_RD), as TCP says it.
        mask |= READ | bindings::POLLRDHUP;
    }
    if mask & WRITE != 0 && !sk.is_send_shutdown() && !is_writable(conn, sk) {
        mask &= !WRITE;
    }
    mask
}

/// Whether what the atomics say is not enough to answer.
fn needs_a_look(conn: &Conn, sk: Sk<'_>, finished: bool, requested: u32) -> bool {
    if conn.is(Pending::Plain) && !(finished && requested & bindings::POLLRDHUP != 0) {
        return false;
    }
    let queued = sk.queued() as usize;
    let need = conn.need.load(Relaxed) as usize;
    if conn.is(Pending::End) {
        return queued > 0;
    }
    if finished {
        return true;
    }
    queued >= need && need <= frames::MAX_CONTROL || queued > 0 && queued < need && sk.must_drain()
}

fn is_readable(conn: &Conn, sk: Sk<'_>) -> bool {
    let low_water = sk.low_water();
    if conn.is(Pending::End) {
        return true;
    }
    if low_water > 1 {
        return rx::available(conn, &sk.lock()).is_ok_and(|have| have >= low_water);
    }
    let need = conn.need.load(Relaxed) as usize;
    conn.is(Pending::Plain)
        || conn.phase() == Phase::Encrypted
            && need > frames::MAX_CONTROL
            && sk.queued() as usize >= need
}

fn is_writable(conn: &Conn, sk: Sk<'_>) -> bool {
    match conn.phase() {
        Phase::Encrypted if !conn.is(Pending::Output) => true,
        Phase::Encrypted => {
            sk.want_space();
            false
        }
        _ => tx::has_early_room(conn, &sk.lock()),
    }
}
