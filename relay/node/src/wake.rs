//! A descriptor that another thread waits on (eventfd).
#![allow(unsafe_code)] // eventfd has no safe form in libc

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Readable from `ring` until `hush`.
pub(crate) struct Bell {
    descriptor: OwnedFd,
}

impl Bell {
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the descriptor is fresh, valid and owned by nobody else.
        let raw = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        // SAFETY: as above; negative is an error and not owned.
        (raw >= 0).then(|| Self { descriptor: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    pub(crate) fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // Fails only where the counter is full, and then it is readable already.
        // SAFETY: eight octets of ours, as eventfd wants.
        unsafe { libc::write(self.descriptor.as_raw_fd(), one.as_ptr().cast(), 8) };
    }

    pub(crate) fn hush(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight octets of ours, as eventfd wants.
        unsafe { libc::read(self.descriptor.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
