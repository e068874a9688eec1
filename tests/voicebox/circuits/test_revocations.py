"""Certificates that were revoked, as boxes tell each other in calls: once, until the other has it, and never back."""

from __future__ import annotations

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import NOW, make_network
from voicebox.b2bua.events import Codec, End, Offer
from voicebox.circuits.call_record import RecordType
from voicebox.circuits.revocations import Revocations
from voicebox.contacts.contact_file import parse_contact, serialise_contact
from voicebox.contacts.revoked import Revoked
from voicebox.errors import FileProblem, RemoteError
from voicebox.positions import ProblemsFound

SMALL = make_network()
OFFER = Offer((Codec.OPUS,))
FIRST, SECOND = Revoked(100, (7,)), Revoked(200, (7, 8))
BOB = bytes(32)


def call(world: FakeWorld, alice: Box, bob: Box) -> None:
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    leg.send(End())
    run(world, [alice, bob], 3)


def told(box: Box, petname: str) -> Revoked | None:
    contact = box.book.get(petname)
    assert contact is not None
    return contact.revoked


def test_a_contact_hears_in_the_next_call_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, alice, bob = two_boxes(SMALL)
    said, send = list[int](), alice.plane.channel_send

    def noted(link: int, circuit: int, message: bytes) -> None:
        said.append(message[0])
        send(link, circuit, message)

    monkeypatch.setattr(alice.plane, "channel_send", noted)
    call(world, alice, bob)
    assert (told(alice, "bob"), told(bob, "alice")) == (None, None)
    alice.revoked = FIRST
    call(world, alice, bob)
    assert (told(alice, "bob"), told(bob, "alice")) == (None, FIRST)
    assert bob.saved[-1].revoked == FIRST
    call(world, alice, bob)
    assert said.count(RecordType.REVOKED) == 1
    alice.revoked = SECOND
    call(world, alice, bob)
    assert told(bob, "alice") == SECOND
    assert (said.count(RecordType.REVOKED), said.count(RecordType.LIST)) == (2, 4)
    assert alice.calls.counters["call_broken"] == bob.calls.counters["call_broken"] == 0


def test_an_older_list_changes_nothing() -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.revoked = SECOND
    call(world, alice, bob)
    alice.revoked = FIRST  # as of a backup that was restored
    call(world, alice, bob)
    assert told(bob, "alice") == SECOND
    bob.book.keep_revoked(bytes(32), Revoked(300, (1,)))
    assert told(bob, "alice") == SECOND, "nobody speaks for another"


def test_it_is_said_until_the_other_box_has_it() -> None:
    kept: list[tuple[bytes, Revoked]] = []
    own: list[Revoked | None] = [None]
    box = Revocations(lambda: own[0], lambda contact_id, each: kept.append((contact_id, each)))
    assert box.to_say(BOB) is None
    own[0] = FIRST
    assert box.to_say(BOB) == box.to_say(BOB) == FIRST.serialise()
    answer = Revocations(lambda: None, lambda *_: None).heard(BOB, FIRST.serialise())
    box.known(BOB, answer)
    assert box.to_say(BOB) is None
    assert box.to_say(bytes([1]) * 32) == FIRST.serialise(), "another contact"
    own[0] = SECOND
    assert box.to_say(BOB) == SECOND.serialise()
    box.heard(BOB, SECOND.serialise())
    assert kept == [(BOB, SECOND)]
    with pytest.raises(RemoteError):
        box.known(BOB, bytes(7))


def test_a_register_that_cannot_be_read_ends_no_call() -> None:
    def damaged() -> Revoked | None:
        raise FileProblem("issued", 1, "is damaged")

    assert Revocations(damaged, lambda *_: None).to_say(BOB) is None


@pytest.mark.parametrize(
    "messages",
    [[(RecordType.REVOKED, FIRST.serialise())] * 2, [(RecordType.REVOKED, b"")], [(RecordType.KNOWN, b"")]],
    ids=["twice", "no list", "no sequence"],
)
def test_what_is_none_ends_the_call(messages: list[tuple[RecordType, bytes]]) -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    circuit = next(circuit for circuit in alice.standing.present() if circuit.busy)
    for kind, payload in messages:
        alice.plane.channel_send(circuit.link, circuit.circuit, bytes([kind]) + payload)
    run(world, [alice, bob], 1)
    assert bob.calls.counters["call_broken"] == 1
    assert bob.events[-1] == End()


def test_it_is_kept_in_the_contacts_file() -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.revoked = SECOND
    call(world, alice, bob)
    contact = bob.saved[-1]
    text = serialise_contact(contact)
    assert "revoked: 200 7 8\n" in text
    assert parse_contact("alice", text, "alice.yaml", NOW).revoked == SECOND
    with pytest.raises(ProblemsFound):
        parse_contact("alice", text.replace("revoked: 200 7 8", "revoked: x"), "alice.yaml", NOW)
