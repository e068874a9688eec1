"""One-time URLs by which a phone fetches its account. Pure: takes `now`, in seconds of a clock that only goes forward.

A ticket is for one account, once, and for ten minutes; a second one for the same account ends the first. Whoever is told that a ticket was used, and did not use it,
knows that somebody else did. NOT here: sockets (server.py), what the page says (forms.py).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique

LIFETIME_S = 600.0
TOKEN_OCTETS = 16
MAX_TICKETS = 64
MAX_REQUEST_OCTETS = 4096
_REQUEST = re.compile(rb"GET /([A-Za-z0-9_-]{1,64}) HTTP/1\.[01]\r\n")
_END = b"\r\n\r\n"


@unique
class TicketState(Enum):
    """What became of the latest ticket of an account."""

    WAITING = "waiting"
    USED = "used"
    OVER = "over"
    """It was not used in time, or there is none."""


@dataclass(slots=True)
class _Ticket:
    token: str = field(repr=False)
    ends_at: float
    any_certificate: bool
    used: bool = False


class Tickets:
    """All tickets of a box. make_token(): a fresh text that nobody guesses, of letters that stand in a URL as they are."""

    def __init__(self, make_token: Callable[[], str] = lambda: secrets.token_urlsafe(TOKEN_OCTETS)) -> None:
        self._make_token = make_token
        self._tickets: dict[str, _Ticket] = {}

    def issue(self, user: str, now: float, *, any_certificate: bool = False) -> str:
        """Return the token of a fresh ticket. any_certificate: as in forms.linphone_page()."""
        self._tickets.pop(user, None)
        while len(self._tickets) >= MAX_TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        ticket = self._tickets[user] = _Ticket(self._make_token(), now + LIFETIME_S, any_certificate)
        return ticket.token

    def take(self, token: str, now: float) -> tuple[str, bool] | None:
        """Use a ticket: return its account and any_certificate, None where there is no such ticket, or no longer."""
        found = None
        for user, ticket in self._tickets.items():
            if hmac.compare_digest(ticket.token.encode(), token.encode()) and not ticket.used and now < ticket.ends_at:
                found = (user, ticket)
        if found is None:
            return None
        found[1].used = True
        return found[0], found[1].any_certificate

    def withdraw(self, user: str) -> None:
        """Let nobody use an account's ticket any more."""
        self._tickets.pop(user, None)

    def state(self, user: str, now: float) -> TicketState:
        """Return what became of an account's latest ticket."""
        ticket = self._tickets.get(user)
        if ticket is not None and ticket.used:
            return TicketState.USED
        return TicketState.WAITING if ticket is not None and now < ticket.ends_at else TicketState.OVER

    def open_until(self, now: float) -> float | None:
        """Return until when a ticket may be used, None where none may."""
        return max((ticket.ends_at for ticket in self._tickets.values() if not ticket.used and now < ticket.ends_at), default=None)


def asked_token(octets: bytes) -> str | None:
    """Return the token that an HTTP request asks for, once its head is whole. Raises ValueError where this will be no request that is answered."""
    if len(octets) > MAX_REQUEST_OCTETS:
        raise ValueError("too long")
    found = _REQUEST.match(octets)
    if found is None and b"\r\n" in octets:
        raise ValueError("another request")
    return found[1].decode() if found is not None and _END in octets else None


def reply(page: str | None) -> bytes:
    """Return the HTTP response with a page, or that there is none. Spec: RFC 9112 §4, RFC 9111 §5.2."""
    status, kind, body = ("200 OK", "application/xml; charset=utf-8", page) if page is not None else ("404 Not Found", "text/plain", "")
    fields = f"Content-Type: {kind}\r\nContent-Length: {len(body.encode())}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}".encode()


def is_near(remote: str, local: str) -> bool:
    """Say whether somebody at an address may be answered at another one: from this machine, a private network, or the same IPv6 network of 64 bits."""
    there, here = (ipaddress.ip_address(text.partition("%")[0]) for text in (remote, local))
    there = there.ipv4_mapped or there if isinstance(there, ipaddress.IPv6Address) else there
    if there.is_loopback or there.is_link_local or any(there in network for network in _PRIVATE if network.version == there.version):
        return True
    return there.version == here.version == 6 and int(there) >> 64 == int(here) >> 64


_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
"""RFC 1918, RFC 4193."""
