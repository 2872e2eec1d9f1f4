// SPDX-License-Identifier: GPL-2.0

//! The curves that the kernel cannot multiply on: Curve448 ([`x448`]), which it lacks, and P-521 ([`p521`]), whose
//! `crypto_ecdh_shared_secret()` gives a wrong result, since it randomises coordinates with a number that is longer than
//! its reduction takes.
//!
//! The field arithmetic is fiat-crypto's, which is formally verified; what is here is the formulas of the curves.
//!
//! # Side channels
//!
//! No branch and no address depends on a secret: loops have fixed lengths, and what depends on a bit of the scalar is
//! exchanged under a mask. The compiler is kept from making a branch of the mask, as far as
//! [`black_box`](core::hint::black_box) is kept to. Every intermediate value is wiped when it is no longer needed, but for
//! those that the compiler holds in registers or spills.
//!
//! Plain computation without a kernel: the host's tests build the same files.

#![forbid(unsafe_code)]

mod element;
pub mod p521;
pub mod x448;

#[rustfmt::skip]
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "vendored as it is"
)]
#[path = "../../vendor/fiat-crypto"]
mod fiat {
    pub(super) mod p448_solinas_64;
    pub(super) mod p521_64;
}
