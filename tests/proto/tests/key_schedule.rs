// SPDX-License-Identifier: GPL-2.0

//! The key schedule (RFC 8548, 3.1, 3.3, 3.4, 3.8) against the known answers of
//! kat/tcpcrypt_kat.py.

mod vectors;

use tcpcrypt_proto_tests::{
    primitives::{HostHmac, X25519},
    proto::{
        agreement::{PublicKey, SharedSecret},
        eno::{Offered, Policy, TepList},
        handshake::{AeadList, AwaitInit1, AwaitInit2},
        hkdf::{cprf, extract},
        ids::{Aead, Role, Tep},
        keys::{Direction, MasterKey, SessionNonce, SessionSecret},
        secret::Secret,
        session::Established,
        wire::Reader,
    },
    support::{answer_to, AEADS},
};
use vectors::{name_of, Vectors};

fn name_of_tep(tep: Tep) -> &'static str {
    match tep {
        Tep::P256 => "p256",
        Tep::P521 => "p521",
        Tep::X25519 => "x25519",
        Tep::X448 => "x448",
    }
}

/// `sn[0]`.
const FRESH: SessionNonce = SessionNonce::EMPTY;

fn secret<const N: usize>(bytes: [u8; N]) -> Secret<N> {
    let mut secret = Secret::zeroed();
    *secret.expose_mut() = bytes;
    secret
}

fn cprf_of(key: [u8; 32], constant: u8, nonce: &[u8], len: usize) -> Vec<u8> {
    let mut okm = vec![0; len];
    cprf::<HostHmac>(&secret(key), constant, nonce, &mut okm);
    okm
}

/// Checks the whole schedule of the session `name`, as it came out at one end.
fn check_schedule(v: &Vectors, name: &str, done: Established) {
    let tep_byte = done.session_id[0];
    assert_eq!(done.session_id[..], v.get(&format!("{name}.session_id.0")));

    let mut secret = done.next;
    for i in 1..3 {
        // ss[i] itself never leaves its type: what is derived from it has to be right.
        let expected = v.get(&format!("{name}.session_id.{i}"));
        assert_eq!(
            secret.session_id::<HostHmac>(tep_byte, &FRESH)[..],
            expected
        );
        let halves = secret.resume::<HostHmac>();
        let expected = v.get(&format!("{name}.resume.{i}"));
        assert_eq!([halves.0, halves.1].concat(), expected);
        secret = secret.next::<HostHmac>();
    }

    check_master(v, name, done.tx, done.aead);
    check_master(v, name, done.rx, done.aead);
}

fn check_master(v: &Vectors, name: &str, mut master: MasterKey, aead: Aead) {
    for j in 0..3 {
        check_traffic(
            v,
            &format!("{name}.k_ab.{j}"),
            &master,
            aead,
            Direction::AtoB,
        );
        check_traffic(
            v,
            &format!("{name}.k_ba.{j}"),
            &master,
            aead,
            Direction::BtoA,
        );
        master = master.next::<HostHmac>();
    }
}

fn check_traffic(v: &Vectors, name: &str, master: &MasterKey, aead: Aead, direction: Direction) {
    let traffic = master.traffic::<HostHmac>(aead, direction);
    assert_eq!(traffic.key(), v.get(&format!("{name}.key")), "{name}");
    assert_eq!(traffic.key().len(), aead.key_len());
    // With frame ID zero, the nonce is the randomizer.
    let randomizer = traffic.into_randomizer().nonce(0);
    assert_eq!(randomizer[..], v.get(&format!("{name}.nr")), "{name}");
}

/// Host A's end of the session `name`.
fn host_a(v: &Vectors, name: &str) -> Established {
    let own = X25519::new(v.array("private_a"));
    let b_option = v.get(&format!("{name}.b_option"));
    let init2 = v.get(&format!("{name}.init2"));

    let offered = Offered::new(&Policy::new(Role::A));
    assert_eq!(
        offered.option().as_bytes(),
        v.get(&format!("{name}.a_option"))
    );
    let negotiated = offered.on_syn(&b_option).unwrap();
    let offer = AeadList::default();
    let (state, init1) = AwaitInit2::start(&negotiated, offer, &v.array("n_a"), &own.public());
    assert_eq!(init1.as_bytes(), v.get(&format!("{name}.init1")));
    let state = state.on_init2(&init2).unwrap();
    let es = own.shared(state.peer_public());
    assert_eq!(es.expose()[..], v.get(&format!("{name}.es")));
    state.finish::<HostHmac>(&init2, &es).unwrap()
}

