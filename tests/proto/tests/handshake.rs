// SPDX-License-Identifier: GPL-2.0

//! The key exchange (RFC 8548, 3.3, 3.4, 5).

use tcpcrypt_proto_tests::{
    primitives::{HostHmac, X25519},
    proto::{
        agreement::{PublicKey, SharedSecret},
        eno::{Negotiated, Offered, Policy},
        handshake::{AeadList, AwaitInit1, AwaitInit2, Error},
        ids::{Aead, Role},
        keys::Direction,
        secret::Secret,
        session::Established,
    },
    support::{self, answer_to, eno, established, exchange, negotiate, Clear, Half, AEADS},
};

const N_A: [u8; 32] = [0xaa; 32];
const N_B: [u8; 32] = [0xbb; 32];
const PUBLIC: PublicKey = PublicKey::X25519([9; 32]);

fn list(aeads: &[Aead]) -> AeadList {
    AeadList::from_slice(aeads).unwrap()
}

/// What host B selects of an Init1 with these ciphers.
fn select(prefer: &[Aead], offered: &[u16]) -> Result<Aead, Error> {
    let state = AwaitInit1::new(&negotiate().1, list(prefer));
    let (state, init2) = state.on_init1(&init1(offered), &N_B, &PUBLIC)?;
    let sent = u16::from_be_bytes([init2.as_bytes()[8], init2.as_bytes()[9]]);
    assert_eq!(state.aead().id(), sent);
    Ok(state.aead())
}

/// What host A makes of an Init2 with this cipher.
fn accept(offer: &[Aead], cipher: u16) -> Result<Aead, Error> {
    let (state, _) = AwaitInit2::start(&negotiate().0, list(offer), &N_A, &PUBLIC);
    state.on_init2(&init2(cipher, &[])).map(|next| next.aead())
}

fn init1(ciphers: &[u16]) -> Vec<u8> {
    support::init1(ciphers, &N_A, PUBLIC.emit().as_bytes(), &[])
}

fn init2(cipher: u16, ignored: &[u8]) -> Vec<u8> {
    support::init2(cipher, &N_B, PUBLIC.emit().as_bytes(), ignored)
}

fn shared(byte: u8) -> SharedSecret {
    let mut secret = Secret::zeroed();
    secret.expose_mut()[31] = byte;
    SharedSecret::X25519(secret)
}

/// Whether both have the same keys in both directions.
fn same_keys(a: &Established, b: &Established) -> bool {
    [Direction::AtoB, Direction::BtoA].iter().all(|direction| {
        let seal = Half::new(&a.tx, a.aead, *direction);
        let open = Half::new(&b.rx, b.aead, *direction);
        let frame = seal.seal(7, false, &Clear::data(b"test"));
        open.open(7, &frame).is_some()
    })
}

#[test]
fn both_ends_come_to_the_same_session() {
    for aead in AEADS {
        let (a, b) = established(aead);
        assert_eq!(a.session_id, b.session_id);
        assert_eq!((a.role, b.role), (Role::A, Role::B));
        assert_eq!((a.aead, b.aead), (aead, aead));
        assert!(same_keys(&a, &b));
        let halves = |end: Established| end.next.resume::<HostHmac>();
        assert_eq!(halves(a), halves(b));
    }
}

#[test]
fn the_session_id_begins_with_the_tep_byte() {
    let (a, b) = established(Aead::Aes128Gcm);
    assert_eq!((a.session_id[0], b.session_id[0]), (0x23, 0x23));
}

#[test]
fn the_directions_have_different_keys() {
    let (a, _) = established(Aead::Aes256Gcm);
    let key = |direction| a.tx.traffic::<HostHmac>(a.aead, direction);
    assert_ne!(key(Direction::AtoB).key(), key(Direction::BtoA).key());
}

#[test]
fn roles_send_and_receive_in_opposite_directions() {
    assert_eq!(Role::A.tx_direction(), Direction::AtoB);
    assert_eq!(Role::A.rx_direction(), Direction::BtoA);
    assert_eq!(Role::B.tx_direction(), Direction::BtoA);
    assert_eq!(Role::B.rx_direction(), Direction::AtoB);
}

