"""The conference of a house: phones that dial it, calls that are transferred to it, who hears whom, when it ends, and that a contact learns of nobody."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.house import House, Talk
from tests.voicebox.b2bua.loopback import PlainMixer, PlainPort
from tests.voicebox.b2bua.scripted import Phone, final, statuses
from voicebox.b2bua.conference import ALONE_S, MAX_PARTIES
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Ringing
from voicebox.dialplan.model import JoinConference
from voicebox.errors import HostError
from voicebox.sip.message import SipResponse

INTO = "Refer-To: <sip:*3@voicebox>"


class Meeting:
    """A house whose *3 is its conference, and a contact."""

    def __init__(self) -> None:
        self.house = House(network=True)
        self.box = self.house.box
        self.box.plan["*3"] = JoinConference()
        self._calls = 0

    def dials(self, phone: Phone, codec: str = "PCMA") -> SipResponse:
        """Let a phone dial the conference."""
        self._calls += 1
        phone.call_id = f"conference-{self._calls}"
        answer = final(phone.invite("sip:*3@voicebox", phone.sdp(codec)))
        if answer.status == 200:
            phone.ack(answer)
        return answer

    def leaves(self, phone: Phone, answer: SipResponse) -> None:
        phone.call_id = answer.call_id
        assert statuses(phone.inside("BYE", answer)) == [200]

    def brings(self, phone: Phone, codec: Codec = Codec.PCMA) -> list[CallEvent]:
        """Let a phone call the contact and transfer that call to the conference; return what the contact's box heard from the transfer on."""
        self._calls += 1
        phone.call_id = f"contact-{self._calls}"
        phone.invite(body=phone.sdp("OPUS" if codec is Codec.OPUS else "PCMA"))
        self.box.far_says(Ringing())
        self.box.far_says(Answer(codec))
        answer = final(phone.inbox)
        phone.ack(answer)
        heard = len(self.box.far_heard)
        self.refused = final(phone.inside("REFER", answer, INTO)).status
        return self.box.far_heard[heard:]

    @property
    def mixer(self) -> PlainMixer:
        return self.box.media.mixers[-1]

    def others(self) -> list[PlainPort]:
        """What is joined with the mixer's ports, in the order of their seats."""
        found = []
        for port in self.mixer.seats:
            assert port.joined is not None
            assert isinstance(port.joined[0], PlainPort)
            found.append(port.joined[0])
        return found

    def over(self) -> bool:
        """Return whether nothing is left of it."""
        return self.mixer.closed and (self.box.board.calls, self.box.media.open_ports(), self.box.board.totals()["conference_parties"]) == (0, 0, 0)


@pytest.fixture
def meeting() -> Meeting:
    return Meeting()


def byes(phone: Phone) -> int:
    for bye in phone.requests("BYE"):
        phone.answer(bye, 200)
    return len(phone.requests("BYE"))


def test_three_phones_dial_it_and_each_is_mixed_until_the_last_has_left(meeting: Meeting) -> None:
    house = meeting.house
    answers = [meeting.dials(phone) for phone in (house.alice, house.carol, house.dave)]
    assert [answer.status for answer in answers] == [200] * 3
    assert list(meeting.mixer.seats.values()) == [(Codec.PCMA, True)] * 3
    assert meeting.others() == [port for port in meeting.box.media.ports if port.remote is not None]
    assert meeting.box.network.legs == [], "nothing leaves the house"
    for left, (phone, answer) in enumerate(zip((house.carol, house.alice, house.dave), (answers[1], answers[0], answers[2]), strict=True), 1):
        assert len(meeting.mixer.seats) == 3 - left + 1
        meeting.leaves(phone, answer)
    assert meeting.over()
    assert meeting.dials(house.erin).status == 200, "the next one begins anew"
    assert len(meeting.box.media.mixers) == 2


def test_a_phone_merges_a_call_with_a_contact_and_one_in_the_house(meeting: Meeting) -> None:
    house = meeting.house
    assert meeting.brings(house.alice) == [], "the contact's box is told nothing"
    assert meeting.refused == 202
    talk = house.talk(house.alice, house.carol)
    assert talk.as_caller("REFER", INTO).status == 202
    assert byes(house.alice) == 2, "out of both calls"
    own = meeting.dials(house.alice)
    assert list(meeting.mixer.seats.values()) == [(Codec.PCMA, False), (Codec.PCMA, True), (Codec.PCMA, True)], "no tone for the contact"
    (contact, with_carol, with_alice) = meeting.mixer.seats
    assert meeting.box.network.legs[-1].bound == (contact, Codec.PCMA)
    assert all(port.joined is not None for port in (with_carol, with_alice))
    assert contact.joined is None
    assert byes(house.carol) == 0
    meeting.leaves(house.alice, own)
    assert meeting.box.network.legs[-1].sent == []
    talk.as_callee("BYE")
    assert meeting.box.network.legs[-1].sent == [End()], "no phone of the house is left"
    assert meeting.over()


