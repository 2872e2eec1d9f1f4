// SPDX-License-Identifier: GPL-2.0

//! The negotiated TEP, what disables ENO, and the transcript (RFC 8547, 4.5, 4.6, 4.8; RFC 8548,
//! 3.2, 3.5).

use tcpcrypt_proto_tests::{
    proto::{
        eno::{
            suboption::{negotiated, SynForm},
            Answer, Negotiated, Offered, Policy, Reason, NON_SYN_OPTION,
        },
        ids::{Role, Tep},
    },
    support::{ack_options, answer_to, eno, negotiate, syn_options},
};

fn connect(contents: &[u8]) -> Result<Negotiated, Reason> {
    Offered::new(&Policy::new(Role::A)).on_syn(&syn_options(&eno(contents)))
}

fn listen(contents: &[u8]) -> Result<Answer, Reason> {
    answer_to(&Policy::new(Role::B), &syn_options(&eno(contents)))
}

/// The byte of the negotiated TEP of two options.
fn tep_of(a: &[u8], b: &[u8]) -> Option<u8> {
    let (a, b) = (eno(a), eno(b));
    let a = SynForm::parse(&a).unwrap();
    let b = SynForm::parse(&b).unwrap();
    negotiated(&a, &b, |_| false).map(|tep| tep.byte)
}

#[test]
fn both_ends_agree_on_x25519() {
    let (a, b) = negotiate();
    for end in [&a, &b] {
        assert_eq!(end.tep(), Some(Tep::X25519));
        assert_eq!(end.tep_byte(), 0x23);
    }
    assert_eq!((a.role(), b.role()), (Role::A, Role::B));
}

#[test]
fn the_last_tep_of_host_b_that_host_a_offered_is_negotiated() {
    assert_eq!(tep_of(&[0x21, 0x23], &[0x01, 0x21, 0x23]), Some(0x23));
    assert_eq!(tep_of(&[0x21, 0x23], &[0x01, 0x23, 0x21]), Some(0x21));
    // Figure 12 of RFC 8547: A sends <Y,X>, B <b=1,X,Y,Z>.
    assert_eq!(tep_of(&[0x22, 0x21], &[0x01, 0x21, 0x22, 0x24]), Some(0x22));
}

#[test]
fn host_a_order_does_not_matter() {
    assert_eq!(tep_of(&[0x23, 0x21], &[0x01, 0x21, 0x23]), Some(0x23));
}

#[test]
fn host_b_may_send_many_teps() {
    for contents in [
        &[0x01, 0x21, 0x22, 0x23][..],
        &[0x01, 0x23, 0x22, 0x24, 0x7f],
        &[0x01, 0x23, 0x80, 0xa1, 9, 0xff, 1, 2, 3],
    ] {
        assert_eq!(connect(contents).unwrap().tep_byte(), 0x23);
    }
}

#[test]
fn a_tep_that_was_not_offered_is_not_negotiated() {
    assert_eq!(connect(&[0x01, 0x21]), Err(Reason::NoTep));
    assert_eq!(connect(&[0x01, 0xff, 1]), Err(Reason::NoTep));
}

#[test]
fn unknown_teps_in_a_syn_are_ignored() {
    for contents in [
        &[0x20, 0x21, 0x22, 0x23, 0x24, 0x7f][..],
        &[0x84, 0xff, 1, 2, 3, 4, 5, 0x23],
        &[0x23, 0xa1, 0x23, 0x23],
    ] {
        let answer = listen(contents).unwrap();
        assert_eq!(answer.option().as_bytes(), [69, 4, 0x01, 0x23]);
    }
}

#[test]
fn a_syn_without_a_known_tep_gets_no_answer() {
    assert_eq!(listen(&[0x21, 0x22, 0x24]), Err(Reason::NoTep));
    // 0x23 is data here.
    assert_eq!(listen(&[0xa1, 0x23]), Err(Reason::NoTep));
}

#[test]
fn a_vacuous_option_means_plain_tcp() {
    assert_eq!(listen(&[]), Err(Reason::NoTep));
    assert_eq!(listen(&[0x00]), Err(Reason::NoTep));
    assert_eq!(connect(&[0x01]), Err(Reason::NoTep));
}

#[test]
fn a_repeated_tep_is_not_negotiated() {
    assert_eq!(listen(&[0x23, 0x23]), Err(Reason::NoTep));
    assert_eq!(connect(&[0x01, 0x23, 0x23]), Err(Reason::NoTep));
    assert_eq!(tep_of(&[0x21, 0x23], &[0x01, 0x21, 0x23, 0x23]), Some(0x21));
}

#[test]
fn a_segment_without_option_means_plain_tcp() {
    let offered = Offered::new(&Policy::new(Role::A));
    assert_eq!(offered.on_syn(&syn_options(&[])), Err(Reason::NoOption));
    assert_eq!(offered.on_syn(&[]), Err(Reason::NoOption));
    let answer = answer_to(&Policy::new(Role::B), &syn_options(&[]));
    assert_eq!(answer, Err(Reason::NoOption));
}

#[test]
fn a_segment_with_two_options_means_plain_tcp() {
    let good = eno(&[0x01, 0x23]);
    let syn_ack = syn_options(&[good.clone(), good].concat());
    let offered = Offered::new(&Policy::new(Role::A));
    assert_eq!(offered.on_syn(&syn_ack), Err(Reason::Duplicate));

    let syn = syn_options(&[eno(&[0x23]), vec![1], eno(&[])].concat());
    let answer = answer_to(&Policy::new(Role::B), &syn);
    assert_eq!(answer, Err(Reason::Duplicate));
}

