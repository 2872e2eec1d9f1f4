// SPDX-License-Identifier: GPL-2.0

//! The key schedule (RFC 8548, 3.3, 3.4, 3.6, 3.8): a type for each stage, named as in the RFC.
//!
//! ```text
//! PRK = ss[0] ---> ss[1] ---> ...                SessionSecret
//!         +-----> session_id[0]
//!         `-----> mk[0] ---> mk[1] ---> ...       MasterKey, one for each key generation
//!                   +-----> k_ab[0] = K | NR      TrafficKey, NonceRandomizer
//!                   `-----> k_ba[0] = K | NR
//! ```

use super::{
    hkdf::{
        cprf,
        Hmac, //
    },
    ids::{
        Aead,
        Role,
        CONST_KEY_A,
        CONST_KEY_B,
        CONST_NEXTK,
        CONST_REKEY,
        CONST_SESSID,
        K_LEN,
        SESSION_ID_LEN, //
    },
    secret::Secret,
};

/// `sn[0]`: the session nonce of a session that was not resumed is empty (RFC 8548, 3.3).
const FRESH: &[u8] = &[];

/// A session secret `ss[i]`.
pub struct SessionSecret(Secret<K_LEN>);

impl SessionSecret {
    /// `ss[0] = PRK`.
    pub fn from_prk(prk: Secret<K_LEN>) -> Self {
        Self(prk)
    }

    /// `ss[i+1] = CPRF(ss[i], CONST_NEXTK, K_LEN)`; `ss[i]` is wiped.
    pub fn next<H: Hmac>(self) -> SessionSecret {
        SessionSecret(cprf_k::<H>(&self.0, CONST_NEXTK, &[]))
    }

    /// `session_id[0] = TEP-byte | CPRF(ss[0], CONST_SESSID, K_LEN)`.
    pub fn session_id<H: Hmac>(&self, tep_byte: u8) -> [u8; SESSION_ID_LEN] {
        let mut id = [tep_byte; SESSION_ID_LEN];
        cprf::<H>(&self.0, CONST_SESSID, FRESH, id.iter_mut().skip(1));
        id
    }

    /// `mk[0] = CPRF(ss[0], CONST_REKEY, K_LEN)`.
    pub fn master<H: Hmac>(&self) -> MasterKey {
        MasterKey(cprf_k::<H>(&self.0, CONST_REKEY, FRESH))
    }
}

/// A master key `mk[j]`, that is, key generation `j`.
pub struct MasterKey(Secret<K_LEN>);

impl MasterKey {
    /// `mk[j+1] = CPRF(mk[j], CONST_REKEY, K_LEN)`; `mk[j]` is wiped.
    pub fn next<H: Hmac>(self) -> MasterKey {
        MasterKey(cprf_k::<H>(&self.0, CONST_REKEY, &[]))
    }

    /// `k_ab[j]` or `k_ba[j]`: `CPRF(mk[j], CONST_KEY_A or CONST_KEY_B, ae_key_len +
    /// ae_nonce_len)`.
    pub fn traffic<H: Hmac>(&self, aead: Aead, direction: Direction) -> TrafficKey {
        let mut key = match aead {
            Aead::Aes128Gcm => Key::K16(Secret::zeroed()),
            Aead::Aes256Gcm | Aead::ChaCha20Poly1305 => Key::K32(Secret::zeroed()),
        };
        let mut randomizer = Secret::zeroed();
        let constant = match direction {
            Direction::AtoB => CONST_KEY_A,
            Direction::BtoA => CONST_KEY_B,
        };
        // The first ae_key_len bytes are the key, the following ae_nonce_len bytes the nonce
        // randomizer.
        let okm = key.expose_mut().iter_mut().chain(randomizer.expose_mut());
        cprf::<H>(&self.0, constant, &[], okm);
        TrafficKey {
            key,
            randomizer: NonceRandomizer(randomizer),
        }
    }
}

/// `CPRF(key, constant | session_nonce, K_LEN)`.
fn cprf_k<H: Hmac>(key: &Secret<K_LEN>, constant: u8, session_nonce: &[u8]) -> Secret<K_LEN> {
    let mut okm = Secret::zeroed();
    cprf::<H>(key, constant, session_nonce, okm.expose_mut());
    okm
}

/// Which way data flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From host A to host B: `k_ab`.
    AtoB,
    /// From host B to host A: `k_ba`.
    BtoA,
}

impl Role {
    /// The direction in which a host of this role sends.
    pub const fn tx_direction(self) -> Direction {
        match self {
            Role::A => Direction::AtoB,
            Role::B => Direction::BtoA,
        }
    }

    /// The direction in which a host of this role receives.
    pub const fn rx_direction(self) -> Direction {
        match self {
            Role::A => Direction::BtoA,
            Role::B => Direction::AtoB,
        }
    }
}

/// A traffic key `k_ab[j]` or `k_ba[j]`: the AEAD key K and the nonce randomizer NR (RFC 8548, 3.6,
/// figure 4).
pub struct TrafficKey {
    key: Key,
    randomizer: NonceRandomizer,
}

/// K, of `ae_key_len` bytes.
enum Key {
    K16(Secret<16>),
    K32(Secret<32>),
}

impl Key {
    fn expose_mut(&mut self) -> &mut [u8] {
        match self {
            Key::K16(key) => key.expose_mut(),
            Key::K32(key) => key.expose_mut(),
        }
    }
}

impl TrafficKey {
    /// K: `ae_key_len` bytes, to be given to the AEAD.
    pub fn key(&self) -> &[u8] {
        match &self.key {
            Key::K16(key) => key.expose(),
            Key::K32(key) => key.expose(),
        }
    }

    /// NR, once the AEAD has its key, which is wiped.
    pub fn into_randomizer(self) -> NonceRandomizer {
        self.randomizer
    }
}

/// A nonce randomizer NR (RFC 8548, 3.6).
pub struct NonceRandomizer(Secret<{ Aead::NONCE_LEN }>);

impl NonceRandomizer {
    /// The AEAD nonce `N = frame_ID XOR NR` (RFC 8548, 3.6 and 4.2.3) of the frame whose control
    /// byte is at `offset` of the TCP data stream, counted from 0 and with the Init message at its
    /// start.
    ///
    /// Two frames must never have the same nonce under the same key: what is retransmitted is the
    /// same ciphertext.
    pub fn nonce(&self, offset: u64) -> [u8; Aead::NONCE_LEN] {
        let mut nonce = *self.0.expose();
        // The frame ID is the offset, big-endian, with zeros before it.
        for (to, from) in nonce
            .iter_mut()
            .rev()
            .zip(offset.to_be_bytes().iter().rev())
        {
            *to ^= from;
        }
        nonce
    }
}
