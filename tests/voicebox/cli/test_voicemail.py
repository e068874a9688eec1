"""What `voicebox voicemail` prints of the messages that a box keeps, or kept once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from voicebox.cli.main import main
from voicebox.contacts.kept import Kept
from voicebox.contacts.store import StateDirectory
from voicebox.dialplan.model import EVERYBODYS

SOUND = b"\xd5" * 16_000


def test_messages_are_printed_with_whose_they_are_and_deleted_also_where_no_more_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = StateDirectory(tmp_path / "box")
    store.create()
    box = Kept(store, lambda: dt.date(2026, 3, 10))

    def ask(_home: Path, question: str, **asked: Any) -> dict[str, Any]:
        assert question == "voicemail"
        return box.tell_messages(asked)

    monkeypatch.setattr("voicebox.cli.voicemail.ask", ask)

    def printed(*options: str) -> tuple[str, str]:
        assert main(["voicemail", *options, "--home", str(store.home)]) == 0
        said = capsys.readouterr()
        return said.out, said.err

    box.use(box.opened(), keeps_missed=False)
    assert printed() == ("none\n", "")
    assert box.messages is not None
    box.messages.keep(EVERYBODYS, "bob", SOUND)
    box.messages.keep("21", "carol", SOUND)
    both = "2026-03-10  bob  2 s  new\n2026-03-10  carol  2 s  new  for 21\n"
    assert printed() == (both, "")
    box.use(None, keeps_missed=False)
    out, said = printed()
    assert out == both
    assert "stay on the disk" in said
    out, said = printed("--clear")
    assert out == both
    assert said.startswith("No messages are taken")
    assert printed()[0] == "none\n"
    assert list(store.path("voicemail").iterdir()) == []
