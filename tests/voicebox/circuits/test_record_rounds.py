"""When a box asks about records, and what becomes of a question beside a call, with old, false or no answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from tests.support.records import Holders, MemoryMail, Watched, begin_records, holding
from voicebox.b2bua.events import Codec, End, Offer
from voicebox.circuits.circuit import Stage
from voicebox.circuits.record import Post, seal_record
from voicebox.circuits.record_question import Answer, Get, Put, parse_question
from voicebox.circuits.record_rounds import BETWEEN_US, LEAST_BETWEEN_US, ROUNDS, RecordRounds
from voicebox.circuits.speech import Speech
from voicebox.contacts.changes import Change, What

SHORT = make_network(6, 2, epoch_s=120)
TURN_S = 12 * 2 * LEAST_BETWEEN_US / 1e6


def town() -> tuple[FakeWorld, Box, Box, Holders, MemoryMail]:
    world, alice, bob = two_boxes(SHORT)
    return world, alice, bob, holding(world, 19_000), begin_records(alice)


def rounds(box: Box) -> RecordRounds:
    assert box.records is not None
    return box.records


def said_by(box: Box) -> list[int]:
    """Return the list to which the kind of all that a box says from now on is added."""
    said, inner = list[int](), box.plane.say

    def say(link: int, number: int, hop: int, kind: int, payload: bytes, every: int = 1, times: int = 0) -> None:
        said.append(kind)
        inner(link, number, hop, kind, payload, every, times)

    box.plane.say = say  # type: ignore[method-assign]  # what the engine is told is looked at
    return said


def questions(holders: Holders) -> list[Put | Get]:
    """Return what was asked, once each, in no order."""
    octets = {question for seen in holders.seen.values() for _, question in seen}
    return [parse_question(SHORT.network.network_id, each) for each in octets]


def test_a_turn_asks_about_each_contact_once_and_about_nobodys_places_for_the_rest() -> None:
    world, alice, bob, holders, mail = town()
    looked = Watched(alice)
    mail = begin_records(alice, looked)
    asked_for = Counter[bytes]()
    inner = mail.post_for

    def post_for(contact_id: bytes) -> Post:
        asked_for[contact_id] += 1
        return inner(contact_id)

    mail.post_for = post_for  # type: ignore[method-assign]  # as above
    run(world, [alice, bob], 4 * TURN_S)
    assert 70 <= len(looked.asked_us) <= 130, "96 in four turns, in the mean"
    assert asked_for[bob.identity.contact_id] == pytest.approx(len(looked.asked_us) / 24, abs=1.1), "each contact once a turn"
    gaps = [later - sooner for sooner, later in zip(looked.asked_us, looked.asked_us[1:], strict=False)]
    assert min(gaps) >= LEAST_BETWEEN_US / 2 - 10_000
    assert max(gaps) <= 1.5 * LEAST_BETWEEN_US + 20_000
    kinds = Counter(type(each) for each in questions(holders))
    assert kinds[Put] > kinds[Get] >= 6, "places of nobody's come again and again; a record is another each time"


def test_in_a_real_network_a_turn_is_half_an_hour() -> None:
    assert 2 * ROUNDS * BETWEEN_US == 32 * 60 * 1_000_000


def test_a_question_is_said_anew_when_a_call_has_spoken_and_a_call_never_waits_for_one() -> None:
    world, alice, bob, _, _ = town()
    circuit = alice.standing.present()[0]
    said = said_by(alice)
    alice.records = None
    circuit.ask(b"q" * 2_016, world.now_us)
    leg = alice.calls.call("bob", Offer((Codec.PCMA,)), alice.listener)
    run(world, [alice, bob], 0.5)
    assert bob.rung, "at once"
    assert said[:2] == [Speech.ASK, Speech.KNOCK], "the knock is said in its place"
    run(world, [alice, bob], 3)
    assert said.count(Speech.ASK) == 2, "then it is said, in the midst of the call"
    leg.send(End())
    run(world, [alice, bob], 3)
    assert circuit.stage is Stage.STANDING
    assert not [other for other in alice.standing.present() if other.stage is not Stage.STANDING]


def test_tokens_go_before_a_question_and_one_that_was_given_up_is_said_no_more() -> None:
    world, alice, bob, _, _ = town()
    alice.records = None
    circuit = alice.standing.present()[0]
    said = said_by(alice)
    circuit.ask(b"q" * 2_016, world.now_us)
    circuit.renew_tokens(world.now_us)
    run(world, [alice, bob], 1)
    assert said[:3] == [Speech.ASK, Speech.TOKENS, Speech.ASK]
    circuit.ask(None, world.now_us)
    said.clear()
    run(world, [alice, bob], 1)
    assert Speech.ASK not in said


def test_what_is_not_answered_in_time_is_given_up_and_late_or_false_answers_cost_nothing() -> None:
    world, alice, bob, _, _ = town()
    world.asked = lambda _junction, _question, _answer: None
    run(world, [alice, bob], 30)
    assert rounds(alice).counters["questions_unanswered"] >= 5
    rounds(alice).answered(999, bytes(2_016), world.now_us)
    assert rounds(alice).counters["answers_unasked"] == 1
    world.asked = lambda _junction, question, answer: answer(b"\x01" + question[1:-1] + b"x")
    run(world, [alice, bob], 20)
    assert rounds(alice).counters["answers_bad"] >= 2
    assert all(circuit.stage is Stage.STANDING for circuit in alice.standing.present())


def test_a_junction_that_answers_with_an_older_record_is_seen_through() -> None:
    world, alice, bob, holders, _ = town()
    theirs = begin_records(bob)
    theirs.write(alice.identity.contact_id, 1, b"first")
    kept: dict[bytes, bytes] = {}

    def old(_junction: str, question: bytes, answer: Callable[[bytes], None]) -> None:
        told = holders.answer(b"j" * 32, question)
        answer(kept.setdefault(question, told) if question[0] == 2 and told[1:33] != bytes(32) else told)

    world.asked = old
    run(world, [alice, bob], 6 * TURN_S)
    assert rounds(alice).counters["records_found"] >= 2, "the same again is no older one"
    assert rounds(alice).counters["records_old"] == 0
    records = [octets for octets in kept.values() if octets[1:33] != bytes(32)]
    assert records
    fresh = parse_question(SHORT.network.network_id, b"\x01" + records[0][1:])
    assert isinstance(fresh, Put)
    rounds(alice)._seen[fresh.place] = fresh.record.sequence + 1
    run(world, [alice, bob], 4 * TURN_S)
    assert rounds(alice).counters["records_old"] >= 1


def test_a_contact_who_is_blocked_is_nobody() -> None:
    world, alice, bob, holders, mail = town()
    theirs = begin_records(bob)
    theirs.write(alice.identity.contact_id, 1, b"planted")
    alice.change(Change(What.BLOCK, "bob", ""))
    run(world, [alice, bob], 4 * TURN_S)
    assert mail.looks == []
    assert mail.came == {}
    assert questions(holders), "and as much is asked as before"


def test_answers_are_of_the_same_place() -> None:
    world, alice, bob, _, mail = town()
    del bob
    keys = rounds(alice)._keys(99, 0, put=False)[1]
    other = Answer(1, seal_record(SHORT.network.network_id, keys, 1, Post()))
    world.asked = lambda _junction, _question, answer: answer(other.serialise())
    run(world, [alice], 20)
    assert rounds(alice).counters["answers_bad"] >= 3
    assert mail.looks == []
