"""`voicebox invite`, `invited` and `accept` against a box that answers as scripted: what they ask, print, add, and say where nothing comes of it.

The real thing: tests/voicebox/circuits/test_pairing.py and tests/system/test_nothing_to_first_call.py.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.networks import make_network
from voicebox.circuits.meeting import Outcome
from voicebox.circuits.network_state import NETWORK_FILE, PIN_FILE
from voicebox.circuits.terms import network_line
from voicebox.cli.accept import _SAID as SAID
from voicebox.cli.main import EXIT_INTERRUPTED, main
from voicebox.contacts import words as words_module
from voicebox.contacts.card import serialise_card
from voicebox.contacts.identity import new_identity
from voicebox.contacts.invitation import Invitation, parse_invitation, serialise_invitation
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.words import EXAMPLE, parse_words
from voicebox.control import ControlServer

NETWORK = make_network().network
BOB = new_identity("Bob", dt.datetime.now(dt.UTC))
WORDS = parse_words(EXAMPLE)
ROW = {"place": 1, "state": "waiting", "wrong": 0, "petname": "", "left_s": 3600, "card": "", "claims": ""}
CAME = ROW | {"state": "came", "card": serialise_card(BOB), "claims": "Bob"}


class Box:
    """A running box. rows: what it tells of its invitation, look by look, the last for ever; outcomes: likewise of the meeting to which it goes."""

    def __init__(self, rows: list[dict[str, Any]] | None = None, outcomes: list[str] | None = None) -> None:
        self.rows, self.outcomes = rows or [ROW], outcomes or ["met"]
        self.asked: list[Mapping[str, Any]] = []
        self.answers = {"invite": self._invite, "invited": self._invited, "accept": self._accept, "accepted": self._accepted}

    def _invite(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        return {"place": 1}

    def _invited(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if "settle" in asked:
            self.asked.append(asked)
            return {"invitations": []}
        row = self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]
        return {"invitations": [row] if row else []}

    def _accept(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        return {"started": True}

    def _accepted(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        return {"outcome": outcome, "card": CAME["card"] if outcome == "met" else "", "claims": "Bob" if outcome == "met" else ""}

    def status(self, *, show_path: bool = False) -> dict[str, Any]:
        return {"ready": True}

    def reload(self) -> None:
        raise AssertionError("nobody asks for that")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash quickly: how slow it is has its own test."""
    monkeypatch.setattr(words_module, "COST", 4)
    monkeypatch.setattr("voicebox.cli.accept.AGAIN_S", 0.01)


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    main(["init", "--home", str(tmp_path / "ann")])
    store = StateDirectory(tmp_path / "ann")
    store.write(NETWORK_FILE, NETWORK.text.encode())
    store.write(PIN_FILE, f"{NETWORK.network_id.hex()}\n".encode())
    capsys.readouterr()
    return tmp_path / "ann"


async def type_at(home: Path, box: Box, *words: str) -> int:
    """Type a command while the box runs; return its exit code."""
    server = ControlServer(home, box)
    await server.start()
    try:
        return await asyncio.to_thread(main, [*words, "--home", str(home)])
    finally:
        await server.stop()


