"""Two boxes over the fake data plane, in virtual time: what the daemon wires, without a daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from tests.support.fake_engine import FakeWorld
from tests.support.networks import NOW, SmallNetwork
from voicebox.b2bua.events import CallEvent, Offer
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.agreement import Agreement
from voicebox.circuits.between import Words
from voicebox.circuits.call_setting import CallSetting
from voicebox.circuits.calls import COIN, Calls
from voicebox.circuits.dummies import Dummies
from voicebox.circuits.guards import GuardSet
from voicebox.circuits.pair_book import PairBook
from voicebox.circuits.pairing import Files, Pairing
from voicebox.circuits.record_rounds import RecordRounds
from voicebox.circuits.revocations import Revocations
from voicebox.circuits.speech import Speech
from voicebox.circuits.standing import StandingCircuits, guards_wanted
from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.changes import Change, What, decide
from voicebox.contacts.contact import Contact
from voicebox.contacts.identity import Identity, new_identity
from voicebox.contacts.revoked import Revoked


class MemoryFiles:
    """What a box keeps in its directory, without one."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def path(self, name: str) -> Path:
        return Path(name)

    def exists(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str) -> bytes:
        return self._files[name]

    def write(self, name: str, octets: bytes) -> None:
        self._files[name] = octets

    def remove(self, name: str) -> None:
        self._files.pop(name, None)


