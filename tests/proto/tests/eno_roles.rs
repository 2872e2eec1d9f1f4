// SPDX-License-Identifier: GPL-2.0

//! Roles, the application-aware bit and the reserved bits (RFC 8547, 4.2, 4.3, 4.6).

use tcpcrypt_proto_tests::{
    proto::{
        eno::{Aware, Offered, Policy, Reason},
        ids::Role,
    },
    support::{answer_to, eno, syn_options},
};

fn active(role: Role) -> Offered {
    Offered::new(&Policy::new(role))
}

/// What a SYN-ACK with these ENO contents comes to for a default active opener.
fn connect(contents: &[u8]) -> Result<Role, Reason> {
    let syn_ack = syn_options(&eno(contents));
    active(Role::A).on_syn(&syn_ack).map(|ok| ok.role())
}

/// What a SYN with these ENO contents comes to for a default passive opener.
fn listen(contents: &[u8]) -> Result<Vec<u8>, Reason> {
    let syn = syn_options(&eno(contents));
    let answer = answer_to(&Policy::new(Role::B), &syn)?;
    Ok(answer.option().as_bytes().to_vec())
}

#[test]
fn an_active_opener_is_host_a_without_a_global_suboption() {
    assert_eq!(active(Role::A).option().as_bytes(), [69, 3, 0x23]);
    assert_eq!(connect(&[0x01, 0x23]), Ok(Role::A));
}

#[test]
fn a_passive_opener_answers_with_b_set_and_one_tep() {
    assert_eq!(listen(&[0x23]), Ok(vec![69, 4, 0x01, 0x23]));
    assert_eq!(
        listen(&[0x00, 0x21, 0x22, 0x23, 0x24]),
        Ok(vec![69, 4, 0x01, 0x23])
    );
}

#[test]
fn a_passive_opener_is_host_b_whatever_its_policy_says() {
    let syn = syn_options(&eno(&[0x23]));
    let answer = answer_to(&Policy::new(Role::A), &syn).unwrap();
    assert_eq!(answer.option().as_bytes(), [69, 4, 0x01, 0x23]);
    assert_eq!(answer.confirm(&[69, 2]).unwrap().role(), Role::B);
}

#[test]
fn an_echoed_option_is_refused() {
    let offered = active(Role::A);
    let echo = offered.on_syn(&syn_options(offered.option().as_bytes()));
    assert_eq!(echo, Err(Reason::Role));
}

#[test]
fn two_hosts_with_b_clear_do_not_match() {
    assert_eq!(connect(&[0x23]), Err(Reason::Role));
    assert_eq!(connect(&[0x00, 0x23]), Err(Reason::Role));
    assert_eq!(connect(&[0x1e, 0x23]), Err(Reason::Role));
}

#[test]
fn two_hosts_with_b_set_do_not_match() {
    assert_eq!(listen(&[0x01, 0x23]), Err(Reason::Role));
    let host_b = active(Role::B);
    assert_eq!(host_b.on_syn(&eno(&[0x01, 0x23])), Err(Reason::Role));
}

#[test]
fn the_first_global_suboption_decides_the_role() {
    assert_eq!(connect(&[0x01, 0x00, 0x23]), Ok(Role::A));
    assert_eq!(connect(&[0x00, 0x01, 0x23]), Err(Reason::Role));
}

#[test]
fn a_length_byte_is_not_a_global_suboption() {
    // 0x81 is a length byte, not b = 1.
    assert_eq!(connect(&[0x81, 0xa4, 1, 2, 0x23]), Err(Reason::Role));
}

#[test]
fn reserved_bits_are_ignored() {
    assert_eq!(connect(&[0x1d, 0x23]), Ok(Role::A));
    assert!(listen(&[0x1c, 0x23]).is_ok());
}

#[test]
fn reserved_bits_are_never_sent() {
    for role in [Role::A, Role::B] {
        for aware in [Aware::Clear, Aware::Set, Aware::Mandatory] {
            let option = Offered::new(&Policy::new(role).aware(aware)).option();
            let global = option.as_bytes()[2];
            assert!(global < 0x04 || global == 0x23);
        }
    }
}

#[test]
fn simultaneous_open_gives_opposite_roles() {
    let (a, b) = (active(Role::A), active(Role::B));
    assert_eq!(b.option().as_bytes(), [69, 4, 0x01, 0x23]);
    let at_a = a.on_syn(&syn_options(b.option().as_bytes())).unwrap();
    let at_b = b.on_syn(&syn_options(a.option().as_bytes())).unwrap();
    assert_eq!((at_a.role(), at_b.role()), (Role::A, Role::B));
    assert_eq!(at_a.transcript(), at_b.transcript());
    assert_eq!(at_a.transcript(), [69, 3, 0x23, 69, 4, 0x01, 0x23]);
}

#[test]
fn simultaneous_open_with_equal_roles_fails() {
    for role in [Role::A, Role::B] {
        let end = active(role);
        let crossing = syn_options(active(role).option().as_bytes());
        assert_eq!(end.on_syn(&crossing), Err(Reason::Role));
    }
}

#[test]
fn an_active_host_b_does_not_match_a_passive_opener() {
    let syn = syn_options(active(Role::B).option().as_bytes());
    let answer = answer_to(&Policy::new(Role::B), &syn);
    assert_eq!(answer, Err(Reason::Role));
}

#[test]
fn the_aware_bit_is_sent_when_set() {
    for aware in [Aware::Set, Aware::Mandatory] {
        let policy = Policy::new(Role::A).aware(aware);
        let option = Offered::new(&policy).option();
        assert_eq!(option.as_bytes(), [69, 4, 0x02, 0x23]);
        let answer = answer_to(&policy, &eno(&[0x02, 0x23])).unwrap();
        assert_eq!(answer.option().as_bytes(), [69, 4, 0x03, 0x23]);
    }
}

#[test]
fn the_peers_global_suboption_is_reported() {
    let ok = active(Role::A).on_syn(&eno(&[0x17, 0x01, 0x23])).unwrap();
    assert_eq!(ok.peer_global(), 0x17);
    let answer = answer_to(&Policy::new(Role::B), &eno(&[0x23])).unwrap();
    assert_eq!(answer.confirm(&[69, 2]).unwrap().peer_global(), 0x00);
}

#[test]
fn an_unaware_peer_is_accepted_unless_mandatory() {
    for (aware, result) in [
        (Aware::Clear, Ok(Role::A)),
        (Aware::Set, Ok(Role::A)),
        (Aware::Mandatory, Err(Reason::NotAware)),
    ] {
        let offered = Offered::new(&Policy::new(Role::A).aware(aware));
        let outcome = offered.on_syn(&eno(&[0x01, 0x23]));
        assert_eq!(outcome.map(|ok| ok.role()), result);
    }
}

#[test]
fn mandatory_aware_mode_accepts_an_aware_peer() {
    let policy = Policy::new(Role::A).aware(Aware::Mandatory);
    assert!(Offered::new(&policy).on_syn(&eno(&[0x03, 0x23])).is_ok());
    assert!(answer_to(&policy, &eno(&[0x02, 0x23])).is_ok());
}

#[test]
fn mandatory_aware_mode_refuses_the_implicit_global_suboption() {
    let policy = Policy::new(Role::B).aware(Aware::Mandatory);
    let answer = answer_to(&policy, &syn_options(&eno(&[0x23])));
    assert_eq!(answer, Err(Reason::NotAware));
}
