// SPDX-License-Identifier: GPL-2.0

//! TCP-ENO (RFC 8547): the option, and what two of them come to.
//!
//! An active opener makes an [`Offered`], sends its option in the SYN and hands the SYN-ACK's
//! options (or those of a crossing SYN) to [`Offered::on_syn`]. A passive opener makes an
//! [`Answer`] to a SYN, which it can make again and again from the same SYN with the same result,
//! and hands the options of the segment that ends the handshake to [`Answer::confirm`]. Both end
//! with [`Negotiated`], which [`super::handshake`] takes on, or with the [`Reason`] why the
//! connection stays plain TCP.
//!
//! `list` finds the option in a TCP header, `suboption` reads what is in it.

pub mod list;
pub mod suboption;

pub use self::list::{
    find,
    has_data_bearing_fast_open,
    has_eno,
    Found, //
};

use self::suboption::{
    negotiated,
    IllFormed,
    SynForm, //
};
use super::{
    ids::{
        Role,
        Tep,
        ENO_KIND,
        GLOBAL_A,
        GLOBAL_B,
        MAX_TCP_OPTIONS, //
    },
    wire::Bytes, //
};

/// The non-SYN-form ENO option, which has no contents (RFC 8547, 4.1).
pub const NON_SYN_OPTION: [u8; 2] = [ENO_KIND, 2];

/// Why ENO is off for a connection (RFC 8547, 4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The SYN or SYN-ACK has no ENO option.
    NoOption,
    /// The ENO option is ill-formed (4.4).
    Malformed,
    /// The SYN or SYN-ACK has more than one ENO option (4.1).
    Duplicate,
    /// There is no valid TEP (4.5), as for instance in a vacuous option.
    NoTep,
    /// Both hosts set the same "b", as when a middlebox echoes the option (4.3, 8.1).
    Role,
    /// Mandatory application-aware mode, and the peer did not set "a" (4.2).
    NotAware,
    /// The segment that ends the handshake has no ENO option (4.6).
    NoAck,
}

/// One SYN-form ENO option as on the wire, with its kind and length bytes; at most 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnoOption(Bytes<MAX_TCP_OPTIONS>);

impl EnoOption {
    /// The whole option.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The application-aware bit that is sent, and what is asked of the peer's (RFC 8547, 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aware {
    /// a = 0.
    Clear,
    /// a = 1.
    Set,
    /// a = 1, and ENO is off unless the peer set it too.
    Mandatory,
}

/// What an end wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    role: Role,
    aware: Aware,
}

impl Policy {
    /// Offers fresh key exchange with X25519, application-aware bit clear, with `role` as an active
    /// opener. A passive opener is always host B.
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            aware: Aware::Clear,
        }
    }

    /// The same with another application-aware mode.
    pub const fn aware(self, aware: Aware) -> Self {
        Self { aware, ..self }
    }

    /// The SYN-form option of this policy in `role`, with one TEP and no data.
    ///
    /// The global suboption is there when it differs from the implicit 0x00, thus always in host
    /// B's.
    fn option(&self, role: Role) -> EnoOption {
        let b = match role {
            Role::A => 0,
            Role::B => GLOBAL_B,
        };
        let a = match self.aware {
            Aware::Clear => 0,
            Aware::Set | Aware::Mandatory => GLOBAL_A,
        };
        let tep = Tep::X25519.id();
        EnoOption(match a | b {
            0 => Bytes::collect([ENO_KIND, 3, tep]),
            global => Bytes::collect([ENO_KIND, 4, global, tep]),
        })
    }

    /// What rules out `peer` before any TEP is looked at (RFC 8547, 4.6, 3.), for an end that plays
    /// `role`.
    fn check(&self, role: Role, peer: &SynForm<'_>) -> Result<(), Reason> {
        if peer.b() == (role == Role::B) {
            return Err(Reason::Role);
        }
        if self.aware == Aware::Mandatory && !peer.a() {
            return Err(Reason::NotAware);
        }
        Ok(())
    }
}

/// An active opener whose SYN is out (or about to be).
///
/// The option depends on nothing else, so that it is the same in a retransmitted SYN, and in the
/// SYN-ACK of a simultaneous open, as RFC 8547, 4.6 demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offered {
    policy: Policy,
}

