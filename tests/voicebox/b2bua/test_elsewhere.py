"""Phones that are registered elsewhere: their calls to contacts are served as from their provider, without a password, and nothing else of theirs is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.voicebox.b2bua.scripted import BOX, SDP_PCMA, Box, Phone, final, statuses
from voicebox.b2bua.events import Answer, Codec, End, Hold, Offer, Ringing
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import CallTrunk, FarEcho, JoinConference, VoicemailBox
from voicebox.sip.flow import Taken
from voicebox.sip.message import SipResponse

PROVIDER = "203.0.113.7"
TAKEN = Taken(PROVIDER, 5_060, "box.privacy", admitted=True)
REFER = "Refer-To: <sip:carol@voicebox>"


class Elsewhere(Phone):
    """A phone of a provider. taken: by way of that, whose answers come to it; own: straight to the box."""

    def __init__(self, box: Box, taken: Taken = TAKEN) -> None:
        super().__init__(box, "planted-provider-user", 7)
        self.own, self.taken = self.flow, replace(self.flow, taken=taken)
        self.flow = self.taken
        box.phones[self.taken] = self

    def call(self, uri: str = "sip:bob@bob.privacy", extra: str = "") -> list[int]:
        return statuses(self.send(self.text("INVITE", uri, extra, SDP_PCMA)))


def talking(box: Box) -> tuple[Elsewhere, SipResponse]:
    phone = Elsewhere(box)
    assert phone.call() == [100]
    box.far_says(Ringing())
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    assert answer.status == 200
    return phone, answer


def sent_on(box: Box, method_or_status: str | int) -> list[bool]:
    """Return of each message of a kind that the box sent, whether it left as from the provider."""
    return [
        flow.taken is not None for flow, message in box.outbox if (message.status if isinstance(message, SipResponse) else message.method) == method_or_status
    ]


@pytest.mark.parametrize(
    "uri", ["sip:bob@bob.privacy", "sip:bob.privacy", "sip:anything@bob.privacy:5060;transport=udp", f"sip:bob.privacy@{PROVIDER}", "sip:712.privacy@p.example"]
)
def test_a_contact_is_called_without_a_password_and_learns_nothing_of_the_phone(uri: str) -> None:
    box = Box()
    phone = Elsewhere(box)
    assert phone.call(uri) == [100]
    assert box.dialled[-1] in {"bob", "712"}
    assert box.offers == [Offer((Codec.PCMA, Codec.PCMU))]
    assert "planted" not in repr(box.offers) + repr(box.far_heard)


def test_answers_come_from_the_provider_and_the_rest_of_the_call_goes_straight_to_the_box() -> None:
    box = Box()
    phone, answer = talking(box)
    assert answer.headers.get("contact") == f"<sip:box.privacy@{BOX}:5060>"
    assert [sent_on(box, status) for status in (100, 180, 200)] == [[True]] * 3
    phone.flow = phone.own
    phone.ack(answer)
    assert statuses(phone.inside("INVITE", answer, body=SDP_PCMA + "a=sendonly\r\n")) == [200]
    assert phone.inside("ACK", answer, cseq=phone.cseq) == []
    assert Hold() in box.network.legs[-1].sent
    assert statuses(phone.inside("BYE", answer)) == [200]
    assert sent_on(box, 200) == [True, False, False]
    assert box.network.legs[-1].sent[-1] == End()
    assert box.board.calls == 0


def test_what_a_phone_sends_by_way_of_its_provider_all_the_same_is_served() -> None:
    box = Box()
    phone, answer = talking(box)
    assert phone.ack(answer) == []
    box.advance(40)
    assert sent_on(box, 200) == [True], "its ACK was not taken"
    assert statuses(phone.inside("BYE", answer)) == [200]
    assert box.board.calls == 0


def test_the_box_hangs_up_from_its_own_address_so_that_the_answer_comes_back_to_it() -> None:
    box = Box()
    phone, answer = talking(box)
    phone.ack(answer)
    box.far_says(End())
    assert sent_on(box, "BYE") == [False]
    bye = phone.last_request("BYE")
    assert f"{BOX}:5060" in (bye.headers.get("via") or "")
    phone.flow = phone.own
    phone.answer(bye, 200)
    assert box.board.calls == 0


def test_a_call_is_cancelled_and_the_refusal_acknowledged_by_way_of_the_provider() -> None:
    box = Box()
    phone = Elsewhere(box)
    branch = phone.branch()
    phone.send(phone.text("INVITE", "sip:bob@bob.privacy", body=SDP_PCMA, branch=branch))
    box.far_says(Ringing())
    came = phone.send(phone.text("CANCEL", "sip:bob@bob.privacy", cseq=phone.cseq, branch=branch, contact=False))
    assert sorted(statuses(came)) == [200, 487]
    refusal = next(each for each in came if isinstance(each, SipResponse) and each.status == 487)
    phone.send(phone.text("ACK", "sip:bob@bob.privacy", to=refusal.headers.get("to") or "", cseq=phone.cseq, branch=branch))
    assert box.network.legs[-1].sent[-1] == End()
    box.advance(40)
    assert sent_on(box, 487) == [True], "the refusal was repeated"
    assert (box.board.calls, box.board.totals()["transactions"]) == (0, 0)


@pytest.mark.parametrize("dialled", ["carol", "*43", "voicemail", "conference", "trunk", "far"])
def test_nothing_of_the_house_is_reached(dialled: str) -> None:
    box = Box()
    Phone(box, "carol").register()
    box.plan |= {"voicemail": VoicemailBox(), "conference": JoinConference(), "trunk": CallTrunk("+4930123456"), "far": FarEcho(("bob",))}
    phone = Elsewhere(box)
    assert phone.call(f"sip:{dialled}.privacy@{PROVIDER}")[-1] in {403, 404}
    assert box.board.calls == 0
    assert box.media.ports == []


@pytest.mark.parametrize("uri", ["sip:bob@provider.example", f"sip:bob@{BOX}", "sip:bob@privacy", "sip:x@provider.example;y=bob.privacy", "sip:nobody.privacy"])
def test_what_names_no_contact_is_found_nowhere(uri: str) -> None:
    assert Elsewhere(Box()).call(uri)[-1] == 404


def test_an_emergency_call_is_told_why_it_is_none() -> None:
    box = Box()
    assert Elsewhere(box).call(f"sip:112.privacy@{PROVIDER}") == [100, 183]
    assert box.board.counters["calls_emergency"] == 1


@pytest.mark.parametrize("method", ["REGISTER", "MESSAGE", "SUBSCRIBE", "OPTIONS", "PUBLISH", "REFER", "UPDATE"])
def test_it_is_a_call_or_nothing(method: str) -> None:
    assert statuses(Elsewhere(Box()).send(Elsewhere(Box()).text(method, "sip:bob@bob.privacy"))) == [403]


def test_who_is_not_named_does_not_call_with_a_password_of_the_house_either() -> None:
    box = Box()
    stranger = Elsewhere(box, replace(TAKEN, admitted=False))
    alice = Phone(box, "alice", 1)
    challenge = alice.send(alice.text("INVITE", "sip:bob.privacy", body=SDP_PCMA))[-1]
    assert isinstance(challenge, SipResponse)
    assert stranger.call(extra=alice.credentials(challenge, "INVITE", "sip:bob@bob.privacy")) == [403]
    assert sent_on(box, 403) == [True]
    assert box.offers == []


def test_nobody_is_transferred_by_it() -> None:
    box = Box()
    Phone(box, "carol").register()
    phone, answer = talking(box)
    phone.ack(answer)
    phone.flow = phone.own
    assert statuses(phone.inside("REFER", answer, REFER)) == [403]


def test_another_address_does_not_end_the_call_but_the_loopback_of_its_machine_does() -> None:
    box = Box()
    phone, answer = talking(box)
    phone.ack(answer)
    phone.flow = replace(phone.own, remote_address="192.0.2.99")
    box.phones[phone.flow] = phone
    assert statuses(phone.inside("BYE", answer)) == [401]
    phone.flow = replace(phone.own, remote_address="192.0.2.99", taken=TAKEN)
    box.phones[phone.flow] = phone
    assert statuses(phone.inside("BYE", answer)) == [403]
    assert box.board.calls == 1
    phone.flow = replace(phone.own, remote_address="127.0.0.1")
    box.phones[phone.flow] = phone
    assert statuses(phone.inside("BYE", answer)) == [200]
    assert box.board.calls == 0


def test_the_calls_of_all_of_them_together_have_a_bound_of_their_own() -> None:
    box = Box()
    most = SwitchboardSettings().calls.max_calls_of_user
    for number in range(most + 1):
        phone = Elsewhere(box)
        phone.call_id, phone.branches = f"{phone.call_id}-{number}", 10 * number
        assert phone.call()[-1] == (100 if number < most else 503)
