"""Due times, the ring, the windows (PROTOCOL.md §5.3, §9.1)."""

from __future__ import annotations

import random

from relay.model.end_to_end import CounterWindow, Sound, parse_sound, serialise_sound
from relay.model.slots import SLOT_US, Due, Ring, Settling, unwrap


def test_a_number_is_the_slot_nearest_to_network_time() -> None:
    now_us = (5 * 2**32 + 10) * SLOT_US
    assert unwrap(9, now_us) == 5 * 2**32 + 9
    assert unwrap(2**32 - 1, now_us) == 5 * 2**32 - 1
    assert unwrap(11, now_us - 20 * SLOT_US) == 5 * 2**32 + 11


def test_due_times_are_those_of_the_earliest_of_fifty() -> None:
    chance, settling = random.Random(4), Settling(first=1_000)
    assert settling.measure(999, 999 * SLOT_US) is None, "before the first number: does not count"
    late_us = [chance.randrange(3_000, 9_000) for _ in range(49)] + [2_600]
    bases = [settling.measure(1_000 + i, (1_000 + i) * SLOT_US + late) for i, late in enumerate(late_us)]
    assert bases[:-1] == [None] * 49
    assert bases[-1] == 7_750, "2 600 and the step, up to the grid of 250"


def test_a_cell_is_taken_once_before_its_time_and_at_most_three_slots_ahead() -> None:
    due, ring = Due(0), Ring()
    now_us = 100 * SLOT_US - 1_001  # slot 100 is due in 1 001 us: the last moment at which its cell is taken
    assert ring.refusal(100, due, now_us) is None
    assert ring.refusal(100, due, now_us + 1) == "slot_late"
    assert ring.refusal(103, due, now_us) is None
    assert ring.refusal(104, due, now_us) == "slot_ahead"
    ring.put(100, b"body")
    ring.put(101, None)
    assert ring.refusal(100, due, now_us) == ring.refusal(101, due, now_us) == "slot_twice"
    assert (ring.body(100), ring.body(101), ring.body(108)) == (b"body", None, None)


def test_a_window_takes_each_number_once() -> None:
    chance, window, highest = random.Random(12), CounterWindow(64), 0
    taken: set[int] = set()
    for _ in range(20_000):
        counter = max(1, highest + chance.randrange(-90, 10))
        expected = counter not in taken and counter > highest - 64
        assert window.take(counter) == (expected or not taken)
        taken.add(counter)
        highest = max(highest, counter)


def test_end_to_end_bodies_are_read_as_written_and_others_refused() -> None:
    for sound in (
        Sound(1),
        Sound(2**64 - 1, 1, b"o" * 120, b"s" * 100, 1),
        Sound(5, 2, b"p" * 160, b"s" * 60),
        Sound(5, 3, b"p" * 160),
        Sound(6, 4, b"p" * 160),
        Sound(8, 1, b"", b"c" * 60, 6, b"s" * 159),
    ):
        assert parse_sound(serialise_sound(sound)) == sound
    good = bytearray(serialise_sound(Sound(7, 2, b"p" * 160, b"s", 1)))
    for place, value in ((24, 5), (24, 0), (24, 1), (25, 159), (25, 200), (26, 61), (26, 0), (27, 2), (247, 1)):
        bad = good.copy()
        bad[place] = value
        assert parse_sound(bytes(bad)) is None, place
    assert parse_sound(serialise_sound(Sound(0))) is None
