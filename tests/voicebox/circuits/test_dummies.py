"""Dummies in virtual time: they look like calls, ring nobody, and are in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from tests.support.boxes import Box, acquainted, run, two_boxes
from tests.support.fake_engine import SLOT_US, FakeCircuit, FakePlane, FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, End, Offer, Refuse, Ringing
from voicebox.circuits import dummies as dummies_module
from voicebox.circuits.dummies import (
    AGAIN,
    AGAIN_S,
    CALL_S,
    CALLS,
    LONGEST_MS,
    RING_S,
    RINGS,
    UNANSWERED,
    WAIT_US,
    Dummies,
    Script,
    draw_script,
    parse_answered,
)
from voicebox.circuits.speech import Speech
from voicebox.errors import RemoteError

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))
LONG = Script(600_000)
SINGLE = Script(600_000, doubled=False)
SHORT = Script(6_000)
NEXT_CELL_US = 10_000
"""Until the next cell comes to the other box, on average; a message of this data plane is in it."""


def meet(world: FakeWorld, alice: Box, bob: Box) -> None:
    """Let the two make their full handshake."""
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    leg.send(End())
    run(world, [alice, bob], 4)
    for box in (alice, bob):
        box.events.clear()
        box.rung.clear()


def three_boxes(count: int, carols: int | None = None) -> tuple[FakeWorld, tuple[Box, Box, Box]]:
    """Return alice, bob and carol, who know each other, as many circuits each. carols: where she has another number of them."""
    world, boxes = acquainted(SMALL, {"alice": count, "bob": count, "carol": count if carols is None else carols}, 0)
    alice, bob, carol = boxes
    meet(world, alice, bob)
    return world, (alice, bob, carol)


def splices(world: FakeWorld) -> int:
    return sum(circuit.mate is not None for circuit in world.circuits) // 2


def spliced(world: FakeWorld, one: Box, other: Box) -> bool:
    return any(circuit.mate is not None and {circuit.box, circuit.mate.box} == {one.plane, other.plane} for circuit in world.circuits)


Told = list[tuple[str, int, tuple[object, ...]]]


def told_to_engine(box: Box) -> Told:
    """Return a list that fills with what the box does to its circuits: name, time, and all of the arguments that a relay could see or that cost time."""
    told: Told = []

    def watch(name: str) -> None:
        method: Callable[..., None] = getattr(box.plane, name)

        def watched(link: int, number: int, *rest: object) -> None:
            shapes = tuple(len(part) if isinstance(part, bytes | list) else part is None if name == "speak" else part for part in rest)
            told.append((name, box.world.now_us, shapes))
            method(link, number, *rest)

        setattr(box.plane, name, watched)

    for name in ("say", "hush", "speak", "quiet", "channel_send"):
        watch(name)
    return told


def seen_outside(told: Told, since_us: int) -> list[tuple[str, int, tuple[object, ...]]]:
    """Leave out keys and what is said inside end-to-end cells, which are sealed and of one size, and a box's questions after the life of its circuits."""
    hidden = {"channel_send", "speak"}
    return [(name, at_us - since_us, shapes) for name, at_us, shapes in told if name not in hidden and not (name == "say" and shapes[1] == Speech.PHASE)]


