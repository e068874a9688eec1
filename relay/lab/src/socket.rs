//! Frames of every interface of this network namespace, in and out, through one packet socket.
#![allow(unsafe_code)] // libc has no safe form of these calls

use std::io::{Error, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const MAX_FRAME_OCTETS: usize = 2_048;
const CONTROL_OCTETS: usize = 64;
/// More than a second of everything, while the thread is kept from running.
const BUFFER_OCTETS: libc::c_int = 16 << 20;

/// A frame as it came in. `at_ns`: the kernel's stamp of its arrival, of the clock that `now_ns` reads.
pub(crate) struct Frame<'a> {
    pub(crate) interface: u32,
    pub(crate) at_ns: u64,
    pub(crate) octets: &'a [u8],
}

/// The packet socket and its room for one frame.
pub(crate) struct FrameSocket {
    socket: OwnedFd,
    octets: Box<[u8; MAX_FRAME_OCTETS]>,
}

/// Nanoseconds of the clock of the kernel's stamps.
pub(crate) fn now_ns() -> u64 {
    // SAFETY: plain numbers, filled in by the kernel.
    let mut now: libc::timespec = unsafe { zeroed() };
    // SAFETY: `now` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The number of an interface of this namespace.
pub(crate) fn interface_number(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: a string that ends in zero and outlives the call.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (number > 0).then_some(number)
}

impl FrameSocket {
    /// Needs CAP_NET_RAW over the namespace.
    pub(crate) fn new() -> Result<Self> {
        let protocol = libc::c_int::from((libc::ETH_P_IP as u16).to_be());
        // SAFETY: the descriptor is fresh and owned by nobody else; negative is an error and not owned.
        let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, protocol) };
        if raw < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: as above.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let made = Self { socket, octets: Box::new([0; MAX_FRAME_OCTETS]) };
        made.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        made.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        for (plain, forced) in [(libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)] {
            // The forced form needs a right that root of a user namespace has not.
            if made.set(libc::SOL_SOCKET, forced, BUFFER_OCTETS).is_err() {
                made.set(libc::SOL_SOCKET, plain, BUFFER_OCTETS)?;
            }
        }
        Ok(made)
    }

    fn set(&self, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> Result<()> {
        let octets = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the kernel reads `octets` octets of `value`, which outlives the call.
        let done = unsafe { libc::setsockopt(self.descriptor(), level, name, std::ptr::from_ref(&value).cast(), octets) };
        if done == 0 {
            Ok(())
        } else {
            Err(Error::last_os_error())
        }
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The next frame that waits; None where there is none.
    pub(crate) fn receive(&mut self) -> Option<Frame<'_>> {
        // SAFETY: plain numbers and pointers, for which zero is valid.
        let (mut from, mut head): (libc::sockaddr_ll, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
        let mut part = libc::iovec { iov_base: self.octets.as_mut_ptr().cast(), iov_len: MAX_FRAME_OCTETS };
        let mut control = [0u64; CONTROL_OCTETS / 8];
        head.msg_name = std::ptr::from_mut(&mut from).cast();
        head.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        head.msg_iov = &mut part;
        head.msg_iovlen = 1;
        head.msg_control = control.as_mut_ptr().cast();
        head.msg_controllen = CONTROL_OCTETS as _;
        // SAFETY: the head points to buffers that outlive the call, with their true lengths.
        let count = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut head, libc::MSG_DONTWAIT) };
        let count = usize::try_from(count).ok()?;
        let at_ns = stamp_ns(&head).unwrap_or_else(now_ns);
        Some(Frame { interface: u32::try_from(from.sll_ifindex).unwrap_or(0), at_ns, octets: &self.octets[..count] })
    }

    /// Send a frame out of an interface; false where the kernel did not take it.
    pub(crate) fn send(&self, interface: u32, octets: &[u8]) -> bool {
        // SAFETY: plain numbers, for which zero is valid.
        let mut to: libc::sockaddr_ll = unsafe { zeroed() };
        to.sll_family = libc::AF_PACKET as libc::c_ushort;
        to.sll_ifindex = interface as libc::c_int;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: sendto only reads the two buffers, which outlive the call, with their true lengths.
        let sent = unsafe {
            let to = std::ptr::from_ref(&to).cast();
            libc::sendto(self.descriptor(), octets.as_ptr().cast(), octets.len(), libc::MSG_DONTWAIT, to, length)
        };
        sent >= 0
    }

    /// Frames that the kernel dropped because the buffer was full, since the last time this was asked.
    pub(crate) fn missed(&self) -> u64 {
        let mut counts = [0u32; 2]; // struct tpacket_stats: packets, drops
        let mut octets = size_of::<[u32; 2]>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `octets` octets into `counts`, which outlives the call.
        unsafe { libc::getsockopt(self.descriptor(), libc::SOL_PACKET, libc::PACKET_STATISTICS, counts.as_mut_ptr().cast(), &mut octets) };
        u64::from(counts[1])
    }
}

fn stamp_ns(head: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel wrote this list into the buffer that the head names; the macros stay within it.
    unsafe {
        let mut entry = libc::CMSG_FIRSTHDR(head);
        while let Some(found) = entry.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
                let stamp: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(entry).cast());
                return Some(stamp.tv_sec as u64 * 1_000_000_000 + stamp.tv_nsec as u64);
            }
            entry = libc::CMSG_NXTHDR(head, entry);
        }
    }
    None
}

/// Wait until the frame socket or standard input has something, or `wait_ns` have passed; whether each has.
pub(crate) fn wait(socket: &FrameSocket, wait_ns: u64) -> (bool, bool) {
    let polled = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut both = [polled(socket.descriptor()), polled(libc::STDIN_FILENO)];
    let limit = libc::timespec { tv_sec: (wait_ns / 1_000_000_000) as libc::time_t, tv_nsec: (wait_ns % 1_000_000_000) as libc::c_long };
    // SAFETY: two entries, as said; no signal mask is given.
    unsafe { libc::ppoll(both.as_mut_ptr(), 2, &limit, std::ptr::null()) };
    (both[0].revents != 0, both[1].revents != 0)
}

/// Ask for real-time scheduling and locked memory, ahead of the nodes' own (they have 20): a wire has no processor to wait for. True where granted.
pub(crate) fn ask_for_realtime() -> bool {
    const PRIORITY: libc::c_int = 40;
    let parameter = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: these calls read nothing but `parameter`, which outlives them.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0);
        let scheduled = libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameter) == 0;
        let locked = libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) == 0;
        scheduled && locked
    }
}
