// SPDX-License-Identifier: GPL-2.0

//! The settings of a namespace as sysctls: `net.ipv4.tcp_eno.*` and `net.ipv4.tcp_crypt.*`.
//!
//! In another namespace than the first they are for whoever has CAP_NET_ADMIN there, as all of `net`. A write that is
//! refused (EINVAL) changes nothing.

use core::{
    marker::PhantomData,
    ptr::NonNull,
    slice, //
};

use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::NullTerminatedFormatter,
    sync::Arc, //
};

use crate::{
    bindings,
    conn::settings::{
        self,
        List,
        Number, //
    },
    net::pernet::{
        Id,
        Net,
        NetState,
        PerNet,
        Registration, //
    },
};

/// Who is told of changes.
pub(crate) trait Events: Send + Sync + 'static {
    /// `enable_connect` of `net` is about to become `on`, which [`NetState::enable_connect`] does not say yet.
    ///
    /// Context: process, may sleep. Not called at unload and when a namespace goes away.
    fn connect_changes(net: &Net, on: bool);

    /// `enable_listen` of `net` has become `on`, which [`NetState::enable_listen`] says already.
    ///
    /// Context: process, may sleep; one call at a time per namespace, in the order of the changes. Not called at unload
    /// and when a namespace goes away.
    fn listen_changed(net: &Net, on: bool);
}

/// The sysctls in every namespace. To be made last and dropped first of what they have an effect on: drop waits for
/// reads and writes that are under way, and with that for [`Events`]. Drop sleeps.
pub(crate) struct Sysctls<E: Events> {
    // The order is that of the teardown: the tables point at the states.
    _tables: Registration<Tables<E>>,
    _states: Arc<Registration<NetState>>,
}

impl<E: Events> Sysctls<E> {
    /// EBUSY if they exist, ENOMEM. Context: process, may sleep.
    pub(crate) fn new(states: Arc<Registration<NetState>>) -> Result<Self> {
        Ok(Self {
            _tables: Registration::new()?,
            _states: states,
        })
    }
}

/// The sysctls of a namespace. Made by [`Sysctls`] only, so that the [`NetState`] of the namespace outlives them.
struct Tables<E: Events> {
    _eno: Table,
    _crypt: Table,
    _told: PhantomData<E>,
}

/// Of whichever `Tables<E>` is registered: there is one at a time.
static TABLES: Id = Id::unused();

impl<E: Events> PerNet for Tables<E> {
    fn id() -> &'static Id {
        &TABLES
    }

    fn new(net: &Net) -> impl PinInit<Self, Error> {
        // SAFETY: `Sysctls` was given a registration of `NetState`, and keeps it until these tables are gone.
        let state = unsafe { NetState::of(net.as_ptr()) };
        let entry = |name, handler| entry(net, name, handler, state);
        try_init!(Self {
            _eno: Table::register(
                net,
                c"net/ipv4/tcp_eno",
                [
                    entry(c"enable_connect", enable_connect::<E>),
                    entry(c"enable_listen", enable_listen::<E>),
                    entry(c"teps", teps),
                    entry(c"syn_retransmissions", syn_retransmissions),
                    entry(c"failure_lifetime", failure_lifetime),
                    entry(c"failure_entries", failure_entries),
                    ports(c"exclude_local_ports", state.exclude_local().data()),
                    ports(c"exclude_remote_ports", state.exclude_remote().data()),
                ],
            )?,
            _crypt: Table::register(
                net,
                c"net/ipv4/tcp_crypt",
                [
                    entry(c"aconf", aconf),
                    entry(c"bconf", bconf),
                    entry(c"max_exchanges", max_exchanges),
                    entry(c"rekey_bytes", rekey_bytes),
                    entry(c"rekey_seconds", rekey_seconds),
                    entry(c"resume", resume),
                    entry(c"cache_entries", cache_entries),
                    entry(c"cache_lifetime", cache_lifetime),
                ],
            )?,
            _told: PhantomData,
        })
    }
}

