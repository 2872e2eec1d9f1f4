// SPDX-License-Identifier: GPL-2.0

//! TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548) for the TCP connections of unmodified programs.
//!
//! - `proto/`: what the RFCs say, without a kernel.
//! - `conn/`: one connection.
//! - `net/`, `crypto/`: safe Rust over what the kernel exports; `bindings/`: what they are made from.

use kernel::prelude::*;

mod bindings;
mod conn;
mod crypto;
mod net;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the same files are a library for the host's tests, with more of the RFCs than the module uses yet"
)]
mod proto;

module! {
    type: Tcpcrypt,
    name: "tcpcrypt",
    authors: ["The tcpcrypt authors"],
    description: "TCP-ENO and tcpcrypt: opportunistic encryption of TCP",
    license: "GPL",
}

struct Tcpcrypt {
    _registered: net::registered::Registered<conn::Conn>,
}

impl kernel::Module for Tcpcrypt {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self {
            _registered: net::registered::Registered::new()?,
        })
    }
}
