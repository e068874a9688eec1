"""Calls between phones of one house: groups, the echo, hold, and that neither circuits nor the other phone's values are in them."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import SDP_SAVP, Phone, final, statuses
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.events import Codec
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import RingPhones, Strategy
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.sdp import parse_sdp

EVERYBODY = (("carol",), ("dave",), ("erin",))


def ports_of(house: House) -> tuple[PlainPort, PlainPort]:
    """The two open ports, the caller's first."""
    first, second = (port for port in house.box.media.ports if not port.closed)
    return first, second


def test_a_call_between_two_phones_of_the_house() -> None:
    house = House()
    ringing, invite = house.rings(house.alice, house.carol)
    assert ringing.status == 180
    assert (invite.from_.display, invite.from_.uri) == ('"alice"', "sip:alice@voicebox")
    first, second = ports_of(house)
    house.carol.answer(invite, 200, house.carol.sdp(), tag="t")
    answer = final(house.alice.inbox)
    house.alice.ack(answer)
    assert (answer.status, parse_sdp(answer.body).media[0].port, parse_sdp(answer.body).media[0].address) == (200, first.rtp_port, "192.0.2.1")
    assert (parse_sdp(invite.body).media[0].port, parse_sdp(invite.body).media[0].address) == (second.rtp_port, "192.0.2.1")
    assert first.remote == ("192.0.2.20", 4000, Codec.PCMA, 8, 101)
    assert second.remote == ("192.0.2.21", 4000, Codec.PCMA, 8, 101)
    assert (first.joined, second.joined) == ((second, Codec.PCMA), (first, Codec.PCMA))
    assert first.to_phone
    assert first.from_phone
    assert statuses(house.carol.from_callee("BYE", invite, tag="t")) == [200]
    assert house.alice.requests("BYE")
    assert house.box.media.open_ports() == house.box.board.calls == 0


def test_nothing_of_one_phone_reaches_the_other() -> None:
    house = House()
    house.box.octets.clear()
    talk = house.talk(house.alice, house.carol)
    talk.as_caller("UPDATE", body=house.alice.sdp())
    talk.as_caller("INFO")
    talk.as_caller("BYE")
    to_carol = b"\n".join(octets for octets in house.box.octets if b"carol-0xdeadbeef" in octets).lower()
    assert b"invite" in to_carol
    assert b"bye" in to_carol
    for planted in (b"planted", b"192.0.2.20", b"alice-0x", b"phone/9.9", b"user-agent"):
        assert planted not in to_carol, planted


@pytest.mark.parametrize(("status", "told"), [(486, 486), (603, 603), (480, 480), (404, 480), (600, 486), (488, 488)])
def test_a_refusal_is_told_inside_the_house(status: int, told: int) -> None:
    house = House()
    house.alice.invite("sip:carol@voicebox", house.alice.sdp())
    house.carol.answer(house.carol.last_request("INVITE"), status)
    assert final(house.alice.inbox).status == told
    assert house.box.media.open_ports() == house.box.board.calls == 0


def test_a_phone_that_is_off_is_unavailable_at_once() -> None:
    house = House()
    assert house.carol.register("Expires: 0").status == 200
    assert statuses(house.alice.invite("sip:carol@voicebox", house.alice.sdp())) == [100, 480]


def test_phones_without_a_common_codec() -> None:
    house = House()
    _, invite = house.rings(house.alice, house.carol)
    house.carol.answer(invite, 200, house.carol.sdp("OPUS"))
    assert final(house.alice.inbox).status == 488
    assert house.carol.requests("BYE")


def test_the_caller_gives_up_and_the_phone_stops_ringing() -> None:
    house = House()
    _, invite = house.rings(house.alice, house.carol)
    sent = [message for message in house.alice.inbox if isinstance(message, SipResponse) and message.status == 180][-1]
    house.alice.send(house.alice.text("CANCEL", "sip:carol@voicebox", to="<sip:carol@voicebox>", cseq=sent.cseq.number, branch=sent.via.branch, contact=False))
    assert final(house.alice.inbox).status == 487
    assert house.carol.last_request("CANCEL").headers.get("reason") is None
    house.carol.answer(invite, 487)
    house.box.advance(40)
    assert house.box.board.totals()["transactions"] == 0
    assert house.box.media.open_ports() == 0


