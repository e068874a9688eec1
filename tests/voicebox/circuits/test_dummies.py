"""Dummies in virtual time: they look like calls, ring nobody, and are in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakePlane, FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, End, Offer, Refuse, Ringing
from voicebox.circuits.dummies import AGAIN, AGAIN_S, CALL_S, LONGEST_UNITS, UNIT_US, Dummies, Ending, Script, draw_script, parse_script
from voicebox.circuits.speech import Speech
from voicebox.errors import RemoteError

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))
LONG = Script(Ending.CALLER, 6_000)
SHORT = Script(Ending.CALLER, 60)


def meet(world: FakeWorld, alice: Box, bob: Box) -> None:
    """Let the two make their full handshake."""
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    leg.send(End())
    run(world, [alice, bob], 4)
    for box in (alice, bob):
        box.events.clear()
        box.rung.clear()


def splices(world: FakeWorld) -> int:
    return sum(circuit.mate is not None for circuit in world.circuits) // 2


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


def without_messages(told: Told, since_us: int) -> list[tuple[str, int, tuple[object, ...]]]:
    """Leave out what is said inside end-to-end cells, which are sealed and of one size, and a box's questions after the life of its circuits."""
    return [(name, at_us - since_us, shapes) for name, at_us, shapes in told if name != "channel_send" and not (name == "say" and shapes[1] == Speech.PHASE)]


@pytest.mark.parametrize("ending", [Ending.CALLER, Ending.CALLEE])
@pytest.mark.parametrize("counts", [(1, 1), (2, 2)])
def test_a_dummy_is_a_call_in_all_that_leaves_the_boxes(ending: Ending, counts: tuple[int, int]) -> None:
    seen = []
    for dummy in (False, True):
        world, alice, bob = two_boxes(SMALL, counts=counts)
        meet(world, alice, bob)
        told = [told_to_engine(box) for box in (alice, bob)]
        since_us = world.now_us
        if dummy:
            alice.calls.begin_dummy("bob", Script(ending, 200), since_us)
            run(world, [alice, bob], 26)
            assert (alice.events, bob.events, bob.rung) == ([], [], [])
        else:
            leg = alice.calls.call("bob", OFFER, alice.listener)
            # The script counts from the moment at which it rings, which the caller's box takes to be when the answer came.
            ender = alice if ending is Ending.CALLER else bob
            while not (bob.rung if ender is bob else alice.calls._calls[0].state.name == "OPEN"):
                run(world, [alice, bob], 0.01)
            ends_us = world.now_us + 20_000_000
            run(world, [alice, bob], 1)
            bob.rung[0][2].send(Ringing())
            bob.rung[0][2].send(Answer(Codec.PCMA))
            run(world, [alice, bob], (ends_us - world.now_us) / 1e6)
            (leg if ender is alice else bob.rung[0][2]).send(End())
            run(world, [alice, bob], 4)
        assert splices(world) == 0
        assert alice.calls._calls == bob.calls._calls == []
        seen.append([without_messages(each, since_us) for each in told])
    for call, dummy_ in zip(*seen, strict=True):
        assert [(name, shapes) for name, _, shapes in call] == [(name, shapes) for name, _, shapes in dummy_]
        apart_us = [abs(left - right) for (_, left, _), (_, right, _) in zip(call, dummy_, strict=True)]
        assert max(apart_us) <= 30_000, "to the step of this clock"
        assert len(call) >= 6


def test_knock_of_a_dummy_that_nobody_answers_is_one_of_somebody_who_is_away() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    meet(world, alice, bob)
    told, answered = told_to_engine(alice), told_to_engine(bob)
    since_us = world.now_us
    alice.calls.begin_dummy("bob", Script(Ending.UNANSWERED, 0), since_us)
    run(world, [alice, bob], 9)
    dummy = without_messages(told, since_us)
    assert answered == []
    bob.standing.close()
    told.clear()
    since_us = world.now_us
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice], 9)
    assert without_messages(told, since_us) == dummy
    assert [shapes[1] for name, _, shapes in dummy if name == "say"] == [26, 29]


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
    assert 20 <= last_hour <= 250, "a mean wait of 5 s on either side"
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
    world = FakeWorld(SMALL, 5_000_000)
    alice, bob, carol = (Box(world, name, count, seed) for name, count, seed in (("alice", counts[0], 1), ("bob", counts[1], 2), ("carol", 2, 3)))
    boxes = [alice, bob, carol]
    for box in boxes:
        for other in boxes:
            if other is not box:
                box.knows(other)
        box.start()
    run(world, boxes, 8)
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
    assert took_us < (6_500_000 if late else 1_500_000)


