"""SOCKS5 as far as a program needs it to name a contact's service: CONNECT by name, and UDP ASSOCIATE. Pure.

In order: the greeting, with or without a user name (RFC 1929; any is taken, and means nothing yet); the request; the reply. Names that are no contact's are
refused here, so that nothing is looked up and nothing leaves: there is no exit to the internet. NOT here: sockets (server.py).
Spec: RFC 1928, RFC 1929. Departure: no BIND; the reply to CONNECT names no address; of datagrams no fragments.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, unique

VERSION, PASSWORD_VERSION = 5, 1
NO_AUTHENTICATION, PASSWORD, NO_METHOD = 0, 2, 0xFF
CONNECT, ASSOCIATE, BY_NAME = 1, 3, 3
ADDRESS_OCTETS = {1: 4, 4: 16}
MAX_OCTETS = 1_024
"""Of everything before the reply, at most."""


@unique
class Reply(IntEnum):
    """RFC 1928 §6."""

    DONE = 0
    FAILED = 1
    NOT_ALLOWED = 2
    HOST_UNREACHABLE = 4
    REFUSED = 5
    COMMAND = 7
    ADDRESS = 8

    def serialise(self) -> bytes:
        """Return the reply, which names 0.0.0.0:0."""
        return bytes([VERSION, self, 0, 1]) + bytes(6)


REASONS = {1: Reply.REFUSED, 2: Reply.FAILED, 3: Reply.HOST_UNREACHABLE, 4: Reply.FAILED, 5: Reply.REFUSED}
"""Of why a stream was reset (PROTOCOL.md §11.3)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program asks for. host: below the contact's name, "" for none."""

    petname: str = field(repr=False)
    port: int
    host: str = field(default="", repr=False)


class Negotiation:
    """One program's beginning. first and whole: that nothing is to be said before what the program says, as http.py has it. contact_of(host): whose name that is, None where it ends in no suffix of contacts, "" for nobody's.

    Contract: receive() what came, send what it returns; wanted is set once the request is whole; over: it was refused, and the rest is to be closed.
    """

    first, whole = b"", False
    associates = False
    """It asked for UDP ASSOCIATE; then `wanted` names nobody."""

    def __init__(self, contact_of: Callable[[str], str | None]) -> None:
        self._contact_of = contact_of
        self._came = b""
        self._step = self._greeting
        self.wanted: Wanted | None = None
        self.over = False

    def receive(self, octets: bytes) -> bytes:
        """Take what the program sent; return what to answer now. Nothing is read ahead: a program that says more than was asked is refused."""
        self._came += octets
        answer = b""
        while not self.over and self.wanted is None:
            said = self._step()
            if said is None:
                if len(self._came) > MAX_OCTETS:
                    self.over = True
                break
            answer += said
        if self.wanted is not None and self._came:
            self.over, self.wanted = True, None
        return answer

    def reply(self, why: int | None) -> bytes:
        """Return what the program is told once its stream is taken, or was not. why: as in streams/bundles.py."""
        return (Reply.DONE if why is None else REASONS.get(why, Reply.FAILED)).serialise()

    def _take(self, octets: int) -> bytes:
        taken, self._came = self._came[:octets], self._came[octets:]
        return taken

    def _greeting(self) -> bytes | None:
        if self._came[:1] not in {b"", bytes([VERSION])}:
            return self._refuse(b"")
        if len(self._came) < 2 or len(self._came) < 2 + self._came[1]:
            return None
        methods = self._take(2 + self._came[1])[2:]
        if PASSWORD in methods:
            self._step = self._user
            return bytes([VERSION, PASSWORD])
        if NO_AUTHENTICATION in methods:
            self._step = self._request
            return bytes([VERSION, NO_AUTHENTICATION])
        return self._refuse(bytes([VERSION, NO_METHOD]))

    def _user(self) -> bytes | None:
        if self._came[:1] not in {b"", bytes([PASSWORD_VERSION])}:
            return self._refuse(bytes([PASSWORD_VERSION, 1]))
        if len(self._came) < 2 or len(self._came) < 3 + self._came[1]:
            return None
        octets = 3 + self._came[1] + self._came[2 + self._came[1]]
        if len(self._came) < octets:
            return None
        self._take(octets)
        self._step = self._request
        return bytes([PASSWORD_VERSION, 0])

    def _request(self) -> bytes | None:
        came = self._came
        if came[:1] not in {b"", bytes([VERSION])}:
            return self._refuse(b"")
        if len(came) < 5:
            return None
        command, kind = came[1], came[3]
        if kind not in {*ADDRESS_OCTETS, BY_NAME}:
            return self._refuse(Reply.ADDRESS.serialise())
        address = 1 + came[4] if kind == BY_NAME else ADDRESS_OCTETS[kind]
        if len(came) < 4 + address + 2:
            return None
        request = self._take(4 + address + 2)
        if command == ASSOCIATE:
            self.associates, self.wanted = True, Wanted("", 0)
            return b""
        if command != CONNECT:
            return self._refuse(Reply.COMMAND.serialise())
        name = request[5 : 4 + address].decode("ascii", "replace")
        petname = self._contact_of(name) if kind == BY_NAME else None
        port = int.from_bytes(request[-2:])
        if petname is None or not port:
            return self._refuse(Reply.NOT_ALLOWED.serialise())
        if not petname:
            return self._refuse(Reply.HOST_UNREACHABLE.serialise())
        self.wanted = Wanted(petname, port, host_in(name, petname))
        return b""

    def _refuse(self, answer: bytes) -> bytes:
        self.over = True
        return answer


def bound_reply(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bytes:
    """Return the reply to UDP ASSOCIATE: where datagrams are to be sent."""
    return bytes([VERSION, Reply.DONE, 0, 1 if address.version == 4 else 4]) + address.packed + port.to_bytes(2)


def parse_datagram(datagram: bytes, contact_of: Callable[[str], str | None]) -> tuple[bytes, Wanted] | None:
    """Return a datagram's header (RFC 1928 §7), and whom it is for; None where that is no contact by name."""
    if len(datagram) < 5 or datagram[2] or datagram[3] != BY_NAME or len(datagram) < 7 + datagram[4]:
        return None
    header = datagram[: 7 + datagram[4]]
    petname, port = contact_of(header[5:-2].decode("ascii", "replace")), int.from_bytes(header[-2:])
    return (header, Wanted(petname, port)) if petname and port else None


def host_in(name: str, petname: str) -> str:
    """Return the host below a contact's name in a name that stands for the contact; "" for none."""
    labels = name.lower().split(".")
    return labels[0] if len(labels) > 2 and labels[1] == petname.lower() else ""


def contact_of(host: str, suffixes: tuple[str, ...], petnames: frozenset[str]) -> str | None:
    """Return the petname that a host name stands for, a contact's or that of a host under it; "" where it ends in a suffix and is nobody's, None where it does not."""
    name = host.rstrip(".").lower()
    stems = [name.removesuffix(f".{suffix}") for suffix in suffixes if name.endswith(f".{suffix}")]
    if not stems:
        return None
    under = {petname for stem in stems if 0 < len(labels := stem.split(".")) <= 2 and all(labels) for petname in labels[-1:]}
    return next((petname for petname in petnames if petname.lower() in under), "")
