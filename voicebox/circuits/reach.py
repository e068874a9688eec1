"""Whether this machine is reachable at a UDP port, as relays of the network see it, and under which address.

Each relay that is asked is greeted from one port, as for a link, and shown the cookie that it gives; it then sends one datagram to the other port. What comes there came
unasked as far as a router or firewall can tell. NOT here: sockets (reaching.py), the answering side (relay/dtls/src/cookie.rs). Pure: datagrams in and out, random octets are
handed in. Spec: PROTOCOL.md §2.1.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from voicebox.circuits.descriptor import Descriptor, RelayAddress

OCTETS = 64
HELLO, COOKIE, REACH, REACHED = 1, 2, 4, 5
COOKIE_OCTETS, NUMBER_OCTETS, HELLO_NUMBER_OCTETS = 20, 16, 31


def hello(pin: bytes, number: bytes) -> bytes:
    """Return the hello for the listener of a pin. number: 31 octets, drawn."""
    return bytes([HELLO]) + number + hmac.digest(pin, b"voicebox/1 hello" + number, "sha256")


def parse_cookie(datagram: bytes) -> bytes | None:
    """Return the cookie of a cookie datagram: 20 octets; None where it is none."""
    fits = len(datagram) == OCTETS and datagram[0] == COOKIE and not any(datagram[1 + COOKIE_OCTETS :])
    return datagram[1 : 1 + COOKIE_OCTETS] if fits else None


def serialise_reach(cookie: bytes, port: int, number: bytes) -> bytes:
    """Return what asks for a datagram to a port of the address at which the cookie is good. number: 16 octets, drawn."""
    return (bytes([REACH]) + cookie + port.to_bytes(2, "big") + number).ljust(OCTETS, b"\0")


def parse_reached(datagram: bytes) -> tuple[bytes, str] | None:
    """Return the number of what was asked, and the address as the relay saw it; None where it is no such datagram."""
    if len(datagram) != OCTETS or datagram[0] != REACHED or any(datagram[33:]):
        return None
    seen = ipaddress.IPv6Address(datagram[17:33])
    return datagram[1:17], str(seen.ipv4_mapped or seen)


@dataclass(slots=True)
class _Asked:
    relay: Descriptor
    hello: bytes = field(repr=False)
    number: bytes = field(repr=False)
    cookie: bytes | None = field(default=None, repr=False)
    seen: str = field(default="", repr=False)


class Reach:
    """One look. Contract: send what to_send() returns, from one port, again each second; feed what comes there, and what comes at the other port."""

    def __init__(self, relays: Sequence[Descriptor], port: int, draw: Callable[[int], bytes]) -> None:
        """Ask these relays about a port. draw: so many random octets."""
        self._port = port
        self._asked = [_Asked(relay, hello(relay.link_pin, draw(HELLO_NUMBER_OCTETS)), draw(NUMBER_OCTETS)) for relay in relays]

    def to_send(self) -> list[tuple[RelayAddress, bytes]]:
        """Return what is to be said to relays that have not done what they are asked, each at its first address."""
        return [(each.relay.addresses[0], self._next(each)) for each in self._asked if not each.seen]

    def answered(self, host: str, port: int, datagram: bytes) -> list[tuple[RelayAddress, bytes]]:
        """Take a datagram that came where hellos leave; return what is to be sent."""
        cookie, source = parse_cookie(datagram), RelayAddress(host, port)
        found = [each for each in self._asked if cookie is not None and each.cookie is None and each.relay.addresses[0] == source]
        for each in found:
            each.cookie = cookie
        return [(source, self._next(each)) for each in found]

    def reached(self, datagram: bytes) -> None:
        """Take a datagram that came at the port in question."""
        parsed = parse_reached(datagram)
        for each in self._asked:
            if parsed is not None and each.cookie is not None and hmac.compare_digest(each.number, parsed[0]):
                each.seen = parsed[1]

    @property
    def over(self) -> bool:
        """Return whether there is nothing left to wait for."""
        return all(each.seen for each in self._asked)

    @property
    def address(self) -> str | None:
        """Return the address at which others reach the port; None where half of the relays, or more, could not, or they saw different ones."""
        seen = [each.seen for each in self._asked if each.seen]
        return seen[0] if 2 * len(seen) > len(self._asked) and len(set(seen)) == 1 else None

    def _next(self, each: _Asked) -> bytes:
        return each.hello if each.cookie is None else serialise_reach(each.cookie, self._port, each.number)
