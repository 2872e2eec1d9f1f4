// SPDX-License-Identifier: GPL-2.0

//! Options that an application writes, lists of TEPs, and answers that were sent before (RFC 8547,
//! 4.1, 4.2, 4.4 to 4.6).

use tcpcrypt_proto_tests::{
    proto::{
        eno::{
            suboption::IllFormed, Answer, Aware, Negotiated, Offered, Policy, RawContents, Reason,
            TepList,
        },
        ids::{Role, Tep},
    },
    support::{answer_to, eno, syn_options},
};

fn raw(contents: &[u8]) -> RawContents {
    RawContents::new(contents).unwrap()
}

/// An active opener that sends `own` gets `peer` in the SYN-ACK.
fn connect(own: &[u8], peer: &[u8]) -> Result<Negotiated, Reason> {
    let offered = Offered::new(&Policy::new(Role::A).raw(raw(own)));
    assert_eq!(offered.option().as_bytes(), eno(own));
    offered.on_syn(&syn_options(&eno(peer)))
}

/// A passive opener that sends `own` got `peer` in the SYN.
fn listen(own: &[u8], peer: &[u8]) -> Result<Negotiated, Reason> {
    let policy = Policy::new(Role::B).raw(raw(own));
    let answer = answer_to(&policy, &syn_options(&eno(peer)))?;
    assert_eq!(answer.option().as_bytes(), eno(own));
    answer.confirm(&[69, 2])
}

#[test]
fn a_raw_option_is_sent_as_it_is() {
    let own = [0x80, 0xa0, 9, 0x21, 0x7f];
    assert!(connect(&own, &[0x01, 0x20]).is_ok());
    assert!(listen(&[0x01, 0xff, 1, 2, 3], &[0x7f]).is_ok());
}

#[test]
fn a_raw_tep_may_be_any_with_or_without_data() {
    let end = connect(&[0x20], &[0x01, 0xa0, 1, 2, 3]).unwrap();
    assert_eq!((end.tep(), end.tep_byte()), (None, 0xa0));
    assert_eq!(
        end.transcript(),
        [eno(&[0x20]), eno(&[0x01, 0xa0, 1, 2, 3])].concat()
    );
    let end = listen(&[0x01, 0x20], &[0x80, 0xa0, 1, 0x7f]).unwrap();
    assert_eq!((end.tep(), end.tep_byte()), (None, 0x20));
    assert_eq!(end.role(), Role::B);
}

#[test]
fn the_last_common_raw_tep_of_host_b_is_negotiated() {
    let end = connect(&[0x20, 0x30], &[0x01, 0x20, 0x30, 0x40]).unwrap();
    assert_eq!(end.tep_byte(), 0x30);
    let end = listen(&[0x01, 0x30, 0x20], &[0x20, 0x30]).unwrap();
    assert_eq!(end.tep_byte(), 0x20);
}

#[test]
fn without_a_common_raw_tep_the_connection_is_plain() {
    assert_eq!(connect(&[0x20], &[0x01, 0x21]), Err(Reason::NoTep));
    assert_eq!(listen(&[0x01, 0x20], &[0x21]), Err(Reason::NoTep));
    assert_eq!(connect(&[], &[0x01, 0x21]), Err(Reason::NoTep));
    // Nobody knows what the repetition means.
    assert_eq!(connect(&[0x20], &[0x01, 0x20, 0x20]), Err(Reason::NoTep));
}

#[test]
fn a_raw_option_has_the_role_that_it_claims() {
    assert_eq!(raw(&[0x01, 0x20]).role(), Role::B);
    assert_eq!(raw(&[0x20]).role(), Role::A);
    // An active opener that plays host B, in a simultaneous open and against a listener.
    let end = connect(&[0x01, 0x20], &[0x20]).unwrap();
    assert_eq!(end.role(), Role::B);
    assert_eq!(connect(&[0x01, 0x20], &[0x01, 0x20]), Err(Reason::Role));
    // A passive opener is host B: it can't say anything else.
    assert_eq!(listen(&[0x20], &[0x20]), Err(Reason::Role));
}

