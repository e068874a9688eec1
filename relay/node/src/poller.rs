//! Sleeping until a descriptor is readable or a microsecond has come (epoll).
#![allow(unsafe_code)] // epoll has no safe form in libc

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// At most so many descriptors are reported at once; the rest the next time.
const BATCH: usize = 64;

/// Waits for many descriptors, each with a number of ours.
pub(crate) struct Poller {
    epoll: OwnedFd,
    ready: Vec<libc::epoll_event>,
}

impl Poller {
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the descriptor is fresh and owned by nobody else.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: as above; negative is an error and not owned.
        (raw >= 0).then(|| Self { epoll: unsafe { OwnedFd::from_raw_fd(raw) }, ready: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH] })
    }

    pub(crate) fn add(&self, descriptor: RawFd, number: u64) -> bool {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number };
        // SAFETY: the kernel copies `event`; an invalid descriptor is an error, not undefined.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &mut event) == 0 }
    }

    /// Ask about reading and writing as `wanted` says, where `before` was asked; about neither means not at all.
    pub(crate) fn watch(&self, descriptor: RawFd, number: u64, before: (bool, bool), wanted: (bool, bool)) {
        const NOTHING: (bool, bool) = (false, false);
        if wanted == NOTHING {
            return self.remove(descriptor);
        }
        let operation = if before == NOTHING { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_MOD };
        let events = if wanted.0 { libc::EPOLLIN } else { 0 } | if wanted.1 { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: events as u32, u64: number };
        // SAFETY: the kernel copies `event`; an invalid descriptor is an error, not undefined.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, descriptor, &mut event) };
    }

    /// Ask no more about a descriptor. Closing one is not enough where another process has it too.
    pub(crate) fn remove(&self, descriptor: RawFd) {
        // SAFETY: the kernel reads no event; a descriptor that was not added is an error, not undefined.
        unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, descriptor, std::ptr::null_mut()) };
    }

    /// Wait at most `wait_us`; the numbers of what is readable are left in `numbers`.
    pub(crate) fn wait(&mut self, wait_us: u64, numbers: &mut Vec<u64>) {
        numbers.clear();
        let count = self.wait_raw(wait_us);
        for event in &self.ready[..usize::try_from(count).unwrap_or(0).min(BATCH)] {
            numbers.push(event.u64);
        }
    }

    fn wait_raw(&mut self, wait_us: u64) -> libc::c_int {
        if wait_us == 0 {
            // SAFETY: as below.
            return unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.ready.as_mut_ptr(), BATCH as libc::c_int, 0) };
        }
        let wait = libc::timespec { tv_sec: (wait_us / 1_000_000) as libc::time_t, tv_nsec: ((wait_us % 1_000_000) * 1_000) as libc::c_long };
        let none = std::ptr::null::<libc::sigset_t>();
        // SAFETY: `ready` has room for BATCH events; `wait` outlives the call; no signal mask is given.
        let count =
            unsafe { libc::syscall(libc::SYS_epoll_pwait2, self.epoll.as_raw_fd(), self.ready.as_mut_ptr(), BATCH as libc::c_int, &wait, none, 8usize) };
        if count >= 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
            return count as libc::c_int;
        }
        // Linux before 5.11: whole milliseconds, rounded down, so that the last one is spent asking again.
        // SAFETY: as above.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.ready.as_mut_ptr(), BATCH as libc::c_int, (wait_us / 1_000).min(1_000) as libc::c_int) }
    }
}
