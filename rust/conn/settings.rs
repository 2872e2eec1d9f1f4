// SPDX-License-Identifier: GPL-2.0

//! What a namespace can be told: the names and defaults of the settings, and how lists of AEADs are written.
//!
//! The values are in [`NetState`](crate::net::pernet::NetState), the sysctls in [`sysctl`](crate::net::sysctl).

use core::fmt;

use crate::proto::{
    handshake::AeadList,
    ids::Aead, //
};

/// The ports that stay plain by default, ascending. What is on most of them is encrypted from the first byte, so that
/// encrypting it again costs and gives nothing: from the IANA registry, and 6679 and 8443, which are used for it all the
/// same. On the others the kernel itself takes data out of TCP's queue, past the socket's functions: it would find
/// ciphertext there.
pub(crate) const PLAIN_PORTS: &[u16] = &[
    22,    // ssh
    443,   // https
    465,   // submissions
    563,   // nntps
    614,   // sshell
    636,   // ldaps
    684,   // corba-iiop-ssl
    695,   // ieee-mms-ssl
    830,   // netconf-ssh
    853,   // domain-s
    989,   // ftps-data
    990,   // ftps
    992,   // telnets
    993,   // imaps
    994,   // ircs
    995,   // pop3s
    2083,  // radsec
    2376,  // docker-s
    2484,  // ttc-ssl
    3260,  // iscsi-target, read in the kernel
    3269,  // msft-gc-ssl
    4420,  // nvme, read in the kernel
    5061,  // sips
    5223,  // XMPP and push messages over TLS
    5349,  // turns, stuns
    5671,  // amqps
    5684,  // coaps
    5868,  // diameters
    5986,  // wsmans
    6443,  // sun-sr-https, the Kubernetes API
    6513,  // netconf-tls
    6514,  // syslog-tls
    6679,  // IRC over TLS
    6697,  // ircs-u
    8009,  // nvme-disc, read in the kernel
    8443,  // pcsync-https
    8883,  // secure-mqtt
    16385, // rds over TCP, read in the kernel
];

/// The name of an AEAD in a sysctl.
pub(crate) const fn name(aead: Aead) -> &'static str {
    match aead {
        Aead::Aes128Gcm => "aes128-gcm",
        Aead::Aes256Gcm => "aes256-gcm",
        Aead::ChaCha20Poly1305 => "chacha20-poly1305",
    }
}

/// No list of names that [`parse`] accepts is longer, if its names are separated by one space each.
pub(crate) const MAX_TEXT_LEN: usize = 64;

/// The list that `text` names: names separated by white space, in order of preference, none twice.
///
/// `None` if it is anything else: empty, too long, or with a name that is unknown.
pub(crate) fn parse(text: &[u8]) -> Option<AeadList> {
    let mut aeads = [Aead::Aes128Gcm; AeadList::MAX];
    let mut len = 0;
    for word in text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
    {
        let aead = AeadList::default()
            .iter()
            .find(|aead| name(*aead).as_bytes() == word)?;
        if aeads.get(..len)?.contains(&aead) {
            return None;
        }
        *aeads.get_mut(len)? = aead;
        len += 1;
    }
    AeadList::from_slice(aeads.get(..len)?)
}

/// Writes `list` as [`parse`] reads it.
pub(crate) fn format(list: &AeadList, out: &mut dyn fmt::Write) -> fmt::Result {
    for (i, aead) in list.iter().enumerate() {
        if i > 0 {
            out.write_str(" ")?;
        }
        out.write_str(name(aead))?;
    }
    Ok(())
}

/// A list in one word, so that it is read and replaced as a whole without a lock: the first AEAD in the lowest byte, a
/// zero byte after the last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(u64);

impl Packed {
    /// `list` packed.
    pub(crate) fn new(list: &AeadList) -> Self {
        let mut bytes = [0; AeadList::MAX];
        for (byte, aead) in bytes.iter_mut().zip(list.iter()) {
            // Every implemented AEAD has an identifier below 256, which is never 0.
            *byte = aead.id().to_le_bytes()[0];
        }
        Self(u64::from_le_bytes(bytes))
    }

    /// The word.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`Packed::to_bits`] gave.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The list. Bytes that are no AEAD's are left out.
    pub(crate) fn unpack(self) -> AeadList {
        let mut aeads = [Aead::Aes128Gcm; AeadList::MAX];
        let mut len = 0;
        for aead in self
            .0
            .to_le_bytes()
            .into_iter()
            .filter_map(|id| Aead::from_id(id.into()))
        {
            if let Some(place) = aeads.get_mut(len) {
                *place = aead;
                len += 1;
            }
        }
        aeads
            .get(..len)
            .and_then(AeadList::from_slice)
            .unwrap_or_default()
    }
}
