// SPDX-License-Identifier: GPL-2.0

//! The values of setsockopt() and getsockopt(): read and written once, and checked for their length.

use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

use crate::bindings;

/// The value given to setsockopt().
///
/// # Invariants
///
/// `value` has `len` bytes, of the caller or of the kernel as it says itself.
pub(crate) struct OptionReader {
    value: bindings::sockptr_t,
    len: u32,
}

impl OptionReader {
    /// # Safety
    ///
    /// As the type invariant says, for the life of the result.
    pub(crate) unsafe fn new(value: bindings::sockptr_t, len: u32) -> Self {
        // INVARIANT: By the requirements of this function.
        Self { value, len }
    }

    /// An int. EINVAL if the value is shorter, EFAULT. May sleep.
    pub(crate) fn int(&self) -> Result<c_int> {
        if (self.len as usize) < size_of::<c_int>() {
            return Err(EINVAL);
        }
        let mut int: c_int = 0;
        // SAFETY: `int` is valid for writes of its size, and the value is as long by the check.
        to_result(unsafe {
            bindings::tcpcrypt_copy_from_sockptr(
                (&raw mut int).cast::<c_void>(),
                self.value,
                size_of::<c_int>(),
            )
        })?;
        Ok(int)
    }
}

/// The buffer given to getsockopt(), in the caller's memory.
pub(crate) struct OptionWriter {
    value: *mut c_void,
    len: *mut c_int,
}

impl OptionWriter {
    /// From the two pointers of getsockopt(), which are checked when they are used.
    pub(crate) fn new(value: *mut c_void, len: *mut c_int) -> Self {
        Self { value, len }
    }

    /// How much room the caller says there is. EINVAL if it is negative, EFAULT. May sleep.
    fn room(&self) -> Result<usize> {
        let mut room = [0u8; size_of::<c_int>()];
        UserSlice::new(UserPtr::from_ptr(self.len.cast()), room.len())
            .reader()
            .read_slice(&mut room)?;
        usize::try_from(c_int::from_ne_bytes(room)).map_err(|_| EINVAL)
    }

    /// Writes `bytes` and their number. EINVAL if there is not the room, EFAULT. May sleep.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result {
        if self.room()? < bytes.len() {
            return Err(EINVAL);
        }
        let len = c_int::try_from(bytes.len()).map_err(|_| EINVAL)?;
        UserSlice::new(UserPtr::from_ptr(self.len.cast()), size_of::<c_int>())
            .writer()
            .write_slice(&len.to_ne_bytes())?;
        UserSlice::new(UserPtr::from_ptr(self.value), bytes.len())
            .writer()
            .write_slice(bytes)
    }

    /// Writes an int. As [`OptionWriter::bytes`].
    pub(crate) fn int(&self, int: c_int) -> Result {
        self.bytes(&int.to_ne_bytes())
    }
}