def test_a_late_offer_and_hold_in_every_form() -> None:
    house = House()
    house.alice.invite("sip:carol@voicebox", body="")
    invite = house.carol.last_request("INVITE")
    house.carol.answer(invite, 200, house.carol.sdp(), tag="t")
    answer = final(house.alice.inbox)
    assert [encoding.name for encoding in parse_sdp(answer.body).media[0].encodings] == ["pcma", "telephone-event"]
    house.alice.ack(answer, house.alice.sdp())
    first, second = ports_of(house)
    assert first.joined == (second, Codec.PCMA)
    for direction, to_phone, from_phone in (("sendonly", False, True), ("inactive", False, False), ("recvonly", True, False), ("sendrecv", True, True)):
        held = final(house.alice.inside("INVITE", answer, body=house.alice.sdp(direction=direction)))
        house.alice.ack(held)
        assert held.status == 200
        assert (first.to_phone, first.from_phone) == (to_phone, from_phone), direction
    old = house.alice.sdp().replace("c=IN IP4 192.0.2.20", "c=IN IP4 0.0.0.0")
    held = final(house.alice.inside("INVITE", answer, body=old))
    house.alice.ack(held)
    assert (first.to_phone, first.from_phone) == (False, True), "how RFC 2543 said hold"
    late = final(house.alice.inside("INVITE", answer))
    assert parse_sdp(late.body).media[0].port == first.rtp_port, "a re-INVITE without an offer gets one"
    house.alice.ack(late, house.alice.sdp())
    assert (first.to_phone, first.from_phone) == (True, True)
    assert (second.to_phone, second.from_phone) == (True, True)
    assert first.joined == (second, Codec.PCMA)
    assert statuses(house.alice.inside("BYE", answer)) == [200]
    assert house.carol.requests("BYE")


def test_digits_pass_in_both_forms() -> None:
    house = House()
    talk = house.talk(house.alice, house.carol)
    first, second = ports_of(house)
    assert second.listener is not None
    second.listener(4, 160)
    house.box.settle()
    assert first.played == [(4, 160)]
    target = talk.answer
    lines = house.alice.text("INFO", "sip:box@192.0.2.1:5060", "Content-Type: application/dtmf-relay", to=target.headers.get("to") or "")
    body = b"Signal=#\r\nDuration=250\r\n"
    assert statuses(house.alice.send(lines.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)) + body)) == [200]
    assert second.played == [(11, 250)]


def test_a_phone_that_speaks_srtp_and_one_that_does_not() -> None:
    """Each leg has its own protection: neither phone sees the other's key, or that there is one."""
    house = House()
    house.alice.invite("sip:carol@voicebox", SDP_SAVP)
    invite = house.carol.last_request("INVITE")
    assert b"RTP/AVP" in invite.body
    assert b"crypto" not in invite.body
    house.carol.answer(invite, 200, house.carol.sdp(), tag="t")
    answer = final(house.alice.inbox)
    assert b"RTP/SAVP" in answer.body
    assert answer.body.count(b"a=crypto:3 ") == 1
    house.alice.ack(answer)
    first, second = ports_of(house)
    assert first.joined == (second, Codec.PCMA)
    assert first.protection is not None
    assert second.protection is None


def test_early_media_of_the_phone_that_rings() -> None:
    house = House()
    house.alice.invite("sip:carol@voicebox", house.alice.sdp())
    house.carol.answer(house.carol.last_request("INVITE"), 183, house.carol.sdp())
    first, second = ports_of(house)
    assert house.alice.inbox[-1].body
    assert first.joined == (second, Codec.PCMA)
    assert (first.to_phone, first.from_phone, second.from_phone, second.to_phone) == (True, False, True, False)


# --------------------------------------------------------------------------------------------------------------- groups


def rung(house: House) -> list[str]:
    """Who was asked, in order."""
    return [
        phone.user for flow, message in house.box.outbox if isinstance(message, SipRequest) and message.method == "INVITE" for phone in [house.box.phones[flow]]
    ]


def test_all_of_a_group_ring_and_the_first_to_answer_wins() -> None:
    house = House()
    house.group(RingPhones(EVERYBODY, timeout_s=20))
    house.rings(house.alice, house.carol, name="30")
    invites = {phone: phone.last_request("INVITE") for phone in (house.carol, house.dave, house.erin)}
    house.dave.answer(invites[house.dave], 180)
    house.erin.answer(invites[house.erin], 603)
    house.dave.answer(invites[house.dave], 200, house.dave.sdp())
    assert final(house.alice.inbox).status == 200, "who declines decides for nobody else"
    assert house.carol.last_request("CANCEL").headers.get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert house.dave.requests("CANCEL") == house.erin.requests("CANCEL") == []
    assert house.box.media.open_ports() == 2


