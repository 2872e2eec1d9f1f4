// SPDX-License-Identifier: GPL-2.0

//! The messages Init1 and Init2 (RFC 8548, 4.1).

use tcpcrypt_proto_tests::{
    proto::{
        agreement::{Compressed, PublicKey},
        handshake::{AeadList, Error},
        ids::{Aead, Tep},
        init::{message_len, Init1, Init2, Kind, MAX_INIT_LEN, MAX_OWN_INIT_LEN},
    },
    support::{self, AEADS, TEPS},
};

const NONCE: [u8; 32] = [0x4e; 32];
const PUBLIC: PublicKey = PublicKey::X25519([0x50; 32]);
const TEP: Tep = Tep::X25519;
const KINDS: [Kind; 2] = [Kind::Init1, Kind::Init2];

fn init1(ciphers: &[u16], ignored: &[u8]) -> Vec<u8> {
    support::init1(ciphers, &NONCE, &[0x50; 32], ignored)
}

fn init2(cipher: u16, ignored: &[u8]) -> Vec<u8> {
    support::init2(cipher, &NONCE, &[0x50; 32], ignored)
}

fn head(magic: u32, len: u32) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&magic.to_be_bytes());
    head[4..].copy_from_slice(&len.to_be_bytes());
    head
}

/// A public key of each TEP, and how it is on the wire.
fn public_keys() -> [(Tep, PublicKey, Vec<u8>); 4] {
    let p256 = Compressed {
        x: [0x51; 32],
        y_is_odd: false,
    };
    let p521 = Compressed {
        x: [0x52; 66],
        y_is_odd: true,
    };
    [
        (
            Tep::P256,
            PublicKey::P256(p256),
            [&[0, 35, 0x02][..], &[0x51; 32]].concat(),
        ),
        (
            Tep::P521,
            PublicKey::P521(p521),
            [&[0, 69, 0x03][..], &[0x52; 66]].concat(),
        ),
        (Tep::X25519, PublicKey::X25519([0x53; 32]), vec![0x53; 32]),
        (Tep::X448, PublicKey::X448([0x54; 56]), vec![0x54; 56]),
    ]
}

fn magic(kind: Kind) -> u32 {
    match kind {
        Kind::Init1 => 0x1510_1a0e,
        Kind::Init2 => 0x0971_05e0,
    }
}

#[test]
fn init1_is_encoded_as_in_the_rfc() {
    let message = Init1::emit(&AeadList::default(), &NONCE, &PUBLIC);
    assert_eq!(message.as_bytes(), init1(&[0x0001, 0x0002, 0x0010], &[]));
    assert_eq!(message.as_bytes().len(), 9 + 2 * 3 + 32 + 32);
}

#[test]
fn init2_is_encoded_as_in_the_rfc() {
    for aead in AEADS {
        let message = Init2::emit(aead, &NONCE, &PUBLIC);
        assert_eq!(message.as_bytes(), init2(aead.id(), &[]));
        assert_eq!(message.as_bytes().len(), 10 + 32 + 32);
    }
}

#[test]
fn the_longest_own_message_fits() {
    let list = AeadList::from_slice(&[Aead::Aes256Gcm; AeadList::MAX]).unwrap();
    for (tep, public, encoded) in public_keys() {
        let message = Init1::emit(&list, &NONCE, &public);
        let expected = support::init1(&[0x0002; 8], &NONCE, &encoded, &[]);
        assert_eq!(message.as_bytes(), expected);
        assert!(message.as_bytes().len() <= MAX_OWN_INIT_LEN);
        if tep == Tep::P521 {
            assert_eq!(message.as_bytes().len(), MAX_OWN_INIT_LEN);
        }
    }
}

#[test]
fn init1_is_read() {
    let message = init1(&[0x0010, 0x0001], &[]);
    let read = Init1::parse(TEP, &message).unwrap();
    assert!(read.offers(Aead::Aes128Gcm));
    assert!(!read.offers(Aead::Aes256Gcm));
    assert!(read.offers(Aead::ChaCha20Poly1305));
    assert_eq!((read.nonce, read.public), (&NONCE, PUBLIC));
}

#[test]
fn init2_is_read() {
    let message = init2(0x0010, &[]);
    let read = Init2::parse(TEP, &message).unwrap();
    assert_eq!(read.cipher, Some(Aead::ChaCha20Poly1305));
    assert_eq!((read.nonce, read.public), (&NONCE, PUBLIC));
}

#[test]
fn each_tep_has_public_keys_of_its_own() {
    for (tep, public, encoded) in public_keys() {
        assert_eq!(public.tep(), tep);
        assert_eq!(tep.public_len(), encoded.len());
        let message = Init1::emit(&AeadList::default(), &NONCE, &public);
        let expected = support::init1(&[0x0001, 0x0002, 0x0010], &NONCE, &encoded, &[]);
        assert_eq!(message.as_bytes(), expected);
        let message = Init2::emit(Aead::Aes256Gcm, &NONCE, &public);
        let expected = support::init2(0x0002, &NONCE, &encoded, &[]);
        assert_eq!(message.as_bytes(), expected);

        for ignored in [&[][..], &[0xee; 9]] {
            let message = support::init1(&[0x0001], &NONCE, &encoded, ignored);
            let read = Init1::parse(tep, &message).unwrap();
            assert_eq!((read.nonce, read.public), (&NONCE, public));
            let message = support::init2(0x0001, &NONCE, &encoded, ignored);
            let read = Init2::parse(tep, &message).unwrap();
            assert_eq!((read.nonce, read.public), (&NONCE, public));
        }
    }
}

