"""`voicebox path`: what is asked of the daemon, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.boxes import Box, run
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from voicebox.circuits.path_report import path_report
from voicebox.cli import path
from voicebox.cli.main import main


def report(*, middle: bool) -> dict[str, Any]:
    """Return what a box that stands says of itself."""
    world = FakeWorld(make_network(guards=6), 5_000_000)
    box = Box(world, "alice", 2, 1)
    box.middle = middle
    box.start()
    run(world, [box], 12)
    assert box.standing.ready()
    found: dict[str, Any] = json.loads(json.dumps(path_report(box.standing, world.small.network, middle=middle, compared=box.agreement.told())))
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def tell(*arguments: str, middle: bool = False) -> str:
        asked: list[str] = []

        def answer(_home: object, what: str, *, contact: str = "") -> dict[str, Any]:
            asked.extend((what, contact))
            return {"path": report(middle=middle)}

        monkeypatch.setattr(path, "ask", answer)
        assert main(["path", *arguments, "--home", "box"]) == 0
        assert asked == ["path", arguments[0] if arguments and not arguments[0].startswith("-") else ""]
        return capsys.readouterr().out

    return tell


def test_report_names_the_relays_of_each_circuit_and_what_their_choice_went_by() -> None:
    found = report(middle=True)
    assert [[relay["role"] for relay in circuit["relays"]] for circuit in found["circuits"]] == [["guard", "middle", "junction"]] * 2
    operators = [[relay["operator"] for relay in circuit["relays"]] for circuit in found["circuits"]]
    assert [names[0] for names in operators] == found["guards"][:2]
    assert all(0 < circuit["delay_ms"] < 1_000 for circuit in found["circuits"])
    assert found["entropy_bits"] == {"guards": 2.6, "junctions": 1.0, "floor": 4.0}
    assert found["delay_counts"] is False, "six relays are too few"
    assert found["relays"] == {"guards": 6, "junctions": 2}


def test_path_is_told_with_its_chances(told: Any) -> None:
    out = told("--bad", "20")
    assert out.count("guard of op") == 2
    assert "middle of" not in out
    assert "4 % that a circuit is all theirs now" in out
    assert "0.8 % that all relays of a call are theirs" in out
    assert "bits" not in out
    assert "0.8 % that a circuit is all theirs now" in told("--bad", "20", middle=True)


def test_explained_it_says_the_rules(told: Any) -> None:
    out = told("--explain")
    for words in ("kept for 120 to 240 days", "2.6 bits", "one operator or IPv4 /16 or IPv6 /32", "floor is 4 bits", "too few relays"):
        assert words in out


def test_of_a_contact_no_guard_is_named(told: Any) -> None:
    out = told("bob")
    assert out.count("then bob's own relays, which only bob's box knows") == 2
    assert len([line for line in out.splitlines() if line.startswith("circuit")]) == 2


def test_json_has_the_same(told: Any) -> None:
    found = json.loads(told("--json"))
    assert set(found["chances"]) == {"bad_guard_in_a_year", "bad_path_now", "bad_path_in_a_year", "bad_call"}
    assert found["chances"]["bad_path_now"] == pytest.approx(0.01)


def test_share_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["path", "--bad", "101", "--home", "box"]) == 2
    assert "0 to 100" in capsys.readouterr().err


def test_what_a_box_knows_beside_the_list_is_explained(told: Any) -> None:
    assert "by card" not in told("--explain")
    assert "beside this box" not in told("--explain")
    known = report(middle=False) | {"by_card": {"known": 2, "unlisted": 1, "guards": 1}, "own_relay": 1}
    lines = path._by_card(known)
    assert "2 relays are known by card, 1 of them not in the list: they are drawn first; 1 of the guards above are such." in lines
    assert "The relay beside this box is never on its own paths: both have one address." in lines


def test_what_contacts_said_of_the_junctions_that_they_know_is_explained(told: Any) -> None:
    assert "the boxes of" not in told("--explain").lower()
    compared = report(middle=False) | {"compared": {"agree": 3, "differ": 1}}
    lines = path._rules(compared)
    assert "The boxes of 3 contacts said lately that they know the same junctions." in lines
    assert any("the boxes of 1 contacts have known other junctions for hours" in line for line in lines)
