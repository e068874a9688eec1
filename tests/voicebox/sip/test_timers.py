"""Timers against a plain dictionary."""

from __future__ import annotations

import random

from voicebox.sip.timers import Timers


def test_many_timers_behave_like_a_dictionary() -> None:
    rng = random.Random(5)
    timers: Timers[int] = Timers()
    plain: dict[int, float] = {}
    for _ in range(20_000):
        key, now = rng.randrange(50), rng.random() * 100
        match rng.randrange(4):
            case 0 | 1:
                timers.set(key, now)
                plain[key] = now
            case 2:
                timers.cancel(key)
                plain.pop(key, None)
            case _:
                limit = min(plain.values(), default=0.0) + rng.random()
                expected = sorted((when, key) for key, when in plain.items() if when <= limit)
                assert timers.due(limit) == [key for _, key in expected]
                for _, gone in expected:
                    del plain[gone]
        assert timers.next() == min(plain.values(), default=None)
        assert len(timers) == len(plain)
        assert (key in timers) == (key in plain)
        assert len(timers._heap) <= 2 * len(plain) + 65, "cancelled timers do not pile up"
