"""A guest: somebody who is met by words, and is no contact yet. There is no call with a guest but the meeting.

The secret that stands for a guest follows from the number of an invitation alone (contacts/words.py), so whoever knows or guesses the number has it: it
says where two boxes meet, and proves nothing. What proves is the password (exchange.py). NOT here: who is a guest (pairing.py), tokens (pair_book.py).
Pure. Spec: PROTOCOL.md §8.8.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicebox.circuits.kdf import hkdf_expand, sha256
from voicebox.sensitive import Secret

SECRET_OCTETS = 32
ACCEPTER_ID, INVITER_ID = sha256(b"voicebox/1 accepter"), sha256(b"voicebox/1 inviter")
"""In the place of the ids of caller and callee: neither knows yet who the other is."""


@dataclass(frozen=True, slots=True)
class Guest:
    """secret: what the number and the network give, 32 octets. invited: they come to us; else we go to them, and leave no token."""

    secret: Secret
    invited: bool

    def secret_of(self, epoch: int) -> Secret:
        """Return what stands for the secret of a pair in an epoch. It is not hashed forward: the number would give the former ones anyway."""
        return Secret(hkdf_expand(self.secret.reveal(), b"voicebox/1 meeting epoch" + epoch.to_bytes(4, "big"), SECRET_OCTETS))
