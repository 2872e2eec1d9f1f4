// SPDX-License-Identifier: GPL-2.0

//! An element of a prime field, over the functions of fiat-crypto for that field.

/// Defines `Element` over the functions `carry_mul`, `carry_square`, `carry`, `add`, `sub`, `to_bytes`, `from_bytes` and
/// `relax` of fiat-crypto, which the module that expands this has imported by these names.
///
/// Their precondition is that elements have the bounds of their type, "tight" or "loose". Every `Element` is tight: sums
/// and differences are carried at once.
macro_rules! element {
    ($tight:ident, $loose:ident, $limbs:literal, $bytes:literal) => {
        /// An element of the field. Wiped on drop.
        pub(super) struct Element($tight);

        impl Element {
            pub(super) const ZERO: Self = Self($tight([0; $limbs]));

            /// A small number.
            pub(super) const fn small(value: u16) -> Self {
                let mut limbs = [0; $limbs];
                limbs[0] = value as u64;
                Self($tight(limbs))
            }

            /// The value of little-endian `bytes`, modulo p.
            pub(super) fn from_le_bytes(bytes: &[u8; $bytes]) -> Self {
                let mut element = Self::ZERO;
                from_bytes(&mut element.0, bytes);
                element
            }

            /// Writes the value, less than p, little-endian.
            pub(super) fn to_le_bytes(&self, bytes: &mut [u8; $bytes]) {
                to_bytes(bytes, &self.0);
            }

            fn loose(&self) -> Loose {
                let mut loose = Loose::ZERO;
                relax(&mut loose.0, &self.0);
                loose
            }

            pub(super) fn add(&self, other: &Self) -> Self {
                let (mut sum, mut element) = (Loose::ZERO, Self::ZERO);
                add(&mut sum.0, &self.0, &other.0);
                carry(&mut element.0, &sum.0);
                element
            }

            pub(super) fn sub(&self, other: &Self) -> Self {
                let (mut difference, mut element) = (Loose::ZERO, Self::ZERO);
                sub(&mut difference.0, &self.0, &other.0);
                carry(&mut element.0, &difference.0);
                element
            }

            pub(super) fn mul(&self, other: &Self) -> Self {
                let mut element = Self::ZERO;
                carry_mul(&mut element.0, &self.loose().0, &other.loose().0);
                element
            }

            pub(super) fn square(&self) -> Self {
                let mut element = Self::ZERO;
                carry_square(&mut element.0, &self.loose().0);
                element
            }

            /// The power of 2^`count`.
            pub(super) fn square_times(&self, count: usize) -> Self {
                let mut element = self.square();
                for _ in 1..count {
                    element = element.square();
                }
                element
            }

            /// The power of 2^`count` - 1, a number of `count` ones. `count` is no secret.
            pub(super) fn power_of_ones(&self, count: usize) -> Self {
                let (mut power, mut ones) = (Self(self.0), 1);
                for bit in (0..count.ilog2()).rev() {
                    power = power.square_times(ones).mul(&power);
                    ones *= 2;
                    if count >> bit & 1 == 1 {
                        power = power.square().mul(self);
                        ones += 1;
                    }
                }
                power
            }

            /// Exchanges the two if `swap` is 1, and leaves them if it is 0, in the same way.
            pub(super) fn swap_if(&mut self, other: &mut Self, swap: u8) {
                let mask = black_box(u64::from(swap).wrapping_neg());
                for (a, b) in self.0 .0.iter_mut().zip(&mut other.0 .0) {
                    let differing = mask & (*a ^ *b);
                    *a ^= differing;
                    *b ^= differing;
                }
            }
        }

        impl Drop for Element {
            fn drop(&mut self) {
                self.0 = $tight([0; $limbs]);
                // So that the compiler does not leave the stores out: see `proto/secret.rs`.
                black_box(&mut self.0);
            }
        }

        /// An element that may be an operand of a multiplication only. Wiped on drop.
        struct Loose($loose);

        impl Loose {
            const ZERO: Self = Self($loose([0; $limbs]));
        }

        impl Drop for Loose {
            fn drop(&mut self) {
                self.0 = $loose([0; $limbs]);
                black_box(&mut self.0);
            }
        }
    };
}

pub(super) use element;
