// SPDX-License-Identifier: GPL-2.0

//! What a namespace can be told: the names, limits and defaults of the settings, and how lists are written.
//!
//! The values are in [`NetState`](crate::net::pernet::NetState), the sysctls in [`sysctl`](crate::net::sysctl).

use core::{
    fmt,
    ops::RangeInclusive, //
};

use crate::proto::{
    eno::TepList,
    handshake::AeadList,
    ids::{
        Aead,
        Tep, //
    },
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

/// A number that may be set.
pub(crate) struct Number {
    /// What it is when the namespace is new.
    pub(crate) default: u32,
    /// What it may be.
    pub(crate) allowed: RangeInclusive<u32>,
}

/// How often a SYN is sent again with ENO. The SYNs after that are without it (RFC 8547 section 4.6 allows that to get
/// past middleboxes that drop segments with the option), and the connection is plain.
///
/// Each costs every connection over such a path a second, until the path is remembered (see
/// [`failures`](super::failures)): too many, and programs give up first. Too few, and packets that are lost for other
/// reasons make connections plain that could have been encrypted: of those whose path loses one packet in a hundred,
/// one in 10,000 for 1, one in a million for 2. 2 is 3 seconds, and what Multipath TCP has for the same question
/// (`net.mptcp.syn_retrans_before_tcp_fallback`). 127 is as many as TCP can be told to send: never left out.
pub(crate) const SYN_RETRANSMISSIONS: Number = Number {
    default: 2,
    allowed: 0..=127,
};

/// How long it is remembered that ENO does not work to a destination, in seconds; 0: not at all. An hour: a path that
/// drops ENO costs 3 seconds in an hour, and one that was taken for such is used without encryption for no longer.
pub(crate) const FAILURE_LIFETIME: Number = Number {
    default: 3600,
    allowed: 0..=7 * 24 * 3600,
};

/// Of how many destinations it is remembered. Each takes 128 bytes, which are charged to nobody: that is the reason for
/// the limit.
pub(crate) const FAILURE_ENTRIES: Number = Number {
    default: 1024,
    allowed: 1..=16384,
};

/// With how many connections that wait for the peer's keys listeners go on to answer offers. Each takes 1.2 KiB more
/// than a plain one, which a peer can have for three segments: 16384 are 20 MiB. 0: none is answered.
pub(crate) const MAX_EXCHANGES: Number = Number {
    default: 16384,
    allowed: 0..=1 << 20,
};

/// How many sessions that may be resumed are kept. Each takes half a KiB, which is charged to nobody. 0: none.
pub(crate) const CACHE_ENTRIES: Number = Number {
    default: 4096,
    allowed: 0..=1 << 20,
};

/// How long such a session is kept, in seconds. It is as long that a break-in gives away, with the secret of a session that
/// may follow, what that would be encrypted with; what is past is not in it (RFC 8548 section 3.3). Two hours, as OpenSSL
/// keeps those of TLS.
pub(crate) const CACHE_LIFETIME: Number = Number {
    default: 7200,
    allowed: 1..=7 * 24 * 3600,
};

/// After how many bytes of data a key is changed; 0: never for that. It can be any number: what an AEAD demands is less
/// than every 2^38 bytes, and is done in any case (`proto/rekey.rs`). An attacker who sees 2^30 bytes under one key of AES
/// has an advantage of some 2^-75 from it. A change costs as much as to seal some 20 KiB, so that it does not show.
pub(crate) const REKEY_BYTES: u64 = 1 << 30;

/// After how many seconds of use a key is changed, as soon as there is something to send; 0: never for that. An hour, as
/// RFC 4253, section 9 recommends it for SSH (with a gigabyte).
pub(crate) const REKEY_SECONDS: Number = Number {
    default: 3600,
    allowed: 0..=30 * 24 * 3600,
};

/// A list that is a setting: of distinct things, each with a name and a number, in order of preference, not empty.
pub(crate) trait List: Sized + Default {
    /// What it is a list of.
    type Item: Copy;

    /// None if it can't be a list.
    fn from_slice(items: &[Self::Item]) -> Option<Self>;

    /// In order.
    fn items(&self) -> impl Iterator<Item = Self::Item> + '_;

    /// The number, which is not 0.
    fn number(item: Self::Item) -> u8;

    /// What has that number, if it is implemented.
    fn item(number: u8) -> Option<Self::Item>;

    /// What it is called.
    fn name(item: Self::Item) -> &'static str;
}

impl List for AeadList {
    type Item = Aead;

    fn from_slice(items: &[Aead]) -> Option<Self> {
        AeadList::from_slice(items)
    }

    fn items(&self) -> impl Iterator<Item = Aead> + '_ {
        self.iter()
    }

    fn number(item: Aead) -> u8 {
        // Every implemented AEAD has an identifier below 256.
        item.id().to_le_bytes()[0]
    }

    fn item(number: u8) -> Option<Aead> {
        Aead::from_id(number.into())
    }

    fn name(item: Aead) -> &'static str {
        match item {
            Aead::Aes128Gcm => "aes128-gcm",
            Aead::Aes256Gcm => "aes256-gcm",
            Aead::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }
}