@pytest.mark.parametrize("caller_ends", [True, False])
@pytest.mark.parametrize("counts", [(1, 1), (2, 2)])
def test_a_dummy_is_a_call_in_all_that_leaves_the_boxes(caller_ends: bool, counts: tuple[int, int]) -> None:
    """Whoever ends the call: the caller's box is the first to part. A dummy counts its time from the end of its knock, 1 s after its begin."""
    seen = []
    for dummy in (False, True):
        world, alice, bob = two_boxes(SMALL, counts=counts)
        meet(world, alice, bob)
        told = [told_to_engine(box) for box in (alice, bob)]
        since_us = world.now_us
        if dummy:
            alice.calls._coin = lambda: False  # at the first junction, as calls begin
            alice.calls.begin_dummy("bob", Script(20_000), since_us)
            run(world, [alice, bob], 26)
            assert (alice.events, bob.events, bob.rung) == ([], [], [])
        else:
            leg = alice.calls.call("bob", OFFER, alice.listener)
            run(world, [alice, bob], 2)
            bob.rung[0][2].send(Ringing())
            bob.rung[0][2].send(Answer(Codec.PCMA))
            ends_us = since_us + 21_000_000 - (0 if caller_ends else NEXT_CELL_US)
            run(world, [alice, bob], (ends_us - world.now_us) / 1e6)
            (leg if caller_ends else bob.rung[0][2]).send(End())
            run(world, [alice, bob], 5)
        assert splices(world) == 0
        assert alice.calls._calls == bob.calls._calls == []
        seen.append([seen_outside(each, since_us) for each in told])
    for call, dummy_ in zip(*seen, strict=True):
        assert [(name, shapes) for name, _, shapes in call] == [(name, shapes) for name, _, shapes in dummy_]
        apart_us = [abs(left - right) for (_, left, _), (_, right, _) in zip(call, dummy_, strict=True)]
        assert max(apart_us) <= 30_000, "to the step of this clock"
        assert len(call) >= 4


@pytest.mark.parametrize("count", [1, 2])
def test_knock_of_a_dummy_that_nobody_answers_is_one_of_somebody_who_is_away(count: int) -> None:
    world, alice, bob = two_boxes(SMALL, counts=(count, count))
    meet(world, alice, bob)
    told, answered = told_to_engine(alice), told_to_engine(bob)
    since_us = world.now_us
    alice.calls.begin_dummy("bob", Script(0), since_us)
    run(world, [alice, bob], 12)
    answered = [each for each in answered if each[0] != "say" or each[2][1] != Speech.PHASE]
    dummy = seen_outside(told, since_us)
    assert answered == []
    bob.standing.close()
    told.clear()
    since_us = world.now_us
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice], 12)
    assert seen_outside(told, since_us) == dummy
    knocks = [(shapes[1], round((at_us + SLOT_US) / 1e6)) for name, at_us, shapes in dummy if name == "say"]
    assert knocks == ([(26, 0), (29, 4)] if count == 1 else [(26, 0), (29, 2), (26, 2), (29, 4), (26, 4), (29, 6), (26, 6), (29, 8)])


def said_at_first_junction(world: FakeWorld, box: Box) -> list[tuple[str, float]]:
    """Return a list that fills with what a box begins to say at its first junction, and when (s from now)."""
    told: list[tuple[str, float]] = []
    first, since_us = box.plane.circuit(box.standing.present()[0].link), world.now_us

    def tap(what: str, circuit: FakeCircuit, _payload: bytes) -> None:
        if circuit is first and what in {"knock", "part"} and (not told or told[-1][0] != what):
            told.append((what, round((world.now_us - since_us) / 1e6, 1)))

    world.tap = tap
    return told


def test_call_that_finds_a_dummy_at_the_first_junction_goes_on_at_the_other_and_the_dummy_stays() -> None:
    """And what the first junction hears of it is what it hears of half of the dummies that nobody answers."""
    world, boxes = three_boxes(2)
    alice, bob, carol = boxes
    told = said_at_first_junction(world, alice)
    alice.calls.begin_dummy("bob", Script(0, doubled=False), world.now_us)
    run(world, list(boxes), 5)
    assert told == [("knock", 0.0), ("part", 2.0)]
    bob.calls._coin = lambda: False
    bob.calls.begin_dummy("carol", SINGLE, world.now_us)
    run(world, list(boxes), 5)
    told = said_at_first_junction(world, alice)
    since_us = world.now_us
    alice.calls.call("bob", OFFER, alice.listener)
    while not bob.rung:
        run(world, list(boxes), 0.02)
        assert world.now_us - since_us < 2_500_000
    run(world, list(boxes), 20)
    assert told == [("knock", 0.0), ("part", 2.0)]
    assert (spliced(world, bob, carol), bob.calls.active(), bob.calls.dummies(world.now_us)[0]) == (True, 1, 1)


