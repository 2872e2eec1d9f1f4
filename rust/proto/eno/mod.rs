// SPDX-License-Identifier: GPL-2.0

//! TCP-ENO (RFC 8547): the option, and what two of them come to.
//!
//! An active opener makes an [`Offered`] from its [`Policy`], sends its option in the SYN and hands
//! the SYN-ACK's options (or those of a crossing SYN) to [`Offered::on_syn`]. A passive opener makes
//! an [`Answer`] to a SYN, and makes it again from the SYN and from what it sent when the segment
//! comes that ends the handshake, whose options it hands to [`Answer::confirm`]. Both end with
//! [`Negotiated`], which [`super::handshake`] takes on, or with the [`Reason`] why the connection
//! stays plain TCP.
//!
//! `list` finds the option in a TCP header, `suboption` reads what is in it, `policy` writes it.

pub mod list;
pub mod policy;
pub mod suboption;

pub use self::{
    list::{
        append,
        find,
        has_data_bearing_fast_open,
        has_eno,
        Found,
        TcpOptions, //
    },
    policy::{
        Aware,
        EnoOption,
        Policy,
        RawContents,
        TepList, //
    },
};

use self::suboption::{
    last_common,
    negotiated,
    IllFormed,
    SynForm,
    TepSuboption, //
};
use super::{
    ids::{
        Role,
        Tep,
        ENO_KIND,
        MAX_TCP_OPTIONS, //
    },
    session::{
        Agreement,
        Half,
        Proposal,
        Resumption, //
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

/// An active opener whose SYN is out (or about to be).
///
/// The option depends on nothing else, so that it is the same in a retransmitted SYN, and in the
/// SYN-ACK of a simultaneous open, as RFC 8547, 4.6 demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offered {
    policy: Policy,
    proposal: Option<Proposal>,
}

impl Offered {
    /// An active opener that follows `policy`.
    pub fn new(policy: &Policy) -> Offered {
        Offered {
            policy: *policy,
            proposal: None,
        }
    }

    /// The same with a proposal to resume a session (RFC 8548, 3.5), whose TEP the policy allows.
    /// Only host A proposes: host B's option says what is negotiated, and it would have to know
    /// that host A agrees.
    pub fn resuming(self, proposal: Proposal) -> Self {
        let proposal = Some(proposal)
            .filter(|proposal| self.policy.may_resume(proposal.tep) && self.role() == Role::A);
        Self { proposal, ..self }
    }

    /// The same without it, which needs less space. Only before the first SYN.
    pub fn not_resuming(self) -> Self {
        Self {
            proposal: None,
            ..self
        }
    }

    /// Whether there is a proposal.
    pub fn is_resuming(&self) -> bool {
        self.proposal.is_some()
    }

    /// The option to send with the SYN.
    pub fn option(&self) -> EnoOption {
        self.policy.offer(self.proposal.as_ref())
    }

    /// This end's role (RFC 8547, 4.3), if the negotiation succeeds.
    pub fn role(&self) -> Role {
        self.policy.role()
    }

    /// The SYN-ACK, or the crossing SYN of a simultaneous open, has been accepted by TCP; these are
    /// its TCP options.
    pub fn on_syn(&self, tcp_options: &[u8]) -> Result<Negotiated, Reason> {
        let peer = Peer::find(tcp_options)?;
        peer.check_aware(&self.policy)?;
        let option = self.option();
        conclude(&option, self.role(), &peer, self.policy.is_raw(), |tep| {
            let agreed = self.proposal.as_ref().zip(tep.resumption());
            // An identifier that does not match is ignored (RFC 8548, 3.5).
            let (proposal, (half, nonce)) = agreed.filter(|(proposal, (half, _))| {
                proposal.tep.id() == tep.id() && proposal.peer == **half
            })?;
            Some(Resumption {
                peer: *half,
                own_nonce: proposal.nonce,
                peer_nonce: nonce,
            })
        })
    }
}

/// A passive opener that has seen a SYN whose offer it accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    option: EnoOption,
    negotiated: Negotiated,
}

impl Answer {
    /// The answer by `policy` to a SYN with these TCP options. `agree` is asked once at most, for
    /// the TEP and the peer's half of a session that the peer proposes to resume (RFC 8548, 3.5).
    ///
    /// A retransmitted SYN-ACK has to carry the same option, and the transcript has it: the bytes of
    /// [`Answer::option`] are to be kept with the SYN, and given to [`Answer::sent`].
    pub fn to(
        policy: &Policy,
        syn_tcp_options: &[u8],
        agree: impl FnOnce(Tep, &Half) -> Option<Agreement>,
    ) -> Result<Answer, Reason> {
        let peer = Peer::find(syn_tcp_options)?;
        // Before any TEP is looked at (RFC 8547, 4.6, 3.).
        if peer.form.b() {
            return Err(Reason::Role);
        }
        peer.check_aware(policy)?;
        let option = policy.answer(&peer.form, agree).ok_or(Reason::NoTep)?;
        Self::with(option, &peer, policy.is_raw())
    }

