"""Two boxes while everything goes wrong at random, from a seed: nothing raises, and when it is over all circuits stand and calls work."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Hold, Offer, Refusal, Refuse, Ringing
from voicebox.b2bua.ports import CircuitLeg

OFFER = Offer((Codec.OPUS, Codec.PCMA))
STEPS = 250
RECOVERY_S = 150


class Chaos:
    """Does one random thing at a time."""

    def __init__(self, world: FakeWorld, boxes: list[Box], rng: Random) -> None:
        self.world, self.boxes, self.rng = world, boxes, rng
        self.legs: list[CircuitLeg] = []
        self.done: set[str] = set()

    def step(self) -> None:
        action = self.rng.choice([self.call, self.call, self.event, self.event, self.event, self.relay, self.lose, self.message, self.answer, self.knock])
        self.done.add(action.__name__)
        action()
        run(self.world, self.boxes, self.rng.choice([0.01, 0.1, 0.5, 2]))

    def call(self) -> None:
        box = self.rng.choice(self.boxes)
        self.legs.append(box.calls.call("bob" if box.name == "alice" else "alice", OFFER, box.listener))

    def event(self) -> None:
        legs = self.legs + [leg for box in self.boxes for _, _, leg in box.rung]
        if legs:
            events: list[CallEvent] = [Ringing(), Answer(Codec.OPUS), Digit(1, 100), Hold(), End(), Refuse(Refusal.BUSY), Refuse(Refusal.UNREACHABLE)]
            self.rng.choice(legs[-6:]).send(self.rng.choice(events))

    def relay(self) -> None:
        relay_id = self.rng.choice(self.world.small.relays).descriptor.relay_id
        for state in (self.world.dead, self.world.mute):
            if self.rng.random() < 0.4:
                state.add(relay_id)
            else:
                state.clear()

    def _link(self, box: Box) -> int:
        links = [circuit.link for circuit in box.standing.all()]
        return self.rng.choice([*links, 999])

    def lose(self) -> None:
        box = self.rng.choice(self.boxes)
        if self.rng.random() < 0.3:
            box.standing.lost(self._link(box), self.world.now_us)

    def message(self) -> None:
        box = self.rng.choice(self.boxes)
        octets = bytes([self.rng.choice([0, 1, 2, 3, 4, 16, 17, 19, 24, 255])]) + self.rng.randbytes(self.rng.choice([0, 1, 3, 32, 1500]))
        box.calls.message(self._link(box), octets, self.world.now_us)
        box.calls.heard(self._link(box), self.rng.randrange(3), self.world.now_us)

    def answer(self) -> None:
        box = self.rng.choice(self.boxes)
        if self.rng.random() < 0.3:
            kind = self.rng.choice([2, 17, 18, 21, 23, 25, 99])
            box.standing.answer(self._link(box), self.rng.randrange(2), kind, self.rng.randbytes(self.rng.choice([0, 2, 4, 64])), self.world.now_us)
            box.standing.created(self._link(box), self.rng.randbytes(64), self.world.now_us)

    def knock(self) -> None:
        box = self.rng.choice(self.boxes)
        box.calls.knocked(self._link(box), self.rng.randbytes(self.rng.choice([0, 216])), self.world.now_us)


@pytest.mark.parametrize(("seed", "count"), [*((seed, 2) for seed in range(6)), (6, 8), (7, 8)])
def test_everything_at_random(seed: int, count: int) -> None:
    print(f"seed {seed}, {count} circuits")
    world, alice, bob = two_boxes(make_network(guards=5, junctions=3, epoch_s=90), counts=(count, count))
    boxes = [alice, bob]
    chaos = Chaos(world, boxes, Random(seed))
    for _ in range(STEPS):
        chaos.step()
    assert len(chaos.done) == 7
    world.dead.clear()
    world.mute.clear()
    for leg in chaos.legs + [leg for box in boxes for _, _, leg in box.rung]:
        leg.send(End())
    run(world, boxes, RECOVERY_S)
    for box in boxes:
        assert box.standing.ready()
        assert box.calls.active() == 0
        assert len(box.plane.links()) == len(box.standing.all()) <= 3 * count
        box.events.clear()
        box.rung.clear()
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 9)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]
