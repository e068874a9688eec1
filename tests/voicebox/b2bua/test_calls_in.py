"""Calls that come from the network: forking, races, and that nothing of the caller reaches the phone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import SDP_OPUS, SDP_PCMA, Box, Phone, statuses
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.events import Answer, Codec, Digit, End, Hold, Offer, Progress, Refusal, Refuse, Resume, Ringing
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import NoAnswer
from voicebox.sip.flow import Transport
from voicebox.sip.message import SipRequest
from voicebox.sip.sdp import parse_sdp


def ringing(phones: int = 1, *codecs: Codec, settings: SwitchboardSettings | None = None) -> tuple[Box, list[Phone], list[SipRequest]]:
    box = Box(settings)
    ours = [Phone(box, "alice" if number % 2 else "carol", number) for number in range(1, phones + 1)]
    for phone in ours:
        assert phone.register().status == 200
    box.far_calls(*codecs)
    return box, ours, [phone.last_request("INVITE") for phone in ours]


def test_a_call_from_the_network_to_a_phone() -> None:
    box, [phone], [invite] = ringing(1, Codec.OPUS, Codec.PCMA)
    assert invite.uri == "sip:alice-0xdeadbeef@192.0.2.20:5062"
    assert (invite.from_.display, invite.from_.uri) == ('"bob"', "sip:bob@bob.privacy")
    offered = parse_sdp(invite.body).media[0]
    assert [encoding.name for encoding in offered.encodings] == ["opus", "pcma", "telephone-event", "telephone-event"]
    assert offered.port == box.media.ports[0].rtp_port
    assert box.far_heard == [Ringing()]
    phone.answer(invite, 180)
    assert box.far_heard == [Ringing()]
    phone.answer(invite, 200, SDP_PCMA)
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA)]
    assert phone.last_request("ACK").cseq.number == invite.cseq.number
    port = box.media.ports[0]
    assert port.remote == ("192.0.2.20", 4000, Codec.PCMA, 8, 101)
    assert box.network.legs[-1].bound == (port, Codec.PCMA)
    assert statuses(phone.from_callee("BYE", invite)) == [200]
    assert box.far_heard[-1] == End()
    assert port.closed
    box.advance(40)
    assert box.board.totals()["transactions"] == 0


def test_the_invite_says_nothing_but_the_petname() -> None:
    _, _, [invite] = ringing()
    assert [name for name, _ in invite.headers] == [
        "via",
        "max-forwards",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "allow",
        "content-type",
        "content-length",
    ]
    lines = invite.body.decode().split("\r\n")
    assert {line[:2] for line in lines if line} == {"v=", "o=", "s=", "c=", "t=", "m=", "a="}
    assert lines[2] == "s=-"


def test_the_caller_hangs_up() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 200, SDP_PCMA)
    box.far_says(End())
    bye = phone.last_request("BYE")
    assert bye.cseq.number == 2
    assert bye.to.tag == "calleetag"
    assert box.media.open_ports() == 0


def test_the_caller_gives_up_while_it_rings() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 180)
    box.far_says(End())
    cancel = phone.last_request("CANCEL")
    assert (cancel.uri, cancel.via.branch, cancel.cseq.number) == (invite.uri, invite.via.branch, 1)
    assert cancel.headers.get("reason") is None
    phone.answer(cancel, 200)
    phone.answer(invite, 487)
    assert phone.last_request("ACK").via.branch == invite.via.branch
    assert box.far_heard == [Ringing()]
    box.advance(40)
    assert box.board.totals()["transactions"] == 0


def test_a_cancel_waits_for_the_first_provisional_answer() -> None:
    box, [phone], [invite] = ringing()
    box.far_says(End())
    assert phone.requests("CANCEL") == []
    phone.answer(invite, 100)
    assert len(phone.requests("CANCEL")) == 1


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 180)
    box.far_says(End())
    phone.answer(invite, 200, SDP_PCMA)
    assert phone.requests("ACK")
    assert phone.last_request("BYE").to.tag == "calleetag"
    assert Answer(Codec.PCMA) not in box.far_heard
    assert box.media.open_ports() == 0


def test_a_phone_that_never_ends_a_cancelled_call_is_forgotten() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 180)
    box.far_says(End())
    box.advance(70)
    assert box.board.totals()["transactions"] == 0


def test_the_first_phone_that_answers_wins() -> None:
    box, phones, invites = ringing(3)
    for phone, invite in zip(phones, invites, strict=True):
        phone.answer(invite, 180)
    phones[1].answer(invites[1], 200, SDP_PCMA)
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA)]
    for number in (0, 2):
        assert phones[number].last_request("CANCEL").headers.get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert phones[1].requests("CANCEL") == []
    assert box.media.open_ports() == 1
    assert box.network.legs[-1].bound == (next(port for port in box.media.ports if not port.closed), Codec.PCMA)


def test_two_phones_answer_at_once() -> None:
    box, phones, invites = ringing(2)
    phones[0].answer(invites[0], 180)
    phones[1].answer(invites[1], 180)
    phones[0].answer(invites[0], 200, SDP_PCMA)
    phones[1].answer(invites[1], 200, SDP_PCMA)
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA)]
    assert phones[1].requests("ACK")
    assert phones[1].requests("BYE")
    assert phones[0].requests("BYE") == []


def test_a_contact_that_forks_answers_twice() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 200, SDP_PCMA, tag="one")
    phone.answer(invite, 200, SDP_PCMA, tag="two")
    assert [message.to.tag for message in phone.requests("ACK")] == ["one", "two"]
    assert [message.to.tag for message in phone.requests("BYE")] == ["two"]
    phone.answer(invite, 200, SDP_PCMA, tag="one")
    assert [message.to.tag for message in phone.requests("ACK")] == ["one", "two", "one"], "a repeated 200 gets its ACK again"
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA)]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([486], Refusal.BUSY),
        ([603], Refusal.DECLINED),
        ([480], Refusal.NO_ANSWER),
        ([404], Refusal.NO_ANSWER),
        ([488], Refusal.NO_COMMON_CODEC),
        ([600], Refusal.BUSY),
        ([404, 486], Refusal.BUSY),
        ([486, 404], Refusal.BUSY),
        ([480, 603], Refusal.DECLINED),
    ],
)
def test_what_a_person_does_at_a_ringing_phone_is_told(answers: list[int], why: Refusal) -> None:
    box, phones, invites = ringing(len(answers))
    for phone, invite, status in zip(phones, invites, answers, strict=True):
        phone.answer(invite, 180)
        phone.answer(invite, status)
        assert phone.requests("ACK")
    assert box.far_heard == [Ringing(), Refuse(why)]
    assert box.media.open_ports() == 0
    assert box.board.calls == 0


def test_one_decline_stops_all_phones() -> None:
    box, phones, invites = ringing(2)
    for phone, invite in zip(phones, invites, strict=True):
        phone.answer(invite, 180)
    phones[0].answer(invites[0], 603)
    assert box.far_heard == [Ringing(), Refuse(Refusal.DECLINED)]
    assert phones[1].requests("CANCEL")


def test_one_busy_phone_does_not_stop_the_other() -> None:
    box, phones, invites = ringing(2)
    phones[0].answer(invites[0], 486)
    phones[1].answer(invites[1], 200, SDP_PCMA)
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA)]


def nobody_there() -> Box:
    """A house without a phone that is on."""
    box = Box()
    box.far_calls()
    return box


def quiet() -> Box:
    """A house whose plan lets nothing ring."""
    box = Box()
    phone = Phone(box, "alice")
    phone.register()
    box.incoming = NoAnswer(60)
    box.far_calls()
    assert phone.requests("INVITE") == []
    return box


def unanswered() -> Box:
    """A phone that rings."""
    box, [phone], [invite] = ringing()
    phone.answer(invite, 180)
    return box


def dead() -> Box:
    """A phone that says nothing at all."""
    return ringing()[0]


def gone() -> Box:
    """A phone whose connection ends."""
    box = Box()
    phone = Phone(box, "alice", 1, Transport.TCP)
    phone.register()
    box.far_calls()
    box.board.flow_closed(phone.flow, box.now)
    box.settle()
    return box


def not_disturbed(status: int) -> Box:
    """A phone that refuses by itself, and another that rings."""
    box, phones, invites = ringing(2)
    phones[0].answer(invites[0], status)
    phones[1].answer(invites[1], 180)
    return box


def wants_no_calls(status: int) -> Box:
    """A phone that refuses by itself."""
    box, [phone], [invite] = ringing()
    phone.answer(invite, status)
    return box


HOUSES: list[Callable[[], Box]] = [nobody_there, quiet, unanswered, dead, gone]
HOUSES += [partial(house, status) for house in (not_disturbed, wants_no_calls) for status in (302, 401, 404, 480, 486, 600, 603)]


@pytest.mark.parametrize("house", HOUSES, ids=lambda house: getattr(house, "__name__", None) or f"{house.func.__name__}-{house.args[0]}")
def test_a_caller_cannot_tell_why_nobody_picks_up(house: Callable[[], Box]) -> None:
    """It rings at once, and after the same time nobody has answered, whatever the phones did."""
    box = house()
    box.advance(59.9)
    assert box.far_heard == [Ringing()]
    box.advance(0.2)
    assert box.far_heard == [Ringing(), Refuse(Refusal.NO_ANSWER)]
    assert box.media.open_ports() == 0
    assert box.board.calls == 0


def test_a_phone_that_does_not_answer_is_asked_seven_times() -> None:
    box, [phone], _ = ringing()
    box.advance(33)
    assert len(phone.requests("INVITE")) == 7, "timer A doubles until timer B"


def test_a_phone_in_a_call_that_takes_no_second_one_is_busy() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 200, SDP_PCMA)
    box.far_heard.clear()
    box.far_calls()
    second = phone.last_request("INVITE")
    assert second.call_id != invite.call_id
    phone.answer(second, 486)
    assert box.far_heard == [Ringing(), Refuse(Refusal.BUSY)]


def test_a_phone_in_a_call_may_take_a_second_one() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 200, SDP_PCMA)
    first = box.far_leg
    phone.from_callee("UPDATE", invite, body=SDP_PCMA + "a=sendonly\r\n")
    box.far_calls()
    second = phone.last_request("INVITE")
    phone.answer(second, 180)
    phone.answer(second, 200, phone.sdp(), tag="second")
    assert box.board.calls == 2
    assert box.media.open_ports() == 2
    first.send(End())
    box.settle()
    assert [bye.call_id for bye in phone.requests("BYE")] == [invite.call_id]


def test_over_tcp_nothing_is_repeated_and_a_lost_connection_is_noticed() -> None:
    box = Box()
    phone = Phone(box, "alice", 1, Transport.TCP)
    phone.register()
    box.far_calls()
    box.advance(5)
    assert len(phone.requests("INVITE")) == 1
    assert ";transport=tcp" in (phone.last_request("INVITE").headers.get("contact") or "")
    box.board.flow_closed(phone.flow, box.now)
    box.settle()
    box.advance(60)
    assert box.far_heard == [Ringing(), Refuse(Refusal.NO_ANSWER)]


def test_early_media_of_a_phone() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 183, SDP_PCMA)
    port = box.media.ports[0]
    assert box.far_heard == [Ringing(), Progress(Codec.PCMA)]
    assert (port.to_phone, port.from_phone) == (False, True)
    assert box.network.legs[-1].bound == (port, Codec.PCMA)
    phone.answer(invite, 200, SDP_PCMA)
    assert (port.to_phone, port.from_phone) == (True, True)


def test_early_media_of_one_phone_and_the_answer_of_another() -> None:
    box, phones, invites = ringing(2, Codec.OPUS, Codec.PCMA)
    phones[0].answer(invites[0], 183, SDP_PCMA)
    phones[1].answer(invites[1], 200, SDP_OPUS.replace("192.0.2.20", "192.0.2.21"))
    assert box.far_heard == [Ringing(), Progress(Codec.PCMA), Answer(Codec.OPUS)]
    assert box.network.legs[-1].bound == (box.media.ports[1], Codec.OPUS)


@pytest.mark.parametrize("body", ["", "rubbish", SDP_PCMA.replace("AVP 8 0 101", "AVP 18"), SDP_OPUS.replace("AVP 111 8", "AVP 111")])
def test_an_answer_that_cannot_be_used(body: str) -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 200, body)
    assert phone.requests("ACK")
    assert phone.requests("BYE")
    assert box.far_heard == [Ringing(), Refuse(Refusal.NO_COMMON_CODEC)]
    assert box.media.open_ports() == 0


def test_hold_resume_and_digits_of_the_callee() -> None:
    box, [phone], [invite] = ringing()
    phone.answer(invite, 200, SDP_PCMA)
    assert statuses(phone.from_callee("INVITE", invite, body=SDP_PCMA + "a=sendonly\r\n")) == [200]
    assert statuses(phone.from_callee("UPDATE", invite, body=SDP_PCMA)) == [200]
    port = box.media.ports[0]
    assert port.listener is not None
    port.listener(1, 80)
    box.settle()
    assert box.far_heard == [Ringing(), Answer(Codec.PCMA), Hold(), Resume(), Digit(1, 80)]
    box.far_says(Digit(2, 90))
    box.far_says(Hold())
    assert port.played == [(2, 90)]


def test_digits_beside_opus_are_counted_on_the_clock_of_the_phones_events() -> None:
    """The port counts 48 units to the millisecond; this phone's events have 8."""
    box, [phone], [invite] = ringing(1, Codec.OPUS)
    phone.answer(invite, 200, SDP_OPUS.replace("AVP 111 8", "AVP 111 101") + "a=rtpmap:101 telephone-event/8000\r\n")
    port = box.media.ports[0]
    assert port.listener is not None
    port.listener(7, 20)
    box.settle()
    assert box.far_heard[-2:] == [Answer(Codec.OPUS), Digit(7, 120)]
    box.far_says(Digit(8, 240))
    box.far_says(Digit(9, 1))
    assert port.played == [(8, 40), (9, 1)]


