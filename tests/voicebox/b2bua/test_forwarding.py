"""A phone that sends its calls on (302): to phones of the house, each asked once, and to nobody else."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import Box, Phone, final
from voicebox.b2bua.events import Answer, Codec, Refusal, Refuse, Ringing
from voicebox.dialplan.model import RingPhones, Strategy
from voicebox.sip.headers import Headers
from voicebox.sip.message import serialise_response


def sends_on(phone: Phone, contact: str, status: int = 302) -> None:
    """Let a phone send the call that rings there elsewhere."""
    request = phone.last_request("INVITE")
    echo = [(name, value) for name, value in request.headers if name in {"via", "from", "to", "call-id", "cseq"}]
    phone.send(serialise_response(status, Headers(echo), f"moved{len(phone.inbox)}", [("contact", contact)] if contact else [], b""))


@pytest.mark.parametrize("status", [301, 302])
def test_another_phone_rings_in_its_place_and_is_answered(status: int) -> None:
    house = House()
    house.rings(house.alice, house.carol)
    sends_on(house.carol, '"Dave" <sip:dave@voicebox>;q=1', status)
    invite = house.dave.last_request("INVITE")
    assert invite.from_.uri == "sip:alice@voicebox", "who calls, not who sent it on"
    house.dave.answer(invite, 200, house.dave.sdp(), tag="dave")
    assert final(house.alice.inbox).status == 200


def test_phones_that_send_calls_to_each_other_end_it() -> None:
    house = House()
    house.rings(house.alice, house.carol)
    sends_on(house.carol, "<sip:dave@voicebox>")
    sends_on(house.dave, "<sip:erin@voicebox>")
    sends_on(house.erin, "<sip:carol@voicebox>")
    assert final(house.alice.inbox).status == 480
    assert [len(phone.requests("INVITE")) for phone in (house.carol, house.dave, house.erin)] == [1, 1, 1]
    assert house.box.media.open_ports() == 0


@pytest.mark.parametrize(
    "contact", ["<sip:bob.privacy>", "<sip:112@voicebox>", "<sip:*43@voicebox>", "<sip:mallory@192.0.2.99>", "<tel:112>", "<sip:carol@voicebox>", "rubbish", ""]
)
def test_nothing_but_phones_of_the_house_is_rung_in_its_place(contact: str) -> None:
    house = House()
    house.rings(house.alice, house.carol)
    house.box.octets.clear()
    sends_on(house.carol, contact)
    assert final(house.alice.inbox).status == 480
    assert not any(octets.startswith(b"INVITE") for octets in house.box.octets), "and circuits break this test where they are touched"


def test_a_group_goes_on_with_the_phone_named_in_its_member() -> None:
    house = House()
    house.group(RingPhones((("carol",), ("dave",)), Strategy.IN_ORDER, 10))
    house.rings(house.alice, house.carol, name="30")
    sends_on(house.carol, "<sip:erin@voicebox>")
    assert len(house.erin.requests("INVITE")) == 1
    assert house.dave.requests("INVITE") == [], "its turn comes later"
    house.box.advance(10.1)
    assert len(house.dave.requests("INVITE")) == 1


def test_a_contact_who_calls_sees_nothing_of_it() -> None:
    told = []
    for forwards in (True, False):
        box = Box()
        phones = [Phone(box, user, number) for number, user in enumerate(("alice", "carol"), 1)]
        for phone in phones:
            assert phone.register("Expires: 3600").status == 200
        box.incoming = RingPhones((("alice",),), timeout_s=20)
        box.far_calls()
        if forwards:
            sends_on(phones[0], "<sip:carol@voicebox>")
            assert len(phones[1].requests("INVITE")) == 1
        else:
            phones[0].answer(phones[0].last_request("INVITE"), 180)
        box.advance(25)
        told.append(box.far_heard)
    assert told == [[Ringing(), Refuse(Refusal.NO_ANSWER)]] * 2


def test_the_phone_named_answers_a_contact() -> None:
    box = Box()
    alice, carol = Phone(box, "alice", 1), Phone(box, "carol", 2)
    for phone in (alice, carol):
        assert phone.register("Expires: 3600").status == 200
    box.incoming = RingPhones((("alice",),))
    box.far_calls()
    sends_on(alice, "<sip:carol@voicebox>")
    carol.answer(carol.last_request("INVITE"), 200, carol.sdp())
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA)]
