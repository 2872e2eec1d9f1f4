// SPDX-License-Identifier: GPL-2.0

//! Secrets and the size of what is kept on a kernel stack.

use std::{hint::black_box, mem::size_of};

use tcpcrypt_proto_tests::proto::{
    agreement::{PublicKey, SharedSecret},
    eno::{Answer, EnoOption, Negotiated, Offered},
    handshake::{AwaitInit1, AwaitInit2, AwaitSecret, Message},
    keys::{MasterKey, TrafficKey},
    secret::Secret,
    session::Established,
};

/// Where on the stack a secret was, which has been dropped since.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
fn drop_a_secret() -> usize {
    let mut secret = Secret::<32>::zeroed();
    black_box(secret.expose_mut()).fill(0xa5);
    (&raw const secret).addr()
}

/// Looks where nothing of the language can look, as a debugger or an attacker would.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_secret_is_wiped_on_drop() {
    let place = drop_a_secret();
    let (a, b, c, d): (u64, u64, u64, u64);
    // SAFETY: these are loads from below the stack pointer of this very thread, into registers that
    // are named as outputs. No reference to that memory exists any more.
    unsafe {
        std::arch::asm!(
            "mov {a}, [{place}]",
            "mov {b}, [{place} + 8]",
            "mov {c}, [{place} + 16]",
            "mov {d}, [{place} + 24]",
            place = in(reg) place,
            a = out(reg) a,
            b = out(reg) b,
            c = out(reg) c,
            d = lateout(reg) d,
            options(nostack, readonly)
        );
    }
    assert_eq!([a, b, c, d], [0; 4]);
}

#[test]
fn secrets_are_compared_whole() {
    let zero = Secret::<32>::zeroed();
    assert!(zero.ct_eq(&Secret::zeroed()));
    for bit in 0..256 {
        let mut other = Secret::zeroed();
        other.expose_mut()[bit / 8] = 1 << (bit % 8);
        assert!(!zero.ct_eq(&other) && !other.ct_eq(&zero));
        assert!(other.ct_eq(&other));
    }
}

/// Whether a type implements a trait: the associated constant of the type itself comes before the
/// one of `Fallback`, but is there only if the bound holds.
macro_rules! implements {
    ($type:ty: $trait:path) => {{
        #[allow(dead_code, reason = "unused if the bound holds")]
        trait Fallback {
            const YES: bool = false;
        }
        impl<T: ?Sized> Fallback for T {}
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "used only if the bound holds")]
        impl<T: ?Sized + $trait> Probe<T> {
            const YES: bool = true;
        }
        Probe::<$type>::YES
    }};
}

#[test]
fn secrets_can_be_neither_copied_nor_shown() {
    assert!(implements!([u8; 32]: Clone));
    assert!(!implements!(Secret<32>: Clone));
    assert!(!implements!(Secret<32>: std::fmt::Debug));
    assert!(!implements!(Secret<32>: PartialEq));
    assert!(!implements!(MasterKey: Clone));
    assert!(!implements!(TrafficKey: Clone));
    assert!(!implements!(Established: std::fmt::Debug));
    assert!(!implements!(SharedSecret: Clone));
    assert!(!implements!(SharedSecret: std::fmt::Debug));
}

/// All of this is moved through kernel stacks, partly in softirq.
#[test]
fn no_type_is_larger_than_400_bytes() {
    for size in [
        size_of::<EnoOption>(),
        size_of::<Offered>(),
        size_of::<Answer>(),
        size_of::<Negotiated>(),
        size_of::<AwaitInit1>(),
        size_of::<AwaitInit2>(),
        size_of::<AwaitSecret>(),
        size_of::<Established>(),
        size_of::<Message>(),
        size_of::<PublicKey>(),
        size_of::<SharedSecret>(),
    ] {
        assert!(size <= 400, "{size}");
    }
}
