// SPDX-License-Identifier: GPL-2.0

//! Safe Rust over the kernel's TCP: sockets, hooks, tables, namespaces. Every `unsafe` that concerns them is here.
//!
//! - `endpoint.rs`: what this layer asks of the protocol above; start there.
//! - `sock.rs`, `locked.rs`, `pages.rs`, `queue_read.rs`, `sealing.rs`, `options.rs`: what the protocol does with a socket.
//! - `attach.rs`, `tables.rs`: how it is tied to one.
//! - `adapters.rs`, `listener_calls.rs`: socket calls; `wire.rs`: segments; `probe.rs`, `crossing.rs`: opening;
//!   `ulp.rs`: TCP_ULP; `listeners.rs`.
//! - `pernet.rs`, `sysctl.rs`, `proc.rs`: network namespaces.
//! - `registered.rs`: all of it, registered.

pub(crate) mod adapters;
pub(crate) mod attach;
pub(crate) mod bh_lock;
pub(crate) mod chore;
pub(crate) mod clock;
pub(crate) mod crossing;
pub(crate) mod endpoint;
pub(crate) mod errno;
pub(crate) mod listener_calls;
pub(crate) mod listeners;
pub(crate) mod locked;
pub(crate) mod options;
pub(crate) mod pages;
pub(crate) mod pernet;
pub(crate) mod probe;
pub(crate) mod proc;
pub(crate) mod queue;
pub(crate) mod queue_read;
pub(crate) mod registered;
pub(crate) mod saved_syn;
pub(crate) mod sealing;
pub(crate) mod sock;
pub(crate) mod sysctl;
pub(crate) mod tables;
pub(crate) mod ulp;
pub(crate) mod wire;
