//! The library's clock, which is our `now`: handshake timers run in network time, also in virtual time.

use std::cell::Cell;

use boring::ssl::SslContextBuilder;

thread_local! {
    static NOW_US: Cell<u64> = const { Cell::new(0) };
}

/// Say what time it is, on this thread, for the library calls that follow.
pub(crate) fn set(now: u64) {
    NOW_US.with(|cell| cell.set(now));
}

/// Make a context ask here instead of the machine.
#[allow(unsafe_code)] // the binding has no safe form of this setting
pub(crate) fn install(context: &mut SslContextBuilder) {
    // SAFETY: the context is alive; the callback only writes to the struct that the library hands it.
    unsafe { boring_sys::SSL_CTX_set_current_time_cb(context.as_ptr(), Some(tell)) };
}

#[allow(unsafe_code)] // called by the library
unsafe extern "C" fn tell(_: *const boring_sys::SSL, out: *mut boring_sys::timeval) {
    let now = NOW_US.with(Cell::get);
    if !out.is_null() {
        // SAFETY: not null, and the library gives a timeval that it owns (ssl.h, SSL_CTX_set_current_time_cb).
        // The library's own epoch ends below i64 microseconds, so both casts keep the value.
        unsafe {
            (*out).tv_sec = (now / 1_000_000) as _;
            (*out).tv_usec = (now % 1_000_000) as _;
        }
    }
}
