"""A scripted phone that takes several calls at once, and phones that talk all together. [io]"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence

from tools.adversary.phones import FRAME_S, Account, Phone, header, media_of


class Desk(Phone):
    """A phone that takes every call, at one socket; the box has another port for each, by which the sounds are told apart."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.calls: dict[str, tuple[str, int]] = {}
        self.heard: Counter[tuple[str, int]] = Counter()
        self.quiet = asyncio.Event()

    def _requested(self, text: str) -> None:
        method, name = text.split(" ", 1)[0], header(text, "Call-ID")
        if method == "INVITE":
            self.ours = self.ours or "desk"
            self._respond(text, "180 Ringing")
            to = media_of(text)
            assert to is not None
            self.calls[name] = to
            self._respond(text, "200 OK", self._description())
        elif method != "ACK":
            self._respond(text, "200 OK")
            self.calls.pop(name, None)
            if not self.calls:
                self.quiet.set()

    def frame(self) -> None:
        """Send one into each call, and take what came, before the socket is full."""
        for to in list(self.calls.values()):
            self.to = to
            super().frame()
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard[self.media.recvfrom(2_048)[1]] += 1


async def talk(phones: Sequence[Phone], seconds: float) -> None:
    """Let each phone send a frame in each 20 ms."""
    begin_s = time.monotonic()
    for turn in range(int(seconds / FRAME_S)):
        for phone in phones:
            phone.frame()
        await asyncio.sleep(max(0.0, begin_s + (turn + 1) * FRAME_S - time.monotonic()))
