// SPDX-License-Identifier: GPL-2.0

//! Finding the ENO option in a TCP header (RFC 8547, 4.1; RFC 9293, 3.1).

use tcpcrypt_proto_tests::{
    proto::eno::{find, has_data_bearing_fast_open, has_eno, Found, NON_SYN_OPTION},
    support::{ack_options, eno, syn_options},
};

#[test]
fn the_option_is_found_among_others() {
    let options = syn_options(&[69, 3, 0x23, 1]);
    assert_eq!(find(&options), Found::One(&[69, 3, 0x23]));
    assert!(has_eno(&options));
}

#[test]
fn a_header_without_options_has_none() {
    assert_eq!(find(&[]), Found::None);
    assert!(!has_eno(&[]));
}

#[test]
fn other_options_are_not_eno() {
    assert_eq!(find(&syn_options(&[])), Found::None);
    assert!(!has_eno(&syn_options(&[])));
}

#[test]
fn an_option_of_40_bytes_is_found_whole() {
    let option = eno(&[0xff; 38]);
    assert_eq!(find(&option), Found::One(&option));
}

#[test]
fn nothing_is_found_after_the_end_of_the_list() {
    assert_eq!(find(&[1, 0, 69, 3, 0x23]), Found::None);
    assert!(!has_eno(&[0, 69, 2]));
}

#[test]
fn a_nop_is_one_byte() {
    assert_eq!(find(&[1, 69, 3, 0x23]), Found::One(&[69, 3, 0x23]));
    assert_eq!(find(&[1, 1, 1, 69, 2]), Found::One(&[69, 2]));
}

#[test]
fn a_length_below_two_ends_the_walk() {
    for len in [0, 1] {
        assert_eq!(find(&[8, len, 69, 3, 0x23]), Found::None);
        assert_eq!(find(&[69, len, 0x23, 69, 3, 0x23]), Found::None);
    }
}

#[test]
fn a_length_beyond_the_header_ends_the_walk() {
    assert_eq!(find(&[69, 4, 0x23]), Found::None);
    assert_eq!(find(&[8, 10, 69, 3, 0x23]), Found::None);
    assert!(!has_eno(&[69, 255]));
}

#[test]
fn a_kind_without_a_length_ends_the_walk() {
    assert_eq!(find(&[69]), Found::None);
    assert_eq!(find(&[1, 1, 8]), Found::None);
}

#[test]
fn what_precedes_a_broken_option_stays_found() {
    assert_eq!(find(&[69, 3, 0x23, 8, 0]), Found::One(&[69, 3, 0x23]));
    assert_eq!(find(&[69, 3, 0x23, 8, 40]), Found::One(&[69, 3, 0x23]));
    assert_eq!(find(&[69, 3, 0x23, 69, 40]), Found::One(&[69, 3, 0x23]));
    assert!(has_eno(&[69, 2, 8, 0]));
}

#[test]
fn two_options_are_many() {
    assert_eq!(find(&[69, 3, 0x23, 69, 3, 0x23]), Found::Many);
    assert_eq!(find(&[69, 2, 1, 69, 2, 69, 2]), Found::Many);
}

#[test]
fn the_data_of_another_option_are_not_searched() {
    assert_eq!(find(&[8, 10, 69, 3, 0x23, 69, 2, 69, 2, 69]), Found::None);
}

#[test]
fn the_non_syn_form_has_no_contents() {
    assert_eq!(NON_SYN_OPTION, [0x45, 0x02]);
}

#[test]
fn the_contents_of_the_non_syn_form_are_ignored() {
    for option in [eno(&[]), eno(&[0x80]), eno(&[0x9f, 0, 1, 2, 3])] {
        assert!(has_eno(&ack_options(&option)));
    }
}

#[test]
fn several_options_without_syn_count_as_one() {
    assert!(has_eno(&ack_options(&[69, 2, 69, 2, 69, 3, 7])));
}

#[test]
fn a_fast_open_cookie_is_seen() {
    assert!(has_data_bearing_fast_open(&syn_options(&[
        34, 6, 1, 2, 3, 4
    ])));
    assert!(has_data_bearing_fast_open(&[
        254, 8, 0xf9, 0x89, 1, 2, 3, 4
    ]));
}

#[test]
fn a_request_for_a_fast_open_cookie_is_empty() {
    assert!(!has_data_bearing_fast_open(&syn_options(&[34, 2])));
    assert!(!has_data_bearing_fast_open(&[254, 4, 0xf9, 0x89]));
}

#[test]
fn other_experimental_options_are_not_fast_open() {
    // SMC-R (RFC 7609), a magic number cut short, and none.
    assert!(!has_data_bearing_fast_open(&[
        254, 6, 0xe2, 0xd4, 0xc3, 0xd9
    ]));
    assert!(!has_data_bearing_fast_open(&[254, 3, 0xf9]));
    assert!(!has_data_bearing_fast_open(&[254, 2]));
    assert!(!has_data_bearing_fast_open(&syn_options(&[69, 3, 0x23])));
}
