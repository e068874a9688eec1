"""Transfers between phones of the house, and that none leads out of it."""

from __future__ import annotations

import re

import pytest

from tests.voicebox.b2bua.house import House, Talk
from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import Phone, final
from voicebox.b2bua.events import Answer, Codec
from voicebox.dialplan.model import RingPhones, Strategy


def told(phone: Phone) -> list[tuple[str, str]]:
    """What a phone was told of its transfer: status line and state of the subscription; each is answered."""
    found = []
    for notify in phone.requests("NOTIFY"):
        assert notify.headers.get("content-type") == "message/sipfrag;version=2.0"
        assert (notify.headers.get("event") or "").startswith("refer")
        found.append((notify.body.decode().strip().removeprefix("SIP/2.0 "), (notify.headers.get("subscription-state") or "").partition(";")[0]))
        phone.answer(notify, 200)
    return found


def joined(house: House) -> list[tuple[int, int]]:
    """The open ports and whom each is joined with, by their places."""
    ports = house.box.media.ports
    found = []
    for place, port in enumerate(ports):
        if not port.closed:
            assert port.joined is not None
            other = port.joined[0]
            assert isinstance(other, PlainPort)
            found.append((place, ports.index(other)))
    return found


def replacing(talk: Talk, phone: Phone) -> str:
    """Return a Refer-To that names a call as one of its phones knows it."""
    if phone is talk.caller:
        call_id, ours, boxes = talk.call_id, f"planted{phone.user}", talk.answer.to.tag
    else:
        call_id, ours, boxes = talk.invite.call_id, talk.tag, talk.invite.from_.tag
    return f"Refer-To: <sip:somebody@192.0.2.1?Replaces={call_id}%3Bto-tag%3D{boxes}%3Bfrom-tag%3D{ours}>"


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_a_blind_transfer(by: str) -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    transferor, stays = (house.alice, house.carol) if by == "caller" else (house.carol, house.alice)
    refer = talk.as_caller if by == "caller" else talk.as_callee
    accepted = refer("REFER", "Refer-To: <sip:dave@voicebox>")
    assert accepted.status == 202
    invite = house.dave.last_request("INVITE")
    assert invite.from_.uri == f"sip:{stays.user}@voicebox", "who is transferred is shown"
    assert [name for name, _ in invite.headers if name in {"refer-to", "referred-by", "replaces"}] == []
    house.dave.answer(invite, 180, tag="d")
    house.dave.answer(invite, 200, house.dave.sdp(), tag="d")
    assert told(transferor) == [("100 Trying", "active"), ("180 Ringing", "active"), ("200 OK", "terminated")]
    assert talk.byes(transferor) == 1
    assert talk.byes(stays) == 0
    kept = 1 if by == "caller" else 0
    assert joined(house) == sorted([(kept, 2), (2, kept)])
    assert house.box.board.calls == 1
    house.dave.from_callee("BYE", invite, tag="d")
    assert talk.byes(stays) == 1
    assert house.box.board.calls == house.box.media.open_ports() == 0
    house.box.advance(40)
    assert house.box.board.totals()["transactions"] == 0


def test_a_blind_transfer_whose_transferor_leaves_at_once() -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    assert talk.as_caller("REFER", "Refer-To: sip:dave@voicebox").status == 202
    assert talk.as_caller("BYE").status == 200
    invite = house.dave.last_request("INVITE")
    assert talk.byes(house.carol) == 0
    house.dave.answer(invite, 200, house.dave.sdp(), tag="d")
    assert joined(house) == [(1, 2), (2, 1)]
    talk.as_callee("BYE")
    assert house.dave.requests("BYE")
    assert house.box.board.calls == house.box.media.open_ports() == 0


