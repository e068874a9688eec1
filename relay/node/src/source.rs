//! From which of this machine's addresses a link leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::datagrams::set_option;

/// RFC 5014, as Linux numbers them (linux/in6.h); the crate libc has none of them.
const IPV6_ADDR_PREFERENCES: libc::c_int = 72;
const IPV6_PREFER_SRC_TMP: libc::c_int = 1;

/// Return the address from which this machine would send to a peer; none where no way leads there. Of IPv6 a temporary one (RFC 8981, RFC 5014), where there is one.
/// Nothing is sent.
pub(crate) fn source_towards(peer: SocketAddr) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    if peer.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, IPV6_PREFER_SRC_TMP);
    }
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
