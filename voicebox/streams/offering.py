"""What a running box offers to contacts, and where programs here find what contacts offer: read, changed, written, and served while circuits run. [io]

NOT here: what a line means (offered.py), sockets (server.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voicebox.config.model import Endpoint
from voicebox.contacts.store import StateDirectory
from voicebox.streams.offered import Offered, changed, keep_offered, load_offered
from voicebox.streams.server import StreamServer


class Offering:
    """The file `streams` of a box, and who serves what it says. socks: where programs find the proxy. Methods raise FileProblem and HostError."""

    def __init__(self, store: StateDirectory, socks: Endpoint | None, petnames: Callable[[], frozenset[str]]) -> None:
        self._store, self._socks, self._petnames = store, socks, petnames
        self._server: StreamServer | None = None
        self._offered = self.read()

    def read(self) -> Offered:
        """Return what the file says now."""
        return load_offered(self._store)

    def serve(self, server: StreamServer | None) -> None:
        """Let a server offer it from now on, or nobody."""
        self._server = server
        self.use(self._offered)

    def use(self, offered: Offered) -> None:
        """Offer this from now on; where that cannot be, all is as before."""
        if self._server is not None:
            self._server.use(offered, self._socks)
        self._offered = offered

    def change(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Change it, as the control socket asks: what and line as in offered.py. Raises UsageError."""
        self._keep(changed(self._offered, str(asked.get("what")), str(asked.get("line")), self._petnames()))
        return {"done": True}

    def renamed(self, petname: str, to: str | None) -> None:
        """Let it follow a contact's new petname; None: nothing is the contact's any more."""
        if self._offered != (offered := self._offered.renamed(petname, to)):
            self._keep(offered)

    def _keep(self, offered: Offered) -> None:
        self.use(offered)
        keep_offered(self._store, offered)
