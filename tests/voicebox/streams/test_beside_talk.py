"""Bundles beside people who talk, in virtual time: a call of people is tied as one for streams, and is in nobody's hands but theirs. The engine is noted, not run."""

from __future__ import annotations

import pytest

from tests.voicebox.streams.test_bundles import Box, Leg, Town
from voicebox.b2bua.events import End, Tie
from voicebox.dataplane import BundleBroken, BundleWants
from voicebox.streams.bundles import NEVER


class Talk:
    """A call of people between the two boxes: open at either when open() says so."""

    def __init__(self, town: Town, binding: bytes = b"C") -> None:
        self.town, self.binding = town, binding
        self.legs = {"alice": Leg(town.alice), "bob": Leg(town.bob)}
        self.legs["alice"].mate, self.legs["bob"].mate = self.legs["bob"], self.legs["alice"]

    def open(self, *names: str) -> Talk:
        for name in names or ("alice", "bob"):
            box = self.town.boxes[name]
            self.legs[name].listener = box.bundles.talk("bob" if name == "alice" else "alice", self.legs[name], self.binding)
        return self

    def begin(self) -> Talk:
        """Begin as a call does: what both have for streams goes."""
        self.town.busy = True
        for box in self.town.boxes.values():
            box.bundles.give_way()
        return self.open()

    def over(self, *names: str) -> None:
        for name in names or ("alice", "bob"):
            listener = self.legs[name].listener
            assert listener is not None
            listener(End())

    @property
    def carried(self) -> list[list[int]]:
        return [leg.carried for leg in self.legs.values()]

    def said(self, box: Box) -> list[object]:
        return [event for kind, event, *_ in box.notes if kind == "said" and isinstance(event, Tie | End)]


def test_a_call_of_people_carries_what_the_call_for_streams_did_and_is_not_ended_for_it() -> None:
    town = Town()
    town.open()
    town.run()
    talk = Talk(town).begin()
    town.run()
    assert talk.carried == [[1], [1]]
    assert [(box.bundles.lines, box.bundles.beside) for box in town.boxes.values()] == [(0, 1), (0, 1)]
    told = [len(talk.said(box)) for box in town.boxes.values()]
    for box in town.boxes.values():
        box.idle_us = 10**12
        box.bundles.give_way()
    town.run(400)
    assert [len(talk.said(box)) for box in town.boxes.values()] == told
    talk.over()
    town.busy = False
    town.alice.bundles.handle_event(BundleWants(1))
    town.run(5)
    assert [box.legs[-1].carried for box in town.boxes.values()] == [[1], [1]]
    assert not [note for box in town.boxes.values() for note in box.notes if note[0] == "close"]


def test_who_offers_something_ties_at_once_and_a_stream_that_begins_later_needs_no_word() -> None:
    town = Town()
    talk = Talk(town).begin()
    town.run()
    assert talk.carried == [[1], [1]]
    told = [len(talk.said(box)) for box in town.boxes.values()]
    town.alice.bundles.open("bob", 80, town.alice.opened.append)
    town.run(5)
    assert [len(talk.said(box)) for box in town.boxes.values()] == told == [1, 1]


def test_where_nothing_is_offered_or_wanted_nothing_is_said() -> None:
    town = Town(of_bob="")
    talk = Talk(town).begin()
    town.run(5)
    assert [box.notes for box in town.boxes.values()] == [[], []]
    town.alice.bundles.open("bob", 80, town.alice.opened.append)
    town.alice.bundles.handle_event(BundleWants(1))
    town.run()
    assert talk.carried == [[1], [1]]
    assert talk.said(town.alice) == [Tie((105).to_bytes(8), bytes(8))]


def test_a_box_that_was_started_anew_is_noticed_in_a_call_of_people() -> None:
    town = Town()
    town.open()
    town.run()
    town.bob.begin()
    talk = Talk(town).begin()
    town.run()
    ((fresh,), (other,)) = talk.carried
    assert (fresh != 1, other) == (True, 2)
    assert ("close", 1) in town.alice.notes
    assert [note[2:] for note in town.alice.notes if note[0] == "stream"] == [(1, 80), (fresh, 80)], "what was not taken yet is asked for again"


@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize("names", [("alice", "bob"), ("bob", "alice")])
def test_of_two_calls_one_carries_and_the_other_goes_on(names: tuple[str, str], *, crossing: bool) -> None:
    town = Town()
    town.open()
    town.run()
    for box in town.boxes.values():
        box.bundles.give_way()
    town.busy = True
    one, other = Talk(town, b"B"), Talk(town, b"A")
    first, last = names
    if crossing:
        for talk, name in ((one, first), (other, last), (one, last), (other, first)):
            talk.open(name)
    else:
        one.open()
        town.run()
        other.open()
    town.run()
    carries, idles = (other, one) if crossing else (one, other)
    assert (carries.carried, idles.carried) == ([[1], [1]], [[], []])
    carries.over(first)
    town.run()
    carries.over(last)
    town.run()
    carried = [bundles[-1] for bundles in idles.carried]
    assert [len(bundles) for bundles in idles.carried] == [1, 1]
    begun_anew = [("close", 1) in box.notes for box in town.boxes.values()]
    assert begun_anew in ([False, False], [True, True]), "both or none"
    if not crossing:
        assert (carried, begun_anew) == ([1, 1], [False, False])


def test_who_breaks_the_protocol_loses_the_bundle_and_no_call() -> None:
    town = Town()
    town.open()
    town.run()
    talk = Talk(town).begin()
    town.run()
    town.alice.bundles.handle_event(BundleBroken(1))
    town.run()
    assert ("close", 1) in town.alice.notes
    assert [event for event in talk.said(town.alice) if event == End()] == [End()], "to the call for streams, before"
    again = town.alice.bundles.open("bob", 80, town.alice.opened.append)
    town.alice.bundles.handle_event(BundleWants(again.peer.bundle))
    town.run(5)
    assert talk.carried == [[1], [1]], "the call was tied once"
    talk.over()
    town.busy = False
    town.run(10)
    assert town.alice.legs[-1].carried == [again.peer.bundle]
    assert ("close", 1) in town.bob.notes


@pytest.mark.parametrize("to", ["robert", None])
def test_a_contact_has_another_petname_or_is_gone_while_people_talk(to: str | None) -> None:
    town = Town()
    talk = Talk(town).begin()
    town.run()
    town.alice.bundles.contact_changed("bob", to)
    assert town.alice.bundles.beside == (to is not None)
    talk.over()
    town.run()
    assert town.alice.bundles.beside == 0
    assert town.alice.bundles.next_timer() == NEVER


def test_what_comes_after_the_end_means_nothing() -> None:
    town = Town()
    talk = Talk(town).begin()
    town.run()
    for leg in talk.legs.values():
        for event in (Tie(bytes(8), bytes(8)), End(), End(), Tie(bytes(8), bytes(8))):
            assert leg.listener is not None
            leg.listener(event)
    town.run(5)
    assert [box.bundles.beside for box in town.boxes.values()] == [0, 0]
    assert talk.carried == [[1], [1]]
