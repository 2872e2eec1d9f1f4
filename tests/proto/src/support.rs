// SPDX-License-Identifier: GPL-2.0

//! What several tests need: TCP headers, two ends that exchange keys, frames.

use std::{vec, vec::Vec};

use crate::{
    primitives::{open, seal, HostHmac, X25519},
    proto::{
        eno::{Answer, Negotiated, Offered, Policy, Reason, NON_SYN_OPTION},
        frame::{parse_plain, Header, Plain, FLAG_URGP, HEADER_LEN},
        handshake::{AeadList, AwaitInit1, AwaitInit2},
        ids::{Aead, Role, Tep},
        keys::{Direction, MasterKey, NonceRandomizer},
        session::Established,
    },
};

pub const TEPS: [Tep; 4] = [Tep::P256, Tep::P521, Tep::X25519, Tep::X448];
pub const AEADS: [Aead; 3] = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305];

/// An ENO option with these contents.
pub fn eno(contents: &[u8]) -> Vec<u8> {
    let mut option = vec![69, u8::try_from(contents.len() + 2).unwrap()];
    option.extend_from_slice(contents);
    option
}

/// The answer of a passive opener that knows no session to resume.
pub fn answer_to(policy: &Policy, syn_tcp_options: &[u8]) -> Result<Answer, Reason> {
    Answer::to(policy, syn_tcp_options, |_, _| None)
}

