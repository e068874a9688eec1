"""The control socket: one question, one answer, whatever comes; and a daemon's start and stop around it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from voicebox.cli.running import run_daemon
from voicebox.control import MAX_CLIENTS, SOCKET_NAME, ControlServer, ask
from voicebox.errors import HostError, UsageError


class Daemon:
    """Something to control. fate: what happens once it runs."""

    def __init__(self, home: Path, fate: str = "term") -> None:
        self.home, self.fate = home, fate
        self.failed = asyncio.Event()
        self.log: list[str] = []
        self.damaged = False
        self.answers = {"greet": self._greet}

    def _greet(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if "name" not in asked:
            raise UsageError("a greeting wants a name")
        return {"greeting": f"hello {asked['name']}"}

    async def start(self) -> None:
        self.log.append("start")
        loop = asyncio.get_running_loop()
        if self.fate == "term":
            loop.call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
        elif self.fate == "fail":
            loop.call_later(0.2, self.failed.set)
        elif self.fate == "fault":
            loop.call_soon(self._fault)
            loop.call_later(0.2, os.kill, os.getpid(), signal.SIGTERM)
        elif self.fate == "reload":
            loop.call_later(0.1, os.kill, os.getpid(), signal.SIGHUP)
            loop.call_later(0.3, os.kill, os.getpid(), signal.SIGTERM)

    def _fault(self) -> None:
        raise ValueError("192.0.2.77 planted")

    async def stop(self) -> None:
        self.log.append("stop")

    def ready(self) -> bool:
        return True

    def status(self, *, show_path: bool = False) -> dict[str, Any]:
        return {"ready": True, "path": show_path}

    def reload(self) -> None:
        self.log.append("reload")
        if self.damaged:
            raise UsageError("a card is damaged")


@pytest.mark.parametrize("depth", [1, 12])
async def test_status_and_reload(tmp_path: Path, depth: int) -> None:
    home = tmp_path.joinpath(*["a-directory-with-a-long-name"] * depth)
    home.mkdir(parents=True)
    daemon = Daemon(home)
    server = ControlServer(home, daemon)
    await server.start()
    try:
        assert stat.S_IMODE((home / SOCKET_NAME).stat().st_mode) == 0o600
        assert await asyncio.to_thread(ask, home, "status") == {"status": {"ready": True, "path": False}}
        assert await asyncio.to_thread(lambda: ask(home, "status", show_path=True)) == {"status": {"ready": True, "path": True}}
        assert await asyncio.to_thread(ask, home, "reload") == {"done": True}
        assert await asyncio.to_thread(lambda: ask(home, "greet", name="you")) == {"greeting": "hello you"}
        with pytest.raises(UsageError, match="wants a name"):
            await asyncio.to_thread(ask, home, "greet")
        daemon.damaged = True
        with pytest.raises(UsageError, match="a card is damaged"):
            await asyncio.to_thread(ask, home, "reload")
        with pytest.raises(UsageError, match="unknown request"):
            await asyncio.to_thread(ask, home, "dance")
    finally:
        await server.stop()
    assert not (home / SOCKET_NAME).exists()
    with pytest.raises(UsageError, match="Nothing runs"):
        await asyncio.to_thread(ask, home, "status")


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"[" * 30_000 + b"\n", b'"status"\n', b"\xff\xfe\n", b'{"do": {"a": 1}}\n', b"null\n"])
async def test_junk_gets_an_error_and_nothing_else(tmp_path: Path, line: bytes) -> None:
    daemon = Daemon(tmp_path)
    server = ControlServer(tmp_path, daemon)
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(line)
        answer = json.loads(await asyncio.wait_for(reader.readline(), 5))
        writer.close()
        assert set(answer) == {"error"}
        assert daemon.log == []
    finally:
        await server.stop()


async def test_endless_line_and_too_many_clients_are_let_go(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, Daemon(tmp_path))
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(b"x" * 200_000)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        idle = [await asyncio.open_unix_connection(tmp_path / SOCKET_NAME) for _ in range(MAX_CLIENTS)]
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        assert await asyncio.wait_for(reader.read(), 5) == b"", "one too many is let go at once"
        for _, other in [*idle, (reader, writer)]:
            other.close()
    finally:
        await server.stop()


def test_daemon_runs_until_it_is_told_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Daemon] = []

    def make(home: Path) -> Daemon:
        made.append(Daemon(home))
        return made[0]

    assert run_daemon(tmp_path, make, "ready now") == 0
    assert made[0].log == ["start", "stop"]
    assert capsys.readouterr().out == "ready now\n"
    assert not (tmp_path / SOCKET_NAME).exists()


def test_engine_that_fails_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="engine ended"):
        run_daemon(tmp_path, lambda home: Daemon(home, "fail"), "ready")


def test_fault_inside_is_told_without_its_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_daemon(tmp_path, lambda home: Daemon(home, "fault"), "ready") == 0
    told = capsys.readouterr().err
    assert "ValueError in Daemon._fault" in told
    assert "planted" not in told


@pytest.mark.parametrize("damaged", [False, True])
def test_hang_up_signal_reloads(tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: bool) -> None:
    """What is wrong is not told there: it may name people, and this goes to the system's log."""
    daemon = Daemon(tmp_path, "reload")
    daemon.damaged = damaged
    assert run_daemon(tmp_path, lambda home: daemon, "ready") == 0
    assert daemon.log == ["start", "reload", "stop"]
    said = capsys.readouterr().err
    assert ("`voicebox reload` says what" in said) is damaged
    assert "card" not in said


def test_a_daemon_leaves_no_core_dump_and_no_other_program_looks_into_its_memory(tmp_path: Path) -> None:
    """In a process of its own, which cannot take it back."""
    program = """
import ctypes, pathlib, resource, sys, asyncio
from voicebox.cli.running import run_daemon

class Daemon:
    answers = {}
    def __init__(self):
        self.failed = asyncio.Event()
    async def start(self):
        print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
        self.failed.set()
    async def stop(self): pass
    def ready(self): return True

run_daemon(pathlib.Path(sys.argv[1]), lambda home: Daemon(), "ready")
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines()[0] == "(0, 0) 0"
