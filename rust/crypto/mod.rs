// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the kernel's cryptography: the primitives that [`proto`](crate::proto) is handed.
//!
//! [`aead`] seals and opens frames, [`agreement`] makes ephemeral keys and agrees on secrets (by [`x25519`], [`x448`], [`p256`] and [`p521`]), [`hmac`] is
//! what the key schedule is made of, [`rng`] is where nonces and private keys come from. Each function says in which context it may
//! be called.

pub(crate) mod aead;
pub(crate) mod agreement;
#[expect(
    unreachable_pub,
    reason = "the same files are a library for the host's tests"
)]
mod curves;
pub(crate) mod hmac;
mod mpi;
mod p256;
mod p521;
pub(crate) mod rng;
pub(crate) mod x25519;
mod x448;
