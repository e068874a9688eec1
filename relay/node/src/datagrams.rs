//! Many datagrams in one system call (recvmmsg, sendmmsg), and trains of cells to one address (UDP_SEGMENT) and from one (UDP_GRO).
#![allow(unsafe_code)] // libc has no safe form of these calls

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use crate::Error;

/// Longest message taken: a train that the kernel or the network card put together is as long as a datagram may be. Pages that no message reaches
/// are never touched, so the room costs nothing.
const MAX_OCTETS: usize = 65_536;
/// Messages taken in one call; each is a datagram, or a train of up to 64 of one length (128 since Linux 6.9).
const RECEIVE_BATCH: usize = 64;
const SEND_BATCH: usize = 64;
/// Datagrams in one train. The kernel's bounds are 64 segments (128 since Linux 6.9) and 65 507 octets; 60 cells of 278 are 16 680.
pub(crate) const MAX_TRAIN: usize = 60;
/// A second of cells of 100 circuits, while the thread is kept from running.
const BUFFER_OCTETS: libc::c_int = 4 << 20;

/// Bind a UDP socket that does not block, with large buffers.
pub(crate) fn bind(address: IpAddr, port: u16) -> Result<UdpSocket, Error> {
    let socket = UdpSocket::bind(SocketAddr::new(address, port)).map_err(|_| Error::Host("no UDP socket could be bound to the address and port"))?;
    socket.set_nonblocking(true).map_err(|_| Error::Host("a UDP socket could not be set up"))?;
    // Trains come whole, at the cost of one datagram; before Linux 5.0 they do not.
    set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    for (plain, forced) in [(libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)] {
        // The forced form needs a right; without it the system's limit (net.core.rmem_max) holds.
        if !set_option(&socket, libc::SOL_SOCKET, forced, BUFFER_OCTETS) {
            set_option(&socket, libc::SOL_SOCKET, plain, BUFFER_OCTETS);
        }
    }
    Ok(socket)
}

pub(crate) fn set_option(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> bool {
    let octets = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `octets` octets of `value`, which outlives the call.
    unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(&value).cast(), octets) == 0 }
}

/// An address as the kernel has it.
#[derive(Clone, Copy)]
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    octets: libc::socklen_t,
}

impl RawAddress {
    pub(crate) fn new(address: SocketAddr) -> Self {
        // SAFETY: sockaddr_storage is plain octets, for which zero is valid.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let octets = match address {
            SocketAddr::V4(v4) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage is larger than and aligned for every sockaddr.
                unsafe { std::ptr::write(std::ptr::from_mut(&mut storage).cast(), raw) };
                std::mem::size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { std::ptr::write(std::ptr::from_mut(&mut storage).cast(), raw) };
                std::mem::size_of::<libc::sockaddr_in6>()
            }
        };
        Self { storage, octets: octets as libc::socklen_t }
    }

    fn none() -> Self {
        // SAFETY: as in new().
        Self { storage: unsafe { std::mem::zeroed() }, octets: std::mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    fn parse(&self) -> Option<SocketAddr> {
        match libc::c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the kernel wrote a sockaddr_in.
                let raw: libc::sockaddr_in = unsafe { std::ptr::read(std::ptr::from_ref(&self.storage).cast()) };
                Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes()), u16::from_be(raw.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the kernel wrote a sockaddr_in6.
                let raw: libc::sockaddr_in6 = unsafe { std::ptr::read(std::ptr::from_ref(&self.storage).cast()) };
                let address = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                Some(SocketAddr::V6(SocketAddrV6::new(address, u16::from_be(raw.sin6_port), raw.sin6_flowinfo, raw.sin6_scope_id)))
            }
            _ => None,
        }
    }
}

/// One datagram of the last call: which message, and from where to where in it.
struct Piece {
    message: usize,
    begin: usize,
    end: usize,
}

