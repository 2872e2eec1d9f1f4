// SPDX-License-Identifier: GPL-2.0

//! X448 (RFC 7748, 5).

use core::hint::black_box;

use super::{
    element::element,
    fiat::p448_solinas_64::{
        fiat_p448_add as add,
        fiat_p448_carry as carry,
        fiat_p448_carry_mul as carry_mul,
        fiat_p448_carry_square as carry_square,
        fiat_p448_from_bytes as from_bytes,
        fiat_p448_loose_field_element as LooseLimbs,
        fiat_p448_relax as relax,
        fiat_p448_sub as sub,
        fiat_p448_tight_field_element as TightLimbs,
        fiat_p448_to_bytes as to_bytes, //
    }, //
};

/// Bytes of a scalar and of a u coordinate.
pub const LEN: usize = 56;

/// The u coordinate of the base point (RFC 7748, 4.2).
pub const BASE: [u8; LEN] = {
    let mut base = [0; LEN];
    base[0] = 5;
    base
};

element!(TightLimbs, LooseLimbs, 8, 56);

impl Element {
    /// 1 / `self`, and 0 for 0: the power of p - 2, which is 223 ones, a zero, 222 ones, a zero and a one.
    fn invert(&self) -> Self {
        let ones222 = self.power_of_ones(222);
        let ones223 = ones222.square().mul(self);
        let head = ones223.square_times(223).mul(&ones222);
        head.square_times(2).mul(self)
    }
}

/// a24 = (156326 - 2) / 4 (RFC 7748, 4.2, 5).
const A24: Element = Element::small(39081);

/// Writes X448(`scalar`, `u`) to `out`. It is all zero if the point has a small order, which the caller has to refuse.
///
/// `scalar` may be any bytes: it is clamped here. `u` may be any bytes too: it is reduced here. The names are those of RFC
/// 7748.
pub fn x448(scalar: &[u8; LEN], u: &[u8; LEN], out: &mut [u8; LEN]) {
    let x_1 = Element::from_le_bytes(u);
    let (mut x_2, mut z_2) = (Element::small(1), Element::ZERO);
    let (mut x_3, mut z_3) = (Element::from_le_bytes(u), Element::small(1));
    let mut swap = 0;

    for (at, byte) in scalar.iter().enumerate().rev() {
        let byte = match at {
            0 => byte & 252,
            55 => byte | 128,
            _ => *byte,
        };
        for bit in (0..8).rev() {
            let k_t = byte >> bit & 1;
            swap ^= k_t;
            x_2.swap_if(&mut x_3, swap);
            z_2.swap_if(&mut z_3, swap);
            swap = k_t;

            let a = x_2.add(&z_2);
            let aa = a.square();
            let b = x_2.sub(&z_2);
            let bb = b.square();
            let e = aa.sub(&bb);
            let c = x_3.add(&z_3);
            let d = x_3.sub(&z_3);
            let da = d.mul(&a);
            let cb = c.mul(&b);
            x_3 = da.add(&cb).square();
            z_3 = x_1.mul(&da.sub(&cb).square());
            x_2 = aa.mul(&bb);
            z_2 = e.mul(&aa.add(&A24.mul(&e)));
        }
    }
    x_2.swap_if(&mut x_3, swap);
    z_2.swap_if(&mut z_3, swap);
    x_2.mul(&z_2.invert()).to_le_bytes(out);
}
