"""Phones of one house that do anything in any order: call, answer, hold, transfer, write, hang up, say something mutated, or nothing. [fuzz]

However it goes, the box has no fault, and when all is hung up nothing is left of it: no call, no port, no transaction, no dialog, no timer.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from tests.support.mutation import mutated
from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import Phone
from voicebox.b2bua.events import Answer, Codec, Digit, End, Refusal, Refuse, Ringing
from voicebox.dialplan.model import RingPhones, Strategy
from voicebox.sip.message import SipRequest, SipResponse

pytestmark = pytest.mark.fuzz

FACTOR = 100 if os.environ.get("VOICEBOX_LONG") == "1" else 1
SEED = 5
NAMES = ("alice", "carol", "dave", "erin", "30", "*43", "112", "nobody", "bob")
METHODS = ("ACK", "BYE", "INVITE", "UPDATE", "INFO", "REFER", "REFER", "OPTIONS", "CANCEL", "MESSAGE")
STATUSES = (180, 183, 200, 200, 200, 202, 302, 404, 481, 486, 487, 488, 603)


class Mayhem:
    """A house in which one phone talks to two others, and one thing after the other that a phone of it does."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.house = House(network=True)
        strategy = rng.choice(list(Strategy))
        self.house.group(RingPhones((("carol",), ("dave", "erin"), ("alice",)), strategy, timeout_s=5, then=RingPhones((("erin",),), timeout_s=5)))
        self.did: Counter[str] = Counter()
        self.seen: dict[str, int] = {}
        self.picked_up: dict[str, list[tuple[SipRequest, str]]] = {}
        for callee in (self.house.carol, self.house.dave):
            talk = self.house.talk(self.house.alice, callee)
            self.picked_up[callee.user] = [(talk.invite, talk.tag)]

    def step(self) -> None:
        phone = self.rng.choice(self.house.phones)
        acts = (self.call, self.answer, self.answer, self.answer, self.inside, self.inside, self.as_callee, self.as_callee, self.write, self.contact)
        self.rng.choice(acts)(phone)
        for other in self.house.phones:
            self.acknowledge(other)
        self.house.box.advance(self.rng.choice((0, 0, 0, 0, 0, 0.4, 0.4, 0.4, 2, 6)) if self.rng.random() < 0.97 else 40)

    def acknowledge(self, phone: Phone) -> None:
        """Mostly acknowledge what was answered, with what may be an answer."""
        begin, self.seen[phone.user] = self.seen.get(phone.user, 0), len(phone.inbox)
        for message in phone.inbox[begin:]:
            if isinstance(message, SipResponse) and (message.cseq.method, message.status) == ("INVITE", 200) and self.rng.random() < 0.9:
                phone.call_id = message.call_id
                phone.ack(message, self.rng.choice(("", phone.sdp())))

    def call(self, phone: Phone) -> None:
        phone.call_id = f"call-{self.rng.randrange(2**40)}"
        phone.invite(f"sip:{self.rng.choice(NAMES)}@voicebox", self.rng.choice((phone.sdp(), phone.sdp("OPUS"), "")))
        self.did["called"] += 1

    def answer(self, phone: Phone) -> None:
        """Answer one of the last requests, rightly or not, and perhaps once more."""
        requests = [message for message in phone.inbox[-4:] if isinstance(message, SipRequest) and message.method != "ACK"]
        if requests:
            request, status = self.rng.choice(requests), self.rng.choice(STATUSES) if self.rng.random() < 0.5 else 200
            body = (
                self.rng.choice((phone.sdp(), phone.sdp(), phone.sdp(), phone.sdp("OPUS"), "")) if status in {183, 200} and request.method == "INVITE" else ""
            )
            tag = f"tag-{request.call_id[:8]}-{self.rng.choice('aaab')}"
            phone.answer(request, status, body, tag=tag)
            if (request.method, status) == ("INVITE", 200) and body:
                self.picked_up.setdefault(phone.user, []).append((request, tag))
            self.did[f"answered {status // 100}xx"] += 1

    def inside(self, phone: Phone) -> None:
        """Say something in a dialog that an answer of the box made."""
        statuses = {200} if self.rng.random() < 0.8 else {180, 183, 401, 480, 486}
        answers = [message for message in phone.inbox if isinstance(message, SipResponse) and message.cseq.method == "INVITE" and message.status in statuses]
        if answers:
            answer = self.rng.choice(answers[-2:])
            phone.call_id = answer.call_id
            method = self.rng.choice(METHODS)
            octets = phone.text(method, "sip:box@192.0.2.1", self.refer_to(), self.body(phone, method), to=answer.headers.get("to") or "")
            if self.rng.random() < 0.2:
                octets = mutated(octets, [octets], self.rng)
            phone.send(octets)
            self.did[f"said {method}"] += 1

    def as_callee(self, phone: Phone) -> None:
        """Say something in a dialog of a call that came."""
        invites = self.picked_up.get(phone.user)
        if invites:
            (invite, tag), method = self.rng.choice(invites[-2:]), self.rng.choice(METHODS)
            phone.from_callee(method, invite, self.refer_to(), self.body(phone, method), tag)
            self.did[f"said {method}"] += 1

    def body(self, phone: Phone, method: str) -> str:
        return (
            phone.sdp(direction=self.rng.choice(("sendrecv", "sendonly", "inactive")))
            if method in {"INVITE", "UPDATE", "ACK"} and self.rng.random() < 0.7
            else ""
        )

    def refer_to(self) -> str:
        """Return a Refer-To: a name, or one of the dialogs of this or of another phone."""
        if self.rng.random() < 0.5:
            return f"Refer-To: <sip:{self.rng.choice(NAMES)}@voicebox>"
        keys = list(self.house.box.board._context.dialogs) or [("x", "y", "z")]
        call_id, boxes, theirs = self.rng.choice(keys)
        return f"Refer-To: <sip:x@voicebox?Replaces={call_id}%3Bto-tag%3D{boxes}%3Bfrom-tag%3D{theirs}>"

    def contact(self, phone: Phone) -> None:
        """Let the contact's box call, or say something in the last call."""
        if self.rng.random() < 0.3:
            self.house.box.far_calls(Codec.PCMA)
        elif self.house.box.far.legs:
            self.house.box.far_says(self.rng.choice((Ringing(), Answer(Codec.PCMA), Digit(1, 100), Refuse(Refusal.BUSY), End())))
        self.did["a contact"] += 1

    def write(self, phone: Phone) -> None:
        phone.call_id = f"text-{self.rng.randrange(2**40)}"
        phone.authorised("MESSAGE", f"sip:{self.rng.choice(NAMES)}@voicebox", self.rng.choice(("Content-Type: text/plain", "Subject: x")))
        self.did["wrote"] += 1


def test_a_house_in_which_anything_happens() -> None:
    rng = random.Random(SEED)
    did: Counter[str] = Counter()
    most_calls = transfers = 0
    for _ in range(60 * FACTOR):
        mayhem = Mayhem(random.Random(rng.randrange(2**32)))
        box = mayhem.house.box
        for _ in range(60):
            mayhem.step()
            most_calls = max(most_calls, box.board.calls)
            assert box.board.calls <= box.board.settings.calls.max_calls
            assert box.media.open_ports() <= 11 * box.board.settings.calls.max_calls
        did += mayhem.did
        transfers += sum(octets.startswith(b"NOTIFY") and b"200 OK" in octets for octets in box.octets)
        box.board.hang_up_all(box.now)
        box.settle()
        box.advance(800)
        totals = box.board.totals()
        assert (totals["calls"], totals["texts"], totals["transactions"], box.media.open_ports()) == (0, 0, 0, 0)
        assert len(box.board._context.dialogs) == 0
        assert box.board.next_timer() is None
    print(f"\nphones of a house: {sum(did.values())} inputs, seed {SEED}: {most_calls} calls at once, {transfers} transfers told, {dict(did)}")
    assert transfers > 10