def test_dummy_ends_at_once_for_a_caller_who_has_no_other_junction() -> None:
    world = FakeWorld(SMALL, 5_000_000)
    alice, bob, carol = boxes = [Box(world, name, count, seed) for seed, (name, count) in enumerate((("alice", 1), ("bob", 2), ("carol", 2)))]
    for one, other in ((alice, bob), (bob, carol)):
        one.knows(other)
        other.knows(one)
    for box in boxes:
        box.start()
    run(world, boxes, 8)
    bob.calls._coin = lambda: False
    bob.calls.begin_dummy("carol", SINGLE, world.now_us)
    run(world, boxes, 5)
    assert spliced(world, bob, carol)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 1.5)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]
    assert not spliced(world, bob, carol)


@pytest.mark.parametrize("whose", ["caller's", "callee's"])
def test_call_takes_the_spare_of_a_dummy_and_the_dummy_stays_on_its_first(whose: str) -> None:
    world, boxes = three_boxes(2)
    alice, bob, carol = boxes
    busy = alice if whose == "caller's" else bob
    busy.calls.begin_dummy("carol", LONG, world.now_us)
    run(world, list(boxes), 5)
    assert not any(circuit.free for circuit in busy.standing.present())
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, list(boxes), 3)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]
    assert busy.calls.dummies(world.now_us)[0] == 1
    assert sum(circuit.mate is not None and circuit.box is busy.plane and circuit.mate.box is carol.plane for circuit in world.circuits) == 1


@pytest.mark.parametrize("busy_with", ["a dummy", "a call"])
def test_box_of_two_circuits_takes_part_in_one_dummy_and_none_beside_a_call(busy_with: str) -> None:
    """So a circuit is left for a call, or can be had without the end of a dummy."""
    world, boxes = three_boxes(2, carols=1)
    alice, bob, carol = boxes
    bob.calls._coin = lambda: False
    if busy_with == "a dummy":
        bob.calls.begin_dummy("carol", SINGLE, world.now_us)
    else:
        bob.calls.call("carol", OFFER, bob.listener)
    run(world, list(boxes), 7)
    assert any(circuit.free for circuit in bob.standing.present())
    for coin in (True, False):
        for one, other in ((alice, bob), (bob, alice)):
            one.calls._coin = partial(bool, coin)
            one.calls.begin_dummy(other.name, SHORT, world.now_us)
            run(world, list(boxes), 9)
    assert (bob.calls.dummies(world.now_us)[0], bob.calls.active()) == ((1, 0) if busy_with == "a dummy" else (0, 1))
    assert spliced(world, bob, carol)


def test_dummies_begin_at_either_junction_alike() -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.calls._coin = iter([True, False]).__next__
    junctions = []
    for _ in range(2):
        alice.calls.begin_dummy("bob", Script(2_000, doubled=False), world.now_us)
        run(world, [alice, bob], 2)
        junctions += [circuit.junction_id for circuit in world.circuits if circuit.mate is not None and circuit.box is alice.plane]
        run(world, [alice, bob], 4)
    assert junctions == [circuit.path.junction.relay_id for circuit in reversed(alice.standing.present())]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("script", [Script(0), Script(5_000)])
