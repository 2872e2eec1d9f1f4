// SPDX-License-Identifier: GPL-2.0
#![no_std]

/// The protocol core, from the same files as the kernel module's.
#[deny(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::todo,
    clippy::undocumented_unsafe_blocks,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::unwrap_used
)]
#[path = "../../../rust/proto/mod.rs"]
pub mod proto;
