"""Starts the process that mixes a conference (mixing.py), tells it of its parties, and ends it. [io]

A process for each conference, so that one that is slow, or dies, costs that conference's sound and nothing of the box.
"""

from __future__ import annotations

import contextlib
import socket

from voicebox.errors import HostError
from voicebox.g711 import Law
from voicebox.transcoder import connected, start_apart


class Mixer:
    """One running mixer. Raises HostError when made."""

    def __init__(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        with its:
            try:
                self._process = start_apart(["-m", "voicebox.mixing"], its.fileno())
            except OSError as error:
                self._control.close()
                raise HostError("No process could be started that mixes a conference.") from error

    def running(self) -> bool:
        """Say whether the process lives."""
        return self._process.returncode is None

    def add(self, seat: int, port: int, law: Law, *, hears_tone: bool) -> int:
        """Mix the party whose port of the engine is this one on loopback; return the port that it is spoken to from. seat: 0 to 255, nobody's. Raises HostError."""
        try:
            with connected(port) as its:
                socket.send_fds(self._control, [bytes([seat, law, hears_tone])], [its.fileno()])
                return int(its.getsockname()[1])
        except OSError as error:
            raise HostError("The process that mixes the conference takes nobody in.") from error

    def remove(self, seat: int) -> None:
        """Mix a party no more."""
        with contextlib.suppress(OSError):
            self._control.send(bytes([seat]))

    def close(self) -> None:
        """Let it end; idempotent."""
        self._control.close()
