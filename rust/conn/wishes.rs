// SPDX-License-Identifier: GPL-2.0

//! What an application asked for on a socket (`sockopt.rs`), and what the children of a listener take over from it.
//!
//! A listener's wishes are read for each SYN, in softirq and without the socket lock. So each is read and replaced whole;
//! what two of them say together was so at some moment around.

use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
};

use super::settings::Packed;
use crate::{
    net::bh_lock::{
        new_bh_spinlock,
        BhSpinLock, //
    },
    proto::{
        eno::{
            Aware,
            RawContents,
            TepList, //
        },
        handshake::AeadList,
        ids::{
            Role,
            Tep,
            GLOBAL_A,
            GLOBAL_B,
            RESUME_NONCE_MAX, //
        },
    },
};

/// The wishes of one socket.
#[pin_data]
pub(crate) struct Wishes {
    enabled: Atomic<i32>,
    /// [`Global`], packed.
    global: Atomic<u32>,
    mandatory: Atomic<bool>,
    /// [`Teps`], packed.
    teps: Atomic<u64>,
    /// [`Packed`]; no bit at all stands for the namespace's list.
    aconf: Atomic<u64>,
    bconf: Atomic<u64>,
    /// Whether there is something in `raw`, so that who finds nothing there need not lock.
    no_resume: Atomic<bool>,
    no_cache: Atomic<bool>,
    nonce_len: Atomic<u32>,
    has_raw: Atomic<bool>,
    #[pin]
    raw: BhSpinLock<Option<RawContents>>,
}

/// What TCP_ENO_TEPS says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teps {
    /// Nothing: the namespace's list.
    Default,
    /// An empty list, which turns ENO off.
    Off,
    /// These.
    List(TepList),
}

impl Teps {
    const OFF: u64 = u64::MAX;

    /// A word of identifiers, the first in the lowest byte, a zero byte behind the last. No byte of [`Teps::OFF`] is an
    /// identifier: that has seven bits.
    fn pack(self) -> u64 {
        const { assert!(TepList::MAX <= size_of::<u64>()) };
        match self {
            Self::Default => 0,
            Self::Off => Self::OFF,
            Self::List(list) => {
                let mut bytes = [0; size_of::<u64>()];
                for (byte, tep) in bytes.iter_mut().zip(list.iter()) {
                    *byte = tep.id();
                }
                u64::from_le_bytes(bytes)
            }
        }
    }

    fn unpack(bits: u64) -> Self {
        if bits == Self::OFF {
            return Self::Off;
        }
        let mut teps = Tep::ALL;
        let mut len = 0;
        let ids = bits.to_le_bytes().into_iter();
        for (place, tep) in teps.iter_mut().zip(ids.filter_map(Tep::from_id)) {
            *place = tep;
            len += 1;
        }
        let list = teps.get(..len).and_then(TepList::from_slice);
        list.map_or(Self::Default, Self::List)
    }
}

/// What the global suboption is made of (RFC 8547 section 4.2): changed together by TCP_ENO_SELF_GOPT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Global {
    /// What an active opener plays.
    pub(crate) role: Role,
    pub(crate) aware: Aware,
}

impl Global {
    /// The bit of role B, above the values of TCP_ENO_SELF_AWARE.
    const ROLE_B: u32 = 4;

    /// The suboption's byte, with which an active opener offers.
    pub(crate) fn byte(self) -> u8 {
        let a = match self.aware {
            Aware::Clear => 0,
            Aware::Set | Aware::Mandatory => GLOBAL_A,
        };
        match self.role {
            Role::A => a,
            Role::B => a | GLOBAL_B,
        }
    }

    /// With the bits of `byte`. The mandatory mode is a = 1 as well: what says so leaves it.
    pub(crate) fn with_byte(self, byte: u8) -> Self {
        Self {
            role: if byte & GLOBAL_B != 0 {
                Role::B
            } else {
                Role::A
            },
            aware: match self.aware {
                _ if byte & GLOBAL_A == 0 => Aware::Clear,
                Aware::Clear => Aware::Set,
                aware => aware,
            },
        }
    }

    fn pack(self) -> u32 {
        let aware = match self.aware {
            Aware::Clear => 0,
            Aware::Set => 1,
            Aware::Mandatory => 2,
        };
        match self.role {
            Role::A => aware,
            Role::B => aware | Self::ROLE_B,
        }
    }

    fn unpack(bits: u32) -> Self {
        Self {
            role: if bits & Self::ROLE_B != 0 {
                Role::B
            } else {
                Role::A
            },
            aware: match bits & !Self::ROLE_B {
                0 => Aware::Clear,
                1 => Aware::Set,
                _ => Aware::Mandatory,
            },
        }
    }
}

impl Wishes {
    /// No wish but `enabled`, as TCP_ENO_ENABLED says it.
    pub(crate) fn new(enabled: i32) -> impl PinInit<Self> {
        Self::with(enabled, None)
    }