/// TCP options as a Linux SYN has them (MSS, SACK permitted, timestamps, NOP, window scale), then
/// `more`.
pub fn syn_options(more: &[u8]) -> Vec<u8> {
    let mut options = vec![
        2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    options.extend_from_slice(more);
    options
}

/// TCP options as a Linux ACK has them (NOP, NOP, timestamps), then `more`.
pub fn ack_options(more: &[u8]) -> Vec<u8> {
    let mut options = vec![1, 1, 8, 10, 0x11, 0x22, 0x33, 0x55, 0x66, 0x77, 0x88, 0x99];
    options.extend_from_slice(more);
    options
}

/// An Init1 with any `sym_cipher_list` and ignored bytes, written without the code under test.
pub fn init1(ciphers: &[u16], nonce: &[u8; 32], public: &[u8], ignored: &[u8]) -> Vec<u8> {
    let mut fields = vec![u8::try_from(ciphers.len()).unwrap()];
    fields.extend(ciphers.iter().flat_map(|id| id.to_be_bytes()));
    init([0x15, 0x10, 0x1a, 0x0e], &[&fields, nonce, public, ignored])
}

/// An Init2 with any `sym_cipher` and ignored bytes, written without the code under test.
pub fn init2(cipher: u16, nonce: &[u8; 32], public: &[u8], ignored: &[u8]) -> Vec<u8> {
    let fields: [&[u8]; 4] = [&cipher.to_be_bytes(), nonce, public, ignored];
    init([0x09, 0x71, 0x05, 0xe0], &fields)
}

fn init(magic: [u8; 4], fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    let len = u32::try_from(8 + fields.len()).unwrap();
    [&magic[..], &len.to_be_bytes(), &fields].concat()
}

/// Both ends of a connection with default policies, as the three-way handshake leaves them.
pub fn negotiate() -> (Negotiated, Negotiated) {
    negotiate_by(&Policy::new(Role::A), &Policy::new(Role::B))
}

/// The same with these policies, which must agree.
pub fn negotiate_by(active: &Policy, passive: &Policy) -> (Negotiated, Negotiated) {
    let offered = Offered::new(active);
    let answer = answer_to(passive, &syn_options(offered.option().as_bytes())).unwrap();
    let a = offered
        .on_syn(&syn_options(answer.option().as_bytes()))
        .unwrap();
    let b = answer.confirm(&ack_options(&NON_SYN_OPTION)).unwrap();
    (a, b)
}

/// Runs the whole key exchange between two ends of this code.
pub fn exchange(
    negotiated: (&Negotiated, &Negotiated),
    lists: (AeadList, AeadList),
    private: ([u8; 32], [u8; 32]),
    nonces: (&[u8; 32], &[u8; 32]),
) -> (Established, Established) {
    let (a, b) = (X25519::new(private.0), X25519::new(private.1));
    let (host_a, init1) = AwaitInit2::start(negotiated.0, lists.0, nonces.0, &a.public());
    let (host_b, init2) = AwaitInit1::new(negotiated.1, lists.1)
        .on_init1(init1.as_bytes(), nonces.1, &b.public())
        .unwrap();
    let host_a = host_a.on_init2(init2.as_bytes()).unwrap();
    let a_shared = a.shared(host_a.peer_public());
    let b_shared = b.shared(host_b.peer_public());
    (
        host_a
            .finish::<HostHmac>(init2.as_bytes(), &a_shared)
            .unwrap(),
        host_b
            .finish::<HostHmac>(init1.as_bytes(), &b_shared)
            .unwrap(),
    )
}

/// A session with fixed keys and `aead`, both ends.
pub fn established(aead: Aead) -> (Established, Established) {
    let (a, b) = negotiate();
    let list = AeadList::from_slice(&[aead]).unwrap();
    exchange(
        (&a, &b),
        (list, list),
        ([1; 32], [2; 32]),
        (&[3; 32], &[4; 32]),
    )
}

/// One direction of a connection under one key generation, as the module keeps it.
pub struct Half {
    aead: Aead,
    key: Vec<u8>,
    randomizer: NonceRandomizer,
}

impl Half {
    pub fn new(master: &MasterKey, aead: Aead, direction: Direction) -> Self {
        let traffic = master.traffic::<HostHmac>(aead, direction);
        Self {
            aead,
            key: traffic.key().to_vec(),
            randomizer: traffic.into_randomizer(),
        }
    }

    /// A whole frame at `offset`, header included.
    pub fn seal(&self, offset: u64, rekey: bool, plain: &Clear) -> Vec<u8> {
        let plaintext = plain.to_bytes();
        let header = Header::for_data(plaintext.len() - 1, rekey)
            .unwrap()
            .to_bytes();
        self.seal_raw(offset, &header, &plaintext)
    }

    /// A whole frame with any header and plaintext.
    pub fn seal_raw(&self, offset: u64, header: &[u8; HEADER_LEN], plaintext: &[u8]) -> Vec<u8> {
        let nonce = self.randomizer.nonce(offset);
        let mut frame = header.to_vec();
        frame.extend(seal(self.aead, &self.key, &nonce, header, plaintext));
        frame
    }

    /// Opens a frame that came at `offset`. `None` if it is not one or not authentic.
    pub fn open(&self, offset: u64, frame: &[u8]) -> Option<(Header, Plain, Vec<u8>)> {
        let (first, ciphertext) = frame.split_first_chunk::<HEADER_LEN>()?;
        let header = Header::parse(first).ok()?;
        if frame.len() != header.frame_len() {
            return None;
        }
        let nonce = self.randomizer.nonce(offset);
        let plaintext = open(self.aead, &self.key, &nonce, first, ciphertext)?;
        assert_eq!(plaintext.len(), header.plain_len());
        let plain = parse_plain(&plaintext[..plaintext.len().min(3)]).ok()?;
        let data = plaintext[plain.data_at..].to_vec();
        Some((header, plain, data))
    }
}

/// The contents of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    pub flags: u8,
    pub urgent: Option<u16>,
    pub data: Vec<u8>,
}

impl Clear {
    pub fn data(data: &[u8]) -> Self {
        Self {
            flags: 0,
            urgent: None,
            data: data.to_vec(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let urgent = self.urgent.map(u16::to_be_bytes);
        let mut bytes = vec![self.flags | urgent.map_or(0, |_| FLAG_URGP)];
        bytes.extend(urgent.iter().flatten());
        bytes.extend(&self.data);
        bytes
    }
}