impl Offered {
    /// An active opener that follows `policy`.
    pub fn new(policy: &Policy) -> Offered {
        Offered { policy: *policy }
    }

    /// The option to send with the SYN.
    pub fn option(&self) -> EnoOption {
        self.policy.option(self.policy.role)
    }

    /// The SYN-ACK, or the crossing SYN of a simultaneous open, has been accepted by TCP; these are
    /// its TCP options.
    pub fn on_syn(&self, tcp_options: &[u8]) -> Result<Negotiated, Reason> {
        conclude(&self.policy, self.policy.role, tcp_options)
    }
}

/// A passive opener that has seen a SYN whose offer it accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    policy: Policy,
    negotiated: Negotiated,
}

impl Answer {
    /// The answer by `policy` to a SYN with these TCP options. Nothing else goes into it, so that a
    /// retransmitted SYN-ACK carries the same option, and that nobody has to remember it.
    pub fn to(policy: &Policy, syn_tcp_options: &[u8]) -> Result<Answer, Reason> {
        Ok(Answer {
            policy: *policy,
            negotiated: conclude(policy, Role::B, syn_tcp_options)?,
        })
    }

    /// The option to send with the SYN-ACK: the global suboption with b = 1, and the one TEP that
    /// will be negotiated.
    pub fn option(&self) -> EnoOption {
        self.policy.option(Role::B)
    }

    /// The segment that ends the handshake has been accepted by TCP; these are its TCP options.
    pub fn confirm(self, ack_tcp_options: &[u8]) -> Result<Negotiated, Reason> {
        if has_eno(ack_tcp_options) {
            Ok(self.negotiated)
        } else {
            Err(Reason::NoAck)
        }
    }
}

/// ENO has succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Negotiated {
    tep: Tep,
    tep_byte: u8,
    role: Role,
    peer_global: u8,
    transcript: Bytes<{ 2 * MAX_TCP_OPTIONS }>,
}

impl Negotiated {
    /// The negotiated TEP (RFC 8547, 4.5).
    pub fn tep(&self) -> Tep {
        self.tep
    }

    /// The byte of host B's option that has the negotiated TEP, with its "v" bit: the first byte of
    /// the session ID (RFC 8547, 5.1; RFC 8548, 3.4).
    pub fn tep_byte(&self) -> u8 {
        self.tep_byte
    }

    /// This end's role (RFC 8547, 4.3).
    pub fn role(&self) -> Role {
        self.role
    }

    /// The peer's global suboption byte, 0x00 if it sent none (RFC 8547, 4.2).
    pub fn peer_global(&self) -> u8 {
        self.peer_global
    }

    /// The negotiation transcript: host A's option, then host B's, exactly as they were sent (RFC
    /// 8547, 4.8).
    pub fn transcript(&self) -> &[u8] {
        self.transcript.as_bytes()
    }
}

/// What the option that `policy` sends in `role` and the one in the peer's segment come to.
fn conclude(policy: &Policy, role: Role, peer_tcp_options: &[u8]) -> Result<Negotiated, Reason> {
    let peer_option = match find(peer_tcp_options) {
        Found::None => return Err(Reason::NoOption),
        Found::Many => return Err(Reason::Duplicate),
        Found::One(option) => option,
    };
    let peer = SynForm::parse(peer_option).map_err(|IllFormed| Reason::Malformed)?;
    policy.check(role, &peer)?;

    let own_option = policy.option(role);
    let own = SynForm::parse(own_option.as_bytes()).map_err(|IllFormed| Reason::Malformed)?;
    let (a, a_option, b, b_option) = match role {
        Role::A => (&own, own_option.as_bytes(), &peer, peer_option),
        Role::B => (&peer, peer_option, &own, own_option.as_bytes()),
    };
    let last = negotiated(a, b).ok_or(Reason::NoTep)?;
    Ok(Negotiated {
        tep: Tep::from_id(last.id()).ok_or(Reason::NoTep)?,
        tep_byte: last.byte,
        role,
        peer_global: peer.global(),
        // Longer than two TCP headers allow: that was no TCP header.
        transcript: Bytes::concat(&[a_option, b_option]).ok_or(Reason::Malformed)?,
    })
}
