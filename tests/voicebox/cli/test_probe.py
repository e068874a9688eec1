"""`voicebox probe` against a box that answers as scripted: exit codes, files, what ends it. The real thing: tests/system/test_probe.py."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from voicebox.b2bua.events import LOST
from voicebox.cli.main import main
from voicebox.control import ControlServer
from voicebox.errors import UsageError

GOOD = [10_000] * 250
FAIR = ([10_000] * 23 + [LOST]) * 10
POOR = ([10_000] * 4 + [LOST]) * 50


class Box:
    """A box whose probe comes to an end at the second look."""

    def __init__(self, outcome: str, units: list[int], *, tails: int = 0) -> None:
        self.outcome, self.units, self.tails = outcome, units, tails
        self.epoch, self.next_units = 7, units
        self.asked: list[Mapping[str, Any]] = []
        self.answers = {"probe": self._probe}

    def _probe(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        match asked["step"]:
            case "begin" if asked["petname"] not in {"bob", "echo"}:
                raise UsageError("There is no contact of that petname.")
            case "begin" if self.tails:
                self.tails -= 1
                return {"begun": False, "verified": True, "relays_at_least": 3}
            case "begin":
                self.units = self.units if self.epoch == 7 else self.next_units
                return {"begun": True, "petname": "bob", "verified": True, "relays_at_least": 3}
            case "end":
                self.outcome = "cut short"
                return {"done": True}
            case _:
                pass
        looks = sum(each["step"] == "look" for each in self.asked)
        known = self.units if looks > 1 else self.units[:100]
        return {
            "stage": "measuring",
            "outcome": self.outcome if looks > 1 else "under way",
            "late_sends": 0,
            "score": None,
            "there": known[asked["there"] :],
            "back": known[asked["back"] :],
            "round_trips_ms": [160.0] * (len(known) - asked["trips"]),
            "relays": [["north", "west"]] if asked.get("show_path") else [],
        }

    def status(self, *, show_path: bool = False) -> dict[str, Any]:
        self.epoch += 1
        return {"epoch": self.epoch // 3, "epoch_left_s": 60, "epoch_s": 0, "ready": self.epoch % 3 == 1}

    def reload(self) -> None:
        raise AssertionError("nobody asks for that")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.cli.probe.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("voicebox.cli.probe.SHARE_OF_A_CORE", 1.0)


async def probe(home: Path, box: Box, *arguments: str) -> int:
    server = ControlServer(home, box)
    await server.start()
    try:
        return await asyncio.to_thread(main, ["probe", *arguments, "--home", str(home)])
    finally:
        await server.stop()


@pytest.mark.parametrize(("units", "code", "word"), [(GOOD, 0, "GOOD"), (FAIR, 1, "FAIR"), (POOR, 2, "POOR")], ids=["good", "fair", "poor"])
async def test_exit_code_is_the_grade(tmp_path: Path, capsys: pytest.CaptureFixture[str], units: list[int], code: int, word: str) -> None:
    box = Box("measured", units)
    assert await probe(tmp_path, box, "bob", "--seconds", "5", "--codec", "opus32") == code
    out = capsys.readouterr().out
    assert f"verdict: {word}" in out
    assert f"{len(units)} / {len([unit for unit in units if unit != LOST])}" in out
    assert box.asked[0] == {"do": "probe", "step": "begin", "petname": "bob", "codec": "opus32", "seconds": 5}
    assert [each["there"] for each in box.asked[1:]] == [0, 100], "only what is new is asked for"


@pytest.mark.parametrize(
    ("outcome", "code", "said"), [("no answer", 3, "did not answer"), ("refused", 4, "answers no probe"), ("stopped", 130, "before there was anything")]
)
async def test_nobody_and_somebody_who_wants_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], outcome: str, code: int, said: str) -> None:
    files = [tmp_path / "figures.json", tmp_path / "page.html"]
    assert await probe(tmp_path, Box(outcome, []), "bob", "--json", str(files[0]), "--html", str(files[1])) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert not any(file.exists() for file in files), "no empty file is left where there are no figures"


async def test_a_file_that_is_there_stays_as_it_was_where_there_are_no_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text("of last week")
    assert await probe(tmp_path, Box("no answer", []), "bob", "--json", str(file)) == 3
    assert file.read_text() == "of last week"


async def test_relays_of_this_side_are_told_where_the_user_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await probe(tmp_path, Box("measured", GOOD), "bob", "--show-path") == 0
    assert "your relays: north, west." in capsys.readouterr().out
    assert await probe(tmp_path, Box("measured", GOOD), "bob", "--show-path", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["path"]["own"] == [["north", "west"]]
    assert await probe(tmp_path, Box("measured", GOOD), "bob", "--json", "-") == 0
    assert "north" not in capsys.readouterr().out


async def test_a_new_path_is_waited_for_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.cli.probe_path.LOOK_EVERY_S", 0.01)
    box = Box("measured", POOR)
    box.next_units = GOOD
    assert await probe(tmp_path, box, "bob", "--path", "new") == 0
    told = capsys.readouterr()
    assert "POOR" in told.err
    assert "Ctrl-C ends the wait" in told.err
    assert "It was the path" in told.out
    assert [each["step"] for each in box.asked].count("begin") == 2


async def test_a_new_path_that_nobody_waits_for_leaves_what_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_home: Path, _before: Mapping[str, Any]) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("voicebox.cli.probe.wait_for_next_epoch", interrupted)
    assert await probe(tmp_path, Box("measured", POOR), "bob", "--path", "new") == 2
    assert "verdict: POOR" in capsys.readouterr().out
    monkeypatch.setattr("voicebox.cli.probe.wait_for_next_epoch", lambda _home, _before: False)
    assert await probe(tmp_path, Box("measured", POOR), "bob", "--path", "new") == 2
    assert "do not stand" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["probe", "--local", "--path", "new"]) == 5


async def test_figures_go_to_files_and_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = tmp_path / "page.html", tmp_path / "figures.json"
    assert await probe(tmp_path, Box("measured", GOOD), "bob", "--json", str(file), "--html", str(page)) == 0
    assert "verdict:" in capsys.readouterr().out
    assert json.loads(file.read_text())["verdict"] == "good"
    assert page.read_text().startswith("<!doctype html>")
    assert await probe(tmp_path, Box("measured", POOR), "bob", "--json", "-") == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "poor"


async def test_file_that_cannot_be_written_is_told_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--json", "--html"):
        box = Box("measured", GOOD)
        assert await probe(tmp_path, box, "bob", option, str(tmp_path / "nowhere" / "file")) == 5
        assert "nothing was started" in capsys.readouterr().err
        assert box.asked == []


async def test_who_is_no_contact_and_where_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await probe(tmp_path, Box("measured", GOOD), "carol") == 5
    assert "no contact" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["probe", "bob", "--home", str(tmp_path)]) == 5
    assert "Nothing runs" in capsys.readouterr().err
    assert await asyncio.to_thread(main, ["probe", "--home", str(tmp_path)]) == 5
    assert "whom to probe" in capsys.readouterr().err


async def test_whoever_is_drawn_is_named_on_the_terminal_and_not_in_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await probe(tmp_path, Box("measured", GOOD), "echo") == 0
    assert "you -> bob" in capsys.readouterr().out
    assert await probe(tmp_path, Box("measured", GOOD), "echo", "--json", "-") == 0
    assert "bob" not in capsys.readouterr().out


async def test_call_of_the_last_probe_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.probing.AGAIN_S", 0.01)
    box = Box("measured", GOOD, tails=2)
    assert await probe(tmp_path, box, "bob", "--json", "-") == 0
    assert [each["step"] for each in box.asked] == ["begin"] * 3 + ["look"] * 2


async def test_interrupt_ends_it_with_what_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("voicebox.cli.probe.time.sleep", interrupted)
    box = Box("measured", GOOD)
    assert await probe(tmp_path, box, "bob") == 0
    assert [each["step"] for each in box.asked] == ["begin", "look", "end", "look"]
    assert "cut short" in capsys.readouterr().out


@pytest.mark.system
async def test_speech_without_codecs_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise ImportError('libavcodec.so: cannot open shared object file')")
    box = Box("measured", GOOD)
    server = ControlServer(tmp_path, box)
    await server.start()
    try:
        command = [sys.executable, "-m", "voicebox", "probe", "bob", "--speech", "--home", str(tmp_path)]
        pipe, more = asyncio.subprocess.PIPE, {**os.environ, "PYTHONPATH": str(tmp_path)}
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=more)
        _, said = await asyncio.wait_for(process.communicate(), 60)
    finally:
        await server.stop()
    assert (process.returncode, box.asked) == (5, [])
    assert b"codec library" in said
    assert b"Traceback" not in said


class Once(Box):
    """A box that has no second probe."""

    def _probe(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if "speech" in asked:
            raise UsageError("The box is just starting.")
        return super()._probe(asked)


async def test_what_was_measured_is_told_though_the_call_with_speech_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebox.cli.probe._recorded", lambda codec: [bytes(codec.frame_octets)] * 500)
    monkeypatch.setattr("voicebox.demo.score.score_here", lambda _frames, _codec: None)
    assert await probe(tmp_path, Once("measured", GOOD), "bob", "--speech") == 0
    out = capsys.readouterr().out
    assert "verdict: GOOD" in out
    assert "cannot score it" in out


class Endless(Box):
    """A box whose probe ends only when it is told to."""

    def _probe(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        told = super()._probe(asked)
        if asked["step"] == "look" and not any(each["step"] == "end" for each in self.asked):
            told["outcome"] = "under way"
        return told


@pytest.mark.system
@pytest.mark.parametrize("ends", ["q", "interrupt"])
async def test_on_a_terminal_the_table_lives_until_somebody_has_seen_enough(tmp_path: Path, ends: str) -> None:
    box = Endless("measured", GOOD)
    server = ControlServer(tmp_path, box)
    await server.start()
    ours, theirs = pty.openpty()
    # A run in the background has the interrupt ignored, and so would what it starts.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "voicebox", "probe", "bob", "--home", str(tmp_path)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "40"}
    process = await asyncio.create_subprocess_exec(*command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.set_blocking(ours, False)
    shown, told = b"", False
    try:
        for _ in range(600):  # a minute, for a machine that starts an interpreter slowly
            await asyncio.sleep(0.1)
            shown += _read(ours)
            if b"q ends it" in shown and len(box.asked) >= 3 and not told:
                told = True
                if ends == "q":
                    os.write(ours, b"xq")
                else:
                    process.send_signal(signal.SIGINT)
            if process.returncode is not None:
                break
        shown += _read(ours)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
        await server.stop()
    assert process.returncode == 0, shown
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert "you -> bob" in text
    assert "It was cut short" in text
    assert "Traceback" not in text
    assert [each["step"] for each in box.asked][-2:] == ["end", "look"]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # nothing there now, or the other end is closed
        return b""
