"""The guards of the places where a box is, on its disk: of one, or of one for each uplink that was chosen. [io]

NOT here: which place it is (places.py), which guards (guards.py), which uplinks (uplinks.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from voicebox.circuits.guards import GuardSet
from voicebox.circuits.path import Rng
from voicebox.circuits.places import KEY_OCTETS, PLACES_FILE, Places, guards_file
from voicebox.contacts.store import StateDirectory


class GuardsHere:
    """Contract: enter() with the gateways at each start and change; load() after each that says True. only, prefer: whose guards may be used, or are drawn first."""

    def __init__(self, store: StateDirectory, only: frozenset[str], prefer: frozenset[str]) -> None:
        text = store.read_text(PLACES_FILE) if store.exists(PLACES_FILE) else ""
        self._store, self._only, self._prefer = store, only, prefer
        self._gateways: dict[str | None, bytes] = {None: b""}
        self._places = Places(text, str(store.path(PLACES_FILE)), secrets.token_bytes(KEY_OCTETS))

    def enter(self, gateways: Mapping[str | None, bytes]) -> bool:
        """Be where the gateways of all uplinks are, by their order; return whether any is at another place now. Raises HostError.

        One that is not known, yet or at all, is where it was, or else where the box was last. None: of the way that the system sends.
        """
        now = {uplink: gateway or self._gateways.get(uplink, b"") for uplink, gateway in gateways.items()}
        if now == self._gateways:
            return False
        before, self._gateways = self._numbers(), now
        known = [gateway for gateway in now.values() if gateway]
        if known:
            # Those that are known first, so that none of them is forgotten for another; at last the first one, which is where the box is.
            for gateway in [*(each for each in known if self._places.number(each) is not None), *known, known[0]]:
                if self._places.enter(gateway):
                    self._store.remove(guards_file(self._places.present))
            self._store.write(PLACES_FILE, self._places.text().encode())
        return self._numbers() != before

    def load(self, wanted: int, rng: Rng) -> dict[str | None, GuardSet]:
        """Return the guards of the place of each uplink; uplinks at one place share them. Raises FileProblem."""
        numbers = self._numbers()
        sets = {number: self._load(number, wanted, rng) for number in set(numbers.values())}
        return {uplink: sets[number] for uplink, number in numbers.items()}

    def _numbers(self) -> dict[str | None, int]:
        present = self._places.present
        found = {uplink: self._places.number(gateway) if gateway else None for uplink, gateway in self._gateways.items()}
        return {uplink: present if number is None else number for uplink, number in found.items()}

    def _load(self, number: int, wanted: int, rng: Rng) -> GuardSet:
        name = guards_file(number)

        def save(text: str) -> None:
            self._store.write(name, text.encode())

        text = self._store.read_text(name) if self._store.exists(name) else ""
        return GuardSet(wanted, rng, save, text, str(self._store.path(name)), only=self._only, prefer=self._prefer)
