"""A relay's descriptor: who it is, where it is reached, which keys it has; signed by its identity key, and vouched for by others.

    voicebox relay 1
    identity   Ed25519 public key, hexadecimal
    sequence   rises with every change of the descriptor
    role       guard | junction
    operator   who runs it
    bandwidth  Mbit/s that it gives, each way
    address    IP address and UDP port; one to four such lines
    onion      a hybrid public key (1216 octets), base64 on 26 lines, in descriptors that were signed while relays had such keys; nobody uses it
    pin        SHA-256 of the public key of its DTLS certificate, hexadecimal
    from       first and last second of validity, UTC
    until
    signature  Ed25519 over "voicebox/1 descriptor" and everything above, hexadecimal
    vouchers   how many vouchers follow (voucher.py)

NOT here: whether the vouchers suffice (network.py), which relays a box takes (path.py), the private keys (relay_state.py). Pure. Spec: PROTOCOL.md §10.1.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, unique

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from voicebox.circuits.hybrid import PUBLIC_OCTETS
from voicebox.circuits.lines import LineReader, base64_lines, hex_line, time_text
from voicebox.circuits.voucher import MAX_VOUCHERS, Voucher, read_voucher
from voicebox.errors import UsageError

MAX_DESCRIPTOR_CHARACTERS = 16_384
VALID_DAYS = 365
MAX_ADDRESSES = 4
MAX_SEQUENCE = 2**62
MAX_MBIT_S = 10_000
DEFAULT_MBIT_S = 10
OPERATOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,46}[A-Za-z0-9._-])?\Z")
HINT = "Take the file again from where it came from."
_SIGNED = b"voicebox/1 descriptor"


@unique
class Role(Enum):
    """What a relay serves as."""

    GUARD = "guard"
    JUNCTION = "junction"


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Where a relay is reached: an IP address in numbers and a UDP port."""

    host: str = field(repr=False)
    port: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a relay says about itself. relay_id: SHA-256 of the identity key; mbit_s: what it gives, each way; addresses: in its own order."""

    identity: bytes = field(repr=False)
    sequence: int
    role: Role
    operator: str = field(repr=False)
    mbit_s: int
    addresses: tuple[RelayAddress, ...] = field(repr=False)
    link_pin: bytes = field(repr=False)
    valid_from: dt.datetime
    valid_until: dt.datetime
    former_key: bytes = field(default=b"", repr=False)
    """The hybrid key that an older descriptor has; of no use, but signed with the rest."""

    @property
    def relay_id(self) -> bytes:
        """Return the relay's id: 32 octets."""
        return hashlib.sha256(self.identity).digest()

    @property
    def vouched(self) -> str:
        """Return what others vouch for: who runs the relay, what it serves as, and how much it gives. Not its addresses and keys, which it may change by itself."""
        return hex_line("identity", self.identity) + f"role {self.role.value}\noperator {self.operator}\nbandwidth {self.mbit_s}\n"

    def address(self, attempt: int) -> RelayAddress:
        """Return the address for a try to reach it: one after the other, round and round."""
        return self.addresses[attempt % len(self.addresses)]

    def valid_at(self, now: dt.datetime) -> bool:
        """Return whether the descriptor may be used now."""
        return self.valid_from <= now <= self.valid_until


@dataclass(frozen=True, slots=True)
class VerifiedDescriptor:
    """A descriptor whose own signature was checked, and the vouchers that came with it, which were not."""

    descriptor: Descriptor
    signature: bytes = field(repr=False)
    vouchers: tuple[Voucher, ...] = ()

    @property
    def text(self) -> str:
        """Return it as it is written, with its vouchers."""
        vouchers = f"vouchers {len(self.vouchers)}\n" + "".join(voucher.text for voucher in self.vouchers)
        return _unsigned(self.descriptor) + hex_line("signature", self.signature) + vouchers

    def with_vouchers(self, vouchers: Iterable[Voucher]) -> VerifiedDescriptor:
        """Return it with more vouchers: of each key the last one made, of two made at once the shorter, then the younger, in the order of the keys. Raises UsageError for too many."""
        last: dict[bytes, Voucher] = {}
        for voucher in sorted((*self.vouchers, *vouchers), key=lambda voucher: (voucher.made, -voucher.valid_until.timestamp(), voucher.since)):
            last[voucher.key] = voucher
        if len(last) > MAX_VOUCHERS:
            raise UsageError(f"A descriptor has at most {MAX_VOUCHERS} vouchers.")
        return replace(self, vouchers=tuple(last[key] for key in sorted(last)))


