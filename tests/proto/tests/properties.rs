// SPDX-License-Identifier: GPL-2.0

//! Properties that hold for all inputs, by random ones (proptest).

use proptest::{array::uniform32, collection::vec, option, prelude::*, sample::select};
use tcpcrypt_proto_tests::{
    primitives::HostHmac,
    proto::{
        agreement::{Compressed, PublicKey},
        eno::{
            find, has_eno,
            suboption::{negotiated, SynForm},
            Aware, Found, Offered, Policy,
        },
        frame::MAX_DATA,
        handshake::{AeadList, AwaitInit1, Error},
        ids::{Aead, Role},
        init::{message_len, Init1, Init2, Kind, MAX_INIT_LEN},
        keys::{Direction, MasterKey, SessionNonce, SessionSecret},
        secret::Secret,
    },
    support::{self, answer_to, eno, exchange, negotiate, negotiate_by, Clear, Half, AEADS, TEPS},
};

/// Any public key that can be encoded.
fn public_key() -> impl Strategy<Value = PublicKey> {
    fn point<const N: usize>((bytes, y_is_odd): (Vec<u8>, bool)) -> Compressed<N> {
        let x = bytes.try_into().unwrap();
        Compressed { x, y_is_odd }
    }
    prop_oneof![
        (vec(any::<u8>(), 32), any::<bool>()).prop_map(|p| PublicKey::P256(point(p))),
        (vec(any::<u8>(), 66), any::<bool>()).prop_map(|p| PublicKey::P521(point(p))),
        vec(any::<u8>(), 32).prop_map(|u| PublicKey::X25519(u.try_into().unwrap())),
        vec(any::<u8>(), 56).prop_map(|u| PublicKey::X448(u.try_into().unwrap())),
    ]
}

/// A suboption, written by the rules of RFC 8547 without the code under test.
#[derive(Clone, Debug)]
enum Sub {
    Global(u8),
    /// TEP identifier, and data if v = 1.
    Tep(u8, Option<Vec<u8>>),
}

fn sub() -> impl Strategy<Value = Sub> {
    prop_oneof![
        (0..0x20u8).prop_map(Sub::Global),
        (0x20..0x80u8, option::of(vec(any::<u8>(), 1..=8)))
            .prop_map(|(id, data)| Sub::Tep(id, data)),
        (0x21..0x25u8, option::of(vec(any::<u8>(), 1..=8)))
            .prop_map(|(id, data)| Sub::Tep(id, data)),
    ]
}

fn subs() -> impl Strategy<Value = Vec<Sub>> {
    vec(sub(), 0..6)
}

/// The contents of an option; the last suboption has no length byte if `short` is set.
fn encode(subs: &[Sub], short: bool) -> Vec<u8> {
    let mut out = vec![];
    for (at, sub) in subs.iter().enumerate() {
        match sub {
            Sub::Global(byte) => out.push(*byte),
            Sub::Tep(id, None) => out.push(*id),
            Sub::Tep(id, Some(data)) => {
                if !(short && at == subs.len() - 1) {
                    out.push(0x80 | u8::try_from(data.len() - 1).unwrap());
                }
                out.push(0x80 | id);
                out.extend(data);
            }
        }
    }
    out
}

/// RFC 8547, 4.5, and RFC 8548, 3.2, word for word: the last TEP of `b` that is valid.
fn expected_tep(a: &[Sub], b: &[Sub]) -> Option<u8> {
    let count = |subs: &[Sub], wanted: u8| {
        let same = |sub: &&Sub| matches!(sub, Sub::Tep(id, _) if *id == wanted);
        subs.iter().filter(same).count()
    };
    b.iter().rev().find_map(|sub| match sub {
        Sub::Tep(id, None) if count(a, *id) == 1 && count(b, *id) == 1 => Some(*id),
        _ => None,
    })
}

fn aead() -> impl Strategy<Value = Aead> {
    select(&AEADS[..])
}

fn aeads() -> impl Strategy<Value = Vec<Aead>> {
    vec(aead(), 1..=AeadList::MAX)
}

fn master(seed: u8) -> MasterKey {
    let mut prk = Secret::zeroed();
    prk.expose_mut().fill(seed);
    SessionSecret::from_prk(prk).master::<HostHmac>(&SessionNonce::EMPTY)
}

