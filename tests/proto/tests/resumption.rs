// SPDX-License-Identifier: GPL-2.0

//! Session resumption (RFC 8548, 3.5): what is proposed and agreed to in the SYNs, and the keys that
//! follow.

use tcpcrypt_proto_tests::{
    primitives::HostHmac,
    proto::{
        eno::{Answer, Negotiated, Offered, Policy, Reason, TepList},
        ids::{Aead, Role, Tep},
        keys::Direction,
        session::{Agreement, Established, Half, Proposal, Resumable, ResumptionNonce},
    },
    support::{self, answer_to, eno, established, syn_options},
};

const NONCE_A: [u8; 8] = [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
const NONCE_B: [u8; 7] = [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56];

fn nonce(bytes: &[u8]) -> ResumptionNonce {
    ResumptionNonce::concat(&[bytes]).unwrap()
}

/// What both ends of a connection keep of it: the original hosts A and B.
fn kept(aead: Aead) -> (Resumable, Resumable) {
    let (a, b) = established(aead);
    (keep(a), keep(b))
}

fn keep(end: Established) -> Resumable {
    Resumable::new::<HostHmac>(end.next, Tep::X25519, end.aead, end.role)
}

fn offer(proposal: Proposal) -> Offered {
    Offered::new(&Policy::new(Role::A)).resuming(proposal)
}

/// A passive opener that has `kept`, and agrees if it is named.
fn answer(kept: &Resumable, own_nonce: &[u8], syn: &[u8]) -> Answer {
    Answer::to(&Policy::new(Role::B), syn, |tep, half| {
        let named = tep == kept.tep() && half == kept.peer_half();
        named.then(|| kept.agreement(nonce(own_nonce)))
    })
    .unwrap()
}

/// Both ends' results of an active opener that has `active` and a passive one that has `passive`.
fn open(
    active: &Resumable,
    active_nonce: &[u8],
    passive: &Resumable,
    passive_nonce: &[u8],
) -> (Negotiated, Negotiated) {
    let offered = offer(active.proposal(nonce(active_nonce)));
    let syn = syn_options(offered.option().as_bytes());
    let answer = answer(passive, passive_nonce, &syn);
    let syn_ack = syn_options(answer.option().as_bytes());
    // Half-open connections keep bytes, not answers.
    let again = Answer::sent(answer.option().as_bytes(), false, &syn).unwrap();
    assert_eq!(again, answer);
    let at_active = offered.on_syn(&syn_ack).unwrap();
    (at_active, again.confirm(&[69, 2]).unwrap())
}

fn same_keys(one: &Established, two: &Established) -> bool {
    [Direction::AtoB, Direction::BtoA].iter().all(|direction| {
        let seal = support::Half::new(&one.tx, one.aead, *direction);
        let open = support::Half::new(&two.rx, two.aead, *direction);
        let frame = seal.seal(7, false, &support::Clear::data(b"same"));
        open.open(7, &frame).is_some()
    })
}

#[test]
fn both_ends_resume_whoever_opens() {
    for aead in support::AEADS {
        for a_opens in [true, false] {
            let (a, b) = kept(aead);
            let (at_a, at_b) = if a_opens {
                open(&a, &NONCE_A, &b, &NONCE_B)
            } else {
                let (at_b, at_a) = open(&b, &NONCE_B, &a, &NONCE_A);
                (at_a, at_b)
            };
            assert_eq!(
                (at_a.role() == Role::A, at_b.role() == Role::B),
                (a_opens, a_opens)
            );
            assert_eq!((at_a.tep_byte(), at_b.tep_byte()), (0xa3, 0xa3));
            let one = a.resume::<HostHmac>(&at_a).unwrap();
            let two = b.resume::<HostHmac>(&at_b).unwrap();
            // Keys go by the role in the original session, whoever opened now.
            assert_eq!((one.role, two.role), (Role::A, Role::B));
            assert_eq!((one.aead, two.aead), (aead, aead));
            assert_eq!(one.session_id, two.session_id);
            assert!(same_keys(&one, &two));
        }
    }
}

#[test]
fn sessions_are_resumed_in_a_chain() {
    let (mut a, mut b) = kept(Aead::Aes128Gcm);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(*a.peer_half());
        let (at_a, at_b) = open(&a, &NONCE_A, &b, &NONCE_B);
        let one = a.resume::<HostHmac>(&at_a).unwrap();
        let two = b.resume::<HostHmac>(&at_b).unwrap();
        assert_eq!(one.session_id, two.session_id);
        (a, b) = (keep(one), keep(two));
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_nonce_has_zero_to_eight_bytes_at_each_end() {
    for (len_a, len_b) in [(0, 0), (8, 8), (3, 8), (8, 0)] {
        let (a, b) = kept(Aead::Aes128Gcm);
        let (at_a, at_b) = open(&a, &[1; 8][..len_a], &b, &[2; 8][..len_b]);
        // Kind, length and TEP twice, host B's global suboption, and the other TEPs of host A.
        let others = TepList::default().iter().count() - 1;
        let len = 7 + 9 + len_a + 9 + len_b + others;
        assert_eq!(at_a.transcript().len(), len);
        let one = a.resume::<HostHmac>(&at_a).unwrap();
        let two = b.resume::<HostHmac>(&at_b).unwrap();
        assert_eq!(one.session_id, two.session_id);
    }
}

#[test]
fn another_nonce_is_another_session() {
    let run = |own: &[u8], peer: &[u8]| {
        let (a, b) = kept(Aead::Aes128Gcm);
        let (at_a, _) = open(&a, own, &b, peer);
        a.resume::<HostHmac>(&at_a).unwrap().session_id
    };
    let first = run(&[1], &[2]);
    assert_ne!(first, run(&[3], &[2]));
    assert_ne!(first, run(&[1], &[3]));
    assert_eq!(first, run(&[1], &[2]));
}

#[test]
fn the_proposal_is_the_last_suboption_and_the_answer_the_only_one() {
    let (a, b) = kept(Aead::Aes128Gcm);
    let offered = offer(a.proposal(nonce(&NONCE_A)));
    let option = offered.option();
    let len = option.as_bytes().len();
    assert_eq!(len, 2 + TepList::default().iter().count() + 9 + 8);
    assert_eq!(option.as_bytes()[len - 18], 0xa3);
    assert_eq!(option.as_bytes()[len - 17..len - 8], *b.peer_half());
    assert_eq!(option.as_bytes()[len - 8..], NONCE_A);
    let answer = answer(&b, &NONCE_B, option.as_bytes());
    assert_eq!(answer.option().as_bytes()[..4], [69, 4 + 9 + 7, 0x01, 0xa3]);
    assert_eq!(answer.option().as_bytes()[4..13], *a.peer_half());
}

#[test]
fn an_unknown_session_is_answered_by_fresh_key_exchange() {
    let (a, _) = kept(Aead::Aes128Gcm);
    let offered = offer(a.proposal(nonce(&NONCE_A)));
    let answer = answer_to(&Policy::new(Role::B), offered.option().as_bytes()).unwrap();
    assert_eq!(answer.option().as_bytes().len(), 4);
    let at_a = offered.on_syn(answer.option().as_bytes()).unwrap();
    assert_eq!(at_a.resumption(), None);
    assert_eq!(at_a.tep_byte() & 0x80, 0);
    assert!(a.resume::<HostHmac>(&at_a).is_none());
}

#[test]
fn a_half_that_does_not_match_disables_the_active_opener() {
    let (a, b) = kept(Aead::Aes128Gcm);
    let offered = offer(a.proposal(nonce(&NONCE_A)));
    let reply = |half: &Half| {
        let mut contents = vec![0x01, 0xa3];
        contents.extend(half);
        offered.on_syn(&eno(&contents))
    };
    assert!(reply(a.peer_half()).is_ok());
    let mut wrong = *a.peer_half();
    wrong[8] ^= 1;
    assert_eq!(reply(&wrong), Err(Reason::NoTep));
    // Its own, as a middlebox that echoes would.
    assert_eq!(reply(b.peer_half()), Err(Reason::NoTep));
    // Another TEP, or less than nine bytes.
    let mut contents = vec![0x01, 0xa1];
    contents.extend(a.peer_half());
    assert_eq!(offered.on_syn(&eno(&contents)), Err(Reason::NoTep));
    assert_eq!(offered.on_syn(&eno(&contents[..10])), Err(Reason::NoTep));
}

#[test]
fn a_suboption_longer_than_a_resumption_is_no_offer() {
    let mut contents = vec![0xa3];
    contents.extend([7; 18]);
    assert_eq!(
        answer_to(&Policy::new(Role::B), &eno(&contents)),
        Err(Reason::NoTep)
    );
    assert!(answer_to(&Policy::new(Role::B), &eno(&contents[..18])).is_ok());
}

#[test]
fn a_host_that_does_not_want_to_is_not_asked_to_resume() {
    let (a, _) = kept(Aead::Aes128Gcm);
    let proposal = a.proposal(nonce(&NONCE_A));
    // Host B does not propose, nor is there a proposal with an option that an application wrote.
    let host_b = Offered::new(&Policy::new(Role::B)).resuming(proposal);
    assert!(!host_b.is_resuming());
    assert!(offer(proposal).is_resuming() && !offer(proposal).not_resuming().is_resuming());
    assert_eq!(
        offer(proposal).not_resuming(),
        Offered::new(&Policy::new(Role::A))
    );
}

#[test]
fn what_was_negotiated_must_be_the_session() {
    let (a, b) = kept(Aead::Aes128Gcm);
    let (other, _) = kept(Aead::Aes256Gcm);
    let (at_a, at_b) = open(&a, &NONCE_A, &b, &NONCE_B);
    assert!(other.resume::<HostHmac>(&at_a).is_none());
    assert!(b.resume::<HostHmac>(&at_b).is_some());
}

#[test]
fn an_agreement_is_what_the_session_says() {
    let (a, b) = kept(Aead::Aes128Gcm);
    let agreement = a.agreement(nonce(&[9]));
    let expected = Agreement {
        own: *b.peer_half(),
        nonce: nonce(&[9]),
    };
    assert_eq!(agreement, expected);
}
