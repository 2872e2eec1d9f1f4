// SPDX-License-Identifier: GPL-2.0

//! One fuzz target for each parser: any bytes in, and a panic if something that has to hold for all
//! inputs does not. Driven by `tests/fuzz.rs` (bounded, everywhere) and by the crate in `fuzz/`
//! (libFuzzer).

use std::vec::Vec;

use crate::{
    primitives::HostHmac,
    proto::{
        agreement::{PublicKey, SharedSecret},
        eno::{
            find, has_data_bearing_fast_open, has_eno, suboption::SynForm, Answer, Aware, Found,
            Negotiated, Offered, Policy, RawContents, Reason,
        },
        frame::{parse_plain, Header, FLAG_FINP, FLAG_URGP},
        handshake::{AeadList, AwaitInit1, AwaitInit2},
        ids::{Role, Tep},
        init::{message_len, Init1, Init2, Kind, MAX_INIT_LEN},
        secret::Secret,
    },
    support::{answer_to, eno, negotiate, AEADS, TEPS},
};

/// A target: its name, which is also that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 6] = [
    ("option_list", option_list),
    ("eno_syn", eno_syn),
    ("init1", init1),
    ("init2", init2),
    ("frame_header", frame_header),
    ("frame_plain", frame_plain),
];

/// `data` are the TCP options of a segment.
pub fn option_list(data: &[u8]) {
    match find(data) {
        Found::None => assert!(!has_eno(data)),
        Found::One(option) => {
            assert!(has_eno(data));
            assert_eq!(option[0], 69);
            assert_eq!(usize::from(option[1]), option.len());
            let at = option.as_ptr().addr() - data.as_ptr().addr();
            assert_eq!(&data[at..at + option.len()], option);
        }
        Found::Many => assert!(has_eno(data)),
    }
    if has_data_bearing_fast_open(data) {
        assert!(data.contains(&34) || data.contains(&254));
    }
    // What is found depends on nothing behind an end-of-list option.
    if data.first() == Some(&0) {
        assert_eq!(find(data), Found::None);
    }
    open_by_all_policies(data);
}

/// `data` are the contents of an ENO option in a SYN.
pub fn eno_syn(data: &[u8]) {
    let option = eno(&data[..data.len().min(253)]);
    if let Ok(syn) = SynForm::parse(&option) {
        let bytes: usize = syn.teps().map(|tep| 1 + tep.data.len()).sum();
        assert!(bytes <= data.len());
        for tep in syn.teps() {
            assert!(tep.id() >= 0x20);
            assert!(tep.has_data() || tep.data.is_empty());
        }
        assert!(syn.global() < 0x20);
    }
    open_by_all_policies(&option);
}

/// An active opener of each kind takes `options` as a SYN-ACK, a passive one as a SYN.
fn open_by_all_policies(options: &[u8]) {
    for role in [Role::A, Role::B] {
        for aware in [Aware::Clear, Aware::Mandatory] {
            let fresh = Policy::new(role).aware(aware);
            for policy in [fresh, fresh.raw(raw(role))] {
                open(&policy, role, aware, options);
            }
        }
    }
}

/// An option that an application wrote.
fn raw(role: Role) -> RawContents {
    RawContents::new(&[u8::from(role == Role::B), 0x80, 0xa0, 7, 0x23]).unwrap()
}

fn open(policy: &Policy, role: Role, aware: Aware, options: &[u8]) {
    let offered = Offered::new(policy);
    let own = offered.option();
    let result = offered.on_syn(options);
    check(result, own.as_bytes(), role, aware, options);

    let Ok(answer) = answer_to(policy, options) else {
        return;
    };
    let own = answer.option();
    let again = Answer::sent(own.as_bytes(), answer.is_raw(), options);
    assert_eq!(again, Ok(answer));
    let result = answer.confirm(&[69, 2]);
    assert!(result.is_ok());
    check(result, own.as_bytes(), Role::B, aware, options);
}

/// What has to hold when ENO has succeeded.
fn check(
    result: Result<Negotiated, Reason>,
    own: &[u8],
    role: Role,
    aware: Aware,
    peer_options: &[u8],
) {
    let Ok(negotiated) = result else {
        return;
    };
    let Found::One(peer) = find(peer_options) else {
        panic!("succeeded without exactly one option");
    };
    let transcript = match role {
        Role::A => [own, peer].concat(),
        Role::B => [peer, own].concat(),
    };
    assert_eq!(negotiated.transcript(), transcript);
    assert_eq!(negotiated.role(), role);
    match negotiated.tep() {
        // No resumption is ever proposed or accepted.
        Some(tep) => assert_eq!(negotiated.tep_byte(), tep.id()),
        None => assert!([0x20, 0x23].contains(&(negotiated.tep_byte() & 0x7f))),
    }
    assert_eq!(negotiated.peer_global() & 1 == 1, role == Role::A);
    assert!(aware != Aware::Mandatory || negotiated.peer_global() & 2 != 0);
    let tep = negotiated.tep_byte() & 0x7f;
    assert!(peer[2..].iter().any(|byte| byte & 0x7f == tep));
}

