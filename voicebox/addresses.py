"""Tells when this machine's interfaces, addresses or routes change (rtnetlink(7), for which no right is needed), what its gateways are, and which of its interfaces lead
to an address (proc_pid_net(5), netdevice(7)). [io]

What has changed is not read: whoever is told asks the system what it wants to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

RTMGRP_LINK = 0x1
"""Also told where a carrier comes or goes, of which no address or route needs to know."""
RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x10, 0x40, 0x100, 0x400
GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE
"""linux/rtnetlink.h."""
SETTLE_S = 0.02
"""One change is told in several messages, an address before its route: so long after the first one looks again, for all that came meanwhile."""
MESSAGE_OCTETS = 65_536
NET = Path("/proc/net")
ROUTES, NEIGHBOURS = NET / "route", NET / "arp"
REVERSE_FILTERS = Path("/proc/sys/net/ipv4/conf")
RTF_UP, RTF_GATEWAY, RTF_REJECT = 1, 2, 0x200
SIOCGIFFLAGS, IFF_LOOPBACK, IFF_RUNNING, IFREQ = 0x8913, 0x8, 0x40, "16sH22x"
"""netdevice(7); linux/if.h, linux/sockios.h."""
MAX_ROUTES = 4_096
DISCARD_PORT = 9
ASK_TIMES, ASK_EVERY_S = 5, 0.1
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Route:
    """One route of this machine. leads: it is up, and refuses nothing; has_gateway: it leads to a router whose address is known; else to whoever is at the other end."""

    interface: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    leads: bool
    has_gateway: bool


def parse_routes(routes: str, routes6: str) -> Iterator[Route]:
    """Read the kernel's two lists of routes, MAX_ROUTES of each at most, as proc_pid_net(5) has route and ipv6_route. What is no route is passed over."""
    for line in routes.splitlines()[1 : MAX_ROUTES + 1]:
        fields = line.split()
        try:
            address, mask = (int(fields[place], 16).to_bytes(4, sys.byteorder) for place in (1, 7))
            yield _route(fields[0], ipaddress.IPv4Network((address, str(ipaddress.IPv4Address(mask)))), fields[3])
        except (IndexError, ValueError, OverflowError):
            continue
    for line in routes6.splitlines()[:MAX_ROUTES]:
        fields = line.split()
        try:
            yield _route(fields[9], ipaddress.IPv6Network((bytes.fromhex(fields[0]), int(fields[1], 16))), fields[8])
        except (IndexError, ValueError):
            continue


def _route(interface: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network, flags: str) -> Route:
    bits = int(flags, 16)
    return Route(interface, network, bool(bits & RTF_UP) and not bits & RTF_REJECT, bool(bits & RTF_GATEWAY))


def interfaces_towards(routes: Iterable[Route], addresses: Collection[Address]) -> frozenset[str]:
    """Return the interfaces over which a route leads to one of some addresses; a default route leads to all of its family that there are."""
    families = {address.version for address in addresses}
    leading = [route for route in routes if route.leads and route.network.version in families]
    found = {route.interface for route in leading if not route.network.prefixlen}  # the others are not compared with each address
    return frozenset(found | {route.interface for route in leading if route.interface not in found and any(address in route.network for address in addresses)})


def has_one_end(routes: Iterable[Route], interface: str) -> bool:
    """Return whether only one can be at an interface's other end, as on a modem's: its default routes of IPv4 name no gateway."""
    defaults = [route for route in routes if route.leads and route.interface == interface and route.network.version == 4 and not route.network.prefixlen]
    return bool(defaults) and not any(route.has_gateway for route in defaults)


def routes_here(folder: Path = NET) -> list[Route]:
    """Return this machine's routes; none where it does not say."""
    return list(parse_routes(_text(folder / "route"), _text(folder / "ipv6_route")))


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""  # a kernel without IPv6, say


