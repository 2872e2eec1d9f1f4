// SPDX-License-Identifier: GPL-2.0

//! Ephemeral keys on P-256 (RFC 8548, 5) by the kernel's ECC library, and points in compressed form.
//!
//! # Side channels
//!
//! The library multiplies a point by a ladder that does the same operations for every scalar, and randomises the
//! coordinates for the agreement, though not for making a public key. But it reduces and inverts with branches that
//! depend on the values, and chooses operands by indices that depend on the scalar; and it leaves intermediate values on
//! the stack. That is one reason why the curve is offered only where somebody asks for it. Decompression takes public
//! values only.

use core::{
    ffi::{
        c_int,
        c_uint, //
    },
    slice, //
};

use kernel::{
    error::to_result,
    prelude::*, //
};

use super::{
    agreement::Refused,
    mpi::Mpi,
    rng, //
};
use crate::{
    bindings,
    proto::{
        agreement::Compressed,
        ids::P256_LEN, //
    },
};

/// Digits of a number in the library.
const DIGITS: usize = bindings::ECC_CURVE_NIST_P256_DIGITS as usize;

/// (p + 1) / 4, where p = 2^256 - 2^224 + 2^192 + 2^96 - 1 (SP 800-186, 3.2.1.3). As p is 3 mod 4, a square to the power
/// of this is a root of it.
const ROOT: [u8; P256_LEN] = [
    0x3f, 0xff, 0xff, 0xff, 0xc0, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

/// How often a private key is chosen. Less than one in 2^31 choices is not in the range of the curve's order.
const CHOICES: usize = 8;

/// A number as the library has it: digits of 64 bits, the least significant first. Wiped on drop.
struct Digits([u64; DIGITS]);

impl Digits {
    const ZERO: Self = Self([0; DIGITS]);

    fn from_be_bytes(bytes: &[u8]) -> Self {
        let mut number = Self::ZERO;
        for (digit, bytes) in number.0.iter_mut().zip(bytes.rchunks(size_of::<u64>())) {
            *digit = bytes
                .iter()
                .fold(0, |digit, byte| digit << 8 | u64::from(*byte));
        }
        number
    }

    /// Random digits.
    fn fill_random(&mut self) {
        let len = size_of_val(&self.0);
        // SAFETY: The bytes of the digits, which may have any value, and which are borrowed for as long.
        rng::fill(unsafe { slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) });
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        // SAFETY: The digits are valid for writes, and may have any value.
        unsafe { bindings::tcpcrypt_memzero(self.0.as_mut_ptr().cast(), size_of_val(&self.0)) }
    }
}

/// A point as the library gives and takes it: x, then y, each big-endian as a whole and in its digits.
type Point = [u64; 2 * DIGITS];

/// Writes the last bytes of the number in `digits`, which are big-endian as a whole and in themselves.
fn copy_big_endian(digits: &[u64], bytes: &mut [u8]) {
    let from = digits
        .iter()
        .rev()
        .flat_map(|digit| digit.to_ne_bytes().into_iter().rev());
    for (to, from) in bytes.iter_mut().rev().zip(from) {
        *to = from;
    }
}

/// The library's description of the curve.
fn curve() -> &'static bindings::ecc_curve {
    // SAFETY: The library knows this curve, and gives the address of a constant.
    unsafe { &*bindings::ecc_get_curve(bindings::ECC_CURVE_NIST_P256) }
}

/// A number of the description. ENOMEM.
///
/// # Safety
///
/// `number` is p, a or b of [`curve`].
unsafe fn number(number: *const u64) -> Result<Mpi> {
    // SAFETY: They are constants of as many digits as the coordinates.
    let digits = unsafe { slice::from_raw_parts(number, DIGITS) };
    let mut bytes = [0; P256_LEN];
    let all = digits.iter().rev().flat_map(|digit| digit.to_be_bytes());
    for (to, from) in bytes.iter_mut().zip(all) {
        *to = from;
    }
    Mpi::from_be_bytes(&bytes)
}

/// The y coordinate of `point`, if there is such a point on the curve; else anything (SEC 1, 2.3.4). ENOMEM.
fn y_of(point: &Compressed<P256_LEN>) -> Result<[u8; P256_LEN]> {
    let curve = curve();
    // SAFETY: They are those of the description.
    let (p, a, b) = unsafe { (number(curve.p)?, number(curve.a)?, number(curve.b)?) };
    let x = Mpi::from_be_bytes(&point.x)?;
    // x^3 + ax + b
    let square = x.mul(&x, &p)?.add(&a, &p)?.mul(&x, &p)?.add(&b, &p)?;
    let root = square.pow(&Mpi::from_be_bytes(&ROOT)?, &p)?;
    let mut y = [0; P256_LEN];
    root.to_be_bytes(&mut y)?;
    let is_odd = y.last().is_some_and(|last| last & 1 == 1);
    if is_odd != point.y_is_odd {
        p.sub(&root, &p)?.to_be_bytes(&mut y)?;
    }
    Ok(y)
}

