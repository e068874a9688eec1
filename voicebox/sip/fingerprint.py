"""Fingerprints and roles of DTLS-SRTP in SDP: two attributes to values, and back. Pure.

NOT here: which side is which (b2bua/offer_answer.py), the handshake (relay/dtls/src/keying.rs). A fingerprint by a hash that is not spoken here is
passed over, MD5 and SHA-1 too; a malformed attribute raises SipError(400).
Spec: RFC 8122 §5, RFC 4145 §4, RFC 5763 §5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.errors import SipError

_ATTRIBUTE = re.compile(r" *([A-Za-z0-9\-]{1,32}) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,63}) *", re.ASCII)
HASH_OCTETS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
OUR_HASH = "sha-256"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The digest of a certificate: by which hash, as SDP names it, and its octets."""

    hash: str
    octets: bytes = field(repr=False)


@unique
class Setup(Enum):
    """Who begins a handshake, as whoever writes it says of themselves. The value is the attribute."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"


@dataclass(frozen=True, slots=True)
class Handshake:
    """How the keys between box and phone come about. active: the box says hello; phone: whose certificate the phone must show."""

    active: bool
    phone: Fingerprint


def parse_fingerprint(text: str) -> Fingerprint | None:
    """Parse what follows `a=fingerprint:`; None where its hash is not spoken here. Raises SipError(400)."""
    found = _ATTRIBUTE.fullmatch(text)
    if found is None:
        raise SipError(400, "bad fingerprint")
    name, octets = found[1].lower(), bytes.fromhex(found[2].replace(":", ""))
    if name not in HASH_OCTETS:
        return None
    if len(octets) != HASH_OCTETS[name]:
        raise SipError(400, "a fingerprint has not the length of its hash")
    return Fingerprint(name, octets)


def serialise_fingerprint(fingerprint: Fingerprint) -> str:
    """Return what follows `a=fingerprint:`."""
    return f"{fingerprint.hash} {fingerprint.octets.hex(':').upper()}"


def parse_setup(text: str) -> Setup:
    """Parse what follows `a=setup:`. Raises SipError(400)."""
    try:
        return Setup(text.strip().lower())
    except ValueError:
        raise SipError(400, "bad setup") from None
