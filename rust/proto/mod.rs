// SPDX-License-Identifier: GPL-2.0

//! TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548), sans-IO: bytes in, bytes and decisions out.
//!
//! Nothing here knows a socket, a clock, a lock, an allocator or a random source: nonces, keys and
//! the primitives come in as arguments. No function sleeps or takes a lock, so each may be called
//! in any context.
//!
//! In the order in which a connection meets them: [`eno`] finds the option in a TCP header and
//! negotiates; [`handshake`] exchanges keys with the messages of [`init`], and [`agreement`] says
//! what the keys look like; or [`session`] resumes an earlier session. [`keys`] derives everything
//! from the result by [`hkdf`]; [`frame`] is the format of what is sent after that, and
//! [`rekey`] says when the keys change.
//! Below them are [`ids`] (every number of both RFCs), [`wire`] (the only reader of bytes that a
//! peer sent) and [`secret`] (bytes that wipe themselves).
//!
//! The same files are built as a module of the kernel crate and, for the tests, by the cargo crate
//! in `tests/proto`.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod eno;
pub mod frame;
pub mod handshake;
pub mod hkdf;
pub mod ids;
pub mod init;
pub mod keys;
pub mod rekey;
pub mod secret;
pub mod session;
pub mod wire;
