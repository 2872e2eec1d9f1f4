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

    /// An int; what is behind it is ignored, as by TCP's own options. EINVAL if the value is shorter, EFAULT. May sleep.
    pub(crate) fn int(&self) -> Result<c_int> {
        let mut int = [0; size_of::<c_int>()];
        self.copy(&mut int)?;
        Ok(c_int::from_ne_bytes(int))
    }

    /// All of the value, in `buffer`. EINVAL if it is longer than that, EFAULT. May sleep.
    pub(crate) fn bytes<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let bytes = buffer.get_mut(..self.len as usize).ok_or(EINVAL)?;
        self.copy(bytes)?;
        Ok(bytes)
    }

    /// Fills `to` from the beginning of the value. EINVAL if that is shorter, EFAULT. May sleep.
    fn copy(&self, to: &mut [u8]) -> Result {
        if (self.len as usize) < to.len() {
            return Err(EINVAL);
        }
        // SAFETY: `to` is valid for writes of its length, and the value is as long by the check.
        to_result(unsafe {
            bindings::tcpcrypt_copy_from_sockptr(
                to.as_mut_ptr().cast::<c_void>(),
                self.value,
                to.len(),
            )
        })
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
