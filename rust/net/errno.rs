// SPDX-License-Identifier: GPL-2.0

//! Error numbers of the socket layer that the `kernel` crate has no constants for.

use kernel::{
    error::Error,
    ffi::c_int, //
};

use crate::bindings;

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $errno:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name() -> Error {
            Error::from_errno(-(bindings::$errno as c_int))
        }
    )*};
}

errnos! {
    /// A frame that fails authentication or is malformed, or data behind the authenticated end.
    badmsg = EBADMSG;
    /// A stream that ended without its authenticated end.
    connaborted = ECONNABORTED;
    /// The connection was reset.
    connreset = ECONNRESET;
    /// Too late: the socket was opened.
    isconn = EISCONN;
    /// No memory for a segment.
    nobufs = ENOBUFS;
    /// Too early: there is no connection, or none with keys.
    notconn = ENOTCONN;
    /// Not to be had on an encrypted connection.
    opnotsupp = EOPNOTSUPP;
    /// The peer broke the key exchange, or a state that can't be was reached.
    proto = EPROTO;
}