def test_calls_are_bounded() -> None:
    box, _, _ = ringing(settings=SwitchboardSettings(calls=CallSettings(max_calls=1)))
    box.far_calls()
    assert box.far_heard == [Ringing(), Refuse(Refusal.BUSY)]


def test_the_caller_gives_up_at_once() -> None:
    box = Box()
    phone = Phone(box, "alice")
    phone.register()
    leg = box.far.call("me", Offer((Codec.PCMA,)), box.far_heard.append)
    leg.send(End())
    box.settle()
    phone.answer(phone.last_request("INVITE"), 180)
    assert phone.requests("CANCEL")
    assert box.board.calls == 0


def test_nothing_of_one_phone_reaches_another() -> None:
    """Alice calls through one box, the call event is all that crosses to the other; her planted values are in what her box got, and in nothing that Carol's phone gets."""
    here, there = Box(seed=1), Box(seed=2)
    alice, carol = Phone(here, "alice", 1), Phone(there, "carol", 30)
    carol.register()
    there.octets.clear()
    body = SDP_PCMA + "a=ssrc:4711 cname:sip:alice@planted\r\na=label:planted\r\n"
    alice.invite("sip:anything@bob.privacy", body=body, extra="X-Planted: yes\r\nSubject: planted")
    there.far_calls(*here.offers[0].codecs)
    carol.answer(carol.last_request("INVITE"), 180)
    carol.answer(carol.last_request("INVITE"), 200, SDP_PCMA)
    there.far_says(Hold())
    there.far_says(Digit(3, 100))
    there.far_says(End())
    said = b"\n".join(there.octets).lower()
    assert b"invite" in said
    assert b"bye" in said
    for planted in (b"planted", b"alice", b"192.0.2.20", b"4711", b"4000", b"alice-0xdeadbeef", b"anything", b"phone/9.9"):
        assert planted not in said, planted
    sent_by_alice = alice.text("INVITE", "sip:anything@bob.privacy", "X-Planted: yes", body)
    assert b"Planted" in sent_by_alice
    assert isinstance(here.media.ports[0], PlainPort)


