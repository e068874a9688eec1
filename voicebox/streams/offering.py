"""What a running box offers to contacts, and where programs here find what contacts offer: read, changed, written, and served while circuits run. [io]

NOT here: what a line means (offered.py), sockets (server.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voicebox.config.model import BoxConfig, Endpoint
from voicebox.contacts.contact import Contact
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError
from voicebox.streams.http import HttpNegotiation
from voicebox.streams.offered import Offered, changed, keep_offered, load_offered
from voicebox.streams.server import Door, StreamServer, Talk
from voicebox.streams.socks import Negotiation
from voicebox.streams.tls_ends import TlsEnds


class Offering:
    """The file `streams` of a box, and who serves what it says. config: says where programs find proxies; contact_of(petname): None where there are no calls with them. Methods raise FileProblem and HostError."""

    def __init__(self, store: StateDirectory, config: BoxConfig, petnames: Callable[[], frozenset[str]], contact_of: Callable[[str], Contact | None]) -> None:
        self._store, self._petnames = store, petnames
        self.tls = TlsEnds(store, config.suffixes, contact_of)
        places: list[tuple[Endpoint | None, Talk]] = [(config.socks, Negotiation), (config.http_proxy, HttpNegotiation)]
        self._proxies = {endpoint: talk for endpoint, talk in places if endpoint is not None}
        self._server: StreamServer | None = None
        self._doors: Mapping[Endpoint, Door] = {}
        self._offered = self.read()

    def read(self) -> Offered:
        """Return what the file says now."""
        return load_offered(self._store)

    def serve(self, server: StreamServer | None) -> None:
        """Let a server offer it from now on, or nobody."""
        self._server = server
        self.use(self._offered)
        self.use_doors(self._doors)

    def use(self, offered: Offered) -> None:
        """Offer this from now on; where that cannot be, all is as before."""
        if self._server is not None:
            self._server.use(offered, self._proxies)
        self._offered = offered

    def use_doors(self, doors: Mapping[Endpoint, Door]) -> None:
        """Let programs that connect to these addresses and ports be led to a contact's service, and no others."""
        self._doors = doors
        if self._server is not None:
            self._server.use_doors(doors)

    def change(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Change it, as the control socket asks: what and line as in offered.py. Raises UsageError."""
        self._keep(changed(self._offered, str(asked.get("what")), str(asked.get("line")), self._petnames()))
        return {"done": True}

    def learn(self, petname: str, then: Callable[[frozenset[int]], None]) -> None:
        """Ask a contact's box at which ports it offers something, while circuits run; then() is called where it says."""
        if self._server is not None:
            self._server.learn(petname, then)

    def tell_services(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a contact offers to this box: services, None while the contact's box is asked. petname: whose. Raises UsageError."""
        petname = str(asked.get("petname"))
        if petname not in self._petnames():
            raise UsageError("There is no contact of that petname; `voicebox contact list` prints them.")
        if self._server is None:
            raise UsageError("The box is just starting.")
        found = self._server.services_of(petname)
        if found is None:
            return {"services": None}
        return {"services": [{"name": each.name, "port": each.port, "udp": each.udp, "tls": each.tls, "fast": each.fast} for each in found]}

    def renamed(self, petname: str, to: str | None) -> None:
        """Let it follow a contact's new petname; None: nothing is the contact's any more."""
        if self._offered != (offered := self._offered.renamed(petname, to)):
            self._keep(offered)

    def _keep(self, offered: Offered) -> None:
        self.use(offered)
        keep_offered(self._store, offered)