/// Bytes that are no ENO option: other kinds, whole, or NOPs.
fn other_options() -> impl Strategy<Value = Vec<u8>> {
    let option = (2..69u8, vec(any::<u8>(), 0..6)).prop_map(|(kind, data)| {
        [vec![kind, u8::try_from(data.len() + 2).unwrap()], data].concat()
    });
    vec(prop_oneof![option, Just(vec![1])], 0..4).prop_map(|options| options.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_option_is_found_wherever_it_is(
        before in other_options(),
        contents in vec(any::<u8>(), 0..20),
        after in other_options(),
    ) {
        let option = eno(&contents);
        let options = [before.clone(), option.clone(), after.clone()].concat();
        prop_assert_eq!(find(&options), Found::One(&option));
        prop_assert!(has_eno(&options));
        let without = [before, after].concat();
        prop_assert_eq!(find(&without), Found::None);
        let twice = [options, option].concat();
        prop_assert_eq!(find(&twice), Found::Many);
    }

    #[test]
    fn suboptions_are_read_as_they_were_written(subs in subs(), short: bool) {
        let option = eno(&encode(&subs, short));
        let syn = SynForm::parse(&option).unwrap();
        let read: Vec<_> = syn.teps().map(|tep| (tep.byte, tep.data.to_vec())).collect();
        let written: Vec<_> = subs.iter().filter_map(|sub| match sub {
            Sub::Global(_) => None,
            Sub::Tep(id, None) => Some((*id, vec![])),
            Sub::Tep(id, Some(data)) => Some((0x80 | id, data.clone())),
        }).collect();
        prop_assert_eq!(read, written);
        let global = subs.iter().find_map(|sub| match sub {
            Sub::Global(byte) => Some(*byte),
            Sub::Tep(..) => None,
        });
        prop_assert_eq!(syn.global(), global.unwrap_or(0));
    }

    #[test]
    fn the_negotiated_tep_is_that_of_the_rfc(a in subs(), b in subs(), short: bool) {
        let (a_option, b_option) = (eno(&encode(&a, short)), eno(&encode(&b, short)));
        let a_syn = SynForm::parse(&a_option).unwrap();
        let b_syn = SynForm::parse(&b_option).unwrap();
        let tep = negotiated(&a_syn, &b_syn, |_| false).map(|tep| tep.byte);
        prop_assert_eq!(tep, expected_tep(&a, &b));
    }

    #[test]
    fn any_suboptions_are_answered_by_the_rules(mut subs in subs(), b: bool, aware: bool) {
        subs.insert(0, Sub::Global(u8::from(b) + 2 * u8::from(aware)));
        let syn = eno(&encode(&subs, true));
        let policy = Policy::new(Role::B).aware(Aware::Mandatory);
        let offers = subs.iter().filter(|sub| matches!(sub, Sub::Tep(0x23, _))).count();
        let agreed = !b && aware && offers == 1;
        prop_assert_eq!(answer_to(&policy, &syn).is_ok(), agreed);

        let offered = Offered::new(&Policy::new(Role::A).aware(Aware::Mandatory));
        let tep = expected_tep(&[Sub::Tep(0x23, None)], &subs);
        let agreed = b && aware && tep.is_some();
        prop_assert_eq!(offered.on_syn(&syn).is_ok(), agreed);
    }

    #[test]
    fn an_offer_and_its_answer_always_agree(
        a in select(&[Aware::Clear, Aware::Set, Aware::Mandatory][..]),
        b in select(&[Aware::Clear, Aware::Set, Aware::Mandatory][..]),
    ) {
        prop_assume!(a == Aware::Clear && b == Aware::Clear
            || a != Aware::Clear && b != Aware::Clear
            || a != Aware::Mandatory && b != Aware::Mandatory);
        let (a, b) = negotiate_by(&Policy::new(Role::A).aware(a), &Policy::new(Role::B).aware(b));
        prop_assert_eq!(a.transcript(), b.transcript());
        prop_assert_eq!(a.tep_byte(), b.tep_byte());
    }

    #[test]
    fn init1_is_read_as_it_was_written(
        ciphers in vec(any::<u16>(), 0..=255),
        nonce in uniform32(any::<u8>()),
        public in public_key(),
        ignored in vec(any::<u8>(), 0..100),
    ) {
        let tep = public.tep();
        let encoded = public.emit();
        let message = support::init1(&ciphers, &nonce, encoded.as_bytes(), &ignored);
        let len = message_len(Kind::Init1, tep, &message);
        prop_assert_eq!(len, Ok(Some(message.len())));
        let read = Init1::parse(tep, &message).unwrap();
        prop_assert_eq!((read.nonce, read.public), (&nonce, public));
        for aead in AEADS {
            prop_assert_eq!(read.offers(aead), ciphers.contains(&aead.id()));
        }
    }

    #[test]
    fn own_messages_have_no_ignored_bytes(
        offer in aeads(),
        nonce in uniform32(any::<u8>()),
        public in public_key(),
    ) {
        let encoded = public.emit();
        let ids: Vec<u16> = offer.iter().map(|aead| aead.id()).collect();
        let list = AeadList::from_slice(&offer).unwrap();
        let message = Init1::emit(&list, &nonce, &public);
        prop_assert_eq!(message.as_bytes(), support::init1(&ids, &nonce, encoded.as_bytes(), &[]));
        let message = Init2::emit(offer[0], &nonce, &public);
        prop_assert_eq!(message.as_bytes(), support::init2(ids[0], &nonce, encoded.as_bytes(), &[]));
    }

    #[test]
    fn the_length_does_not_depend_on_how_much_is_there(
        tep in select(&TEPS[..]),
        len: u32,
        rest in vec(any::<u8>(), 0..20),
    ) {
        let stream = [&0x0971_05e0u32.to_be_bytes()[..], &len.to_be_bytes(), &rest].concat();
        let answer = message_len(Kind::Init2, tep, &stream);
        let shortest = 10 + 32 + tep.public_len();
        let usual = (shortest..=MAX_INIT_LEN).contains(&usize::try_from(len).unwrap());
        prop_assert_eq!(answer.is_ok(), usual);
        for n in 8..stream.len() {
            prop_assert_eq!(message_len(Kind::Init2, tep, &stream[..n]), answer);
        }
    }

    #[test]
    fn frames_are_opened_as_they_were_sealed(
        aead in aead(),
        offset: u64,
        rekey: bool,
        fin: bool,
        urgent: Option<u16>,
        data in vec(any::<u8>(), 0..500),
    ) {
        let half = Half::new(&master(1), aead, Direction::BtoA);
        let clear = Clear { flags: u8::from(fin), urgent, data };
        let frame = half.seal(offset, rekey, &clear);
        let (header, plain, data) = half.open(offset, &frame).unwrap();
        prop_assert_eq!(header.rekey(), rekey);
        prop_assert_eq!((plain.fin, plain.urgent), (fin, urgent));
        prop_assert_eq!(data, clear.data);
    }

    #[test]
    fn an_altered_frame_is_not_opened(
        aead in aead(),
        offset: u64,
        data in vec(any::<u8>(), 0..100),
        at: prop::sample::Index,
        bit in 0..8u8,
    ) {
        let half = Half::new(&master(2), aead, Direction::AtoB);
        let mut frame = half.seal(offset, false, &Clear::data(&data));
        let at = at.index(frame.len());
        frame[at] ^= 1u8 << bit;
        prop_assert!(half.open(offset, &frame).is_none());
    }

    #[test]
    fn nonces_of_different_offsets_differ(aead in aead(), a: u64, b: u64) {
        let traffic = master(3).traffic::<HostHmac>(aead, Direction::AtoB);
        let randomizer = traffic.into_randomizer();
        prop_assert_eq!(randomizer.nonce(a) == randomizer.nonce(b), a == b);
    }
}

proptest! {
    // These do X25519, which takes longer.
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_ends_of_any_key_exchange_agree(
        offer in aeads(),
        prefer in aeads(),
        private in (uniform32(any::<u8>()), uniform32(any::<u8>())),
        nonces in (uniform32(any::<u8>()), uniform32(any::<u8>())),
    ) {
        prop_assume!(offer.iter().any(|aead| prefer.contains(aead)));
        let (a, b) = negotiate();
        let lists = (
            AeadList::from_slice(&offer).unwrap(),
            AeadList::from_slice(&prefer).unwrap(),
        );
        let (a, b) = exchange((&a, &b), lists, private, (&nonces.0, &nonces.1));
        prop_assert_eq!(a.session_id, b.session_id);
        let first = prefer.into_iter().find(|aead| offer.contains(aead));
        prop_assert_eq!((Some(a.aead), Some(b.aead)), (first, first));

        let (mut a_master, mut b_master) = (a.tx, b.rx);
        for generation in 0..3 {
            for direction in [Direction::AtoB, Direction::BtoA] {
                let seal = Half::new(&a_master, a.aead, direction);
                let open = Half::new(&b_master, b.aead, direction);
                let frame = seal.seal(95, generation > 0, &Clear::data(b"data"));
                prop_assert!(open.open(95, &frame).is_some());
            }
            a_master = a_master.next::<HostHmac>();
            b_master = b_master.next::<HostHmac>();
        }
    }

    #[test]
    fn a_host_b_without_a_common_cipher_fails(
        ciphers in vec(any::<u16>(), 0..20),
        prefer in aeads(),
    ) {
        prop_assume!(!prefer.iter().any(|aead| ciphers.contains(&aead.id())));
        let (_, b) = negotiate();
        let init1 = support::init1(&ciphers, &[1; 32], &[2; 32], &[]);
        let state = AwaitInit1::new(
            &b,
            AeadList::from_slice(&prefer).unwrap(),
        );
        let result = state.on_init1(&init1, &[3; 32], &PublicKey::X25519([4; 32]));
        prop_assert_eq!(result.err(), Some(Error::NoCommonCipher));
    }

    #[test]
    fn frames_of_any_size_are_opened(aead in aead(), len in 0..=MAX_DATA, offset: u64) {
        let half = Half::new(&master(4), aead, Direction::AtoB);
        let data = vec![0x5a; len];
        let frame = half.seal(offset, false, &Clear::data(&data));
        prop_assert_eq!(half.open(offset, &frame).unwrap().2, data);
    }
}