/// What host B and host A make of a message with `encoded` as its public key.
fn read_key(tep: Tep, encoded: &[u8]) -> [Option<Error>; 2] {
    let first = support::init1(&[1], &NONCE, encoded, &[]);
    let second = support::init2(1, &NONCE, encoded, &[]);
    [
        Init1::parse(tep, &first).err(),
        Init2::parse(tep, &second).err(),
    ]
}

#[test]
fn a_public_key_that_is_too_short_is_refused() {
    for (tep, _, encoded) in public_keys() {
        assert_eq!(read_key(tep, &encoded), [None; 2]);
        for len in 0..encoded.len() {
            let short = read_key(tep, &encoded[..len]);
            // One cipher is room enough for two more bytes in Init1, which is told by its length.
            assert_eq!(short, [Some(Error::BadLength); 2], "{tep:?} {len}");
        }
    }
}

#[test]
fn pubkey_len_must_be_that_of_a_compressed_point() {
    for (tep, _, mut encoded) in public_keys().into_iter().take(2) {
        let right = encoded[1];
        encoded.extend([0; 200]);
        for len in 0..=u8::MAX {
            encoded[1] = len;
            let expected = (len != right).then_some(Error::BadKey);
            assert_eq!(read_key(tep, &encoded), [expected; 2], "{tep:?} {len}");
        }
        encoded[..2].copy_from_slice(&[1, right]);
        assert_eq!(read_key(tep, &encoded), [Some(Error::BadKey); 2]);
    }
}

#[test]
fn a_point_that_is_not_in_compressed_form_is_refused() {
    for (tep, _, mut encoded) in public_keys().into_iter().take(2) {
        for form in 0..=u8::MAX {
            encoded[2] = form;
            let expected = (form != 2 && form != 3).then_some(Error::BadKey);
            assert_eq!(read_key(tep, &encoded), [expected; 2], "{tep:?} {form}");
        }
    }
}

#[test]
fn bytes_after_the_public_key_are_ignored() {
    for len in [1, 7, MAX_INIT_LEN - 75] {
        let message = init1(&[0x0002], &vec![0xee; len]);
        let read = Init1::parse(TEP, &message).unwrap();
        assert_eq!((read.nonce, read.public), (&NONCE, PUBLIC));
        let message = init2(0x0002, &vec![0xee; len]);
        let read = Init2::parse(TEP, &message).unwrap();
        assert_eq!((read.nonce, read.public), (&NONCE, PUBLIC));
    }
}

#[test]
fn the_length_is_known_with_the_eighth_byte() {
    let message = init1(&[1, 2, 3], &[]);
    for n in 0..8 {
        assert_eq!(message_len(Kind::Init1, TEP, &message[..n]), Ok(None));
    }
    for n in 8..=message.len() {
        let len = message_len(Kind::Init1, TEP, &message[..n]);
        assert_eq!(len, Ok(Some(message.len())));
    }
}

#[test]
fn bytes_after_the_message_do_not_change_its_length() {
    let mut stream = init2(1, &[]);
    let len = stream.len();
    stream.extend([0x17; 5000]);
    assert_eq!(message_len(Kind::Init2, TEP, &stream), Ok(Some(len)));
}

#[test]
fn a_wrong_magic_is_an_error_from_its_first_wrong_byte() {
    for kind in KINDS {
        let good = head(magic(kind), 100);
        for at in 0..4 {
            let mut bad = good;
            bad[at] ^= 0x80;
            assert_eq!(message_len(kind, TEP, &bad[..at]), Ok(None));
            assert_eq!(message_len(kind, TEP, &bad[..=at]), Err(Error::BadMagic));
            assert_eq!(message_len(kind, TEP, &bad), Err(Error::BadMagic));
        }
    }
}

#[test]
fn the_messages_are_not_taken_for_each_other() {
    assert_eq!(
        message_len(Kind::Init1, TEP, &init2(1, &[])),
        Err(Error::BadMagic)
    );
    assert_eq!(
        message_len(Kind::Init2, TEP, &init1(&[1], &[])),
        Err(Error::BadMagic)
    );
}

#[test]
fn the_length_is_bounded_below_by_the_fields() {
    for (tep, min) in [
        (Tep::P256, 76),
        (Tep::P521, 110),
        (Tep::X25519, 73),
        (Tep::X448, 97),
    ] {
        for (kind, min) in [(Kind::Init1, min), (Kind::Init2, min + 1)] {
            for len in [0, 1, 8, min - 1] {
                let bytes = head(magic(kind), len);
                assert_eq!(message_len(kind, tep, &bytes), Err(Error::BadLength));
            }
            let bytes = head(magic(kind), min);
            assert_eq!(message_len(kind, tep, &bytes), Ok(Some(min as usize)));
        }
    }
}

