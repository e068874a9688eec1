"""Requests without end from strangers: each is answered once, nothing is kept, and a phone is served as before. In virtual time."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.scripted import BOX, Box, Phone, final, statuses
from voicebox.b2bua.events import Answer, Codec
from voicebox.sip.flow import Flow, Transport

FLOOD = 1_000
WRONG = 'Authorization: Digest username="alice", realm="voicebox", nonce="0", uri="sip:x", response="00000000000000000000000000000000"\r\n'
KINDS = {
    "OPTIONS": ("OPTIONS", "", 200),
    "REGISTER": ("REGISTER", "Expires: 60\r\n", 401),
    "REGISTER with a guess": ("REGISTER", WRONG, 401),
    "INVITE": ("INVITE", "", 401),
    "INVITE that wants too much": ("INVITE", "Require: everything\r\n", 420),
    "MESSAGE": ("MESSAGE", "", 401),
    "SUBSCRIBE": ("SUBSCRIBE", "Event: dialog\r\n", 489),
    "BYE": ("BYE", "", 481),
    "CANCEL": ("CANCEL", "", 481),
    "REFER": ("REFER", "", 405),
    "FROBNICATE": ("FROBNICATE", "", 501),
}


def stranger(number: int) -> Flow:
    """Return where a datagram of a stranger comes from: under addresses without end, which nobody has to own."""
    return Flow(Transport.UDP, 0, BOX, 5060, f"198.51.{number // 250 % 100}.{number % 250 + 1}", 5060)


def request(method: str, extra: str, number: int) -> bytes:
    return (
        f"{method} sip:alice@voicebox SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKflood{method}{number};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:x@voicebox>;tag={number}\r\nTo: <sip:alice@voicebox>\r\nCall-ID: flood-{method}-{number}\r\nCSeq: 1 {method}\r\n"
        f"Contact: <sip:x@198.51.100.1>\r\n{extra}Content-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_leaves_nothing_behind_and_keeps_nobody_out(kind: str) -> None:
    method, extra, status = KINDS[kind]
    box = Box()
    phone = Phone(box, "alice")
    phone.register()
    before = len(box.octets)
    largest = 0
    for number in range(FLOOD):
        octets = request(method, extra, number)
        box.receive(octets, stranger(number))
        largest = max(largest, len(box.octets[-1]) - len(octets))
        box.outbox.clear()
    assert len(box.octets) - before == FLOOD, "each is answered once"
    assert {int(octets.split(b" ")[1]) for octets in box.octets[before:]} == {status}
    assert largest < 300, "an answer is hardly longer than what it answers"
    assert box.board.totals()["transactions"] <= 1
    phone.invite()
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    assert answer.status == 200
    phone.ack(answer)
    said = len(box.octets)
    box.advance(40)
    assert len(box.octets) == said, "nothing is repeated to strangers"
    assert "dropped_too_many_transactions" not in box.board.totals()


def test_a_repeated_request_of_a_stranger_gets_the_same_answer() -> None:
    box = Box()
    for kind, (method, extra, _) in KINDS.items():
        if method in {"REGISTER", "INVITE", "MESSAGE"}:
            continue  # each challenge has a nonce of its own
        for _ in range(3):
            box.receive(request(method, extra, 1), stranger(1))
        assert len(set(box.octets[-3:])) == 1, kind


def test_who_has_a_password_gets_answers_that_are_repeated() -> None:
    """Over UDP the phone's ACK of a refusal ends that."""
    box = Box()
    phone = Phone(box, "alice")
    refused = phone.invite("sip:nobody@voicebox")
    assert statuses(refused)[-1] == 404
    before = len(phone.inbox)
    box.advance(2)
    assert set(statuses(phone.inbox[before:])) == {404}
