"""Messages: limits, what may be answered, and what the box writes."""

from __future__ import annotations

import pytest

from voicebox.sip.headers import Headers
from voicebox.sip.message import MAX_BODY_OCTETS, Malformed, SipRequest, echo_of, parse_message, serialise_request, serialise_response, with_source
from voicebox.sip.uri import parse_uri

OPTIONS = b"OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>\r\ni: c\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n"


def request(octets: bytes = OPTIONS) -> SipRequest:
    message = parse_message(octets)
    assert isinstance(message, SipRequest)
    return message


def refused(octets: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse_message(octets)
    return caught.value


def test_compact_names_are_the_long_ones() -> None:
    assert [name for name, _ in request().headers] == ["via", "from", "to", "call-id", "cseq", "content-length"]


def test_a_body_is_octets() -> None:
    body = "på dig \x00\r\n\r\n".encode() + b"\xff"
    assert request(OPTIONS.replace(b"l: 0", b"l: %d" % len(body)) + body + b"more").body == body
    assert request(OPTIONS.replace(b"l: 0\r\n", b"") + body).body == body, "without a length the datagram's end is the body's"


@pytest.mark.parametrize(
    ("octets", "status", "answerable"),
    [
        (b"", 400, False),
        (b"\x00" * 70_000, 413, False),
        (OPTIONS[:-2], 400, True),
        (OPTIONS.replace(b"f: ", b"x: "), 400, False),
        (OPTIONS.replace(b"i: c", b"i: c d"), 400, True),
        (OPTIONS.replace(b"i: c", b"i: " + b"c" * 300), 400, True),
        (OPTIONS.replace(b"l: 0", b"no colon"), 400, True),
        (OPTIONS.replace(b"l: 0", b"x: a\rb"), 400, True),
        (OPTIONS.replace(b"l: 0", b"x: a\nb"), 400, True),
        (OPTIONS.replace(b"l: 0", b"x: " + b"y" * 9_000), 400, True),
        (OPTIONS.replace(b"l: 0", b"\r\n".join([b"x: y"] * 200)), 400, True),
        (OPTIONS.replace(b"l: 0", b"l: 0\r\nl: 0"), 400, True),
        (OPTIONS.replace(b"l: 0", b"l: %d" % (MAX_BODY_OCTETS + 1)) + b"x" * (MAX_BODY_OCTETS + 1), 413, True),
        (OPTIONS.replace(b"SIP/2.0\r\nv", b"SIP/3.0\r\nv"), 505, True),
        (OPTIONS.replace(b"sip:h SIP", b"sip:" + b"h" * 1_100 + b" SIP"), 414, True),
        (OPTIONS.replace(b"OPTIONS", b"ACK").replace(b"l: 0", b"l: 9"), 400, False),
        (OPTIONS.replace(b"l: 0", b"Max-Forwards: 256"), 400, True),
        (OPTIONS.replace(b"l: 0", b"Expires: never"), 400, True),
    ],
)
def test_malformed(octets: bytes, status: int, answerable: bool) -> None:
    error = refused(octets)
    assert (error.status, error.echo is not None) == (status, answerable)


def test_error_texts_hold_nothing_of_the_message() -> None:
    error = refused(OPTIONS.replace(b"<sip:a@h>;tag=1", b"planted <planted>"))
    assert "planted" not in str(error)
    assert "planted" not in repr(error)


def test_a_response_echoes_and_tags() -> None:
    answer = parse_message(serialise_response(200, echo_of(request()), "mine", [("allow", "INVITE")], b"x"))
    assert answer.to.tag == "mine"
    assert (answer.call_id, answer.cseq, answer.via, answer.body) == ("c", request().cseq, request().via, b"x")
    kept = parse_message(serialise_response(200, echo_of(request(OPTIONS.replace(b"t: <sip:b@h>", b"t: <sip:b@h> ; TAG = theirs"))), "mine", []))
    assert kept.to.tag == "theirs"


def test_the_source_is_noted_in_the_topmost_via() -> None:
    message = request(OPTIONS.replace(b"rport", b"rport;received=1.2.3.4"))
    via = with_source(message.headers, "198.51.100.7", 4000)
    assert dict(via.params) == {"branch": "z9hG4bK1", "received": "198.51.100.7", "rport": "4000"}
    assert message.headers.get("via") == "SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;received=198.51.100.7;rport=4000"
    same = request(OPTIONS.replace(b";rport", b""))
    assert dict(with_source(same.headers, "192.0.2.9", 1).params) == {"branch": "z9hG4bK1"}


def test_requests_are_written_in_order() -> None:
    octets = serialise_request("BYE", "sip:x", [("call-id", "1"), ("cseq", "2 BYE")], b"abc")
    assert octets == b"BYE sip:x SIP/2.0\r\nCall-ID: 1\r\nCSeq: 2 BYE\r\nContent-Length: 3\r\n\r\nabc"


def test_our_own_fields_cannot_be_split() -> None:
    with pytest.raises(AssertionError):
        Headers().add("x", "a\r\nb: c")


def test_nothing_of_a_message_prints() -> None:
    message = request(OPTIONS.replace(b"sip:a@", b"sip:planted@"))
    for value in (message, message.via, message.from_, message.headers, [message], parse_uri("sip:planted@h")):
        assert "planted" not in repr(value)
        assert "192.0.2" not in repr(value)
