"""Which certificates of devices and services an authority has revoked, as its owner's box tells those of contacts.

    sequence u64 | count u8, 1 to 200 | serial numbers 20 each

The sequence is the Unix time of the last revocation, which is later with each: an older list never takes a newer one's place. NOT here: the register of those that were
issued (device_cert.py). Pure. Spec: PROTOCOL.md §8.9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from voicebox.errors import RemoteError

MAX_TOLD = 200
SEQUENCE_OCTETS = 8
SERIAL_OCTETS = 20
_HEADER_OCTETS = SEQUENCE_OCTETS + 1
_TEXT = re.compile(r"\d{1,19}(?: [0-9a-f]{1,40}){1,200}\Z")


@dataclass(frozen=True, slots=True)
class Revoked:
    """What one box tells: the serial numbers of certificates that were revoked and have not expired."""

    sequence: int
    serials: tuple[int, ...] = field(repr=False)

    def serialise(self) -> bytes:
        """Return its octets."""
        serials = b"".join(serial.to_bytes(SERIAL_OCTETS, "big") for serial in self.serials)
        return self.sequence.to_bytes(SEQUENCE_OCTETS, "big") + bytes([len(self.serials)]) + serials

    @property
    def text(self) -> str:
        """Return it as one line of a contact's file."""
        return " ".join([str(self.sequence), *(f"{serial:x}" for serial in self.serials)])


def parse_revoked(octets: bytes) -> Revoked:
    """Read what serialise() wrote. Raises RemoteError for anything else."""
    count = octets[SEQUENCE_OCTETS] if len(octets) > SEQUENCE_OCTETS else 0
    if not 1 <= count <= MAX_TOLD or len(octets) != _HEADER_OCTETS + count * SERIAL_OCTETS or octets[0] >= 1 << 6:
        raise RemoteError("this is no list of revoked certificates")
    places = range(_HEADER_OCTETS, len(octets), SERIAL_OCTETS)
    return Revoked(int.from_bytes(octets[:SEQUENCE_OCTETS], "big"), tuple(int.from_bytes(octets[place : place + SERIAL_OCTETS], "big") for place in places))


def revoked_from_text(text: str) -> Revoked | None:
    """Read what `text` was; None for anything else."""
    if not _TEXT.match(text):
        return None
    sequence, *serials = text.split(" ")
    return Revoked(int(sequence), tuple(int(serial, 16) for serial in serials))
