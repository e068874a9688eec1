"""Phones without a common codec: who is asked for what, which port carries the call, and what is left when it cannot be done."""

from __future__ import annotations

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import Box, Phone, statuses
from voicebox.b2bua.events import Answer, Codec, End, Progress, Refusal, Refuse, Ringing
from voicebox.b2bua.ports import MediaPort
from voicebox.errors import HostError
from voicebox.sip.message import SipRequest
from voicebox.sip.sdp import parse_sdp


def asked(invite: SipRequest) -> list[str]:
    """Return the codecs that an INVITE of the box offers."""
    return [encoding.name for encoding in parse_sdp(invite.body).media[0].encodings if encoding.name != "telephone-event"]


def called(*codecs: Codec) -> tuple[Box, Phone]:
    """Return a box that converts, and its phone that rings for a caller with these codecs."""
    box = Box()
    box.media.transcodes = True
    phone = Phone(box, "alice")
    phone.register()
    box.far_calls(*codecs)
    return box, phone


def converted(box: Box, carried: Codec, phone_codec: Codec) -> PlainPort:
    """Return the phone's port, of which another that speaks `carried` is bound to the circuit in its place."""
    bound = box.network.legs[-1].bound
    assert bound is not None
    stand_in, codec = bound
    assert isinstance(stand_in, PlainPort)
    assert stand_in.stands_for is not None
    port, spoken, wanted = stand_in.stands_for
    assert (codec, spoken, wanted) == (carried, phone_codec, carried)
    return port


def test_a_phone_without_the_callers_codecs_is_asked_once_more_for_the_others() -> None:
    box, phone = called(Codec.OPUS, Codec.PCMU)
    first = phone.last_request("INVITE")
    assert asked(first) == ["opus", "pcmu"]
    phone.answer(first, 488)
    second = phone.last_request("INVITE")
    assert asked(second) == ["g722", "pcma"]
    assert (second.call_id, second.from_.tag, second.cseq.number) == (first.call_id, first.from_.tag, first.cseq.number + 1)
    assert box.far_heard == [Ringing()], "nobody hears of that"
    phone.answer(second, 180)
    phone.answer(second, 200, phone.sdp("PCMA"))
    assert box.far_heard == [Ringing(), Answer(Codec.OPUS)]
    port = converted(box, Codec.OPUS, Codec.PCMA)
    assert port.remote is not None
    assert port.remote[2:4] == (Codec.PCMA, 8)
    assert port.to_phone
    assert port.from_phone
    box.far_says(End())
    assert len(phone.requests("BYE")) == 1
    assert box.media.open_ports() == 0
    box.advance(40)
    assert box.board.totals()["transactions"] == 0


def test_a_phone_that_has_one_is_not_asked_twice_and_nothing_is_converted() -> None:
    box, phone = called(Codec.PCMA)
    invite = phone.last_request("INVITE")
    phone.answer(invite, 200, phone.sdp("PCMA"))
    assert len(phone.requests("INVITE")) == 1
    assert box.network.legs[-1].bound == (box.media.ports[0], Codec.PCMA)
    assert len(box.media.ports) == 1


def test_a_phone_that_has_none_at_all_is_refused_after_two() -> None:
    box, phone = called(Codec.OPUS)
    phone.answer(phone.last_request("INVITE"), 488)
    phone.answer(phone.last_request("INVITE"), 606)
    assert len(phone.requests("INVITE")) == 2
    box.advance(60)
    assert box.far_heard[-1] == Refuse(Refusal.NO_COMMON_CODEC)
    assert box.media.open_ports() == 0


def test_a_caller_with_every_codec_is_not_asked_for_others() -> None:
    box, phone = called(*sorted(Codec))
    phone.answer(phone.last_request("INVITE"), 488)
    assert len(phone.requests("INVITE")) == 1
    assert box.media.open_ports() == 0


