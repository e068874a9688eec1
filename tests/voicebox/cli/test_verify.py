"""`voicebox verify` against a box that answers as scripted: waiting, the two answers, no call. The real thing: tests/system/test_verify.py."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from voicebox.cli.main import EXIT_INTERRUPTED, main
from voicebox.contacts.contact import Contact
from voicebox.contacts.store import StateDirectory
from voicebox.control import ControlServer
from voicebox.errors import UsageError


class Box:
    """A box in a call: the contact asks for the code too after some looks."""

    def __init__(self, contact: Contact, looks: int) -> None:
        self.contact, self.looks = contact, looks
        self.answers = {"compare": self._compare}

    def _compare(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if asked["petname"] != self.contact.petname:
            raise UsageError("You are in no call with this contact.")
        self.looks -= 1
        return {"digits": "" if self.looks >= 0 else "00019930", "id": self.contact.contact_id.hex()}

    def status(self, *, show_path: bool = False) -> dict[str, Any]:
        return {}

    def reload(self) -> None:
        raise AssertionError("nobody asks for that")


def contact_of(home: Path) -> Contact:
    (contact,) = StateDirectory(home).load_contacts(dt.datetime.now(dt.UTC))
    return contact


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    for name in ("ann", "bob"):
        main(["init", "--home", str(tmp_path / name)])
    capsys.readouterr()
    main(["contact", "card", "--home", str(tmp_path / "bob")])
    (tmp_path / "card").write_text(capsys.readouterr().out)
    main(["contact", "add", "bob", str(tmp_path / "card"), "--home", str(tmp_path / "ann")])
    capsys.readouterr()
    return tmp_path / "ann"


async def verify(home: Path, *arguments: str, looks: int = 0) -> int:
    server = ControlServer(home, Box(contact_of(home), looks))
    await server.start()
    try:
        return await asyncio.to_thread(main, ["verify", *arguments, "--home", str(home)])
    finally:
        await server.stop()


async def test_the_code_is_waited_for_shown_and_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await verify(home, "bob", "--answer", "yes", looks=2) == 0
    told = capsys.readouterr()
    assert "0001 9930      acorn anchor zebra eagle" in told.out
    assert "Now bob types" in told.err
    assert contact_of(home).verified


async def test_nothing_is_kept_where_nobody_is_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await verify(home, "bob", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"digits": "00019930", "words": ["acorn", "anchor", "zebra", "eagle"]}
    assert not contact_of(home).verified


async def test_another_code_blocks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await verify(home, "bob", "--answer", "no") == 1
    assert "somebody stands between you" in capsys.readouterr().err
    assert contact_of(home).blocked
    assert not contact_of(home).verified


@pytest.mark.parametrize(("last", "verified"), [("yes", True), (" NO ", False)])
async def test_who_sits_at_a_terminal_is_asked_until_the_answer_is_one(home: Path, monkeypatch: pytest.MonkeyPatch, last: str, verified: bool) -> None:
    said = iter(["", "y", last])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _prompt: next(said))
    assert await verify(home, "bob") == (0 if verified else 1)
    contact = contact_of(home)
    assert (contact.verified, contact.blocked) == (verified, not verified)
    assert next(said, None) is None


async def test_the_end_of_the_terminal_is_no_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ended)
    assert await verify(home, "bob") == EXIT_INTERRUPTED
    contact = contact_of(home)
    assert (contact.verified, contact.blocked) == (False, False)


async def test_who_never_asks_and_who_is_in_no_call(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await verify(home, "bob", "--wait", "0", looks=1000) == 2
    assert "have not asked for the code" in capsys.readouterr().err
    assert await verify(home, "carol") == 2
    assert "in no call" in capsys.readouterr().err
