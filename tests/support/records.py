"""Records in simulated networks: what waits in memory, holders without connections, and a world in which junctions ask them over wires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from tests.support.boxes import Box
from tests.support.fake_engine import FakeWorld
from voicebox.circuits.circuit import Circuit
from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.record import Letter, Post
from voicebox.circuits.record_holder import Holder
from voicebox.circuits.record_question import NOTHING, Answer, Get, Put, best, parse_question
from voicebox.circuits.record_ring import FEWEST, Rings
from voicebox.circuits.record_rounds import RecordRounds
from voicebox.errors import RemoteError


class MemoryMail:
    """What waits for contacts, by their ids, and what came from them."""

    def __init__(self) -> None:
        self.letters: dict[bytes, list[Letter]] = {}
        self.came: dict[bytes, list[Letter]] = {}
        self.looks: list[bytes] = []

    def write(self, contact_id: bytes, number: int, text: bytes) -> None:
        self.letters.setdefault(contact_id, []).append(Letter(number, text))

    def post_for(self, contact_id: bytes) -> Post:
        came = self.came.get(contact_id, [])
        return Post(came[-1].number if came else 0, tuple(self.letters.get(contact_id, [])))

    def found(self, contact_id: bytes, post: Post) -> None:
        self.looks.append(contact_id)
        self.letters[contact_id] = [letter for letter in self.letters.get(contact_id, []) if letter.number > post.heard]
        came = self.came.setdefault(contact_id, [])
        came += [letter for letter in post.letters if not came or letter.number > came[-1].number]


def records_of(box: Box, world: FakeWorld) -> RecordRounds:
    """Return the rounds of a box that has nothing to say."""
    return RecordRounds(lambda: box.network, box.book, box.identity.contact_id, box.standing, MemoryMail(), box.chance, world.now_us)


class Holders:
    """The holders of a network: one for each relay. dead: ids of those that do not answer; lies: what one answers in the place of the truth."""

    def __init__(self, world: FakeWorld) -> None:
        self._world, self._rings = world, Rings()
        network = world.small.network
        self.counters: Counter[str] = Counter()
        self.of = {relay.descriptor.relay_id: Holder(network.network_id, self.counters) for relay in world.small.relays}
        self.dead: set[bytes] = set()
        self.lies: dict[bytes, Callable[[Answer], Answer]] = {}
        self.seen: dict[bytes, list[tuple[bytes, bytes]]] = {relay_id: [] for relay_id in self.of}
        """What each holder is told: the junction that asks, and the question."""

    def answer(self, junction_id: bytes, octets: bytes) -> bytes:
        """Answer a question as a junction does."""
        network, now_us = self._world.small.network, self._world.now_us
        try:
            asked = parse_question(network.network_id, octets)
        except RemoteError:
            return NOTHING
        ring = self._rings.of(network, asked.period, now_us)
        answers = self._of_all(ring.holders(asked.place), junction_id, octets, asked)
        if len(answers) < FEWEST:
            answers += self._of_all(ring.others(asked.place), junction_id, octets, asked)
        return best(answers).serialise()

    def _of_all(self, relays: list[Descriptor], junction_id: bytes, octets: bytes, asked: Put | Get) -> list[Answer]:
        answers = []
        for relay in relays:
            if relay.relay_id not in self.dead:
                self.seen[relay.relay_id].append((junction_id, octets))
                told = self.of[relay.relay_id].answer(asked, junction_id, self._world.small.network.period_at(self._world.now_us))
                lie = self.lies.get(relay.relay_id)
                answers.append(told if lie is None else lie(told))
        return answers


def holding(world: FakeWorld, wire_us: int) -> Holders:
    """Let the junctions of a world ask holders, which are a wire away."""
    holders = Holders(world)

    def asked(junction: str, question: bytes, answer: Callable[[bytes], None]) -> None:
        world.at(2 * wire_us, lambda: answer(holders.answer(bytes.fromhex(junction), question)))

    world.asked = asked
    return holders


class Watched:
    """The standing circuits of a box, which are looked at once for each question. asked_us: when."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self.asked_us: list[int] = []

    def present(self) -> list[Circuit]:
        self.asked_us.append(self._box.world.now_us)
        return self._box.standing.present()


def begin_records(box: Box, watched: Watched | None = None) -> MemoryMail:
    """Let a box have its rounds from now on, with a chance of their own."""
    mail, circuits = MemoryMail(), watched or box.standing
    box.records = RecordRounds(
        lambda: box.network, box.book, box.identity.contact_id, circuits, mail, Random(box.seed + 1_000), box.world.now_us, metered=box.metered
    )
    return mail
