"""The lab's town: whole boxes over hours of virtual time, and what one junction writes down."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import pytest

from tools.adversary.busy import ANSWER_S, probe
from tools.adversary.splices import AGAIN, LENGTH, PAIR, WAITS, features, lift_of_pairs
from tools.adversary.town import FRIENDS, Town
from voicebox.sensitive import Secret


@pytest.fixture(scope="module")
def town() -> Town:
    lived = Town(3, 12)
    lived.live(3)
    return lived


def test_people_call_and_boxes_make_dummies(town: Town) -> None:
    seen = Counter(splice.is_call for splice in town.log.splices)
    assert seen[True] > 25
    assert seen[False] > 10
    assert sum(talk.far_leg is not None for talk in town.talks) > 0.9 * len(town.talks), "dummies keep nobody from ringing"
    assert sum(len(house.friends) for house in town.homes) == 12 * FRIENDS


def test_a_junction_knows_of_each_splice_when_it_began_and_ended_and_who_parted(town: Town) -> None:
    for splice in town.log.splices:
        assert splice.knocked_us <= splice.begun_us < splice.ended_us
        assert splice.knocker != splice.joiner
        assert len(splice.token) == 16
    ended_by_a_part = sum(bool(splice.parts) for splice in town.log.splices)
    assert ended_by_a_part > 0.9 * len(town.log.splices)
    rows = features(town.log)
    assert len({len(row) for row in rows}) == 1
    assert max((*LENGTH, *PAIR, *WAITS, *AGAIN)) == len(rows[0]) - 1
    assert len(lift_of_pairs(town.log)) > 10


def test_loops_are_between_the_two_halves_of_a_house() -> None:
    town = Town(4, 6, switch="loops")
    log = town.live(1)
    loops = [splice for splice in log.splices if not splice.is_call]
    pairs = {tuple(sorted(log.circuits[number].guard for number in (splice.knocker, splice.joiner))) for splice in loops}
    assert len(loops) > 8
    assert len(pairs) <= 6, "one pair of guards for each house"


def test_circuits_made_for_each_call_are_young_when_it_begins() -> None:
    log = Town(5, 8, switch="per_call").live(1.5)
    ages = {label: [splice.knocked_us - log.circuits[splice.knocker].came_us for splice in log.splices if splice.is_call is label] for label in (True, False)}
    assert len(ages[True]) > 5
    young, old = sorted(ages[True])[len(ages[True]) * 4 // 5], sorted(ages[False])[len(ages[False]) // 5]
    assert young < 25_000_000, "the second circuit waits at most twenty seconds before it is made anew, where no dummy has it"
    assert old > young


def test_a_contact_hears_nothing_of_its_dummies_unless_it_can_open_them() -> None:
    shut = probe(6, 16)
    assert {each.in_call for each in shut} == {True, False}
    assert {(each.waited_s, each.taken) for each in shut} == {(ANSWER_S, False)}
    with mock.patch("voicebox.circuits.pair.nobodys_key", return_value=Secret(bytes(16))):
        opened = probe(6, 40)
    joined = {label: [each.waited_s < ANSWER_S for each in opened if each.in_call is label] for label in (True, False)}
    assert sum(joined[True]) < len(joined[True]) / 3, "where the call has one circuit only"
    assert sum(joined[False]) > len(joined[False]) / 2
