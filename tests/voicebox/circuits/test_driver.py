"""The driver on a real loop: timers run, events reach their machines, and a fault does not stop the clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.boxes import Box
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from tests.support.records import records_of
from voicebox.b2bua.events import Codec, Offer, Refusal, Refuse
from voicebox.circuits.circuit import Stage
from voicebox.circuits.driver import CircuitDriver
from voicebox.circuits.dummies import Dummies
from voicebox.dataplane import Answered, CircuitEnded, EngineFailed, Heard, LinkFailed, LinkUp, MessageHeard, Silent

pytestmark = pytest.mark.system


class Driven:
    """A box whose clock is the loop's."""

    def __init__(self) -> None:
        self.world = FakeWorld(make_network(), 5_000_000)
        self.box = Box(self.world, "alice", 2, 1)
        self.box.knows(Box(self.world, "bob", 2, 2))
        self.box.start()
        self.began = asyncio.get_running_loop().time()
        self.failed = asyncio.Event()
        self.driver = CircuitDriver(
            self.box.standing,
            self.box.calls,
            Dummies(self.box.calls.begin_dummy, list, self.box.chance, 3_600_000_000, 5_000_000),
            records_of(self.box, self.world),
            self.clock,
            self.failed.set,
        )

    def clock(self) -> int:
        return 5_000_000 + int((asyncio.get_running_loop().time() - self.began) * 1e6)


async def test_circuits_are_begun_and_events_reach_them() -> None:
    driven = Driven()
    driven.driver.start()
    circuits = driven.box.standing.present()
    assert [circuit.stage for circuit in circuits] == [Stage.LINKING] * 2
    driven.driver.handle_event(LinkUp(circuits[0].link, incoming=False, peer_pin=None))
    assert circuits[0].stage is Stage.CREATING
    driven.driver.handle_event(LinkFailed(circuits[1].link))
    assert circuits[1].stage is Stage.GONE
    for event in (Answered(99, 1, 1, 27, b""), Answered(99, 1, 1, 17, b""), Heard(99, 1, 0), MessageHeard(99, 1, b"x"), Silent(99, 1), CircuitEnded(1, 1)):
        driven.driver.handle_event(event)
    await asyncio.sleep(1.2)
    assert len(driven.box.standing.present()) == 2, "the failed one was tried again by the timer"
    driven.driver.handle_event(EngineFailed())
    assert driven.failed.is_set()
    driven.driver.stop()
    driven.driver.stop()
    assert driven.box.plane.links() == set()


async def test_call_without_a_circuit_is_refused_by_the_timer() -> None:
    driven = Driven()
    driven.driver.start()
    driven.box.calls.call("bob", Offer((Codec.OPUS,)), driven.box.listener)
    driven.driver.wake()
    await asyncio.sleep(0.1)
    assert driven.box.events == [Refuse(Refusal.UNREACHABLE)]
    driven.driver.stop()


async def test_fault_in_a_timer_does_not_stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    driven = Driven()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    real = driven.box.standing.handle_timer
    faults = iter([True, True, False])

    def faulty(now_us: int) -> None:
        if next(faults, False):
            raise ZeroDivisionError
        real(now_us)

    driven.driver.start()
    driven.box.standing.lost(driven.box.standing.present()[0].link, driven.clock())
    monkeypatch.setattr(driven.box.standing, "handle_timer", faulty)
    await asyncio.sleep(2)
    assert len(complaints) == 2
    assert len(driven.box.standing.present()) == 2
    driven.driver.stop()
