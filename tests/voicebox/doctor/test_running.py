"""What `voicebox doctor` makes of a running box."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from voicebox.b2bua.events import LOST
from voicebox.doctor.findings import Grade
from voicebox.doctor.running import finding_of_probe, findings_of_path, findings_of_status
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import Outcome
from voicebox.probe.result import result_of

CIRCUIT = {"state": "standing", "present": True, "in_call": False, "spare": False}
LIST = {"relays": 6, "fetched_s": 60, "asked": 2, "unreachable": 0, "lacking": 0, "broke_word": 0, "clock_off_s": 0, "value": "complete"}
BOX: dict[str, Any] = {
    "kind": "box",
    "ready": True,
    "realtime": True,
    "circuits": [CIRCUIT, CIRCUIT],
    "no_path": False,
    "phones": [{"user": "desk", "transport": "tls", "clear": False}],
    "other_copy": False,
    "compared": {"agree": 2, "differ": 0},
    "list": LIST,
    "relay": {"wanted": False, "stage": "unreached", "restarts": 0},
    "engine": {"tick_late_p99_us": 90, "panics": 0},
    "counters": {"date_set": 1},
}


def test_a_box_that_is_well() -> None:
    assert {finding.grade for finding in findings_of_status(BOX)} == {Grade.GOOD}


@pytest.mark.parametrize(
    ("changed", "what", "grade"),
    [
        ({"realtime": False}, "running", Grade.NOTE),
        ({"engine": {"tick_late_p99_us": 900}}, "ticks", Grade.PROBLEM),
        ({"engine": {"panics": 1}}, "faults", Grade.PROBLEM),
        ({"counters": {"bug_KeyError": 2}}, "faults", Grade.PROBLEM),
        ({"ready": False, "circuits": [CIRCUIT, {**CIRCUIT, "state": "opening"}]}, "circuits", Grade.PROBLEM),
        ({"no_path": True, "ready": False}, "circuits", Grade.PROBLEM),
        ({"phones": []}, "registered", Grade.NOTE),
        ({"phones": [{"user": "desk", "transport": "udp", "clear": True}]}, "registered", Grade.NOTE),
        ({"other_copy": True}, "copies", Grade.PROBLEM),
        ({"compared": {"agree": 2, "differ": 1}}, "compared", Grade.PROBLEM),
        ({"list": LIST | {"lacking": 1}}, "list", Grade.PROBLEM),
        ({"list": LIST | {"broke_word": 1}}, "list", Grade.PROBLEM),
        ({"list": LIST | {"fetched_s": None, "asked": 0, "unreachable": 2}}, "list", Grade.PROBLEM),
        ({"list": LIST | {"fetched_s": None, "asked": 0}}, "list", Grade.NOTE),
        ({"list": LIST | {"value": "missing"}}, "value", Grade.NOTE),
        ({"list": LIST | {"unreachable": 1}}, "list", Grade.NOTE),
        ({"list": LIST | {"clock_off_s": -7_200}}, "date", Grade.PROBLEM),
        ({"relay": {"wanted": True, "stage": "unreached", "restarts": 0}}, "relay", Grade.PROBLEM),
        ({"relay": {"wanted": False, "stage": "possible", "restarts": 0}}, "relay", Grade.NOTE),
        ({"relay": {"wanted": True, "stage": "unlisted", "restarts": 0}}, "relay", Grade.NOTE),
        ({"relay": {"wanted": True, "stage": "ended", "restarts": 3}}, "relay", Grade.PROBLEM),
    ],
)
def test_what_is_not_well_is_said(changed: dict[str, Any], what: str, grade: Grade) -> None:
    found = findings_of_status(copy.deepcopy(BOX) | changed)
    assert [finding.what for finding in found if finding.grade is not Grade.GOOD] == [what]
    (bad,) = (finding for finding in found if finding.what == what)
    assert bad.grade is grade
    assert "desk" not in bad.said


def test_a_relay_says_less() -> None:
    relay = {"kind": "relay", "ready": True, "realtime": True, "engine": {}, "counters": {}, "list": LIST, "records": {"held": 0}}
    assert [finding.what for finding in findings_of_status(relay)] == ["running", "ticks", "faults", "list", "date", "value"]


@pytest.mark.parametrize(
    ("outcome", "lost", "grade", "said"),
    [
        (Outcome.MEASURED, 0, Grade.GOOD, "0.0 % lost"),
        (Outcome.MEASURED, 5, Grade.NOTE, "20.0 % lost"),
        (Outcome.NO_ANSWER, 0, Grade.PROBLEM, "no answer"),
        (Outcome.REFUSED, 0, Grade.PROBLEM, "refused"),
    ],
)
def test_a_call_there_and_back(outcome: Outcome, lost: int, grade: Grade, said: str) -> None:
    units = [LOST if lost and place % lost == 0 else 10_000 for place in range(250)]
    found = finding_of_probe(result_of(ProbeCodec.PCMA, outcome, units, units, [80.0]))
    assert (found.what, found.grade, said in found.said) == ("call", grade, True)


def circuit(guard: str, delay_ms: int | None) -> dict[str, Any]:
    return {"relays": [{"role": "guard", "operator": guard}, {"role": "junction", "operator": "west"}], "delay_ms": delay_ms}


@pytest.mark.parametrize(
    ("guards", "delays", "expected"),
    [
        (["north", "south", "east"], (20, 24), {"guards": Grade.GOOD, "links": Grade.GOOD}),
        (["north", "south"], (20, 24), {"guards": Grade.NOTE, "links": Grade.GOOD}),
        (["north", "south", "east"], (20, 90), {"guards": Grade.GOOD, "links": Grade.NOTE}),
        (["north", "south", "east"], (None, None), {"guards": Grade.GOOD}),
    ],
)
def test_guards_and_links_are_counted_and_not_named(guards: list[str], delays: tuple[int | None, int | None], expected: dict[str, Grade]) -> None:
    found = findings_of_path({"guards": guards, "circuits": [circuit(guard, delay_ms) for guard, delay_ms in zip(guards, delays, strict=False)]})
    assert {finding.what: finding.grade for finding in found} == expected
    assert not any(name in finding.said + finding.advice for finding in found for name in (*guards, "west"))
