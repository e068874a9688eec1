"""`voicebox uplinks`: what is told, what is asked, and what is kept. The interfaces are this machine's own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from voicebox.circuits.uplinks import SHOWN, UPLINKS_FILE
from voicebox.cli import terminal
from voicebox.cli.main import main
from voicebox.config.load import load_box
from voicebox.contacts.store import StateDirectory
from voicebox.uplinking import chosen_uplinks

LOOPBACK, NO_INTERFACE = "lo", "nowhere0"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert main(["init", "--home", str(tmp_path / "box")]) == 0
    return tmp_path / "box"


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return two interfaces: a namespace of a test run may have the loopback alone."""
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, LOOPBACK), (2, "eth0")])
    return LOOPBACK, "eth0"


def chosen(home: Path) -> tuple[str, ...]:
    return chosen_uplinks(StateDirectory(home), load_box(home))


def test_one_uplink_is_taken_at_once_and_off_ends_it_whatever_the_settings_say(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["uplinks", "use", LOOPBACK, "--home", str(home)]) == 0
    assert "Nothing leaves over any other" in capsys.readouterr().out
    assert chosen(home) == (LOOPBACK,)
    settings = home / "box.yaml"
    settings.write_text(settings.read_text().replace("uplinks: [any]", f"uplinks: [{LOOPBACK}]"))
    assert load_box(home).uplinks == (LOOPBACK,)
    assert main(["uplinks", "off", "--home", str(home)]) == 0
    assert chosen(home) == ()


def test_a_second_one_is_used_only_after_it_was_told_what_it_shows(
    home: Path, two: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "can_ask", lambda: False)
    capsys.readouterr()
    assert main(["uplinks", "use", *two, "--home", str(home)]) == 2
    said = capsys.readouterr()
    assert said.out == SHOWN + "\n"
    assert "Nothing has changed" in said.err
    assert not (home / UPLINKS_FILE).exists()
    monkeypatch.setattr(terminal, "can_ask", lambda: True)
    for answer, code, kept in (("no", 1, ()), ("yes", 0, two)):
        monkeypatch.setattr("builtins.input", lambda _question, answer=answer: answer)
        assert main(["uplinks", "use", *two, "--home", str(home)]) == code
        assert SHOWN in capsys.readouterr().out
        assert chosen(home) == kept
    assert main(["uplinks", "use", *reversed(two), "--yes", "--home", str(home)]) == 0
    assert SHOWN in capsys.readouterr().out, "also where the answer was given before"
    assert chosen(home) == tuple(reversed(two))


@pytest.mark.parametrize("names", [[NO_INTERFACE], [LOOPBACK, LOOPBACK], [LOOPBACK, NO_INTERFACE, "x"], ["../lo"], ["any"]])
def test_what_is_no_choice_is_refused_and_changes_nothing(home: Path, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["uplinks", "use", *names, "--yes", "--home", str(home)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.startswith("voicebox: ")) == ("", True)
    assert not (home / UPLINKS_FILE).exists()


def test_the_list_says_what_was_chosen_and_that_it_is_not_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    StateDirectory(home).write(UPLINKS_FILE, f"voicebox uplinks 1\nuplink {NO_INTERFACE}\nuplink {LOOPBACK}\n".encode())
    capsys.readouterr()
    assert main(["uplinks", "list", "--home", str(home)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [NO_INTERFACE, LOOPBACK]
    assert "chosen, is not there" in lines[1]
    assert "chosen, leads to no relay now" in lines[2]


def test_a_damaged_choice_is_told_and_not_taken_for_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / UPLINKS_FILE).write_text("voicebox uplinks 1\nuplink a/b\n")
    capsys.readouterr()
    assert main(["uplinks", "list", "--home", str(home)]) == 1
    assert "uplinks:2" in capsys.readouterr().err
