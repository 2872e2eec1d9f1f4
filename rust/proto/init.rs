// SPDX-License-Identifier: GPL-2.0

//! The key-exchange messages Init1 and Init2 (RFC 8548, 4.1), with which each host's data stream
//! begins.
//!
//! [`message_len`] finds the end of a message in a stream, [`Init1`] and [`Init2`] read and write
//! it. What the messages do is in [`super::handshake`].

use super::{
    agreement::PublicKey,
    ids::{
        Aead,
        Tep,
        INIT1_MAGIC,
        INIT2_MAGIC,
        NONCE_LEN, //
    },
    wire::{
        Bytes,
        Reader, //
    },
};

/// The longest message that is accepted. It leaves plenty of room for the ignored bytes at its end,
/// and bounds what a peer makes us keep.
pub const MAX_INIT_LEN: usize = 4096;

/// The longest message that is sent: an Init1 with a full [`AeadList`] and the longest public key.
pub const MAX_OWN_INIT_LEN: usize = 9 + 2 * AeadList::MAX + NONCE_LEN + Tep::MAX_PUBLIC_LEN;

/// Why the key exchange failed: the connection has to be aborted with an error that is not
/// end-of-file (RFC 8548, 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The stream does not begin with the magic number of the expected message.
    BadMagic,
    /// `message_len` is too small for the fields, above [`MAX_INIT_LEN`], or not the length of what
    /// is there.
    BadLength,
    /// Host A offers no cipher that host B accepts.
    NoCommonCipher,
    /// Host B chose a cipher that host A did not offer.
    CipherNotOffered,
    /// The peer's public key is not encoded as it must be, is not a point of the curve, or leads to
    /// the all-zero shared secret (RFC 8548, 5).
    BadKey,
}

/// Which message is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// From host A.
    Init1,
    /// From host B.
    Init2,
}

impl Kind {
    const fn magic(self) -> u32 {
        match self {
            Kind::Init1 => INIT1_MAGIC,
            Kind::Init2 => INIT2_MAGIC,
        }
    }

    /// The length of the shortest message for `tep`: an Init1 with an empty list of ciphers (which
    /// is refused as such), or an Init2.
    const fn min_len(self, tep: Tep) -> usize {
        let before_nonce: usize = match self {
            Kind::Init1 => 9,
            Kind::Init2 => 10,
        };
        before_nonce
            .saturating_add(NONCE_LEN)
            .saturating_add(tep.public_len())
    }
}

/// The length of the message that the stream begins with, of which `prefix` is there so far (it may
/// be longer). `tep` is the negotiated TEP.
///
/// `Ok(None)` as long as that can't be told: eight bytes are needed. A wrong magic number is an
/// error with its first wrong byte.
pub fn message_len(kind: Kind, tep: Tep, prefix: &[u8]) -> Result<Option<usize>, Error> {
    if prefix
        .iter()
        .zip(kind.magic().to_be_bytes())
        .any(|(have, want)| *have != want)
    {
        return Err(Error::BadMagic);
    }
    let mut fields = Reader::new(prefix);
    let (Some(_magic), Some(len)) = (fields.be32(), fields.be32()) else {
        return Ok(None);
    };
    let len = usize::try_from(len).map_err(|_| Error::BadLength)?;
    if (kind.min_len(tep)..=MAX_INIT_LEN).contains(&len) {
        Ok(Some(len))
    } else {
        Err(Error::BadLength)
    }
}

/// The fields of `message`, a whole message, after the first two.
fn fields(kind: Kind, tep: Tep, message: &[u8]) -> Result<Reader<'_>, Error> {
    if message_len(kind, tep, message)? != Some(message.len()) {
        return Err(Error::BadLength);
    }
    let mut fields = Reader::new(message);
    fields.take(8).ok_or(Error::BadLength)?;
    Ok(fields)
}

/// AEAD algorithms in order of preference: what host A offers, or what host B accepts. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AeadList([Option<Aead>; AeadList::MAX]);

impl AeadList {
    /// No list is longer.
    pub const MAX: usize = 8;

    /// The list of `aeads`, `None` if that is empty or longer than [`AeadList::MAX`].
    pub fn from_slice(aeads: &[Aead]) -> Option<AeadList> {
        if aeads.is_empty() || aeads.len() > Self::MAX {
            return None;
        }
        let mut list = [None; Self::MAX];
        for (to, from) in list.iter_mut().zip(aeads) {
            *to = Some(*from);
        }
        Some(AeadList(list))
    }