def test_a_call_over_ipv6() -> None:
    box = Box()
    phone = Phone(box, "alice", ipv6=True)
    assert phone.register().status == 200
    assert phone.address in dict(phone.inbox[0].via.params).values() or phone.inbox[0].via.host == phone.host
    box.far_calls()
    invite = phone.last_request("INVITE")
    assert invite.via.host == "[2001:db8::ffff]"
    assert b"c=IN IP6 2001:db8::ffff" in invite.body
    phone.answer(invite, 200, SDP_PCMA.replace("c=IN IP4 192.0.2.20", "c=IN IP6 2001:db8::1"))
    assert box.media.ports[0].remote == ("2001:db8::1", 4000, Codec.PCMA, 8, 101)
    assert statuses(phone.from_callee("BYE", invite)) == [200]
    assert statuses(phone.invite("sip:bob@[2001:db8::ffff]"))[0] == 100


def test_a_digit_for_a_phone_that_holds_or_knows_none_goes_nowhere() -> None:
    """The engine would count it as a command out of place."""
    for body, after in ((SDP_PCMA, "a=sendonly\r\n"), (SDP_PCMA.replace(" 101", ""), "")):
        box, [phone], [invite] = ringing()
        phone.answer(invite, 200, body)
        port = box.media.ports[0]
        if after:
            box.far_says(Digit(1, 100))
            assert port.played == [(1, 100)]
            assert statuses(phone.from_callee("INVITE", invite, body=body + after)) == [200]
        box.far_says(Digit(2, 100))
        assert port.played == ([(1, 100)] if after else [])
