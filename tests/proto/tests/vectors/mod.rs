// SPDX-License-Identifier: GPL-2.0

//! The known answers of kat/vectors.txt.

use std::{collections::HashMap, fs};

use tcpcrypt_proto_tests::proto::ids::Aead;

pub struct Vectors(HashMap<String, String>);

impl Vectors {
    pub fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kat/vectors.txt");
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| line.split_once(' ').unwrap());
        Self(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        hex(self.0.get(name).unwrap_or_else(|| panic!("no {name}")))
    }

    #[allow(dead_code, reason = "each test file has this module for itself")]
    #[allow(dead_code, reason = "each test file has this module for itself")]
    pub fn array(&self, name: &str) -> [u8; 32] {
        self.get(name).try_into().unwrap()
    }

    /// Names and values that begin with `prefix`, which is taken off.
    #[allow(dead_code, reason = "each test file has this module for itself")]
    pub fn starting_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, Vec<u8>)> {
        self.0
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, hex(value))))
    }
}

pub fn hex(text: &str) -> Vec<u8> {
    assert!(text.len() % 2 == 0);
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

/// The name of an AEAD in the known answers.
#[allow(dead_code, reason = "each test file has this module for itself")]
pub fn name_of(aead: Aead) -> &'static str {
    match aead {
        Aead::Aes128Gcm => "aes128-gcm",
        Aead::Aes256Gcm => "aes256-gcm",
        Aead::ChaCha20Poly1305 => "chacha20-poly1305",
    }
}
