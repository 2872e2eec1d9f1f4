// SPDX-License-Identifier: GPL-2.0

//! The contents of a SYN-form ENO option: suboptions (RFC 8547, 4.1, 4.2, 4.4, 4.5).

use super::super::{
    ids::{
        ENO_KIND,
        FIRST_TEP,
        GLOBAL_A,
        GLOBAL_B,
        LENGTH_MASK,
        RESUME_HALF_LEN,
        RESUME_NONCE_MAX,
        SUBOPTION_GLT,
        SUBOPTION_V, //
    },
    session::{
        Half,
        ResumptionNonce, //
    },
    wire::Reader, //
};

/// A TEP suboption (RFC 8547, 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TepSuboption<'a> {
    /// The initial byte, "v" bit included.
    pub byte: u8,
    /// What follows it; empty if "v" is clear, and possibly empty if it is set.
    pub data: &'a [u8],
}

impl<'a> TepSuboption<'a> {
    /// The half and the nonce of a resumption suboption (RFC 8548, 3.5, figures 2 and 3). `None` if
    /// it is none: less than nine bytes of data are as v = 0, and more than a nonce's are no such
    /// suboption either.
    pub fn resumption(&self) -> Option<(&'a Half, ResumptionNonce)> {
        let mut data = Reader::new(self.data);
        let half = data.array()?;
        Some((half, ResumptionNonce::concat(&[data.rest()])?))
    }

    /// The TEP identifier, without "v" bit.
    pub fn id(&self) -> u8 {
        self.byte & SUBOPTION_GLT
    }

    /// Whether the "v" bit is set. With a tcpcrypt TEP that is a proposal or acceptance of
    /// resumption (RFC 8548, 3.2).
    pub fn has_data(&self) -> bool {
        self.byte & SUBOPTION_V != 0
    }
}

enum Suboption<'a> {
    Global(u8),
    Tep(TepSuboption<'a>),
}

/// The option is ill-formed, so that it has to be ignored and encryption to be disabled (RFC 8547,
/// 4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IllFormed;

/// A well-formed SYN-form ENO option.
///
/// # Invariants
///
/// [`next`] goes through `contents` to its end without an error.
#[derive(Clone, Copy)]
pub struct SynForm<'a> {
    contents: Reader<'a>,
    global: u8,
}

impl<'a> SynForm<'a> {
    /// Checks `option`, an ENO option with its kind and length bytes.
    ///
    /// Fails if a length byte announces more data than there is, or if it is followed by anything
    /// but the initial byte of a TEP suboption with v = 1 (RFC 8547, 4.4).
    pub fn parse(option: &'a [u8]) -> Result<Self, IllFormed> {
        let mut contents = Reader::new(option);
        let kind = contents.u8();
        let len = contents.u8();
        if kind != Some(ENO_KIND) || len.map(usize::from) != Some(option.len()) {
            return Err(IllFormed);
        }

        let mut global = None;
        let mut ahead = contents;
        while let Some(suboption) = next(&mut ahead)? {
            // All but the first are ignored (RFC 8547, 4.2).
            if let Suboption::Global(byte) = suboption {
                global = global.or(Some(byte));
            }
        }
        // INVARIANT: the loop has just been through all of it.
        Ok(Self {
            contents,
            global: global.unwrap_or(0),
        })
    }

    /// The global suboption byte, the implicit 0x00 if there is none (RFC 8547, 4.2).
    pub fn global(&self) -> u8 {
        self.global
    }

    /// How many global suboptions there are; all but the first mean nothing (RFC 8547, 4.2).
    pub fn globals(&self) -> usize {
        let mut left = self.contents;
        // By the type's invariant there is no error to swallow here.
        core::iter::from_fn(move || next(&mut left).ok()?)
            .filter(|suboption| matches!(suboption, Suboption::Global(_)))
            .count()
    }

    /// The passive role bit "b" (RFC 8547, 4.2).
    pub fn b(&self) -> bool {
        self.global & GLOBAL_B != 0
    }

    /// The application-aware bit "a" (RFC 8547, 4.2).
    pub fn a(&self) -> bool {
        self.global & GLOBAL_A != 0
    }

