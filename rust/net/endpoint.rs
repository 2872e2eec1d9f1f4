// SPDX-License-Identifier: GPL-2.0

//! What a protocol above TCP is for this layer: the [`Endpoint`] of one socket, and what it is asked.
//!
//! The rest of `net/` turns the kernel's callbacks into calls of this trait. Each function says in which context it is
//! called; those with a [`BhSock`] must not sleep.

use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    workqueue::Queue,
};

use crate::proto::eno::{
    EnoOption,
    TcpOptions, //
};

use super::{
    attach::Attachment,
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
};

/// A segment that is about to leave.
pub(crate) struct Outgoing<'a> {
    /// The SYN flag.
    pub(crate) syn: bool,
    /// The ACK flag.
    pub(crate) ack: bool,
    /// The RST flag.
    pub(crate) rst: bool,
    /// Sequence number of its first byte.
    pub(crate) seq: u32,
    /// Bytes of payload.
    pub(crate) payload: u32,
    /// Its TCP options.
    pub(crate) options: &'a [u8],
}

/// A segment that came, of which only the checksum was verified.
pub(crate) struct Incoming<'a> {
    /// The SYN flag.
    pub(crate) syn: bool,
    /// The ACK flag.
    pub(crate) ack: bool,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// What it acknowledges, if it does.
    pub(crate) ack_seq: u32,
    /// Its TCP options.
    pub(crate) options: &'a [u8],
}

/// The options that a SYN-ACK has already.
pub(crate) struct Neighbours<'a> {
    /// Their bytes.
    pub(crate) options: &'a [u8],
    /// Whether what is answered can be remembered: otherwise it is made again, see [`Answered::reply`].
    pub(crate) is_kept: bool,
    /// Whether this is the SYN-ACK that answers the SYN, not one that is sent again.
    pub(crate) is_first: bool,
}

/// The option of a SYN-ACK.
pub(crate) struct Reply {
    /// The option as it is on the wire, but for padding.
    pub(crate) option: EnoOption,
    /// Whether an application wrote it.
    pub(crate) raw: bool,
}

/// A SYN that was answered.
#[derive(Clone, Copy)]
pub(crate) struct Answered<'a> {
    /// Its TCP options.
    pub(crate) syn_options: &'a [u8],
    /// What was answered: [`Reply::option`] and [`Reply::raw`]. `None` if the SYN was saved at the application's wish,
    /// with which nothing can be kept: then it is as the listener answers now.
    pub(crate) reply: Option<(&'a [u8], bool)>,
}

/// What becomes of an outgoing segment.
pub(crate) enum Xmit {
    /// It leaves as it is.
    Pass,
    /// It leaves with these options, which are as many bytes as it has, or more.
    SetOptions(TcpOptions),
    /// It does not leave.
    Drop,
}

/// What an open socket's endpoint does when its SYN, or the SYN-ACK to it, is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It takes part in the negotiation, or goes on after it.
    Takes,
    /// None: the socket goes back to plain TCP.
    Plain,
    /// The connection must not come about: the endpoint lets nothing out and has asked for its own work, in which it
    /// aborts.
    Refuses,
}

/// What a listener does with the segment that ends a handshake.
pub(crate) enum Admission<T> {
    /// An ordinary child.
    Plain,
    /// A child to which this endpoint is attached.
    Attach(Arc<T>),
    /// None now: the peer will send the segment again.
    Later,
    /// None: the peer is sent a reset.
    Refuse,
}

/// What a call on an attached socket came to.
pub(crate) enum Answer<R> {
    /// The result.
    Done(R),
    /// The endpoint is gone, or has no part in this: plain TCP answers.
    Plain,
}

/// What close() does.
pub(crate) enum Close {
    /// TCP closes now.
    Now,
    /// The endpoint keeps the socket, and the reference that close() had, until [`Attachment::finish_close`].
    Later,
}

