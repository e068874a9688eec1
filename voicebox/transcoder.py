"""Starts the process that converts one call's sound (transcoding.py), and ends it. [io]

A process for each call, so that a converter that is slow, or dies, costs that call's sound and nothing of the box; the box itself never loads a codec.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from voicebox.errors import HostError

LOOPBACK = "127.0.0.1"
PROGRAM = Path(__file__).with_name("transcoding.py")


def available() -> bool:
    """Say whether this machine has the codecs: the Python package av."""
    return util.find_spec("av") is not None


class Transcoder:
    """One running converter. ports: its two UDP ports on loopback, in the order of its ends."""

    def __init__(self, ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
        """Start one between two ports of the engine on loopback, each with its codec by its name in SDP in small letters. Raises HostError."""
        if not available():
            raise HostError("Sound is not converted: the Python package av, which has the codecs, is not installed.")
        with contextlib.ExitStack() as held:
            try:
                sockets = [held.enter_context(connected(port)) for _, port in ends]
                self.ports: tuple[int, int] = sockets[0].getsockname()[1], sockets[1].getsockname()[1]
                descriptors = [each.fileno() for each in sockets]
                (first, _), (second, _) = ends
                self._process = start_apart([str(PROGRAM), first, str(descriptors[0]), second, str(descriptors[1])], subprocess.PIPE, descriptors)
            except OSError as error:
                raise HostError("No process could be started that converts a call's sound.") from error

    def running(self) -> bool:
        """Say whether the process lives."""
        return self._process.returncode is None

    def close(self) -> None:
        """Let it end; idempotent."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def start_apart(arguments: list[str], stdin: int, descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a process of Python that has of the box nothing but its standard input and these descriptors: no file, no variable of its environment, no directory.

    Its end is waited for in a thread, so that nobody else has to. Raises OSError.
    """
    command, nothing = [sys.executable, "-I", *arguments], subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=stdin, stdout=nothing, stderr=nothing, cwd="/", env={}, pass_fds=descriptors)
    threading.Thread(target=process.wait, name="apart", daemon=True).start()
    return process


def connected(port: int) -> socket.socket:
    """Return a UDP socket on the loopback that is connected to a port there. Raises OSError."""
    with contextlib.ExitStack() as held:
        made = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.bind((LOOPBACK, 0))
        made.connect((LOOPBACK, port))
        held.pop_all()
        return made
