"""When nodes ask for the list, what they tell of it, and whom a relay answers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from voicebox.circuits.gossip import Comparison
from voicebox.circuits.gossip_rounds import MAX_ADDRESSES, MAX_CLIENTS, MAX_CLIENTS_OF_ONE, MAX_REMEMBERED, ROUNDS_AT_ONCE, Admission, Rounds, Times

GOOD = Comparison(0, kept_word=True)
NOW_S = 1_780_000_000.0
HOUR = Times(3_600, is_relay=False)


def peer(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("epoch_s", "is_relay", "first", "between"),
    [
        (3_600, False, (10, 60), (1_800, 5_400)),
        (3_600, True, (10, 60), (300, 900)),
        (86_400, False, (10, 60), (1_800, 5_400)),
        (36, False, (0.1, 0.6), (18, 54)),
    ],
)
def test_times_are_drawn_and_follow_from_nothing_else(epoch_s: int, is_relay: bool, first: tuple[float, float], between: tuple[float, float]) -> None:
    times, rng = Times(epoch_s, is_relay=is_relay), Random(1)
    for drawn, (low, high) in (([times.first_s(rng) for _ in range(500)], first), ([times.next_s(rng) for _ in range(500)], between)):
        assert low <= min(drawn) < low + (high - low) / 20
        assert high - (high - low) / 20 < max(drawn) <= high


def test_what_is_told_of_guards() -> None:
    rounds = Rounds(HOUR)
    guards = [peer(1), peer(2)]
    nothing = {"fetched_s": None, "asked": 0, "unreachable": 0, "lacking": 0, "broke_word": 0, "clock_off_s": 0}
    assert rounds.told(NOW_S, guards) == nothing
    rounds.went(peer(1), NOW_S, int(NOW_S), GOOD)
    rounds.failed(peer(2))
    assert rounds.told(NOW_S + 60, guards) == nothing | {"fetched_s": 60, "asked": 1, "unreachable": 1}
    rounds.went(peer(2), NOW_S + 60, int(NOW_S + 60), Comparison(3, kept_word=False))
    assert rounds.told(NOW_S + 90, guards) == nothing | {"fetched_s": 30, "asked": 2, "lacking": 1, "broke_word": 1}
    assert rounds.told(NOW_S + 90, guards[:1]) == nothing | {"fetched_s": 90, "asked": 1}, "one that is no guard any more is no matter"
    assert rounds.told(NOW_S + 2 * 86_400, guards) == nothing


def test_what_is_remembered_of_peers_has_a_bound() -> None:
    rounds = Rounds(Times(3_600, is_relay=True))
    for number in range(500):
        rounds.went(peer(number), NOW_S, int(NOW_S), GOOD)
        rounds.failed(peer(1_000 + number))
    told = rounds.told(NOW_S, [])
    assert (told["asked"], told["unreachable"]) == (MAX_REMEMBERED, MAX_REMEMBERED)


@pytest.mark.parametrize(
    ("is_relay", "offs", "expected"),
    [
        (True, [500, 500], 0),
        (True, [500, 510, 520], 510),
        (True, [-500, -510, -520, 0], -505),
        (True, [500, 510, 0, 0], 0),
        (True, [500, 510, -500, 0, 0], 0),
        (True, [20, 20, 20], 0),
        (True, [9_999_999, 0, 1, 0, 2], 0),
        (False, [7_200], 0),
        (False, [7_200, 7_201], 7_200),
        (False, [7_200, 0], 0),
    ],
)
def test_a_wrong_clock_is_told_where_several_agree_and_not_by_one(is_relay: bool, offs: list[int], expected: int) -> None:
    rounds = Rounds(Times(3_600, is_relay=is_relay))
    for number, off_s in enumerate(offs):
        rounds.went(peer(number), NOW_S, int(NOW_S) + off_s, GOOD)
    assert rounds.told(NOW_S, [])["clock_off_s"] == expected


def test_a_relay_answers_so_many_at_once_and_so_many_of_one_address() -> None:
    admission = Admission(3_600)
    of_one = [admission.enters("192.0.2.1", 0) for _ in range(MAX_CLIENTS_OF_ONE + 1)]
    assert of_one == ["192.0.2.1"] * MAX_CLIENTS_OF_ONE + [None]
    others = [admission.enters(f"192.0.2.{number}", 0) for number in range(2, 40)]
    assert sum(each is not None for each in others) == MAX_CLIENTS - MAX_CLIENTS_OF_ONE
    admission.leaves("192.0.2.1")
    assert admission.enters("192.0.2.99", 0) == "192.0.2.99"


@pytest.mark.parametrize(
    ("one", "other", "same"), [("2001:db8::1", "2001:db8::2", True), ("2001:db8::1", "2001:db8:0:1::1", False), ("::ffff:192.0.2.1", "192.0.2.1", True)]
)
def test_an_ipv6_network_is_one_source(one: str, other: str, same: bool) -> None:
    admission = Admission(3_600)
    sources: list[Any] = [admission.enters(one, 0), admission.enters(other, 0)]
    assert (sources[0] == sources[1]) == same


def test_one_address_cannot_ask_again_and_again() -> None:
    admission = Admission(3_600)

    def asked(now_s: float) -> bool:
        source = admission.enters("192.0.2.1", now_s)
        if source is not None:
            admission.leaves(source)
        return source is not None

    assert sum(asked(0) for _ in range(100)) == ROUNDS_AT_ONCE
    assert sum(asked(301) for _ in range(100)) == 10
    for number in range(MAX_ADDRESSES + 10):
        admission.enters(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 302)
    assert sum(asked(303) for _ in range(3)) <= 3, "whoever is forgotten begins anew; the table has a bound"