#[test]
fn host_b_selects_its_own_first_choice() {
    let prefer = [Aead::ChaCha20Poly1305, Aead::Aes256Gcm, Aead::Aes128Gcm];
    let all = [0x0001, 0x0002, 0x0010];
    assert_eq!(select(&prefer, &all), Ok(Aead::ChaCha20Poly1305));
    assert_eq!(select(&prefer, &[0x0001, 0x0002]), Ok(Aead::Aes256Gcm));
    assert_eq!(select(&prefer, &[0x0001]), Ok(Aead::Aes128Gcm));
}

#[test]
fn host_b_skips_unknown_ciphers() {
    let offered = [0xffff, 0x0003, 0x0002, 0x0000];
    assert_eq!(select(&AEADS, &offered), Ok(Aead::Aes256Gcm));
}

#[test]
fn host_b_refuses_an_init1_without_a_cipher_it_accepts() {
    let only = [Aead::Aes128Gcm];
    assert_eq!(select(&only, &[0x0002, 0x0010]), Err(Error::NoCommonCipher));
    assert_eq!(select(&AEADS, &[0x0003]), Err(Error::NoCommonCipher));
}

#[test]
fn host_b_refuses_an_init1_without_ciphers() {
    assert_eq!(select(&AEADS, &[]), Err(Error::NoCommonCipher));
}

#[test]
fn host_a_takes_what_it_offered() {
    for aead in AEADS {
        assert_eq!(accept(&AEADS, aead.id()), Ok(aead));
        assert_eq!(accept(&[aead], aead.id()), Ok(aead));
    }
}

#[test]
fn host_a_refuses_a_cipher_that_it_did_not_offer() {
    let offer = [Aead::Aes128Gcm, Aead::ChaCha20Poly1305];
    for cipher in [0x0002, 0x0000, 0x0003, 0xffff] {
        assert_eq!(accept(&offer, cipher), Err(Error::CipherNotOffered));
    }
}

#[test]
fn the_wrong_message_is_refused() {
    let (a, b) = negotiate();
    let (state, own) = AwaitInit2::start(&a, list(&AEADS), &N_A, &PUBLIC);
    let reflected = state.on_init2(own.as_bytes());
    assert_eq!(reflected.err(), Some(Error::BadMagic));

    let state = AwaitInit1::new(&b, list(&AEADS));
    let result = state.on_init1(&init2(1, &[]), &N_B, &PUBLIC);
    assert_eq!(result.err(), Some(Error::BadMagic));
}

#[test]
fn the_peers_public_key_is_handed_out() {
    let (a, b) = negotiate();
    let [pub_a, pub_b] = [[1; 32], [2; 32]].map(PublicKey::X25519);
    let (host_a, init1) = AwaitInit2::start(&a, list(&AEADS), &N_A, &pub_a);
    let (host_b, init2) = AwaitInit1::new(&b, list(&AEADS))
        .on_init1(init1.as_bytes(), &N_B, &pub_b)
        .unwrap();
    let host_a = host_a.on_init2(init2.as_bytes()).unwrap();
    assert_eq!(host_a.peer_public(), &pub_b);
    assert_eq!(host_b.peer_public(), &pub_a);
}

#[test]
fn the_all_zero_shared_secret_is_refused() {
    let first = init1(&[1]);
    let host_b = || {
        AwaitInit1::new(&negotiate().1, list(&AEADS))
            .on_init1(&first, &N_B, &PUBLIC)
            .unwrap()
            .0
    };
    let zero = host_b().finish::<HostHmac>(&first, &shared(0));
    assert_eq!(zero.err(), Some(Error::BadKey));
    assert!(host_b().finish::<HostHmac>(&first, &shared(1)).is_ok());

    let (host_a, _) = AwaitInit2::start(&negotiate().0, list(&AEADS), &N_A, &PUBLIC);
    let second = init2(1, &[]);
    let host_a = host_a.on_init2(&second).unwrap();
    let zero = host_a.finish::<HostHmac>(&second, &shared(0));
    assert_eq!(zero.err(), Some(Error::BadKey));
}