def test_knock_of_a_dummy_never_ends_a_call_and_is_considered_once() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    carol = Box(world, "carol", 1, 3)
    for box, other in ((carol, bob), (bob, carol)):
        box.knows(other)
    bob.book.add(bob.contacts[-1])
    bob.standing.renew_tokens(world.now_us)
    carol.start()
    boxes = [alice, bob, carol]
    run(world, boxes, 8)
    meet(world, alice, bob)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 2)
    carol.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 12)
    assert bob.calls.active() == alice.calls.active() == 1
    assert carol.calls.dummies(world.now_us)[0] == 0
    assert (alice.events, bob.events) == ([], [])
    leg.send(End())
    run(world, boxes, 3)
    assert bob.events == [End()]


def test_dummy_waits_for_a_circuit_and_follows_at_once() -> None:
    """As a call does that has to end one: a knock right behind a part tells nothing."""
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.begin_dummy("bob", SHORT, world.now_us)
    run(world, [alice, bob], 2)
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, [alice, bob], 2)
    assert alice.calls.dummies(world.now_us) == (1, 1), "it waits"
    run(world, [alice, bob], SHORT.units / 10)
    assert alice.calls.dummies(world.now_us) == (1, 2)


def test_waiting_dummy_is_not_made_where_a_call_begins() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, [alice, bob], 2)
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 5)
    assert len(bob.rung) == 1
    leg.send(End())
    run(world, [alice, bob], 5)
    assert alice.calls.dummies(world.now_us) == (0, 1)


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
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    carol = Box(world, "carol", 1, 3)
    for box, other in ((carol, bob), (bob, carol)):
        box.knows(other)
    bob.book.add(bob.contacts[-1])
    bob.standing.renew_tokens(world.now_us)
    tossed = []

    def toss() -> bool:
        tossed.append(falls)
        return falls

    bob.calls._coin = toss
    carol.start()
    boxes = [alice, bob, carol]
    run(world, boxes, 8)
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 5)
    carol.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, boxes, 6)
    assert tossed == [falls]
    assert [box.calls.dummies(world.now_us)[0] for box in boxes] == ([0, 1, 1] if falls else [1, 1, 0])


def test_dummies_at_each_other_at_once_come_to_one() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    bob.calls.begin_dummy("alice", LONG, world.now_us)
    run(world, [alice, bob], 6)
    assert splices(world) == 1
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [1, 1]


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
def test_dummies_block_no_call(count: int) -> None:
    """Four boxes of one circuit or two each, at the written rate: the share of calls that dummies keep from ringing, and how long they take to ring."""
    world = FakeWorld(SMALL, 5_000_000)
    boxes = [Box(world, name, count, seed) for seed, name in enumerate(("alice", "bob", "carol", "dave"))]
    for box in boxes:
        for other in boxes:
            if other is not box:
                box.knows(other)
        box.start()
    run(world, boxes, 8)
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


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x03\x00\x01", b"\x01\x00\x01\x01", b"\x01" + (LONGEST_UNITS + 1).to_bytes(2, "big"), b"\xff\xff\xff"])
def test_what_is_no_script_is_refused(record: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_script(record)


def test_scripts_read_as_written_and_follow_the_table() -> None:
    rng = Random(3)
    scripts = [draw_script(rng) for _ in range(20_000)]
    assert all(parse_script(script.serialise() + bytes(119)) == script for script in scripts)
    shares = [sum(script.ending is ending for script in scripts) / len(scripts) for ending in Ending]
    assert shares == pytest.approx([0.1, 0.55, 0.35], abs=0.02)
    ends = [script.length_us / 1e6 for script in scripts if script.ending is Ending.CALLEE]
    assert sum(ends) / len(ends) == pytest.approx(sum(CALL_S) / len(CALL_S), rel=0.05)
    assert draw_script(rng, 0.01).units * UNIT_US < 10_000_000


def test_planes_of_these_tests_are_watched() -> None:
    """The comparison of calls and dummies rests on these names."""
    assert all(hasattr(FakePlane, name) for name in ("say", "hush", "speak", "quiet", "channel_send"))
