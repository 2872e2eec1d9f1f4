// SPDX-License-Identifier: GPL-2.0

//! Finding the ENO option in the options of a TCP header, and adding one (RFC 9293, 3.1; RFC 8547, 4.1).
//!
//! The walk is the one that TCP itself does: kind 0 ends the list, kind 1 is one byte, every other
//! kind has a length byte that counts kind and length too. A length below 2 or beyond the end of
//! the list ends the walk; what came before that stays found.

use super::super::{
    ids::{
        ENO_KIND,
        FASTOPEN_MAGIC,
        MAX_TCP_OPTIONS,
        TCPOPT_EOL,
        TCPOPT_EXP,
        TCPOPT_FASTOPEN,
        TCPOPT_NOP, //
    },
    wire::{
        Bytes,
        Reader, //
    },
};

/// The ENO options of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found<'a> {
    /// There is none, or the list is broken before it.
    None,
    /// The only one, with its kind and length bytes.
    One(&'a [u8]),
    /// There is more than one.
    Many,
}

/// Looks for ENO options among `tcp_options`, the bytes between the 20-byte TCP header and the
/// payload.
pub fn find(tcp_options: &[u8]) -> Found<'_> {
    let mut eno = walk(tcp_options).filter(|option| option.kind == ENO_KIND);
    match (eno.next(), eno.next()) {
        (None, _) => Found::None,
        (Some(only), None) => Found::One(only.whole),
        (Some(_), Some(_)) => Found::Many,
    }
}

/// Whether there is an ENO option, one or more: all that counts in a segment without SYN (RFC 8547,
/// 4.1).
pub fn has_eno(tcp_options: &[u8]) -> bool {
    walk(tcp_options).any(|option| option.kind == ENO_KIND)
}

/// Whether there is a non-empty TCP Fast Open option, in its assigned or its experimental form: a
/// SYN with ENO must not be sent with it, and data of a SYN received with it is to be discarded
/// (RFC 8547, 4.7).
pub fn has_data_bearing_fast_open(tcp_options: &[u8]) -> bool {
    walk(tcp_options).any(|option| {
        let mut data = Reader::new(option.data);
        match option.kind {
            TCPOPT_FASTOPEN => !data.is_empty(),
            TCPOPT_EXP => data.be16() == Some(FASTOPEN_MAGIC) && !data.is_empty(),
            _ => false,
        }
    })
}

/// The options of a segment: what is between the 20-byte TCP header and the payload.
pub type TcpOptions = Bytes<MAX_TCP_OPTIONS>;

/// `tcp_options` with `option` behind them: whole 32-bit words, and everything else where it was.
/// If there is no space for that, the padding of the other options goes: they are then not aligned,
/// which no receiver may rely on (RFC 9293, 3.1). `None` if there is no space either way.
pub fn append(tcp_options: &[u8], option: &[u8]) -> Option<TcpOptions> {
    let padding = option.len().wrapping_neg() % 4;
    if let Some(all) = Bytes::concat(&[tcp_options, NOPS.get(..padding)?, option]) {
        return Some(all);
    }
    let others = walk(tcp_options).flat_map(|option| option.whole.iter());
    let all = others.chain(option).copied();
    let len = all.clone().count();
    if len > MAX_TCP_OPTIONS {
        return None;
    }
    let padding = len.wrapping_neg() % 4;
    Some(Bytes::collect(
        all.chain(NOPS.iter().copied().take(padding)),
    ))
}

const NOPS: [u8; 3] = [TCPOPT_NOP; 3];

/// One option that has a length byte.
struct TcpOption<'a> {
    kind: u8,
    whole: &'a [u8],
    data: &'a [u8],
}

fn walk(tcp_options: &[u8]) -> impl Iterator<Item = TcpOption<'_>> + Clone {
    let mut left = Reader::new(tcp_options);
    core::iter::from_fn(move || loop {
        let mut ahead = left;
        match ahead.u8()? {
            TCPOPT_EOL => return None,
            TCPOPT_NOP => left = ahead,
            kind => {
                let len = usize::from(ahead.u8()?);
                let data = ahead.take(len.checked_sub(2)?)?;
                let whole = left.take(len)?;
                return Some(TcpOption { kind, whole, data });
            }
        }
    })
}
