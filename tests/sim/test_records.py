"""Records through real cores in virtual time, over wires of 19 ms: a text comes to a box that was off, and how long a question takes."""

from __future__ import annotations

import pytest

from tests.support.boxes import Box, acquaint, run
from tests.support.core_world import CoreWorld
from tests.support.networks import make_network
from tests.support.records import begin_records, holding

SMALL = make_network(10, 2, epoch_s=120)
WIRE_US = 19_000
LIMIT_S = {"home": 2.0, "dsl": 2.0, "metered": 4.0}


@pytest.mark.parametrize(
    ("profile", "count"), [("home", 2), pytest.param("dsl", 1, marks=pytest.mark.long), pytest.param("metered", 1, marks=pytest.mark.long)]
)
def test_a_text_that_waits_is_found_and_each_question_is_answered_in_time(profile: str, count: int) -> None:
    metered = profile == "metered"
    world = CoreWorld(SMALL, 5_000_000, lambda _port: WIRE_US)
    alice, bob = Box(world, "alice", count, 1, metered=metered), Box(world, "bob", count, 2)
    acquaint(world, [alice, bob], 14)
    holders = holding(world, WIRE_US)
    mails = [begin_records(box) for box in (alice, bob)]
    mails[0].write(bob.identity.contact_id, 1, b"are you there?")
    for _ in range(40):
        run(world, [alice, bob], 10)
        if mails[0].letters[bob.identity.contact_id] == []:
            break
    assert [letter.text for letter in mails[1].came[alice.identity.contact_id]] == [b"are you there?"]
    assert mails[0].letters[bob.identity.contact_id] == [], "its writer has heard that it came"
    for box in (alice, bob):
        assert box.records is not None
        took_s = sorted(us / 1e6 for us in box.records.took_us)
        print(profile, box.name, f"{len(took_s)} questions, p50 {took_s[len(took_s) // 2]:.2f} s, longest {took_s[-1]:.2f} s", dict(box.records.counters))
        assert took_s[-1] <= LIMIT_S[profile]
        unanswered = sum(box.records.counters[name] for name in ("questions_unanswered", "questions_without_circuit"))
        assert unanswered <= len(took_s) / 8, "those of an epoch's last second alone"
        assert not box.records.counters["answers_bad"]
    assert sum(len(holder) for holder in holders.of.values()) > 0
