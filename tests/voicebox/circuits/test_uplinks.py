"""Which link leaves over which uplink: the choice alone, then circuits in virtual time, on pulling and returning."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.boxes import Box, run
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from voicebox.circuits.circuit import Stage
from voicebox.circuits.guards import GuardSet
from voicebox.circuits.standing import GUARD_PATIENCE_US
from voicebox.circuits.uplinks import SHOWN, SILENT_US, Uplinks, parse_uplinks, serialise_uplinks
from voicebox.errors import FileProblem, HostError

FIRST, SECOND, OTHER = "eth0", "wlan0", "docker0"
EPOCH_S = 120
NAMES = st.sampled_from([FIRST, SECOND, OTHER, "usb0"])
CHOICES = st.lists(NAMES, max_size=2, unique=True).map(tuple)


def both() -> Uplinks:
    uplinks = Uplinks((FIRST, SECOND))
    uplinks.see({FIRST, SECOND, OTHER})
    return uplinks


def test_each_way_has_its_own_uplink_and_goes_over_the_other_where_its_own_is_gone() -> None:
    uplinks = both()
    assert [uplinks.to_begin(way) for way in range(3)] == [FIRST, SECOND, FIRST]
    uplinks.see({SECOND, OTHER})
    assert [uplinks.to_begin(way) for way in range(2)] == [SECOND, SECOND]
    assert uplinks.to_stay(0, FIRST) == (SECOND,)
    uplinks.see({FIRST, SECOND})
    assert uplinks.to_stay(0, SECOND) == (SECOND, FIRST), "it stays where it went: a line that comes and goes moves no link twice"
    assert uplinks.to_begin(0) == FIRST, "what is begun later is over its own again"


def test_where_a_link_failed_the_next_one_is_tried_over_the_other() -> None:
    uplinks = both()
    assert [uplinks.to_begin(1, tries) for tries in range(4)] == [SECOND, FIRST, SECOND, FIRST]


def test_with_none_chosen_links_leave_as_the_system_sends_and_with_none_there_not_at_all() -> None:
    uplinks = Uplinks()
    uplinks.see({FIRST})
    assert (uplinks.to_begin(1), uplinks.to_stay(1, FIRST)) == (None, (None,))
    uplinks.choose((SECOND,))
    with pytest.raises(HostError):
        uplinks.to_begin(0)
    assert uplinks.to_stay(0, None) == uplinks.to_stay(0, SECOND) == ()
    uplinks.see({FIRST})
    assert uplinks.to_stay(0, None) == ()


@given(CHOICES, st.lists(st.tuples(st.sets(NAMES), st.integers(0, 3), st.integers(0, 9), st.none() | NAMES), max_size=20))
def test_nothing_ever_leaves_over_what_was_not_chosen_or_is_not_there(chosen: tuple[str, ...], steps: list[tuple[set[str], int, int, str | None]]) -> None:
    uplinks = Uplinks(chosen)
    for there, way, tries, over in steps:
        uplinks.see(there)
        stays = uplinks.to_stay(way, over)
        if not chosen:
            assert (stays, uplinks.to_begin(way, tries)) == ((None,), None)
            continue
        assert set(stays) == there & set(chosen)
        assert len(stays) == len(set(stays))
        if over in stays:
            assert stays[0] == over, "what can stay does"
        if stays:
            assert uplinks.to_begin(way, tries) in there & set(chosen)
            assert {uplinks.to_begin(way, each) for each in range(2)} == there & set(chosen), "two tries see both"
        else:
            with pytest.raises(HostError):
                uplinks.to_begin(way, tries)


@given(CHOICES)
def test_what_was_chosen_is_read_as_it_was_written(chosen: tuple[str, ...]) -> None:
    assert parse_uplinks(serialise_uplinks(chosen), "uplinks") == chosen


@given(st.text(max_size=300) | st.lists(st.sampled_from(["uplink eth0", "uplink ../x", "uplink ", "uplink any", "voicebox uplinks 1", "\n"])).map("\n".join))
def test_any_file_is_read_or_refused(text: str) -> None:
    for each in (text, f"voicebox uplinks 1\n{text}\n"):
        try:
            chosen = parse_uplinks(each, "uplinks")
        except FileProblem:
            continue
        assert serialise_uplinks(chosen) == each


def test_who_is_told_what_a_second_uplink_shows_hears_of_both_lines_and_of_calls() -> None:
    for word in ("second provider", "both lines", "household", "Who is called"):
        assert word in SHOWN


# ------------------------------------------------------------------------------------------------------------ circuits


def box_with_two(*, epoch_s: int = EPOCH_S, seed: int = 1) -> tuple[FakeWorld, Box, Uplinks]:
    """Return a box whose two uplinks are at two places."""
    world = FakeWorld(make_network(guards=8, epoch_s=epoch_s), 5_000_000)
    box = Box(world, "alice", 2, seed)
    box.start()
    box.standing.close()
    uplinks = box.standing.uplinks
    uplinks.choose((FIRST, SECOND))
    uplinks.see({FIRST, SECOND})
    sets: dict[str | None, GuardSet] = {FIRST: GuardSet(2, Random(seed), lambda _text: None), SECOND: GuardSet(2, Random(seed + 99), lambda _text: None)}
    box.standing.use_guards(sets, world.now_us)
    run(world, [box], 40)
    assert box.standing.ready()
    return world, box, uplinks


def over(box: Box) -> list[str | None]:
    """Return over which uplink the link of each present circuit was asked for."""
    return [box.plane.over[circuit.link] for circuit in box.standing.present()]


@pytest.mark.parametrize("seed", range(6))
def test_one_guards_link_is_over_each_line_and_the_guards_are_of_its_place_and_apart(seed: int) -> None:
    _, box, uplinks = box_with_two(seed=seed)
    assert over(box) == [FIRST, SECOND]
    guards = [circuit.path.guard for circuit in box.standing.present()]
    assert len({guard.operator for guard in guards}) == 2
    for guard, uplink in zip(guards, uplinks.chosen, strict=True):
        assert guard.relay_id in {each.relay_id for each in box.standing._guard_sets[uplink].guards}
        assert box.standing.uplink_to(guard) == uplink, "and nothing else of it leaves over the other"
    assert [guard.relay_id for guard in box.standing.guards()[:2]] == [guard.relay_id for guard in guards], "these are asked for the list"


def test_a_line_that_is_pulled_costs_no_circuit_and_the_next_epoch_is_over_both_again() -> None:
    world, box, uplinks = box_with_two()
    circuits = box.standing.present()
    guards = [circuit.path.guard for circuit in circuits]
    former = circuits[0].link
    uplinks.see({SECOND})
    box.standing.look_at_addresses(world.now_us)
    assert box.plane.muted == {former}, "at once nothing is said over the one that is gone; the other link is as it was"
    run(world, [box], 1)
    assert box.standing.present() == circuits
    assert over(box) == [SECOND, SECOND]
    assert [circuit.path.guard for circuit in circuits] == guards
    assert box.standing.uplink_to(guards[0]) == SECOND
    uplinks.see({FIRST, SECOND})
    for _ in range(5):
        box.standing.look_at_addresses(world.now_us)
        run(world, [box], 1)
    assert (over(box), box.plane.muted) == ([SECOND, SECOND], {former}), "no link moves that need not"
    run(world, [box], EPOCH_S + 10 - world.now_us / 1e6 % EPOCH_S)
    assert box.standing.ready()
    assert box.standing.present() != circuits
    assert over(box) == [FIRST, SECOND]


def test_without_any_of_the_chosen_lines_nothing_leaves_and_nothing_is_asked_for() -> None:
    world, box, uplinks = box_with_two()
    links, asked = {circuit.link for circuit in box.standing.present()}, len(box.plane.over)
    uplinks.see({OTHER})
    box.standing.look_at_addresses(world.now_us)
    assert box.plane.muted == links
    for link in links:
        box.standing.lost(link, world.now_us)
    run(world, [box], 200)
    assert len(box.plane.over) == asked, "no link was asked for"
    assert box.standing.no_path
    guard = box.standing.guards()[0]
    with pytest.raises(HostError):
        box.standing.uplink_to(guard)
    uplinks.see({SECOND})
    run(world, [box], 60)
    assert box.standing.ready()
    assert over(box) == [SECOND, SECOND]
    assert {circuit.path.guard.relay_id for circuit in box.standing.present()} <= {each.relay_id for each in box.standing._guard_sets[SECOND].guards}


def test_what_is_silent_over_one_line_goes_on_over_the_other_if_that_is_heard() -> None:
    world, box, _ = box_with_two()
    first, second = box.standing.present()
    box.standing.take_silence([(first.link, SILENT_US - 1), (second.link, 0), (999, 60_000_000)], world.now_us)
    box.standing.take_silence([(first.link, SILENT_US), (second.link, SILENT_US)], world.now_us)
    assert not box.plane.muted, "where nothing is heard anywhere, no line is better"
    former = first.link
    box.standing.take_silence([(first.link, SILENT_US), (second.link, 19_000)], world.now_us)
    assert box.plane.muted == {former}
    box.standing.take_silence([(first.link, SILENT_US), (second.link, 19_000)], world.now_us)
    run(world, [box], 1)
    assert over(box) == [SECOND, SECOND]
    assert [first.stage, second.stage] == [Stage.STANDING] * 2
    box.standing.look_at_addresses(world.now_us)
    assert box.plane.muted == {former}, "it stays, though the other has a carrier"


def test_a_line_with_a_carrier_that_leads_nowhere_costs_one_try_for_each_circuit() -> None:
    world, box, _ = box_with_two()
    box.plane.cut_off.add(FIRST)
    first, second = box.standing.present()
    box.standing.take_silence([(first.link, SILENT_US), (second.link, 0)], world.now_us)
    for _ in range(3):
        run(world, [box], EPOCH_S + 5 - world.now_us / 1e6 % EPOCH_S)
        assert box.standing.ready(), "what is made for the next epoch found the other line before it began"
        assert over(box) == [SECOND, SECOND]


def first_guard(box: Box) -> set[bytes]:
    return {box.standing.present()[0].path.guard.relay_id}


def test_a_dead_guard_is_set_aside_though_its_circuit_goes_over_the_other_line_meanwhile() -> None:
    towns = (box_with_two(seed=seed)[:2] for seed in range(20))
    world, box = next((world, box) for world, box in towns if not first_guard(box) & {each.relay_id for each in box.standing._guard_sets[SECOND].guards})
    (dead,) = first_guard(box)
    world.dead.add(dead)
    box.standing.lost(box.standing.present()[0].link, world.now_us)
    run(world, [box], 50)
    assert over(box) == [SECOND, SECOND]
    run(world, [box], max(GUARD_PATIENCE_US / 1e6, 12 * EPOCH_S))
    assert dead not in {circuit.path.guard.relay_id for circuit in box.standing.present()}
    assert over(box) == [FIRST, SECOND], "another guard of the first line's place serves there"


def test_a_box_whose_user_chooses_takes_its_circuits_over_and_says_nothing_more_elsewhere() -> None:
    world = FakeWorld(make_network(guards=8), 5_000_000)
    box = Box(world, "alice", 2, 1)
    box.start()
    run(world, [box], 8)
    circuits, links = box.standing.present(), {circuit.link for circuit in box.standing.present()}
    box.standing.uplinks.choose((SECOND,))
    box.standing.uplinks.see({FIRST, SECOND})
    box.standing.use_guards({SECOND: box.guards}, world.now_us)
    box.standing.look_at_addresses(world.now_us)
    assert box.plane.muted == links
    run(world, [box], 1)
    assert (box.standing.present(), over(box)) == (circuits, [SECOND, SECOND])
