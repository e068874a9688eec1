"""A contact: whom the user calls by a petname, and the secret that the two boxes share.

NOT here: files (contact_file.py, store.py), what changes a contact (changes.py), what is derived from the secret (circuits/pair.py). Pure.
Spec: PROTOCOL.md §8.1, §8.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from voicebox.contacts.card import VerifiedCard
from voicebox.contacts.revoked import Revoked
from voicebox.errors import UsageError
from voicebox.sensitive import Secret

MAX_CONTACTS = 60
"""A circuit leaves 128 tokens (PROTOCOL.md §3.2) and a contact takes one, or two while a full handshake is not confirmed."""
PETNAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")


class Trust(Enum):
    """How sure it is that a card is that of whom the user means."""

    UNVERIFIED = "unverified"
    """As sure as the way on which the card came."""
    VERIFIED = "verified"
    """Both people saw the same code (PROTOCOL.md §9.7)."""
    CHANGED = "changed"
    """Another card came for the same person. There are no calls, either way, until the user says which of the two holds."""


@dataclass(frozen=True, slots=True)
class PairState:
    """What two boxes share.

    secret: that of `epoch`; hashed forward, never back. former: what it was before a full handshake that the contact has not confirmed,
    with its epoch. met: whether a full handshake was ever finished.
    """

    secret: Secret
    epoch: int
    met: bool = False
    former: Secret | None = None
    former_epoch: int = 0


@dataclass(frozen=True, slots=True)
class CardText:
    """A card that was checked, and the text that it was."""

    card: VerifiedCard
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact. pair is None until the first use in a network; then it comes from the two static keys. changed: another card, not accepted yet.

    revoked: what the contact's box told of certificates of their devices and services.
    """

    petname: str = field(repr=False)
    card: VerifiedCard
    card_text: str = field(repr=False)
    pair: PairState | None = None
    verified: bool = False
    blocked: bool = False
    changed: CardText | None = None
    revoked: Revoked | None = None

    @property
    def contact_id(self) -> bytes:
        """Return SHA-256 of the contact's authority."""
        return self.card.contact_id

    @property
    def trust(self) -> Trust:
        """Return how sure it is who this is."""
        if self.changed is not None:
            return Trust.CHANGED
        return Trust.VERIFIED if self.verified else Trust.UNVERIFIED

    @property
    def open(self) -> bool:
        """Return whether there may be calls, either way: else they find our box off, and we do not look for theirs."""
        return not self.blocked and self.changed is None


def checked_petname(petname: str) -> str:
    """Return a petname in its one form: lower case, one label of a host name, since it is dialled as PETNAME.privacy (RFC 1123 §2.1).

    Raises UsageError where it cannot be one.
    """
    folded = petname.lower()
    if not PETNAME.match(folded):
        raise UsageError("A petname is 1 to 32 letters a-z, digits and hyphens, and begins and ends with a letter or digit.")
    return folded