@pytest.mark.parametrize(("status", "why"), [(486, "486 Busy Here"), (603, "603 Decline"), (404, "480 Temporarily Unavailable")])
def test_a_transfer_that_is_refused_leaves_the_call_as_it_was(status: int, why: str) -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    before = joined(house)
    assert talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>").status == 202
    house.dave.answer(house.dave.last_request("INVITE"), status)
    assert told(house.alice) == [("100 Trying", "active"), (why, "terminated")]
    assert joined(house) == before
    assert talk.as_caller("REFER", "Refer-To: <sip:erin@voicebox>").status == 202, "another try"
    assert (house.alice.last_request("NOTIFY").headers.get("event") or "").startswith("refer;id=")
    house.box.advance(60.1)
    assert told(house.alice)[-1] == ("480 Temporarily Unavailable", "terminated")
    assert house.box.board.calls == 1
    assert talk.as_callee("BYE").status == 200
    assert talk.byes(house.alice) == 1
    assert house.box.media.open_ports() == 0


def test_nobody_is_left_alone_when_a_transfer_fails_after_the_transferor_left() -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>")
    talk.as_caller("BYE")
    house.dave.answer(house.dave.last_request("INVITE"), 486)
    assert talk.byes(house.carol) == 1
    assert house.box.board.calls == house.box.media.open_ports() == 0


@pytest.mark.parametrize("transferor_is_there", [True, False])
def test_who_is_transferred_hangs_up(transferor_is_there: bool) -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>")
    invite = house.dave.last_request("INVITE")
    house.dave.answer(invite, 180)
    if not transferor_is_there:
        talk.as_caller("BYE")
    talk.as_callee("BYE")
    assert house.dave.requests("CANCEL")
    assert talk.byes(house.alice) == transferor_is_there
    house.dave.answer(invite, 200, house.dave.sdp())
    assert house.dave.requests("BYE"), "an answer that crossed"
    assert house.box.board.calls == house.box.media.open_ports() == 0


def test_a_transfer_to_a_group_and_on_from_there() -> None:
    house = House()
    house.group(RingPhones((("dave",), ("erin",)), Strategy.IN_ORDER, timeout_s=10))
    talk = house.talk(house.alice, house.carol)
    talk.as_callee("REFER", "Refer-To: <sip:30@192.0.2.1>")
    house.box.advance(10.1)
    invite = house.erin.last_request("INVITE")
    house.erin.answer(invite, 200, house.erin.sdp(), tag="e")
    assert house.erin.from_callee("REFER", invite, "Refer-To: <sip:carol@voicebox>", tag="e")
    back = house.carol.last_request("INVITE")
    house.carol.answer(back, 200, house.carol.sdp(), tag="again")
    assert house.box.board.calls == 1
    assert joined(house) == [(0, 4), (4, 0)]
    house.carol.from_callee("BYE", back, tag="again")
    assert talk.byes(house.alice) == 1
    assert house.box.media.open_ports() == 0


@pytest.mark.parametrize("first_is_theirs", [True, False])
@pytest.mark.parametrize("second_is_theirs", [True, False])
def test_an_attended_transfer(first_is_theirs: bool, second_is_theirs: bool) -> None:
    """Alice talks to Carol and to Dave and connects them, whoever called whom."""
    house = House()
    first = house.talk(house.carol, house.alice) if first_is_theirs else house.talk(house.alice, house.carol)
    second = house.talk(house.dave, house.alice) if second_is_theirs else house.talk(house.alice, house.dave)
    refer = first.as_callee if first_is_theirs else first.as_caller
    assert refer("REFER", replacing(second, house.alice)).status == 202
    assert told(house.alice) == [("200 OK", "terminated")]
    assert (first.byes(house.alice), second.byes(house.alice)) == (1, 1)
    assert (first.byes(house.carol), second.byes(house.dave)) == (0, 0)
    carol, dave = (0 if first_is_theirs else 1), (2 if second_is_theirs else 3)
    assert joined(house) == [(carol, dave), (dave, carol)]
    assert house.box.board.calls == 1
    (second.as_caller if second_is_theirs else second.as_callee)("BYE")
    assert first.byes(house.carol) == 1
    assert house.box.board.calls == house.box.media.open_ports() == 0


def test_the_others_of_an_attended_transfer_need_one_codec() -> None:
    house = House()
    first, second = house.talk(house.alice, house.carol), house.talk(house.alice, house.dave, "OPUS")
    assert first.as_caller("REFER", replacing(second, house.alice)).status == 488
    assert house.box.board.calls == 2


