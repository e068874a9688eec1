"""The guards of the place where a box is, on its disk. [io]

NOT here: which place it is (places.py), which guards (guards.py).
"""

from __future__ import annotations

import secrets

from voicebox.circuits.guards import GuardSet
from voicebox.circuits.path import Rng
from voicebox.circuits.places import KEY_OCTETS, PLACES_FILE, Places, guards_file
from voicebox.contacts.store import StateDirectory


class GuardsHere:
    """Contract: enter() with the gateway at each start and change; load() after each that says True. only, prefer: whose guards may be used, or are drawn first."""

    def __init__(self, store: StateDirectory, only: frozenset[str], prefer: frozenset[str]) -> None:
        text = store.read_text(PLACES_FILE) if store.exists(PLACES_FILE) else ""
        self._store, self._only, self._prefer, self._gateway = store, only, prefer, b""
        self._places = Places(text, str(store.path(PLACES_FILE)), secrets.token_bytes(KEY_OCTETS))

    def enter(self, gateway: bytes) -> bool:
        """Be where a gateway is; return whether that is another place. One that is not known, yet or at all, changes nothing. Raises HostError."""
        if gateway in {b"", self._gateway}:
            return False
        self._gateway, before = gateway, self._places.present
        if self._places.enter(gateway):
            self._store.remove(guards_file(self._places.present))
        self._store.write(PLACES_FILE, self._places.text().encode())
        return self._places.present != before

    def load(self, wanted: int, rng: Rng) -> GuardSet:
        """Return the guards of this place. Raises FileProblem."""
        name = guards_file(self._places.present)

        def save(text: str) -> None:
            self._store.write(name, text.encode())

        text = self._store.read_text(name) if self._store.exists(name) else ""
        return GuardSet(wanted, rng, save, text, str(self._store.path(name)), only=self._only, prefer=self._prefer)