/// A directory of sysctls.
///
/// # Invariants
///
/// `header` is what registering `entries` gave, and is not unregistered yet.
struct Table {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
}

// SAFETY: Only Drop uses what it has, and any thread may unregister.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

impl Table {
    /// ENOMEM. Context: process.
    fn register<const N: usize>(
        net: &Net,
        path: &'static CStr,
        table: [bindings::ctl_table; N],
    ) -> Result<Self> {
        let mut entries = KVec::with_capacity(N, GFP_KERNEL)?;
        for entry in table {
            entries.push(entry, GFP_KERNEL)?;
        }
        // SAFETY: The path and the entries, which say how many they are, are valid until they are unregistered: the
        // allocation stays where it is.
        let header = unsafe {
            bindings::register_net_sysctl_sz(
                net.as_ptr(),
                path.as_char_ptr(),
                entries.as_mut_ptr(),
                entries.len(),
            )
        };
        // INVARIANT: Just registered.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: entries,
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: Registered by the type invariant. This waits for the handlers that are running.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}

type Handler = unsafe extern "C" fn(
    *const bindings::ctl_table,
    c_int,
    *mut c_void,
    *mut usize,
    *mut bindings::loff_t,
) -> c_int;

const MODE: bindings::umode_t = 0o644;

/// An entry whose handler is one of ours, which finds the namespace and its state in it.
fn entry(
    net: &Net,
    name: &'static CStr,
    handler: Handler,
    state: &NetState,
) -> bindings::ctl_table {
    bindings::ctl_table {
        procname: name.as_char_ptr(),
        data: core::ptr::from_ref(state).cast_mut().cast(),
        mode: MODE,
        proc_handler: Some(handler),
        extra1: net.as_ptr().cast(),
        ..Default::default()
    }
}

/// An entry for a set of ports, which the kernel handles as it does `ip_local_reserved_ports`.
fn ports(name: &'static CStr, data: *const *mut usize) -> bindings::ctl_table {
    bindings::ctl_table {
        procname: name.as_char_ptr(),
        data: data.cast_mut().cast(),
        maxlen: super::pernet::PortSet::BITS as c_int,
        mode: MODE,
        proc_handler: Some(bindings::proc_do_large_bitmap),
        ..Default::default()
    }
}

/// One read or write of a sysctl, as its handler is given it.
///
/// # Invariants
///
/// The pointers are those that the kernel gave to the handler of an entry that [`entry`] made: `table` is that entry,
/// `len` and `position` are valid, and `buffer` holds `*len` bytes.
struct Call {
    table: *const bindings::ctl_table,
    write: bool,
    buffer: *mut c_void,
    len: *mut usize,
    position: *mut bindings::loff_t,
}

impl Call {
    fn state(&self) -> &NetState {
        // SAFETY: By the type invariant the entry is registered, and its data is the state of its namespace, which is
        // there for as long as the entry is.
        unsafe { &*(*self.table).data.cast::<NetState>() }
    }

    fn net(&self) -> &Net {
        // SAFETY: By the type invariant the entry is registered, in this namespace, which therefore exists.
        unsafe { Net::from_raw((*self.table).extra1.cast()) }
    }

    /// Lets one of the kernel's handlers do it with `data` of `size` bytes and, if it takes them, with limits.
    ///
    /// # Safety
    ///
    /// They must be what `handler` takes.
    unsafe fn hand_on(
        &self,
        handler: Handler,
        data: *mut c_void,
        size: usize,
        limits: [*mut c_void; 2],
    ) -> Result {
        // SAFETY: Valid by the type invariant.
        let mut table = unsafe { *self.table };
        table.data = data;
        table.maxlen = size as c_int;
        [table.extra1, table.extra2] = limits;
        // SAFETY: The caller vouches for the table, the type invariant for the rest.
        to_result(unsafe {
            handler(
                &table,
                self.write.into(),
                self.buffer,
                self.len,
                self.position,
            )
        })
    }

