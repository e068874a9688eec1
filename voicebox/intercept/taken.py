"""Calls of phones that are registered elsewhere: what the kernel takes on its way to their provider goes to the box's SIP side, and its answers leave from the provider's address. [io]

    helper's socket -> the modules -> SIP side, with who called and where that was going -> answers, from there

Such a phone has no password of the box, and its provider's is not asked for: its address is all that tells it, so the owner names those that may call. NOT here: what is taken
(sip_rules.py), what is answered (b2bua).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from voicebox.config.phones import PhonesElsewhere
from voicebox.intercept.asking import take_calls
from voicebox.intercept.datagram import leaving_from, waiting
from voicebox.intercept.module import Flow, Redirect
from voicebox.intercept.modules import Modules
from voicebox.sip.transport import Say, local_address_towards

DATAGRAM_OCTETS = 65_535

Place = tuple[str, int]


class SipSide(Protocol):
    """The box's SIP side; b2bua/server.py has it. admitted: whether the phone may call."""

    def take(self, octets: bytes, phone: Place, provider: Place, say: Say, *, admitted: bool) -> bool: ...


class TakenCalls:
    """Contract: begin() once there is a helper, end() when that is gone; idempotent. sip(): the box's SIP side, None while there is none."""

    def __init__(self, home: Path, phones: PhonesElsewhere, modules: Modules, sip: Callable[[], SipSide | None]) -> None:
        self._home, self._phones, self._modules, self._sip = home, phones, modules, sip
        self._sockets: dict[int, socket.socket] = {}
        self.counters: Counter[str] = Counter()

    async def begin(self) -> None:
        """Take calls, where the helper does."""
        for each in await asyncio.to_thread(take_calls, self._home):
            each.setblocking(False)
            self._sockets[each.family] = each
            asyncio.get_running_loop().add_reader(each, self._receive, each)

    def end(self) -> None:
        """Take no more. Calls that stand go on: their phones have learnt the box's own address."""
        for each in self._sockets.values():
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._sockets.clear()

    def _receive(self, taken: socket.socket) -> None:
        for octets, to, sender in waiting(taken, DATAGRAM_OCTETS):
            self.counters["requests_taken" if self._take(octets, (sender[0], sender[1]), to) else "requests_dropped"] += 1

    def _take(self, octets: bytes, phone: Place, provider: Place | None) -> bool:
        sip = self._sip()
        if sip is None or provider is None or phone[1] == 0:
            return False
        if self._modules.process(Flow("", "", provider[1], Redirect.SIP), octets) is None:
            return False
        return sip.take(octets, phone, provider, self._say, admitted=self._phones.admit(phone[0], is_here=self._phones.here and _is_here(phone[0])))

    def _say(self, octets: bytes, phone: Place, provider: Place) -> bool:
        family = socket.AF_INET if ipaddress.ip_address(phone[0]).version == 4 else socket.AF_INET6
        leaving = self._sockets.get(family)
        if leaving is not None:
            with contextlib.suppress(OSError):
                leaving.sendmsg([octets], [leaving_from(provider[0])], 0, phone)
                return True
        return False


def _is_here(address: str) -> bool:
    """Return whether an address is this machine's own."""
    try:
        return local_address_towards(address) == address
    except OSError:
        return False
