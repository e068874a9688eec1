"""Header values: lists, parameters, addresses, Via, CSeq, numbers."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.errors import SipError
from voicebox.sip.headers import (
    CSeq,
    Headers,
    NameAddr,
    Via,
    canonical_name,
    parse_cseq,
    parse_name_addr,
    parse_number,
    parse_params,
    parse_seconds,
    parse_session_expires,
    parse_token,
    parse_via,
    serialise_name_addr,
    serialise_via,
    split_values,
)


def test_lists_are_split_outside_quotes_and_brackets() -> None:
    assert split_values('"a, b" <sip:x,y@z>;q="1,2" , <sip:c>') == ['"a, b" <sip:x,y@z>;q="1,2" ', " <sip:c>"]
    assert split_values("a,b,,c") == ["a", "b", "", "c"]
    assert split_values('"\\",\\"" <sip:a>') == ['"\\",\\"" <sip:a>']


@pytest.mark.parametrize("text", ['"open <sip:a>', "<sip:a", ",".join("x" * 100)])
def test_lists_that_are_none(text: str) -> None:
    with pytest.raises(SipError):
        split_values(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sip:a@b;tag=x", NameAddr("sip:a@b", (("tag", "x"),))),
        ("<sip:a@b;lr>;Tag = x ; y", NameAddr("sip:a@b;lr", (("tag", "x"), ("y", None)))),
        ('"A \\"B\\"" <sip:a@b>', NameAddr("sip:a@b", (), '"A \\"B\\""')),
        ("Anna Bo <tel:+1>", NameAddr("tel:+1", (), "Anna Bo")),
        ("Jörg <sip:a@b>", NameAddr("sip:a@b", (), "Jörg")),
        ("  <sip:a@b>  ;expires=60", NameAddr("sip:a@b", (("expires", "60"),))),
    ],
)
def test_addresses(text: str, value: NameAddr) -> None:
    assert parse_name_addr(text) == value
    assert parse_name_addr(serialise_name_addr(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "<>",
        "<sip:a@b",
        "a, b <sip:x>",
        '"x <sip:a@b>',
        "<sip:a@b> junk",
        "sip:a@b?x=y",
        "<sip:a@b>;",
        "<sip:a@b>;=x",
        "< sip:a@b >",
        "<sip:a@b>" + ";x" * 40,
        "<sip:" + "a" * 2000 + ">",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_name_addr(text)
    assert caught.value.status in {400, 414}


def test_via() -> None:
    via = parse_via("SIP / 2.0 / udp  Host:5062 ;branch=z9hG4bK1;rport")
    assert via == Via("UDP", "host", 5062, (("branch", "z9hG4bK1"), ("rport", None)))
    assert via.branch == "z9hG4bK1"
    assert parse_via(serialise_via(via)) == via
    assert parse_via("SIP/2.0/TCP [2001:db8::1]:5060").host == "[2001:db8::1]"
    assert parse_via("SIP/2.0/UDP h;received=2001:db8::1;rport=5").params == (("received", "2001:db8::1"), ("rport", "5")), (
        "received has no brackets (RFC 3261 §25.1)"
    )


@pytest.mark.parametrize("text", ["", "SIP/2.0/UDP", "SIP/3.0/UDP h", "UDP h", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP h;;", "SIP/2.0/UDP h i"])
def test_via_that_is_none(text: str) -> None:
    with pytest.raises(SipError):
        parse_via(text)


def test_cseq() -> None:
    assert parse_cseq("0009  INVITE") == CSeq(9, "INVITE")
    for text in ("", "INVITE", "1", "-1 INVITE", "2147483648 INVITE", "1 INVITE x", "1 IN VITE", "x INVITE"):
        with pytest.raises(SipError):
            parse_cseq(text)


def test_numbers() -> None:
    assert parse_number(" 70 ", 255, "Max-Forwards") == 70
    assert parse_seconds("99999999999999999999999", "Expires") == 2**32 - 1
    for text in ("", "-1", "256", "1e3", "٣", "0x1"):
        with pytest.raises(SipError):
            parse_number(text, 255, "Max-Forwards")
    for text in ("", "-1", "soon", "9" * 65):
        with pytest.raises(SipError):
            parse_seconds(text, "Expires")
    assert parse_token(" presence ", "Event") == "presence"
    with pytest.raises(SipError):
        parse_token("a b", "Event")


def test_session_expires() -> None:
    assert parse_session_expires("1800;refresher=UAC") == (1800, "uac")
    assert parse_session_expires("90") == (90, "")
    with pytest.raises(SipError):
        parse_session_expires("90;refresher=me")


def test_header_collection() -> None:
    headers = Headers([("supported", "timer, 100rel"), ("via", "1"), ("supported", "Replaces"), ("via", "2")])
    assert headers.tokens("supported") == {"timer", "100rel", "replaces"}
    assert headers.all("via") == ["1", "2"]
    headers.replace_first("via", "0")
    assert headers.all("via") == ["0", "2"]
    with pytest.raises(KeyError):
        headers.replace_first("x", "y")
    assert headers.get("x") is None
    assert [canonical_name(name) for name in ("call-id", "cseq", "www-authenticate", "max-forwards")] == ["Call-ID", "CSeq", "WWW-Authenticate", "Max-Forwards"]


@given(st.text(alphabet='<>",; =\\\tabsip:@\u00e9\x00', max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_name_addr, parse_via, parse_params, split_values):
        with contextlib.suppress(SipError):
            parse(text)


@pytest.mark.parametrize("text", [" " * 8_000, '"' * 8_000, "\\" * 8_000, "a " * 4_000, ";" * 8_000, ";a=" * 2_000, "<" * 8_000, "a" * 8_000 + " " * 8_000])
def test_hostile_values_cost_little(text: str) -> None:
    started = time.perf_counter()
    for parse in (parse_name_addr, parse_via, parse_params, split_values, parse_cseq):
        with_prefix = "SIP/2.0/UDP h" + text if parse is parse_via else text
        with contextlib.suppress(SipError):
            parse(with_prefix)
    assert time.perf_counter() - started < 0.5
