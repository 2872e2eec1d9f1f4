// SPDX-License-Identifier: GPL-2.0

//! The protocol core of the kernel module, built on the host, and what its tests share.
//!
//! `no_std` here makes sure that the core builds without `std`; the rest asks for `std` by name.

#![no_std]

extern crate std;

/// The curves that the kernel lacks, from the module's files too.
#[path = "../../../rust/crypto/curves/mod.rs"]
pub mod curves;
pub mod fuzz_targets;
pub mod primitives;
pub mod support;

/// The protocol core, from the same files as the kernel module's. The lints are its rules: nothing
/// that can panic, overflow or truncate.
#[deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::unwrap_used
)]
#[path = "../../../rust/proto/mod.rs"]
pub mod proto;
