"""Calls that a phone makes: from the INVITE to the end, from either side."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import SDP_OPUS, SDP_PCMA, Box, Phone, final, statuses
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Hold, Offer, Progress, Refusal, Refuse, Resume, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import MAX_RING_S, FarEcho
from voicebox.sip.flow import Transport
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.sdp import Direction, parse_sdp


def started(body: str = SDP_PCMA, extra: str = "") -> tuple[Box, Phone, PlainPort]:
    box = Box()
    phone = Phone(box, "alice")
    assert statuses(phone.invite(body=body, extra=extra)) == [100]
    return box, phone, box.media.ports[-1]


def talking(body: str = SDP_PCMA, extra: str = "") -> tuple[Box, Phone, PlainPort, SipResponse]:
    box, phone, port = started(body, extra)
    box.far_says(Ringing())
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    phone.ack(answer)
    return box, phone, port, answer


def held(direction: str) -> str:
    return SDP_PCMA + f"a={direction}\r\n"


def test_a_call_from_offer_to_hang_up() -> None:
    box, phone, port = started()
    assert box.offers == [Offer((Codec.PCMA, Codec.PCMU))]
    box.far_says(Ringing())
    ringing = phone.inbox[-1]
    assert isinstance(ringing, SipResponse)
    assert ringing.status == 180
    assert ringing.to.tag
    box.far_says(Answer(Codec.PCMU))
    answer = final(phone.inbox)
    assert (answer.status, answer.to.tag) == (200, ringing.to.tag)
    medium = parse_sdp(answer.body).media[0]
    assert (medium.address, medium.port, medium.formats, medium.ptime_ms) == ("192.0.2.1", port.rtp_port, ("0", "101"), 20)
    assert port.remote == ("192.0.2.20", 4000, Codec.PCMU, 0, 101)
    assert port.to_phone
    assert port.from_phone
    assert box.network.legs[-1].bound == (port, Codec.PCMU)
    phone.ack(answer)
    assert statuses(phone.inside("BYE", answer)) == [200]
    assert box.network.legs[-1].sent == [End()]
    assert port.closed
    assert box.board.calls == 0
    box.advance(40)
    assert box.board.totals()["transactions"] == 0
    assert box.board.next_timer() is None


@pytest.mark.parametrize("preferred", ["8 0", "0 8"])
def test_the_order_in_which_a_phone_prefers_codecs_does_not_cross(preferred: str) -> None:
    body = SDP_PCMA.replace("RTP/AVP 8 0 ", f"RTP/AVP {preferred} ")
    assert f" {preferred} 101" in body
    box, *_ = started(body)
    assert box.offers == [Offer((Codec.PCMA, Codec.PCMU))]


def test_opus_is_answered_with_constant_rate() -> None:
    box, phone, port = started(SDP_OPUS)
    assert box.offers == [Offer((Codec.OPUS, Codec.PCMA))]
    box.far_says(Answer(Codec.OPUS))
    encoding = parse_sdp(final(phone.inbox).body).media[0].encodings[0]
    assert (encoding.payload_type, encoding.name, encoding.clock_rate_hz, encoding.channels) == (111, "opus", 48_000, 2)
    assert {"cbr=1", "useinbandfec=1", "maxptime=20", "minptime=20", "stereo=0", "maxaveragebitrate=24000"} == set(encoding.fmtp.split(";"))
    assert port.remote == ("192.0.2.20", 4000, Codec.OPUS, 111, None)


def test_the_far_echo_is_a_call_that_asks_a_contacts_box_to_give_the_sound_back() -> None:
    box = Box()
    box.plan["*44"] = FarEcho(("bob",))
    phone = Phone(box, "alice")
    phone.invite("sip:*44@voicebox")
    assert box.offers == [Offer((Codec.PCMA,), probe=True, echo=True)]
    box.far_says(Ringing())
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    assert answer.status == 200
    assert box.network.legs[-1].bound == (box.media.ports[-1], Codec.PCMA)
    phone.ack(answer)
    phone.inside("BYE", answer)
    assert box.network.legs[-1].sent == [End()]
    assert (box.board.calls, box.media.open_ports(), box.board.totals()["calls_far_echo"]) == (0, 0, 1)


def test_the_far_echo_draws_one_of_those_who_may_be_asked() -> None:
    box = Box()
    box.network.contacts["ann"] = box.far
    asked: list[str] = []
    call = box.network.call

    def watched(petname: str, offer: Offer, listener: Callable[[CallEvent], None]) -> CircuitLeg:
        asked.append(petname)
        return call(petname, offer, listener)

    box.network.call = watched  # type: ignore[method-assign]  # to watch it
    box.plan["*44"] = FarEcho(("ann", "bob"))
    phone = Phone(box, "alice")
    for number in range(12):
        phone.call_id = f"echo-{number}"
        phone.invite("sip:*44@voicebox")
        box.far_says(Refuse(Refusal.DECLINED))
        assert final(phone.inbox).status == 603
    assert set(asked) == {"ann", "bob"}


def test_early_media_is_heard_and_not_spoken_into() -> None:
    box, phone, port = started()
    box.far_says(Progress(Codec.PCMA))
    progress = phone.inbox[-1]
    assert isinstance(progress, SipResponse)
    assert progress.status == 183
    assert (port.to_phone, port.from_phone) == (True, False)
    assert box.network.legs[-1].bound == (port, Codec.PCMA)
    box.far_says(Answer(Codec.PCMA))
    assert final(phone.inbox).body == progress.body
    assert (port.to_phone, port.from_phone) == (True, True)


@pytest.mark.parametrize(
    ("why", "status"), [(Refusal.BUSY, 486), (Refusal.DECLINED, 603), (Refusal.NO_ANSWER, 480), (Refusal.NO_COMMON_CODEC, 488), (Refusal.UNREACHABLE, 480)]
)
def test_refusals(why: Refusal, status: int) -> None:
    box, phone, port = started()
    box.far_says(Ringing())
    box.far_says(Refuse(why))
    assert statuses(phone.inbox)[-1] == status
    assert port.closed
    assert box.board.calls == 0
    box.advance(1.6)
    assert statuses(phone.inbox).count(status) == 3, "a refusal is repeated until its ACK comes (timer G)"


def test_the_far_side_hangs_up() -> None:
    box, phone, port, _ = talking()
    box.far_says(End())
    assert phone.last_request("BYE").cseq.number == 1
    assert port.closed
    assert box.network.legs[-1].sent == []
    box.advance(0.6)
    assert len(phone.requests("BYE")) == 2, "repeated until answered (timer E)"
    phone.answer(phone.last_request("BYE"), 200)
    box.advance(40)
    assert len(phone.requests("BYE")) == 2


def test_the_far_side_ends_before_it_answers() -> None:
    box, phone, _ = started()
    box.far_says(End())
    assert statuses(phone.inbox)[-1] == 480


def test_nobody_answers() -> None:
    box, phone, port = started()
    box.far_says(Ringing())
    box.advance(CallSettings().ring_limit_s + 1)
    assert final(phone.inbox).status == 480
    assert box.network.legs[-1].sent == [End()]
    assert port.closed


def test_cancel() -> None:
    box, phone, port = started()
    box.far_says(Ringing())
    invite_branch = f"z9hG4bKplantedalice1x{phone.branches}"
    answers = phone.send(phone.text("CANCEL", "sip:bob.privacy", cseq=phone.cseq, branch=invite_branch))
    assert [(message.status, message.cseq.method) for message in answers if isinstance(message, SipResponse)] == [(200, "CANCEL"), (487, "INVITE")]
    assert box.network.legs[-1].sent == [End()]
    assert port.closed
    phone.send(phone.text("ACK", "sip:bob.privacy", to=answers[-1].headers.get("to") or "", cseq=phone.cseq, branch=invite_branch))
    box.advance(40)
    assert statuses(phone.inbox).count(487) == 1
    assert box.board.totals()["transactions"] == 0


def test_a_cancel_that_crosses_the_answer_changes_nothing() -> None:
    box, phone, port = started()
    invite_branch = f"z9hG4bKplantedalice1x{phone.branches}"
    box.far_says(Answer(Codec.PCMA))
    assert statuses(phone.send(phone.text("CANCEL", "sip:bob.privacy", cseq=phone.cseq, branch=invite_branch))) == [200]
    assert not port.closed
    assert box.network.legs[-1].sent == []


def test_a_bye_before_the_answer_ends_the_call() -> None:
    box, phone, port = started()
    box.far_says(Ringing())
    ringing = phone.inbox[-1]
    assert isinstance(ringing, SipResponse)
    answers = phone.inside("BYE", ringing)
    assert sorted(statuses(answers)) == [200, 487]
    assert box.network.legs[-1].sent == [End()]
    assert port.closed


def test_a_repeated_invite_rings_once() -> None:
    box, phone, _ = started()
    box.far_says(Ringing())
    octets = phone.text("INVITE", "sip:bob.privacy", body=SDP_PCMA, cseq=phone.cseq, branch=f"z9hG4bKplantedalice1x{phone.branches}")
    assert statuses(phone.send(octets)) == [180]
    assert len(box.offers) == 1


def test_the_200_is_repeated_until_its_ack() -> None:
    box, phone, _ = started()
    box.far_says(Answer(Codec.PCMA))
    box.advance(1.6)
    assert statuses(phone.inbox).count(200) == 3
    phone.ack(final(phone.inbox))
    box.advance(20)
    assert statuses(phone.inbox).count(200) == 3


def test_a_phone_that_never_acknowledges_is_hung_up() -> None:
    box, phone, port = started()
    box.far_says(Answer(Codec.PCMA))
    box.advance(33)
    assert phone.requests("BYE")
    assert box.network.legs[-1].sent == [End()]
    assert port.closed


def test_a_hang_up_before_the_ack_waits_for_it() -> None:
    box, phone, port = started()
    box.far_says(Answer(Codec.PCMA))
    box.far_says(End())
    assert phone.requests("BYE") == []
    assert not port.to_phone
    phone.ack(final(phone.inbox))
    assert len(phone.requests("BYE")) == 1
    assert port.closed


@pytest.mark.parametrize(
    ("direction", "mirrored", "hears", "heard"),
    [("sendonly", Direction.RECVONLY, False, True), ("inactive", Direction.INACTIVE, False, False)],
)
def test_hold_and_resume(direction: str, mirrored: Direction, hears: bool, heard: bool) -> None:
    box, phone, port, answer = talking()
    held_answer = final(phone.inside("INVITE", answer, body=held(direction)))
    assert held_answer.status == 200
    assert parse_sdp(held_answer.body).media[0].direction is mirrored
    phone.ack(held_answer)
    assert (port.to_phone, port.from_phone) == (hears, heard)
    resumed = final(phone.inside("INVITE", answer, body=SDP_PCMA))
    phone.ack(resumed)
    assert (port.to_phone, port.from_phone) == (True, True)
    assert box.network.legs[-1].sent == [Hold(), Resume()]
    first, second = held_answer.body.split(b"\r\n")[1].split(), resumed.body.split(b"\r\n")[1].split()
    assert first[1] == second[1]
    assert int(second[2]) == int(first[2]) + 1, "the version of the origin rises with every description"


def test_hold_as_rfc_2543_said_it() -> None:
    box, phone, port, answer = talking()
    phone.ack(final(phone.inside("INVITE", answer, body=SDP_PCMA.replace("IN IP4 192.0.2.20\r\nt", "IN IP4 0.0.0.0\r\nt"))))
    assert box.network.legs[-1].sent == [Hold()]
    assert not port.to_phone


def test_hold_by_update() -> None:
    box, phone, _, answer = talking()
    assert statuses(phone.inside("UPDATE", answer, body=held("sendonly"))) == [200]
    assert statuses(phone.inside("UPDATE", answer)) == [200]
    assert box.network.legs[-1].sent == [Hold()]


def test_a_new_address_in_a_re_invite_is_followed() -> None:
    _, phone, port, answer = talking()
    phone.ack(final(phone.inside("INVITE", answer, body=SDP_PCMA.replace("m=audio 4000", "m=audio 4444"))))
    assert port.remote is not None
    assert port.remote[1] == 4444


def test_a_re_invite_without_the_codec_in_use_is_refused_and_the_call_goes_on() -> None:
    box, phone, port, answer = talking()
    assert statuses(phone.inside("INVITE", answer, body=SDP_PCMA.replace("AVP 8 0 101", "AVP 0"))) == [488]
    assert not port.closed
    assert box.network.legs[-1].sent == []


def test_glare_while_an_offer_of_ours_is_open() -> None:
    _, phone, _, answer = talking()
    late = final(phone.inside("INVITE", answer))
    assert b"m=audio" in late.body
    assert statuses(phone.inside("INVITE", answer, body=SDP_PCMA)) == [491]
    assert statuses(phone.inside("UPDATE", answer, body=SDP_PCMA)) == [491]
    phone.send(phone.text("ACK", "sip:box@192.0.2.1:5060", body=SDP_PCMA, to=answer.headers.get("to") or "", cseq=late.cseq.number))
    again = final(phone.inside("INVITE", answer, body=SDP_PCMA))
    assert again.status == 200


def test_a_late_offer_is_answered_in_the_ack() -> None:
    box, phone, port = started(body="")
    assert box.offers == [Offer((Codec.PCMA, Codec.PCMU))]
    box.far_says(Progress(Codec.PCMA))
    assert statuses(phone.inbox)[-1] == 180
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    assert parse_sdp(answer.body).media[0].formats == ("8", "101")
    assert box.media.ports[-1].remote is None
    phone.ack(answer, SDP_PCMA)
    assert port.remote == ("192.0.2.20", 4000, Codec.PCMA, 8, 101)
    assert port.to_phone


@pytest.mark.parametrize("body", ["", "v=0 rubbish", SDP_PCMA.replace("AVP 8 0 101", "AVP 0")])
def test_a_late_offer_without_a_usable_answer_ends_the_call(body: str) -> None:
    box, phone, port = started(body="")
    box.far_says(Answer(Codec.PCMA))
    phone.ack(final(phone.inbox), body)
    assert phone.requests("BYE")
    assert box.network.legs[-1].sent == [End()]
    assert port.closed


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (SDP_PCMA.replace("AVP 8 0 101", "AVP 18 3"), 488),
        (SDP_PCMA.replace("RTP/AVP", "RTP/SAVP"), 488),
        (SDP_PCMA.replace("m=audio", "m=video"), 488),
        ("v=1\r\n", 400),
        (SDP_PCMA.replace("m=audio 4000", "m=audio 99999"), 400),
    ],
)
def test_offers_that_cannot_be_served(body: str, status: int) -> None:
    box = Box()
    assert statuses(Phone(box, "alice").invite(body=body)) == [100, status]
    assert box.offers == []
    assert box.media.open_ports() == 0


def test_another_content_type_is_refused_with_the_right_one() -> None:
    phone = Phone(Box(), "alice")
    octets = phone.text("INVITE", "sip:bob.privacy", body="x")
    challenge = phone.send(octets)[-1]
    assert isinstance(challenge, SipResponse)
    octets = phone.text("INVITE", "sip:bob.privacy", phone.credentials(challenge, "INVITE", "sip:bob.privacy"), "x")
    answer = final(phone.send(octets.replace(b"application/sdp", b"text/plain")))
    assert (answer.status, answer.headers.get("accept")) == (415, "application/sdp")


def test_every_other_medium_of_an_offer_is_refused_in_its_place() -> None:
    body = SDP_PCMA + "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    body = body.replace("m=audio", "m=image 6000 udptl t38\r\nm=audio")
    box, phone, port = started(body)
    box.far_says(Answer(Codec.PCMA))
    media = parse_sdp(final(phone.inbox).body).media
    assert [(medium.kind, medium.port) for medium in media] == [("image", 0), ("audio", port.rtp_port), ("video", 0)]


def test_session_timers() -> None:
    box, phone, port, answer = talking(extra="Supported: timer\r\nSession-Expires: 120")
    assert answer.headers.get("session-expires") == "120;refresher=uac"
    assert "timer" in answer.headers.tokens("require")
    box.advance(100)
    refreshed = final(phone.inside("UPDATE", answer, extra="Supported: timer\r\nSession-Expires: 120"))
    assert refreshed.headers.get("session-expires") == "120;refresher=uac"
    box.advance(100)
    assert box.media.open_ports() == 1
    box.advance(21)
    assert port.closed
    assert box.network.legs[-1].sent == [End()]
    assert phone.requests("BYE")


def test_sessions_that_are_too_short() -> None:
    box = Box()
    refused = final(Phone(box, "alice").invite(extra="Supported: timer\r\nSession-Expires: 30"))
    assert (refused.status, refused.headers.get("min-se")) == (422, "90")
    assert box.media.open_ports() == 0


def test_a_phone_that_wants_the_box_to_refresh_gets_no_session_timer() -> None:
    _, _, _, answer = talking(extra="Supported: timer\r\nSession-Expires: 120;refresher=uas")
    assert answer.headers.get("session-expires") is None


def test_a_phone_that_is_gone_is_noticed() -> None:
    box, phone, port, _ = talking()
    box.advance(301)
    phone.answer(phone.last_request("OPTIONS"), 200)
    box.advance(301)
    assert len(phone.requests("OPTIONS")) >= 2
    box.advance(33)
    assert port.closed
    assert box.network.legs[-1].sent == [End()]


def test_digits_pass_as_events() -> None:
    box, phone, port, answer = talking()
    assert port.listener is not None
    port.listener(11, 100)
    box.settle()
    info = phone.text("INFO", "sip:box@192.0.2.1", body="Signal=#\r\nDuration=160\r\n", to=answer.headers.get("to") or "")
    assert statuses(phone.send(info.replace(b"application/sdp", b"application/dtmf-relay"))) == [200]
    assert box.network.legs[-1].sent == [Digit(11, 100), Digit(11, 160)]
    box.far_says(Digit(5, 200))
    assert port.played == [(5, 200)]


def test_events_of_the_far_side_that_break_the_protocol_end_the_call() -> None:
    broken: list[list[CallEvent]] = [[Answer(Codec.OPUS)], [Hold()], [Answer(Codec.PCMA), Ringing()], [Offer((Codec.PCMA,))]]
    for events in broken:
        box, _, port = started()
        for event in events:
            box.far_says(event)
        assert box.board.calls == 0, events
        assert box.network.legs[-1].sent == [End()]
        assert box.board.totals()["calls_broken"] == 1
        box.advance(40)
        assert port.closed, events


@pytest.mark.parametrize(("method", "status"), [("SUBSCRIBE", 489), ("REFER", 400), ("MESSAGE", 405), ("OPTIONS", 200), ("FLY", 405)])
def test_other_requests_inside_a_call(method: str, status: int) -> None:
    box, phone, port, answer = talking()
    assert statuses(phone.inside(method, answer)) == [status]
    assert not port.closed
    assert box.network.legs[-1].sent == []


def test_requests_inside_a_dialog_come_in_order_and_from_the_phone() -> None:
    box, phone, port, answer = talking()
    phone.inside("OPTIONS", answer, cseq=50)
    assert statuses(phone.inside("BYE", answer, cseq=7)) == [500]
    stranger = Phone(box, "alice", 7)
    stranger.call_id = phone.call_id
    stranger.cseq = 90
    assert statuses(stranger.inside("BYE", answer)) == [401]
    assert not port.closed
    assert statuses(phone.inside("BYE", answer, cseq=91)) == [200]
    assert statuses(phone.inside("BYE", answer, cseq=92)) == [481]


def test_a_phone_may_come_back_over_another_connection() -> None:
    box = Box()
    phone = Phone(box, "alice", 1, Transport.TCP)
    phone.invite()
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    phone.ack(answer)
    box.board.flow_closed(phone.flow, box.now)
    again = Phone(box, "alice", 2, Transport.TCP)
    again.address = phone.address
    object.__setattr__(again.flow, "remote_address", phone.address)
    box.phones[again.flow] = again
    again.call_id, again.cseq = phone.call_id, phone.cseq
    assert statuses(again.inside("OPTIONS", answer)) == [200]
    box.far_says(End())
    assert isinstance(again.inbox[-1], SipRequest), "the BYE takes the new connection"


def test_stopping_the_box_hangs_up() -> None:
    box, phone, port, _ = talking()
    box.board.hang_up_all(box.now)
    box.settle()
    assert phone.requests("BYE")
    assert port.closed
    assert box.network.legs[-1].sent == [End()]


def test_a_short_ring_limit_is_kept() -> None:
    box = Box(SwitchboardSettings(calls=CallSettings(ring_limit_s=5)))
    phone = Phone(box, "alice")
    phone.invite()
    box.advance(5.1)
    assert final(phone.inbox).status == 480


def test_a_contact_may_let_it_ring_as_long_as_a_plan_can_say_and_have_a_machine_behind_it() -> None:
    box = Box()
    phone = Phone(box, "alice")
    phone.invite()
    box.far_says(Ringing())
    box.advance(MAX_RING_S + 10)
    box.far_says(Answer(Codec.PCMA))
    assert final(phone.inbox).status == 200


def test_a_phone_that_has_moved_shows_its_password() -> None:
    box, phone, port, answer = talking()
    moved = Phone(box, "alice", 9)
    moved.call_id, moved.cseq = phone.call_id, phone.cseq
    challenge = moved.inside("INVITE", answer, body=SDP_PCMA.replace("192.0.2.20", "192.0.2.28"))[-1]
    assert isinstance(challenge, SipResponse)
    target = "sip:box@192.0.2.1:5060"
    line = moved.credentials(challenge, "INVITE", target)
    accepted = final(moved.inside("INVITE", answer, line, SDP_PCMA.replace("192.0.2.20", "192.0.2.28")))
    assert accepted.status == 200
    moved.ack(accepted)
    assert port.remote is not None
    assert port.remote[0] == "192.0.2.28"
    box.far_says(End())
    assert moved.requests("BYE"), "the box follows"


def test_challenges_leave_nothing_behind() -> None:
    box = Box()
    phone = Phone(box, "nobody")
    octets = phone.text("INVITE", "sip:bob.privacy", body=SDP_PCMA)
    first, second = phone.send(octets), phone.send(octets)
    assert statuses(first) == statuses(second) == [401]
    assert isinstance(first[0], SipResponse)
    assert isinstance(second[0], SipResponse)
    assert first[0].to.tag == second[0].to.tag
    phone.send(phone.text("ACK", "sip:bob.privacy", to=first[0].headers.get("to") or "", cseq=phone.cseq, branch=first[0].via.branch))
    totals = box.board.totals()
    assert totals["transactions"] == 0
    assert "dropped_stray_ack" not in totals, "the ACK of a challenge is no noise"
