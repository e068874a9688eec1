"""Start the helper, ask it, and take its sockets. [io]"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

from voicebox.errors import HostError, UsageError
from voicebox.intercept.helper import MAX_WORD_OCTETS, SOCKET_NAME, clear
from voicebox.intercept.rules import Plan
from voicebox.short_path import short_path

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 15.0
MAX_ANSWER_OCTETS = 4_096
MAX_SOCKETS = 6


def start_helper(home: Path, plan: Plan) -> None:
    """Start it for a box; it outlives this process. Raises HostError with what it said, where it did not come up."""
    command = [sys.executable, "-I", "-m", "voicebox.intercept.helper", json.dumps({"home": str(home), **plan.told()})]
    nothing = subprocess.DEVNULL
    try:
        # It forks at once, and lets go of its standard output once it has said its line.
        said = subprocess.run(
            command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, cwd="/", start_new_session=True, timeout=START_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        raise HostError("The helper of interception did not start.") from None
    line = said[:MAX_ANSWER_OCTETS].decode("utf-8", "replace").strip()
    if line != "on":
        raise HostError(line or "The helper of interception did not start.")


def ask_helper(home: Path, word: str) -> str:
    """Say a word to the helper of a box; return its answer. Raises UsageError where none runs, HostError where it does not answer."""
    with _connected(home) as asking:
        try:
            asking.sendall(f"{word}\n".encode())
            with asking.makefile("rb") as file:
                return file.readline(MAX_ANSWER_OCTETS).decode("utf-8", "replace").strip()
        except OSError:
            raise HostError("The helper of interception does not answer.") from None


def end_helper(home: Path) -> None:
    """Let all be taken down, also what a helper left that was killed. Raises UsageError where interception is not on, HostError."""
    try:
        answer = ask_helper(home, "off")
    except UsageError:
        if not (home / SOCKET_NAME).is_socket():
            raise
        clear()  # it was killed
        (home / SOCKET_NAME).unlink(missing_ok=True)
        return
    if answer != "off":
        raise HostError("The helper of interception did not end in order.")


def take_sockets(home: Path) -> tuple[socket.socket, list[socket.socket]] | None:
    """Take the helper's sockets; return the connection, as long as which they are this box's, and them. None where there is no helper, or another box has them."""
    try:
        asking = _connected(home)
    except (UsageError, HostError):
        return None
    taken = _handed(asking, b"sockets\n")
    if not taken:
        asking.close()
        return None
    return asking, taken


def take_calls(home: Path) -> list[socket.socket]:
    """Take the sockets for calls of phones that are registered elsewhere; none where there is no helper, or it takes none."""
    try:
        with _connected(home) as asking:
            return _handed(asking, b"calls\n")
    except (UsageError, HostError):
        return []


def _handed(asking: socket.socket, word: bytes) -> list[socket.socket]:
    """Return the sockets that a word is answered with, none where it is answered with anything else."""
    try:
        asking.sendall(word)
        said, descriptors, _, _ = socket.recv_fds(asking, MAX_WORD_OCTETS, MAX_SOCKETS, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return []
    taken = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    if said == word:
        return taken
    for each in taken:
        each.close()
    return []


def _connected(home: Path) -> socket.socket:
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asking.settimeout(ANSWER_TIMEOUT_S)
    try:
        with short_path(home) as folder:
            asking.connect(str(folder / SOCKET_NAME))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        asking.close()
        raise UsageError("Interception is not on. `voicebox intercept on` begins it.") from None
    except OSError as error:
        asking.close()
        raise HostError(f"The helper of interception cannot be asked ({error.strerror}).") from None
    return asking
