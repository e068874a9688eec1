"""Whether this machine uses the range of virtual addresses for something else already: another VPN, or a test network. [io]

NOT here: how routes are read (addresses.py).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from voicebox.addresses import NET, Route, routes_here
from voicebox.errors import HostError
from voicebox.naming.virtual import RANGE

SHORTEST = 8


def overlaps(routes: Iterable[Route], ula: ipaddress.IPv6Network, own: frozenset[str] = frozenset()) -> bool:
    """Return whether a route is part of a range of virtual addresses or has one in it. own: interfaces that do not count.

    Routes shorter than /8 do not count either: those are ways to the internet as a whole.
    """
    return any(route.network.prefixlen >= SHORTEST and route.interface not in own and _meets(route, ula) for route in routes)


def _meets(route: Route, ula: ipaddress.IPv6Network) -> bool:
    return route.network.overlaps(RANGE) if isinstance(route.network, ipaddress.IPv4Network) else route.network.overlaps(ula)


def check_ranges(ula: ipaddress.IPv6Network, own: frozenset[str] = frozenset(), folder: Path = NET) -> None:
    """Look whether virtual addresses can be used on this machine. own: interfaces that are the box's. Raises HostError, which explains."""
    if overlaps(routes_here(folder), ula, own):
        raise HostError(
            f"This machine has a route into {RANGE}, or into the box's own range of IPv6, from which names of contacts get their addresses: another VPN, or a network for tests; "
            "`ip route` shows it. End that one, or do without interception: SOCKS, forwards, and names for programs of this machine alone work beside it."
        )
