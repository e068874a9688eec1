"""Jitter buffers: fixed ones, one that adapts, and the best of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.playout import ADAPTIVE_LEAST_MS, ADAPTIVE_MOST_MS, Played, best_fixed, play_adaptive, play_fixed


def test_a_fixed_buffer_plays_what_came_within_its_size() -> None:
    played = play_fixed([0.0, 50.0, 50.1, None, 3.0], 50)
    assert played.missing == (False, False, True, True, False)
    assert (played.late, played.size_ms, played.name) == (1, 50, "fixed 50 ms")


def test_the_adaptive_buffer_is_small_where_nothing_jitters_and_grows_where_it_does() -> None:
    chance = random.Random(1)
    calm = play_adaptive([chance.uniform(0, 2) for _ in range(1000)])
    rough = play_adaptive([chance.uniform(0, 80) for _ in range(1000)])
    assert calm.size_ms == pytest.approx(ADAPTIVE_LEAST_MS, abs=1)
    assert not any(calm.missing)
    assert 60 < rough.size_ms < 150
    assert sum(rough.missing[100:]) <= 9, "after it has learnt, next to nothing is late"


def test_the_adaptive_buffer_follows_a_path_that_became_slower_and_a_fixed_one_does_not() -> None:
    delays = [1.0] * 500 + [90.0] * 500
    assert sum(play_adaptive(delays).missing) < 20
    assert sum(play_fixed(delays, 50).missing) == 500


def test_the_adaptive_buffer_has_bounds() -> None:
    delays = [0.0, 5000.0] * 200
    assert play_adaptive(delays).size_ms <= ADAPTIVE_MOST_MS
    assert play_adaptive([None] * 10).missing == (True,) * 10
    assert play_adaptive([]).missing == ()


def worth_at(base_ms: float) -> Callable[[Played], float]:
    def worth(played: Played) -> float:
        return ProbeCodec.PCMA.rate(100 * sum(played.missing) / len(played.missing), base_ms + played.size_ms).r

    return worth


@pytest.mark.parametrize(("jitter_ms", "size_ms"), [(5, 20), (55, 60), (95, 100)])
def test_the_best_buffer_holds_what_jitters_and_no_more(jitter_ms: float, size_ms: float) -> None:
    chance = random.Random(2)
    delays = [chance.uniform(0, jitter_ms) for _ in range(2000)]
    assert best_fixed(delays, worth_at(150)).size_ms == size_ms


def test_where_waiting_costs_nothing_the_smallest_of_equals_is_best() -> None:
    assert best_fixed([0.0] * 100, worth_at(0)).size_ms == 20
