"""How long it takes until it rings, for contacts who have met, over real cores in virtual time with the daemon's own code for calls."""

from __future__ import annotations

import pytest

from tests.sim.boxes import World
from voicebox.probe.figures import percentile

CALLS = 24


def times_ms(latency_us: int, jitter_us: int, loss: float, metered: tuple[str, ...] = ()) -> list[tuple[float, float]]:
    """Return, for each call, when the callee's phone is asked to ring and when the caller hears that it does."""
    world = World(1, latency_us, jitter_us, loss, metered)
    found = []
    for _ in range(CALLS):
        world.run(world.network.chance.randrange(20) / 1000)  # anywhere in a slot
        rang_us, heard_us = world.ring()
        found.append((rang_us / 1000, heard_us / 1000))
    for what, each in (("callee", [rang for rang, _ in found]), ("caller", [heard for _, heard in found])):
        print(
            f"{latency_us // 1000} ms a link, loss {loss}{' '.join(('', *metered))}: {what} p50 {percentile(each, 0.5):.0f} ms, p95 {percentile(each, 0.95):.0f} ms, most {max(each):.0f} ms"
        )
    return found


@pytest.mark.parametrize("latency_us", [19_000, 45_000])
def test_it_rings_after_one_way_and_is_heard_after_the_way_back(latency_us: int) -> None:
    ways_ms = 4 * latency_us / 1000
    for rang_ms, heard_ms in times_ms(latency_us, 2_000, 0.0):
        assert ways_ms <= rang_ms < 2 * ways_ms, "before anything of the caller came a second time"
        assert 2 * ways_ms <= heard_ms < 2 * ways_ms + 170


@pytest.mark.parametrize("latency_us", [19_000, 45_000])
def test_a_phone_stops_ringing_when_the_caller_has_given_up_in_the_first_moments(latency_us: int) -> None:
    world, way_us = World(2, latency_us, 2_000), 4 * latency_us
    stopped = {}
    for after_us in range(0, 3 * way_us, way_us // 4):
        stopped[after_us] = world.give_up(after_us)
        print(f"{latency_us // 1000} ms a link: given up after {after_us // 1000} ms, over for the phone {(stopped[after_us] or 0) // 1000} ms later")
    rang = {after_us: us for after_us, us in stopped.items() if us is not None}
    assert len(rang) >= len(stopped) - 1, "but for one who gave up before a knock had left"
    # The callee's key comes two ways after the knock, and the end one way after it; each way has its slots and de-jitter steps on top.
    for after_us, us in rang.items():
        assert us <= max(2 * way_us + 170_000 - after_us, 0) + way_us + 100_000


@pytest.mark.parametrize(("latency_us", "asked_ms"), [(19_000, 500), (45_000, 700)])
def test_ringing_is_heard_in_time_over_a_path_that_loses_one_in_a_hundred(latency_us: int, asked_ms: int) -> None:
    assert percentile([heard for _, heard in times_ms(latency_us, 3_500, 0.0025)], 0.95) < asked_ms


@pytest.mark.parametrize("metered", [("box_a",), ("box_b",), ("box_a", "box_b")], ids=["caller", "callee", "both"])
def test_where_a_box_is_metered_it_rings_a_tick_or_two_later(metered: tuple[str, ...]) -> None:
    for rang_ms, heard_ms in times_ms(19_000, 2_000, 0.0, metered):
        assert 76 <= rang_ms < 152 + 40
        assert 152 <= heard_ms < 152 + 170 + 120