/// Room for one call of recvmmsg. The kernel's headers point into the buffers beside them, which never move or grow.
pub(crate) struct Inbox {
    octets: Vec<u8>,
    senders: Vec<RawAddress>,
    controls: Vec<Control>,
    heads: Vec<libc::mmsghdr>,
    _parts: Vec<libc::iovec>,
    pieces: Vec<Piece>,
    full: bool,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let mut octets = vec![0; RECEIVE_BATCH * MAX_OCTETS];
        let mut senders = vec![RawAddress::none(); RECEIVE_BATCH];
        let mut controls = vec![Control::new(); RECEIVE_BATCH];
        let part = |octets: &mut [u8]| libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
        let mut parts: Vec<libc::iovec> = octets.chunks_exact_mut(MAX_OCTETS).map(part).collect();
        let head = |((sender, part), control): ((&mut RawAddress, &mut libc::iovec), &mut Control)| {
            // SAFETY: a plain struct of numbers and pointers, for which zero is valid.
            let mut head: libc::mmsghdr = unsafe { std::mem::zeroed() };
            head.msg_hdr.msg_name = std::ptr::from_mut(&mut sender.storage).cast();
            head.msg_hdr.msg_iov = part;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            head
        };
        let heads = senders.iter_mut().zip(parts.iter_mut()).zip(controls.iter_mut()).map(head).collect();
        Self { octets, senders, controls, heads, _parts: parts, pieces: Vec::with_capacity(RECEIVE_BATCH), full: false }
    }

    /// Take what waits at a socket, at most RECEIVE_BATCH messages; the number of datagrams. Errors (ICMP's among them) take nothing.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        for head in &mut self.heads {
            head.msg_hdr.msg_namelen = std::mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            head.msg_hdr.msg_controllen = CONTROL_OCTETS as _;
        }
        // SAFETY: each head points to buffers of `self`, with their true lengths (new() and the lines above).
        let count = unsafe {
            let heads = self.heads.as_mut_ptr();
            libc::recvmmsg(socket.as_raw_fd(), heads, RECEIVE_BATCH as libc::c_uint, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let count = usize::try_from(count).unwrap_or(0);
        self.full = count == RECEIVE_BATCH;
        self.pieces.clear();
        for (message, head) in self.heads[..count].iter().enumerate() {
            let octets = head.msg_len as usize;
            let each = piece_octets(&head.msg_hdr, &self.controls[message]).unwrap_or(octets).max(1);
            let mut begin = 0;
            // An empty datagram is one too: it is counted like any other that means nothing.
            loop {
                let end = (begin + each).min(octets);
                self.pieces.push(Piece { message, begin, end });
                begin = end;
                if begin >= octets {
                    break;
                }
            }
        }
        self.pieces.len()
    }

    /// Say whether the last call took as much as fits, so that more may wait.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// A datagram of the last call and who sent it.
    pub(crate) fn get(&self, place: usize) -> (&[u8], Option<SocketAddr>) {
        let Piece { message, begin, end } = self.pieces[place];
        (&self.octets[message * MAX_OCTETS..][begin..end], self.senders[message].parse())
    }
}

/// The length of the datagrams of which a message is a train; `None` where it is no train.
fn piece_octets(head: &libc::msghdr, control: &Control) -> Option<usize> {
    // The kernel writes one header at most: nothing but UDP_GRO was asked for.
    // SAFETY: computes a length.
    let wanted = unsafe { libc::CMSG_LEN(4) } as usize;
    if head.msg_controllen < wanted {
        return None;
    }
    // SAFETY: the buffer is aligned for a cmsghdr and longer than `wanted`; the kernel has filled as much.
    let (first, each) = unsafe {
        let first = control.0.as_ptr().cast::<libc::cmsghdr>();
        (std::ptr::read(first), std::ptr::read_unaligned(libc::CMSG_DATA(first).cast::<libc::c_int>()))
    };
    let is_train = (first.cmsg_level, first.cmsg_type, first.cmsg_len) == (libc::SOL_UDP, libc::UDP_GRO, wanted);
    usize::try_from(each).ok().filter(|each| is_train && *each > 0)
}

/// Cells (or one datagram of any length) that leave together for one address.
pub(crate) struct Parcel<'a> {
    pub(crate) octets: &'a [&'a [u8]],
    pub(crate) to: &'a RawAddress,
}

