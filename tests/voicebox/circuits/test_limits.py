"""What a relay takes upon itself: creates in a second, Mbit/s, GB a month; and what it tells of its traffic."""

from __future__ import annotations

import datetime as dt
from random import Random

import pytest

from voicebox.circuits.descriptor import Role
from voicebox.circuits.limits import (
    CIRCUIT_KBIT_S,
    CREATES_PER_S,
    CREATES_PER_S_AND_LINK,
    DATAGRAM_OCTETS,
    CreateLimits,
    MonthlyTraffic,
    circuits_within,
    rounded,
)
from voicebox.errors import FileProblem

MAY = dt.datetime(2026, 5, 31, 23, 59, tzinfo=dt.UTC)
JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
GB_OF_CELLS = 10**9 // DATAGRAM_OCTETS + 1


def admitted(limits: CreateLimits, tries: list[int], second: int = 0) -> list[int]:
    return [link for link in tries if limits.admits(link, second * 1_000_000)]


def test_up_to_the_half_every_create_is_admitted() -> None:
    limits = CreateLimits(Random(1))
    tries = [link for link in range(5) for _ in range(CREATES_PER_S_AND_LINK // 2)]
    assert admitted(limits, tries) == tries
    assert admitted(limits, tries, 1) == tries, "in every second anew"


def test_one_preceding_hop_cannot_use_up_what_is_there_for_all() -> None:
    limits = CreateLimits(Random(2))
    flood = admitted(limits, [1] * 100_000)
    assert CREATES_PER_S_AND_LINK / 2 < len(flood) <= CREATES_PER_S_AND_LINK
    assert admitted(limits, [2] * 40) == [2] * 40


def test_all_together_have_a_bound_and_who_comes_often_loses_more() -> None:
    limits = CreateLimits(Random(3))
    rng = Random(4)
    tries = [*range(100, 130)] * 3 + [link for link in range(12) for _ in range(1_000)]
    rng.shuffle(tries)
    taken = admitted(limits, tries)
    assert CREATES_PER_S * 0.9 < len(taken) <= CREATES_PER_S
    # The share that is discarded is the same for all, so that of 90 quiet ones as many come through as of any other 90.
    assert sum(link >= 100 for link in taken) <= 90


def test_a_cap_in_mbit_is_a_bound_on_circuits() -> None:
    assert circuits_within(1, Role.JUNCTION) == int(1000 / CIRCUIT_KBIT_S) == 8
    assert circuits_within(1, Role.GUARD) == 4, "each has an access link and a relay link"
    assert circuits_within(100, Role.GUARD) == 408


def test_the_months_traffic_is_kept_over_restarts_and_begins_anew() -> None:
    traffic = MonthlyTraffic("", "traffic", 3)
    assert not traffic.note(2 * GB_OF_CELLS, MAY)
    assert traffic.text() == "2026-05 21\n", "rounded up to a tenth"
    again = MonthlyTraffic(traffic.text(), "traffic", 3)
    assert not again.note(0, MAY)
    assert not again.note(GB_OF_CELLS // 2, MAY)
    assert not again.note(0, MAY)
    assert again.note(GB_OF_CELLS, MAY), "what was counted before is not counted again"
    assert not again.note(GB_OF_CELLS + 1, JUNE)
    assert again.text() == "2026-06 1\n"
    again.engine_began()
    assert not again.note(GB_OF_CELLS // 2, JUNE), "an engine that began anew counts from nothing"
    assert again.note(GB_OF_CELLS * 3, JUNE)
    assert not MonthlyTraffic("2026-05 99999\n", "traffic", None).note(1, MAY), "no cap"


@pytest.mark.parametrize("text", ["x", "2026-05", "2026-05 -1", "2026-05 1e3", "2026-05 1234567890123", "2026-05 ²", "26-05 3"])
def test_a_broken_file_is_told(text: str) -> None:
    with pytest.raises(FileProblem):
        MonthlyTraffic(text, "traffic", 3)


def test_traffic_is_told_in_two_digits_and_drops_as_they_are() -> None:
    told = rounded({"cells_in": 1_234_567, "link_cells_out": 1_999, "filled": 999, "drop_bad_cookie": 1_234_567})
    assert told == {"cells_in": 1_200_000, "link_cells_out": 1_900, "filled": 999, "drop_bad_cookie": 1_234_567}
