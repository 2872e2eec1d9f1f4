// SPDX-License-Identifier: GPL-2.0

//! The key schedule (RFC 8548, 3.3 to 3.6, 3.8): a type for each stage, named as in the RFC.
//!
//! ```text
//! PRK = ss[0] ---> ss[1] ---> ...                SessionSecret
//!         |          +-----> resume[1]            named by its halves in the SYNs of a resumption
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
        CONST_RESUME,
        CONST_SESSID,
        K_LEN,
        RESUME_HALF_LEN,
        RESUME_NONCE_MAX,
        SESSION_ID_LEN, //
    },
    secret::Secret,
    wire::Bytes, //
};

/// The session nonce `sn[i]`: empty for a session that was not resumed (RFC 8548, 3.3), else the
/// resumption nonces of both ends (3.5).
pub type SessionNonce = Bytes<{ 2 * RESUME_NONCE_MAX }>;

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

    /// `session_id[i] = TEP-byte | CPRF(ss[i], CONST_SESSID | sn[i], K_LEN)`.
    pub fn session_id<H: Hmac>(&self, tep_byte: u8, nonce: &SessionNonce) -> [u8; SESSION_ID_LEN] {
        let mut id = [tep_byte; SESSION_ID_LEN];
        let okm = id.iter_mut().skip(1);
        cprf::<H>(&self.0, CONST_SESSID, nonce.as_bytes(), okm);
        id
    }

    /// `mk[0] = CPRF(ss[i], CONST_REKEY | sn[i], K_LEN)`.
    pub fn master<H: Hmac>(&self, nonce: &SessionNonce) -> MasterKey {
        MasterKey(cprf_k::<H>(&self.0, CONST_REKEY, nonce.as_bytes()))
    }

    /// `resume[i] = CPRF(ss[i], CONST_RESUME, 18)`: its first half, by which the original host A
    /// names the session, and the second, host B's (RFC 8548, 3.5).
    pub fn resume<H: Hmac>(&self) -> ([u8; RESUME_HALF_LEN], [u8; RESUME_HALF_LEN]) {
        let mut halves = ([0; RESUME_HALF_LEN], [0; RESUME_HALF_LEN]);
        let okm = halves.0.iter_mut().chain(halves.1.iter_mut());
        cprf::<H>(&self.0, CONST_RESUME, &[], okm);
        halves
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
