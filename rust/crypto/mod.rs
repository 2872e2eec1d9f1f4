// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the kernel's cryptography: the primitives that [`proto`](crate::proto) is handed.
//!
//! [`aead`] seals and opens frames, [`agreement`] makes ephemeral keys and agrees on secrets (by [`x25519`]), [`hmac`] is
//! what the key schedule is made of, [`rng`] is where nonces and private keys come from. Each function says in which context it may
//! be called.

pub(crate) mod aead;
pub(crate) mod agreement;
pub(crate) mod hmac;
pub(crate) mod rng;
pub(crate) mod x25519;
