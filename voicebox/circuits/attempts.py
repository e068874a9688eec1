"""Where a call may be knocked for: each junction at which we have a circuit, under each secret that the contact may know. Pure.

Driver: call.py. Spec: PROTOCOL.md §8.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from voicebox.circuits.call_state import KNOCK_US
from voicebox.circuits.circuit import Circuit
from voicebox.circuits.pair_book import PairBook, TokenOwner

BRIEF_US = 2_000_000
"""Four times what an answer takes over links of 45 ms: a knock that is given up while it is answered rings a phone twice."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One junction to knock at, under one secret, over any of our circuits there. for_us: so long. brief: the same is tried once more."""

    circuits: list[Circuit]
    owner: TokenOwner
    for_us: int = KNOCK_US
    brief: bool = False

    def free(self) -> Circuit | None:
        """Return a circuit that is free; the last, because the first is the one that contacts knock at."""
        return next((circuit for circuit in reversed(self.circuits) if circuit.free), None)


def attempts_at(circuits: Iterable[Circuit], book: PairBook, petname: str) -> list[Attempt]:
    """Return the attempts in their order: the newest secret at every junction first; the former one only after that, for a contact who never got the new.

    Of two junctions each is tried briefly first, and for the rest of its time later: whoever has a dummy at one is reached at the other.
    """
    places: dict[tuple[bytes, int], list[Circuit]] = {}
    for circuit in circuits:
        places.setdefault((circuit.path.junction.relay_id, circuit.epoch), []).append(circuit)
    found = [Attempt(there, owner) for (_, epoch), there in places.items() for owner in book.secrets_of(petname, epoch)]
    newest, former = ([attempt for attempt in found if attempt.owner.former is wanted] for wanted in (False, True))
    if len(newest) > 1:
        newest = [replace(attempt, for_us=for_us, brief=brief) for for_us, brief in ((BRIEF_US, True), (KNOCK_US - BRIEF_US, False)) for attempt in newest]
    return newest + former
