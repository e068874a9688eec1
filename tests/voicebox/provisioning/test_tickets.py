"""One-time URLs: used once, in ten minutes, by somebody near; requests of HTTP; addresses."""

from __future__ import annotations

import itertools

import pytest

from voicebox.provisioning.tickets import LIFETIME_S, MAX_REQUEST_OCTETS, MAX_TICKETS, Tickets, TicketState, asked_token, is_near, reply


def numbered() -> Tickets:
    count = itertools.count(1)
    return Tickets(lambda: f"token-{next(count)}")


def test_a_ticket_is_good_once() -> None:
    tickets = numbered()
    token = tickets.issue("desk", 100.0, any_certificate=True)
    assert tickets.state("desk", 100.0) is TicketState.WAITING
    assert tickets.take("token", 101.0) is None
    assert tickets.take("", 101.0) is None
    assert tickets.take(token, 101.0) == ("desk", True)
    assert tickets.state("desk", 102.0) is TicketState.USED
    assert tickets.take(token, 102.0) is None
    assert tickets.open_until(102.0) is None


def test_a_ticket_ends_by_itself_by_another_one_and_by_revoking() -> None:
    tickets = numbered()
    first = tickets.issue("desk", 0.0)
    second = tickets.issue("desk", 1.0)
    assert tickets.take(first, 2.0) is None
    assert tickets.open_until(2.0) == 1.0 + LIFETIME_S
    assert tickets.take(second, 1.0 + LIFETIME_S) is None
    assert tickets.state("desk", 1.0 + LIFETIME_S) is TicketState.OVER
    third = tickets.issue("desk", 1_000.0)
    tickets.withdraw("desk")
    assert tickets.take(third, 1_000.0) is None
    assert tickets.state("nobody", 0.0) is TicketState.OVER


def test_tickets_are_bounded_and_nobody_guesses_one() -> None:
    tickets = Tickets()
    tokens = [tickets.issue(f"phone{number}", 0.0) for number in range(MAX_TICKETS + 1)]
    assert tickets.take(tokens[0], 1.0) is None
    assert tickets.take(tokens[-1], 1.0) == (f"phone{MAX_TICKETS}", False)
    assert len(set(tokens)) == len(tokens)
    assert {len(token) for token in tokens} == {22}, "128 bits"


@pytest.mark.parametrize(
    ("octets", "token"),
    [
        (b"GET /abc HTTP/1.1\r\nHost: x\r\n\r\n", "abc"),
        (b"GET /a-b_9 HTTP/1.0\r\n\r\n", "a-b_9"),
        (b"GET /abc HTTP/1.1\r\nHost: x\r\n", None),
        (b"GET /ab", None),
        (b"", None),
    ],
)
def test_requests(octets: bytes, token: str | None) -> None:
    assert asked_token(octets) == token


@pytest.mark.parametrize(
    "octets",
    [b"POST /abc HTTP/1.1\r\n\r\n", b"HEAD /abc HTTP/1.1\r\n\r\n", b"GET /abc/d HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n", b"\r\n", b"x" * (MAX_REQUEST_OCTETS + 1)],
)
def test_what_is_not_answered(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"request|long"):
        asked_token(octets)


def test_replies_are_not_kept_by_anybody() -> None:
    head, _, body = reply("<a>é</a>").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nCache-Control: no-store\r\n" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert reply(None).startswith(b"HTTP/1.1 404 ")
    assert reply(None).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("remote", "local", "near"),
    [
        ("192.168.1.7", "192.168.1.10", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("169.254.3.4", "192.168.1.10", True),
        ("203.0.113.9", "192.168.1.10", False),
        ("203.0.113.9", "203.0.113.10", False),
        ("100.64.0.1", "192.168.1.10", False),
        ("fe80::1%eth0", "2001:db8::1", True),
        ("fd00::9", "fd00::1", True),
        ("2001:db8:0:1::9", "2001:db8:0:1::1", True),
        ("2001:db8:0:2::9", "2001:db8:0:1::1", False),
        ("::ffff:192.168.1.7", "::", True),
        ("::ffff:203.0.113.9", "::", False),
    ],
)
def test_who_is_near(remote: str, local: str, near: bool) -> None:
    assert is_near(remote, local) is near
