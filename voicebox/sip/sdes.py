"""Keys of SRTP in SDP: one crypto attribute to suite and key, and back. Pure.

NOT here: which one is taken (b2bua/offer_answer.py), what the keys do (relay/srtp). One key, no MKI: an attribute that asks for more, or
for less protection, is passed over like one of an unknown suite, as RFC 4568 §6.1 asks; a malformed one raises SipError(400).
Spec: RFC 4568 §9, RFC 7714 §14.2. A lifetime is checked for form: it is the phone's own to keep, and a call ends long before 2^48 packets.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.errors import SipError
from voicebox.sensitive import Secret

_ATTRIBUTE = re.compile(r"([0-9]{1,9})[ \t]+([A-Za-z0-9_]{1,64})[ \t]+([!-~]{1,1024})((?:[ \t]+[!-~]{1,128}){0,16})[ \t]*", re.ASCII)
_KEY = re.compile(r"inline:([A-Za-z0-9+/]{1,128}={0,2})((?:\|(?:2\^[0-9]{1,2}|[0-9]{1,15}))?)((?:\|[0-9]{1,20}:[0-9]{1,3})?)", re.IGNORECASE | re.ASCII)
_HARMLESS = re.compile(r"WSH=[0-9]{1,5}|-.*", re.IGNORECASE)
"""Session parameters that may be left out of account: a hint, and those that say so themselves (RFC 4568 §6.3.7)."""


@unique
class Suite(Enum):
    """What is spoken here, in the order of our offers. The value is the name in SDP."""

    AES_CM_128_80 = "AES_CM_128_HMAC_SHA1_80"
    AEAD_AES_256 = "AEAD_AES_256_GCM"
    AEAD_AES_128 = "AEAD_AES_128_GCM"
    AES_CM_128_32 = "AES_CM_128_HMAC_SHA1_32"

    @property
    def key_octets(self) -> int:
        """Return the length of master key and salt together. Spec: RFC 4568 §6.2, RFC 7714 §14.2."""
        return {Suite.AEAD_AES_256: 32 + 12, Suite.AEAD_AES_128: 16 + 12}.get(self, 16 + 14)


_SUITES = {suite.value: suite for suite in Suite}


@dataclass(frozen=True, slots=True)
class Crypto:
    """One crypto attribute. key: master key and salt of whoever wrote it, under which it sends."""

    tag: int
    suite: Suite
    key: Secret = field(repr=False)


@dataclass(frozen=True, slots=True)
class Protection:
    """How the sound between box and phone is protected: one suite, a key for each direction, master key and salt."""

    suite: Suite
    send: Secret = field(repr=False)
    receive: Secret = field(repr=False)


def parse_crypto(text: str) -> Crypto | None:
    """Parse what follows `a=crypto:`; None where it is well formed but not spoken here. Raises SipError(400)."""
    found = _ATTRIBUTE.fullmatch(text)
    if found is None:
        raise SipError(400, "bad crypto attribute")
    suite = _SUITES.get(found[2])
    if suite is None or ";" in found[3] or not all(_HARMLESS.fullmatch(parameter) for parameter in found[4].split()):
        return None
    key = _KEY.fullmatch(found[3])
    if key is None:
        raise SipError(400, "bad key in crypto attribute")
    if key[3]:
        return None
    try:
        octets = base64.b64decode(key[1].rstrip("=") + "=" * (-len(key[1].rstrip("=")) % 4), validate=True)
    except binascii.Error:
        raise SipError(400, "bad key in crypto attribute") from None
    if len(octets) != suite.key_octets:
        raise SipError(400, "a key has not the length of its suite")
    return Crypto(int(found[1]), suite, Secret(octets))


def serialise_crypto(crypto: Crypto) -> str:
    """Return what follows `a=crypto:`."""
    return f"{crypto.tag} {crypto.suite.value} inline:{base64.b64encode(crypto.key.reveal()).decode()}"