/// Host B's end of the session `name`, which has to select `aead`.
fn host_b(v: &Vectors, name: &str, aead: Aead) -> Established {
    let own = X25519::new(v.array("private_b"));
    let init1 = v.get(&format!("{name}.init1"));
    let a_option = v.get(&format!("{name}.a_option"));

    let answer = answer_to(&Policy::new(Role::B), &a_option).unwrap();
    assert_eq!(
        answer.option().as_bytes(),
        v.get(&format!("{name}.b_option"))
    );
    let negotiated = answer.confirm(&[69, 2]).unwrap();
    let prefer = AeadList::from_slice(&[aead]).unwrap();
    let (state, init2) = AwaitInit1::new(&negotiated, prefer)
        .on_init1(&init1, &v.array("n_b"), &own.public())
        .unwrap();
    assert_eq!(init2.as_bytes(), v.get(&format!("{name}.init2")));
    let es = own.shared(state.peer_public());
    state.finish::<HostHmac>(&init1, &es).unwrap()
}

/// The public key and the shared secret of a session by `tep`, which the kernel would compute.
fn keys(v: &Vectors, tep: Tep, own: &str) -> (PublicKey, SharedSecret) {
    let name = name_of_tep(tep);
    let field = v.get(&format!("{name}.public_{own}"));
    let public = PublicKey::parse(tep, &mut Reader::new(&field)).unwrap();
    let mut shared = SharedSecret::zeroed(tep);
    let es = v.get(&format!("{name}.es"));
    match &mut shared {
        SharedSecret::P256(secret) => secret.expose_mut().copy_from_slice(&es),
        SharedSecret::P521(secret) => secret.expose_mut().copy_from_slice(&es),
        SharedSecret::X25519(secret) => secret.expose_mut().copy_from_slice(&es),
        SharedSecret::X448(secret) => secret.expose_mut().copy_from_slice(&es),
    }
    (public, shared)
}

fn only(role: Role, tep: Tep) -> Policy {
    Policy::new(role).teps(TepList::from_slice(&[tep]).unwrap())
}

const OTHER_TEPS: [(Tep, Aead); 3] = [
    (Tep::P256, Aead::Aes128Gcm),
    (Tep::P521, Aead::Aes256Gcm),
    (Tep::X448, Aead::ChaCha20Poly1305),
];

#[test]
fn host_a_computes_the_known_answers_of_every_tep() {
    let v = Vectors::load();
    for (tep, _) in OTHER_TEPS {
        let name = name_of_tep(tep);
        let (public, shared) = keys(&v, tep, "a");
        let offered = Offered::new(&only(Role::A, tep));
        let a_option = v.get(&format!("{name}.a_option"));
        assert_eq!(offered.option().as_bytes(), a_option);
        let b_option = v.get(&format!("{name}.b_option"));
        let negotiated = offered.on_syn(&b_option).unwrap();
        let offer = AeadList::default();
        let (state, init1) = AwaitInit2::start(&negotiated, offer, &v.array("n_a"), &public);
        assert_eq!(init1.as_bytes(), v.get(&format!("{name}.init1")));
        let init2 = v.get(&format!("{name}.init2"));
        let state = state.on_init2(&init2).unwrap();
        assert_eq!(state.peer_public(), &keys(&v, tep, "b").0);
        let done = state.finish::<HostHmac>(&init2, &shared).unwrap();
        assert_eq!(done.session_id[0], tep.id());
        check_schedule(&v, name, done);
    }
}

#[test]
fn host_b_computes_the_known_answers_of_every_tep() {
    let v = Vectors::load();
    for (tep, aead) in OTHER_TEPS {
        let name = name_of_tep(tep);
        let (public, shared) = keys(&v, tep, "b");
        let a_option = v.get(&format!("{name}.a_option"));
        let answer = answer_to(&only(Role::B, tep), &a_option).unwrap();
        let b_option = v.get(&format!("{name}.b_option"));
        assert_eq!(answer.option().as_bytes(), b_option);
        let negotiated = answer.confirm(&[69, 2]).unwrap();
        let init1 = v.get(&format!("{name}.init1"));
        let prefer = AeadList::from_slice(&[aead]).unwrap();
        let (state, init2) = AwaitInit1::new(&negotiated, prefer)
            .on_init1(&init1, &v.array("n_b"), &public)
            .unwrap();
        assert_eq!(init2.as_bytes(), v.get(&format!("{name}.init2")));
        assert_eq!(state.peer_public(), &keys(&v, tep, "a").0);
        check_schedule(&v, name, state.finish::<HostHmac>(&init1, &shared).unwrap());
    }
}

#[test]
fn host_a_computes_the_known_answers() {
    let v = Vectors::load();
    for aead in AEADS {
        check_schedule(&v, name_of(aead), host_a(&v, name_of(aead)));
    }
}

#[test]
fn host_b_computes_the_known_answers() {
    let v = Vectors::load();
    for aead in AEADS {
        check_schedule(&v, name_of(aead), host_b(&v, name_of(aead), aead));
    }
}

