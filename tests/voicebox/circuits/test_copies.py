"""A box that runs twice is noticed by its contacts, and told; one that restarts is not."""

from __future__ import annotations

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from tests.voicebox.circuits.test_calls import OFFER, finish_first_call
from voicebox.b2bua.events import End
from voicebox.circuits.between import Between, Words
from voicebox.circuits.call_record import RecordType
from voicebox.circuits.copies import COPY_OCTETS, DAY_US, REMEMBERED, Copies
from voicebox.circuits.pair import CallKeys, FullBinding
from voicebox.contacts.contact import MAX_CONTACTS
from voicebox.errors import RemoteError
from voicebox.sensitive import Secret

SMALL = make_network()
BOB = b"b" * 32


def number(which: int) -> bytes:
    return bytes([which]) * COPY_OCTETS


def hear(copies: Copies, *which: int, now_us: int = 0) -> list[bool]:
    return [copies.heard(BOB, number(each), now_us) for each in which]


def test_restarts_are_no_copies() -> None:
    assert not any(hear(Copies(), 1, 1, 2, 2, 3, 4, 5, 5))


def test_a_number_that_comes_back_is_a_copy_and_both_are_told_for_a_day() -> None:
    copies = Copies()
    assert hear(copies, 1, 2, 1, 2, 2, 3) == [False, False, True, True, True, True]
    assert hear(copies, 3, now_us=DAY_US - 1) == [True]
    assert hear(copies, 3, now_us=DAY_US) == [False]


def test_one_contact_says_nothing_of_another() -> None:
    copies = Copies()
    hear(copies, 1, 2, 1)
    assert not copies.heard(b"c" * 32, number(2), 0)


def test_what_is_remembered_is_bounded() -> None:
    copies = Copies()
    hear(copies, *range(1, REMEMBERED + 3))
    assert hear(copies, 1) == [False]
    for contact in range(1_000):
        copies.heard(contact.to_bytes(32, "big"), number(1), 0)
    assert len(copies._heard) == MAX_CONTACTS


def test_who_was_told_says_so_for_a_day() -> None:
    copies = Copies()
    assert not copies.doubled(0)
    copies.told(5)
    assert copies.doubled(5 + DAY_US - 1)
    assert not copies.doubled(5 + DAY_US)


@pytest.mark.parametrize("message", [bytes([RecordType.COPY]), bytes([RecordType.COPY]) + bytes(7), bytes([RecordType.DOUBLED, 0])])
def test_what_is_no_message_ends_the_call(message: bytes) -> None:
    said: list[bytes] = []
    binding = FullBinding(CallKeys(Secret(bytes(16)), Secret(bytes(16)), Secret(bytes(16))), b"n" * 32, b"a" * 32, BOB)
    between = Between(binding, said.append, Words(Copies(number(7))), is_caller=True)
    assert said == [bytes([RecordType.COPY]) + number(7)]
    with pytest.raises(RemoteError):
        between.message(message, 0)


def called(world: FakeWorld, caller: Box, petname: str, boxes: list[Box]) -> None:
    leg = caller.calls.call(petname, OFFER, caller.listener)
    run(world, boxes, 2)
    leg.send(End())
    run(world, boxes, 3)


def test_two_copies_of_a_box_are_both_told_and_a_restart_is_not() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    twin = Box(world, "alice", 2, 9)
    twin.identity, twin.contacts = alice.identity, alice.book.contacts()
    twin.start()
    boxes = [alice, bob, twin]
    run(world, boxes, 8)
    called(world, twin, "bob", boxes)
    called(world, twin, "bob", boxes)
    assert not any(box.calls.has_copy(world.now_us) for box in boxes), "as if the first one had ended when the second one began"
    called(world, alice, "bob", boxes)
    assert [box.calls.has_copy(world.now_us) for box in boxes] == [True, False, False]
    called(world, twin, "bob", boxes)
    assert [box.calls.has_copy(world.now_us) for box in boxes] == [True, False, True]