    /// The TEP suboptions, known or not, in order.
    pub fn teps(&self) -> impl Iterator<Item = TepSuboption<'a>> {
        let mut left = self.contents;
        core::iter::from_fn(move || loop {
            // By the type's invariant there is no error to swallow here.
            if let Suboption::Tep(tep) = next(&mut left).ok()?? {
                return Some(tep);
            }
        })
    }

    /// Whether host A, whose option this is, offers tcpcrypt's TEP `id`: once (RFC 8547, 4.5, 3.),
    /// and with no more data than a resumption suboption has (4.5, 2.; RFC 8548, 3.5).
    pub fn offers(&self, id: u8) -> bool {
        self.only(id)
            .is_some_and(|tep| tep.data.len() <= RESUME_HALF_LEN + RESUME_NONCE_MAX)
    }

    /// The only suboption of TEP `id`, `None` if there is none or more than one: tcpcrypt defines
    /// no meaning for a repeated TEP, so that a repeated one is not valid (RFC 8547, 4.5, 3.).
    pub fn only(&self, id: u8) -> Option<TepSuboption<'a>> {
        let mut same = self.teps().filter(|tep| tep.id() == id);
        let only = same.next()?;
        same.next().is_none().then_some(only)
    }
}

/// The negotiated TEP: the suboption of the last valid TEP of host B's option `b` that is in host
/// A's option `a` too (RFC 8547, 4.5; RFC 8548, 3.2). `None` if there is none, and in particular if
/// either option is vacuous.
///
/// Host A's "v" bit does not matter, because a proposal to resume is an offer of fresh key exchange
/// too. A suboption of host B with v = 1 is valid if it `resumes` a session that was proposed;
/// otherwise it is ignored (RFC 8548, 3.5).
pub fn negotiated<'b>(
    a: &SynForm<'_>,
    b: &SynForm<'b>,
    resumes: impl Fn(&TepSuboption<'b>) -> bool,
) -> Option<TepSuboption<'b>> {
    common(a, b)
        .filter(|tep| !tep.has_data() || resumes(tep))
        .filter(|tep| a.offers(tep.id()))
        .last()
}

/// The suboption of the last TEP of host B's option `b` that is in host A's option `a` too (RFC
/// 8547, 4.5): the negotiated TEP, if it is valid for whoever implements it. A repeated one is not
/// taken, for nothing here knows what its repetition means.
pub fn last_common<'b>(a: &SynForm<'_>, b: &SynForm<'b>) -> Option<TepSuboption<'b>> {
    common(a, b).last()
}

fn common<'a, 'b>(
    a: &SynForm<'a>,
    b: &SynForm<'b>,
) -> impl Iterator<Item = TepSuboption<'b>> + use<'a, 'b> {
    let (a, b) = (*a, *b);
    b.teps()
        .filter(move |tep| b.only(tep.id()).is_some() && a.only(tep.id()).is_some())
}

/// The next suboption, `None` at the end.
fn next<'a>(contents: &mut Reader<'a>) -> Result<Option<Suboption<'a>>, IllFormed> {
    let Some(byte) = contents.u8() else {
        return Ok(None);
    };
    let has_data = byte & SUBOPTION_V != 0;
    let is_tep = byte & SUBOPTION_GLT >= FIRST_TEP;
    let suboption = match (has_data, is_tep) {
        (false, false) => Suboption::Global(byte),
        (false, true) => Suboption::Tep(TepSuboption { byte, data: &[] }),
        (true, true) => Suboption::Tep(TepSuboption {
            byte,
            data: contents.rest(),
        }),
        (true, false) => {
            let len = usize::from(byte & LENGTH_MASK).saturating_add(1);
            let byte = contents.u8().ok_or(IllFormed)?;
            let data = contents.take(len).ok_or(IllFormed)?;
            if byte < SUBOPTION_V | FIRST_TEP {
                return Err(IllFormed);
            }
            Suboption::Tep(TepSuboption { byte, data })
        }
    };
    Ok(Some(suboption))
}
