"""The local control of a running box or relay: a Unix socket in its directory, one JSON line asked, one answered. [io]

The one service behind the command line. Only the owner of the directory can reach it (0700). NOT here: what is answered (daemon.py, relay_daemon.py).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from voicebox.errors import HostError, UsageError, VoiceboxError
from voicebox.short_path import short_path

SOCKET_NAME = "control.sock"
MAX_LINE_OCTETS = 262_144
"""Ten seconds of speech fit, for a probe with one."""
ANSWER_LIMIT_S = 10.0
ASK_LIMIT_S = 2.0
MAX_CLIENTS = 8


class Controlled(Protocol):
    """What is controlled. answers: what else it can be asked, by the word after `do`; each takes the request and returns the answer."""

    def status(self, *, show_path: bool = False) -> dict[str, Any]: ...
    def reload(self) -> None: ...
    @property
    def answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]: ...


class ControlServer:
    """Answers on the socket of a directory."""

    def __init__(self, home: Path, controlled: Controlled) -> None:
        self._home, self._controlled = home, controlled
        self._server: asyncio.Server | None = None
        self._clients = 0

    async def start(self) -> None:
        """Listen. The directory's lock is held, so a socket that is there is a dead one's. Raises HostError."""
        try:
            with short_path(self._home) as folder:
                path = folder / SOCKET_NAME
                path.unlink(missing_ok=True)
                self._server = await asyncio.start_unix_server(self._serve, path, limit=MAX_LINE_OCTETS)
                path.chmod(0o600)
        except OSError as error:
            raise HostError(f"The control socket cannot be made ({error.strerror}).") from None

    async def stop(self) -> None:
        """Listen no more; idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self._home / SOCKET_NAME).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                line = await asyncio.wait_for(reader.readline(), ASK_LIMIT_S)
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), ASK_LIMIT_S)
        except (OSError, TimeoutError, ValueError):
            pass  # who asked is gone, or asked too much
        finally:
            self._clients -= 1
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "not a JSON line"}
        try:
            match asked:
                case {"do": "status"}:
                    return {"status": self._controlled.status(show_path=asked.get("show_path") is True)}
                case {"do": "reload"}:
                    self._controlled.reload()
                    return {"done": True}
                case {"do": str(word)} if word in self._controlled.answers:
                    return self._controlled.answers[word](asked)
                case _:
                    return {"error": "unknown request; it may be one of a newer version, or for another kind of daemon"}
        except VoiceboxError as problem:
            return {"error": str(problem)}


def ask(home: Path, do: str, **more: str | bool | int) -> dict[str, Any]:
    """Ask the daemon of a directory. more: what belongs to the request, as show_path to status: name the operators of a box's relays, which nobody is told unasked.

    Raises UsageError where none runs, HostError where it does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_LIMIT_S)
        try:
            with short_path(home) as folder:
                client.connect(str(folder / SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise UsageError(f"Nothing runs in {home}. Start it with `voicebox run --home {home}` (a relay with `voicebox relay run`).") from None
        except OSError as error:
            raise HostError(f"The daemon of {home} cannot be asked ({error.strerror}).") from None
        try:
            client.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            with client.makefile("rb") as file:
                answer = json.loads(file.readline(1 << 22))
        except (OSError, ValueError):
            raise HostError(f"The daemon of {home} does not answer.") from None
    if not isinstance(answer, dict):
        raise HostError(f"The daemon of {home} answers something else.")
    if "error" in answer:
        raise UsageError(str(answer["error"]))
    return answer


def reload_if_running(home: Path) -> None:
    """Let the daemon of a directory, where one runs, take anew what was just written. Raises UsageError where something is wrong with it, HostError."""
    ask_if_running(home, "reload")


def ask_if_running(home: Path, do: str) -> None:
    """Ask the daemon of a directory, where one runs, to do something. Raises UsageError where something is wrong with it, HostError."""
    if (home / SOCKET_NAME).exists():
        ask(home, do)
