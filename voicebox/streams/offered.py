"""What this box offers to contacts, and where programs here find what contacts offer: the file `streams`, one line each.

    service NAME ADDRESS:PORT PORT PETNAME,PETNAME [udp|tls|fast]    a service at an address, reached by these contacts under PORT; `-` for nobody
    forward ADDRESS:PORT PETNAME PORT [udp|fast]                     a port here that leads to a contact's service

`tls`: the service speaks TLS, with a certificate of this box's owner; contacts' boxes check it and present it locally (tls_checks.py). `fast`: octets go in fast cells, beside the slots, seen by relays and lines (PROTOCOL.md §13);
both ends say so. Nobody is allowed unless named. NOT here: sockets (server.py), who is a contact, disks (contacts/store.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from voicebox.config.model import Endpoint, parse_endpoint, parse_port
from voicebox.contacts.contact import checked_petname
from voicebox.contacts.device_cert import checked_label
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, UsageError

STREAMS_FILE = "streams"
MAX_SERVICES = MAX_FORWARDS = 64
NOBODY = "-"
LIST_PORT = 0
"""A stream to it leads to no service, but to the list of those that the contact may reach (PROTOCOL.md §11.5)."""


def checked_name(name: str) -> str:
    """Return a service's name. Raises UsageError."""
    if not 0 < len(name) <= 32 or not name.isascii() or not name.replace("-", "a").isalnum():
        raise UsageError("A service's name has 1 to 32 letters, digits and hyphens.")
    return name


@dataclass(frozen=True, slots=True)
class Service:
    """A program at `to` that the contacts in `allow` reach under `port`."""

    name: str
    to: Endpoint
    port: int
    allow: tuple[str, ...] = field(default=(), repr=False)
    udp: bool = False
    tls: bool = False
    fast: bool = False

    def __post_init__(self) -> None:
        checked_name(self.name)
        if self.tls:
            checked_label(self.name)


@dataclass(frozen=True, slots=True)
class Forward:
    """A port here that leads to the service of a contact."""

    listen: Endpoint
    petname: str = field(repr=False)
    port: int
    udp: bool = False
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A service of a contact's, by the word of the contact's box."""

    name: str = field(repr=False)
    port: int
    udp: bool
    tls: bool = False
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Offered:
    """All services and forwards of a box; a change is a new one. Raises UsageError for two of a name, port or address, and for too many."""

    services: tuple[Service, ...] = ()
    forwards: tuple[Forward, ...] = ()

    def __post_init__(self) -> None:
        names, ports, places = (
            [each.name for each in self.services],
            [(each.port, each.udp) for each in self.services],
            [(each.listen, each.udp) for each in self.forwards],
        )
        if len(set(names)) < len(names) or len(set(ports)) < len(ports):
            raise UsageError("There is a service of that name or port already; `voicebox service list` prints them.")
        if len(set(places)) < len(places):
            raise UsageError("There is a forward at that address already; `voicebox forward list` prints them.")
        if len(names) > MAX_SERVICES or len(places) > MAX_FORWARDS:
            raise UsageError(f"A box has at most {MAX_SERVICES} services and {MAX_FORWARDS} forwards.")

    def allowed(self, petname: str, port: int, *, udp: bool = False) -> Service | None:
        """Return to which service a contact's stream to a port leads, or an association; None where that is none, or not for this contact."""
        return next((each for each in self.services if (each.port, each.udp) == (port, udp) and petname in each.allow), None)

    @property
    def fast(self) -> int:
        """Return how many of them are fast."""
        return sum(each.fast for each in self.services) + sum(each.fast for each in self.forwards)

    def offers_to(self, petname: str) -> bool:
        """Return whether a contact may reach anything here."""
        return any(petname in each.allow for each in self.services)

    def listing(self, petname: str) -> str:
        """Return what a contact's box is told that asks what the contact may reach: `NAME PORT tcp`, udp, tls or fast, a line each."""
        return "".join(f"{each.name} {each.port}{_kind(each) or ' tcp'}\n" for each in self.services if petname in each.allow)

    def with_service(self, service: Service) -> Offered:
        """Return it with one more service."""
        return replace(self, services=(*self.services, service))

    def without_service(self, name: str) -> Offered:
        """Return it without a service. Raises UsageError where there is none."""
        left = tuple(each for each in self.services if each.name != name)
        if len(left) == len(self.services):
            raise UsageError("There is no service of that name; `voicebox service list` prints them.")
        return replace(self, services=left)

    def with_forward(self, forward: Forward) -> Offered:
        """Return it with one more forward."""
        return replace(self, forwards=(*self.forwards, forward))

    def without_forward(self, listen: Endpoint) -> Offered:
        """Return it without a forward. Raises UsageError where there is none."""
        left = tuple(each for each in self.forwards if each.listen != listen)
        if len(left) == len(self.forwards):
            raise UsageError("There is no forward at that address; `voicebox forward list` prints them.")
        return replace(self, forwards=left)

    def renamed(self, petname: str, to: str | None) -> Offered:
        """Return it with another petname of a contact; None: nothing is left of them."""
        return Offered(
            tuple(replace(each, allow=tuple(_renamed(each.allow, petname, to))) for each in self.services),
            tuple(replace(each, petname=each.petname if each.petname != petname else to or "") for each in self.forwards if each.petname != petname or to),
        )

    def serialise(self) -> str:
        """Return the file's text."""
        lines = [f"service {each.name} {each.to} {each.port} {','.join(each.allow) or NOBODY}{_kind(each)}" for each in self.services]
        lines += [f"forward {each.listen} {each.petname} {each.port}{_kind(each)}" for each in self.forwards]
        return "".join(f"{line}\n" for line in lines)


