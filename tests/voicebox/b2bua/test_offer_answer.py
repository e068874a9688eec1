"""Offers and answers of the box."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.scripted import SDP_OPUS, SDP_PCMA
from voicebox.b2bua.events import Codec
from voicebox.b2bua.offer_answer import ALL_CODECS, OPUS_FMTP, OurMedia, choose_codec, read_phone_media
from voicebox.errors import SipError
from voicebox.sip.sdp import MAX_MEDIA


def no_fingerprint() -> bytes:
    raise AssertionError("nothing here asks for a certificate")


def test_our_offer_octet_for_octet() -> None:
    lines = OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).offer(ALL_CODECS).decode().split("\r\n")
    assert lines == [
        "v=0",
        "o=- 7 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 30000 RTP/AVP 96 9 8 0 101 102",
        "a=rtpmap:96 opus/48000/2",
        f"a=fmtp:96 {OPUS_FMTP}",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:102 telephone-event/48000",
        "a=fmtp:102 0-15",
        "a=ptime:20",
        "a=maxptime:20",
        "a=sendrecv",
        "",
    ]


def test_codecs_of_the_closed_list_only_in_the_phones_order() -> None:
    body = SDP_PCMA.replace("AVP 8 0 101", "AVP 9 18 0 97 98 8 0 101") + "a=rtpmap:97 opus/48000/2\r\na=rtpmap:98 opus/48000\r\n"
    phone = read_phone_media(body.encode(), "application/SDP; charset=utf-8", "192.0.2.9")
    assert phone.codecs == ((Codec.G722, 9), (Codec.PCMU, 0), (Codec.OPUS, 97), (Codec.PCMA, 8))
    assert (phone.event_payload_type(Codec.PCMA), phone.event_payload_type(Codec.OPUS)) == (101, 101)


def test_events_beside_opus_are_on_its_clock_or_on_the_one_that_every_phone_has() -> None:
    both = SDP_OPUS + "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:102 telephone-event/48000\r\n"
    for events, payload_type, clock_rate_hz, stretch in (("", None, None, 1), (" 101", 101, 8_000, 6), (" 101 102", 102, 48_000, 1)):
        phone = read_phone_media(both.replace("AVP 111 8", f"AVP 111 8{events}").encode(), "application/sdp", "")
        assert (phone.event_payload_type(Codec.OPUS), phone.event_clock_rate_hz(Codec.OPUS), phone.event_stretch(Codec.OPUS)) == (
            payload_type,
            clock_rate_hz,
            stretch,
        )
        assert phone.event_stretch(Codec.PCMA) == 1
        answer = OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).answer(phone, Codec.OPUS).decode()
        assert answer.count("telephone-event") == (payload_type is not None)
        assert payload_type is None or f"a=rtpmap:{payload_type} telephone-event/{clock_rate_hz}\r\n" in answer
    offer = OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).offer((Codec.OPUS,)).decode()
    assert "m=audio 30000 RTP/AVP 96 101 102\r\n" in offer


def test_a_static_payload_type_may_be_mapped_to_something_else() -> None:
    phone = read_phone_media((SDP_OPUS + "a=rtpmap:8 PCMU/8000\r\n").encode(), "application/sdp", "")
    assert dict(phone.codecs) == {Codec.OPUS: 111, Codec.PCMU: 8}


def test_a_named_host_becomes_the_address_the_phone_speaks_from() -> None:
    phone = read_phone_media(SDP_PCMA.replace("c=IN IP4 192.0.2.20", "c=IN IP4 phone.lan").encode(), "application/sdp", "192.0.2.9")
    assert phone.address == "192.0.2.9"
    assert "192.0.2.9" not in repr(phone)


def test_the_first_codec_of_an_answer_that_was_offered() -> None:
    phone = read_phone_media(SDP_OPUS.encode(), "application/sdp", "")
    assert choose_codec((Codec.PCMU, Codec.PCMA), phone) is Codec.PCMA
    with pytest.raises(SipError) as caught:
        choose_codec((Codec.PCMU,), phone)
    assert caught.value.status == 488


@pytest.mark.parametrize(("content_type", "status"), [(None, 415), ("text/plain", 415), ("multipart/mixed;boundary=x", 415)])
def test_other_bodies(content_type: str | None, status: int) -> None:
    with pytest.raises(SipError) as caught:
        read_phone_media(SDP_PCMA.encode(), content_type, "")
    assert caught.value.status == status


def test_an_answer_without_the_codec_is_refused() -> None:
    phone = read_phone_media(SDP_PCMA.encode(), "application/sdp", "")
    with pytest.raises(SipError):
        OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).answer(phone, Codec.OPUS)


def test_a_refused_medium_repeats_only_its_grammar() -> None:
    body = SDP_PCMA + "m=application 5000 UDP/BFCP *\r\nm=x-odd 1 A/B pl@nted\r\n"
    answer = OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).answer(read_phone_media(body.encode(), "application/sdp", ""), Codec.PCMA)
    assert b"m=application 0 UDP/BFCP *\r\n" in answer
    assert b"m=x-odd 0 A/B 0\r\n" in answer


def test_an_offer_has_the_better_codec_first_whatever_the_order_of_the_call() -> None:
    offer = OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).offer((Codec.PCMA, Codec.PCMU, Codec.G722)).decode()
    assert "m=audio 30000 RTP/AVP 9 8 0 101\r\n" in offer


@pytest.mark.parametrize(
    ("lines", "packet_ms", "opus"),
    [
        ("", 20, True),
        ("a=ptime:20\r\na=maxptime:140\r\n", 20, True),
        ("a=ptime:10\r\n", 10, True),
        ("a=ptime:30\r\n", 30, True),
        ("a=ptime:60\r\na=maxptime:60\r\n", 60, True),
        ("a=ptime:60\r\na=maxptime:40\r\n", 40, True),
        ("a=ptime:120\r\n", 20, True),
        ("a=ptime:25\r\n", 20, True),
        ("a=ptime:0\r\na=maxptime:0\r\n", 20, True),
        ("a=maxptime:10\r\n", 10, False),
        ("a=maxptime:15\r\n", 10, False),
        ("a=maxptime:1\r\n", 10, False),
    ],
)
def test_a_phone_says_how_much_sound_it_wants_in_a_packet(lines: str, packet_ms: int, *, opus: bool) -> None:
    """Frames of Opus cannot be cut, so a phone that takes no 20 ms is not given Opus."""
    phone = read_phone_media((SDP_OPUS + lines).encode(), "application/sdp", "")
    assert phone.packet_ms == packet_ms
    assert phone.codecs == (((Codec.OPUS, 111),) if opus else ()) + ((Codec.PCMA, 8),)
    assert "a=ptime:20\r\na=maxptime:20\r\n" in OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).answer(phone, Codec.PCMA).decode(), (
        "the box wants 20 ms itself"
    )


def test_a_phone_with_nothing_but_opus_in_packets_too_short_is_refused() -> None:
    only = SDP_OPUS.replace("AVP 111 8", "AVP 111") + "a=maxptime:10\r\n"
    with pytest.raises(SipError) as raised:
        read_phone_media(only.encode(), "application/sdp", "")
    assert raised.value.status == 488


@pytest.mark.parametrize(
    ("address", "signalling", "is_taken"),
    [
        ("192.0.2.20", "192.0.2.20", True),
        ("192.0.2.21", "192.0.2.20", True),
        ("0.0.0.0", "192.0.2.20", True),
        ("127.0.0.1", "127.0.5.1", True),
        ("::1", "::1", True),
        ("127.0.0.1", "192.0.2.20", False),
        ("::1", "2001:db8::20", False),
        ("::ffff:127.0.0.1", "2001:db8::20", False),
        ("224.0.0.1", "192.0.2.20", False),
        ("239.255.255.250", "127.0.0.1", False),
        ("ff02::1", "2001:db8::20", False),
        ("::ffff:224.0.0.1", "2001:db8::20", False),
        ("255.255.255.255", "192.0.2.20", False),
        ("240.0.0.1", "192.0.2.20", False),
    ],
)
def test_sound_goes_to_a_phone_and_not_to_groups_or_into_the_box(address: str, signalling: str, *, is_taken: bool) -> None:
    body = SDP_PCMA.replace("c=IN IP4 192.0.2.20", f"c=IN IP{6 if ':' in address else 4} {address}").encode()
    if is_taken:
        assert read_phone_media(body, "application/sdp", signalling).address == address
        return
    with pytest.raises(SipError) as caught:
        read_phone_media(body, "application/sdp", signalling)
    assert caught.value.status == 488


@pytest.mark.parametrize(("port", "status"), [(0, 488), (1, 0), (65_535, 0), (65_536, 400)])
def test_ports_at_the_ends(port: int, status: int) -> None:
    body = SDP_PCMA.replace("m=audio 4000", f"m=audio {port}").encode()
    if status:
        with pytest.raises(SipError) as caught:
            read_phone_media(body, "application/sdp", "192.0.2.20")
        assert caught.value.status == status
    else:
        assert read_phone_media(body, "application/sdp", "192.0.2.20").port == port


def test_a_hundred_media_are_one_too_many() -> None:
    """MAX_MEDIA are read; the answer to those refuses all but one."""
    line = "m=audio 4002 RTP/AVP 8\r\n"
    phone = read_phone_media((SDP_PCMA + line * (MAX_MEDIA - 1)).encode(), "application/sdp", "192.0.2.20")
    answer = OurMedia("192.0.2.1", 30_000, 7, bytes, no_fingerprint).answer(phone, Codec.PCMA)
    assert (answer.count(b"m=audio"), answer.count(b"m=audio 0 ")) == (MAX_MEDIA, MAX_MEDIA - 1)
    with pytest.raises(SipError) as caught:
        read_phone_media((SDP_PCMA + line * 99).encode(), "application/sdp", "192.0.2.20")
    assert caught.value.status == 400
