"""The virtual addresses of contacts' names, and whose each of them is: the file `names`, one line each. Pure: takes `now`, in seconds of Unix time.

    prefix FDXX:XXXX:XXXX::        the ULA of this box (RFC 4193 §3.2)
    place NUMBER PETNAME [HOST]    the name HOST.PETNAME.privacy, or PETNAME.privacy
    rests NUMBER UNTIL             nobody's until then

A place has a number once its name was asked for. Its addresses are that number in 198.18.0.0/15 (RFC 2544) and in the ULA, for interception, and in 127.192.0.0/15,
for programs of this machine where nothing intercepts. Numbers are drawn, kept, and nobody's for a day when their place is gone. Which name was asked for when is
not kept. NOT here: questions (zone.py), listening (server.py), who sees packets for these addresses.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from voicebox.contacts.contact import checked_petname
from voicebox.errors import FileProblem, UsageError

NAMES_FILE = "names"
RANGE = ipaddress.IPv4Network("198.18.0.0/15")
LOOPBACK = ipaddress.IPv4Network("127.192.0.0/15")
NUMBERS = RANGE.num_addresses
REST_S = 86_400
MAX_HOSTS = 32
"""Under one petname; beyond, the one that was not asked for the longest goes."""
MAX_RESTING = 8_192
HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
"""One label of a host name, in lower case (RFC 1123 §2.1)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Place:
    """What a name stands for: a contact; or a host under the contact's name, "" for none."""

    petname: str = field(repr=False)
    host: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one place."""

    v4: ipaddress.IPv4Address = field(repr=False)
    v6: ipaddress.IPv6Address = field(repr=False)
    loopback: ipaddress.IPv4Address = field(repr=False)


class VirtualAddresses:
    """Which number each place has.

    prefix: the box's ULA; draw(count): a random number below count. Contract: where `changes` is another than before, what serialise() gives is to be kept.
    """

    def __init__(self, prefix: ipaddress.IPv6Network, draw: Callable[[int], int]) -> None:
        self.prefix, self._draw = prefix, draw
        self._numbers: dict[Place, int] = {}
        """In the order in which they were asked for last."""
        self._places: dict[int, Place] = {}
        self._resting: dict[int, int] = {}
        self.changes = 0

    def place_of(self, address: str | Address) -> Place | None:
        """Return whose address this is, for whoever finds a connection or datagram to it; None for nobody's, and for what is no address."""
        try:
            asked = ipaddress.ip_address(address)
        except ValueError:
            return None
        for network in (RANGE, LOOPBACK, self.prefix):
            if asked.version == network.version and asked in network:
                return self._places.get(int(asked) - int(network.network_address))
        return None

    def places(self) -> tuple[Place, ...]:
        """Return all places that have a number."""
        return tuple(self._numbers)

    def addresses(self, place: Place, now: float) -> Addresses:
        """Return the addresses of a place, the same as before where it had any. Raises UsageError where no number is free."""
        if place not in self._numbers:
            self._make_room(place, now)
            self._claim(place, self._drawn(now))
        number = self._numbers[place] = self._numbers.pop(place)
        return Addresses(RANGE[number], self.prefix[number], LOOPBACK[number])

    def contact_changed(self, petname: str, to: str | None, now: float) -> None:
        """Let the places of a contact follow the new petname; None: their numbers are nobody's now."""
        for place in [place for place in self._numbers if place.petname == petname]:
            if to is None:
                self._release(place, now)
            else:
                self._claim(Place(to, place.host), self._numbers.pop(place))

    def keep_only(self, petnames: frozenset[str], now: float) -> None:
        """Let the numbers of those rest who are no contacts any more."""
        for petname in {place.petname for place in self._numbers} - petnames:
            self.contact_changed(petname, None, now)

    def _claim(self, place: Place, number: int) -> None:
        self._numbers[place] = number
        self._places[number] = place
        self.changes += 1

    def _release(self, place: Place, now: float) -> None:
        number = self._numbers.pop(place)
        del self._places[number]
        self._resting[number] = int(now) + REST_S
        self.changes += 1

    def _make_room(self, place: Place, now: float) -> None:
        self._resting = {number: until for number, until in self._resting.items() if until > now}
        if len(self._resting) >= MAX_RESTING:
            raise UsageError("Too many names were asked for within a day.")
        hosts = [other for other in self._numbers if other.petname == place.petname and other.host]
        if place.host and len(hosts) >= MAX_HOSTS:
            self._release(hosts[0], now)

    def _drawn(self, now: float) -> int:
        """Draw a number that is nobody's, and whose addresses end neither in 0 nor in 255: programs take those for a network's own."""
        while True:
            number = self._draw(NUMBERS)
            if number % 256 not in {0, 255} and number not in self._places and self._resting.get(number, 0) <= now:
                self._resting.pop(number, None)
                return number

    def serialise(self) -> str:
        """Return the file's text. Its order tells nothing of what was asked for."""
        places = [f"place {number} {place.petname} {place.host}".rstrip() for number, place in sorted(self._places.items())]
        rests = [f"rests {number} {until}" for number, until in sorted(self._resting.items())]
        return "".join(f"{line}\n" for line in [f"prefix {self.prefix.network_address}", *places, *rests])

    def take_line(self, line: str) -> None:
        """Take a line of the file but the first. Raises UsageError."""
        match line.split():
            case ["place", number, petname, *host] if len(host) <= 1 and all(HOST.match(each) for each in host):
                place = Place(checked_petname(petname), *host)
                if place in self._numbers:
                    raise UsageError("a name twice")
                self._claim(place, self._free(number))
            case ["rests", number, until] if until.isdecimal() and until.isascii() and len(until) <= 12:
                self._resting[self._free(number)] = int(until)
            case _:
                raise UsageError("neither a place nor a number that rests")

    def _free(self, text: str) -> int:
        if not text.isdecimal() or not text.isascii() or len(text) > 6 or int(text) >= NUMBERS:
            raise UsageError(f"a number is below {NUMBERS}")
        if int(text) in self._places or int(text) in self._resting:
            raise UsageError("a number twice")
        return int(text)


def new_addresses(prefix: bytes, draw: Callable[[int], int]) -> VirtualAddresses:
    """Return the addresses of a box that has none. prefix: 5 random octets, the global id of its ULA."""
    return VirtualAddresses(ipaddress.IPv6Network((b"\xfd" + prefix + bytes(10), 48)), draw)


def parse_names(text: str, path: str, draw: Callable[[int], int]) -> VirtualAddresses:
    """Read the file. Raises FileProblem, with the line."""
    lines = text.splitlines()
    number = 1
    try:
        addresses = VirtualAddresses(_prefix(lines[0] if lines else ""), draw)
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - the number is told where the line is wrong
            addresses.take_line(line)
    except UsageError as problem:
        raise FileProblem(path, number, str(problem).rstrip("."), "Delete it: names get other addresses then.") from None
    return addresses


def _prefix(line: str) -> ipaddress.IPv6Network:
    try:
        network = ipaddress.IPv6Network(f"{line.removeprefix('prefix ')}/48")
    except ValueError:
        network = ipaddress.IPv6Network("::/48")
    if network.network_address.packed[0] != 0xFD:
        raise UsageError("the first line is no ULA")
    return network
