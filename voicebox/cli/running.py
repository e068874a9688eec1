"""Run a daemon until it is told to stop. [io]"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from voicebox.contacts.store import StateDirectory
from voicebox.control import ControlServer
from voicebox.errors import HostError, VoiceboxError
from voicebox.own_process import keep_memory_private

READY_CHECK_S = 0.1


class Daemon(Protocol):
    """What can be run."""

    failed: asyncio.Event

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def ready(self) -> bool: ...
    def status(self, *, show_path: bool = False) -> dict[str, Any]: ...
    def reload(self) -> None: ...
    @property
    def answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]: ...


def run_daemon(home: Path, make: Callable[[Path], Daemon], ready_line: str) -> int:
    """Run until SIGTERM or SIGINT, reloading at SIGHUP; print ready_line once the daemon is ready. Raises HostError where its engine fails."""
    if not home.is_dir():
        raise HostError(f"{home} is no directory.")
    keep_memory_private()
    with StateDirectory(home).locked():
        return asyncio.run(_run(home, make, ready_line))


async def _run(home: Path, make: Callable[[Path], Daemon], ready_line: str) -> int:
    daemon = make(home)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, daemon)
    loop.set_exception_handler(_Complaints().hear)
    control = ControlServer(home, daemon)
    await daemon.start()
    try:
        await control.start()
        announcing = asyncio.create_task(_announce(daemon, ready_line))
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(daemon.failed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in (announcing, *waits):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        await control.stop()
        await daemon.stop()
    if daemon.failed.is_set():
        raise HostError("The engine ended on an error of its own; everything was stopped. Start again, and please report it.")
    return 0


def _reload(daemon: Daemon) -> None:
    try:
        daemon.reload()
    except VoiceboxError:
        print("voicebox: nothing was taken anew, because something is wrong; `voicebox reload` says what.", file=sys.stderr, flush=True)


class _Complaints:
    """Say that something went wrong inside, without the texts of the loop, which name addresses; at most a hundred times."""

    def __init__(self) -> None:
        self._left = 100

    def hear(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what the loop complains about."""
        error = context.get("exception")
        if self._left > 0 and not isinstance(error, OSError):
            self._left -= 1
            where = error.__traceback__ if error is not None else None
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = f" in {where.tb_frame.f_code.co_qualname}, line {where.tb_lineno}" if where is not None else ""
            print(f"voicebox: a fault of its own, {type(error).__name__}{place}, was passed over; please report it.", file=sys.stderr, flush=True)


async def _announce(daemon: Daemon, ready_line: str) -> None:
    while not daemon.ready():  # noqa: ASYNC110 - readiness follows from many events; one look in a while is simpler and only prints a line
        await asyncio.sleep(READY_CHECK_S)
    print(ready_line, flush=True)