    /// The answer that was sent before, with the ENO option `option`, to a SYN with these TCP
    /// options; `raw` if it was one that an application wrote.
    pub fn sent(option: &[u8], raw: bool, syn_tcp_options: &[u8]) -> Result<Answer, Reason> {
        let option = EnoOption::parse(option).map_err(|IllFormed| Reason::Malformed)?;
        Self::with(option, &Peer::find(syn_tcp_options)?, raw)
    }

    fn with(option: EnoOption, peer: &Peer<'_>, raw: bool) -> Result<Answer, Reason> {
        Ok(Answer {
            option,
            // This end has sent its half because the peer's was known.
            negotiated: conclude(&option, Role::B, peer, raw, |own| {
                let (_, own_nonce) = own.resumption()?;
                let (peer, peer_nonce) = peer.form.only(own.id())?.resumption()?;
                Some(Resumption {
                    peer: *peer,
                    own_nonce,
                    peer_nonce,
                })
            })?,
        })
    }

    /// The option to send with the SYN-ACK: the global suboption with b = 1, and the one TEP that
    /// will be negotiated.
    pub fn option(&self) -> EnoOption {
        self.option
    }

    /// Whether [`Negotiated::tep`] is `None`.
    pub fn is_raw(&self) -> bool {
        self.negotiated.tep.is_none()
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
    tep: Option<Tep>,
    tep_byte: u8,
    role: Role,
    own_global: u8,
    peer_global: u8,
    resumption: Option<Resumption>,
    transcript: Bytes<{ 2 * MAX_TCP_OPTIONS }>,
}

impl Negotiated {
    /// The negotiated TEP (RFC 8547, 4.5). `None` if the option was one that an application wrote:
    /// then the TEP is implemented above TCP, and is known by [`Negotiated::tep_byte`] only.
    pub fn tep(&self) -> Option<Tep> {
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

    /// What is resumed, if host B's suboption says so (RFC 8548, 3.5).
    pub fn resumption(&self) -> Option<&Resumption> {
        self.resumption.as_ref()
    }

    /// The global suboption byte that this end sent, 0x00 if it sent none (RFC 8547, 4.2).
    pub fn own_global(&self) -> u8 {
        self.own_global
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

/// The peer's SYN-form option.
struct Peer<'a> {
    option: &'a [u8],
    form: SynForm<'a>,
}

impl<'a> Peer<'a> {
    /// The only ENO option among these TCP options, if it is well-formed.
    fn find(tcp_options: &'a [u8]) -> Result<Self, Reason> {
        let option = match find(tcp_options) {
            Found::None => return Err(Reason::NoOption),
            Found::Many => return Err(Reason::Duplicate),
            Found::One(option) => option,
        };
        let form = SynForm::parse(option).map_err(|IllFormed| Reason::Malformed)?;
        Ok(Self { option, form })
    }

    /// The first half of RFC 8547, 4.6, 3.
    fn check_aware(&self, policy: &Policy) -> Result<(), Reason> {
        if policy.wants_aware_peer() && !self.form.a() {
            return Err(Reason::NotAware);
        }
        Ok(())
    }
}

/// What the option `own_option` that this end sends as `role` and the peer's come to; `resumes` is
/// asked what a suboption of host B with v = 1 resumes.
fn conclude(
    own_option: &EnoOption,
    role: Role,
    peer: &Peer<'_>,
    raw: bool,
    resumes: impl Fn(&TepSuboption<'_>) -> Option<Resumption>,
) -> Result<Negotiated, Reason> {
    let own_option = own_option.as_bytes();
    let own = SynForm::parse(own_option).map_err(|IllFormed| Reason::Malformed)?;
    // RFC 8547, 4.6, 3. An option that an application wrote may not be that of a passive opener.
    let is_b = role == Role::B;
    if own.b() != is_b || peer.form.b() == is_b {
        return Err(Reason::Role);
    }
    let (a, a_option, b, b_option) = match role {
        Role::A => (&own, own_option, &peer.form, peer.option),
        Role::B => (&peer.form, peer.option, &own, own_option),
    };
    let (tep, last) = if raw {
        (None, last_common(a, b).ok_or(Reason::NoTep)?)
    } else {
        let last = negotiated(a, b, |tep| resumes(tep).is_some()).ok_or(Reason::NoTep)?;
        (Some(Tep::from_id(last.id()).ok_or(Reason::NoTep)?), last)
    };
    Ok(Negotiated {
        tep,
        tep_byte: last.byte,
        role,
        own_global: own.global(),
        peer_global: peer.form.global(),
        resumption: tep.filter(|_| last.has_data()).and_then(|_| resumes(&last)),
        // Longer than two TCP headers allow: that was no TCP header.
        transcript: Bytes::concat(&[a_option, b_option]).ok_or(Reason::Malformed)?,
    })
}
