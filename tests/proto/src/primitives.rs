// SPDX-License-Identifier: GPL-2.0

//! The cryptographic primitives for the tests, from published crates.

use std::vec::Vec;

use aes_gcm::aead::{AeadInPlace, KeyInit};
use hmac::Mac;

use crate::proto::{
    agreement::{PublicKey, SharedSecret},
    hkdf::Hmac,
    ids::Aead,
    secret::Secret,
};

/// HMAC-SHA256 of the crates `hmac` and `sha2`.
pub struct HostHmac;

impl Hmac for HostHmac {
    fn hmac_sha256(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
        let mut mac = <hmac::Hmac<sha2::Sha256> as Mac>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        *out = mac.finalize().into_bytes().into();
    }
}

/// X25519 key pair of fixed bytes.
pub struct X25519(x25519_dalek::StaticSecret);

impl X25519 {
    pub fn new(private: [u8; 32]) -> Self {
        Self(private.into())
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::X25519(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    pub fn shared(&self, peer: &PublicKey) -> SharedSecret {
        let PublicKey::X25519(peer) = peer else {
            panic!("{:?}", peer.tep());
        };
        let mut shared = Secret::zeroed();
        *shared.expose_mut() = self.0.diffie_hellman(&(*peer).into()).to_bytes();
        SharedSecret::X25519(shared)
    }
}

/// `plaintext` sealed: ciphertext and tag.
pub fn seal(aead: Aead, key: &[u8], nonce: &[u8; 12], ad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = plaintext.to_vec();
    let nonce = nonce.into();
    match aead {
        Aead::Aes128Gcm => aes_gcm::Aes128Gcm::new_from_slice(key)
            .unwrap()
            .encrypt_in_place(nonce, ad, &mut sealed),
        Aead::Aes256Gcm => aes_gcm::Aes256Gcm::new_from_slice(key)
            .unwrap()
            .encrypt_in_place(nonce, ad, &mut sealed),
        Aead::ChaCha20Poly1305 => chacha20poly1305::ChaCha20Poly1305::new_from_slice(key)
            .unwrap()
            .encrypt_in_place(nonce, ad, &mut sealed),
    }
    .unwrap();
    sealed
}

/// `sealed` opened, `None` if it is not authentic.
pub fn open(aead: Aead, key: &[u8], nonce: &[u8; 12], ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut plaintext = sealed.to_vec();
    let nonce = nonce.into();
    match aead {
        Aead::Aes128Gcm => aes_gcm::Aes128Gcm::new_from_slice(key)
            .unwrap()
            .decrypt_in_place(nonce, ad, &mut plaintext),
        Aead::Aes256Gcm => aes_gcm::Aes256Gcm::new_from_slice(key)
            .unwrap()
            .decrypt_in_place(nonce, ad, &mut plaintext),
        Aead::ChaCha20Poly1305 => chacha20poly1305::ChaCha20Poly1305::new_from_slice(key)
            .unwrap()
            .decrypt_in_place(nonce, ad, &mut plaintext),
    }
    .ok()?;
    Some(plaintext)
}