impl List for TepList {
    type Item = Tep;

    fn from_slice(items: &[Tep]) -> Option<Self> {
        TepList::from_slice(items)
    }

    fn items(&self) -> impl Iterator<Item = Tep> + '_ {
        self.iter()
    }

    fn number(item: Tep) -> u8 {
        item.id()
    }

    fn item(number: u8) -> Option<Tep> {
        Tep::from_id(number)
    }

    fn name(item: Tep) -> &'static str {
        match item {
            Tep::P256 => "p256",
            Tep::P521 => "p521",
            Tep::X25519 => "curve25519",
            Tep::X448 => "curve448",
        }
    }
}

/// No list is longer.
const MAX_LEN: usize = 8;

/// No list of names that [`parse`] accepts is longer, if its names are separated by one space each.
pub(crate) const MAX_TEXT_LEN: usize = 64;

/// The list that `text` names: names separated by white space, in order of preference, none twice.
///
/// `None` if it is anything else: empty, too long, or with a name that is unknown.
pub(crate) fn parse<L: List>(text: &[u8]) -> Option<L> {
    let mut packed = [0; MAX_LEN];
    let words = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        let number = (1..=u8::MAX)
            .find(|number| L::item(*number).is_some_and(|item| L::name(item).as_bytes() == word))?;
        if packed.contains(&number) {
            return None;
        }
        *packed.get_mut(at)? = number;
    }
    Packed(u64::from_le_bytes(packed)).list()
}

/// Writes `list` as [`parse`] reads it.
pub(crate) fn format<L: List>(list: &L, out: &mut dyn fmt::Write) -> fmt::Result {
    for (i, item) in list.items().enumerate() {
        if i > 0 {
            out.write_str(" ")?;
        }
        out.write_str(L::name(item))?;
    }
    Ok(())
}

/// A list in one word, so that it is read and replaced as a whole without a lock: the number of the first in the lowest
/// byte, a zero byte after the last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(u64);

impl Packed {
    /// `list` packed.
    pub(crate) fn new<L: List>(list: &L) -> Self {
        let mut bytes = [0; MAX_LEN];
        for (byte, item) in bytes.iter_mut().zip(list.items()) {
            *byte = L::number(item);
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

    /// The list.
    pub(crate) fn unpack<L: List>(self) -> L {
        self.list().unwrap_or_default()
    }

    /// The list, if it is one. Bytes that are nothing's number are left out.
    fn list<L: List>(self) -> Option<L> {
        let numbers = self.0.to_le_bytes();
        let mut known = numbers.into_iter().filter_map(L::item);
        let mut items = [known.next()?; MAX_LEN];
        let mut len = 1;
        for (place, item) in items.iter_mut().skip(1).zip(known) {
            *place = item;
            len += 1;
        }
        L::from_slice(items.get(..len)?)
    }
}
