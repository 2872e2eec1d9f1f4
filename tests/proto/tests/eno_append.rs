// SPDX-License-Identifier: GPL-2.0

//! An option behind those that a segment has (RFC 9293, 3.1; RFC 8547, 4.1).

use tcpcrypt_proto_tests::{
    proto::eno::{append, find, Found},
    support::eno,
};

/// What Linux sends in a SYN: MSS, SACK permitted, timestamps, NOP, window scale.
const LINUX: [u8; 20] = [
    2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
];

fn appended(options: &[u8], option: &[u8]) -> Option<Vec<u8>> {
    append(options, option).map(|all| all.as_bytes().to_vec())
}

#[test]
fn an_option_is_put_behind_the_others_in_whole_words() {
    assert_eq!(appended(&[], &[69, 2]), Some(vec![1, 1, 69, 2]));
    assert_eq!(appended(&[], &eno(&[0x23])), Some(vec![1, 69, 3, 0x23]));
    let all = appended(&LINUX, &eno(&[1, 0x23])).unwrap();
    assert_eq!(all, [&LINUX[..], &[69, 4, 1, 0x23]].concat());
}

#[test]
fn the_padding_of_others_goes_where_space_is_short() {
    // A resumption suboption with its longest nonce: host A's fits as it is, host B's only without the NOP.
    let a = eno(&[0xa3; 18]);
    assert_eq!(appended(&LINUX, &a), Some([&LINUX[..], &a].concat()));
    let b = eno(&[[1].as_slice(), &[0xa3; 18]].concat());
    let expected = [&LINUX[..16], &LINUX[17..], &b].concat();
    assert_eq!(expected.len(), 40);
    assert_eq!(appended(&LINUX, &b), Some(expected));
}

#[test]
fn what_does_not_fit_is_not_added() {
    assert_eq!(appended(&LINUX, &eno(&[0xa3; 20])), None);
    assert_eq!(appended(&[2; 40], &[69, 2]), None);
    assert_eq!(appended(&[], &[69; 41]), None);
}

#[test]
fn words_stay_whole_without_the_padding_too() {
    // 19 bytes in 20, and 36 of others.
    let others = [&[1, 1, 1, 1], &LINUX[..16], &[254; 0][..], &[1, 3, 3, 7]].concat();
    for len in 0..=18 {
        let option = eno(&vec![0xa3; len]);
        let all = appended(&others, &option).unwrap();
        assert_eq!(all.len() % 4, 0);
        assert!(all.len() >= others.len());
        assert_eq!(find(&all), Found::One(&option));
    }
}
