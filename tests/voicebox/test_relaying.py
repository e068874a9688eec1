"""A box's relay beside it: how long a process that ends is waited for, and that it never outlives its box."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from voicebox import relaying
from voicebox.circuits.own_relay import OwnRelay, RelayStage
from voicebox.cli.main import main
from voicebox.config.model import RelaySwitch
from voicebox.contacts.store import StateDirectory
from voicebox.relaying import LEAST_WAIT_S, MOST_WAIT_S, STEADY_S, Relaying, Waits


def test_waits_grow_and_begin_anew_after_a_steady_run() -> None:
    waits = Waits()
    assert [waits.after(0) for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, MOST_WAIT_S, MOST_WAIT_S]
    assert waits.after(STEADY_S) == LEAST_WAIT_S
    assert waits.after(5) == 2 * LEAST_WAIT_S


def is_there(pid: int) -> bool:
    """Return whether a process lives; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


@pytest.mark.system
async def test_a_process_that_dies_is_started_again_and_ends_with_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervision with a process that only sleeps, so that nothing is waited for but itself."""
    monkeypatch.setattr(relaying, "LEAST_WAIT_S", 0.05)
    beside = Relaying(StateDirectory(tmp_path), RelaySwitch.ON, None, list)  # type: ignore[arg-type]  # no network is asked for here
    pids = tmp_path / "pids"
    script = f"import os, time; print(os.getpid(), file=open({str(pids)!r}, 'a'), flush=True); time.sleep(600)"
    keeping = asyncio.create_task(beside._keep([sys.executable, "-c", script]))
    seen: list[int] = []
    for count in range(1, 4):
        await until(lambda wanted=count: pids.exists() and len(pids.read_text().splitlines()) == wanted)  # type: ignore[misc]  # a default is its value now
        assert beside.stage is RelayStage.RUNNING
        seen = [int(line) for line in pids.read_text().splitlines()]
        if count < 3:
            os.kill(seen[-1], signal.SIGKILL)
    assert (len(set(seen)), beside.restarts) == (3, 2)
    assert [is_there(pid) for pid in seen] == [False, False, True]
    keeping.cancel()
    await asyncio.wait([keeping])
    assert not is_there(seen[-1])


@pytest.mark.system
async def test_what_cannot_be_started_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "LEAST_WAIT_S", 0.01)
    beside = Relaying(StateDirectory(tmp_path), RelaySwitch.ON, None, list)  # type: ignore[arg-type]  # as above
    keeping = asyncio.create_task(beside._keep([str(tmp_path / "nothing")]))
    await until(lambda: beside.restarts >= 3)
    assert beside.stage is RelayStage.ENDED
    keeping.cancel()
    await asyncio.wait([keeping])


BESIDE = """
import os, sys, time
from voicebox.own_process import live_beside
live_beside(int(sys.argv[1]))
print(os.getpid(), os.nice(0), flush=True)
time.sleep(600)
"""


@pytest.mark.system
def test_a_process_beside_another_ends_when_that_is_killed_and_gives_way_to_it() -> None:
    parent = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {BESIDE!r}, str(os.getpid())])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, nice = map(int, process.stdout.readline().split())
        assert nice == min(19, os.nice(0) + 10)
        assert is_there(pid)
        process.kill()
    ends = time.monotonic() + 10
    while is_there(pid):
        assert time.monotonic() < ends, "it outlives its box"
        time.sleep(0.02)
    orphan = subprocess.run([sys.executable, "-c", BESIDE, "999999999"], capture_output=True, text=True, check=False)
    assert "is gone" in orphan.stderr, "one that was started too late does not stay"


async def test_a_box_that_does_not_relay_looks_at_nothing(tmp_path: Path) -> None:
    beside = Relaying(StateDirectory(tmp_path), RelaySwitch.OFF, None, list)  # type: ignore[arg-type]  # as above
    beside.start("127.0.0.1")
    await asyncio.sleep(0)
    assert beside.told() == {"wanted": False, "stage": "off", "restarts": 0}
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a Path may not be asked in an async function
    await beside.stop()


def test_offering_writes_what_the_box_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "box"
    assert main(["init", "--home", str(home)]) == 0
    own = OwnRelay(home)
    port = own.config().listen.port
    capsys.readouterr()
    assert main(["relay", "offer", "--home", str(home), "--operator", "the baker", "--mbit", "8", "--gb-month", "none"]) == 0
    assert str(port) in capsys.readouterr().out
    assert "\nrelay: on\n" in (home / "box.yaml").read_text()
    config = own.config()
    assert (config.operator, config.mbit_s, config.gb_month, config.listen.port) == ("the baker", 8, None, port)
    assert main(["relay", "offer", "--home", str(home), "--no"]) == 0
    assert "\nrelay: off\n" in (home / "box.yaml").read_text()
    assert main(["relay", "offer", "--home", str(home), "--mbit", "many"]) == 2
    assert own.config().mbit_s == 8