#[test]
fn the_length_is_bounded_above() {
    for kind in KINDS {
        let bytes = head(magic(kind), 4096);
        assert_eq!(message_len(kind, TEP, &bytes), Ok(Some(MAX_INIT_LEN)));
        for len in [4097, 0x0001_0000, u32::MAX] {
            let bytes = head(magic(kind), len);
            assert_eq!(message_len(kind, TEP, &bytes), Err(Error::BadLength));
        }
    }
}

#[test]
fn a_message_has_to_be_whole() {
    let first = init1(&[1, 2], &[9]);
    let second = init2(1, &[9]);
    for cut in 1..=first.len() {
        let result = Init1::parse(TEP, &first[..first.len() - cut]);
        assert_eq!(result.err(), Some(Error::BadLength));
    }
    for cut in 1..=second.len() {
        let result = Init2::parse(TEP, &second[..second.len() - cut]);
        assert_eq!(result.err(), Some(Error::BadLength));
    }
}

#[test]
fn a_message_must_not_have_more_than_its_length() {
    let more = [init1(&[1], &[]), vec![0]].concat();
    assert_eq!(Init1::parse(TEP, &more).err(), Some(Error::BadLength));
    let more = [init2(1, &[]), vec![0]].concat();
    assert_eq!(Init2::parse(TEP, &more).err(), Some(Error::BadLength));
}

#[test]
fn nciphers_must_leave_room_for_the_keys() {
    for nciphers in [3, 4, 255] {
        let mut message = init1(&[1, 2], &[]);
        message[8] = nciphers;
        assert_eq!(Init1::parse(TEP, &message).err(), Some(Error::BadLength));
    }
    let longest: Vec<u16> = (1..=255).collect();
    assert!(Init1::parse(TEP, &init1(&longest, &[])).is_ok());
}

#[test]
fn unknown_ciphers_are_skipped() {
    let message = init1(&[0x0000, 0xffff, 0x0003, 0x0100, 0x0002, 0x0011], &[]);
    let read = Init1::parse(TEP, &message).unwrap();
    let offered = AEADS.map(|aead| read.offers(aead));
    assert_eq!(offered, [false, true, false]);
}

#[test]
fn ciphers_are_not_found_across_two_identifiers() {
    // The bytes 00 01 are there, but not at an even place.
    let message = init1(&[0xff00, 0x01ff], &[]);
    assert!(!Init1::parse(TEP, &message).unwrap().offers(Aead::Aes128Gcm));
}

#[test]
fn a_list_of_aeads_keeps_its_order() {
    let order = [Aead::ChaCha20Poly1305, Aead::Aes128Gcm];
    let list = AeadList::from_slice(&order).unwrap();
    assert_eq!(list.iter().collect::<Vec<_>>(), order);
    assert!(list.contains(Aead::Aes128Gcm) && !list.contains(Aead::Aes256Gcm));
}

#[test]
fn a_list_of_aeads_has_one_to_eight() {
    assert_eq!(AeadList::from_slice(&[]), None);
    assert!(AeadList::from_slice(&[Aead::Aes128Gcm; 8]).is_some());
    assert_eq!(AeadList::from_slice(&[Aead::Aes128Gcm; 9]), None);
}

#[test]
fn the_default_list_has_all_aeads() {
    assert_eq!(AeadList::default().iter().collect::<Vec<_>>(), AEADS);
}

#[test]
fn tep_identifiers_and_lengths_are_those_of_the_rfc() {
    let table = TEPS.map(|tep| (tep.id(), tep.public_len(), tep.shared_len()));
    let expected = [
        (0x21, 35, 32),
        (0x22, 69, 66),
        (0x23, 32, 32),
        (0x24, 56, 56),
    ];
    assert_eq!(table, expected);
    for id in 0..=u8::MAX {
        assert_eq!(Tep::from_id(id).is_some(), (0x21..=0x24).contains(&id));
        assert_eq!(Tep::from_id(id).map_or(id, Tep::id), id);
    }
}

#[test]
fn the_mandatory_tep_is_preferred_to_the_recommended_and_that_to_the_optional_ones() {
    let order = [Tep::X25519, Tep::X448, Tep::P256, Tep::P521];
    assert_eq!(Tep::ALL, order);
}

#[test]
fn aead_identifiers_and_lengths_are_those_of_the_rfc() {
    let table = AEADS.map(|aead| (aead.id(), aead.key_len()));
    assert_eq!(table, [(0x0001, 16), (0x0002, 32), (0x0010, 32)]);
    for id in 0..=u16::MAX {
        assert_eq!(Aead::from_id(id).map_or(id, Aead::id), id);
    }
    assert!(AEADS
        .iter()
        .all(|aead| Aead::from_id(aead.id()) == Some(*aead)));
}
