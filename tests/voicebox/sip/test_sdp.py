"""Session descriptions."""

from __future__ import annotations

import pytest

from voicebox.errors import SipError
from voicebox.sip.sdp import Description, Direction, Encoding, Medium, parse_sdp, serialise_sdp

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n"
AUDIO = HEAD + "c=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 96 101\r\n"


def test_what_is_read() -> None:
    text = AUDIO + "a=rtpmap:96 OPUS/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendonly\r\na=x-unknown:y\r\n"
    [medium] = parse_sdp(text.encode()).media
    assert (medium.kind, medium.port, medium.protocol, medium.address, medium.ptime_ms) == ("audio", 4000, "RTP/AVP", "192.0.2.9", 20)
    assert medium.direction is Direction.SENDONLY
    assert medium.encodings == (Encoding(8, "pcma", 8000), Encoding(96, "opus", 48000, 2, "useinbandfec=1"), Encoding(101, "telephone-event", 8000))


def test_the_session_speaks_for_its_media_and_a_medium_for_itself() -> None:
    text = HEAD + "c=IN IP4 192.0.2.1\nt=0 0\na=inactive\nm=audio 1 RTP/AVP 0\nm=audio 2 RTP/AVP 0\nc=IN IP6 2001:db8::1\na=sendrecv\n".replace("\n", "\r\n")
    first, second = parse_sdp(text.encode()).media
    assert (first.address, first.direction) == ("192.0.2.1", Direction.INACTIVE)
    assert (second.address, second.direction) == ("2001:db8::1", Direction.SENDRECV)


def test_lines_may_end_in_lf_alone_and_a_host_may_be_named() -> None:
    assert parse_sdp(AUDIO.replace("\r\n", "\n").encode()).media[0].port == 4000
    assert parse_sdp(AUDIO.replace("c=IN IP4 192.0.2.9", "c=IN IP4 phone.lan").encode()).media[0].address == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=1\r\n",
        AUDIO[5:],
        AUDIO.replace("s=-\r\n", ""),
        AUDIO.replace("o=- 1 1", "o=- x y"),
        AUDIO.replace("c=IN IP4 192.0.2.9\r\n", ""),
        AUDIO.replace("c=IN IP4 192.0.2.9", "c=IN IP4 192.0.2.999"),
        AUDIO.replace("c=IN IP4", "c=IN ATM"),
        AUDIO.replace("4000", "70000"),
        AUDIO.replace("4000", "-1"),
        AUDIO.replace(" 8 96 101", ""),
        AUDIO.replace("m=audio", "m=au dio"),
        AUDIO + "a=rtpmap:96 opus\r\n",
        AUDIO + "a=rtpmap:300 opus/48000\r\n",
        AUDIO + "a=rtpmap:96 opus/99999999\r\n",
        AUDIO + "no equals sign\r\n",
        AUDIO + "a=\x00\r\n",
        AUDIO + "a=x\ry\r\n",
        AUDIO + "m=audio 1 RTP/AVP 0\r\n" * 20,
        AUDIO + "a=x\r\n" * 600,
        AUDIO + "a=" + "x" * 20_000,
        HEAD + HEAD,
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_sdp(text.encode())
    assert caught.value.status == 400


def test_parse_and_serialise_are_inverses() -> None:
    media = (
        Medium(
            "audio", 4000, "RTP/AVP", ("8", "96"), "192.0.2.1", (Encoding(8, "pcma", 8000), Encoding(96, "opus", 48000, 2, "cbr=1")), Direction.RECVONLY, 20, 20
        ),
        Medium("video", 0, "RTP/AVP", ("31",), "192.0.2.1"),
    )
    octets = serialise_sdp(Description(media), "192.0.2.1", 7, 2)
    assert parse_sdp(octets).media == media
    assert b"o=- 7 2 IN IP4 192.0.2.1\r\n" in octets
    assert b"IN IP6 2001:db8::1" in serialise_sdp(Description(()), "2001:db8::1", 7, 2)


@pytest.mark.parametrize(
    ("direction", "mirrored", "sends", "receives"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", True, False),
        ("recvonly", "sendonly", False, True),
        ("inactive", "inactive", False, False),
    ],
)
def test_directions(direction: str, mirrored: str, sends: bool, receives: bool) -> None:
    one = Direction(direction)
    assert (one.mirrored, one.sends, one.receives) == (Direction(mirrored), sends, receives)


@pytest.mark.parametrize("value", ["\x1f0", "20 ms", "", "99999", "-1"])
def test_a_strange_ptime_is_as_good_as_none(value: str) -> None:
    """The first of these was once taken for a number."""
    assert parse_sdp((AUDIO + f"a=ptime:{value}\r\n").encode()).media[0].ptime_ms is None
