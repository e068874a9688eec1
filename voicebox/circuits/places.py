"""The places at which a box has been, each with guards of its own: those of a traveller's home are not shown elsewhere, nor those of one hotel in the next.

A place is a default gateway. Kept of it are a digest under a key of this box's own, and the number of its guards' file.

    voicebox places 1
    key        32 octets, drawn once
    place      8 octets: HMAC-SHA256(key, gateway); a space, the number; where the box was last comes first, at most MAX_PLACES

NOT here: what the gateway is (addresses.py), guards (guards.py), disks. Pure. Spec: PROTOCOL.md §10.5.
"""

from __future__ import annotations

import hashlib
import hmac

from voicebox.circuits.guards import GUARDS_FILE
from voicebox.circuits.lines import LineReader

PLACES_FILE = "places/list"
MAX_PLACES = 8
KEY_OCTETS, DIGEST_OCTETS = 32, 8
_HINT = "Restore it from a backup. If you delete it, this box takes guards for a new place wherever it is."


def guards_file(number: int) -> str:
    """Return the name of the file with the guards of a place; a box that has been at one place only has but the first."""
    return GUARDS_FILE if number == 0 else f"places/{number}"


class Places:
    """Contract: enter() with the gateway at each start and change; then text() is to be kept.

    text: as kept, empty for a box that has been nowhere; key: drawn for that case.
    """

    def __init__(self, text: str, path: str, key: bytes) -> None:
        self._key, self._known = _parse(text, path) if text else (key, [])

    @property
    def present(self) -> int:
        """Return the number of the place where the box was last."""
        return self._known[0][1] if self._known else 0

    def number(self, gateway: bytes) -> int | None:
        """Return the number of a gateway's place, where it is known."""
        return dict(self._known).get(self._digest(gateway))

    def _digest(self, gateway: bytes) -> bytes:
        return hmac.digest(self._key, gateway, hashlib.sha256)[:DIGEST_OCTETS]

    def enter(self, gateway: bytes) -> bool:
        """Be at a gateway's place; return whether guards of that number that there are belong to a place that is forgotten now. gateway: what tells it from others."""
        digest = self._digest(gateway)
        numbers = dict(self._known)
        number = numbers.get(digest)
        forgotten = number is None and len(self._known) == MAX_PLACES
        if forgotten:
            number = self._known.pop()[1]
        if number is None:
            number = min(set(range(MAX_PLACES)) - set(numbers.values()))
        self._known = [(digest, number), *(place for place in self._known if place[0] != digest)]
        return forgotten

    def text(self) -> str:
        """Return the places as they are kept."""
        return "\n".join(["voicebox places 1", f"key {self._key.hex()}", *(f"place {digest.hex()} {number}" for digest, number in self._known)]) + "\n"


def _parse(text: str, path: str) -> tuple[bytes, list[tuple[bytes, int]]]:
    """Read what text() wrote. Raises FileProblem."""
    reader = LineReader(text, path, _HINT, max_characters=2048)
    reader.exactly("voicebox", "places 1")
    key = reader.octets("key", KEY_OCTETS)
    known: list[tuple[bytes, int]] = []
    while not reader.at_end():
        digest, _, number = reader.value("place").partition(" ")
        wrong = reader.problem("a place is 16 hexadecimal digits and a number below 8, none twice")
        try:
            place = bytes.fromhex(digest), int(number)
        except ValueError:
            raise wrong from None
        twice = place[0] in dict(known) or place[1] in dict(known).values()
        if len(place[0]) != DIGEST_OCTETS or f"{place[0].hex()} {place[1]}" != f"{digest} {number}" or not 0 <= place[1] < MAX_PLACES or twice:
            raise wrong
        known.append(place)
    return key, known
