// SPDX-License-Identifier: GPL-2.0

//! Encryption frames (RFC 8548, 3.6, 3.7, 4.2).

mod vectors;

use sha2::{Digest, Sha256};
use tcpcrypt_proto_tests::{
    primitives::HostHmac,
    proto::{
        frame::{
            parse_plain, Error, Header, Plain, FLAG_FINP, FLAG_URGP, MAX_CLEN, MAX_DATA, MIN_CLEN,
        },
        ids::Aead,
        keys::{Direction, SessionNonce, SessionSecret},
        secret::Secret,
    },
    support::{Clear, Half, AEADS},
};
use vectors::{name_of, Vectors};

/// The frames of `FRAMES` in kat/tcpcrypt_kat.py: name, key generation, control byte, contents.
fn known_frames() -> Vec<(&'static str, u8, u8, Clear)> {
    let clear = |flags, urgent, data: &[u8]| Clear {
        flags,
        urgent,
        data: data.to_vec(),
    };
    let longest: Vec<u8> = (0..=250).cycle().take(MAX_DATA).collect();
    vec![
        ("data", 0, 0, clear(0, None, b"hello, world")),
        ("empty", 0, 0, clear(0, None, b"")),
        ("fin", 0, 0, clear(1, None, b"")),
        ("fin_data", 0, 0, clear(1, None, b"bye")),
        ("urgent", 0, 0, clear(2, Some(0x0102), b"abc!")),
        ("urgent_fin_empty", 0, 0, clear(3, Some(0xffff), b"")),
        ("rekey", 1, 1, clear(0, None, b"new keys")),
        ("rekey_empty", 2, 1, clear(0, None, b"")),
        ("after_rekey", 1, 0, clear(0, None, b"same keys")),
        ("reserved", 0, 0xfe, clear(0xfc, None, b"ignore the rest")),
        ("longest", 0, 0, clear(0, None, &longest)),
    ]
}

/// Both directions under key generation `j` of a known session.
fn halves(v: &Vectors, name: &str, aead: Aead, j: u8) -> [Half; 2] {
    let mut prk = Secret::zeroed();
    *prk.expose_mut() = v.array(&format!("{name}.prk"));
    let mut master = SessionSecret::from_prk(prk).master::<HostHmac>(&SessionNonce::EMPTY);
    for _ in 0..j {
        master = master.next::<HostHmac>();
    }
    [Direction::AtoB, Direction::BtoA].map(|direction| Half::new(&master, aead, direction))
}

/// Calls `check` with every known frame: its sender's keys, offset, control byte, contents, and the
/// expected value (the SHA-256 of the frame, for the longest one).
fn for_each_known_frame(mut check: impl FnMut(&str, &Half, u64, u8, &Clear, &[u8])) {
    let v = Vectors::load();
    let mut count = 0;
    for aead in AEADS {
        for (label, generation, control, clear) in known_frames() {
            let halves = halves(&v, name_of(aead), aead, generation);
            for (direction, half) in ["ab", "ba"].iter().zip(&halves) {
                let prefix = format!("{}.frame.{label}.{direction}.", name_of(aead));
                for (rest, value) in v.starting_with(&prefix) {
                    let offset = u64::from_str_radix(&rest[..16], 16).unwrap();
                    check(&prefix, half, offset, control, &clear, &value);
                    count += 1;
                }
            }
        }
    }
    // Three AEADs, two directions, ten frames at five offsets and one at one.
    assert_eq!(count, 3 * 2 * (10 * 5 + 1));
}

#[test]
fn sealed_frames_are_the_known_answers() {
    for_each_known_frame(|name, half, offset, control, clear, value| {
        // No frame with reserved bits is ever sent.
        if control & 0xfe == 0 {
            let frame = half.seal(offset, control == 1, clear);
            if name.contains("longest") {
                assert_eq!(Sha256::digest(&frame)[..], *value, "{name}");
                assert_eq!(frame.len(), 3 + MAX_CLEN);
            } else {
                assert_eq!(frame, value, "{name}");
            }
        }
    });
}

#[test]
fn known_frames_are_opened() {
    for_each_known_frame(|name, half, offset, control, clear, value| {
        if name.contains("longest") {
            return;
        }
        let (header, plain, data) = half.open(offset, value).unwrap();
        assert_eq!(header.rekey(), control & 1 == 1, "{name}");
        assert_eq!(plain.fin, clear.flags & FLAG_FINP != 0, "{name}");
        assert_eq!(plain.urgent, clear.urgent, "{name}");
        assert_eq!(data, clear.data, "{name}");
    });
}

#[test]
fn a_known_frame_at_another_offset_is_not_authentic() {
    for_each_known_frame(|name, half, offset, _, _, value| {
        if !name.contains("longest") {
            assert!(half.open(offset ^ 1, value).is_none(), "{name}");
            assert!(half.open(offset.wrapping_add(1 << 32), value).is_none());
        }
    });
}

fn clear() -> Clear {
    Clear::data(b"some data")
}