def test_whoever_begins_a_dummy_does_not_learn_what_came_of_it(count: int, script: Script) -> None:
    """Carol knocks at bob, who is idle, in a call, or off: what her box does, and what her engine tells it, is the same."""
    seen = []
    for bob_is in ("idle", "in a call", "off"):
        world, (alice, bob, carol) = three_boxes(count)
        if bob_is == "in a call":
            alice.calls.call("bob", OFFER, alice.listener)
            run(world, [alice, bob, carol], 3)
            assert len(bob.rung) == 1
        elif bob_is == "off":
            bob.standing.close()
        events: list[str] = []
        listen = carol.plane.listen

        def hear(event: tuple[object, ...], events: list[str] = events, listen: Callable[[tuple[object, ...]], None] = listen) -> None:
            events.extend([str(event[0])] if event[0] in {"heard", "message", "silent"} else [])
            listen(event)

        carol.plane.listen = hear
        told, since_us = told_to_engine(carol), world.now_us
        carol.calls.begin_dummy("bob", script, since_us)
        run(world, [alice, bob, carol], 2)
        joined = any(circuit.mate is not None and circuit.mate.box is bob.plane for circuit in map(carol.plane.circuit, carol.plane.links()))
        assert joined == (bob_is == "idle" and script.answered), "or there would be nothing to learn"
        run(world, [alice, bob, carol], 8)
        assert set(events) <= {"silent"}
        seen.append((seen_outside(told, since_us), carol.calls.dummies(world.now_us)))
    assert seen[0] == seen[1] == seen[2]


def test_dummies_begin_by_themselves_and_leave_nothing() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    for box in (alice, bob):
        box.start_chaff()
    most = 0
    for _ in range(240):
        run(world, [alice, bob], 1)
        most = max(most, splices(world))
    assert 1 <= most <= 3, "two junctions, and one more while a dummy moves to the next epoch"
    assert alice.rung == bob.rung == []
    now, last_hour = alice.calls.dummies(world.now_us)
    assert now <= 2
    assert 3 <= last_hour <= 100, "a mean wait of 30 s on either side"
    for box in (alice, bob):
        box.dummies = None
    run(world, [alice, bob], 80)
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [0, 0]
    assert splices(world) == 0
    assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())


def test_box_without_contacts_begins_none() -> None:
    world = FakeWorld(make_network(epoch_s=60), 5_000_000)
    box = Box(world, "alice", 2, 1)
    box.start()
    box.start_chaff()
    run(world, [box], 60)
    assert box.calls.dummies(world.now_us) == (0, 0)


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (2, 1), (1, 2)])
@pytest.mark.parametrize("whose", ["caller's own", "callee's own", "between the two"])
def test_call_comes_about_in_spite_of_dummies(counts: tuple[int, int], whose: str) -> None:
    world, boxes = acquainted(SMALL, {"alice": counts[0], "bob": counts[1], "carol": 2})
    alice, bob, _ = boxes
    meet(world, alice, bob)
    begins, at = {"caller's own": (alice, "carol"), "callee's own": (bob, "carol"), "between the two": (bob, "alice")}[whose]
    begins.calls.begin_dummy(at, LONG, world.now_us)
    run(world, boxes, 10)
    assert splices(world) >= 1
    since_us = world.now_us
    alice.calls.call("bob", OFFER, alice.listener)
    while not bob.rung:
        run(world, boxes, 0.02)
        assert world.now_us - since_us < 6_500_000
    took_us = world.now_us - since_us
    assert alice.events == []
    # Where our first junction is taken by a dummy, the other is tried before that dummy is ended; a `dsl` box is not there.
    late = whose != "callee's own" and counts == (2, 1)
    assert took_us < (6_500_000 if late else 2_500_000)


def test_knock_of_a_dummy_never_ends_a_call_and_is_considered_once() -> None:
    world, (alice, bob, carol) = three_boxes(1)
    boxes = [alice, bob, carol]
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 2)
    carol.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 12)
    assert bob.calls.active() == alice.calls.active() == 1
    assert (splices(world), bob.calls.counters["knock_while_busy"]) == (1, 1)
    assert (alice.events, bob.events) == ([], [])
    leg.send(End())
    run(world, boxes, 3)
    assert bob.events == [End()]
    assert splices(world) == 0


@pytest.mark.parametrize("waits", [True, False])
def test_dummy_waits_for_a_circuit_where_the_coin_says_so_and_follows_at_once(waits: bool) -> None:
    """As a call does that has to end one: a knock right behind a part tells nothing."""
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls._coin = lambda: waits
    alice.calls.begin_dummy("bob", SHORT, world.now_us)
    run(world, [alice, bob], 2)
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, [alice, bob], 2)
    assert alice.calls.dummies(world.now_us) == (1, 1), "it waits"
    run(world, [alice, bob], SHORT.length_us / 1e6)
    assert alice.calls.dummies(world.now_us) == ((1, 2) if waits else (0, 1))


