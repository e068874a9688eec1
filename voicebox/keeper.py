"""Starts the keeper of a box's link sockets (keeping.py), a process that outlives the box by a while. [io]"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from voicebox.errors import HostError

KEEP_S = 70.0
"""Longer than a guard sends to a box that says nothing (PROTOCOL.md §2.2)."""
START_TIMEOUT_S = 10.0
PROGRAM = Path(__file__).with_name("keeping.py")


def start_keeper(keep_s: float = KEEP_S) -> socket.socket:
    """Start a keeper; return the engine's end of the pair. When its last duplicate is closed the keeper lets go, keep_s later.

    Raises HostError where it does not start.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(keep_s)]
    with its:
        try:
            # It forks at once, so this ends at once. Of the box it has nothing open, not even what the box's parent waits on, and it is in no session with it.
            nothing = subprocess.DEVNULL
            subprocess.run(
                command, stdin=its.fileno(), stdout=nothing, stderr=nothing, cwd="/", env={}, start_new_session=True, check=True, timeout=START_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            ours.close()
            raise HostError("No process could be started that keeps the ports of the links taken when the box ends.") from error
    return ours
