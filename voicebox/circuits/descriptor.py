"""A relay's descriptor: who it is, where it listens, which keys it has; signed by its identity key.

    voicebox relay 1
    identity   Ed25519 public key, hexadecimal
    role       guard | junction
    operator   who runs it
    address    IP address and UDP port
    onion      hybrid public key (1216 octets), base64 on 26 lines
    pin        SHA-256 of the public key of its DTLS certificate, hexadecimal
    from       first and last second of validity, UTC
    until
    signature  Ed25519 over "voicebox/1 descriptor" and everything above, hexadecimal

NOT here: which relays a box takes (path.py), the private keys (contacts/store.py). Pure. Spec: PROTOCOL.md §10.1.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum, unique

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from voicebox.circuits.hybrid import PUBLIC_OCTETS
from voicebox.circuits.lines import LineReader, base64_lines, hex_line, time_text
from voicebox.errors import UsageError

MAX_DESCRIPTOR_CHARACTERS = 8192
VALID_DAYS = 365
OPERATOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,46}[A-Za-z0-9._-])?\Z")
HINT = "Take the file again from where it came from."
_SIGNED = b"voicebox/1 descriptor"


@unique
class Role(Enum):
    """What a relay serves as."""

    GUARD = "guard"
    JUNCTION = "junction"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a relay says about itself. relay_id: SHA-256 of the identity key."""

    identity: bytes = field(repr=False)
    role: Role
    operator: str = field(repr=False)
    address: str = field(repr=False)
    port: int = field(repr=False)
    onion_key: bytes = field(repr=False)
    link_pin: bytes = field(repr=False)
    valid_from: dt.datetime
    valid_until: dt.datetime

    @property
    def relay_id(self) -> bytes:
        """Return the relay's id: 32 octets."""
        return hashlib.sha256(self.identity).digest()

    def valid_at(self, now: dt.datetime) -> bool:
        """Return whether the descriptor may be used now."""
        return self.valid_from <= now <= self.valid_until


@dataclass(frozen=True, slots=True)
class VerifiedDescriptor:
    """A descriptor whose signature was checked; text is what was signed, with the signature."""

    descriptor: Descriptor
    text: str = field(repr=False)


def _unsigned(descriptor: Descriptor) -> str:
    return (
        "voicebox relay 1\n"
        + hex_line("identity", descriptor.identity)
        + f"role {descriptor.role.value}\noperator {descriptor.operator}\naddress {descriptor.address} {descriptor.port}\n"
        + base64_lines("onion", descriptor.onion_key)
        + hex_line("pin", descriptor.link_pin)
        + f"from {time_text(descriptor.valid_from)}\nuntil {time_text(descriptor.valid_until)}\n"
    )


def sign_descriptor(descriptor: Descriptor, identity_key: Ed25519PrivateKey) -> VerifiedDescriptor:
    """Sign what a relay says about itself. Raises UsageError where the operator's name cannot stand in it."""
    if not OPERATOR.match(descriptor.operator):
        raise UsageError("An operator's name is up to 48 letters, digits, spaces, dots and hyphens.")
    text = _unsigned(descriptor)
    return VerifiedDescriptor(descriptor, text + hex_line("signature", identity_key.sign(_SIGNED + text.encode())))


def read_descriptor(reader: LineReader) -> VerifiedDescriptor:
    """Read one descriptor from where the reader stands, and check its signature. Raises FileProblem."""
    first = reader.line
    reader.exactly("voicebox", "relay 1")
    identity = reader.octets("identity", 32)
    role = Role(reader.choice("role", tuple(role.value for role in Role)))
    operator = reader.value("operator")
    if not OPERATOR.match(operator):
        raise reader.problem("an operator is up to 48 letters, digits, spaces, dots and hyphens")
    address, port = _address(reader)
    descriptor = Descriptor(
        identity, role, operator, address, port, reader.long_octets("onion", PUBLIC_OCTETS), reader.octets("pin", 32), reader.time("from"), reader.time("until")
    )
    signed = reader.text_since(first)
    signature = reader.octets("signature", 64)
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, _SIGNED + signed.encode())
    except (InvalidSignature, ValueError):
        raise reader.problem("the relay's signature does not verify: the descriptor was changed") from None
    return VerifiedDescriptor(descriptor, reader.text_since(first))


def _address(reader: LineReader) -> tuple[str, int]:
    address, _, port = reader.value("address").rpartition(" ")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise reader.problem("an address is an IP address and a port") from None
    if str(parsed) != address or parsed.is_multicast or parsed.is_unspecified:
        raise reader.problem("this address cannot be reached")
    if not port.isdecimal() or len(port) > 5 or not 1 <= int(port) <= 65_535 or str(int(port)) != port:
        raise reader.problem("a port is a number from 1 to 65535")
    return address, int(port)


def parse_descriptor(text: str, path: str) -> VerifiedDescriptor:
    """Read a file that holds one descriptor. Raises FileProblem with the line."""
    reader = LineReader(text, path, HINT, max_characters=MAX_DESCRIPTOR_CHARACTERS)
    verified = read_descriptor(reader)
    if not reader.at_end():
        raise reader.problem("something follows the descriptor")
    return verified
