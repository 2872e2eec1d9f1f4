// SPDX-License-Identifier: GPL-2.0

//! What an end wants of TCP-ENO, and the SYN-form option that says it (RFC 8547, 4.1 to 4.5).

use super::{
    super::{
        ids::{
            Role,
            Tep,
            ENO_KIND,
            GLOBAL_A,
            GLOBAL_B,
            MAX_TCP_OPTIONS,
            SUBOPTION_V, //
        },
        session::{
            Agreement,
            Half,
            Proposal,
            ResumptionNonce, //
        },
        wire::Bytes, //
    },
    suboption::{
        IllFormed,
        SynForm, //
    },
};

/// One SYN-form ENO option as on the wire, with its kind and length bytes; at most 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnoOption(Bytes<MAX_TCP_OPTIONS>);

impl EnoOption {
    /// An option with these contents.
    fn new(contents: impl Iterator<Item = u8> + Clone) -> Self {
        let len = contents.clone().take(MAX_CONTENTS).count();
        // At most 40.
        let len = u8::try_from(len.saturating_add(2)).unwrap_or(u8::MAX);
        Self(Bytes::collect(
            [ENO_KIND, len]
                .into_iter()
                .chain(contents.take(MAX_CONTENTS)),
        ))
    }

    /// The option that is all of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, IllFormed> {
        SynForm::parse(bytes)?;
        Ok(Self(Bytes::concat(&[bytes]).ok_or(IllFormed)?))
    }

    /// The whole option.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// An ENO option has at most this many bytes behind kind and length.
const MAX_CONTENTS: usize = MAX_TCP_OPTIONS - 2;

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

/// TEPs in order of preference, best first: at least one, none twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TepList {
    teps: [Tep; Self::MAX],
    len: usize,
}

impl TepList {
    /// As many as there are.
    pub const MAX: usize = Tep::ALL.len();

    /// The list of these. `None` if there are none, or one is there twice.
    pub fn from_slice(teps: &[Tep]) -> Option<Self> {
        let mut list = Self {
            teps: Tep::ALL,
            len: 0,
        };
        for tep in teps {
            if list.iter().any(|other| other == *tep) {
                return None;
            }
            *list.teps.get_mut(list.len)? = *tep;
            list.len = list.len.saturating_add(1);
        }
        (list.len > 0).then_some(list)
    }

    /// The TEPs, best first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Tep> + Clone + '_ {
        self.teps.iter().take(self.len).copied()
    }
}

impl Default for TepList {
    /// [`Tep::DEFAULT`].
    fn default() -> Self {
        let mut list = Self {
            teps: Tep::ALL,
            len: Tep::DEFAULT.len(),
        };
        for (place, tep) in list.teps.iter_mut().zip(Tep::DEFAULT) {
            *place = tep;
        }
        list
    }
}

/// The contents of a SYN-form option that an application wrote, for a TEP that is implemented above
/// TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawContents(Bytes<MAX_CONTENTS>);

impl RawContents {
    /// The longest contents, in bytes.
    pub const MAX_LEN: usize = MAX_CONTENTS;

    /// Checks `contents`: well-formed (RFC 8547, 4.4), at most one global suboption, in which the
    /// reserved bits are zero (4.2), and at most [`RawContents::MAX_LEN`] bytes.
    pub fn new(contents: &[u8]) -> Result<Self, IllFormed> {
        let raw = Self(Bytes::concat(&[contents]).ok_or(IllFormed)?);
        let option = raw.option();
        let form = SynForm::parse(option.as_bytes())?;
        if form.globals() > 1 || form.global() & !(GLOBAL_A | GLOBAL_B) != 0 {
            return Err(IllFormed);
        }
        Ok(raw)
    }

    /// The contents.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Its global suboption byte, 0x00 if it has none.
    pub fn global(&self) -> u8 {
        // It was parsed when it was made.
        SynForm::parse(self.option().as_bytes()).map_or(0, |form| form.global())
    }

    /// The role that it claims.
    pub fn role(&self) -> Role {
        role_of(self.global())
    }

    fn option(&self) -> EnoOption {
        EnoOption::new(self.as_bytes().iter().copied())
    }
}

/// The role of the host that sent this global suboption byte (RFC 8547, 4.3).
fn role_of(global: u8) -> Role {
    if global & GLOBAL_B == 0 {
        Role::A
    } else {
        Role::B
    }
}

/// What an end wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    role: Role,
    aware: Aware,
    teps: TepList,
    raw: Option<RawContents>,
}

