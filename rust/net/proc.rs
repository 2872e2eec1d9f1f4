// SPDX-License-Identifier: GPL-2.0

//! `/proc/net/tcp_crypt_stat`: the counters of a namespace, one "Name value" in a line.

use core::ptr;

use kernel::{
    prelude::*,
    seq_file::{
        seq_print,
        SeqFile, //
    },
    sync::Arc, //
};

use crate::{
    bindings,
    conn::stats::Counter,
    net::pernet::{
        Id,
        Net,
        NetState,
        PerNet,
        Registration, //
    }, //
};

const NAME: &CStr = c"tcp_crypt_stat";

/// The file in every namespace. Drop waits for those who read it; it sleeps.
pub(crate) struct StatFile {
    // The order is that of the teardown: the files show the states.
    _files: Registration<File>,
    _states: Arc<Registration<NetState>>,
}

impl StatFile {
    /// EBUSY if it exists, ENOMEM. Context: process, may sleep.
    pub(crate) fn new(states: Arc<Registration<NetState>>) -> Result<Self> {
        Ok(Self {
            _files: Registration::new()?,
            _states: states,
        })
    }
}

/// The file of a namespace. Made by [`StatFile`] only, so that the [`NetState`] of the namespace outlives it.
///
/// # Invariants
///
/// `directory` is `/proc/net` of a namespace, and has our file.
struct File {
    directory: *mut bindings::proc_dir_entry,
}

// SAFETY: Only Drop uses what it has, and any thread may remove the file.
unsafe impl Send for File {}
// SAFETY: As above.
unsafe impl Sync for File {}

static FILE: Id = Id::unused();

impl PerNet for File {
    fn id() -> &'static Id {
        &FILE
    }

    fn new(net: &Net) -> impl PinInit<Self, Error> {
        // SAFETY: `net` is a namespace; the directory is set before our state is made, and not changed after that.
        let directory = unsafe { bindings::tcpcrypt_proc_net(net.as_ptr()) };
        // SAFETY: `show` is what the kernel expects, and the name is a C string, of which it makes a copy.
        let file = unsafe {
            bindings::proc_create_net_single(
                NAME.as_char_ptr(),
                0o444,
                directory,
                Some(show),
                ptr::null_mut(),
            )
        };
        // INVARIANT: The file was made, or nothing is.
        if file.is_null() {
            Err(ENOMEM)
        } else {
            Ok(Self { directory })
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the directory is there (the kernel removes it after us), and our file in it.
        // This waits for `show`.
        unsafe { bindings::remove_proc_entry(NAME.as_char_ptr(), self.directory) };
    }
}

/// # Safety
///
/// Called by the kernel to fill `seq`, an open file of a namespace.
unsafe extern "C" fn show(seq: *mut bindings::seq_file, _unused: *mut c_void) -> c_int {
    // SAFETY: It is the seq_file of a file that proc_create_net_single() made, which holds on to its namespace.
    let net = unsafe { bindings::tcpcrypt_seq_file_single_net(seq) };
    // SAFETY: Removing the file waits for this function, and happens before the state goes.
    let state = unsafe { NetState::of(net) };
    // SAFETY: It is valid, and the lock of the seq_file is held. The cast is between two descriptions of one structure.
    let seq = unsafe { SeqFile::from_raw(seq.cast()) };
    for counter in Counter::ALL {
        seq_print!(seq, "{} {}\n", counter.name(), state.total(*counter));
    }
    0
}
