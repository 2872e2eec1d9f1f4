// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the kernel's TCP: sockets, hooks, tables, namespaces. Every `unsafe` that concerns them is here.
//!
//! - `endpoint.rs`: what this layer asks of the protocol above; start there.
//! - `sock.rs`, `pages.rs`, `queue_read.rs`, `sealing.rs`, `options.rs`: what the protocol does with a socket.
//! - `attach.rs`, `tables.rs`: how it is tied to one.
//! - `adapters.rs`: socket calls; `wire.rs`: segments; `probe.rs`: opening; `ulp.rs`: TCP_ULP; `listeners.rs`.
//! - `pernet.rs`, `sysctl.rs`, `proc.rs`: network namespaces.
//! - `registered.rs`: all of it, registered.

pub mod adapters;
pub mod attach;
pub mod bh_lock;
pub mod endpoint;
pub mod errno;
pub mod listeners;
pub mod options;
pub mod pages;
pub mod pernet;
pub mod probe;
pub mod proc;
pub mod queue;
pub mod queue_read;
pub mod registered;
pub mod sealing;
pub mod sock;
pub mod sysctl;
pub mod tables;
pub mod ulp;
pub mod wire;
