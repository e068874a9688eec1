"""What all calls of a box share. NOT here: a call's state (call.py). Pure, but for the clock that it is given. Spec: PROTOCOL.md §8.3."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from voicebox.circuits.between import Words
from voicebox.circuits.pair_book import PairBook
from voicebox.circuits.speech import OwnerPlane
from voicebox.contacts.identity import Identity, VerifiedAuthority
from voicebox.errors import RemoteError


@dataclass(frozen=True, slots=True)
class CallSetting:
    """What all calls of a box share. born_unix_us: network time 0, for the validity of certificates; clock: network time, for what the B2BUA does of itself."""

    plane: OwnerPlane
    identity: Identity
    network_id: bytes
    born_unix_us: int
    book: PairBook
    clock: Callable[[], int]
    words: Words = field(default_factory=Words)

    def authority(self, petname: str) -> VerifiedAuthority:
        """Return a contact's. Raises RemoteError where there is none any more."""
        contact = self.book.get(petname)
        if contact is None:
            raise RemoteError("the contact was removed or blocked")
        return contact.card.authority

    def date(self, now_us: int) -> dt.datetime:
        """Return the date of a network time."""
        return dt.datetime.fromtimestamp((self.born_unix_us + now_us) / 1e6, dt.UTC)