/// One socket's part of the protocol. Attached to the socket, which holds a reference.
pub(crate) trait Endpoint: Send + Sync + Sized + 'static {
    /// The name for TCP_ULP, at most 15 bytes.
    const NAME: &'static str;

    /// The part that this layer keeps.
    fn attachment(&self) -> &Attachment;

    /// Whether the endpoint stays attached as long as its socket's file is open, so that the socket keeps the module
    /// loaded. Any context.
    fn is_settled(&self) -> bool;

    /// Whether what is sent and received on the connection goes through this endpoint: false where the protocol was
    /// negotiated for somebody else. Any context.
    fn carries_data(&self) -> bool;

    /// The queue on which [`Endpoint::work`] runs.
    fn queue() -> Option<&'static Queue>;

    /// An application attaches the protocol (TCP_ULP). Process context with the socket owned; may sleep.
    fn attach(sk: &LockedSock<'_>) -> Result<Arc<Self>>;

    /// A socket of nobody's is about to send its SYN: whether the default attaches an endpoint. Atomic.
    fn connecting(sk: &BhSock<'_>) -> Option<Arc<Self>>;

    /// A socket of nobody's is about to listen: whether the default has SYNs with offers looked at. Atomic.
    fn listening(sk: &BhSock<'_>) -> bool;

    /// An attached socket is about to send its SYN. Atomic.
    fn opening(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> Part;

    /// The endpoint takes part, and the SYN leaves next. Atomic.
    fn offers(&self, sk: &BhSock<'_>);

    /// Whether the open is not decided yet. Any context.
    fn is_opening(&self) -> bool;

    /// The open failed. Atomic.
    fn unopened(&self, sk: &BhSock<'_>);

    /// A segment without RST came while the open is not decided, as far as can be told. TCP may drop it yet. Softirq,
    /// the socket not locked.
    fn incoming(&self, sk: Sk<'_>, segment: &Incoming<'_>);

    /// TCP accepted the segment that ends a simultaneous open. Atomic.
    fn crossed(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> Part;

    /// A segment leaves, with the socket locked. Atomic; called within functions that send, so it borrows nothing that
    /// they borrow.
    fn outgoing(&self, sk: &BhSock<'_>, segment: &Outgoing<'_>) -> Xmit;

    /// TCP accepted a SYN-ACK, which had `tcp_options`. None for one that decides nothing: TCP shows those that come
    /// again, too. Atomic.
    fn syn_ack(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>, tcp_options: &[u8]) -> Option<Part>;

    /// Whether a SYN with these options is refused by an explicitly attached listener: it is sent a reset. Softirq, the
    /// listener not locked.
    fn refuses(&self, listener: Sk<'_>, syn_options: &[u8]) -> bool;

    /// The option for a SYN-ACK, to a SYN that had `syn_options`. Softirq, the listener not locked. `endpoint` is that
    /// of an explicitly attached listener.
    fn answer(
        listener: Sk<'_>,
        endpoint: Option<&Self>,
        syn_options: &[u8],
        neighbours: &Neighbours<'_>,
    ) -> Option<Reply>;

    /// connect() is about to report success on a socket to which an application attached. Process context.
    fn connected(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Result;

    /// The segment that ends the handshake came, with `ack_options`, after `answered`: a SYN that had an offer, or that
    /// an application wished to see. `None` too for one that opens with its SYN alone (TCP Fast Open). Softirq, the
    /// listener not locked; `endpoint` as in [`Endpoint::answer`].
    fn admit(
        listener: Sk<'_>,
        endpoint: Option<&Self>,
        answered: Option<Answered<'_>>,
        ack_options: &[u8],
    ) -> Admission<Self>;

    /// The endpoint was attached to a child. Softirq, the child locked.
    fn admitted(this: ArcBorrow<'_, Self>, child: &BhSock<'_>);

    /// accept() handed the child to an application. Atomic, the child locked.
    fn accepted(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>);

    /// Data or a FIN came: whether readers are to be woken. Atomic.
    fn data_ready(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> bool;

    /// The send buffer has room: whether writers are to be woken. Atomic.
    fn write_space(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>) -> bool;

    /// Work that [`Attachment::kick`] asked for. Process context.
    fn work(this: ArcBorrow<'_, Self>, sk: Sk<'_>);

    /// sendmsg(). Process context.
    fn send(
        this: ArcBorrow<'_, Self>,
        sk: &mut LockedSock<'_>,
        msg: &mut Msg<'_>,
    ) -> Answer<Result<usize>>;

    /// recvmsg() with the MSG_ flags of the call. Process context.
    fn receive(
        this: ArcBorrow<'_, Self>,
        sk: &mut LockedSock<'_>,
        msg: &mut Msg<'_>,
        flags: u32,
    ) -> Answer<Result<usize>>;

    /// poll(): `mask` is TCP's answer, `requested` the events that the caller is interested in. Process context, not
    /// locked; may sleep.
    fn poll(this: ArcBorrow<'_, Self>, sk: Sk<'_>, mask: u32, requested: u32) -> u32;

    /// shutdown() of the sending half, before TCP sends its FIN. Process context. Whether TCP sends its FIN now.
    fn shutdown_send(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> bool;

    /// close(). Process context, not locked; may sleep for SO_LINGER.
    fn close(this: ArcBorrow<'_, Self>, sk: Sk<'_>, timeout: kernel::ffi::c_long) -> Close;

    /// connect(AF_UNSPEC), or a failed connect(): whether TCP may disconnect. Process context, the socket owned.
    fn disconnect(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Result;

    /// SIOCINQ: bytes that can be read.
    fn readable_bytes(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Answer<Result<usize>>;

    /// SIOCOUTQ: bytes not acknowledged by the peer.
    fn unsent_bytes(this: ArcBorrow<'_, Self>, sk: &mut LockedSock<'_>) -> Answer<usize>;

    /// setsockopt() at level IPPROTO_TCP. Process context, not locked.
    fn set_option(
        this: ArcBorrow<'_, Self>,
        sk: Sk<'_>,
        option: u32,
        value: &OptionReader,
    ) -> Answer<Result>;

    /// TCP has set one of its own options. Process context, not locked.
    fn option_set(this: ArcBorrow<'_, Self>, sk: Sk<'_>, option: u32);

    /// SO_KEEPALIVE is about to be turned on, or to stay on. Atomic, the socket locked.
    fn keep_alive(this: ArcBorrow<'_, Self>, sk: &BhSock<'_>);

    /// getsockopt() at level IPPROTO_TCP. Process context, not locked.
    fn get_option(
        this: ArcBorrow<'_, Self>,
        sk: Sk<'_>,
        option: u32,
        value: &OptionWriter,
    ) -> Answer<Result>;

    /// inet_diag asks. RCU, not locked.
    fn diagnose(&self, sk: Sk<'_>, out: &mut super::ulp::DiagWriter);

    /// The socket is destroyed. Softirq or process; must not sleep.
    fn released(&self, sk: Sk<'_>);
}