/// `data` are the first bytes of host A's stream.
pub fn init1(data: &[u8]) {
    for tep in TEPS {
        let Some(message) = whole_message(Kind::Init1, tep, data) else {
            continue;
        };
        if let Ok(read) = Init1::parse(tep, message) {
            check_key(tep, &read.public, message);
        }
    }

    let Some(message) = whole_message(Kind::Init1, Tep::X25519, data) else {
        return;
    };
    let Ok(read) = Init1::parse(Tep::X25519, message) else {
        return;
    };
    let (_, b) = negotiate();
    let offered: Vec<_> = AEADS.into_iter().filter(|a| read.offers(*a)).collect();
    let state = AwaitInit1::new(&b, AeadList::default());
    match state.on_init1(message, &[1; 32], &PublicKey::X25519([2; 32])) {
        Ok((state, init2)) => {
            assert_eq!(Some(&state.aead()), offered.first());
            assert_eq!(state.peer_public(), &read.public);
            let init2 = Init2::parse(Tep::X25519, init2.as_bytes()).unwrap();
            assert_eq!(init2.cipher, Some(state.aead()));
            finish(|secret| state.finish::<HostHmac>(message, secret).is_ok());
        }
        Err(_) => assert!(offered.is_empty()),
    }
}

/// `data` are the first bytes of host B's stream.
pub fn init2(data: &[u8]) {
    for tep in TEPS {
        let Some(message) = whole_message(Kind::Init2, tep, data) else {
            continue;
        };
        if let Ok(read) = Init2::parse(tep, message) {
            check_key(tep, &read.public, message);
        }
    }

    let Some(message) = whole_message(Kind::Init2, Tep::X25519, data) else {
        return;
    };
    let read = Init2::parse(Tep::X25519, message).unwrap();
    let (a, _) = negotiate();
    let public = PublicKey::X25519([2; 32]);
    let (state, _) = AwaitInit2::start(&a, AeadList::default(), &[1; 32], &public);
    match state.on_init2(message) {
        Ok(state) => {
            assert_eq!(Some(state.aead()), read.cipher);
            assert_eq!(state.peer_public(), &read.public);
            finish(|secret| state.finish::<HostHmac>(message, secret).is_ok());
        }
        Err(_) => assert!(read.cipher.is_none()),
    }
}

/// A key that was read is written as it was in the message.
fn check_key(tep: Tep, public: &PublicKey, message: &[u8]) {
    assert_eq!(public.tep(), tep);
    let written = public.emit();
    assert_eq!(written.as_bytes().len(), tep.public_len());
    assert!(message
        .windows(tep.public_len())
        .any(|window| window == written.as_bytes()));
}

fn finish(with: impl FnOnce(&SharedSecret) -> bool) {
    let mut secret = Secret::zeroed();
    secret.expose_mut()[0] = 1;
    assert!(with(&SharedSecret::X25519(secret)));
}

/// The message that `stream` begins with, if it is there. The stream arrives in any pieces, so the
/// answer must not change with the number of bytes that are there.
fn whole_message(kind: Kind, tep: Tep, stream: &[u8]) -> Option<&[u8]> {
    let answer = message_len(kind, tep, stream);
    for n in 0..stream.len().min(12) {
        match message_len(kind, tep, &stream[..n]) {
            Ok(None) => assert!(n < 8),
            early => assert_eq!(early, answer),
        }
    }
    let len = answer.ok()??;
    assert!(stream.len() >= 8 && (41 + tep.public_len()..=MAX_INIT_LEN).contains(&len));
    stream.get(..len)
}

/// `data` are the first bytes of a frame.
pub fn frame_header(data: &[u8]) {
    let Some((bytes, _)) = data.split_first_chunk() else {
        return;
    };
    let Ok(header) = Header::parse(bytes) else {
        assert!(bytes[1] == 0 && bytes[2] < 17);
        return;
    };
    assert!((1..=65519).contains(&header.plain_len()));
    assert_eq!(header.frame_len(), header.plain_len() + 3 + 16);
    let own = Header::for_data(header.plain_len() - 1, header.rekey());
    assert_eq!(own, Some(header));
    assert_eq!(header.to_bytes(), [bytes[0] & 1, bytes[1], bytes[2]]);
}

/// `data` is a plaintext.
pub fn frame_plain(data: &[u8]) {
    // The caller may hand in all of it or the first three bytes: no difference.
    let result = parse_plain(data);
    assert_eq!(parse_plain(&data[..data.len().min(3)]), result);
    let Ok(plain) = result else {
        assert!(data.is_empty() || data[0] & FLAG_URGP != 0 && data.len() < 3);
        return;
    };
    assert!(plain.data_at <= data.len());
    assert_eq!(plain.fin, data[0] & FLAG_FINP != 0);
    assert_eq!(plain.urgent.is_some(), data[0] & FLAG_URGP != 0);
    if let Some(urgent) = plain.urgent {
        assert_eq!(urgent.to_be_bytes(), data[1..3]);
    }
}
