"""The shared random value of a period, which decides its junctions: nobody can choose it, and everybody who has the list computes the same.

A period is 24 epochs. Each holder of a value key of the network signs its number, with RSA PKCS#1 v1.5 (RFC 8017 §8.2), of which a key has one signature of each text:
so a holder can sign or not, and nothing between. (Ed25519 has as many as its holder likes.) A modulus can be made such that some texts have 65537 signatures; but then
only one text in 65537 has any, so its holder is one who does not sign.

    voicebox value 1
    by         SHA-256 of the value key, hexadecimal
    period     its number
    signature  256 octets, base64 on 6 lines, over "voicebox/1 value", the network's id and the period

NOT here: who hands signatures on (gossip.py), when they are published (values_coming.py). Pure. Spec: PROTOCOL.md §10.7.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from voicebox.circuits.lines import LineReader, base64_lines, hex_line
from voicebox.errors import HandshakeError

PERIOD_EPOCHS = 24
KEY_BITS = 2_048
KEY_OCTETS = 294
"""A SubjectPublicKeyInfo of that many bits, DER."""
EXPONENT = 65_537
SIGNATURE_OCTETS = KEY_BITS // 8
FIRST_LINE = "voicebox value 1\n"
MAX_PERIOD = 2**32 - 1
MAX_KEPT_PERIODS = 64
AHEAD = 1
"""Periods before its own in which a signature is published."""


@dataclass(frozen=True, slots=True)
class ValueKey:
    """A value key of a network. der: SubjectPublicKeyInfo, 294 octets."""

    der: bytes = field(repr=False)

    @property
    def key_id(self) -> bytes:
        """Return the key's id: 32 octets."""
        return hashlib.sha256(self.der).digest()

    @property
    def text(self) -> str:
        """Return it as it stands in the terms."""
        return base64_lines("value", self.der)


@dataclass(frozen=True, slots=True)
class ValueSignature:
    """What one holder says of a period. key_id: of the value key; signature: 256 octets."""

    key_id: bytes = field(repr=False)
    period: int
    signature: bytes = field(repr=False)

    @property
    def entry_id(self) -> bytes:
        """Return under what it stands in a list: one for each key and period."""
        return hashlib.sha256(b"voicebox/1 value entry" + self.key_id + self.period.to_bytes(4, "big")).digest()

    @property
    def text(self) -> str:
        """Return it as it is written."""
        return FIRST_LINE + hex_line("by", self.key_id) + f"period {self.period}\n" + base64_lines("signature", self.signature)


def make_value_key() -> rsa.RSAPrivateKey:
    """Make a private value key."""
    return rsa.generate_private_key(EXPONENT, KEY_BITS)


def public_part(key: rsa.RSAPrivateKey) -> ValueKey:
    """Return what the terms of a network have of a key."""
    return ValueKey(key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def sign_value(key: rsa.RSAPrivateKey, network_id: bytes, period: int) -> ValueSignature:
    """Sign a period."""
    signature = key.sign(_message(network_id, period), padding.PKCS1v15(), hashes.SHA256())
    return ValueSignature(public_part(key).key_id, period, signature)


def verify_value(keys: Iterable[ValueKey], network_id: bytes, said: ValueSignature) -> None:
    """Check a signature. keys: of the terms. Raises HandshakeError."""
    der = next((key.der for key in keys if key.key_id == said.key_id), None)
    if der is None:
        raise HandshakeError("the value is signed by a key that is none of the network's")
    try:
        _public(der).verify(said.signature, _message(network_id, said.period), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise HandshakeError("the signature of the value does not verify") from None


def read_value_key(reader: LineReader) -> ValueKey:
    """Read a value key from where the reader stands, and check it. Raises FileProblem."""
    key = ValueKey(reader.long_octets("value", KEY_OCTETS))
    try:
        _public(key.der)
    except HandshakeError as problem:
        raise reader.problem(f"{problem}") from None
    return key


def read_value_signature(reader: LineReader) -> ValueSignature:
    """Read one signature from where the reader stands, unchecked. Raises FileProblem."""
    reader.exactly("voicebox", "value 1")
    return ValueSignature(reader.octets("by", 32), reader.number("period", 0, MAX_PERIOD), reader.long_octets("signature", SIGNATURE_OCTETS))


def value_of(keys: Iterable[ValueKey], signatures: Mapping[bytes, ValueSignature], period: int) -> bytes | None:
    """Return the value of a period, 32 octets; None where one of the keys has not signed. signatures: by their entry ids."""
    parts = []
    for key in keys:
        said = signatures.get(ValueSignature(key.key_id, period, b"").entry_id)
        if said is None:
            return None
        parts.append(said.signature)
    return hashlib.sha256(b"voicebox/1 value of" + period.to_bytes(4, "big") + b"".join(parts)).digest()


def shared_of(keys: tuple[ValueKey, ...], start: bytes, signatures: Mapping[bytes, ValueSignature], period: int) -> bytes:
    """Return what the junctions of a period follow from: its value, else a hash of the last complete value before it, else of the terms' own; 32 octets.

    start: `shared` of the terms, which alone decides where the network has no value keys.
    """
    if not keys:
        return start
    value = value_of(keys, signatures, period)
    if value is not None:
        return value
    last = last_complete(keys, signatures, period)
    former = start if last is None else value_of(keys, signatures, last)
    assert former is not None
    return hashlib.sha256(b"voicebox/1 value missing" + former + period.to_bytes(4, "big")).digest()


def last_complete(keys: tuple[ValueKey, ...], signatures: Mapping[bytes, ValueSignature], period: int) -> int | None:
    """Return the last period before this one, or this one, whose value is complete."""
    periods = sorted({said.period for said in signatures.values() if said.period <= period}, reverse=True)
    return next((each for each in periods if value_of(keys, signatures, each) is not None), None)


def kept(keys: tuple[ValueKey, ...], signatures: Iterable[ValueSignature], period: int) -> dict[bytes, ValueSignature]:
    """Return the signatures that are kept when it is that period: from the last complete value on, and not of periods that are more than one ahead; 64 periods at most."""
    timely = {said.entry_id: said for said in signatures if said.period <= period + AHEAD}
    last = last_complete(keys, timely, period)
    recent = set(sorted({said.period for said in timely.values() if last is None or said.period >= last}, reverse=True)[:MAX_KEPT_PERIODS])
    if last is not None:
        recent.add(last)
    return {entry_id: timely[entry_id] for entry_id in sorted(timely) if timely[entry_id].period in recent}


def _message(network_id: bytes, period: int) -> bytes:
    return b"voicebox/1 value" + network_id + period.to_bytes(4, "big")


@functools.lru_cache(maxsize=64)
def _public(der: bytes) -> rsa.RSAPublicKey:
    """Return the public key. Raises HandshakeError where it is none of the kind that counts."""
    try:
        key = serialization.load_der_public_key(der)
    except ValueError:
        raise HandshakeError("this is no public key") from None
    again = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS or key.public_numbers().e != EXPONENT or again != der:
        raise HandshakeError("a value key is an RSA key of 2048 bits with the exponent 65537")
    return key
