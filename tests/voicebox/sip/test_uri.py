"""URIs: the parts, the refusals, and that parse and serialise are inverses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.errors import SipError
from voicebox.sip.uri import SipUri, param, parse_uri, serialise_uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:bob.privacy", SipUri("sip", "bob.privacy")),
        ("SIP:Bob@Box.LAN:5062", SipUri("sip", "box.lan", 5062, "Bob")),
        ("sips:a:secret@b", SipUri("sips", "b", user="a", password="secret")),
        ("sip:+1-212;ext=5@gw;user=phone", SipUri("sip", "gw", user="+1-212;ext=5", params=(("user", "phone"),))),
        ("sip:[2001:db8::1]:5060;lr", SipUri("sip", "[2001:db8::1]", 5060, params=(("lr", None),))),
        ("sip:a@b?subject=x&to=y", SipUri("sip", "b", user="a", headers="subject=x&to=y")),
        ("sip:*43@box", SipUri("sip", "box", user="*43")),
        ("sip:#31#@box", SipUri("sip", "box", user="#31#")),
        ("sip:box_1.", SipUri("sip", "box_1.")),
    ],
)
def test_parts(text: str, uri: SipUri) -> None:
    assert parse_uri(text) == uri
    assert parse_uri(serialise_uri(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:@b",
        "sip:a@",
        "sip:a@b@c",
        "sip:b:0",
        "sip:b:65536",
        "sip:b:x",
        "sip:b:",
        "sip:a b@c",
        "sip:[::1",
        "sip:[::g]",
        "sip:[fe80::1%25eth0]",
        "sip:-b",
        "sip:b..c",
        "sip:b;",
        "sip:b;=x",
        "sip:b;x=",
        "sip:a%4@b",
        "sip:é@b",
        "sip:b" + ";x" * 40,
        "sip:" + "a" * 300,
        "bob",
        "sip:b\r\nX: y",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_uri(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(("text", "status"), [("tel:+1", 416), ("http://x", 416), ("sip:" + "a" * 1_100, 414)])
def test_other_refusals(text: str, status: int) -> None:
    with pytest.raises(SipError) as caught:
        parse_uri(text)
    assert caught.value.status == status


def test_the_user_as_text() -> None:
    assert parse_uri("sip:%62o%20b;x=1@h").user_text == "bo b"
    assert parse_uri("sip:h").user_text == ""


def test_params_by_name() -> None:
    params = parse_uri("sip:h;Transport=TCP;lr").params
    assert (param(params, "transport"), param(params, "lr"), param(params, "x")) == ("TCP", "", None)


def test_a_password_does_not_print() -> None:
    assert "secret" not in repr(parse_uri("sip:a:secret@b"))


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        uri = parse_uri("sip:" + text)
    except SipError:
        return
    assert parse_uri(serialise_uri(uri)) == uri
