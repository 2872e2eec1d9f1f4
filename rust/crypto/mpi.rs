// SPDX-License-Identifier: GPL-2.0

//! Integers of any length modulo another, by the kernel's MPI library.
//!
//! Nothing here takes the same time for all values, and nothing is wiped: for public values only.

use core::{
    ffi::c_int,
    ptr::{
        self,
        NonNull, //
    }, //
};

use kernel::{
    error::to_result,
    prelude::*, //
};

use crate::bindings;

/// An integer that is not negative. The library allocates with GFP_KERNEL: everything here may sleep, and fails with
/// ENOMEM.
///
/// # Invariants
///
/// It is an integer of the library's, and nobody else has it.
pub(super) struct Mpi(NonNull<bindings::gcry_mpi>);

/// Two operands and a modulus.
type Operation = unsafe extern "C" fn(
    *mut bindings::gcry_mpi,
    *mut bindings::gcry_mpi,
    *mut bindings::gcry_mpi,
    *mut bindings::gcry_mpi,
) -> c_int;

impl Mpi {
    /// The value of `bytes`, big-endian.
    pub(super) fn from_be_bytes(bytes: &[u8]) -> Result<Self> {
        // SAFETY: `bytes` is valid for reads of its length.
        let mpi = unsafe { bindings::mpi_read_raw_data(bytes.as_ptr().cast(), bytes.len()) };
        // INVARIANT: It was made just now.
        Ok(Self(NonNull::new(mpi).ok_or(ENOMEM)?))
    }

    /// Writes the value to all of `bytes`, big-endian. EOVERFLOW if it is longer.
    pub(super) fn to_be_bytes(&self, bytes: &mut [u8]) -> Result {
        let mut used = 0;
        // SAFETY: By the type's invariant `self` is an integer; `bytes` is valid for writes of its length, and the
        // library takes a null pointer for a sign that nobody wants.
        to_result(unsafe {
            bindings::mpi_read_buffer(
                self.0.as_ptr(),
                bytes.as_mut_ptr(),
                bytes.len() as u32,
                &mut used,
                ptr::null_mut(),
            )
        })?;
        // It writes as few bytes as the value has, to the front.
        let used = used as usize;
        if let Some(free) = bytes.len().checked_sub(used) {
            bytes.copy_within(..used, free);
            bytes.iter_mut().take(free).for_each(|byte| *byte = 0);
        }
        Ok(())
    }

    /// (`self` + `other`) mod `modulus`.
    pub(super) fn add(&self, other: &Self, modulus: &Self) -> Result<Self> {
        self.operate(bindings::mpi_addm, other, modulus)
    }

    /// (`self` - `other`) mod `modulus`.
    pub(super) fn sub(&self, other: &Self, modulus: &Self) -> Result<Self> {
        self.operate(bindings::mpi_subm, other, modulus)
    }

    /// (`self` * `other`) mod `modulus`.
    pub(super) fn mul(&self, other: &Self, modulus: &Self) -> Result<Self> {
        self.operate(bindings::mpi_mulm, other, modulus)
    }

    /// `self` to the power of `exponent`, mod `modulus`.
    pub(super) fn pow(&self, exponent: &Self, modulus: &Self) -> Result<Self> {
        self.operate(bindings::mpi_powm, exponent, modulus)
    }

    fn operate(&self, operation: Operation, other: &Self, modulus: &Self) -> Result<Self> {
        // One with limbs: without, the multiplication takes a zero operand, which has none either, for its result and
        // fails.
        // SAFETY: No preconditions.
        let result = unsafe { bindings::mpi_alloc(1) };
        // INVARIANT: It was made just now.
        let result = Self(NonNull::new(result).ok_or(ENOMEM)?);
        // SAFETY: By the type's invariant all four are integers, of which the result is written. It is none of the
        // others. The library takes the others by a pointer to mutable, but leaves them as they are.
        to_result(unsafe {
            operation(
                result.0.as_ptr(),
                self.0.as_ptr(),
                other.0.as_ptr(),
                modulus.0.as_ptr(),
            )
        })?;
        Ok(result)
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant it is an integer that nobody else has.
        unsafe { bindings::mpi_free(self.0.as_ptr()) }
    }
}
