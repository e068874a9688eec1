"""Accounts that come and go while the box runs, and what those that there are not are challenged with."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import PASSWORD, REALM, Box, Phone, statuses
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import RingPhones, Strategy
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account, DigestAlgorithm, parse_digest
from voicebox.sip.message import SipResponse


def accounts(*users: str, password: bytes = PASSWORD) -> list[Account]:
    return [Account.from_password(user, Secret(password), REALM) for user in users]


def test_a_revoked_phone_is_registered_no_more_and_its_password_opens_nothing() -> None:
    house = House()
    house.box.board.use_accounts(accounts("alice", "carol", "erin"), house.box.now)
    assert {each.user for each in house.box.board.registrations(house.box.now)} == {"alice", "carol", "erin"}
    assert house.dave.register().status == 401
    house.alice.invite("sip:dave@voicebox", house.alice.sdp())
    assert house.dave.requests("INVITE") == []


def test_the_call_of_a_revoked_phone_ends_and_others_go_on() -> None:
    house = House()
    ended, goes_on = house.talk(house.alice, house.dave), house.talk(house.carol, house.erin)
    house.box.board.use_accounts(accounts("alice", "carol", "erin"), house.box.now)
    house.box.settle()
    assert (ended.byes(house.alice), ended.byes(house.dave)) == (1, 1)
    assert (goes_on.byes(house.carol), goes_on.byes(house.erin)) == (0, 0)
    assert house.box.board.calls == 1


def test_a_revoked_phone_that_rings_is_cancelled_and_does_not_ring_later() -> None:
    house = House()
    house.group(RingPhones((("dave",), ("erin",), ("dave", "carol")), Strategy.IN_ORDER, 5))
    _, invite = house.rings(house.alice, house.dave, name="30")
    house.box.board.use_accounts(accounts("alice", "carol", "erin"), house.box.now)
    house.box.settle()
    assert [cancel.call_id for cancel in house.dave.requests("CANCEL")] == [invite.call_id]
    house.dave.answer(house.dave.last_request("CANCEL"), 200)
    house.dave.answer(invite, 487)
    house.box.advance(6)
    assert [len({invite.call_id for invite in phone.requests("INVITE")}) for phone in (house.dave, house.erin, house.carol)] == [1, 1, 1]


def test_nobody_is_rung_for_a_call_whose_two_phones_are_revoked_together() -> None:
    house = House()
    house.group(RingPhones((("dave",), ("erin",)), Strategy.IN_ORDER, 5))
    house.rings(house.alice, house.dave, name="30")
    house.box.board.use_accounts(accounts("carol", "erin"), house.box.now)
    house.box.settle()
    house.box.advance(6)
    assert (house.erin.requests("INVITE"), house.box.board.calls) == ([], 0)


def test_a_revoked_phone_takes_over_no_call_that_is_transferred_to_it() -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    assert talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>").status == 202
    invite = house.dave.last_request("INVITE")
    house.dave.answer(invite, 180, tag="d")
    house.box.board.use_accounts(accounts("alice", "carol", "erin"), house.box.now)
    house.box.settle()
    assert [cancel.call_id for cancel in house.dave.requests("CANCEL")] == [invite.call_id]
    assert (talk.byes(house.alice), talk.byes(house.carol), house.box.board.calls) == (0, 0, 1)


def test_another_password_is_another_account() -> None:
    house = House()
    house.box.board.use_accounts([*accounts("alice", "carol", "erin"), *accounts("dave", password=b"another")], house.box.now)
    assert "dave" not in {each.user for each in house.box.board.registrations(house.box.now)}
    assert house.dave.register().status == 401
    house.dave.password = b"another"
    assert house.dave.register().status == 200


def test_a_phone_that_is_added_registers_and_is_rung() -> None:
    box = Box()
    new = Phone(box, "nora", 9)
    assert new.register().status == 401
    box.board.use_accounts(accounts("alice", "carol", "nora"), box.now)
    assert new.register().status == 200


@pytest.mark.parametrize("algorithms", [(DigestAlgorithm.MD5,), (DigestAlgorithm.SHA_256,), (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5)])
def test_who_is_no_user_is_challenged_like_one(algorithms: tuple[DigestAlgorithm, ...]) -> None:
    box = Box(SwitchboardSettings(algorithms=algorithms))
    box.board.use_accounts([Account.from_password("alice", Secret(PASSWORD), REALM, *algorithms)], box.now)
    asked = []
    for number, user in enumerate(("alice", "nobody"), 1):
        phone = Phone(box, user, number)
        answers = phone.send(phone.text("REGISTER", f"sip:{REALM}", to=f"<sip:{user}@{REALM}>"))
        assert statuses(answers) == [401]
        challenge = answers[0]
        assert isinstance(challenge, SipResponse)
        asked.append([parse_digest(value)["algorithm"] for value in challenge.headers.all("www-authenticate")])
    assert asked[0] == asked[1] == [algorithm.value for algorithm in algorithms]