SERVICE_KINDS: tuple[list[str], ...] = ([], ["udp"], ["tls"], ["fast"])
FORWARD_KINDS: tuple[list[str], ...] = ([], ["udp"], ["fast"])
"""What may end a line."""


def _kind(each: Service | Forward) -> str:
    return " udp" if each.udp else " fast" if each.fast else " tls" if isinstance(each, Service) and each.tls else ""


def _renamed(petnames: tuple[str, ...], petname: str, to: str | None) -> Iterator[str]:
    for each in petnames:
        if each != petname:
            yield each
        elif to is not None:
            yield to


def parse_listing(text: str) -> tuple[Listed, ...]:
    """Read what a contact's box told; lines that are none are passed over."""
    found = []
    for line in text.splitlines()[:MAX_SERVICES]:
        match line.split():
            case [name, port, "tcp" | "udp" | "tls" | "fast" as kind]:
                with contextlib.suppress(UsageError):
                    found.append(Listed(checked_name(name), parse_port(port), kind == "udp", kind == "tls", kind == "fast"))
            case _:
                continue
    return tuple(found)


def parse_offered(text: str, path: str) -> Offered:
    """Read the file. Raises FileProblem, with the line."""
    offered = Offered()
    for number, line in enumerate(text.splitlines(), 1):
        try:
            offered = _with_line(offered, line)
        except UsageError as problem:
            raise FileProblem(path, number, str(problem).rstrip("."), "`voicebox service` and `voicebox forward` write it.") from None
    return offered


def load_offered(store: StateDirectory) -> Offered:
    """Read the file of a box; nothing is offered where there is none. Raises FileProblem."""
    return parse_offered(store.read_text(STREAMS_FILE), str(store.path(STREAMS_FILE))) if store.exists(STREAMS_FILE) else Offered()


def keep_offered(store: StateDirectory, offered: Offered) -> None:
    """Write the file of a box. Raises HostError."""
    store.write(STREAMS_FILE, offered.serialise().encode())


def rename_offered(store: StateDirectory, petname: str, to: str | None) -> None:
    """Let the file follow a contact's new petname where no box runs; None: nothing is left of them. Raises HostError, FileProblem."""
    offered = load_offered(store)
    if (fresh := offered.renamed(petname, to)) != offered:
        keep_offered(store, fresh)


def changed(offered: Offered, what: str, line: str, petnames: frozenset[str]) -> Offered:
    """Return it after a change. what: add, with a line of the file, or remove, with `service NAME` or `forward ADDRESS:PORT`; petnames: of all contacts.

    Raises UsageError.
    """
    match what, line.split():
        case "add", _:
            fresh = _with_line(offered, line)
            named = {*(each for service in fresh.services for each in service.allow), *(forward.petname for forward in fresh.forwards)}
            if not named <= petnames:
                raise UsageError("There is no contact of that petname; `voicebox contact list` prints them.")
            return fresh
        case "remove", ["service", name]:
            return offered.without_service(name)
        case "remove", ["forward", listen]:
            return offered.without_forward(parse_endpoint(listen))
        case _:
            raise UsageError("A service or forward is added or removed by `voicebox service` and `voicebox forward`.")


def _with_line(offered: Offered, line: str) -> Offered:
    match line.split():
        case ["service", name, to, port, allow, *kind] if kind in SERVICE_KINDS:
            petnames = () if allow == NOBODY else tuple(dict.fromkeys(checked_petname(each) for each in allow.split(",")))
            return offered.with_service(Service(name, parse_endpoint(to), parse_port(port), petnames, kind == ["udp"], kind == ["tls"], kind == ["fast"]))
        case ["forward", listen, petname, port, *kind] if kind in FORWARD_KINDS:
            return offered.with_forward(Forward(parse_endpoint(listen), checked_petname(petname), parse_port(port), kind == ["udp"], kind == ["fast"]))
        case _:
            raise UsageError("neither a service nor a forward")
