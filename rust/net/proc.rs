// SPDX-License-Identifier: GPL-2.0

//! The files of a namespace in `/proc/net`.
//!
//! - `tcp_crypt_stat`: the counters, one "Name value" in a line, how many passive connections wait for keys, and how many
//!   sessions are kept to be resumed.
//! - `tcp_eno_failed`: the destinations to which ENO does not work, by address: "address reason seconds" in a line, the
//!   seconds those that are left. Who has CAP_NET_ADMIN over the namespace writes "clear", or an address that is to be
//!   forgotten (ENOENT if it is not there).

use core::{
    net::{
        IpAddr,
        Ipv6Addr, //
    },
    ptr,
    slice,
    str, //
};

use kernel::{
    error::from_result,
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

/// The files in every namespace. Drop waits for those who use them; it sleeps.
pub(crate) struct ProcFiles {
    // The order is that of the teardown: the files show the states.
    _files: Registration<Files>,
    _states: Arc<Registration<NetState>>,
}

impl ProcFiles {
    /// EBUSY if they exist, ENOMEM. Context: process, may sleep.
    pub(crate) fn new(states: Arc<Registration<NetState>>) -> Result<Self> {
        Ok(Self {
            _files: Registration::new()?,
            _states: states,
        })
    }
}

/// The files of a namespace. Made by [`ProcFiles`] only, so that the [`NetState`] of the namespace outlives them.
struct Files {
    _stat: File,
    _failed: File,
}

static FILES: Id = Id::unused();

impl PerNet for Files {
    fn id() -> &'static Id {
        &FILES
    }

    fn new(net: &Net) -> impl PinInit<Self, Error> {
        try_init!(Self {
            _stat: File::new(net, c"tcp_crypt_stat", show_stat, None)?,
            _failed: File::new(net, c"tcp_eno_failed", show_failed, Some(forget_failed))?,
        })
    }
}

type Show = unsafe extern "C" fn(*mut bindings::seq_file, *mut c_void) -> c_int;
type Write = unsafe extern "C" fn(*mut bindings::file, *mut c_char, usize) -> c_int;

/// A file of a namespace.
///
/// # Invariants
///
/// `directory` is `/proc/net` of a namespace, and has our file of this name.
struct File {
    directory: *mut bindings::proc_dir_entry,
    name: &'static CStr,
}

// SAFETY: Only Drop uses what it has, and any thread may remove the file.
unsafe impl Send for File {}
// SAFETY: As above.
unsafe impl Sync for File {}

impl File {
    /// ENOMEM. Context: process.
    fn new(net: &Net, name: &'static CStr, show: Show, write: Option<Write>) -> Result<Self> {
        let mode = if write.is_some() { 0o644 } else { 0o444 };
        // SAFETY: `net` is a namespace; the directory is set before our state is made, and not changed after that.
        let directory = unsafe { bindings::tcpcrypt_proc_net(net.as_ptr()) };
        // SAFETY: The functions are what the kernel expects, and the name is a C string, of which it makes a copy.
        let file = unsafe {
            bindings::proc_create_net_single_write(
                name.as_char_ptr(),
                mode,
                directory,
                Some(show),
                write,
                ptr::null_mut(),
            )
        };
        // INVARIANT: The file was made, or nothing is.
        if file.is_null() {
            Err(ENOMEM)
        } else {
            Ok(Self { directory, name })
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the directory is there (the kernel removes it after us), and our file in it.
        // This waits for its functions.
        unsafe { bindings::remove_proc_entry(self.name.as_char_ptr(), self.directory) };
    }
}

/// What `seq` is filled from, and `seq` itself.
///
/// # Safety
///
/// `seq` must be an open file of a namespace that [`File::new`] made, which the kernel has filled for `'a`.
unsafe fn shown<'a>(seq: *mut bindings::seq_file) -> (&'a NetState, &'a SeqFile) {
    // SAFETY: It is the seq_file of a file that proc_create_net_single_write() made, which holds on to its namespace.
    let net = unsafe { bindings::tcpcrypt_seq_file_single_net(seq) };
    // SAFETY: Removing the file waits for the caller, and happens before the state goes.
    let state = unsafe { NetState::of(net) };
    // SAFETY: It is valid, and the lock of the seq_file is held. The cast is between two descriptions of one structure.
    (state, unsafe { SeqFile::from_raw(seq.cast()) })
}

/// # Safety
///
/// Called by the kernel to fill `seq`, an open file of a namespace.
unsafe extern "C" fn show_stat(seq: *mut bindings::seq_file, _unused: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let (state, seq) = unsafe { shown(seq) };
    for counter in Counter::ALL {
        seq_print!(seq, "{} {}\n", counter.name(), state.total(*counter));
    }
    seq_print!(seq, "Exchanging {}\n", state.exchanges().running());
    seq_print!(seq, "SessionsKept {}\n", state.sessions().len());
    0
}

/// # Safety
///
/// As of [`show_stat`].
unsafe extern "C" fn show_failed(seq: *mut bindings::seq_file, _unused: *mut c_void) -> c_int {
    // SAFETY: By the requirements of this function.
    let (state, seq) = unsafe { shown(seq) };
    // So many at a time: softirqs wait for the lock meanwhile.
    let mut some = [None; 16];
    let mut from = Some(Ipv6Addr::UNSPECIFIED);
    while let Some(first) = from {
        let len = state.failures().list(first, &mut some);
        for failure in some.iter().take(len).flatten() {
            seq.call_printf(format_args!("{failure}\n"));
        }
        from = match some.last() {
            Some(Some(last)) if len == some.len() => after(last.to),
            _ => None,
        };
    }
    0
}

/// The next address.
fn after(address: Ipv6Addr) -> Option<Ipv6Addr> {
    address.to_bits().checked_add(1).map(Ipv6Addr::from_bits)
}

/// # Safety
///
/// Called by the kernel with `len` bytes at `text` that were written to `file`, an open file of a namespace.
unsafe extern "C" fn forget_failed(
    file: *mut bindings::file,
    text: *mut c_char,
    len: usize,
) -> c_int {
    // SAFETY: It is an open file that proc_create_net_single_write() made, which holds on to its namespace.
    let net = unsafe { bindings::tcpcrypt_file_single_net(file) };
    // SAFETY: Both are valid.
    let may = unsafe { bindings::tcpcrypt_file_net_admin(file, net) };
    // SAFETY: Removing the file waits for this function, and happens before the state goes.
    let state = unsafe { NetState::of(net) };
    // SAFETY: By the requirements of this function.
    let text = unsafe { slice::from_raw_parts(text.cast::<u8>(), len) };
    from_result(|| {
        if !may {
            return Err(EPERM);
        }
        forget(
            state,
            str::from_utf8(text).map_err(|_| EINVAL)?.trim_ascii(),
        )?;
        Ok(0)
    })
}

fn forget(state: &NetState, text: &str) -> Result {
    if text == "clear" {
        state.failures().clear();
        return Ok(());
    }
    let address = match text.parse().map_err(|_| EINVAL)? {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    if state.failures().forget(address) {
        Ok(())
    } else {
        Err(ENOENT)
    }
}
