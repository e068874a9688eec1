"""Tells when this machine's addresses or routes change (rtnetlink(7), for which no right is needed), and what its default gateway is (proc_pid_net(5)). [io]

What has changed is not read: whoever is told asks the system what it wants to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path

RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x10, 0x40, 0x100, 0x400
GROUPS = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE
"""linux/rtnetlink.h."""
SETTLE_S = 0.02
"""One change is told in several messages, an address before its route: so long after the first one looks again, for all that came meanwhile."""
MESSAGE_OCTETS = 65_536
ROUTES, NEIGHBOURS = Path("/proc/net/route"), Path("/proc/net/arp")
RTF_GATEWAY = 2
DISCARD_PORT = 9
ASK_TIMES, ASK_EVERY_S = 5, 0.1


def parse_gateway(routes: str, neighbours: str) -> tuple[str, bytes]:
    """Return the IPv4 address of the default gateway of the least metric, and its hardware address with that behind it: by both it is told from other gateways.

    Either is empty where it is not there, or not known yet. routes, neighbours: as proc_pid_net(5) has route and arp.
    """
    entries = [fields for line in routes.splitlines()[1:] if len(fields := line.split()) >= 8]
    defaults = [fields for fields in entries if fields[1] == fields[7] == "00000000" and int(fields[3], 16) & RTF_GATEWAY]
    if not defaults:
        return "", b""
    interface, _, gateway, *_ = min(defaults, key=lambda fields: int(fields[6]))
    octets = int(gateway, 16).to_bytes(4, sys.byteorder)
    address = socket.inet_ntoa(octets)
    for line in neighbours.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 6 and (fields[0], fields[5]) == (address, interface) and (hardware := bytes.fromhex(fields[3].replace(":", ""))).strip(b"\0"):
            return address, hardware + octets
    return address, b""


def gateway() -> tuple[str, bytes]:
    """Return what parse_gateway() does of this machine; nothing where it does not say."""
    try:
        return parse_gateway(ROUTES.read_text(), NEIGHBOURS.read_text())
    except (OSError, ValueError):
        return "", b""


async def asked_gateway() -> bytes:
    """Return what tells the default gateway from others. A machine that has not sent anything to it yet is made to ask for its hardware address first."""
    for _ in range(ASK_TIMES):
        address, known = gateway()
        if known or not address:
            return known
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as empty:
            empty.sendto(b"", (address, DISCARD_PORT))
        await asyncio.sleep(ASK_EVERY_S)
    return b""


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
