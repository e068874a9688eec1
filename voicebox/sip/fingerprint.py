"""Fingerprints and roles of DTLS-SRTP in SDP: two attributes to values, and back. Pure.

NOT here: which side is which (b2bua/offer_answer.py), the handshake (relay/dtls/src/keying.rs). A malformed attribute is as good as none, and so is a
fingerprint by a hash that is not spoken here, MD5 and SHA-1 among those: where a handshake is wanted nothing is protected then, and the call refused.
Spec: RFC 8122 §5, RFC 4145 §4, RFC 5763 §5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, unique

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
    """Parse what follows `a=fingerprint:`; None where it is none, or its hash is not spoken here."""
    found = _ATTRIBUTE.fullmatch(text)
    if found is None:
        return None
    name, octets = found[1].lower(), bytes.fromhex(found[2].replace(":", ""))
    return Fingerprint(name, octets) if HASH_OCTETS.get(name) == len(octets) else None


def serialise_fingerprint(fingerprint: Fingerprint) -> str:
    """Return what follows `a=fingerprint:`."""
    return f"{fingerprint.hash} {fingerprint.octets.hex(':').upper()}"


def parse_setup(text: str) -> Setup | None:
    """Parse what follows `a=setup:`; None where it is none."""
    return next((setup for setup in Setup if setup.value == text.strip().lower()), None)