def test_waiting_dummy_is_not_made_where_a_call_begins() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls._coin = lambda: True
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, [alice, bob], 2)
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 5)
    assert len(bob.rung) == 1
    leg.send(End())
    run(world, [alice, bob], 5)
    assert alice.calls.dummies(world.now_us) == (0, 1)


def test_some_contacts_are_preferred_and_none_is_left_out() -> None:
    begun: list[str] = []
    names = ["bob", "carol", "dave", "erin"]
    dummies = Dummies(lambda petname, _script, _now_us: begun.append(petname), lambda: names, Random(7), 3_600_000_000, 0)
    for _ in range(2_000):
        dummies.handle_timer(dummies.next_timer())
    shares = sorted((begun.count(name) / len(begun) for name in names), reverse=True)
    assert shares == pytest.approx([1 / rank / (25 / 12) for rank in range(1, 5)], abs=0.04)
    names.remove(max(names, key=begun.count))
    begun.clear()
    for _ in range(200):
        dummies.handle_timer(dummies.next_timer())
    assert set(begun) == set(names)


def test_people_call_back_and_so_do_dummies() -> None:
    begun: list[str] = []
    dummies = Dummies(lambda petname, _script, _now_us: begun.append(petname), lambda: ["bob", "carol"], Random(5), 3_600_000_000, 0)
    first_us = dummies.next_timer()
    agains = []
    for at in range(1_000):
        dummies.over("carol", at)
        if dummies.next_timer() < first_us:
            agains.append(dummies.next_timer() - at)
            dummies.handle_timer(dummies.next_timer())
    assert set(begun) == {"carol"}
    assert len(agains) == pytest.approx(1_000 * AGAIN, rel=0.3)
    assert all(AGAIN_S[0] * 1_000_000 <= again <= AGAIN_S[1] * 1_000_000 for again in agains)


@pytest.mark.parametrize("falls", [True, False])
def test_dummy_gives_way_to_another_where_the_coin_says_so(falls: bool) -> None:
    world, (alice, bob, carol) = three_boxes(1)
    boxes = [alice, bob, carol]
    tossed = []

    def toss() -> bool:
        tossed.append(falls)
        return falls

    bob.calls._coin = toss
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 5)
    carol.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 6)
    assert tossed == [falls]
    assert (spliced(world, alice, bob), spliced(world, carol, bob)) == (not falls, falls)
    assert [box.calls.dummies(world.now_us)[0] for box in boxes] == [1, 1, 1], "neither caller knows"


def test_dummies_at_each_other_at_once_come_to_none_and_end() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.begin_dummy("bob", SHORT, world.now_us)
    bob.calls.begin_dummy("alice", SHORT, world.now_us)
    run(world, [alice, bob], 5)
    assert splices(world) == 0
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [1, 1]
    run(world, [alice, bob], 5)
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [0, 0]
    assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())


def test_dummy_that_nobody_ends_is_left_by_whoever_was_knocked_at() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.begin_dummy("bob", Script(3 * LONGEST_MS), world.now_us)
    run(world, [alice, bob], LONGEST_MS / 1_000 + 5)
    assert splices(world) == 1
    run(world, [alice, bob], 10)
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [1, 0]
    assert splices(world) == 0


def test_call_at_a_box_whose_dummy_knocks_at_the_caller_at_once() -> None:
    for first, second in (("alice", "bob"), ("bob", "alice")):
        world, alice, bob = two_boxes(SMALL, counts=(1, 1))
        boxes = {"alice": alice, "bob": bob}
        boxes[first].calls.begin_dummy(second, LONG, world.now_us)
        boxes[second].calls.call(first, OFFER, boxes[second].listener)
        run(world, [alice, bob], 3)
        assert [petname for petname, _, _ in boxes[first].rung] == [second]
        assert boxes[second].events == []


