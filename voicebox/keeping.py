"""The keeper: keeps the ports of a box's links taken for a while when the box is gone, so that its host answers no guard with ICMP. [io]

When a box's process dies, its guards send on for up to 60 s (PROTOCOL.md §2.2), and the kernel answers each cell for a port that nobody has with "port unreachable". So a process
of its own holds a duplicate of each link's socket, which the engine hands over when it binds it (SCM_RIGHTS), and reads none of them. It has no key, no file, and no part
in what the sockets carry. When the engine is gone, it holds them for a while and ends. Ports of links are the system's choice, so a box that starts meanwhile gets others.

    number u32, socket    hold this one, until either of the following
    number u32            the link socket of this number is no longer used
    end of the pair       nor is any other

This file runs by itself, without the package: `python -I -S keeping.py SECONDS`, the pair's end as standard input (keeper.py starts it). Not for relays: a
relay's port has to be free when it starts again, and that it is gone is seen by its silence.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from typing import Protocol

MAX_SOCKETS = 256
"""Beside those of the 64 links that a box may have, those that ended a moment ago, also where every attempt at a link fails."""
NOBODY = 65_534
NUMBER_OCTETS = 4


class Held(Protocol):
    """A socket, as far as it matters here."""

    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...
    def close(self) -> None: ...


class Keeping:
    """The sockets that are held, by number. Times are seconds of a clock that only grows."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._held: dict[int, Held] = {}
        self._ends_at: dict[int, float] = {}

    def hold(self, number: int, held: Held) -> None:
        """Hold a socket. Where there are too many, the one that would end first ends now; where all are in use, this one."""
        if len(self._held) >= MAX_SOCKETS and self._ends_at:
            self._close(min(self._ends_at, key=self._ends_at.__getitem__))
        if len(self._held) >= MAX_SOCKETS:
            held.close()
        else:
            self._held[number] = held

    def release(self, number: int, now: float) -> None:
        """Hold a socket for as long as it may be sent to, with next to no room for what comes. A number that is not held is nobody's."""
        if number in self._held and number not in self._ends_at:
            self._held[number].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
            self._ends_at[number] = now + self._keep_s

    def release_all(self, now: float) -> None:
        """Do so with all."""
        for number in self._held:
            self.release(number, now)

    def pass_time(self, now: float) -> float | None:
        """Close what was held for long enough; return when there is something to do next."""
        for number in [number for number, ends_at in self._ends_at.items() if ends_at <= now]:
            self._close(number)
        return min(self._ends_at.values(), default=None)

    def _close(self, number: int) -> None:
        del self._ends_at[number]
        self._held.pop(number).close()


def keep(engine: socket.socket, keep_s: float) -> None:
    """Hold what comes over the pair until its other end is gone and everything was held for keep_s seconds more."""
    keeping, clock = Keeping(keep_s), time.monotonic
    while True:
        ends_at = keeping.pass_time(clock())
        engine.settimeout(None if ends_at is None else max(ends_at - clock(), 0.001))
        try:
            told, descriptors, _, _ = socket.recv_fds(engine, NUMBER_OCTETS, 1)
        except TimeoutError:
            continue
        if not told:
            break
        number = int.from_bytes(told, "big")
        if not descriptors:
            keeping.release(number, clock())
        for descriptor in descriptors:
            keeping.hold(number, socket.socket(fileno=descriptor))
    keeping.release_all(clock())
    while (ends_at := keeping.pass_time(clock())) is not None:
        time.sleep(max(ends_at - clock(), 0.001))


def main() -> None:
    """Go on as nobody's child, deaf to what ends the box, and keep."""
    if os.fork() != 0:
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # where a user namespace has no such user
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    keep(socket.socket(fileno=0), float(sys.argv[1]))


if __name__ == "__main__":
    main()
