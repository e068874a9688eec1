"""A voucher: whoever holds a voucher key of a network says that a relay belongs to it.

    voucher    the voucher key, Ed25519, hexadecimal
    since      since when its holder vouches for this, UTC: when the first of the vouchers was made that this one goes on from
    made       when it was made, UTC: of one key's vouchers for a relay the last one made counts
    until      last second in which it counts; before it was made, where the relay is to belong to the network no more
    signature  Ed25519 over "voicebox/1 voucher", the network's id and what is vouched for (descriptor.py), hexadecimal

So a relay that changes its addresses or keys needs no new vouchers, and one that changes its operator, role or bandwidth does. NOT here: how many are
needed (network.py). Pure. Spec: PROTOCOL.md §10.2.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from voicebox.circuits.lines import LineReader, hex_line, time_text
from voicebox.errors import HandshakeError

MAX_VOUCHERS = 16
DEFAULT_DAYS = 180
MAX_DAYS = 730
_SIGNED = b"voicebox/1 voucher"


@dataclass(frozen=True, slots=True)
class Voucher:
    """One voucher, not checked. key: the voucher key, 32 octets."""

    key: bytes = field(repr=False)
    since: dt.datetime
    made: dt.datetime
    valid_until: dt.datetime
    signature: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Return it as it is written."""
        return hex_line("voucher", self.key) + _times(self) + hex_line("signature", self.signature)

    def verify(self, network_id: bytes, vouched: str) -> None:
        """Check its signature. Raises HandshakeError."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(self.signature, _message(network_id, vouched, self))
        except (InvalidSignature, ValueError):
            raise HandshakeError("the voucher does not verify") from None


def vouch(network_id: bytes, vouched: str, made: dt.datetime, valid_until: dt.datetime, key: Ed25519PrivateKey, since: dt.datetime | None = None) -> Voucher:
    """Vouch for a relay, or no more, where it ends before it is made. vouched: Descriptor.vouched; since: of the voucher that this one goes on from."""
    unsigned = Voucher(key.public_key().public_bytes_raw(), since or made, made, valid_until, b"")
    return replace(unsigned, signature=key.sign(_message(network_id, vouched, unsigned)))


def read_voucher(reader: LineReader) -> Voucher:
    """Read one voucher from where the reader stands. Raises FileProblem."""
    return Voucher(reader.octets("voucher", 32), reader.time("since"), reader.time("made"), reader.time("until"), reader.octets("signature", 64))


def _message(network_id: bytes, vouched: str, voucher: Voucher) -> bytes:
    return _SIGNED + network_id + (vouched + _times(voucher)).encode()


def _times(voucher: Voucher) -> str:
    return f"since {time_text(voucher.since)}\nmade {time_text(voucher.made)}\nuntil {time_text(voucher.valid_until)}\n"