#[test]
fn mandatory_application_aware_mode_holds_for_raw_options() {
    let policy = Policy::new(Role::A)
        .raw(raw(&[0x02, 0x20]))
        .aware(Aware::Mandatory);
    let offered = Offered::new(&policy);
    assert_eq!(offered.on_syn(&eno(&[0x01, 0x20])), Err(Reason::NotAware));
    let end = offered.on_syn(&eno(&[0x03, 0x20])).unwrap();
    assert_eq!((end.own_global(), end.peer_global()), (0x02, 0x03));
}

#[test]
fn ill_formed_raw_contents_are_refused() {
    for contents in [
        // Reserved bits.
        &[0x04, 0x20][..],
        &[0x20, 0x1f],
        // Two global suboptions.
        &[0x00, 0x01, 0x20],
        // Length bytes.
        &[0x80],
        &[0x80, 0x20, 1],
        &[0x85, 0xa0, 1, 2],
        // Longer than a TCP header allows.
        &[0x20; 39],
    ] {
        assert_eq!(RawContents::new(contents), Err(IllFormed));
    }
    assert!(RawContents::new(&[0x20; 38]).is_ok());
    assert!(RawContents::new(&[]).is_ok());
}

#[test]
fn a_list_of_teps_has_at_least_one_and_none_twice() {
    assert_eq!(TepList::from_slice(&[]), None);
    for tep in Tep::ALL {
        assert_eq!(TepList::from_slice(&[tep, tep]), None);
        let one = TepList::from_slice(&[tep]).unwrap();
        assert_eq!(one.iter().collect::<Vec<_>>(), [tep]);
    }
    let all = TepList::from_slice(&Tep::ALL).unwrap();
    assert_eq!(all.iter().collect::<Vec<_>>(), Tep::ALL);
    let default = TepList::from_slice(&[Tep::X25519]);
    assert_eq!(Some(TepList::default()), default);
}

#[test]
fn an_active_opener_offers_all_its_teps_the_best_last() {
    let all = TepList::from_slice(&Tep::ALL).unwrap();
    let option = Offered::new(&Policy::new(Role::B).teps(all)).option();
    let best_last = Tep::ALL.iter().rev().map(|tep| tep.id());
    let contents: Vec<u8> = [0x01].into_iter().chain(best_last).collect();
    assert_eq!(option.as_bytes(), eno(&contents));
}

#[test]
fn a_passive_opener_answers_with_the_best_common_tep_of_its_own_order() {
    for tep in Tep::ALL {
        let others = Tep::ALL.into_iter().filter(|other| *other != tep);
        let order: Vec<Tep> = [tep].into_iter().chain(others).collect();
        let policy = Policy::new(Role::B).teps(TepList::from_slice(&order).unwrap());
        let syn: Vec<u8> = Tep::ALL.iter().map(|tep| tep.id()).collect();
        let answer = answer_to(&policy, &eno(&syn)).unwrap();
        assert_eq!(answer.option().as_bytes(), [69, 4, 0x01, tep.id()]);
        assert_eq!(answer.confirm(&[69, 2]).unwrap().tep(), Some(tep));
    }
}

#[test]
fn an_answer_that_was_sent_counts_whatever_the_policy_is_now() {
    let syn = syn_options(&eno(&[0x22, 0x23]));
    let aware = Policy::new(Role::B).aware(Aware::Set);
    let sent = answer_to(&aware, &syn).unwrap();
    let again = Answer::sent(sent.option().as_bytes(), false, &syn);
    assert_eq!(again, Ok(sent));
    assert_ne!(answer_to(&Policy::new(Role::B), &syn), Ok(sent));

    let raw = answer_to(&Policy::new(Role::B).raw(raw(&[0x01, 0x22])), &syn).unwrap();
    assert!(raw.is_raw() && !sent.is_raw());
    let again = Answer::sent(raw.option().as_bytes(), true, &syn);
    assert_eq!(again, Ok(raw));
    // What is no answer to this SYN is not taken.
    for option in [&[][..], &[69, 2], &[69, 3, 0x23], &[69, 4, 0x01, 0x21]] {
        assert!(Answer::sent(option, false, &syn).is_err());
    }
}
