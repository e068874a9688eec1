//! Hands the sockets of links to the process that keeps them open when this one is gone (SCM_RIGHTS; `voicebox/keeping.py` has what is said).
#![allow(unsafe_code)] // libc has no safe form of sending a descriptor

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::datagrams::Control;
use crate::links::SocketNumber;
use crate::Error;

/// This process's end of the pair; with none, nothing is kept.
pub(crate) struct Keeper {
    towards: Option<OwnedFd>,
    lost: AtomicU64,
}

impl Keeper {
    /// Duplicate the descriptor of a socket pair's end.
    pub(crate) fn new(descriptor: Option<RawFd>) -> Result<Self, Error> {
        // SAFETY: whoever gave the number holds it open during this call; one that is no descriptor is an error of the duplication.
        let duplicate = |raw| unsafe { BorrowedFd::borrow_raw(raw) }.try_clone_to_owned();
        let towards = match descriptor {
            Some(raw) if raw < 0 => return Err(Error::Local("a descriptor is not negative")),
            Some(raw) => Some(duplicate(raw).map_err(|_| Error::Local("the keeper's descriptor is none"))?),
            None => None,
        };
        Ok(Self { towards, lost: AtomicU64::new(0) })
    }

    /// Let a socket be kept, for as long as this process lives and a while more.
    pub(crate) fn keep(&self, number: SocketNumber, socket: &UdpSocket) {
        self.tell(number, Some(socket.as_raw_fd()));
    }

    /// Say that a socket is no longer used here.
    pub(crate) fn release(&self, number: SocketNumber) {
        self.tell(number, None);
    }

    /// Say that none is used any more.
    pub(crate) fn close(&self) {
        if let Some(towards) = &self.towards {
            // SAFETY: an own descriptor; one that is shut down already is an error, not undefined.
            unsafe { libc::shutdown(towards.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }

    /// What could not be told, because the keeper is gone or does not listen.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn tell(&self, number: SocketNumber, descriptor: Option<RawFd>) {
        let Some(towards) = &self.towards else { return };
        let mut octets = number.to_be_bytes();
        let mut part = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
        let mut control = Control::new();
        // SAFETY: a plain struct of numbers and pointers, for which zero is valid.
        let mut head: libc::msghdr = unsafe { std::mem::zeroed() };
        (head.msg_iov, head.msg_iovlen) = (&mut part, 1);
        if let Some(descriptor) = descriptor {
            control.fill(&mut head, (libc::SOL_SOCKET, libc::SCM_RIGHTS), descriptor);
        }
        // SAFETY: sendmsg only reads what the head points to, all of which outlives the call.
        let sent = unsafe { libc::sendmsg(towards.as_raw_fd(), &head, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
        if sent < 0 {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
