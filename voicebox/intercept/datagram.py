"""Where an intercepted datagram was going, and how an answer leaves from there: control messages of sockets. Pure, but for waiting(). [io]

Sources: ip(7) IP_RECVORIGDSTADDR, IP_PKTINFO, IP_TRANSPARENT; ipv6(7) IPV6_PKTINFO; linux/in6.h IPV6_RECVORIGDSTADDR.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator

IP_LEVEL, IPV6_LEVEL = 0, 41
IP_ORIGDSTADDR, IPV6_ORIGDSTADDR = 20, 74
TRANSPARENT = {socket.AF_INET: (IP_LEVEL, 19), socket.AF_INET6: (IPV6_LEVEL, 75)}
ORIGINAL = {socket.AF_INET: (IP_LEVEL, IP_ORIGDSTADDR), socket.AF_INET6: (IPV6_LEVEL, IPV6_ORIGDSTADDR)}
"""By the family of a socket, the option by which it may stand for any address, and that by which it is told where a datagram was going."""
IP_PKTINFO, IPV6_PKTINFO = 8, 50
CONTROL_OCTETS = 128

AT_ONCE = 64
"""Datagrams that are taken before others have their turn."""

Control = tuple[int, int, bytes]
Sender = tuple[str, int] | tuple[str, int, int, int]


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


def waiting(taken: socket.socket, most_octets: int) -> Iterator[tuple[bytes, tuple[str, int] | None, Sender]]:
    """Give what waits at a socket that does not block, AT_ONCE at most: what was sent, where to, and by whom."""
    for _ in range(AT_ONCE):
        try:
            octets, control, _, sender = taken.recvmsg(most_octets, CONTROL_OCTETS)
        except OSError:
            return  # no more, or an answer that reached nobody
        yield octets, destination(control), sender