#[test]
fn unknown_suboptions_ciphers_and_ignored_bytes_of_host_a_are_hashed_as_received() {
    let v = Vectors::load();
    let done = host_b(&v, "odd_host_a", Aead::Aes128Gcm);
    check_schedule(&v, "odd_host_a", done);
}

#[test]
fn unknown_suboptions_and_ignored_bytes_of_host_b_are_hashed_as_received() {
    let v = Vectors::load();
    check_schedule(&v, "odd_host_b", host_a(&v, "odd_host_b"));
}

#[test]
fn prk_is_extracted_from_transcript_messages_and_shared_secret() {
    let v = Vectors::load();
    for aead in AEADS {
        let parts = ["a_option", "b_option", "init1", "init2", "es"]
            .map(|part| v.get(&format!("{}.{part}", name_of(aead))));
        let parts = parts.each_ref().map(Vec::as_slice);
        let prk = extract::<HostHmac>(&v.get("n_a"), &parts);
        let expected = v.get(&format!("{}.prk", name_of(aead)));
        assert_eq!(prk.expose()[..], expected);
        assert_eq!(v.get(&format!("{}.ss.0", name_of(aead))), expected);
    }
}

#[test]
fn cprf_gives_each_stage_of_the_known_answers() {
    let v = Vectors::load();
    for aead in AEADS {
        let get = |stage: &str| v.get(&format!("{}.{stage}", name_of(aead)));
        let key = |stage: &str| v.array(&format!("{}.{stage}", name_of(aead)));
        for (from, constant, to) in [
            ("ss.0", 0x01, "ss.1"),
            ("ss.1", 0x01, "ss.2"),
            ("ss.0", 0x03, "mk.0"),
            ("mk.0", 0x03, "mk.1"),
            ("mk.1", 0x03, "mk.2"),
        ] {
            assert_eq!(cprf_of(key(from), constant, &[], 32), get(to), "{to}");
        }
        for (constant, direction) in [(0x04, "k_ab"), (0x05, "k_ba")] {
            let parts = ["key", "nr"].map(|part| get(&format!("{direction}.2.{part}")));
            let okm = cprf_of(key("mk.2"), constant, &[], aead.key_len() + 12);
            assert_eq!(okm, parts.concat());
        }
    }
}

/// RFC 5869, A.1, with its first info byte as constant and the others as session nonce.
#[test]
fn extract_and_cprf_are_hkdf() {
    let salt: Vec<u8> = (0x00..=0x0c).collect();
    let prk = extract::<HostHmac>(&salt, &[&[0x0b; 10], &[], &[0x0b; 12]]);
    let info: Vec<u8> = (0xf1..=0xf9).collect();
    let okm = cprf_of(*prk.expose(), 0xf0, &info, 42);
    let expected = vectors::hex(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
         34007208d5b887185865",
    );
    assert_eq!(okm, expected);
}

#[test]
fn cprf_counts_blocks_from_one_in_a_single_octet() {
    let longest = cprf_of([7; 32], 1, b"nonce", 255 * 32);
    for len in [0, 1, 31, 32, 33, 64, 65, 255 * 32 - 1] {
        assert_eq!(cprf_of([7; 32], 1, b"nonce", len), longest[..len]);
    }
    // T(255) = HMAC(key, T(254) | constant | nonce | 0xff)
    let (before, last) = longest.split_at(254 * 32);
    let mut expected = [0; 32];
    <HostHmac as tcpcrypt_proto_tests::proto::hkdf::Hmac>::hmac_sha256(
        &[7; 32],
        &[&before[253 * 32..], &[1], b"nonce", &[255]],
        &mut expected,
    );
    assert_eq!(last, expected);
}

#[test]
fn the_session_id_carries_host_b_tep_byte() {
    let prk = || SessionSecret::from_prk(secret([5; 32]));
    let plain = prk().session_id::<HostHmac>(0x23, &FRESH);
    let resumed = prk().session_id::<HostHmac>(0xa3, &FRESH);
    assert_eq!((plain[0], resumed[0]), (0x23, 0xa3));
    assert_eq!(plain[1..], resumed[1..]);
}

#[test]
fn a_resumed_session_has_the_known_answers() {
    let v = Vectors::load();
    // nonce_a and nonce_b of the script.
    let nonce = SessionNonce::collect((0x40..0x48).chain(0x50..0x57));
    for aead in AEADS {
        let name = format!("{}.resumed", name_of(aead));
        let secret = host_a(&v, name_of(aead)).next;
        let id = secret.session_id::<HostHmac>(0xa3, &nonce);
        assert_eq!(id[..], v.get(&format!("{name}.session_id")));
        let master = secret.master::<HostHmac>(&nonce);
        for (direction, label) in [(Direction::AtoB, "ab"), (Direction::BtoA, "ba")] {
            let name = format!("{name}.k_{label}.0");
            check_traffic(&v, &name, &master, aead, direction);
        }
    }
}