    /// Those of a child: what the application asked for on its listener, if it attached to that. Softirq.
    pub(crate) fn of_child(listener: Option<&Self>) -> impl PinInit<Self> + '_ {
        Self::with(-1, listener)
    }

    /// A copy of `other`, else `enabled`.
    fn with(enabled: i32, other: Option<&Self>) -> impl PinInit<Self> + '_ {
        let plain = Global {
            role: Role::A,
            aware: Aware::Clear,
        };
        let raw = other.and_then(Self::raw);
        pin_init!(Self {
            enabled: Atomic::new(other.map_or(enabled, |other| other.enabled.load(Relaxed))),
            global: Atomic::new(other.map_or(plain, Self::global).pack()),
            mandatory: Atomic::new(other.is_some_and(Self::mandatory)),
            teps: Atomic::new(other.map_or(Teps::Default, Self::listed_teps).pack()),
            aconf: Atomic::new(other.map_or(0, |other| other.aconf.load(Relaxed))),
            bconf: Atomic::new(other.map_or(0, |other| other.bconf.load(Relaxed))),
            no_resume: Atomic::new(other.is_some_and(Self::no_resume)),
            no_cache: Atomic::new(other.is_some_and(Self::no_cache)),
            nonce_len: Atomic::new(other.map_or(RESUME_NONCE_MAX as u32, Self::nonce_len)),
            has_raw: Atomic::new(raw.is_some()),
            raw <- new_bh_spinlock!(raw, "tcpcrypt_raw"),
        })
    }

    /// TCP_ENO_ENABLED: 0 off, 1 on, -1 as the namespace's default says.
    pub(crate) fn enabled(&self) -> i32 {
        match self.listed_teps() {
            Teps::Off => 0,
            _ => self.enabled.load(Relaxed),
        }
    }

    /// Also forgets an empty list of TEPs, for else nothing would undo that. The socket locked.
    pub(super) fn set_enabled(&self, enabled: i32) {
        self.enabled.store(enabled, Relaxed);
        if self.listed_teps() == Teps::Off {
            self.set_teps(Teps::Default);
        }
    }

    /// TCP_ENO_TEPS.
    pub(crate) fn listed_teps(&self) -> Teps {
        Teps::unpack(self.teps.load(Relaxed))
    }

    /// What is offered or accepted. `None` for the namespace's list; whether any is, says [`Wishes::enabled`].
    pub(crate) fn teps(&self) -> Option<TepList> {
        match self.listed_teps() {
            Teps::List(list) => Some(list),
            Teps::Default | Teps::Off => None,
        }
    }

    pub(super) fn set_teps(&self, teps: Teps) {
        self.teps.store(teps.pack(), Relaxed);
    }

    /// TCP_ENO_RAW: the contents of the option to send as they are. `None` if raw mode is off.
    pub(crate) fn raw(&self) -> Option<RawContents> {
        if !self.has_raw.load(Acquire) {
            return None;
        }
        *self.raw.lock()
    }

    pub(super) fn set_raw(&self, raw: Option<RawContents>) {
        *self.raw.lock() = raw;
        self.has_raw.store(raw.is_some(), Release);
    }

    /// What the global suboption is to say.
    pub(crate) fn global(&self) -> Global {
        Global::unpack(self.global.load(Relaxed))
    }

    /// To be called with the socket locked, by which it is read first.
    pub(super) fn set_global(&self, global: Global) {
        self.global.store(global.pack(), Relaxed);
    }

    /// TCP_ENO_SELF_AWARE.
    pub(crate) fn aware(&self) -> Aware {
        self.global().aware
    }

    /// TCP_ENO_ROLEOVERRIDE: what an active opener plays. A passive opener is always host B.
    pub(crate) fn role(&self) -> Role {
        self.global().role
    }

    /// TCP_ENO_MANDATORY: whether the connection is to be aborted if ENO does not succeed.
    pub(crate) fn mandatory(&self) -> bool {
        self.mandatory.load(Relaxed)
    }

    pub(super) fn set_mandatory(&self, mandatory: bool) {
        self.mandatory.store(mandatory, Relaxed);
    }

    /// TCP_CRYPT_NORESUME: whether sessions are neither proposed nor agreed to be resumed.
    pub(crate) fn no_resume(&self) -> bool {
        self.no_resume.load(Relaxed)
    }

    pub(super) fn set_no_resume(&self, no_resume: bool) {
        self.no_resume.store(no_resume, Relaxed);
    }

    /// TCP_CRYPT_NOCACHE: whether the session that may follow is not kept.
    pub(crate) fn no_cache(&self) -> bool {
        self.no_cache.load(Relaxed)
    }

    pub(super) fn set_no_cache(&self, no_cache: bool) {
        self.no_cache.store(no_cache, Relaxed);
    }

    /// TCP_CRYPT_RESUME_NONCE_LEN, in bytes.
    pub(crate) fn nonce_len(&self) -> u32 {
        self.nonce_len.load(Relaxed)
    }

    pub(super) fn set_nonce_len(&self, len: u32) {
        self.nonce_len.store(len, Relaxed);
    }

    /// TCP_CRYPT_ACONF: what is offered in role A. `None` for the namespace's list.
    pub(crate) fn aconf(&self) -> Option<AeadList> {
        aeads(&self.aconf)
    }

    pub(super) fn set_aconf(&self, list: Option<AeadList>) {
        set_aeads(&self.aconf, list);
    }

    /// TCP_CRYPT_BCONF: what is accepted in role B. `None` for the namespace's list.
    pub(crate) fn bconf(&self) -> Option<AeadList> {
        aeads(&self.bconf)
    }

    pub(super) fn set_bconf(&self, list: Option<AeadList>) {
        set_aeads(&self.bconf, list);
    }
}

fn aeads(word: &Atomic<u64>) -> Option<AeadList> {
    match word.load(Relaxed) {
        0 => None,
        bits => Some(Packed::from_bits(bits).unpack()),
    }
}

fn set_aeads(word: &Atomic<u64>, list: Option<AeadList>) {
    let bits = list.map_or(0, |list| Packed::new(&list).to_bits());
    word.store(bits, Relaxed);
}
