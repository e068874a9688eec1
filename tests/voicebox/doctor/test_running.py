"""What `voicebox doctor` makes of a running box, and that its report names nobody."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from voicebox.doctor.findings import Grade
from voicebox.doctor.redact import redact
from voicebox.doctor.running import findings_of_status

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
    relay = {"kind": "relay", "ready": True, "realtime": True, "engine": {}, "counters": {}, "list": LIST}
    assert [finding.what for finding in findings_of_status(relay)] == ["running", "ticks", "faults", "list", "date", "value"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing listens on 192.168.1.10:5060", "nothing listens on [address]"),
        ("[2001:db8::1]:5061 is not this machine's", "[address] is not this machine's"),
        ("fe80::1%eth0 is local", "[address] is local"),
        ("dial sip:bob@house.example;transport=tls now", "dial [address] now"),
        ("the file /srv/box/contacts/bob.contact cannot be read", "the file [path] cannot be read"),
        ('dialplan.yaml:3: 1: ring: "mum": no such phone', "dialplan.yaml:3: 1: ring: [quoted]: no such phone"),
        ("Bob is changed, and so is bob", "[name] is changed, and so is [name]"),
        ("bobsled stays", "bobsled stays"),
        ("It was 192.168.1.10. Then not.", "It was [address]. Then not."),
        ("udp:192.168.1.10:5060 and udp:fe80::1", "udp:[address] and udp:[address]"),
        ("::ffff:192.168.1.10 is mapped", "[address][address] is mapped"),
        ("rings [bob, desk]", "rings [[name], [name]]"),
        ("Nothing runs in /home/Eve Doe/box. Start it.", "Nothing runs in [path]. Start it."),
        ("/home/Eve Doe/box/box.yaml:12: wrong", "[path]:12: wrong"),
        ("key 00112233445566778899aabbccddeeff", "key [key]"),
        ("card bXlzZWxmIGFuZCBzb21lIG1vcmUgb2N0ZXRz", "card [key]"),
        ("99 of 100 are at most 0.09 ms late", "99 of 100 are at most 0.09 ms late"),
        ("`voicebox phone add` makes accounts", "`voicebox phone add` makes accounts"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redact(text, ["bob", "desk"], ["/home/Eve Doe/box"]) == expected
