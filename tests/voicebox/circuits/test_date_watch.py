"""Network time against the machine's date."""

from __future__ import annotations

from voicebox.circuits.date_watch import DateWatch

BORN_US = 1_700_000_000_000_000
HOUR_US = 3_600_000_000


def looks(*apart_s: float) -> list[bool]:
    watch = DateWatch(BORN_US)
    return [watch.look((BORN_US + HOUR_US) / 1e6 + apart, HOUR_US) for apart in apart_s]


def test_a_date_that_keeps_step_is_left_alone() -> None:
    assert looks(0, 0.2, -0.2, 4.9, -4.9) == [False] * 5


def test_a_date_that_was_set_either_way_is_seen_at_the_second_look() -> None:
    for apart_s in (5.1, -5.1, 31_536_000, -3_000):
        assert looks(0, apart_s, apart_s) == [False, False, True]


def test_a_pause_between_the_two_clocks_is_no_set_date() -> None:
    assert looks(6, 0, 6, 0, 6) == [False] * 5


def test_it_begins_anew() -> None:
    watch = DateWatch(BORN_US)
    assert [watch.look(0, 0), watch.look(0, 0)] == [False, True]
    watch.anew()
    assert not watch.look(0, 0)
