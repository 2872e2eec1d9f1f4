// SPDX-License-Identifier: GPL-2.0

//! Every number that RFC 8547 and RFC 8548 assign, with its section, and the types that stand for
//! them.

/// TCP option kind of TCP-ENO (RFC 8547, 4.1).
pub const ENO_KIND: u8 = 69;

/// TCP option kinds that the list walk must know (RFC 9293, 3.1).
pub const TCPOPT_EOL: u8 = 0;
/// The other option without a length byte (RFC 9293, 3.1).
pub const TCPOPT_NOP: u8 = 1;
/// TCP Fast Open (RFC 7413, 2.1 and its appendix for the experimental form).
pub const TCPOPT_FASTOPEN: u8 = 34;
/// Shared experimental option kind, followed by a two-byte magic number (RFC 6994).
pub const TCPOPT_EXP: u8 = 254;
/// Magic number of the experimental TCP Fast Open option (RFC 7413, appendix).
pub const FASTOPEN_MAGIC: u16 = 0xf989;

/// All TCP options of a segment together have at most this many bytes (RFC 9293, 3.1).
pub const MAX_TCP_OPTIONS: usize = 40;

/// The "v" bit of an initial suboption byte (RFC 8547, 4.1, figure 4).
pub const SUBOPTION_V: u8 = 0x80;
/// The "glt" bits of an initial suboption byte (RFC 8547, 4.1, figure 4).
pub const SUBOPTION_GLT: u8 = 0x7f;
/// Values of glt from here on are TEP identifiers (RFC 8547, 4.1, table 1).
pub const FIRST_TEP: u8 = 0x20;
/// The bits of a length byte that hold the length of the data less one (RFC 8547, 4.4, figure 6).
pub const LENGTH_MASK: u8 = 0x1f;
/// Global suboption: passive role bit "b" (RFC 8547, 4.2, figure 5).
pub const GLOBAL_B: u8 = 0x01;
/// Global suboption: application-aware bit "a" (RFC 8547, 4.2, figure 5).
pub const GLOBAL_A: u8 = 0x02;

/// `CONST_NEXTK` (RFC 8548, 4.3).
pub const CONST_NEXTK: u8 = 0x01;
/// `CONST_SESSID` (RFC 8548, 4.3).
pub const CONST_SESSID: u8 = 0x02;
/// `CONST_REKEY` (RFC 8548, 4.3).
pub const CONST_REKEY: u8 = 0x03;
/// `CONST_KEY_A` (RFC 8548, 4.3).
pub const CONST_KEY_A: u8 = 0x04;
/// `CONST_KEY_B` (RFC 8548, 4.3).
pub const CONST_KEY_B: u8 = 0x05;
/// `CONST_RESUME` (RFC 8548, 4.3).
pub const CONST_RESUME: u8 = 0x06;
/// `INIT1_MAGIC` (RFC 8548, 4.3).
pub const INIT1_MAGIC: u32 = 0x1510_1a0e;
/// `INIT2_MAGIC` (RFC 8548, 4.3).
pub const INIT2_MAGIC: u32 = 0x0971_05e0;

/// `N_A_LEN` and `N_B_LEN` of all TEPs of RFC 8548 (section 5).
pub const NONCE_LEN: usize = 32;
/// `K_LEN` of all TEPs of RFC 8548 (section 5).
pub const K_LEN: usize = 32;
/// Length of a coordinate of P-256 and of ECDHE-P256's shared secret (RFC 8548, 5; SEC 1, 2.3.5).
pub const P256_LEN: usize = 32;
/// Length of a coordinate of P-521 and of ECDHE-P521's shared secret (RFC 8548, 5; SEC 1, 2.3.5).
pub const P521_LEN: usize = 66;
/// Length of a public key and of a shared secret of ECDHE-Curve25519 (RFC 8548, 5).
pub const X25519_LEN: usize = 32;
/// Length of a public key and of a shared secret of ECDHE-Curve448 (RFC 8548, 5).
pub const X448_LEN: usize = 56;
/// Length of a session ID: the TEP byte and `K_LEN` (RFC 8548, 3.4).
pub const SESSION_ID_LEN: usize = 1 + K_LEN;

/// Length of one half of a resumption identifier (RFC 8548, 3.5).
pub const RESUME_HALF_LEN: usize = 9;
/// Length of a resumption identifier `resume[i]` (RFC 8548, 3.5).
pub const RESUME_LEN: usize = 2 * RESUME_HALF_LEN;
/// The longest resumption nonce (RFC 8548, 3.5).
pub const RESUME_NONCE_MAX: usize = 8;

