// SPDX-License-Identifier: GPL-2.0

//! What is counted, per namespace and per CPU: `/proc/net/tcp_crypt_stat`.
//!
//! Counting takes no lock and may be done in any context; [`NetState`](crate::net::pernet::NetState) has the numbers.

/// Declares the counters once: the enum, how many, and their names.
macro_rules! counters {
    ($( $(#[$doc:meta])* $name:ident, )*) => {
        /// A counter. All but [`Counter::Established`] only ever grow, and wrap at 2^64.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Counter {
            $( $(#[$doc])* $name, )*
        }

        impl Counter {
            /// All counters, in the order in which they are shown.
            pub(crate) const ALL: &'static [Counter] = &[ $( Counter::$name, )* ];

            /// How it is called in `/proc/net/tcp_crypt_stat`.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $( Counter::$name => stringify!($name), )*
                }
            }
        }
    };
}

counters! {
    /// Connections that were opened here with ENO in the SYN. Process, when the first SYN is made.
    ActiveOffered,
    /// SYNs with ENO that were answered with ENO in the SYN-ACK. Softirq, once per request.
    PassiveOffered,
    /// Active opens on which ENO succeeded. Softirq or process, when the SYN-ACK is accepted.
    ActiveEncrypted,
    /// Passive opens on which ENO succeeded. Softirq, when the child is made.
    PassiveEncrypted,
    /// Active opens on which ENO succeeded in raw mode: what is sent is the application's own.
    ActiveRaw,
    /// Passive opens on which ENO succeeded in raw mode.
    PassiveRaw,
    /// Connections on which ENO was left out because it is remembered that it does not work to their destination.
    FallbackRemembered,
    /// Connections on which ENO was left out because SYNs with it were not answered. When the first SYN without is sent.
    FallbackSynUnanswered,
    /// Passive opens on which ENO was left out because too many connections wait for keys. Softirq, once per request.
    FallbackBusy,
    /// Fallbacks because the SYN-ACK (or the crossing SYN) had no ENO option.
    FallbackNoOption,
    /// Fallbacks because an ENO option broke RFC 8547.
    FallbackMalformed,
    /// Fallbacks because both sides have no TEP in common.
    FallbackNoTep,
    /// Fallbacks because both sides claim the same role.
    FallbackRole,
    /// Fallbacks because a segment had more than one ENO option.
    FallbackDuplicate,
    /// Fallbacks because the option did not fit in the TCP header.
    FallbackNoSpace,
    /// Fallbacks because the first segment from the active opener after its SYN had no ENO option.
    FallbackNoAck,
    /// Connections on which ENO was left out because the random generator was not seeded.
    FallbackNoEntropy,
    /// Connections on which ENO was left out because memory ran out before it had succeeded.
    FallbackNoMemory,
    /// Connections that were aborted or refused because ENO did not succeed and the application had set
    /// TCP_ENO_MANDATORY. The reason is counted too, if there was an offer.
    MandatoryAborted,
    /// Connections that got their keys from an earlier session.
    Resumed,
    /// Active opens that proposed to resume a session, and were answered by fresh key exchange.
    ResumptionDeclined,
    /// Passive opens that were refused because the session that they had agreed to resume was gone when the handshake
    /// ended.
    ResumptionLost,
    /// Connections that were aborted because the exchange of keys failed.
    HandshakeFailed,
    /// Frames that failed authentication or were malformed; each one aborts its connection.
    FrameAuthFailed,
    /// Connections that ended without the authenticated mark of the end.
    Truncated,
    /// Segments that were dropped on their way out because they held bytes that were not sealed.
    PlaintextBlocked,
    /// Encrypted connections at this time: those on which ENO succeeded and that are not closed yet.
    Established,
    /// Frames that were sealed.
    FramesTx,
    /// Frames that were opened.
    FramesRx,
    /// Generations of keys that this side began: of its own accord, or because the peer did.
    RekeysTx,
    /// Generations of keys that peers began.
    RekeysRx,
    /// Peers that were asked for a sign of life, because of SO_KEEPALIVE.
    KeepaliveProbes,
    /// Connections that were aborted because there was none.
    KeepaliveTimeouts,
    /// Bytes of application data in the frames that were sealed.
    BytesTx,
    /// Bytes of application data in the frames that were opened.
    BytesRx,
}