    /// Lets one of the kernel's handlers do it with `value` and limits of its type. EINVAL for anything but one value:
    /// the kernel itself takes the first word that is written, and ignores what is written behind it or in a second
    /// write.
    ///
    /// # Safety
    ///
    /// `handler` must take values and limits of this type.
    unsafe fn one<T>(&self, handler: Handler, value: &mut T, mut min: T, mut max: T) -> Result {
        // SAFETY: Valid by the type invariant.
        let (len, position) = unsafe { (*self.len, *self.position) };
        if self.write && (position != 0 || len == 0 || len > Self::MAX_NUMBER_LEN) {
            return Err(EINVAL);
        }
        // SAFETY: By the requirements of this function.
        unsafe {
            self.hand_on(
                handler,
                (&raw mut *value).cast(),
                size_of::<T>(),
                [(&raw mut min).cast(), (&raw mut max).cast()],
            )
        }?;
        // SAFETY: Valid by the type invariant. The handler left how much it has used.
        if self.write && unsafe { *self.len } != len {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// No number that is written is longer, with the white space around it. The kernel's handlers look at less than a
    /// page.
    const MAX_NUMBER_LEN: usize = 256;

    /// 0 or 1. The new value if this is a write, else none; `old` is shown.
    fn switch(&self, old: bool) -> Result<Option<bool>> {
        let mut value = c_int::from(old);
        // SAFETY: It takes ints.
        unsafe { self.one(bindings::proc_dointvec_minmax, &mut value, 0, 1) }?;
        Ok(self.write.then_some(value != 0))
    }

    /// A number. The new one if this is a write, else none; `old` is shown.
    fn number(&self, number: &Number, old: u32) -> Result<Option<u32>> {
        let mut value = old;
        let (min, max) = (*number.allowed.start(), *number.allowed.end());
        // SAFETY: It takes unsigned ints.
        unsafe { self.one(bindings::proc_douintvec_minmax, &mut value, min, max) }?;
        Ok(self.write.then_some(value))
    }

    /// Any number of 64 bits. The new one if this is a write, else none; `old` is shown.
    fn long(&self, old: u64) -> Result<Option<u64>> {
        let mut value = old;
        // SAFETY: It takes unsigned longs.
        unsafe { self.one(bindings::proc_doulongvec_minmax, &mut value, 0, u64::MAX) }?;
        Ok(self.write.then_some(value))
    }

    /// A list. The new one if this is a write, else none; `old` is shown.
    fn list<L: List>(&self, old: &L) -> Result<Option<L>> {
        if self.write {
            return self.new_list().map(Some);
        }
        let mut text = [0; settings::MAX_TEXT_LEN + 1];
        let mut out = NullTerminatedFormatter::new(&mut text).ok_or(EINVAL)?;
        settings::format(old, &mut out).map_err(|_| EINVAL)?;
        // SAFETY: The data is a C string in so many bytes.
        unsafe {
            self.hand_on(
                bindings::proc_dostring,
                text.as_mut_ptr().cast(),
                text.len(),
                [core::ptr::null_mut(); 2],
            )
        }?;
        Ok(None)
    }

    fn new_list<L: List>(&self) -> Result<L> {
        // SAFETY: Valid by the type invariant, and nobody else's.
        let (len, position) = unsafe { (*self.len, &mut *self.position) };
        if *position != 0 {
            // A list comes in one write.
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant there are so many bytes, in a buffer of this call.
        let text = unsafe { slice::from_raw_parts(self.buffer.cast::<u8>(), len) };
        let list = settings::parse(text).ok_or(EINVAL)?;
        *position += bindings::loff_t::try_from(len)?;
        Ok(list)
    }
}

/// Makes a handler of `$name` that runs `$body` on the [`Call`].
macro_rules! handler {
    ($name:ident $(<$param:ident: $bound:ident>)?, $body:expr) => {
        /// # Safety
        ///
        /// Called by the kernel, for an entry that [`entry`] made.
        unsafe extern "C" fn $name $(<$param: $bound>)? (
            table: *const bindings::ctl_table,
            write: c_int,
            buffer: *mut c_void,
            len: *mut usize,
            position: *mut bindings::loff_t,
        ) -> c_int {
            // INVARIANT: By the requirements of this function.
            let call = Call { table, write: write != 0, buffer, len, position };
            from_result(|| {
                let body: fn(&Call) -> Result = $body;
                body(&call)?;
                Ok(0)
            })
        }
    };
}

handler!(enable_connect<E: Events>, |call| {
    let state = call.state();
    if let Some(on) = call.switch(state.enable_connect())? {
        E::connect_changes(call.net(), on);
        state.set_enable_connect(on);
    }
    Ok(())
});

handler!(enable_listen<E: Events>, |call| {
    let state = call.state();
    let _changing = state.listen_change.lock();
    let old = state.enable_listen();
    if let Some(on) = call.switch(old)?.filter(|on| *on != old) {
        state.set_enable_listen(on);
        E::listen_changed(call.net(), on);
    }
    Ok(())
});

handler!(aconf, |call| {
    let state = call.state();
    if let Some(list) = call.list(&state.aconf())? {
        state.set_aconf(&list);
    }
    Ok(())
});

handler!(bconf, |call| {
    let state = call.state();
    if let Some(list) = call.list(&state.bconf())? {
        state.set_bconf(&list);
    }
    Ok(())
});

handler!(teps, |call| {
    let state = call.state();
    if let Some(list) = call.list(&state.teps())? {
        state.set_teps(&list);
    }
    Ok(())
});

handler!(syn_retransmissions, |call| {
    let state = call.state();
    let old = state.syn_retransmissions();
    if let Some(times) = call.number(&settings::SYN_RETRANSMISSIONS, old)? {
        state.set_syn_retransmissions(times);
    }
    Ok(())
});

handler!(failure_lifetime, |call| {
    let failures = call.state().failures();
    if let Some(seconds) = call.number(&settings::FAILURE_LIFETIME, failures.lifetime())? {
        failures.set_lifetime(seconds);
    }
    Ok(())
});

handler!(failure_entries, |call| {
    let failures = call.state().failures();
    if let Some(max) = call.number(&settings::FAILURE_ENTRIES, failures.max_entries())? {
        failures.set_max_entries(max);
    }
    Ok(())
});

handler!(max_exchanges, |call| {
    let exchanges = call.state().exchanges();
    if let Some(max) = call.number(&settings::MAX_EXCHANGES, exchanges.max())? {
        exchanges.set_max(max);
    }
    Ok(())
});

handler!(rekey_bytes, |call| {
    let state = call.state();
    if let Some(bytes) = call.long(state.rekey_bytes())? {
        state.set_rekey_bytes(bytes);
    }
    Ok(())
});

handler!(resume, |call| {
    let sessions = call.state().sessions();
    if let Some(on) = call.switch(sessions.on())? {
        sessions.set_on(on);
    }
    Ok(())
});

handler!(rekey_seconds, |call| {
    let state = call.state();
    let old = state.rekey_seconds();
    if let Some(seconds) = call.number(&settings::REKEY_SECONDS, old)? {
        state.set_rekey_seconds(seconds);
    }
    Ok(())
});

handler!(cache_entries, |call| {
    let sessions = call.state().sessions();
    if let Some(max) = call.number(&settings::CACHE_ENTRIES, sessions.max())? {
        sessions.set_max(max);
    }
    Ok(())
});

handler!(cache_lifetime, |call| {
    let sessions = call.state().sessions();
    if let Some(seconds) = call.number(&settings::CACHE_LIFETIME, sessions.lifetime())? {
        sessions.set_lifetime(seconds);
    }
    Ok(())
});
