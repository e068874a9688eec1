"""Names to URIs and back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicebox.b2bua.dialled import MAX_SHOWN_LETTERS, caller_address, dialled_name
from voicebox.errors import SipError
from voicebox.sip.headers import parse_name_addr
from voicebox.sip.uri import SipUri, parse_uri

HOSTS = frozenset({"box.lan", "2001:db8::1"})


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("sip:bob.privacy", "bob"),
        ("sip:bob.privacy.", "bob"),
        ("sip:x@phone.bob.privacy", "phone.bob"),
        ("sip:712@box.lan", "712"),
        ("sip:*43@[2001:db8::1]", "*43"),
        ("sip:Bob.Privacy@box.lan", "Bob"),
        ("sip:+1-555;phone-context=x@box.lan", "+1-555"),
    ],
)
def test_what_is_dialled(uri: str, name: str) -> None:
    assert dialled_name(parse_uri(uri), ("privacy",), HOSTS) == name


@pytest.mark.parametrize(
    "uri", ["sip:privacy", "sip:box.lan", "sip:bob@elsewhere", "sip:%00@box.lan", "sip:%0d%0aX@box.lan", "sip:" + "a" * 200 + "@box.lan", "sip:bob.privacy.alt"]
)
def test_what_is_nobody(uri: str) -> None:
    with pytest.raises(SipError) as caught:
        dialled_name(parse_uri(uri), ("privacy",), HOSTS)
    assert caught.value.status == 404


@given(st.text(min_size=1, max_size=200))
@example("漢" * 200)
@example("\x1f")
def test_any_petname_makes_one_line_that_phones_can_read(petname: str) -> None:
    shown = parse_name_addr(caller_address(petname, "privacy"))
    uri = parse_uri(shown.uri)
    assert isinstance(uri, SipUri)
    assert uri.host.endswith("privacy")
    assert "\r" not in shown.display
    assert "\n" not in shown.display
    assert len(shown.display) <= MAX_SHOWN_LETTERS + 2


@pytest.mark.parametrize("petname", ["bob", "Bob-2", "anna.mobile"])
def test_the_caller_shown_can_be_dialled_back(petname: str) -> None:
    uri = parse_uri(parse_name_addr(caller_address(petname, "privacy")).uri)
    assert dialled_name(uri, ("privacy",), HOSTS) == petname.lower()