impl Policy {
    /// Offers fresh key exchange by the default TEPs, application-aware bit clear, with `role` as an active
    /// opener. A passive opener is always host B.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            aware: Aware::Clear,
            teps: TepList::default(),
            raw: None,
        }
    }

    /// The same with another application-aware mode.
    pub fn aware(self, aware: Aware) -> Self {
        Self { aware, ..self }
    }

    /// The same with other TEPs.
    pub fn teps(self, teps: TepList) -> Self {
        Self { teps, ..self }
    }

    /// The same with an option that is sent as it is, whose role then counts, and nothing encrypted.
    pub fn raw(self, raw: RawContents) -> Self {
        let raw = Some(raw);
        Self { raw, ..self }
    }

    /// Whether the option is sent as an application wrote it.
    pub(super) fn is_raw(&self) -> bool {
        self.raw.is_some()
    }

    /// The role of an active opener.
    pub(super) fn role(&self) -> Role {
        self.raw.map_or(self.role, |raw| raw.role())
    }

    /// Mandatory application-aware mode (RFC 8547, 4.2).
    pub(super) fn wants_aware_peer(&self) -> bool {
        self.aware == Aware::Mandatory
    }

    /// Whether a session of `tep` may be resumed.
    pub fn may_resume(&self, tep: Tep) -> bool {
        self.raw.is_none() && self.teps.iter().any(|other| other == tep)
    }

    /// The option of an active opener: all TEPs, the best last, for the last valid one of host B's
    /// is the one that is negotiated (RFC 8547, 4.5). That of `proposal` is the last, because its
    /// data then need no length byte.
    pub(super) fn offer(&self, proposal: Option<&Proposal>) -> EnoOption {
        let role = self.role();
        match (&self.raw, proposal) {
            (Some(raw), _) => raw.option(),
            (None, None) => self.syn_form(role, self.teps.iter().rev(), None),
            (None, Some(proposal)) => {
                let others = self.teps.iter().rev().filter(|tep| *tep != proposal.tep);
                let resumption = (proposal.tep, &proposal.own, &proposal.nonce);
                self.syn_form(role, others, Some(resumption))
            }
        }
    }

    /// The option of a passive opener to the offer in `syn`: with one TEP, the best of those that
    /// are in both (RFC 8547, 4.5), unless a session is resumed, by `agree` (RFC 8548, 3.5). `None`
    /// if there is none.
    pub(super) fn answer(
        &self,
        syn: &SynForm<'_>,
        agree: impl FnOnce(Tep, &Half) -> Option<Agreement>,
    ) -> Option<EnoOption> {
        if let Some(raw) = &self.raw {
            return Some(raw.option());
        }
        let offered = |tep: &Tep| syn.offers(tep.id());
        // A SYN has one such suboption; of more, the first is looked at.
        let proposed = self.teps.iter().filter(offered).find_map(|tep| {
            let (half, _) = syn.only(tep.id())?.resumption()?;
            Some((tep, half))
        });
        if let Some((tep, half)) = proposed {
            if let Some(agreement) = agree(tep, half) {
                let resumption = (tep, &agreement.own, &agreement.nonce);
                return Some(self.syn_form(Role::B, [].into_iter(), Some(resumption)));
            }
        }
        let tep = self.teps.iter().find(offered)?;
        Some(self.syn_form(Role::B, [tep].into_iter(), None))
    }

    /// An option with these TEPs without data, and a resumption suboption. The global suboption is
    /// there when it differs from the implicit 0x00, thus always in host B's (RFC 8547, 4.2).
    fn syn_form(
        &self,
        role: Role,
        teps: impl Iterator<Item = Tep> + Clone,
        resumption: Option<(Tep, &Half, &ResumptionNonce)>,
    ) -> EnoOption {
        let b = match role {
            Role::A => 0,
            Role::B => GLOBAL_B,
        };
        let a = match self.aware {
            Aware::Clear => 0,
            Aware::Set | Aware::Mandatory => GLOBAL_A,
        };
        let global = Some(a | b).filter(|global| *global != 0);
        let (tep, half, nonce) = match resumption {
            Some((tep, half, nonce)) => (Some(SUBOPTION_V | tep.id()), &half[..], nonce.as_bytes()),
            None => (None, &[][..], &[][..]),
        };
        EnoOption::new(
            global
                .into_iter()
                .chain(teps.map(Tep::id))
                .chain(tep)
                .chain(half.iter().chain(nonce).copied()),
        )
    }
}