    /// The algorithms in order.
    pub fn iter(&self) -> impl Iterator<Item = Aead> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Whether `aead` is among them.
    pub fn contains(&self, aead: Aead) -> bool {
        self.iter().any(|member| member == aead)
    }
}

impl Default for AeadList {
    /// All that are implemented, in the order of table 5 of RFC 8548.
    fn default() -> Self {
        AeadList([
            Some(Aead::Aes128Gcm),
            Some(Aead::Aes256Gcm),
            Some(Aead::ChaCha20Poly1305),
            None,
            None,
            None,
            None,
            None,
        ])
    }
}

/// A message to send: its last byte has to be in a segment with PSH (RFC 8548, 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message(Bytes<MAX_OWN_INIT_LEN>);

impl Message {
    /// The whole message.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn new(kind: Kind, fields: &[&[u8]]) -> Message {
        let len = fields.iter().fold(8, |len: u32, field| {
            // The longest own message is MAX_OWN_INIT_LEN.
            len.saturating_add(u32::try_from(field.len()).unwrap_or(u32::MAX))
        });
        let head = kind
            .magic()
            .to_be_bytes()
            .into_iter()
            .chain(len.to_be_bytes());
        Message(Bytes::collect(
            head.chain(fields.iter().copied().flatten().copied()),
        ))
    }
}

/// Init1 as received by host B.
pub struct Init1<'a> {
    ciphers: Reader<'a>,
    /// `N_A`.
    pub nonce: &'a [u8; NONCE_LEN],
    /// `Pub_A`.
    pub public: PublicKey,
}

impl<'a> Init1<'a> {
    /// Reads a whole message. Bytes after `Pub_A` are permitted and ignored.
    pub fn parse(tep: Tep, message: &'a [u8]) -> Result<Self, Error> {
        let mut fields = fields(Kind::Init1, tep, message)?;
        let nciphers = usize::from(fields.u8().ok_or(Error::BadLength)?);
        let ciphers = fields.take(nciphers.saturating_mul(2));
        Ok(Self {
            ciphers: Reader::new(ciphers.ok_or(Error::BadLength)?),
            nonce: fields.array().ok_or(Error::BadLength)?,
            public: PublicKey::parse(tep, &mut fields)?,
        })
    }

    /// Whether `sym_cipher_list` has `aead`. Unknown identifiers in the list don't matter.
    pub fn offers(&self, aead: Aead) -> bool {
        let mut ciphers = self.ciphers;
        core::iter::from_fn(|| ciphers.be16()).any(|id| id == aead.id())
    }

    /// Writes the message, without ignored bytes.
    pub fn emit(offer: &AeadList, nonce: &[u8; NONCE_LEN], public: &PublicKey) -> Message {
        let ids = offer.iter().flat_map(|aead| aead.id().to_be_bytes());
        let ciphers = Bytes::<{ 2 * AeadList::MAX }>::collect(ids);
        // At most `AeadList::MAX`, which is 8.
        let nciphers = u8::try_from(offer.iter().count()).unwrap_or(u8::MAX);
        Message::new(
            Kind::Init1,
            &[
                &[nciphers],
                ciphers.as_bytes(),
                nonce,
                public.emit().as_bytes(),
            ],
        )
    }
}

/// Init2 as received by host A.
pub struct Init2<'a> {
    /// `sym_cipher`, if implemented.
    pub cipher: Option<Aead>,
    /// `N_B`.
    pub nonce: &'a [u8; NONCE_LEN],
    /// `Pub_B`.
    pub public: PublicKey,
}

impl<'a> Init2<'a> {
    /// Reads a whole message. Bytes after `Pub_B` are permitted and ignored.
    pub fn parse(tep: Tep, message: &'a [u8]) -> Result<Self, Error> {
        let mut fields = fields(Kind::Init2, tep, message)?;
        Ok(Self {
            cipher: Aead::from_id(fields.be16().ok_or(Error::BadLength)?),
            nonce: fields.array().ok_or(Error::BadLength)?,
            public: PublicKey::parse(tep, &mut fields)?,
        })
    }

    /// Writes the message, without ignored bytes.
    pub fn emit(cipher: Aead, nonce: &[u8; NONCE_LEN], public: &PublicKey) -> Message {
        Message::new(
            Kind::Init2,
            &[&cipher.id().to_be_bytes(), nonce, public.emit().as_bytes()],
        )
    }
}
