"""What boxes tell each other in calls of certificates that their owners revoked, until the other box has it.

NOT here: the messages' kinds (between.py), which were revoked (contacts/device_cert.py). Pure. Spec: PROTOCOL.md §8.9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from voicebox.contacts.contact import MAX_CONTACTS
from voicebox.contacts.revoked import SEQUENCE_OCTETS, Revoked, parse_revoked
from voicebox.errors import FileProblem, RemoteError


class Revocations:
    """One box's side. own(): what it tells, None for nothing, or FileProblem where that cannot be read; keep(): takes what a contact's box told."""

    def __init__(self, own: Callable[[], Revoked | None], keep: Callable[[bytes, Revoked], None]) -> None:
        self._own, self._keep = own, keep
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def to_say(self, contact_id: bytes) -> bytes | None:
        """Return what a contact's box is to be told now; None where it has that, or there is nothing. A damaged register is `voicebox doctor`'s to tell."""
        try:
            own = self._own()
        except FileProblem:
            return None
        return None if own is None or own.sequence <= self._known.get(contact_id, -1) else own.serialise()

    def heard(self, contact_id: bytes, said: bytes) -> bytes:
        """Take what a contact's box tells; return what it is answered. Raises RemoteError."""
        told = parse_revoked(said)
        self._keep(contact_id, told)
        return told.sequence.to_bytes(SEQUENCE_OCTETS, "big")

    def known(self, contact_id: bytes, said: bytes) -> None:
        """Take that a contact's box has what it was told. Raises RemoteError."""
        if len(said) != SEQUENCE_OCTETS:
            raise RemoteError("a sequence has the wrong length")
        self._known[contact_id] = int.from_bytes(said, "big")
        self._known.move_to_end(contact_id)
        while len(self._known) > MAX_CONTACTS:
            self._known.popitem(last=False)