def test_a_contact_who_hangs_up_leaves_the_others_talking(meeting: Meeting) -> None:
    house = meeting.house
    answers = [meeting.dials(phone) for phone in (house.alice, house.carol)]
    meeting.brings(house.dave)
    assert len(meeting.mixer.seats) == 3
    meeting.box.far_says(End())
    assert len(meeting.mixer.seats) == 2
    assert byes(house.alice) == byes(house.carol) == 0
    for phone, answer in zip((house.alice, house.carol), answers, strict=True):
        meeting.leaves(phone, answer)
    assert meeting.over()


def test_contacts_do_not_wait_for_ever_nor_talk_in_an_empty_house(meeting: Meeting) -> None:
    meeting.brings(meeting.house.alice)
    byes(meeting.house.alice)
    meeting.box.advance(ALONE_S - 1)
    assert not meeting.mixer.closed
    meeting.box.advance(2)
    assert meeting.box.network.legs[-1].sent == [End()]
    assert meeting.over()


def test_a_phone_that_comes_ends_the_waiting(meeting: Meeting) -> None:
    meeting.brings(meeting.house.alice)
    byes(meeting.house.alice)
    meeting.box.advance(ALONE_S - 1)
    meeting.dials(meeting.house.alice)
    meeting.box.advance(3 * ALONE_S)
    assert len(meeting.mixer.seats) == 2


def test_it_is_full_at_six(meeting: Meeting) -> None:
    house = meeting.house
    more = [Phone(meeting.box, "alice", 10 + number) for number in range(3)]
    phones = [house.alice, house.carol, house.dave, *more]
    assert len(phones) == MAX_PARTIES
    assert {meeting.dials(phone).status for phone in phones} == {200}
    assert meeting.dials(house.erin).status == 486
    calls = meeting.box.board.calls
    assert meeting.brings(house.erin) == []
    assert house.erin.last_request("NOTIFY").body == b"SIP/2.0 486 Busy Here\r\n"
    assert meeting.box.board.calls == calls + 1, "the call that was to be merged goes on"
    assert meeting.box.network.legs[-1].bound is not None
    assert meeting.box.network.legs[-1].bound[0] not in meeting.mixer.seats


@pytest.mark.parametrize("converts", [True, False])
def test_what_speaks_neither_law_is_converted_or_stays_out(meeting: Meeting, converts: bool) -> None:
    house = meeting.house
    meeting.box.media.transcodes = converts
    assert meeting.dials(house.carol).status == 200
    body = house.dave.sdp("OPUS")
    house.dave.call_id = "opus-only"
    assert final(house.dave.invite("sip:*3@voicebox", body)).status == (200 if converts else 488)
    meeting.brings(house.alice, Codec.OPUS)
    codecs = [codec for codec, _ in meeting.mixer.seats.values()]
    assert codecs == [Codec.PCMA, *([Codec.OPUS, Codec.OPUS] if converts else [])]
    if not converts:
        assert house.alice.last_request("NOTIFY").body == b"SIP/2.0 503 Service Unavailable\r\n"
        assert meeting.box.board.calls == 2, "the contact's call goes on as it was"


def test_a_machine_that_cannot_mix_refuses(meeting: Meeting) -> None:
    def none() -> PlainMixer:
        raise HostError("no process could be started")

    meeting.box.media.mixer = none  # type: ignore[method-assign]  # a machine that is full
    assert meeting.dials(meeting.house.alice).status == 480
    assert (meeting.box.board.calls, meeting.box.media.open_ports()) == (0, 0)


def test_the_conference_itself_is_not_transferred(meeting: Meeting) -> None:
    answer = meeting.dials(meeting.house.alice)
    for target in ("sip:*3@voicebox", "sip:carol@voicebox", "sip:bob.privacy"):
        assert final(meeting.house.alice.inside("REFER", answer, f"Refer-To: <{target}>")).status == 403


def test_a_stopping_box_hangs_up_at_everybody(meeting: Meeting) -> None:
    house = meeting.house
    for phone in (house.alice, house.carol):
        meeting.dials(phone)
    meeting.brings(house.dave)
    meeting.box.board.hang_up_all(meeting.box.now)
    meeting.box.settle()
    assert (byes(house.alice), byes(house.carol)) == (1, 1)
    assert meeting.box.network.legs[-1].sent == [End()]
    assert meeting.over()


def test_who_is_transferred_may_be_either_side(meeting: Meeting) -> None:
    house = meeting.house
    meeting.dials(house.dave)
    talk: Talk = house.talk(house.alice, house.carol)
    assert talk.as_callee("REFER", INTO).status == 202
    assert (byes(house.carol), byes(house.alice)) == (1, 0)
    assert len(meeting.mixer.seats) == 2
    assert talk.as_caller("BYE").status == 200
    assert len(meeting.mixer.seats) == 1
