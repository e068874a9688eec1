"""The names of a running box: its name server, the addresses that are kept, and which addresses of this machine lead to which contact. [io]

NOT here: whatever listens at those addresses (streams/server.py), interception, which asks place_of().
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Mapping

from voicebox.config.model import BoxConfig, Endpoint
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError
from voicebox.naming.routes import check_ranges
from voicebox.naming.server import NameServer
from voicebox.naming.virtual import NAMES_FILE, RANGE, Address, Place, VirtualAddresses, new_addresses, parse_names
from voicebox.naming.zone import SipPlace, Zone

KEEP_S = 1.0
"""So long after a name got its addresses they are on disk: one write for many."""
LEARN_S = 60.0
"""So long it is not asked again what a contact offers."""
ULA_OCTETS = 5

Doors = Mapping[Endpoint, tuple[str, int, str]]
"""Addresses and ports of this machine, and the contact, the port of the service, and the host below the contact's name to which each leads."""


class Names:
    """What a box knows of names. petnames(): of all contacts; use(doors): listen there, and nowhere else on behalf of names.

    Contract: made on no loop in particular; start() on the running one, stop() ends all. Where the settings name no address, nothing of it does anything.
    """

    def __init__(self, store: StateDirectory, config: BoxConfig, petnames: Callable[[], frozenset[str]], use: Callable[[Doors], None]) -> None:
        self._store, self._config, self._petnames, self._use = store, config, petnames, use
        self.addresses = load_names(store)
        self._zone = Zone(config.suffixes, self.addresses, sip_place(config))
        self._zone.on_place, self._zone.on_asked = self._place_added, self._learn
        self._ports: dict[str, frozenset[int]] = {}
        self._learned_at: dict[str, float] = {}
        self.learn: Callable[[str, Callable[[frozenset[int]], None]], None] = lambda _petname, _then: None
        """Asks a contact's box which ports it offers, and calls `then` where it says."""
        self._server: NameServer | None = None
        self._keeping: asyncio.TimerHandle | None = None
        self._kept = self.addresses.changes
        self._loopback = True

    @property
    def answers(self) -> bool:
        """Return whether the settings want names answered."""
        return bool(self._config.names_listen)

    async def start(self) -> None:
        """Answer from now on. Raises HostError; then nothing is answered."""
        if self.answers:
            self.addresses.keep_only(self._petnames(), time.time())
            self._keep()
            self._server = NameServer(self._zone)
            await self._server.start(self._config.names_listen)
            self.contacts_changed()

    async def stop(self) -> None:
        """Answer nothing any more; idempotent. Raises HostError."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
            self._use({})
        self._keep()

    def place_of(self, address: str | Address) -> Place | None:
        """Return whose a virtual address is; None for nobody's."""
        return self.addresses.place_of(address)

    def intercept(self, own: frozenset[str] | None) -> None:
        """Answer with addresses that are intercepted from now on; own: the interfaces on which that is done; None: with those of this machine again.

        Raises HostError where this machine uses such addresses already; then all is as before.
        """
        if own is not None:
            check_ranges(self.addresses.prefix, own)
        self._loopback = own is None
        self.contacts_changed()

    def answer(self, query: bytes) -> bytes | None:
        """Answer a message of DNS that was intercepted; None where it is none."""
        return self._zone.answer(query, time.time())

    def ranges(self) -> tuple[ipaddress.IPv4Network, ipaddress.IPv6Network]:
        """Return the ranges of virtual addresses, to be intercepted: they stay the same from now on. Raises HostError."""
        if not self._store.exists(NAMES_FILE):
            self.addresses.changes += 1
            self._keep()
        return RANGE, self.addresses.prefix

    def contacts_changed(self) -> None:
        """Take that there are other contacts."""
        self._zone.use(self._petnames(), loopback=self._loopback)
        self.open_doors()

    def renamed(self, petname: str, to: str | None) -> None:
        """Let addresses follow a contact's new petname; None: they are nobody's now. Raises HostError."""
        self.addresses.contact_changed(petname, to, time.time())
        self._keep()
        ports = self._ports.pop(petname, None)
        if to is not None and ports is not None:
            self._ports[to] = ports
        self.contacts_changed()

    def open_doors(self) -> None:
        """Say where to listen."""
        if self._server is None:
            return
        there = self._petnames() if self._loopback else frozenset[str]()
        places = [(place, self.addresses.addresses(place, time.time()).loopback) for place in self.addresses.places() if place.petname in there]
        self._use(
            {
                Endpoint(str(address), port): (place.petname, port, place.host)
                for place, address in places
                for port in {*self._config.names_ports, *self._ports.get(place.petname, ())}
            }
        )

    def _place_added(self) -> None:
        self.open_doors()
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().call_later(KEEP_S, self._keep_later)

    def _learn(self, petname: str) -> None:
        """Ask a contact whose name is looked up for the ports at which there is something, once in a while."""
        now = time.monotonic()
        if self._loopback and self._server is not None and now >= self._learned_at.get(petname, -LEARN_S) + LEARN_S:
            self._learned_at[petname] = now
            self.learn(petname, lambda ports: self._learned(petname, ports))

    def _learned(self, petname: str, ports: frozenset[int]) -> None:
        self._ports[petname] = ports
        self.open_doors()

    def _keep_later(self) -> None:
        with contextlib.suppress(HostError):  # a full disk; what follows, and the end, try again
            self._keep()

    def _keep(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        if self._kept != self.addresses.changes:
            self._store.write(NAMES_FILE, self.addresses.serialise().encode())
            self._kept = self.addresses.changes

    def status(self) -> dict[str, int]:
        """Return counts of all this."""
        return {"places": len(self.addresses.places()), **(self._server.counters if self._server is not None else {})}


def load_names(store: StateDirectory) -> VirtualAddresses:
    """Read the addresses of a box, or draw its ULA. Raises FileProblem."""
    if not store.exists(NAMES_FILE):
        return new_addresses(secrets.token_bytes(ULA_OCTETS), secrets.randbelow)
    return parse_names(store.read_text(NAMES_FILE), str(store.path(NAMES_FILE)), secrets.randbelow)


def rename_names(store: StateDirectory, petname: str, to: str | None) -> None:
    """Let the file follow a contact's new petname where no box runs; None: nothing is the contact's any more. Raises HostError, FileProblem."""
    if store.exists(NAMES_FILE):
        addresses = load_names(store)
        addresses.contact_changed(petname, to, time.time())
        store.write(NAMES_FILE, addresses.serialise().encode())


def sip_place(config: BoxConfig) -> SipPlace | None:
    """Return where phones find a box by name: at the addresses of the settings that share the first one's port; None where they name none."""
    named = [each for each in config.sip_listen if not ipaddress.ip_address(each.address).is_unspecified]
    if not named:
        return None
    port = named[0].port
    addresses = tuple(dict.fromkeys(ipaddress.ip_address(each.address) for each in named if each.port == port))
    return SipPlace(addresses, port, port + 1 if port < 65_535 else None)
