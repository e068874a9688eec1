"""Whether this machine uses the range of virtual addresses for something else already: another VPN, or a test network. Pure, but for read_routes(). [io]

Spec: proc(5), /proc/net/route and /proc/net/ipv6_route.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path

from voicebox.errors import HostError
from voicebox.naming.virtual import RANGE

SHORTEST = 8
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_routes(v4: str, v6: str) -> Iterator[tuple[str, Network]]:
    """Read the kernel's two lists of routes: interface and destination of each. What is no route is passed over."""
    for line in v4.splitlines()[1:]:
        words = line.split()
        try:
            destination, mask = (int(words[place], 16).to_bytes(4, "little") for place in (1, 7))
            yield words[0], ipaddress.IPv4Network((destination, str(ipaddress.IPv4Address(mask))))
        except (IndexError, ValueError, OverflowError):
            continue
    for line in v6.splitlines():
        words = line.split()
        try:
            yield words[9], ipaddress.IPv6Network((bytes.fromhex(words[0]), int(words[1], 16)))
        except (IndexError, ValueError):
            continue


def overlaps(routes: Iterable[tuple[str, Network]], ula: ipaddress.IPv6Network, own: frozenset[str] = frozenset()) -> bool:
    """Return whether a route is part of a range of virtual addresses or has one in it. own: interfaces that do not count.

    Routes shorter than /8 do not count either: those are ways to the internet as a whole.
    """
    return any(destination.prefixlen >= SHORTEST and interface not in own and _meets(destination, ula) for interface, destination in routes)


def _meets(destination: Network, ula: ipaddress.IPv6Network) -> bool:
    return destination.overlaps(RANGE) if isinstance(destination, ipaddress.IPv4Network) else destination.overlaps(ula)


def check_ranges(ula: ipaddress.IPv6Network, own: frozenset[str] = frozenset(), folder: Path = Path("/proc/net")) -> None:
    """Look whether virtual addresses can be used on this machine. own: interfaces that are the box's. Raises HostError, which explains."""
    if overlaps(parse_routes(_text(folder / "route"), _text(folder / "ipv6_route")), ula, own):
        raise HostError(
            f"This machine has a route into {RANGE}, or into the box's own range of IPv6, from which names of contacts get their addresses: another VPN, or a network for tests; "
            "`ip route` shows it. End that one, or do without interception: SOCKS, forwards, and names for programs of this machine alone work beside it."
        )


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""  # a kernel without IPv6, say
