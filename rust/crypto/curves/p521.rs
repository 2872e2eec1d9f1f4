// SPDX-License-Identifier: GPL-2.0

//! ECDH on P-521 (SP 800-186, 3.2.1.5; RFC 8548, 5): y^2 = x^3 - 3x + b modulo p = 2^521 - 1.

use core::hint::black_box;

use super::{
    element::element,
    fiat::p521_64::{
        fiat_p521_add as add,
        fiat_p521_carry as carry,
        fiat_p521_carry_mul as carry_mul,
        fiat_p521_carry_square as carry_square,
        fiat_p521_from_bytes as from_bytes,
        fiat_p521_loose_field_element as LooseLimbs,
        fiat_p521_relax as relax,
        fiat_p521_sub as sub,
        fiat_p521_tight_field_element as TightLimbs,
        fiat_p521_to_bytes as to_bytes, //
    }, //
};

/// Bytes of a scalar and of a coordinate, which are big-endian here.
pub const LEN: usize = 66;

/// The coefficient b.
const B: [u8; LEN] = [
    0x00, 0x51, 0x95, 0x3e, 0xb9, 0x61, 0x8e, 0x1c, 0x9a, 0x1f, 0x92, 0x9a, 0x21, 0xa0, 0xb6, 0x85,
    0x40, 0xee, 0xa2, 0xda, 0x72, 0x5b, 0x99, 0xb3, 0x15, 0xf3, 0xb8, 0xb4, 0x89, 0x91, 0x8e, 0xf1,
    0x09, 0xe1, 0x56, 0x19, 0x39, 0x51, 0xec, 0x7e, 0x93, 0x7b, 0x16, 0x52, 0xc0, 0xbd, 0x3b, 0xb1,
    0xbf, 0x07, 0x35, 0x73, 0xdf, 0x88, 0x3d, 0x2c, 0x34, 0xf1, 0xef, 0x45, 0x1f, 0xd4, 0x6b, 0x50,
    0x3f, 0x00,
];

/// The x coordinate of the base point, whose y coordinate is even.
const BASE_X: [u8; LEN] = [
    0x00, 0xc6, 0x85, 0x8e, 0x06, 0xb7, 0x04, 0x04, 0xe9, 0xcd, 0x9e, 0x3e, 0xcb, 0x66, 0x23, 0x95,
    0xb4, 0x42, 0x9c, 0x64, 0x81, 0x39, 0x05, 0x3f, 0xb5, 0x21, 0xf8, 0x28, 0xaf, 0x60, 0x6b, 0x4d,
    0x3d, 0xba, 0xa1, 0x4b, 0x5e, 0x77, 0xef, 0xe7, 0x59, 0x28, 0xfe, 0x1d, 0xc1, 0x27, 0xa2, 0xff,
    0xa8, 0xde, 0x33, 0x48, 0xb3, 0xc1, 0x85, 0x6a, 0x42, 0x9b, 0xf9, 0x7e, 0x7e, 0x31, 0xc2, 0xe5,
    0xbd, 0x66,
];

/// The order of the group, which is prime: every point of the curve is in the group.
const ORDER: [u8; LEN] = [
    0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09,
    0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38,
    0x64, 0x09,
];

element!(TightLimbs, LooseLimbs, 9, 66);

impl Element {
    /// The value of big-endian `bytes`, `None` if it is not less than p. That they are is no secret.
    fn from_be_bytes(bytes: &[u8; LEN]) -> Option<Self> {
        let mut little = *bytes;
        little.reverse();
        // What the arithmetic asks for: a number of 521 bits.
        if little[LEN - 1] > 1 {
            return None;
        }
        let element = Self::from_le_bytes(&little);
        let mut reduced = [0; LEN];
        element.to_be_bytes(&mut reduced);
        (reduced == *bytes).then_some(element)
    }

    fn to_be_bytes(&self, bytes: &mut [u8; LEN]) {
        self.to_le_bytes(bytes);
        bytes.reverse();
    }

    /// 1 / `self`, and 0 for 0: the power of p - 2, which is 519 ones, a zero and a one.
    fn invert(&self) -> Self {
        self.power_of_ones(519).square_times(2).mul(self)
    }

    /// A square root, if there is one: the power of (p + 1) / 4 = 2^519.
    fn root(&self) -> Self {
        self.square_times(519)
    }

    /// Whether both are the same. Not for secrets.
    fn is(&self, other: &Self) -> bool {
        let (mut a, mut b) = ([0; LEN], [0; LEN]);
        self.to_be_bytes(&mut a);
        other.to_be_bytes(&mut b);
        a == b
    }
}

/// Whether `scalar` is a private key: neither zero nor as large as the order. Takes the same time for all.
pub fn is_scalar(scalar: &[u8; LEN]) -> bool {
    let (mut any, mut borrow) = (0, 0);
    for (digit, order) in scalar.iter().zip(&ORDER).rev() {
        any = black_box(any | digit);
        let difference = u16::from(*digit)
            .wrapping_sub(u16::from(*order))
            .wrapping_sub(borrow);
        borrow = black_box(difference >> 15);
    }
    (any != 0) & (borrow == 1)
}