class Box:
    """One box: its identity, circuits, calls, and what its phones would see."""

    def __init__(self, world: FakeWorld, name: str, count: int, seed: int, *, metered: bool = False) -> None:
        self.world, self.name, self.count, self.seed = world, name, count, seed
        self.identity: Identity = new_identity(name, NOW)
        self.metered = metered
        self.plane = world.make_plane(metered=metered)
        self.saved: list[Contact] = []
        self.files: Files = MemoryFiles()
        self.rung: list[tuple[str, Offer, CircuitLeg]] = []
        self.events: list[CallEvent] = []
        self.events_at_us: list[int] = []
        self.contacts: list[Contact] = []
        self.chance = Random(seed)
        self.dummies: Dummies | None = None
        self.records: RecordRounds | None = None
        self.middle = False
        self.network = world.small.network
        self.revoked: Revoked | None = None
        self.agreement = Agreement(lambda: self.network, lambda: self.world.now_us)

    def knows(self, other: Box) -> None:
        text = serialise_card(other.identity)
        self.contacts.append(Contact(other.name, parse_card(text, NOW, "card"), text))

    def start(self) -> None:
        network = self.network
        self.book = PairBook(self.identity, network.network_id, self.contacts, self.saved.append)
        words = Words(agreement=self.agreement, revocations=Revocations(lambda: self.revoked, self.book.keep_revoked))
        setting = CallSetting(self.plane, self.identity, network.network_id, network.terms.born_unix_us, self.book, lambda: self.world.now_us, words)
        self.calls = Calls(setting, lambda: None, lambda: self.chance.random() < COIN)
        rng = Random(self.seed)
        self.guards = GuardSet(guards_wanted(self.count), rng, lambda _text: None)
        make, now_us = self.calls.make_tokens, self.world.now_us
        self.standing = StandingCircuits(self.plane, network, self.count, {None: self.guards}, make, rng, now_us, middle=self.middle, metered=self.metered)
        self.calls.use(self.standing)
        self.calls.on_call(self._rings)
        self.start_pairing()
        self.plane.listen = self._event

    def start_pairing(self) -> None:
        """Have what is asked for by words, with the invitations that were kept."""
        epoch_us = self.world.small.network.epoch_us
        self.book.guests.clear()
        self.pairing = Pairing(self.book, serialise_card(self.identity), self.add_contact, lambda: self.world.now_us, Random(self.seed), epoch_us, self.files)
        self.pairing.use(self.calls)

    def add_contact(self, petname: str, card: str) -> None:
        """Make a contact, as a running box does."""
        self.change(Change(What.ADD, petname, card))

    def change(self, change: Change) -> None:
        """Change the list of contacts, as a running box does."""
        step = decide(change, self.book.contacts(), self.identity.contact_id, NOW)
        self.book.take(step)
        self.calls.contact_changed(step, self.world.now_us)
        if step.doors_change:
            self.standing.renew_tokens(self.world.now_us, at_once=True)

    def start_chaff(self) -> None:
        """Begin dummies, as a running box does."""
        self.dummies = Dummies(self.calls.begin_dummy, self.book.petnames, self.chance, self.world.small.network.epoch_us, self.world.now_us)
        self.calls.on_dummy_over = self.dummies.over

    def _rings(self, petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        self.rung.append((petname, offer, leg))
        return self.listener

    def listener(self, event: CallEvent) -> None:
        self.events.append(event)
        self.events_at_us.append(self.world.now_us)

    def _event(self, event: tuple[object, ...]) -> None:
        now_us = self.world.now_us
        match event:
            case ("link_up", int(link), *_):
                self.standing.link_up(link, now_us)
            case ("created", int(link), _, bytes(payload)):
                self.standing.created(link, payload, now_us)
            case ("answer", int(link), _, _, Speech.KNOCKED, bytes(payload)):
                self.calls.knocked(link, payload, now_us)
            case ("answer", int(link), _, int(hop), int(kind), bytes(payload)):
                self.standing.answer(link, hop, kind, payload, now_us)
                if kind == Speech.ANSWERED and self.records is not None:
                    self.records.answered(link, payload, now_us)
            case ("heard", int(link), _, int(index)):
                self.calls.heard(link, index, now_us)
            case ("message", int(link), _, bytes(message)):
                self.calls.message(link, message, now_us)
            case ("silent", int(link), _):
                self.calls.silent(link, now_us)
            case (_, int(link), *_):
                self.standing.lost(link, now_us)
            case _:
                raise AssertionError("an event without a link")

    def timers(self, now_us: int) -> None:
        if self.standing.next_timer() <= now_us:
            self.standing.handle_timer(now_us)
        timer = self.calls.next_timer()
        if timer is not None and timer <= now_us:
            self.calls.handle_timer(now_us)
        if self.dummies is not None and self.dummies.next_timer() <= now_us:
            self.dummies.handle_timer(now_us)
        if self.records is not None and self.records.next_timer() <= now_us:
            self.records.handle_timer(now_us)


def run(world: FakeWorld, boxes: list[Box], seconds: float) -> None:
    """Let time pass."""

    def timers(now_us: int) -> None:
        for box in boxes:
            box.timers(now_us)

    world.run_until(world.now_us + int(seconds * 1e6), timers)


def acquaint(world: FakeWorld, boxes: list[Box], seconds: float) -> None:
    """Start boxes that all know each other, and let time pass until their circuits stand."""
    for box in boxes:
        for other in boxes:
            if other is not box:
                box.knows(other)
    for box in boxes:
        box.start()
    run(world, boxes, seconds)


def two_boxes(small: SmallNetwork, *, counts: tuple[int, int] = (2, 2), mutual: bool = True, start_us: int = 5_000_000) -> tuple[FakeWorld, Box, Box]:
    """Return a world in which alice and bob are up for eight seconds."""
    world = FakeWorld(small, start_us)
    alice, bob = Box(world, "alice", counts[0], 1), Box(world, "bob", counts[1], 2)
    alice.knows(bob)
    if mutual:
        bob.knows(alice)
    for box in (alice, bob):
        box.start()
    run(world, [alice, bob], 8)
    return world, alice, bob


def acquainted(small: SmallNetwork, counts: Mapping[str, int], first_seed: int = 1) -> tuple[FakeWorld, list[Box]]:
    """Return a world in which boxes that all know each other are up for eight seconds. counts: their circuits, by name."""
    world = FakeWorld(small, 5_000_000)
    boxes = [Box(world, name, count, seed) for seed, (name, count) in enumerate(counts.items(), first_seed)]
    acquaint(world, boxes, 8)
    return world, boxes