def test_contact_added_in_a_dummy_can_call_within_seconds() -> None:
    world, alice, bob = two_boxes(SMALL)
    carol = Box(world, "carol", 2, 3)
    carol.knows(bob)
    carol.start()
    boxes = [alice, bob, carol]
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 8)
    assert not any(circuit.free for circuit in bob.standing.present())
    bob.knows(carol)
    bob.book.add(bob.contacts[-1])
    bob.standing.renew_tokens(world.now_us, at_once=True)
    run(world, boxes, 3)
    carol.calls.call("bob", OFFER, carol.listener)
    run(world, boxes, 2)
    assert [petname for petname, _, _ in bob.rung] == ["carol"]


def test_circuit_that_is_lost_ends_its_dummy() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, [alice, bob], 5)
    alice.standing.lost(alice.standing.present()[0].link, world.now_us)
    run(world, [alice, bob], 12)
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [0, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_dummies_block_no_call(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four boxes of one circuit or two each, at four times the written rate: the share of calls that dummies keep from ringing, and how long they take to ring."""
    monkeypatch.setattr(dummies_module, "WAIT_US", WAIT_US // 4)
    world, boxes = acquainted(SMALL, dict.fromkeys(("alice", "bob", "carol", "dave"), count), 0)
    for box in boxes:
        box.start_chaff()
    chance, took_s, blocked, in_dummies = Random(7), [], 0, 0
    run(world, boxes, 300)
    for _ in range(40):
        run(world, boxes, chance.uniform(10, 40))
        caller, callee = chance.sample(boxes, 2)
        in_dummies += sum(box.calls.dummies(world.now_us)[0] for box in boxes)
        since_us = world.now_us
        leg = caller.calls.call(callee.name, OFFER, caller.listener)
        while not callee.rung and not caller.events:
            run(world, boxes, 0.05)
        blocked += not callee.rung
        took_s.append((world.now_us - since_us) / 1e6)
        run(world, boxes, 0.5)  # who gives up sooner is rung for until the callee's box sees that nothing confirms the keys
        leg.send(End())
        run(world, boxes, 3)
        for box in boxes:
            assert not [event for event in box.events if not isinstance(event, End | Refuse)]
            box.events.clear()
            box.rung.clear()
    took_s.sort()
    print(
        f"{count} circuits each: in a dummy {in_dummies / 160:.2f}, blocked {blocked} of 40, to ring p50 {took_s[20]:.2f} s, p95 {took_s[37]:.2f} s, most {took_s[-1]:.2f} s"
    )
    assert in_dummies >= 5
    assert blocked == 0
    assert took_s[-1] < 3.5


@pytest.mark.parametrize("record", [b"", b"\x02", b"\x01\x01", b"\0\x01", b"\xff\xff\xff"])
def test_what_a_dummys_knock_may_not_hold_is_refused(record: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_answered(record)


def test_scripts_follow_the_table_and_the_knock_says_only_whether_it_is_answered() -> None:
    rng = Random(3)
    scripts = [draw_script(rng) for _ in range(20_000)]
    assert all(parse_answered(script.serialise() + bytes(119)) == script.answered for script in scripts)
    assert len({script.serialise() for script in scripts}) == 2
    assert sum(not script.answered for script in scripts) / len(scripts) == pytest.approx(UNANSWERED / 20, abs=0.02)
    lengths_s = [script.length_us / 1e6 for script in scripts if script.answered]
    wanted_s = (RINGS * sum(RING_S) / len(RING_S) + CALLS * sum(CALL_S) / len(CALL_S)) / (RINGS + CALLS)
    assert sum(lengths_s) / len(lengths_s) == pytest.approx(wanted_s, rel=0.06)
    assert draw_script(rng, 0.01).length_us < 10_000_000


def test_planes_of_these_tests_are_watched() -> None:
    """The comparison of calls and dummies rests on these names."""
    assert all(hasattr(FakePlane, name) for name in ("say", "hush", "speak", "quiet", "channel_send"))
