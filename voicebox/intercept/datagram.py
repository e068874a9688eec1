"""Where an intercepted datagram was going, and how an answer leaves from there: control messages of sockets. Pure.

Sources: ip(7) IP_RECVORIGDSTADDR, IP_PKTINFO, IP_TRANSPARENT; ipv6(7) IPV6_PKTINFO; linux/in6.h IPV6_RECVORIGDSTADDR.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

IP_LEVEL, IPV6_LEVEL = 0, 41
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
IP_ORIGDSTADDR, IPV6_ORIGDSTADDR = 20, 74
IP_PKTINFO, IPV6_PKTINFO = 8, 50
CONTROL_OCTETS = 128

Control = tuple[int, int, bytes]


def destination(control: Iterable[tuple[int, int, bytes]]) -> tuple[str, int] | None:
    """Return the address and port that a datagram was sent to; None where the kernel does not say."""
    for level, kind, octets in control:
        if (level, kind) == (IP_LEVEL, IP_ORIGDSTADDR) and len(octets) >= 8:  # sockaddr_in: family u16, port u16, address
            return str(ipaddress.IPv4Address(octets[4:8])), int.from_bytes(octets[2:4])
        if (level, kind) == (IPV6_LEVEL, IPV6_ORIGDSTADDR) and len(octets) >= 24:  # sockaddr_in6: family u16, port u16, flow u32, address
            return str(ipaddress.IPv6Address(octets[8:24])), int.from_bytes(octets[2:4])
    return None


def leaving_from(address: str) -> Control:
    """Return what lets a transparent socket send from an address, whoever's it is."""
    own = ipaddress.ip_address(address)
    if own.version == 4:  # in_pktinfo: index i32, the address to send from, the header's
        return IP_LEVEL, IP_PKTINFO, bytes(4) + own.packed + bytes(4)
    return IPV6_LEVEL, IPV6_PKTINFO, own.packed + bytes(4)  # in6_pktinfo: address, index u32
