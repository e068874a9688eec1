"""Tells when this machine's addresses or routes change: rtnetlink(7), for which no right is needed. [io]

What has changed is not read: whoever is told asks the system what it wants to know.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x10, 0x40, 0x100, 0x400
GROUPS = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE
"""linux/rtnetlink.h."""
SETTLE_S = 0.02
"""One change is told in several messages, an address before its route: so long after the first one looks again, for all that came meanwhile."""
MESSAGE_OCTETS = 65_536


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