/// Room for one thing that is said beside a message (cmsg(3)), laid out as the kernel wants and gives it.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Control([u8; CONTROL_OCTETS]);
const CONTROL_OCTETS: usize = 64;

impl Control {
    pub(crate) const fn new() -> Self {
        Self([0; CONTROL_OCTETS])
    }

    /// Let a message say it: a number of `kind` at `level`, a descriptor or a length.
    pub(crate) fn fill<T: Copy>(&mut self, head: &mut libc::msghdr, (level, kind): (libc::c_int, libc::c_int), value: T) {
        const { assert!(std::mem::size_of::<T>() <= 8, "header and value fit into the room") };
        let octets = std::mem::size_of::<T>() as libc::c_uint; // at most 8
        head.msg_control = self.0.as_mut_ptr().cast();
        // SAFETY: the buffer is aligned and longer than CMSG_SPACE(8), so the first header and its value fit; the other two compute lengths.
        unsafe {
            head.msg_controllen = libc::CMSG_SPACE(octets) as _;
            let first = libc::CMSG_FIRSTHDR(head);
            ((*first).cmsg_level, (*first).cmsg_type, (*first).cmsg_len) = (level, kind, libc::CMSG_LEN(octets) as _);
            std::ptr::write_unaligned(libc::CMSG_DATA(first).cast::<T>(), value);
        }
    }
}

