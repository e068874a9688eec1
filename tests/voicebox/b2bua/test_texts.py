"""Texts between phones of the house."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import Phone, final, statuses
from voicebox.b2bua.events import MAX_TEXT_OCTETS
from voicebox.b2bua.texts import MAX_UNDER_WAY
from voicebox.dialplan.model import RingPhones
from voicebox.sip.message import SipMessage, SipResponse

PLAIN = "Content-Type: text/plain"


def write(phone: Phone, uri: str, body: bytes, kind: str = PLAIN) -> list[SipMessage]:
    """Let a phone send a text, with its password, and return what came back."""
    challenge = phone.send(phone.text("MESSAGE", uri, kind, contact=False))[-1]
    assert isinstance(challenge, SipResponse)
    assert challenge.status == 401
    extra = "\r\n".join(filter(None, [phone.credentials(challenge, "MESSAGE", uri), kind]))
    octets = phone.text("MESSAGE", uri, extra, contact=False)
    return phone.send(octets.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)) + body)


def test_a_text_reaches_the_phone_made_anew() -> None:
    house = House()
    text = "hej på dig".encode()
    assert statuses(write(house.alice, "sip:carol@voicebox", text, "Content-Type: text/plain;charset=UTF-8\r\nSubject: planted")) == []
    got = house.carol.last_request("MESSAGE")
    assert got.body == text
    assert [name for name, _ in got.headers] == ["via", "max-forwards", "from", "to", "call-id", "cseq", "content-type", "content-length"]
    assert got.from_.uri == "sip:alice@voicebox"
    assert "planted" not in str(list(got.headers))
    house.carol.answer(got, 200)
    assert final(house.alice.inbox).status == 200, "told once a phone has it"
    house.box.advance(40)
    totals = house.box.board.totals()
    assert (totals["texts"], totals["transactions"]) == (0, 0)


def test_a_text_to_a_group_is_there_when_one_phone_has_it() -> None:
    house = House()
    house.group(RingPhones((("alice",), ("carol",), ("dave",), ("carol",))))
    write(house.alice, "sip:30@voicebox", b"dinner")
    assert len(house.carol.requests("MESSAGE")) == len(house.dave.requests("MESSAGE")) == 1
    assert house.alice.requests("MESSAGE") == []
    house.carol.answer(house.carol.last_request("MESSAGE"), 405)
    assert house.box.board.totals()["texts"] == 1
    house.dave.answer(house.dave.last_request("MESSAGE"), 202)
    assert final(house.alice.inbox).status == 200
    assert house.box.board.totals()["texts"] == 0


@pytest.mark.parametrize(("answers", "status"), [([405, 415], 415), ([405, 500], 480), ([488, 404], 415)])
def test_a_text_that_no_phone_takes(answers: list[int], status: int) -> None:
    house = House()
    house.group(RingPhones((("carol",), ("dave",))))
    write(house.alice, "sip:30@voicebox", b"dinner")
    for phone, answer in zip((house.carol, house.dave), answers, strict=True):
        phone.answer(phone.last_request("MESSAGE"), answer)
    assert final(house.alice.inbox).status == status


def test_a_text_to_a_phone_that_says_nothing() -> None:
    house = House()
    write(house.alice, "sip:carol@voicebox", b"dinner")
    house.box.advance(33)
    assert final(house.alice.inbox).status == 480
    assert house.box.board.totals()["texts"] == 0


@pytest.mark.parametrize(
    ("uri", "body", "kind", "status"),
    [
        ("sip:carol@voicebox", b"<composing/>", "Content-Type: application/im-iscomposing+xml", 415),
        ("sip:carol@voicebox", b"x", "Content-Type: text/plain;charset=latin1", 415),
        ("sip:carol@voicebox", b"\xff", PLAIN, 415),
        ("sip:carol@voicebox", b"x", "Subject: none", 415),
        ("sip:carol@voicebox", b"x" * (MAX_TEXT_OCTETS + 1), PLAIN, 413),
        ("sip:carol@voicebox", b"", PLAIN, 413),
        ("sip:*43@voicebox", b"x", PLAIN, 403),
        ("sip:112@voicebox", b"x", PLAIN, 503),
        ("sip:nobody@voicebox", b"x", PLAIN, 404),
    ],
)
def test_what_is_not_passed_on(uri: str, body: bytes, kind: str, status: int) -> None:
    house = House()
    house.box.octets.clear()
    assert statuses(write(house.alice, uri, body, kind)) == [status]
    assert all(octets.startswith(b"SIP/2.0") for octets in house.box.octets), "nothing was sent on"


def test_texts_are_bounded_and_a_phone_that_is_off_gets_none() -> None:
    house = House()
    for number in range(MAX_UNDER_WAY):
        house.alice.call_id = f"text-{number}"
        assert statuses(write(house.alice, "sip:carol@voicebox", b"x")) == []
    house.alice.call_id = "one-more"
    assert statuses(write(house.alice, "sip:carol@voicebox", b"x")) == [503]
    house.dave.register("Expires: 0")
    assert statuses(write(house.alice, "sip:dave@voicebox", b"x")) == [480]
