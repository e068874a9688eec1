"""Which calls of contacts count as missed: those that ended and nobody had answered."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import Box, Phone
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.events import End
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import NoAnswer


def box_that_notes(settings: SwitchboardSettings | None = None) -> tuple[Box, Phone, list[str]]:
    box, missed = Box(settings), list[str]()
    box.board._missed = missed.append
    phone = Phone(box, "alice")
    assert phone.register("Expires: 3600").status == 200
    return box, phone, missed


def test_nobody_picks_up() -> None:
    box, phone, missed = box_that_notes()
    box.far_calls()
    phone.answer(phone.last_request("INVITE"), 180)
    assert missed == []
    box.advance(120)
    assert missed == ["bob"]


def test_the_caller_gives_up() -> None:
    box, phone, missed = box_that_notes()
    leg = box.far_calls()
    phone.answer(phone.last_request("INVITE"), 180)
    leg.send(End())
    box.settle()
    assert len(missed) == 1


@pytest.mark.parametrize("status", [486, 603])
def test_a_phone_that_is_busy_or_declines(status: int) -> None:
    box, phone, missed = box_that_notes()
    box.far_calls()
    invite = phone.last_request("INVITE")
    phone.answer(invite, 180)
    phone.answer(invite, status)
    box.advance(120)
    assert len(missed) == 1


def test_a_house_that_is_not_to_be_disturbed_and_one_without_room() -> None:
    box, _, missed = box_that_notes()
    box.incoming = NoAnswer(5)
    box.far_calls()
    box.advance(10)
    assert len(missed) == 1
    full, _, missed = box_that_notes(SwitchboardSettings(calls=CallSettings(max_calls=0)))
    full.far_calls()
    assert len(missed) == 1


def test_an_answered_call_is_not_missed() -> None:
    box, phone, missed = box_that_notes()
    leg = box.far_calls()
    phone.answer(phone.last_request("INVITE"), 200, phone.sdp())
    leg.send(End())
    box.settle()
    box.advance(120)
    assert missed == []
    assert box.board._callers == {}


@pytest.mark.parametrize(("to", "expected"), [("robert", ["robert"]), (None, [])])
def test_who_was_renamed_or_removed_meanwhile_is_missed_by_the_new_name_or_not_at_all(to: str | None, expected: list[str]) -> None:
    box, phone, missed = box_that_notes()
    leg = box.far_calls()
    phone.answer(phone.last_request("INVITE"), 180)
    box.board.contact_changed("bob", to)
    leg.send(End())
    box.settle()
    assert missed == expected
    assert box.board._callers == {}


def test_calls_that_phones_begin_are_nobodys() -> None:
    house, missed = House(), list[str]()
    house.box.board._missed = missed.append
    _, invite = house.rings(house.alice, house.carol)
    house.carol.answer(invite, 603)
    assert missed == []
