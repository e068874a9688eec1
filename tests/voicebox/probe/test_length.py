"""How long the call of a probe lasts: as one that was drawn, never shorter than what is measured."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from voicebox.circuits.dummies import draw_answered
from voicebox.probe.ends import MOST_S
from voicebox.probe.length import BESIDE_S, LEAST_TAIL_S, call_length_s


@pytest.mark.parametrize("measured_s", [1, 30, MOST_S])
def test_lengths_are_those_of_answered_calls_that_are_long_enough(measured_s: int) -> None:
    chance = Random(measured_s)

    def draw_s() -> float:
        return draw_answered(chance).length_us / 1e6

    found = [call_length_s(measured_s, draw_s, chance) for _ in range(400)]
    long_enough = sorted(length for length in (draw_s() for _ in range(20_000)) if length >= measured_s + BESIDE_S)
    assert min(found) >= measured_s + BESIDE_S
    assert max(found) <= max(long_enough)
    assert median(found) == pytest.approx(median(long_enough), rel=0.2)


def test_where_calls_are_short_it_is_what_is_needed_and_no_round_number() -> None:
    chance = Random(5)
    found = [call_length_s(30, lambda: 1.0, chance) for _ in range(200)]
    assert 30 + BESIDE_S <= min(found) < max(found) <= (30 + BESIDE_S) * 1.25
    assert len(set(found)) == len(found)
    assert max(call_length_s(1, lambda: 1.0, chance) for _ in range(200)) <= 1 + BESIDE_S + LEAST_TAIL_S
