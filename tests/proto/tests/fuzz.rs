// SPDX-License-Identifier: GPL-2.0

//! The fuzz targets on any rustc, bounded and repeatable: mutated seeds and random bytes.

use std::{fs, path::Path};

use tcpcrypt_proto_tests::fuzz_targets::TARGETS;

const INPUTS_PER_TARGET: u32 = 400_000;
const MAX_LEN: usize = 400;

/// xorshift64* (Vigna): quick, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap() % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        // Half of them have a meaning somewhere.
        const INTERESTING: [u8; 16] = [
            0, 1, 2, 3, 8, 0x10, 0x1f, 0x20, 0x22, 0x23, 0x45, 0x80, 0x9f, 0xa3, 0xfe, 0xff,
        ];
        match self.below(2) {
            0 => INTERESTING[self.below(16)],
            _ => self.next().to_le_bytes()[0],
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(48);
        (0..len).map(|_| self.byte()).collect()
    }

    /// One change to `input`.
    fn mutate(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len());
        match self.below(7) {
            0 => input.truncate(at),
            1 => input.insert(at, self.byte()),
            2 if !input.is_empty() => drop(input.remove(at)),
            3 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            4 => input.extend(self.bytes()),
            5 => {
                let other = &seeds[self.below(seeds.len())];
                input.truncate(at);
                input.extend(&other[self.below(other.len())..]);
            }
            _ if !input.is_empty() => input[at] = self.byte(),
            _ => input.push(self.byte()),
        }
        input.truncate(MAX_LEN);
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let files = fs::read_dir(corpus.join(target)).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn drive(name: &str) {
    let (_, target) = TARGETS.iter().find(|target| target.0 == name).unwrap();
    let seeds = seeds(name);
    assert!(seeds.len() > 3);
    seeds.iter().for_each(|seed| target(seed));

    let mut random = Random(0x7463_7063_7279_7074);
    for _ in 0..INPUTS_PER_TARGET {
        let mut input = match random.below(8) {
            0 => random.bytes(),
            _ => seeds[random.below(seeds.len())].clone(),
        };
        for _ in 0..random.below(6) {
            random.mutate(&mut input, &seeds);
        }
        target(&input);
    }
}

#[test]
fn option_list() {
    drive("option_list");
}

#[test]
fn eno_syn() {
    drive("eno_syn");
}

#[test]
fn init1() {
    drive("init1");
}

#[test]
fn init2() {
    drive("init2");
}

#[test]
fn frame_header() {
    drive("frame_header");
}

#[test]
fn frame_plain() {
    drive("frame_plain");
}

/// All contents of up to two bytes, and of three with a length byte or a TEP in front.
#[test]
fn all_short_eno_contents() {
    let (_, target) = TARGETS.iter().find(|target| target.0 == "eno_syn").unwrap();
    target(&[]);
    for a in 0..=255 {
        target(&[a]);
        for b in 0..=255 {
            target(&[a, b]);
            for first in [0x01, 0x23, 0x80, 0x81, 0xa3] {
                target(&[first, a, b]);
            }
        }
    }
}
