"""Bundles of two boxes with each other, in virtual time: lines begin, tie, give way, go on; who is not allowed is refused. What the engine does is noted, not done."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Refusal, Refuse, Ringing, Tie
from voicebox.b2bua.ports import MediaPort
from voicebox.config.model import Endpoint
from voicebox.dataplane import BundleBroken, BundleWants, StreamAsked, StreamOver, StreamTaken
from voicebox.errors import UsageError
from voicebox.streams.bundles import GONE, NEVER, OPEN_S, REFUSED, UNLIKE, UNREACHABLE, Bundles, Connected, Listener, Opening
from voicebox.streams.offered import parse_offered

WEB = "service web 127.0.0.1:8080 80 alice\n"


class Box:
    """One box: its bundles, and notes of what they asked of the engine."""

    def __init__(self, town: Town, name: str, offered: str = "") -> None:
        self.town, self.name, self.offered = town, name, parse_offered(offered, "streams")
        self.numbers = itertools.count(1)
        self.notes: list[tuple[object, ...]] = []
        self.idle_us = 0
        self.connecting: list[tuple[Endpoint, Connected]] = []
        self.kinds: list[str] = []
        self.opened: list[int | None] = []
        self.legs: list[Leg] = []
        self.begin()

    def begin(self) -> None:
        """Begin without memory."""
        draws = itertools.cycle((0.2, 0.7) if self.name == "alice" else (0.9, 0.4))
        own = itertools.count(self.town.starts * 100 + len(self.name))
        self.town.starts += 1
        self.bundles = Bundles(
            self, self, self.town.soon.append, lambda: self.offered, self.connect, self.tell, lambda: self.town.now,
            lambda low, high: low + next(draws) * (high - low), lambda: next(own).to_bytes(8),
        )  # fmt: skip

    def bundle_open(self) -> int:
        self.notes.append(("open", bundle := next(self.numbers)))
        return bundle

    def bundle_close(self, bundle: int) -> None:
        self.notes.append(("close", bundle))

    def bundle_idle_us(self, _bundle: int) -> int:
        return self.idle_us

    def stream_open(self, bundle: int, port: int, *, datagrams: bool = False, fast: bool = False) -> int:
        self.notes.append(("association" if datagrams else "fast" if fast else "stream", stream := next(self.numbers), bundle, port))
        return stream

    def door_open(self, descriptor: int, *, has_headers: bool = False) -> int:
        assert not has_headers, "a service's datagrams have none"
        self.notes.append(("door", door := next(self.numbers), descriptor))
        return door

    def door_attach(self, door: int, stream: int, header: bytes, first: list[bytes]) -> None:
        self.notes.append(("through", door, stream, header, first))

    def door_close(self, door: int) -> None:
        raise AssertionError("the engine closes the door of a service with its association")

    def tell(self, stream: int, octets: bytes) -> None:
        self.notes.append(("told", stream, octets))

    def connect(self, to: Endpoint, connected: Connected, *, datagrams: bool) -> None:
        self.connecting.append((to, connected))
        self.kinds.append("udp" if datagrams else "tcp")

    def stream_attach(self, stream: int, descriptor: int, first: bytes = b"", *, whole: bool = False) -> None:
        assert (first, whole) == (b"", False), "a service says what it likes"
        self.notes.append(("attach", stream, descriptor))

    def stream_reset(self, stream: int, why: int) -> None:
        self.notes.append(("reset", stream, why))

    def call(self, petname: str, offer: Offer, listener: Listener) -> Leg:
        assert offer == Offer((), streams=True)
        if self.town.busy:
            raise UsageError("no circuit is free")
        other = self.town.boxes[petname]
        mine, theirs = Leg(self, listener), Leg(other)
        mine.mate, theirs.mate = theirs, mine
        self.legs.append(mine)
        self.town.soon.append(lambda: theirs.ring(self.name))
        return mine


class Leg:
    """One side of a line."""

    def __init__(self, box: Box, listener: Listener | None = None) -> None:
        self.box, self.listener = box, listener
        self.mate: Leg = self
        self.carried: list[int] = []

    def ring(self, petname: str) -> None:
        try:
            self.listener = self.box.bundles.accept(petname, self)
            self.box.legs.append(self)
        except UsageError:
            self.send(Refuse(Refusal.NO_ANSWER))

    def send(self, event: CallEvent) -> None:
        self.box.notes.append(("said", event))
        self.box.town.soon.append(lambda: self.mate.listener(event) if self.mate.listener is not None else None)

    def bind(self, port: MediaPort, codec: Codec) -> None:
        raise AssertionError("there is no sound in a line")

    def carry(self, bundle: int) -> None:
        self.carried.append(bundle)


class Town:
    """Two boxes and their time."""

    def __init__(self, of_alice: str = "", of_bob: str = WEB) -> None:
        self.now, self.starts, self.busy = 1_000.0, 1, False
        self.soon: list[Callable[[], None]] = []
        self.boxes: dict[str, Box] = {}
        self.alice = self.boxes["alice"] = Box(self, "alice", of_alice)
        self.bob = self.boxes["bob"] = Box(self, "bob", of_bob)

    def run(self, seconds: float = 0.0) -> None:
        end = self.now + seconds
        while True:
            while self.soon:
                self.soon.pop(0)()
            due = min(box.bundles.next_timer() for box in self.boxes.values())
            if due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            for box in self.boxes.values():
                box.bundles.handle_timer()

    def open(self) -> Opening:
        """Let a program of alice's want bob's port 80."""
        stream = self.alice.bundles.open("bob", 80, self.alice.opened.append)
        self.alice.bundles.handle_event(BundleWants(1))
        return stream


def legs(*boxes: Box) -> list[list[int]]:
    return [box.legs[-1].carried for box in boxes]


def test_a_line_is_begun_tied_and_carries_the_bundle_at_both_boxes() -> None:
    town = Town()
    stream = town.open()
    town.run()
    assert legs(town.alice, town.bob) == [[1], [1]]
    town.bob.bundles.handle_event(StreamAsked(50, 1, 80, datagrams=False))
    ((to, connected),) = town.bob.connecting
    assert to == Endpoint("127.0.0.1", 8080)
    connected(17)
    assert town.bob.notes[-1] == ("attach", 50, 17)
    town.alice.bundles.handle_event(StreamTaken(stream.stream))
    assert town.alice.opened == [None]


def test_an_association_goes_through_a_door_and_to_a_service_of_datagrams_alone() -> None:
    town = Town(of_bob=WEB + "service dns 127.0.0.1:5353 53 alice udp\n")
    association = town.alice.bundles.open("bob", 53, town.alice.opened.append, datagrams=True)
    assert town.alice.notes[-1] == ("association", association.stream, 1, 53)
    town.alice.bundles.handle_event(BundleWants(1))
    town.run()
    for stream, port, datagrams in ((50, 53, False), (51, 80, True)):
        town.bob.bundles.handle_event(StreamAsked(stream, 1, port, datagrams))
        assert town.bob.notes[-1] == ("reset", stream, REFUSED)
    town.bob.bundles.handle_event(StreamAsked(52, 1, 53, datagrams=True))
    assert (town.bob.connecting[0][0], town.bob.kinds) == (Endpoint("127.0.0.1", 5353), ["udp"])
    town.bob.connecting[0][1](17)
    (_, door, descriptor), through = town.bob.notes[-2:]
    assert (descriptor, through) == (17, ("through", door, 52, b"", []))


def test_a_fast_stream_leads_to_a_fast_service_alone_and_no_other_does() -> None:
    town = Town(of_bob=WEB + "service bulk 127.0.0.1:8081 81 alice fast\n")
    opening = town.alice.bundles.open("bob", 81, town.alice.opened.append, fast=True)
    assert town.alice.notes[-1] == ("fast", opening.stream, 1, 81)
    town.alice.bundles.handle_event(BundleWants(1))
    town.run()
    for stream, port, fast in ((50, 80, True), (51, 81, False)):
        town.bob.bundles.handle_event(StreamAsked(stream, 1, port, datagrams=False, fast=fast))
        assert town.bob.notes[-1] == ("reset", stream, UNLIKE)
    town.bob.bundles.handle_event(StreamAsked(52, 1, 99, datagrams=False, fast=True))
    town.bob.bundles.handle_event(StreamAsked(53, 1, 0, datagrams=False, fast=True))
    assert town.bob.notes[-2:] == [("reset", 52, REFUSED), ("reset", 53, REFUSED)]
    assert not town.bob.connecting
    town.bob.bundles.handle_event(StreamAsked(54, 1, 81, datagrams=False, fast=True))
    assert town.bob.connecting[0][0] == Endpoint("127.0.0.1", 8081)
    town.alice.bundles.handle_event(StreamOver(opening.stream, UNLIKE))
    assert town.alice.opened == [UNLIKE]


def test_a_contacts_box_is_told_what_the_contact_may_reach_and_no_more() -> None:
    town = Town(of_bob=WEB + "service dns 127.0.0.1:5353 53 carol,alice udp\nservice nas 127.0.0.1:445 445 carol\n")
    town.open()
    town.run()
    for stream, bundle, datagrams in ((51, 1, True), (52, 77, False)):
        town.bob.bundles.handle_event(StreamAsked(stream, bundle, 0, datagrams))
        assert ("reset", stream, REFUSED) in town.bob.notes
    town.bob.bundles.handle_event(StreamAsked(50, 1, 0, datagrams=False))
    assert town.bob.notes[-1] == ("told", 50, b"web 80 tcp\ndns 53 udp\n")


def test_who_is_not_allowed_is_refused() -> None:
    town = Town()
    town.open()
    town.run()
    for port in (22, 8080):
        town.bob.bundles.handle_event(StreamAsked(port, 1, port, datagrams=False))
        assert town.bob.notes[-1] == ("reset", port, REFUSED)
    town.bob.bundles.handle_event(StreamAsked(9, 77, 80, datagrams=False))
    assert town.bob.notes[-1] == ("reset", 9, REFUSED), "a bundle of nobody's"
    assert town.bob.connecting == []


def test_a_contact_to_whom_nothing_is_offered_gets_no_line() -> None:
    town = Town(of_bob=WEB.replace("alice", "carol"))
    town.open()
    town.run()
    assert town.bob.legs == []
    assert town.alice.opened == [UNREACHABLE]
    assert town.bob.bundles.next_timer() == NEVER, "nothing is kept of it"


def test_a_service_that_is_not_there() -> None:
    town = Town()
    town.open()
    town.run()
    town.bob.bundles.handle_event(StreamAsked(50, 1, 80, datagrams=False))
    town.bob.bundles.handle_event(StreamAsked(51, 1, 80, datagrams=False))
    town.bob.bundles.handle_event(StreamOver(51, GONE))
    for _, connected in town.bob.connecting:
        connected(None)
    assert [note for note in town.bob.notes if note[0] == "reset"] == [("reset", 50, UNREACHABLE)]


def test_people_get_the_circuits_and_the_bundle_goes_on_afterwards() -> None:
    town = Town()
    town.open()
    town.run()
    town.busy = True
    town.alice.bundles.give_way()
    assert town.alice.notes[-1] == ("said", End())
    assert town.alice.bundles.lines == 0
    town.alice.bundles.handle_event(BundleWants(1))
    town.run(60)
    assert len(town.alice.legs) == 1
    town.busy = False
    town.run(3)
    assert legs(town.alice, town.bob) == [[1], [1]]
    assert len(town.alice.legs) == 2
    assert not [note for note in town.alice.notes + town.bob.notes if note[0] == "close"]


def test_the_one_who_has_something_to_say_begins_the_next_line() -> None:
    town = Town()
    town.open()
    town.run()
    town.bob.bundles.give_way()
    town.run()
    town.bob.bundles.handle_event(BundleWants(1))
    town.run(5)
    assert [len(box.legs) for box in (town.alice, town.bob)] == [2, 2]
    assert legs(town.alice, town.bob) == [[1], [1]]


def test_a_box_that_was_started_anew_is_noticed() -> None:
    town = Town()
    stream = town.open()
    town.run()
    town.bob.begin()
    town.alice.bundles.give_way()
    town.run()
    again = town.alice.bundles.open("bob", 80, town.alice.opened.append)
    town.alice.bundles.handle_event(BundleWants(1))
    town.run(5)
    assert ("close", 1) in town.alice.notes
    fresh = next(int(str(note[1])) for note in town.alice.notes[town.alice.notes.index(("close", 1)) :] if note[0] == "open")
    assert legs(town.alice, town.bob) == [[fresh], [2]]
    asked = [note for note in town.alice.notes if note[0] == "stream"]
    assert [(bundle, port) for _, _, bundle, port in asked] == [(1, 80), (1, 80), (fresh, 80), (fresh, 80)], "what was not taken yet is asked for again"
    assert (stream.stream, again.stream) == (asked[2][1], asked[3][1])
    town.alice.bundles.handle_event(StreamTaken(again.stream))
    assert town.alice.opened == [None]
    town.alice.bundles.give_way()
    town.run()
    town.alice.bundles.handle_event(BundleWants(fresh))
    town.run(5)
    assert legs(town.alice, town.bob) == [[fresh], [2]], "and from then on both go on"


@pytest.mark.parametrize("lost", ["alice", "bob"])
def test_a_tie_that_only_one_heard_leaves_both_with_the_same(lost: str) -> None:
    town = Town()
    deaf = town.boxes[lost]
    town.open()
    for _ in range(3):
        for step in [town.soon.pop(0) for _ in town.soon]:
            step()
        for leg in deaf.legs:
            heard, leg.listener = leg.listener, None
            if heard is not None:
                leg.listener = lambda event, heard=heard: None if isinstance(event, Tie) else heard(event)
    town.run()
    town.alice.bundles.give_way()
    town.bob.bundles.give_way()
    town.run()
    assert deaf.legs[-1].carried == []
    town.alice.bundles.handle_event(BundleWants(1))
    town.run(5)
    carried = legs(town.alice, town.bob)
    town.alice.bundles.give_way()
    town.run()
    town.alice.bundles.handle_event(BundleWants(carried[0][0]))
    town.run(5)
    assert legs(town.alice, town.bob) == carried


def test_an_idle_line_is_given_up_by_who_began_it() -> None:
    town = Town()
    town.open()
    town.run()
    town.alice.idle_us = town.bob.idle_us = 13_000_000
    town.run(4)
    assert town.alice.bundles.lines == 1, "0.2 of the way from 7 to 38 s is 13.2"
    town.alice.idle_us = town.bob.idle_us = 14_000_000
    town.run(4)
    assert (town.alice.bundles.lines, town.bob.bundles.lines) == (0, 0)
    assert ("said", End()) not in town.bob.notes
    assert town.alice.bundles.next_timer() > town.now + 30, "nothing but a stream that was not taken"


def test_a_stream_that_nobody_takes_is_given_up() -> None:
    town = Town()
    town.busy = True
    stream = town.open()
    town.run(OPEN_S - 1)
    assert town.alice.opened == []
    town.run(2)
    assert town.alice.opened == [UNREACHABLE]
    assert ("reset", stream.stream, GONE) in town.alice.notes


def test_a_contact_who_breaks_the_protocol_is_parted_from() -> None:
    town = Town()
    town.open()
    town.run()
    town.alice.bundles.handle_event(BundleBroken(1))
    town.run()
    assert ("close", 1) in town.alice.notes
    assert (town.alice.bundles.lines, town.bob.bundles.lines) == (0, 0)


@pytest.mark.parametrize("event", [Tie(bytes(8), bytes(8)), Ringing(), Offer(())])
def test_what_does_not_belong_there_ends_the_line(event: CallEvent) -> None:
    town = Town()
    town.open()
    town.run()
    town.bob.legs[-1].send(event)
    town.run()
    assert ("said", End()) in town.alice.notes
    assert (town.alice.bundles.lines, town.bob.bundles.lines) == (0, 0)


def test_a_contact_has_another_petname_or_is_gone() -> None:
    town = Town()
    stream = town.open()
    town.run()
    town.alice.bundles.contact_changed("bob", "robert")
    town.alice.bundles.handle_event(StreamTaken(stream.stream))
    assert (town.alice.opened, town.alice.bundles.lines) == ([None], 1)
    town.alice.bundles.contact_changed("robert", None)
    assert ("close", 1) in town.alice.notes
    assert town.alice.bundles.lines == 0
    assert town.alice.bundles.next_timer() == NEVER


def test_both_begin_at_once() -> None:
    town = Town(of_alice=WEB.replace("alice", "bob"))
    town.open()
    town.bob.bundles.open("alice", 80, town.bob.opened.append)
    town.bob.bundles.handle_event(BundleWants(1))
    town.run(12)
    for box in (town.alice, town.bob):  # the engine tells again what is carried by nothing
        if not box.legs[-1].carried:
            box.bundles.handle_event(BundleWants(1))
    town.run(12)
    assert legs(town.alice, town.bob) == [[1], [1]]
