"""Starts the process that mixes a conference (mixing.py), tells it of its parties, and ends it. [io]

A process for each conference, so that one that is slow, or dies, costs that conference's sound and nothing of the box.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading

from voicebox.errors import HostError
from voicebox.g711 import Law
from voicebox.transcoder import connected


class Mixer:
    """One running mixer. Raises HostError when made."""

    def __init__(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        command, nothing = [sys.executable, "-I", "-m", "voicebox.mixing"], subprocess.DEVNULL
        with its:
            try:
                # Of the box it has nothing but this pair: no file, no variable of its environment, no directory.
                self._process = subprocess.Popen(command, stdin=its.fileno(), stdout=nothing, stderr=nothing, cwd="/", env={})
            except OSError as error:
                self._control.close()
                raise HostError("No process could be started that mixes a conference.") from error
        # Its end is waited for where nobody waits.
        threading.Thread(target=self._process.wait, name="mixer", daemon=True).start()

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