/// `point` with both coordinates.
///
/// Refuses what is not in the group, by the algorithm that RFC 8548, 5 refers to (IEEE 1363, A.16.10).
fn decompress(point: &Compressed<P256_LEN>) -> Result<Point, Refused> {
    let mut x = Digits::from_be_bytes(&point.x);
    let mut y = Digits::from_be_bytes(&y_of(point)?);
    let mut public = bindings::ecc_point {
        x: x.0.as_mut_ptr(),
        y: y.0.as_mut_ptr(),
        ndigits: DIGITS as u8,
    };
    // SAFETY: The description is the library's, and the point has as many digits as it says. The library only reads them.
    refused_by(unsafe { bindings::ecc_is_pubkey_valid_full(curve(), &mut public) })?;
    let mut both = [0; 2 * DIGITS];
    let digits = [&x, &y]
        .into_iter()
        .flat_map(|number| number.0.iter().rev());
    for (to, from) in both.iter_mut().zip(digits) {
        *to = from.to_be();
    }
    Ok(both)
}

/// What the library makes of a point. It says EINVAL and EFAULT of bad ones, and ENOMEM.
fn refused_by(status: c_int) -> Result<(), Refused> {
    to_result(status).map_err(|error| {
        if error == ENOMEM {
            Refused::Failed(error)
        } else {
            Refused::BadKey
        }
    })
}

/// Chooses a private key (FIPS 186-5, A.2.2).
fn choose(private: &mut Digits) -> Result {
    for _ in 0..CHOICES {
        private.fill_random();
        // SAFETY: The number has the curve's digits, whose length is given too.
        let valid = unsafe {
            bindings::ecc_is_key_valid(
                bindings::ECC_CURVE_NIST_P256,
                DIGITS as c_uint,
                private.0.as_ptr(),
                size_of_val(&private.0) as c_uint,
            )
        };
        if valid == 0 {
            return Ok(());
        }
    }
    Err(EAGAIN)
}

/// A private key and its public key, for one agreement. The private key is in an allocation of its own and wiped on drop.
pub(crate) struct KeyPair(KBox<Keys>);

struct Keys {
    private: Digits,
    public: Compressed<P256_LEN>,
}

impl KeyPair {
    /// Makes a pair.
    ///
    /// EAGAIN while the random generator is not seeded, ENOMEM. Context: process, may sleep.
    pub(super) fn generate() -> Result<Self> {
        if !rng::ready() {
            return Err(EAGAIN);
        }
        let mut keys = KBox::new(
            Keys {
                private: Digits::ZERO,
                public: Compressed {
                    x: [0; P256_LEN],
                    y_is_odd: false,
                },
            },
            GFP_KERNEL,
        )?;
        let Keys { private, public } = &mut *keys;
        choose(private)?;

        let mut point: Point = [0; 2 * DIGITS];
        // SAFETY: The private key has the digits of the curve, and the point room for two numbers of that.
        to_result(unsafe {
            bindings::ecc_make_pub_key(
                bindings::ECC_CURVE_NIST_P256,
                DIGITS as c_uint,
                private.0.as_ptr(),
                point.as_mut_ptr(),
            )
        })?;
        let (x, y) = point.split_at(DIGITS);
        copy_big_endian(x, &mut public.x);
        let mut last = [0];
        copy_big_endian(y, &mut last);
        public.y_is_odd = last[0] & 1 == 1;
        Ok(Self(keys))
    }

    /// The public key, to be sent.
    pub(super) fn public(&self) -> &Compressed<P256_LEN> {
        &self.0.public
    }

    /// Fills `shared` with the x coordinate of the product of this private key and the peer's public key, which may be
    /// anything. Uses the pair up.
    ///
    /// Context: process, may sleep.
    pub(super) fn agree(
        self,
        peer: &Compressed<P256_LEN>,
        shared: &mut [u8; P256_LEN],
    ) -> Result<(), Refused> {
        let public = decompress(peer)?;
        let mut secret = Digits::ZERO;
        // SAFETY: The private key and the secret have the digits of the curve, the public key two numbers of that.
        refused_by(unsafe {
            bindings::crypto_ecdh_shared_secret(
                bindings::ECC_CURVE_NIST_P256,
                DIGITS as c_uint,
                self.0.private.0.as_ptr(),
                public.as_ptr(),
                secret.0.as_mut_ptr(),
            )
        })?;
        copy_big_endian(&secret.0, shared);
        Ok(())
    }
}
