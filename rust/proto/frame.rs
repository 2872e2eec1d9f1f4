// SPDX-License-Identifier: GPL-2.0

//! Encryption frames (RFC 8548, 4.2).
//!
//! ```text
//! control (1) | clen (2) | ciphertext (clen) = AEAD(flags (1) | urgent (2, if URGp) | data)
//! ```
//!
//! The three bytes before the ciphertext are its associated data, *as they are on the wire*: a
//! receiver must take the bytes that came, not [`Header::to_bytes`], which has no reserved bits.
//! The nonce is [`super::keys::NonceRandomizer::nonce`].

use super::{
    ids::Aead,
    wire::Reader, //
};

/// Length of the control byte and `clen`, which are also the associated data (4.2, 4.2.2).
pub const HEADER_LEN: usize = 3;
/// By how much ciphertext is longer than plaintext.
pub const TAG_LEN: usize = Aead::TAG_LEN;
/// The shortest ciphertext: the flags byte alone.
pub const MIN_CLEN: usize = TAG_LEN + 1;
/// The longest ciphertext (3.6).
pub const MAX_CLEN: usize = 65535;
/// The most data that fits in one frame without an urgent field.
pub const MAX_DATA: usize = MAX_CLEN - TAG_LEN - 1;

/// Control byte: first frame of a new key generation (3.8); the other bits are reserved, zero when
/// sent and ignored.
const CONTROL_REKEY: u8 = 1;
/// Flags byte: last frame of the sender (3.7).
pub const FLAG_FINP: u8 = 1;
/// Flags byte: the urgent field is present (3.7); the other bits are reserved, zero when sent and
/// ignored.
pub const FLAG_URGP: u8 = 2;

/// What is wrong with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Too short for its fields: no ciphertext of a plaintext with a flags byte, or no room for the
    /// urgent field.
    TooShort,
}

/// The part of a frame before the ciphertext.
///
/// # Invariants
///
/// `clen` is at least [`MIN_CLEN`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    rekey: bool,
    clen: u16,
}

impl Header {
    /// Reads the first three bytes of a frame.
    ///
    /// Fails if the ciphertext is too short to be that of a plaintext, of which the flags byte is
    /// the least.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, Error> {
        let [control, high, low] = *bytes;
        let clen = u16::from_be_bytes([high, low]);
        if usize::from(clen) < MIN_CLEN {
            return Err(Error::TooShort);
        }
        // INVARIANT: just checked.
        Ok(Header {
            rekey: control & CONTROL_REKEY != 0,
            clen,
        })
    }

    /// The header of a frame with `len` bytes of data and no urgent field, `None` if that is more
    /// than [`MAX_DATA`].
    pub fn for_data(len: usize, rekey: bool) -> Option<Header> {
        let clen = len.checked_add(MIN_CLEN)?;
        // INVARIANT: just added.
        Some(Header {
            rekey,
            clen: u16::try_from(clen).ok()?,
        })
    }

    /// The header as it is sent.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let control = if self.rekey { CONTROL_REKEY } else { 0 };
        let [high, low] = self.clen.to_be_bytes();
        [control, high, low]
    }

    /// Whether this is the first frame of a new key generation.
    pub fn rekey(&self) -> bool {
        self.rekey
    }

    /// Length of the ciphertext, tag included.
    pub fn clen(&self) -> usize {
        usize::from(self.clen)
    }

    /// Length of the plaintext, flags byte included: at least 1.
    pub fn plain_len(&self) -> usize {
        self.clen().saturating_sub(TAG_LEN)
    }

    /// Length of the whole frame.
    pub fn frame_len(&self) -> usize {
        self.clen().saturating_add(HEADER_LEN)
    }
}

/// What is before the data in an opened plaintext (4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain {
    /// FINp: the authenticated end of the stream, after this frame's data.
    pub fin: bool,
    /// The urgent field, if URGp is set.
    pub urgent: Option<u16>,
    /// Where in the plaintext the data begins; it goes on to the end.
    pub data_at: usize,
}

/// Reads the start of a plaintext: `first` is its first three bytes, or all of it if it is shorter.
///
/// Fails if it is empty, or if URGp is set and the urgent field is not there.
pub fn parse_plain(first: &[u8]) -> Result<Plain, Error> {
    let mut fields = Reader::new(first);
    let flags = fields.u8().ok_or(Error::TooShort)?;
    let (urgent, data_at) = if flags & FLAG_URGP != 0 {
        (Some(fields.be16().ok_or(Error::TooShort)?), 3)
    } else {
        (None, 1)
    };
    Ok(Plain {
        fin: flags & FLAG_FINP != 0,
        urgent,
        data_at,
    })
}