def test_where_nothing_can_be_converted_the_first_refusal_stands() -> None:
    box, phone = called(Codec.OPUS)
    box.media.transcodes = False
    phone.answer(phone.last_request("INVITE"), 488)
    assert len(phone.requests("INVITE")) == 1
    box.advance(60)
    assert box.far_heard[-1] == Refuse(Refusal.NO_COMMON_CODEC)


def test_no_converter_to_be_had_at_the_answer_hangs_up_at_the_phone() -> None:
    box, phone = called(Codec.OPUS)

    def none_left(port: MediaPort, phone_codec: Codec, codec: Codec) -> MediaPort:
        raise HostError("as many as may be")

    box.media.transcode = none_left  # type: ignore[method-assign]  # a machine that is full
    phone.answer(phone.last_request("INVITE"), 488)
    second = phone.last_request("INVITE")
    phone.answer(second, 180)
    phone.answer(second, 200, phone.sdp("PCMA"))
    assert len(phone.requests("BYE")) == 1
    assert box.far_heard[-1] == Refuse(Refusal.NO_COMMON_CODEC)
    assert box.media.open_ports() == 0


def test_the_caller_gives_up_between_the_two_questions() -> None:
    box, phone = called(Codec.OPUS)
    first = phone.last_request("INVITE")
    phone.answer(first, 180)
    box.far_says(End())
    assert len(phone.requests("CANCEL")) == 1
    phone.answer(first, 488)
    assert len(phone.requests("INVITE")) == 1
    assert box.media.open_ports() == 0


def test_the_caller_gives_up_while_the_second_question_is_open() -> None:
    box, phone = called(Codec.OPUS)
    phone.answer(phone.last_request("INVITE"), 488)
    second = phone.last_request("INVITE")
    phone.answer(second, 180)
    box.far_says(End())
    cancel = phone.last_request("CANCEL")
    assert cancel.cseq.number == second.cseq.number
    phone.answer(second, 487)
    assert box.media.open_ports() == 0


def test_early_sound_of_such_a_phone_is_converted_by_the_one_that_the_answer_goes_on_with() -> None:
    box, phone = called(Codec.OPUS)
    phone.answer(phone.last_request("INVITE"), 488)
    second = phone.last_request("INVITE")
    phone.answer(second, 183, phone.sdp("PCMA"))
    stand_in = box.network.legs[-1].bound
    phone.answer(second, 200, phone.sdp("PCMA"))
    assert box.far_heard[-2:] == [Progress(Codec.OPUS), Answer(Codec.OPUS)]
    assert box.network.legs[-1].bound == stand_in
    assert len(box.media.ports) == 2


def test_hold_of_such_a_phone_is_its_own_affair() -> None:
    box, phone = called(Codec.OPUS)
    phone.answer(phone.last_request("INVITE"), 488)
    second = phone.last_request("INVITE")
    phone.answer(second, 200, phone.sdp("PCMA"))
    port = converted(box, Codec.OPUS, Codec.PCMA)
    assert statuses(phone.from_callee("INVITE", second, body=phone.sdp("PCMA", "sendonly"))) == [200]
    assert (port.to_phone, port.from_phone) == (False, True)
    assert port.remote is not None
    assert port.remote[2] is Codec.PCMA


def test_two_phones_of_a_house_without_a_common_codec_hear_each_other() -> None:
    house = House()
    house.box.media.transcodes = True
    alice, carol = house.alice, house.carol
    alice.invite("sip:carol@voicebox", alice.sdp("OPUS"))
    first = carol.last_request("INVITE")
    assert asked(first) == ["opus"]
    carol.answer(first, 488)
    carol.answer(carol.last_request("INVITE"), 200, carol.sdp("PCMA"))
    facing_alice = house.box.media.ports[0]
    assert facing_alice.joined is not None
    stand_in, codec = facing_alice.joined
    assert isinstance(stand_in, PlainPort)
    assert codec is Codec.OPUS
    assert stand_in.stands_for is not None
    assert stand_in.stands_for[1:] == (Codec.PCMA, Codec.OPUS)