def _unsigned(descriptor: Descriptor) -> str:
    return (
        "voicebox relay 1\n"
        + hex_line("identity", descriptor.identity)
        + f"sequence {descriptor.sequence}\nrole {descriptor.role.value}\noperator {descriptor.operator}\nbandwidth {descriptor.mbit_s}\n"
        + "".join(f"address {address.host} {address.port}\n" for address in descriptor.addresses)
        + (base64_lines("onion", descriptor.former_key) if descriptor.former_key else "")
        + hex_line("pin", descriptor.link_pin)
        + f"from {time_text(descriptor.valid_from)}\nuntil {time_text(descriptor.valid_until)}\n"
    )


def check_claims(operator: str, mbit_s: int, addresses: tuple[RelayAddress, ...]) -> None:
    """Check what an operator says of a relay. Raises UsageError for what cannot stand in a descriptor."""
    if not OPERATOR.match(operator):
        raise UsageError("An operator's name has up to 48 letters, digits, spaces, dots and hyphens.")
    if not 1 <= mbit_s <= MAX_MBIT_S:
        raise UsageError(f"A relay gives 1 to {MAX_MBIT_S} Mbit/s.")
    if not 1 <= len(set(addresses)) == len(addresses) <= MAX_ADDRESSES:
        raise UsageError(f"A relay has one to {MAX_ADDRESSES} addresses, none of them twice.")


def sign_descriptor(descriptor: Descriptor, identity_key: Ed25519PrivateKey) -> VerifiedDescriptor:
    """Sign what a relay says about itself. Raises UsageError where something cannot stand in it."""
    check_claims(descriptor.operator, descriptor.mbit_s, descriptor.addresses)
    return VerifiedDescriptor(descriptor, identity_key.sign(_SIGNED + _unsigned(descriptor).encode()))


def read_descriptor(reader: LineReader) -> VerifiedDescriptor:
    """Read one descriptor from where the reader stands, and check its own signature. Raises FileProblem."""
    first = reader.line
    reader.exactly("voicebox", "relay 1")
    identity = reader.octets("identity", 32)
    sequence = reader.number("sequence", 0, MAX_SEQUENCE)
    role = Role(reader.choice("role", tuple(role.value for role in Role)))
    operator = reader.value("operator")
    if not OPERATOR.match(operator):
        raise reader.problem("an operator is up to 48 letters, digits, spaces, dots and hyphens")
    mbit_s = reader.number("bandwidth", 1, MAX_MBIT_S)
    addresses = _addresses(reader)
    former_key = reader.long_octets("onion", PUBLIC_OCTETS) if reader.follows("onion") else b""
    link_pin = reader.octets("pin", 32)
    valid_from, valid_until = reader.time("from"), reader.time("until")
    if not valid_from < valid_until <= valid_from + dt.timedelta(days=VALID_DAYS + 1):
        raise reader.problem(f"a descriptor is valid for at most {VALID_DAYS} days")
    signed = reader.text_since(first)
    signature = reader.octets("signature", 64)
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, _SIGNED + signed.encode())
    except (InvalidSignature, ValueError):
        raise reader.problem("the relay's signature does not verify: the descriptor was changed") from None
    descriptor = Descriptor(identity, sequence, role, operator, mbit_s, addresses, link_pin, valid_from, valid_until, former_key)
    return VerifiedDescriptor(descriptor, signature, _vouchers(reader))


def _vouchers(reader: LineReader) -> tuple[Voucher, ...]:
    found: list[Voucher] = []
    for _ in range(reader.number("vouchers", 0, MAX_VOUCHERS)):
        voucher = read_voucher(reader)
        if found and voucher.key <= found[-1].key:
            raise reader.problem("vouchers stand in the order of their keys, none twice")
        found.append(voucher)
    return tuple(found)


def _addresses(reader: LineReader) -> tuple[RelayAddress, ...]:
    found = [_address(reader)]
    while reader.follows("address"):
        found.append(_address(reader))
        if len(found) > MAX_ADDRESSES or found[-1] in found[:-1]:
            raise reader.problem(f"a relay has one to {MAX_ADDRESSES} addresses, none of them twice")
    return tuple(found)


def _address(reader: LineReader) -> RelayAddress:
    host, _, port = reader.value("address").rpartition(" ")
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        raise reader.problem("an address is an IP address and a port") from None
    if str(parsed) != host or parsed.is_multicast or parsed.is_unspecified:
        raise reader.problem("this address cannot be reached")
    if not port.isdecimal() or len(port) > 5 or not 1 <= int(port) <= 65_535 or str(int(port)) != port:
        raise reader.problem("a port is a number from 1 to 65535")
    return RelayAddress(host, int(port))


def parse_descriptor(text: str, path: str) -> VerifiedDescriptor:
    """Read a file that holds one descriptor. Raises FileProblem with the line."""
    reader = LineReader(text, path, HINT, max_characters=MAX_DESCRIPTOR_CHARACTERS)
    verified = read_descriptor(reader)
    if not reader.at_end():
        raise reader.problem("something follows the descriptor")
    return verified
