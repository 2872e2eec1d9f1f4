// SPDX-License-Identifier: GPL-2.0

//! The contents of a SYN-form ENO option (RFC 8547, 4.1, 4.2, 4.4).

use tcpcrypt_proto_tests::{
    proto::eno::suboption::{IllFormed, SynForm},
    support::eno,
};

/// Initial byte and data.
type Tep = (u8, Vec<u8>);

/// Global suboption byte and TEP suboptions.
fn read(contents: &[u8]) -> Result<(u8, Vec<Tep>), IllFormed> {
    let option = eno(contents);
    let syn = SynForm::parse(&option)?;
    let teps = syn.teps().map(|tep| (tep.byte, tep.data.to_vec()));
    Ok((syn.global(), teps.collect()))
}

#[test]
fn an_empty_option_is_well_formed() {
    assert_eq!(read(&[]), Ok((0, vec![])));
}

#[test]
fn a_missing_global_suboption_means_zero() {
    assert_eq!(read(&[0x23]), Ok((0x00, vec![(0x23, vec![])])));
}

#[test]
fn the_global_suboption_is_read() {
    assert_eq!(read(&[0x01, 0x23]), Ok((0x01, vec![(0x23, vec![])])));
    // Anywhere among the suboptions.
    assert_eq!(read(&[0x23, 0x03]), Ok((0x03, vec![(0x23, vec![])])));
}

#[test]
fn only_the_first_global_suboption_counts() {
    assert_eq!(read(&[0x01, 0x00, 0x23, 0x02]).unwrap().0, 0x01);
    assert_eq!(read(&[0x00, 0x01]).unwrap().0, 0x00);
    assert_eq!(read(&[0x1f, 0x01]).unwrap().0, 0x1f);
}

#[test]
fn all_values_below_0x20_are_global() {
    for byte in 0x00..0x20 {
        assert_eq!(read(&[byte]), Ok((byte, vec![])));
    }
}

#[test]
fn all_values_from_0x20_to_0x7f_are_teps_without_data() {
    for byte in 0x20..0x80 {
        let teps = vec![(byte, vec![]), (0x23, vec![])];
        assert_eq!(read(&[byte, 0x23]), Ok((0, teps)));
    }
}

#[test]
fn a_tep_with_data_extends_to_the_end() {
    for byte in 0xa0..=0xff {
        let teps = vec![(0x21, vec![]), (byte, vec![0x01, 0x23, 0x80])];
        assert_eq!(read(&[0x21, byte, 0x01, 0x23, 0x80]), Ok((0, teps)));
    }
}

#[test]
fn a_tep_with_data_may_have_none() {
    assert_eq!(read(&[0xa3]), Ok((0, vec![(0xa3, vec![])])));
}

#[test]
fn data_to_the_end_may_exceed_32_bytes() {
    let mut contents = vec![0xa3];
    contents.extend([7; 37]);
    assert_eq!(read(&contents), Ok((0, vec![(0xa3, vec![7; 37])])));
}

#[test]
fn a_length_byte_ends_the_data() {
    let contents = [0x82, 0xa3, 9, 8, 7, 0x01, 0x24];
    let teps = vec![(0xa3, vec![9, 8, 7]), (0x24, vec![])];
    assert_eq!(read(&contents), Ok((0x01, teps)));
}

#[test]
fn a_length_byte_stands_for_one_to_32_bytes() {
    for len in 1..=32u8 {
        let mut contents = vec![0x80 | (len - 1), 0xa3];
        contents.extend(vec![5; len.into()]);
        contents.push(0x24);
        let teps = vec![(0xa3, vec![5; len.into()]), (0x24, vec![])];
        assert_eq!(read(&contents), Ok((0, teps)));
    }
}

#[test]
fn data_with_a_length_may_end_the_option() {
    assert_eq!(read(&[0x81, 0xa3, 1, 2]), Ok((0, vec![(0xa3, vec![1, 2])])));
}

#[test]
fn a_length_beyond_the_option_is_ill_formed() {
    assert_eq!(read(&[0x81, 0xa3, 1]), Err(IllFormed));
    assert_eq!(read(&[0x80, 0xa3]), Err(IllFormed));
    assert_eq!(read(&[0x01, 0x23, 0x9f, 0xa3, 1, 2, 3]), Err(IllFormed));
}

#[test]
fn a_length_byte_at_the_end_is_ill_formed() {
    assert_eq!(read(&[0x23, 0x80]), Err(IllFormed));
}

#[test]
fn a_length_byte_before_anything_but_a_tep_with_data_is_ill_formed() {
    for byte in 0x00..0xa0 {
        assert_eq!(read(&[0x80, byte, 1, 2, 3]), Err(IllFormed), "{byte:#x}");
    }
    for byte in 0xa0..=0xff {
        assert!(read(&[0x80, byte, 1, 2, 3]).is_ok(), "{byte:#x}");
    }
}

#[test]
fn an_error_after_good_suboptions_counts() {
    assert_eq!(read(&[0x01, 0x23, 0x85]), Err(IllFormed));
}

#[test]
fn a_repeated_tep_is_not_valid() {
    for contents in [
        &[0x23, 0x23][..],
        &[0x23, 0x24, 0xa3],
        &[0x80, 0xa3, 0, 0x23],
    ] {
        let option = eno(contents);
        assert_eq!(SynForm::parse(&option).unwrap().only(0x23), None);
    }
    let option = eno(&[0x24, 0x24, 0x23]);
    assert!(SynForm::parse(&option).unwrap().only(0x23).is_some());
}

#[test]
fn kind_and_length_have_to_fit() {
    assert_eq!(SynForm::parse(&[69, 3, 0x23]).err(), None);
    for option in [
        &[][..],
        &[69],
        &[68, 3, 0x23],
        &[69, 2, 0x23],
        &[69, 4, 0x23],
    ] {
        assert_eq!(SynForm::parse(option).err(), Some(IllFormed));
    }
}
