"""A voucher: whoever holds a voucher key of a network says that a relay belongs to it.

    voucher    the voucher key, Ed25519, hexadecimal
    until      last second in which it counts, UTC
    signature  Ed25519 over "voicebox/1 voucher", the network's id and what is vouched for (descriptor.py), hexadecimal

So a relay that changes its addresses or keys needs no new vouchers, and one that changes its operator, role or bandwidth does. NOT here: how many are
needed (network.py). Pure. Spec: PROTOCOL.md §10.2.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

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
    valid_until: dt.datetime
    signature: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Return it as it is written."""
        return hex_line("voucher", self.key) + f"until {time_text(self.valid_until)}\n" + hex_line("signature", self.signature)

    def verify(self, network_id: bytes, vouched: str) -> None:
        """Check its signature. Raises HandshakeError."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(self.signature, _message(network_id, vouched, self.valid_until))
        except (InvalidSignature, ValueError):
            raise HandshakeError("the voucher does not verify") from None


def vouch(network_id: bytes, vouched: str, valid_until: dt.datetime, key: Ed25519PrivateKey) -> Voucher:
    """Vouch for a relay. vouched: Descriptor.vouched."""
    return Voucher(key.public_key().public_bytes_raw(), valid_until, key.sign(_message(network_id, vouched, valid_until)))


def read_voucher(reader: LineReader) -> Voucher:
    """Read one voucher from where the reader stands. Raises FileProblem."""
    return Voucher(reader.octets("voucher", 32), reader.time("until"), reader.octets("signature", 64))


def _message(network_id: bytes, vouched: str, valid_until: dt.datetime) -> bytes:
    return _SIGNED + network_id + f"{vouched}until {time_text(valid_until)}\n".encode()