def test_a_group_in_order() -> None:
    house = House()
    house.group(RingPhones(EVERYBODY, Strategy.IN_ORDER, timeout_s=20))
    _, invite = house.rings(house.alice, house.carol, name="30")
    assert rung(house) == ["carol"]
    house.box.advance(19.9)
    assert house.carol.requests("CANCEL") == []
    house.box.advance(0.2)
    assert house.carol.last_request("CANCEL").headers.get("reason") is None
    assert rung(house) == ["carol", "dave"]
    house.dave.answer(house.dave.last_request("INVITE"), 486)
    assert rung(house) == ["carol", "dave", "erin"], "a busy phone is passed at once"
    house.carol.answer(invite, 200, house.carol.sdp())
    assert house.carol.requests("BYE"), "too late"
    house.erin.answer(house.erin.last_request("INVITE"), 180)
    house.box.advance(20.1)
    assert final(house.alice.inbox).status == 486, "the refusal that says most"
    assert house.box.board.calls == house.box.media.open_ports() == 0


def test_a_group_at_random_rings_each_once() -> None:
    house, orders = House(), set()
    house.group(RingPhones(EVERYBODY, Strategy.RANDOM, timeout_s=5))
    for _ in range(30):
        before = len(rung(house))
        house.alice.call_id = f"call-{before}"
        house.alice.invite("sip:30@voicebox", house.alice.sdp())
        house.box.advance(15.1)
        orders.add(tuple(rung(house)[before:]))
        assert final(house.alice.inbox).status == 480
        house.box.advance(40)
    asked = {tuple(dict.fromkeys(order)) for order in orders}
    assert all(sorted(order) == ["carol", "dave", "erin"] for order in asked)
    assert len(asked) == 6, "every order comes up"


def test_what_rings_then() -> None:
    house = House()
    house.group(RingPhones((("carol",),), timeout_s=10, then=RingPhones((("dave",), ("erin",)), timeout_s=10)))
    house.rings(house.alice, house.carol, name="30")
    house.box.advance(10.1)
    assert rung(house) == ["carol", "dave", "erin"]
    house.erin.answer(house.erin.last_request("INVITE"), 200, house.erin.sdp())
    assert final(house.alice.inbox).status == 200


def test_a_call_rings_no_longer_than_any_call() -> None:
    house = House(SwitchboardSettings(calls=CallSettings(ring_limit_s=30)))
    house.group(RingPhones(EVERYBODY, Strategy.IN_ORDER, timeout_s=20))
    house.rings(house.alice, house.carol, name="30")
    house.box.advance(31)
    assert rung(house)[:1] == ["carol"]
    assert final(house.alice.inbox).status == 480
    assert house.erin.requests("INVITE") == []


def test_the_calling_phone_does_not_ring_but_another_of_its_account_does() -> None:
    house = House()
    second = Phone(house.box, "alice", 9)
    second.register()
    house.group(RingPhones((("alice",), ("carol",))))
    house.rings(house.alice, house.carol, name="30")
    assert house.alice.requests("INVITE") == []
    assert second.requests("INVITE")


# ------------------------------------------------------------------------------------------------------- echo and bounds


@pytest.mark.parametrize("codec", ["PCMA", "OPUS"])
def test_the_echo(codec: str) -> None:
    house = House()
    answer = final(house.alice.invite("sip:*43@voicebox", house.alice.sdp(codec)))
    assert answer.status == 200
    house.alice.ack(answer)
    [port] = house.box.media.ports
    assert port.joined == (port, Codec[codec])
    assert port.listener is not None
    port.listener(5, 100)
    house.box.settle()
    assert port.played == [(5, 100)]
    assert statuses(house.alice.inside("BYE", answer)) == [200]
    assert port.closed
    assert house.box.board.calls == 0


def test_local_calls_count_as_calls() -> None:
    house = House(SwitchboardSettings(calls=CallSettings(max_calls=1)))
    house.rings(house.alice, house.carol)
    assert statuses(house.dave.invite("sip:erin@voicebox", house.dave.sdp())) == [100, 503]