def uplinks_here(addresses: Collection[Address], routes: Iterable[Route]) -> frozenset[str]:
    """Return the interfaces of these routes that have a carrier and lead to one of some addresses; not the machine's loopback."""
    return frozenset(name for name in interfaces_towards(routes, addresses) if _carries(name))


def _carries(interface: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, SIOCGIFFLAGS, struct.pack(IFREQ, interface.encode(), 0))
        except OSError:
            return False  # it was there a moment ago
    flags = struct.unpack(IFREQ, answer)[1]
    return bool(flags & IFF_RUNNING) and not flags & IFF_LOOPBACK


def drops_answers(interface: str) -> bool:
    """Return whether the kernel drops what comes over an interface that is not the one it would answer by itself (rp_filter 1, of RFC 3704 strict)."""
    values = []
    for name in ("all", interface):
        with contextlib.suppress(OSError, ValueError):
            values.append(int((REVERSE_FILTERS / name / "rp_filter").read_text()))
    return max(values, default=0) == 1


def has_interface(name: str) -> bool:
    """Return whether this machine has an interface of a name."""
    return name in (each for _, each in socket.if_nameindex())


def parse_gateway(routes: str, neighbours: str, interface: str | None = None) -> tuple[str, bytes]:
    """Return the IPv4 address of the default gateway of the least metric, and its hardware address with that behind it: by both it is told from other gateways.

    Either is empty where it is not there, or not known yet. routes, neighbours: as proc_pid_net(5) has route and arp. interface: whose, else of all.
    """
    entries = [fields for line in routes.splitlines()[1:] if len(fields := line.split()) >= 8 and interface in {None, fields[0]}]
    defaults = [fields for fields in entries if fields[1] == fields[7] == "00000000" and int(fields[3], 16) & RTF_GATEWAY]
    if not defaults:
        return "", b""
    nearest, _, gateway, *_ = min(defaults, key=lambda fields: int(fields[6]))
    octets = int(gateway, 16).to_bytes(4, sys.byteorder)
    address = socket.inet_ntoa(octets)
    for line in neighbours.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 6 and (fields[0], fields[5]) == (address, nearest) and (hardware := bytes.fromhex(fields[3].replace(":", ""))).strip(b"\0"):
            return address, hardware + octets
    return address, b""


def gateway(interface: str | None = None) -> tuple[str, bytes]:
    """Return what parse_gateway() does of this machine; nothing where it does not say."""
    try:
        return parse_gateway(ROUTES.read_text(), NEIGHBOURS.read_text(), interface)
    except (OSError, ValueError):
        return "", b""


async def asked_gateway(interface: str | None = None) -> bytes:
    """Return what tells the default gateway from others. A machine that has not sent anything to it yet is made to ask for its hardware address first."""
    for _ in range(ASK_TIMES):
        address, known = gateway(interface)
        if known or not address:
            return known
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as empty:
            hold_to(empty, interface)
            empty.sendto(b"", (address, DISCARD_PORT))
        await asyncio.sleep(ASK_EVERY_S)
    return b""


def hold_to(held: socket.socket, interface: str | None) -> None:
    """Let nothing of a socket leave by another interface than that, or come by another; None: as the system sends. Raises OSError."""
    if interface is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")


class AddressWatch:
    """Calls on_change when something changed, and a moment later. Contract: start() within the running loop, then stop()."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin. Where the system tells nothing of this, nothing is told: whoever needs it looks by itself, too."""
        netlink = None
        try:
            netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
            netlink.bind((0, GROUPS))
        except OSError:
            if netlink is not None:
                netlink.close()
            return
        self._socket = netlink
        asyncio.get_running_loop().add_reader(netlink, self._told)

    def stop(self) -> None:
        """Tell nothing any more; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _told(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):  # none left; or more were told than there was room for, which says no less
            while self._socket.recv(MESSAGE_OCTETS):
                pass
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._look)
            self._on_change()

    def _look(self) -> None:
        self._timer = None
        self._on_change()