#[test]
fn an_ill_formed_option_means_plain_tcp() {
    assert_eq!(connect(&[0x01, 0x23, 0x80]), Err(Reason::Malformed));
    assert_eq!(connect(&[0x01, 0x23, 0x80, 0x23]), Err(Reason::Malformed));
    assert_eq!(listen(&[0x23, 0x85, 0xa1, 1]), Err(Reason::Malformed));
    assert_eq!(listen(&[0x23, 0x80, 0x9f, 1]), Err(Reason::Malformed));
}

#[test]
fn a_proposal_to_resume_is_answered_by_fresh_key_exchange() {
    let mut contents = vec![0xa3];
    contents.extend([0x5a; 17]);
    let answer = listen(&contents).unwrap();
    assert_eq!(answer.option().as_bytes(), [69, 4, 0x01, 0x23]);
}

#[test]
fn a_tep_with_less_than_nine_bytes_of_data_is_an_offer_of_fresh_key_exchange() {
    for len in 0..9 {
        let mut contents = vec![0xa3];
        contents.extend(vec![7; len]);
        let answer = listen(&contents).unwrap();
        assert_eq!(answer.option().as_bytes(), [69, 4, 0x01, 0x23]);
        let end = answer.confirm(&NON_SYN_OPTION).unwrap();
        // The byte that host B sent, not host A's.
        assert_eq!(end.tep_byte(), 0x23);
    }
}

#[test]
fn a_resumption_that_was_not_proposed_is_ignored() {
    for len in [0, 8, 9, 17] {
        let mut contents = vec![0x01, 0xa3];
        contents.extend(vec![7; len]);
        assert_eq!(connect(&contents), Err(Reason::NoTep));
    }
    assert_eq!(connect(&[0x01, 0x80, 0xa3, 7]), Err(Reason::NoTep));
}

#[test]
fn an_ignored_resumption_leaves_the_other_teps() {
    let b = [0x01, 0x21, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(tep_of(&[0x21, 0x23], &b), Some(0x21));
}

#[test]
fn host_b_of_a_simultaneous_open_takes_a_proposal_to_resume_as_an_offer() {
    let offered = Offered::new(&Policy::new(Role::B));
    let end = offered
        .on_syn(&eno(&[0xa3, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
        .unwrap();
    assert_eq!(end.tep_byte(), 0x23);
}

#[test]
fn the_last_segment_of_the_handshake_needs_the_option() {
    let answer = listen(&[0x23]).unwrap();
    assert_eq!(answer.confirm(&ack_options(&[])), Err(Reason::NoAck));
    assert_eq!(answer.confirm(&[]), Err(Reason::NoAck));
    assert!(answer.confirm(&ack_options(&[69, 2, 1, 1])).is_ok());
    assert!(answer.confirm(&ack_options(&[69, 2, 69, 2])).is_ok());
    assert!(answer.confirm(&ack_options(&[69, 5, 0x80, 0, 1])).is_ok());
}

#[test]
fn an_answer_can_be_made_again() {
    let again = (listen(&[0x23]), listen(&[0x23]));
    assert_eq!(again.0, again.1);
}

#[test]
fn the_offer_never_changes() {
    let policy = Policy::new(Role::A);
    let offered = Offered::new(&policy);
    let before = offered.option();
    let _ = offered.on_syn(&syn_options(&eno(&[0x01, 0x23])));
    assert_eq!(before, offered.option());
    assert_eq!(before, Offered::new(&policy).option());
}

#[test]
fn the_transcript_has_host_a_option_then_host_b_option() {
    let (a, b) = negotiate();
    assert_eq!(a.transcript(), [69, 3, 0x23, 69, 4, 0x01, 0x23]);
    assert_eq!(a.transcript(), b.transcript());
}

#[test]
fn the_transcript_has_the_peers_option_as_it_appeared() {
    let contents = [0x1d, 0x00, 0x24, 0x80, 0xff, 7, 0x23];
    let end = connect(&contents).unwrap();
    let expected = [vec![69, 3, 0x23], eno(&contents)].concat();
    assert_eq!(end.transcript(), expected);

    let contents = [0x04, 0x21, 0xa3, 1, 2, 3];
    let end = listen(&contents).unwrap().confirm(&[69, 2]).unwrap();
    let expected = [eno(&contents), vec![69, 4, 0x01, 0x23]].concat();
    assert_eq!(end.transcript(), expected);
}

#[test]
fn options_of_40_bytes_fit() {
    let mut syn = vec![0x23];
    syn.extend([0x21; 37]);
    let end = answer_to(&Policy::new(Role::B), &eno(&syn)).unwrap();
    let end = end.confirm(&[69, 2]).unwrap();
    assert_eq!(
        end.transcript(),
        [eno(&syn), vec![69, 4, 0x01, 0x23]].concat()
    );

    let mut syn_ack = vec![0x01, 0x23, 0xa4];
    syn_ack.extend([0x23; 35]);
    let end = Offered::new(&Policy::new(Role::A))
        .on_syn(&eno(&syn_ack))
        .unwrap();
    assert_eq!(
        end.transcript(),
        [vec![69, 3, 0x23], eno(&syn_ack)].concat()
    );
}
