"""What a daemon does again and again."""

from __future__ import annotations

import asyncio

import pytest

from voicebox.repeating import Repeating

pytestmark = pytest.mark.system


async def test_it_runs_at_once_and_again_until_stopped() -> None:
    repeating, runs, thrice = Repeating(), [0, 0], asyncio.Event()

    def first() -> None:
        runs[0] += 1
        if runs[0] == 3:
            thrice.set()

    def second() -> None:
        runs[1] += 1

    repeating.every(0.01, first)
    repeating.every(3_600, second)
    assert runs == [1, 1]
    await thrice.wait()
    repeating.stop()
    repeating.stop()
    stopped_at = runs[0]
    await asyncio.sleep(0.05)
    assert runs == [stopped_at, 1]


async def test_one_that_stops_all_is_not_run_again() -> None:
    repeating, runs = Repeating(), 0

    def look() -> None:
        nonlocal runs
        runs += 1
        repeating.stop()

    repeating.every(0.01, look)
    await asyncio.sleep(0.05)
    assert runs == 1