/// A point in projective coordinates: x = X/Z, y = Y/Z, and the neutral element has Z = 0.
pub struct Point {
    x: Element,
    y: Element,
    z: Element,
}

impl Point {
    const fn neutral() -> Self {
        Self {
            x: Element::ZERO,
            y: Element::small(1),
            z: Element::ZERO,
        }
    }

    /// The point with this x coordinate and sign of y (SEC 1, 2.3.4), `None` if there is none. The time depends on it.
    ///
    /// That it is there is all that there is to validate: the order is prime, and the neutral element has no x.
    pub fn decompress(x: &[u8; LEN], y_is_odd: bool) -> Option<Self> {
        let x = Element::from_be_bytes(x)?;
        let b = Element::from_be_bytes(&B)?;
        let square = x.square().sub(&Element::small(3)).mul(&x).add(&b);
        let mut y = square.root();
        if !y.square().is(&square) {
            return None;
        }
        let mut bytes = [0; LEN];
        y.to_be_bytes(&mut bytes);
        if (bytes[LEN - 1] & 1 == 1) != y_is_odd {
            // 0 has no other sign, but there is no point with y = 0: its order would be 2.
            y = Element::ZERO.sub(&y);
        }
        Some(Self {
            x,
            y,
            z: Element::small(1),
        })
    }

    /// The base point.
    pub fn base() -> Option<Self> {
        Self::decompress(&BASE_X, false)
    }

    /// The sum, for any two points: the complete formulas for a = -3 of Renes, Costello and Batina (IACR ePrint 2015/1060,
    /// algorithm 4).
    fn add(&self, other: &Self, b: &Element) -> Self {
        let xx = self.x.mul(&other.x);
        let yy = self.y.mul(&other.y);
        let zz = self.z.mul(&other.z);
        // X1Y2 + X2Y1, Y1Z2 + Y2Z1, X1Z2 + X2Z1
        let xy = cross(&self.x, &self.y, &other.x, &other.y, &xx, &yy);
        let yz = cross(&self.y, &self.z, &other.y, &other.z, &yy, &zz);
        let xz = cross(&self.x, &self.z, &other.x, &other.z, &xx, &zz);

        // 3 (X1Z2 + X2Z1 - b Z1Z2), and what it is taken from and added to Y1Y2.
        let line = triple(&xz.sub(&b.mul(&zz)));
        let minus = yy.sub(&line);
        let plus = yy.add(&line);
        // 3 (b (X1Z2 + X2Z1) - X1X2 - 3 Z1Z2)
        let zz3 = triple(&zz);
        let curve = triple(&b.mul(&xz).sub(&zz3).sub(&xx));
        // 3 (X1X2 - Z1Z2)
        let tangent = triple(&xx).sub(&zz3);

        Self {
            x: xy.mul(&plus).sub(&yz.mul(&curve)),
            y: plus.mul(&minus).add(&tangent.mul(&curve)),
            z: yz.mul(&minus).add(&xy.mul(&tangent)),
        }
    }
    fn swap_if(&mut self, other: &mut Self, swap: u8) {
        self.x.swap_if(&mut other.x, swap);
        self.y.swap_if(&mut other.y, swap);
        self.z.swap_if(&mut other.z, swap);
    }

    /// The product with `scalar`, a secret, by the same two additions for each bit.
    pub fn multiply(&self, scalar: &[u8; LEN]) -> Option<Self> {
        let b = Element::from_be_bytes(&B)?;
        // The second is always the first and this point.
        let mut product = Self::neutral();
        let mut next = product.add(self, &b);
        for byte in scalar {
            for bit in (0..8).rev() {
                let one = byte >> bit & 1;
                product.swap_if(&mut next, one);
                next = product.add(&next, &b);
                product = product.add(&product, &b);
                product.swap_if(&mut next, one);
            }
        }
        Some(product)
    }

    /// Writes the x coordinate, and returns whether y is odd. Zero and even for the neutral element.
    pub fn compress(&self, x: &mut [u8; LEN]) -> bool {
        let inverse = self.z.invert();
        self.x.mul(&inverse).to_be_bytes(x);
        let mut y = [0; LEN];
        self.y.mul(&inverse).to_be_bytes(&mut y);
        y[LEN - 1] & 1 == 1
    }
}

/// (a1 + b1) (a2 + b2) - a1a2 - b1b2 = a1b2 + a2b1
fn cross(
    a1: &Element,
    b1: &Element,
    a2: &Element,
    b2: &Element,
    a1a2: &Element,
    b1b2: &Element,
) -> Element {
    let product = a1.add(b1).mul(&a2.add(b2));
    product.sub(&a1a2.add(b1b2))
}

fn triple(element: &Element) -> Element {
    element.add(element).add(element)
}