def test_another_phones_call_is_not_taken() -> None:
    house = House()
    first, second = house.talk(house.alice, house.carol), house.talk(house.dave, house.erin)
    assert first.as_caller("REFER", replacing(second, house.dave)).status == 403
    assert first.as_caller("REFER", replacing(first, house.alice)).status == 481
    assert first.as_caller("REFER", "Refer-To: <sip:x@voicebox?Replaces=nothing%3Bto-tag%3D1%3Bfrom-tag%3D2>").status == 481
    assert house.box.board.calls == 2


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ("Refer-To: <sip:bob.privacy>", 403),
        ("Refer-To: <sip:712@voicebox>", 403),
        ("Refer-To: <sip:*43@voicebox>", 403),
        ("Refer-To: <sip:112@voicebox>", 503),
        ("Refer-To: <sip:nobody@voicebox>", 404),
        ("Refer-To: <sip:dave@example.org>", 404),
        ("Refer-To: <tel:+123>", 416),
        ("Refer-To: <sip:dave@voicebox>\r\nRefer-To: <sip:erin@voicebox>", 400),
        ("Subject: none", 400),
    ],
)
def test_what_is_no_phone_of_the_house_gets_nobody(extra: str, status: int) -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    house.box.octets.clear()
    assert talk.as_caller("REFER", extra).status == status
    assert len(house.box.octets) == 1, "nothing but the refusal was sent"
    assert house.box.board.calls == 1


def test_one_transfer_at_a_time() -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    assert talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>").status == 202
    assert talk.as_caller("REFER", "Refer-To: <sip:erin@voicebox>").status == 491
    assert talk.as_callee("REFER", "Refer-To: <sip:erin@voicebox>").status == 491


@pytest.mark.parametrize("target", ["sip:carol@voicebox", "sip:bob.privacy"])
def test_a_call_with_a_contact_is_not_transferred(target: str) -> None:
    """And the contact's box hears nothing of it."""
    house = House(network=True)
    house.alice.invite()
    house.box.far_says(Answer(Codec.PCMA))
    answer = final(house.alice.inbox)
    house.alice.ack(answer)
    sent = list(house.box.network.legs[-1].sent)
    house.box.octets.clear()
    assert final(house.alice.inside("REFER", answer, f"Refer-To: <{target}>")).status == 403
    assert house.box.network.legs[-1].sent == sent
    assert len(house.box.octets) == 1
    assert len(house.box.network.legs) == 1
    assert house.box.board.calls == 1


def test_a_call_with_a_contact_is_not_connected_with_another() -> None:
    house = House(network=True)
    house.alice.call_id = "planted-out"
    house.alice.invite()
    house.box.far_says(Answer(Codec.PCMA))
    answer = final(house.alice.inbox)
    house.alice.ack(answer)
    out = house.alice.call_id
    talk = house.talk(house.alice, house.carol)
    replaces = f"{out}%3Bto-tag%3D{answer.to.tag}%3Bfrom-tag%3Dplantedalice"
    assert talk.as_caller("REFER", f"Refer-To: <sip:bob.privacy?Replaces={replaces}>").status == 403
    house.alice.call_id = out
    assert final(house.alice.inside("REFER", answer, replacing(talk, house.alice))).status == 403
    assert house.box.board.calls == 2


def test_a_refer_outside_a_call_is_not_served() -> None:
    house = House()
    assert final(house.alice.send(house.alice.text("REFER", "sip:carol@voicebox", "Refer-To: <sip:dave@voicebox>"))).status == 405


def test_a_transferred_phone_is_shown_by_its_account_only() -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    house.box.octets.clear()
    talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>\r\nReferred-By: <sip:planted@192.0.2.20>")
    to_dave = b"\n".join(octets for octets in house.box.octets if re.match(rb"INVITE sip:dave", octets)).lower()
    assert to_dave
    for planted in (b"planted", b"192.0.2.20", b"192.0.2.21", b"alice"):
        assert planted not in to_dave, planted