/// A TEP that is implemented (RFC 8548, 7, table 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tep {
    /// `TCPCRYPT_ECDHE_P256`.
    P256,
    /// `TCPCRYPT_ECDHE_P521`.
    P521,
    /// `TCPCRYPT_ECDHE_Curve25519`.
    X25519,
    /// `TCPCRYPT_ECDHE_Curve448`.
    X448,
}

impl Tep {
    /// All, in the order of table 2 in section 5 of RFC 8548: the required, the recommended, the
    /// optional ones.
    ///
    /// Curve25519 is the cheapest too, and safe against side channels (8.3). Curve448 is safe in
    /// the same way and stronger, but costs several times as much. The NIST curves are hard to
    /// compute in constant time, which the kernel's code for them is not in all its parts.
    pub const ALL: [Tep; 4] = [Tep::X25519, Tep::X448, Tep::P256, Tep::P521];

    /// What is offered and accepted where nothing else was asked for: the one that every other
    /// implementation has to have as well (RFC 8548, 5). More of them would be bytes in every SYN
    /// for a peer that breaks the RFC, and would let any peer choose how much a connection costs.
    pub const DEFAULT: [Tep; 1] = [Tep::X25519];

    /// The longest [`Tep::public_len`].
    pub const MAX_PUBLIC_LEN: usize = Tep::P521.public_len();

    /// The longest [`Tep::shared_len`].
    pub const MAX_SHARED_LEN: usize = Tep::P521.shared_len();

    /// Its identifier: seven bits, the "v" bit clear.
    pub const fn id(self) -> u8 {
        match self {
            Tep::P256 => 0x21,
            Tep::P521 => 0x22,
            Tep::X25519 => 0x23,
            Tep::X448 => 0x24,
        }
    }

    /// The TEP of identifier `id` (the "v" bit clear), if implemented.
    pub const fn from_id(id: u8) -> Option<Tep> {
        match id {
            0x21 => Some(Tep::P256),
            0x22 => Some(Tep::P521),
            0x23 => Some(Tep::X25519),
            0x24 => Some(Tep::X448),
            _ => None,
        }
    }

    /// Length of `Pub_A` and `Pub_B` in Init1 and Init2 (RFC 8548, 5). For the NIST curves that is
    /// `pubkey_len` (two bytes), a byte with the sign of y, and x.
    pub const fn public_len(self) -> usize {
        match self {
            Tep::P256 => 3 + P256_LEN,
            Tep::P521 => 3 + P521_LEN,
            Tep::X25519 => X25519_LEN,
            Tep::X448 => X448_LEN,
        }
    }

    /// Length of the shared secret (RFC 8548, 5).
    pub const fn shared_len(self) -> usize {
        match self {
            Tep::P256 => P256_LEN,
            Tep::P521 => P521_LEN,
            Tep::X25519 => X25519_LEN,
            Tep::X448 => X448_LEN,
        }
    }
}

/// An AEAD algorithm (RFC 8548, 7, table 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aead {
    /// `AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `AEAD_AES_256_GCM`.
    Aes256Gcm,
    /// `AEAD_CHACHA20_POLY1305`.
    ChaCha20Poly1305,
}

impl Aead {
    /// `ae_nonce_len`, the same for all (RFC 8548, 6, table 3).
    pub const NONCE_LEN: usize = 12;
    /// By how much ciphertext is longer than plaintext, the same for all (RFC 5116, 5.1 and 5.2;
    /// RFC 8439, 2.8).
    pub const TAG_LEN: usize = 16;

    /// The `sym_cipher` identifier (RFC 8548, 7, table 5).
    pub const fn id(self) -> u16 {
        match self {
            Aead::Aes128Gcm => 0x0001,
            Aead::Aes256Gcm => 0x0002,
            Aead::ChaCha20Poly1305 => 0x0010,
        }
    }

    /// The algorithm with the `sym_cipher` identifier `id`, if implemented.
    pub const fn from_id(id: u16) -> Option<Aead> {
        match id {
            0x0001 => Some(Aead::Aes128Gcm),
            0x0002 => Some(Aead::Aes256Gcm),
            0x0010 => Some(Aead::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// `ae_key_len` (RFC 8548, 6, table 3).
    pub const fn key_len(self) -> usize {
        match self {
            Aead::Aes128Gcm => 16,
            Aead::Aes256Gcm | Aead::ChaCha20Poly1305 => 32,
        }
    }
}

/// Which of the two hosts this is (RFC 8547, 4.3): B is the one that sent b = 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The active opener, by default.
    A,
    /// The passive opener, always, and an active opener that was told so before a simultaneous
    /// open.
    B,
}