#[test]
fn the_shared_secret_of_another_tep_is_refused() {
    let first = init1(&[1]);
    let (host_b, _) = AwaitInit1::new(&negotiate().1, list(&AEADS))
        .on_init1(&first, &N_B, &PUBLIC)
        .unwrap();
    let mut secret = Secret::zeroed();
    secret.expose_mut()[0] = 1;
    let other = host_b.finish::<HostHmac>(&first, &SharedSecret::X448(secret));
    assert_eq!(other.err(), Some(Error::BadKey));
}

#[test]
fn a_public_key_of_small_order_is_refused() {
    // RFC 7748, 6.1: u = 0 and u = 1 lead to the all-zero secret.
    for u in [0, 1] {
        let mut point = [0; 32];
        point[0] = u;
        let mut first = init1(&[1]);
        let at = first.len() - 32;
        first[at..].copy_from_slice(&point);
        let own = X25519::new([7; 32]);
        let (state, _) = AwaitInit1::new(&negotiate().1, list(&AEADS))
            .on_init1(&first, &N_B, &own.public())
            .unwrap();
        let secret = own.shared(state.peer_public());
        let result = state.finish::<HostHmac>(&first, &secret);
        assert_eq!(result.err(), Some(Error::BadKey));
    }
}

/// The session ID that host A comes to for an Init2 and a shared secret.
fn host_a_session(negotiated: &Negotiated, nonce: &[u8; 32], second: &[u8], es: u8) -> [u8; 33] {
    let (state, _) = AwaitInit2::start(negotiated, list(&AEADS), nonce, &PUBLIC);
    let state = state.on_init2(second).unwrap();
    let done = state.finish::<HostHmac>(second, &shared(es)).unwrap();
    done.session_id
}

#[test]
fn ignored_bytes_are_part_of_the_session() {
    let (a, _) = negotiate();
    let session = |ignored: &[u8]| host_a_session(&a, &N_A, &init2(1, ignored), 1);
    assert_ne!(session(&[]), session(&[0]));
    assert_ne!(session(&[0]), session(&[1]));
}

#[test]
fn everything_exchanged_is_part_of_the_session() {
    let (a, _) = negotiate();
    let session = host_a_session(&a, &N_A, &init2(1, &[]), 1);
    assert_eq!(session, host_a_session(&a, &N_A, &init2(1, &[]), 1));
    assert_ne!(session, host_a_session(&a, &[0; 32], &init2(1, &[]), 1));
    assert_ne!(session, host_a_session(&a, &N_A, &init2(2, &[]), 1));
    assert_ne!(session, host_a_session(&a, &N_A, &init2(1, &[]), 2));
    for at in 10..74 {
        let mut second = init2(1, &[]);
        second[at] ^= 1;
        assert_ne!(session, host_a_session(&a, &N_A, &second, 1));
    }
}

#[test]
fn an_option_altered_on_the_way_gives_different_sessions() {
    // Somebody takes 0x21 out of host A's option, and sets a reserved bit in host B's.
    let answer = answer_to(&Policy::new(Role::B), &eno(&[0x23])).unwrap();
    let as_sent = Offered::new(&Policy::new(Role::A));
    let a = as_sent.on_syn(answer.option().as_bytes()).unwrap();
    let altered = as_sent.on_syn(&eno(&[0x05, 0x23])).unwrap();
    let stripped = answer_to(&Policy::new(Role::B), &eno(&[0x21, 0x23])).unwrap();
    let b = answer.confirm(&[69, 2]).unwrap();
    let stripped = stripped.confirm(&[69, 2]).unwrap();

    let run = |a: &Negotiated, b: &Negotiated| {
        let (a, b) = exchange(
            (a, b),
            (AeadList::default(), AeadList::default()),
            ([1; 32], [2; 32]),
            (&N_A, &N_B),
        );
        (a.session_id == b.session_id, same_keys(&a, &b))
    };
    assert_eq!(run(&a, &b), (true, true));
    assert_eq!(run(&altered, &b), (false, false));
    assert_eq!(run(&a, &stripped), (false, false));
}