#[test]
fn every_bit_of_a_frame_is_authentic() {
    let v = Vectors::load();
    for aead in AEADS {
        let [ab, ba] = halves(&v, name_of(aead), aead, 0);
        let frame = ab.seal(100, false, &clear());
        assert!(ab.open(100, &frame).is_some());
        assert!(ba.open(100, &frame).is_none());
        for bit in 0..8 * frame.len() {
            let mut altered = frame.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(ab.open(100, &altered).is_none(), "bit {bit}");
        }
    }
}

#[test]
fn another_key_generation_does_not_open_a_frame() {
    let v = Vectors::load();
    for aead in AEADS {
        let [old, _] = halves(&v, name_of(aead), aead, 0);
        let [new, _] = halves(&v, name_of(aead), aead, 1);
        let frame = new.seal(5, true, &clear());
        assert!(old.open(5, &frame).is_none());
        assert!(new.open(5, &frame).is_some());
    }
}

#[test]
fn the_header_is_read() {
    let header = Header::parse(&[0x00, 0x12, 0x34]).unwrap();
    assert!(!header.rekey());
    assert_eq!(header.clen(), 0x1234);
    assert_eq!(header.plain_len(), 0x1234 - 16);
    assert_eq!(header.frame_len(), 0x1234 + 3);
    assert!(Header::parse(&[0x01, 0x12, 0x34]).unwrap().rekey());
}

#[test]
fn reserved_bits_of_the_control_byte_are_ignored() {
    for control in 0..=255 {
        let header = Header::parse(&[control, 0, 17]).unwrap();
        assert_eq!(header.rekey(), control & 1 == 1);
    }
}

#[test]
fn a_header_without_room_for_the_flags_is_refused() {
    for clen in 0..17 {
        assert_eq!(Header::parse(&[0, 0, clen]), Err(Error::TooShort));
    }
    assert_eq!(Header::parse(&[0, 0, 17]).unwrap().plain_len(), 1);
    assert_eq!(MIN_CLEN, 17);
}

#[test]
fn the_longest_frame_has_a_clen_of_65535() {
    let header = Header::parse(&[0, 0xff, 0xff]).unwrap();
    assert_eq!(header.frame_len(), 65538);
    assert_eq!(Header::for_data(MAX_DATA, false), Some(header));
    for len in [MAX_DATA + 1, 65536, 1 << 32, usize::MAX] {
        assert_eq!(Header::for_data(len, false), None);
    }
}

#[test]
fn headers_are_sent_without_reserved_bits() {
    for (len, rekey, bytes) in [
        (0, false, [0x00, 0x00, 0x11]),
        (0, true, [0x01, 0x00, 0x11]),
        (0x1223, false, [0x00, 0x12, 0x34]),
        (MAX_DATA, true, [0x01, 0xff, 0xff]),
    ] {
        assert_eq!(Header::for_data(len, rekey).unwrap().to_bytes(), bytes);
    }
}

#[test]
fn plaintext_without_flags_is_data() {
    let data = Plain {
        fin: false,
        urgent: None,
        data_at: 1,
    };
    assert_eq!(parse_plain(&[0]), Ok(data));
    assert_eq!(parse_plain(&[0, 1, 2]), Ok(data));
}

#[test]
fn finp_is_read() {
    let fin = parse_plain(&[FLAG_FINP]).unwrap();
    assert!(fin.fin && fin.urgent.is_none());
    assert_eq!(fin.data_at, 1);
}

#[test]
fn urgp_is_read() {
    let urgent = parse_plain(&[FLAG_URGP, 0x12, 0x34]).unwrap();
    assert_eq!(urgent.urgent, Some(0x1234));
    assert!(!urgent.fin);
    assert_eq!(urgent.data_at, 3);
    assert!(parse_plain(&[FLAG_URGP | FLAG_FINP, 0, 0]).unwrap().fin);
}

#[test]
fn urgp_needs_the_urgent_field() {
    for plaintext in [
        &[FLAG_URGP][..],
        &[FLAG_URGP, 0],
        &[FLAG_URGP | FLAG_FINP, 1],
    ] {
        assert_eq!(parse_plain(plaintext), Err(Error::TooShort));
    }
}

#[test]
fn an_empty_plaintext_is_refused() {
    assert_eq!(parse_plain(&[]), Err(Error::TooShort));
}

#[test]
fn reserved_flags_are_ignored() {
    for flags in 0..=255u8 {
        let plain = parse_plain(&[flags, 0, 1]).unwrap();
        assert_eq!(plain.fin, flags & 1 == 1);
        assert_eq!(plain.urgent, (flags & 2 == 2).then_some(1));
    }
}

#[test]
fn the_offset_is_at_the_end_of_the_frame_id() {
    let v = Vectors::load();
    let mut prk = Secret::zeroed();
    *prk.expose_mut() = v.array("aes128-gcm.prk");
    let master = SessionSecret::from_prk(prk).master::<HostHmac>(&SessionNonce::EMPTY);
    for aead in AEADS {
        let traffic = master.traffic::<HostHmac>(aead, Direction::AtoB);
        let randomizer = traffic.into_randomizer();
        let zero = randomizer.nonce(0);
        let differing = |offset| {
            let nonce = randomizer.nonce(offset);
            std::array::from_fn::<u8, 12, _>(|at| nonce[at] ^ zero[at])
        };
        assert_eq!(differing(0xff), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
        assert_eq!(
            differing(0x0102_0304_0506_0708),
            [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
        );
    }
}