def contacts(home: Path) -> dict[str, bytes]:
    return {contact.petname: contact.contact_id for contact in StateDirectory(home).load_contacts(dt.datetime.now(dt.UTC))}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sit at a terminal; what is to be typed is put into the list."""
    said: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _prompt: said.pop(0))
    return said


async def test_an_invitation_has_all_that_a_newcomer_types(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = Box()
    assert await type_at(home, box, "invite") == 0
    told = capsys.readouterr().out
    (asked,) = box.asked
    text = next(line.strip() for line in told.splitlines() if line.strip().startswith("voicebox-invitation-"))
    invitation = parse_invitation(text)
    assert invitation.network_id == NETWORK.network_id
    assert invitation.inviter_id == StateDirectory(home).load_identity(dt.datetime.now(dt.UTC)).contact_id
    assert asked["secret"] == invitation.words.meeting_secret(NETWORK.network_id).reveal().hex()
    assert asked["password"].encode() == invitation.words.password().reveal()
    assert (asked["for_s"], asked["petname"], asked["sure"]) == ("86400", "", False)
    for needed in (
        f"voicebox accept {invitation.words.text()} NAME",
        f"--network {network_line(NETWORK.network_id)} FILE",
        str(home / NETWORK_FILE),
        "voicebox run",
    ):
        assert needed in told
    assert "█" in told or "▄" in told or "\x1b" in told
    assert "waits in the running box" in told


async def test_an_invitation_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = Box()
    assert await type_at(home, box, "invite", "Bob", "--yes", "--hours", "2", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"place", "words", "invitation", "network", "until"}
    assert parse_invitation(told["invitation"]).words == parse_words(told["words"])
    assert (box.asked[0]["petname"], box.asked[0]["sure"], box.asked[0]["for_s"]) == ("bob", True, "7200")


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (["invite", "--yes"], "petname too"),
        (["invite", "not a petname"], "A petname is"),
        (["invite", "--hours", "0"], "an hour at least"),
        (["accept", "bob"], "then the name"),
        (["accept", "482915", "kettle", "rocket", "bob", "--yes"], "6 digits"),
        (["accept", WORDS.text(), "bob"], "Nobody is here to be asked"),
        (["accept", serialise_invitation(Invitation(bytes(32), bytes(32), WORDS)), "bob", "--yes"], "another network"),
        (["invited", "--withdraw"], "Say which"),
        (["invited", "2"], "no such invitation"),
        (["invited", "1", "bob"], "Nobody is there"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_makes_no_sense_asks_the_box_for_nothing(home: Path, capsys: pytest.CaptureFixture[str], typed: list[str], text: str) -> None:
    box = Box()
    assert await type_at(home, box, *typed) == 2
    assert text in capsys.readouterr().err
    assert box.asked == []


async def test_who_comes_is_asked_about_and_added(home: Path, capsys: pytest.CaptureFixture[str], says: list[str]) -> None:
    says += ["maybe", "yes", "No Name", "robert"]
    box = Box([ROW, ROW | {"wrong": 1}, CAME])
    assert await type_at(home, box, "invite") == 0
    told = capsys.readouterr()
    assert "wrong words: 1 of 3" in told.err
    assert contacts(home) == {"robert": BOB.contact_id}
    assert box.asked[-1] == {"do": "invited", "settle": "1", "added": True}
    assert says == []


async def test_who_ends_the_terminal_decides_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ended)
    box = Box([CAME])
    assert await type_at(home, box, "invited") == EXIT_INTERRUPTED
    assert await type_at(home, box, "accept", WORDS.text(), "robert") == EXIT_INTERRUPTED
    assert contacts(home) == {}
    assert [asked["do"] for asked in box.asked] == ["accept"], "whoever came waits on"


async def test_who_is_not_wanted_is_sent_away(home: Path, says: list[str]) -> None:
    says += ["no"]
    box = Box([CAME])
    assert await type_at(home, box, "invite", "robert") == 1
    assert contacts(home) == {}
    assert box.asked[-1] == {"do": "invited", "settle": "1"}


@pytest.mark.parametrize(
    ("state", "code", "text"), [("added", 0, "is a contact"), ("burned", 1, "too often"), ("expired", 1, "its time is over"), ("gone", 1, "taken back")]
)
async def test_what_else_becomes_of_an_invitation(home: Path, capsys: pytest.CaptureFixture[str], says: list[str], state: str, code: int, text: str) -> None:
    box = Box([{} if state == "gone" else ROW | {"state": state}])
    assert await type_at(home, box, "invite", "robert") == code
    told = capsys.readouterr()
    assert text in told.out + told.err
    assert contacts(home) == {}


async def test_invitations_are_listed_decided_about_and_taken_back(home: Path, capsys: pytest.CaptureFixture[str], says: list[str]) -> None:
    assert await type_at(home, Box([ROW | {"petname": "robert", "wrong": 2}]), "invited") == 0
    assert "robert: nobody came yet; good for 60 more minutes; wrong words were tried, 2 of 3" in capsys.readouterr().out
    assert await type_at(home, Box([CAME]), "invited", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{key: value for key, value in CAME.items() if key != "card"}]
    box = Box()
    assert await type_at(home, box, "invited", "1", "--withdraw") == 0
    assert box.asked == [{"do": "invited", "settle": "1"}]
    assert await type_at(home, Box([CAME]), "invited", "1", "robert") == 0
    assert contacts(home) == {"robert": BOB.contact_id}


TYPED = {
    "words": WORDS.text(),
    "words apart": WORDS.text().replace("-", " "),
    "qr code": serialise_invitation(Invitation(NETWORK.network_id, BOB.contact_id, WORDS)).upper(),
}


@pytest.mark.parametrize("way", TYPED)
async def test_who_accepts_is_asked_about_whom_they_met(home: Path, says: list[str], way: str) -> None:
    typed = TYPED[way]
    says += ["yes"]
    box = Box(outcomes=["", "", "met"])
    assert await type_at(home, box, "accept", *typed.split(), "robert") == 0
    (asked,) = box.asked
    assert asked["secret"] == WORDS.meeting_secret(NETWORK.network_id).reveal().hex()
    assert asked["inviter"] == (BOB.contact_id.hex() if way == "qr code" else "")
    assert contacts(home) == {"robert": BOB.contact_id}
    assert await type_at(home, box, "accept", *typed.split(), "robert", "--yes") == 2, "the petname is taken"
    assert len(box.asked) == 1


async def test_who_is_declined_is_no_contact(home: Path, says: list[str]) -> None:
    says += ["no"]
    assert await type_at(home, Box(), "accept", WORDS.text(), "robert") == 1
    assert contacts(home) == {}


@pytest.mark.parametrize("outcome", sorted(SAID))
async def test_where_nobody_is_met_it_says_why(home: Path, capsys: pytest.CaptureFixture[str], outcome: Outcome) -> None:
    assert await type_at(home, Box(outcomes=[outcome.value]), "accept", WORDS.text(), "robert", "--yes", "--wait", "0") == 1
    assert capsys.readouterr().err.strip() == SAID[outcome]
    assert contacts(home) == {}
    assert set(SAID) == set(Outcome) - {Outcome.MET}


async def test_it_is_tried_again_until_somebody_answers(home: Path) -> None:
    box = Box(outcomes=["nobody", "nobody", "met"])
    assert await type_at(home, box, "accept", WORDS.text(), "robert", "--yes") == 0
    assert len(box.asked) == 3
    assert contacts(home) == {"robert": BOB.contact_id}
