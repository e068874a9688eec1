//! From which of this machine's addresses a link leaves, and over which of its uplinks.
#![allow(unsafe_code)] // the standard library has no form of SO_BINDTODEVICE

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::datagrams::{bind, set_option};
use crate::Error;

/// RFC 5014, as Linux numbers them (linux/in6.h); the crate libc has none of them.
const IPV6_ADDR_PREFERENCES: libc::c_int = 72;
const IPV6_PREFER_SRC_TMP: libc::c_int = 1;

/// Return the address from which this machine would send to a peer, over one of its uplinks where one is named; none where no way leads there. Of IPv6 a temporary
/// one (RFC 8981, RFC 5014), where there is one. Nothing is sent.
pub(crate) fn source_towards(peer: SocketAddr, uplink: Option<&str>) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    if peer.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, IPV6_PREFER_SRC_TMP);
    }
    hold_to(&socket, uplink).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
}

/// Bind a socket of a link to the address that it leaves from, and to its uplink, where one is named: nothing of it leaves by another one, or comes by another one,
/// whatever the routes are.
pub(crate) fn bind_on(address: IpAddr, uplink: Option<&str>) -> Result<UdpSocket, Error> {
    let socket = bind(address, 0)?;
    hold_to(&socket, uplink)?;
    Ok(socket)
}

/// SO_BINDTODEVICE: since Linux 5.7 it needs no right, for a socket that is held to no uplink yet.
fn hold_to(socket: &UdpSocket, uplink: Option<&str>) -> Result<(), Error> {
    let Some(uplink) = uplink else { return Ok(()) };
    if uplink.is_empty() || uplink.len() >= libc::IFNAMSIZ {
        return Err(Error::Local("an uplink is named as its interface is, in 1 to 15 octets"));
    }
    // SAFETY: the kernel reads `uplink.len()` octets of the name, which outlives the call, and ends it itself.
    let done = unsafe {
        let octets = uplink.len() as libc::socklen_t; // below 16
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE, uplink.as_ptr().cast(), octets) == 0
    };
    done.then_some(())
        .ok_or(Error::Host("a link could not be held to its uplink: there is none of that name, or this kernel does not let this user (Linux 5.7 does)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_link_leaves_from_an_address_of_its_uplink() {
        let peer = SocketAddr::new(HERE, 9);
        assert_eq!(source_towards(peer, Some("lo")), Some(HERE));
        let (held, other) = (bind_on(HERE, Some("lo")).expect("the loopback is an uplink"), bind_on(HERE, None).expect("a port is free"));
        held.send_to(b"cell", other.local_addr().expect("it is bound")).expect("it leads there");
    }

    #[test]
    fn an_uplink_that_is_not_there_carries_nothing() {
        for uplink in ["nowhere0", "", "a name that is too long"] {
            assert_eq!(source_towards(SocketAddr::new(HERE, 9), Some(uplink)), None);
            assert!(bind_on(HERE, Some(uplink)).is_err());
        }
    }
}
