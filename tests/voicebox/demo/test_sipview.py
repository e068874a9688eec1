"""What a capture shows of a call's SIP."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebox.demo.datagrams import PROTOCOL_UDP, Datagram, Endpoint
from voicebox.demo.sipview import find_calls, view_media, view_sip

CALLER, CALLEE = Endpoint("127.0.0.1", 15060), Endpoint("127.0.0.1", 15062)
BOX_A, BOX_B = Endpoint("127.0.0.2", 5060), Endpoint("127.0.0.3", 5060)


def sdp(port: int, codecs: str = "8 0") -> str:
    """Return an offer or answer with its sound at 127.0.0.1:port."""
    return f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP {codecs}\r\na=rtpmap:96 opus/48000/2\r\n"


def sip(first: str, cseq: str, call_id: str, body: str = "", headers: str = "") -> bytes:
    """Return a SIP message."""
    return f"{first}\r\nCSeq: {cseq}\r\nCall-ID: {call_id}\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def call_datagrams(start_ns: int = 0, call_id: str = "a") -> list[Datagram]:
    """Return a call with a challenge; caller's sound at port 4000, callee's at 4100; every step 1 ms after the one before."""
    invite, ok = "INVITE sip:bob.privacy SIP/2.0", "SIP/2.0 200 OK"
    steps = [
        (CALLER, BOX_A, sip(invite, "1 INVITE", call_id, sdp(4000))),
        (BOX_A, CALLER, sip("SIP/2.0 401 Unauthorized", "1 INVITE", call_id)),
        (CALLER, BOX_A, sip("ACK sip:bob.privacy SIP/2.0", "1 ACK", call_id)),
        (CALLER, BOX_A, sip(invite, "2 INVITE", call_id, sdp(4000), "Authorization: Digest x\r\n")),
        (CALLER, BOX_A, sip(invite, "2 INVITE", call_id, sdp(4000), "Authorization: Digest x\r\n")),
        (BOX_A, CALLER, sip("SIP/2.0 100 Trying", "2 INVITE", call_id)),
        (BOX_B, CALLEE, sip("INVITE sip:bob@127.0.0.1 SIP/2.0", "7 INVITE", call_id + "b", sdp(5000))),
        (CALLEE, BOX_B, sip("SIP/2.0 180 Ringing", "7 INVITE", call_id + "b")),
        (BOX_A, CALLER, sip("SIP/2.0 180 Ringing", "2 INVITE", call_id)),
        (CALLEE, BOX_B, sip(ok, "7 INVITE", call_id + "b", sdp(4100, "8"))),
        (BOX_A, CALLER, sip(ok, "2 INVITE", call_id, sdp(5100, "8 101"))),
        (CALLER, BOX_A, sip("BYE sip:box SIP/2.0", "3 BYE", call_id)),
    ]
    return [Datagram(start_ns + i * 1_000_000, PROTOCOL_UDP, source, destination, octets) for i, (source, destination, octets) in enumerate(steps)]


def test_the_steps_of_a_call_are_found() -> None:
    (call,) = find_calls(call_datagrams(), CALLER, CALLEE)
    assert (call.invited_ns, call.ringing_ns, call.callee_answered_ns, call.answered_ns, call.ended_ns) == (
        3_000_000,
        8_000_000,
        9_000_000,
        10_000_000,
        11_000_000,
    )
    assert call.caller_media is not None
    assert call.callee_media is not None
    assert (call.caller_media.endpoint.port, call.callee_media.endpoint.port, call.callee_media.codec) == (4000, 4100, "pcma")


def test_two_calls_are_kept_apart() -> None:
    calls = find_calls([*call_datagrams(), *call_datagrams(10**9, "z")], CALLER, CALLEE)
    assert [call.invited_ns for call in calls] == [3_000_000, 10**9 + 3_000_000]
    assert [call.callee_answered_ns for call in calls] == [9_000_000, 10**9 + 9_000_000]


def test_a_call_that_nobody_answers_has_no_answer() -> None:
    (call,) = find_calls(call_datagrams()[:9], CALLER, CALLEE)
    assert (call.answered_ns, call.callee_media, call.ended_ns) == (None, None, None)


def test_port_0_is_any_port_of_an_address() -> None:
    assert len(find_calls(call_datagrams(), Endpoint("127.0.0.1", 0), CALLEE)) == 1
    assert find_calls(call_datagrams(), Endpoint("127.0.0.9", 0), CALLEE) == []


def test_dynamic_codecs_are_named_by_their_rtpmap() -> None:
    media = view_media(sdp(4000, "96 8"))
    assert media is not None
    assert (media.codec, media.payload_type) == ("opus", 96)
    assert view_media(sdp(0)) is None
    assert view_media(sdp(4000, "18")) is None


def test_what_is_no_sip_is_none() -> None:
    for octets in (b"", b"\x80\x08SIP/2.0", b"SIP/2.0", b"INVITE x SIP/2.0\r\nCSeq: x INVITE\r\n\r\n", b"HELLO SIP/2.0 x y\r\nCSeq: 1 A\r\n\r\n"):
        assert view_sip(octets) is None


@given(st.binary(max_size=200), st.text(max_size=200))
def test_nothing_that_comes_over_the_wire_is_an_error(octets: bytes, text: str) -> None:
    view_sip(octets)
    view_sip(b"SIP/2.0 " + octets)
    view_media(text)
    view_media("m=audio " + text)
