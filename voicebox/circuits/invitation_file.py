"""The file of a box's invitations, so that they outlive a restart: the words that make them good, and what came of each. Pure.

    DIR/invitations     a list in JSON, one object for each (KeptInvitation); sealed where the directory is (contacts/store.py), and in no backup: a used one would be good again

NOT here: what an invitation does (pairing.py). serialise_invitations and parse_invitations are inverses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from voicebox.errors import FileProblem

INVITATIONS_FILE = "invitations"
_HINT = "Delete it; the invitations in it are lost."


@dataclass(frozen=True, slots=True)
class KeptInvitation:
    """One. secret: 64 hexadecimal digits; until_us: of the network's clock; card, claims: of who used the words, else empty; the rest as in pairing.py."""

    place: int
    secret: str = field(repr=False)
    password: str = field(repr=False)
    until_us: int
    petname: str = field(repr=False)
    sure: bool
    wrong_tries: int
    meetings: int
    card: str = field(repr=False)
    claims: str = field(repr=False)
    settled: bool


_SECRET = re.compile(r"[0-9a-f]{64}\Z")
_KINDS = {"int": int, "str": str, "bool": bool}


def serialise_invitations(invitations: Iterable[KeptInvitation]) -> bytes:
    """Return the file."""
    return json.dumps([asdict(invitation) for invitation in invitations], indent=1).encode() + b"\n"


def parse_invitations(octets: bytes, path: str) -> list[KeptInvitation]:
    """Return what the file holds. path: its name, for the problem's text. Raises FileProblem."""
    try:
        found = json.loads(octets)
        if isinstance(found, list) and all(_fits(one) for one in found):
            return [KeptInvitation(**one) for one in found]
    except (ValueError, RecursionError):
        pass
    raise FileProblem(path, 0, "these are no invitations", _HINT)


def _fits(one: object) -> bool:
    kinds = {name: _KINDS[str(kind)] for name, kind in KeptInvitation.__annotations__.items()}
    return (
        isinstance(one, dict)
        and one.keys() == kinds.keys()
        and all(type(value) is kinds[name] for name, value in one.items())
        and _SECRET.match(one["secret"]) is not None
    )
