"""An HTTP proxy that leads to contacts alone: CONNECT, and GET of which nothing goes on but its own head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.streams.http import MAX_OCTETS, HttpNegotiation
from voicebox.streams.socks import Wanted, contact_of

GET = (
    b"GET http://bob.privacy/a?b=c HTTP/1.1\r\nHost: bob.privacy\r\nUser-Agent: curl\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
)


def contact(host: str) -> str | None:
    return contact_of(host, ("privacy", "privacy.alt"), frozenset({"bob", "carol"}))


def negotiated(*said: bytes) -> tuple[bytes, HttpNegotiation]:
    negotiation = HttpNegotiation(contact)
    return b"".join(negotiation.receive(octets) for octets in said), negotiation


def test_connect_leads_to_a_contact_and_what_comes_with_it_is_kept() -> None:
    answer, negotiation = negotiated(b"CONNECT Bob.Privacy:443 HTTP/1.1\r\nHost: bob.privacy:443\r\n\r\nhello")
    assert (answer, negotiation.wanted, negotiation.first, negotiation.whole) == (b"", Wanted("bob", 443), b"hello", False)
    assert negotiation.reply(None).startswith(b"HTTP/1.1 200 ")


def test_a_get_is_said_without_what_is_the_proxys_and_whatever_follows_it_is_not_said() -> None:
    answer, negotiation = negotiated(GET + b"GET http://carol.privacy/ HTTP/1.1\r\n\r\n")
    assert (answer, negotiation.wanted, negotiation.whole, negotiation.reply(None)) == (b"", Wanted("bob", 80), True, b"")
    assert negotiation.first == b"GET /a?b=c HTTP/1.1\r\nHost: bob.privacy\r\nUser-Agent: curl\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "wanted", "line"),
    [
        (b"http://nas.bob.privacy", Wanted("bob", 80, "nas"), b"HEAD / HTTP/1.1\r\nHost: nas.bob.privacy\r\n"),
        (b"HTTP://carol.privacy.alt:8080/x", Wanted("carol", 8080), b"HEAD /x HTTP/1.1\r\nHost: carol.privacy.alt:8080\r\n"),
    ],
)
def test_the_host_is_the_targets(target: bytes, wanted: Wanted, line: bytes) -> None:
    _, negotiation = negotiated(b"HEAD " + target + b" HTTP/1.0\r\nHost: carol.privacy\r\n\r\n")
    assert negotiation.wanted == wanted
    assert negotiation.first.startswith(line)


def test_octet_by_octet() -> None:
    answer, negotiation = negotiated(*(bytes([octet]) for octet in GET))
    assert (answer, negotiation.wanted) == (b"", Wanted("bob", 80))


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"CONNECT example.org:443 HTTP/1.1", 403),
        (b"CONNECT 127.0.0.1:443 HTTP/1.1", 403),
        (b"CONNECT bob.privacy.example.org:80 HTTP/1.1", 403),
        (b"GET http://example.org/ HTTP/1.1", 403),
        (b"CONNECT dave.privacy:443 HTTP/1.1", 404),
        (b"CONNECT bob.privacy HTTP/1.1", 400),
        (b"CONNECT bob.privacy:0 HTTP/1.1", 400),
        (b"CONNECT bob.privacy:65536 HTTP/1.1", 400),
        (b"CONNECT [::1]:80 HTTP/1.1", 400),
        (b"GET / HTTP/1.1", 400),
        (b"GET http://user@bob.privacy/ HTTP/1.1", 400),
        (b"GET http://bob.privacy/ HTTP/2", 400),
        (b"GET http://bob.privacy/ HTTP/1.1\r\nno field", 400),
        (b"GET http://bob.privacy/ HTTP/1.1\r\nX: a\r\n folded", 400),
        (b"GET http://bob.privacy/ HTTP/1.1\r\nX: a\nHost: b", 400),
        (b"GET http://bob.privacy/ HTTP/1.1\r\nX : a", 400),
        (b"\x05\x01\x00", 400),
        (b"POST http://bob.privacy/ HTTP/1.1\r\nContent-Length: 1", 405),
        (b"GET http://bob.privacy/ HTTP/1.1\r\nTransfer-Encoding: chunked", 405),
        (b"OPTIONS * HTTP/1.1", 405),
        (b"GET http://bob.privacy/ HTTP/1.1\r\nX: " + b"a" * MAX_OCTETS, 431),
    ],
)
def test_anything_else_is_refused_in_words(said: bytes, status: int) -> None:
    answer, negotiation = negotiated(said + b"\r\n\r\n")
    assert (negotiation.wanted, negotiation.over) == (None, True)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert len(body) > 20


def test_a_head_without_end_is_refused() -> None:
    answer, negotiation = negotiated(*[b"x" * 1_000] * 17)
    assert (answer.split()[1], negotiation.over) == (b"431", True)


@pytest.mark.parametrize(("why", "status"), [(1, 403), (2, 503), (3, 502), (4, 502)])
def test_why_no_stream_was_taken_is_told(why: int, status: int) -> None:
    _, negotiation = negotiated(GET)
    assert negotiation.reply(why).startswith(b"HTTP/1.1 %d " % status)


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_are_waited_for_or_refused_and_lead_nowhere_else(octets: bytes, is_get: bool) -> None:
    _, negotiation = negotiated((GET[:60] if is_get else b"") + octets)
    assert negotiation.wanted in {None, Wanted("bob", 80)}
    assert b"\nHost: bob.privacy\r\n" in negotiation.first or negotiation.wanted is None