/// Send parcels over one socket, in order. A parcel of several datagrams of one length leaves as a train that the kernel cuts (UDP_SEGMENT),
/// unless `trains` is off; where the kernel refuses a train, its datagrams go one by one and `trains` is turned off.
/// Returns the number of datagrams that the kernel did not take.
pub(crate) fn send_all(socket: &UdpSocket, parcels: &[Parcel<'_>], trains: &mut bool) -> u64 {
    let mut refused = 0;
    for batch in parcels.chunks(SEND_BATCH) {
        let mut from = 0;
        while from < batch.len() {
            from += if *trains { send_batch(socket, &batch[from..]) } else { 0 };
            let Some(stuck) = batch.get(from) else { break };
            // What the batch stopped at goes by itself: it may be a train that this kernel or device does not cut, or a full buffer.
            let (taken, cannot) = send_singly(socket, stuck);
            refused += stuck.octets.len() as u64 - taken;
            if *trains && cannot && stuck.octets.len() > 1 {
                *trains = false;
            }
            from += 1;
        }
    }
    refused
}

/// sendmmsg; the number of parcels taken.
fn send_batch(socket: &UdpSocket, batch: &[Parcel<'_>]) -> usize {
    let trains = batch.iter().filter(|parcel| parcel.octets.len() > 1).count();
    let mut heads: Vec<libc::mmsghdr> = Vec::with_capacity(batch.len());
    let mut controls = vec![Control::new(); trains];
    let mut free = controls.iter_mut();
    let mut parts: Vec<libc::iovec> = Vec::with_capacity(batch.iter().map(|parcel| parcel.octets.len()).sum());
    for parcel in batch {
        // SAFETY: a plain struct of numbers and pointers, for which zero is valid.
        let mut head: libc::mmsghdr = unsafe { std::mem::zeroed() };
        head.msg_hdr.msg_name = std::ptr::from_ref(&parcel.to.storage).cast_mut().cast();
        head.msg_hdr.msg_namelen = parcel.to.octets;
        // SAFETY: within the capacity reserved above, which is never exceeded, so the pointer stays good while parts are pushed.
        head.msg_hdr.msg_iov = unsafe { parts.as_mut_ptr().add(parts.len()) };
        head.msg_hdr.msg_iovlen = parcel.octets.len() as _;
        parts.extend(parcel.octets.iter().map(|octets| libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() }));
        if parcel.octets.len() > 1 {
            if let (Some(control), Ok(each)) = (free.next(), u16::try_from(parcel.octets[0].len())) {
                control.fill(&mut head.msg_hdr, (libc::SOL_UDP, libc::UDP_SEGMENT), each);
            }
        }
        heads.push(head);
    }
    // SAFETY: sendmmsg only reads what the heads point to, all of which outlives the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), heads.as_mut_ptr(), batch.len() as libc::c_uint, libc::MSG_DONTWAIT) };
    usize::try_from(sent).unwrap_or(0)
}

/// Send each datagram of a parcel by itself: how many the kernel took, and whether it was not for want of room.
fn send_singly(socket: &UdpSocket, parcel: &Parcel<'_>) -> (u64, bool) {
    let (mut taken, mut roomy) = (0, true);
    for octets in parcel.octets {
        // SAFETY: sendto only reads the two buffers, which outlive the call, with their true lengths.
        let sent = unsafe {
            let to = std::ptr::from_ref(&parcel.to.storage).cast();
            libc::sendto(socket.as_raw_fd(), octets.as_ptr().cast(), octets.len(), libc::MSG_DONTWAIT, to, parcel.to.octets)
        };
        taken += u64::from(sent >= 0);
        roomy &= sent >= 0;
    }
    (taken, roomy)
}

#[cfg(test)]
mod tests {
    use super::{bind, send_all, Inbox, Parcel, RawAddress, CONTROL_OCTETS};
    use std::net::{IpAddr, Ipv4Addr};

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// What a socket got, in order, and who sent it.
    fn received(inbox: &mut Inbox, socket: &std::net::UdpSocket) -> Vec<Vec<u8>> {
        let count = inbox.receive(socket);
        (0..count).map(|place| inbox.get(place).0.to_vec()).collect()
    }

    #[test]
    fn a_train_comes_as_the_datagrams_it_was_made_of() {
        let (from, to) = (bind(LOCAL, 0).expect("loopback"), bind(LOCAL, 0).expect("loopback"));
        let (sender, address) = (from.local_addr().expect("bound"), RawAddress::new(to.local_addr().expect("bound")));
        let cells: Vec<[u8; 278]> = (0..60).map(|number| [number; 278]).collect();
        let whole: Vec<&[u8]> = cells.iter().map(<[u8; 278]>::as_slice).collect();
        let cut: Vec<&[u8]> = vec![&cells[0], &cells[1], &cells[2][..100]];
        let mut trains = true;
        let parcels = [
            Parcel { octets: &whole, to: &address },
            Parcel { octets: &[&[7; 30]], to: &address },
            Parcel { octets: &cut, to: &address },
            Parcel { octets: &[&[]], to: &address },
            Parcel { octets: &[&[9; 3_000]], to: &address },
        ];
        assert_eq!(send_all(&from, &parcels, &mut trains), 0);
        let mut inbox = Inbox::new();
        let got = received(&mut inbox, &to);
        let wanted: Vec<Vec<u8>> = parcels.iter().flat_map(|parcel| parcel.octets.iter().map(|octets| octets.to_vec())).collect();
        assert_eq!(got, wanted);
        assert!((0..got.len()).all(|place| inbox.get(place).1 == Some(sender)));
        assert!(!inbox.is_full());
        assert!(received(&mut inbox, &to).is_empty(), "nothing comes twice");
    }

    #[test]
    fn a_full_call_says_that_more_may_wait() {
        let (from, to) = (bind(LOCAL, 0).expect("loopback"), bind(LOCAL, 0).expect("loopback"));
        let address = to.local_addr().expect("bound");
        for number in 0..70u8 {
            // Of different lengths, so that nothing puts them together.
            from.send_to(&vec![number; 1 + usize::from(number)], address).expect("loopback takes it");
        }
        let mut inbox = Inbox::new();
        assert_eq!((received(&mut inbox, &to).len(), inbox.is_full()), (64, true));
        assert_eq!((received(&mut inbox, &to).len(), inbox.is_full()), (6, false));
    }

    #[test]
    fn room_for_control_holds_what_the_kernel_writes() {
        // SAFETY: computes a length.
        assert!(unsafe { libc::CMSG_SPACE(4) } as usize <= CONTROL_OCTETS);
    }
}
