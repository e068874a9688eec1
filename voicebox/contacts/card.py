"""The card: what two people swap so that their boxes know each other. Armoured text, made for mail, paper and QR codes.

    -----BEGIN VOICEBOX CARD-----
    60 characters of base64 (the last line may be shorter), a space, 4 hexadecimal check digits
    -----END VOICEBOX CARD-----

The check digits tell the line that was mistyped; that nobody changed the card is the authority's signature in it, which stands over all of it.
NOT here: where cards are kept (store.py). Pure. Spec: PROTOCOL.md §8.1.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature

from voicebox.contacts.identity import MAX_CERTIFICATE_OCTETS, Identity, VerifiedAuthority, verify_authority
from voicebox.errors import FileProblem, HandshakeError

BEGIN = "-----BEGIN VOICEBOX CARD-----"
END = "-----END VOICEBOX CARD-----"
VERSION = 1
SIGNATURE_OCTETS = 64
STATIC_OCTETS = 32
LINE_OCTETS = 45
MAX_CARD_CHARACTERS = 16_384
_SIGNED = b"voicebox/1 card"
_AGAIN = "Ask for the card again and add the new file."


@dataclass(frozen=True, slots=True)
class VerifiedCard:
    """A card whose authority and signature were checked."""

    authority: VerifiedAuthority
    static_key: bytes = field(repr=False)

    @property
    def contact_id(self) -> bytes:
        """Return SHA-256 of the authority's public key."""
        return self.authority.contact_id


def serialise_card(identity: Identity) -> str:
    """Make the card of an identity: text of about 15 lines."""
    certificate = identity.authority_certificate
    body = bytes([VERSION]) + len(certificate).to_bytes(2, "big") + certificate + identity.static_key.public_key().public_bytes_raw()
    body += identity.authority_key.sign(_SIGNED + body)
    lines = [base64.b64encode(body[at : at + LINE_OCTETS]).decode() for at in range(0, len(body), LINE_OCTETS)]
    return "\n".join([BEGIN, *(f"{line} {_check_digits(number, line)}" for number, line in enumerate(lines, 1)), END, ""])


def parse_card(text: str, now: dt.datetime, path: str) -> VerifiedCard:
    """Read and check a card. path: the file's name, for the problem's text.

    Raises FileProblem with the line at which the card was damaged.
    """
    if len(text) > MAX_CARD_CHARACTERS:
        raise FileProblem(path, 0, "this is far longer than a card", _AGAIN)
    body, line = _unarmour(text, path)
    if len(body) < 3 + STATIC_OCTETS + SIGNATURE_OCTETS:
        raise FileProblem(path, line, "the card is too short", _AGAIN)
    if body[0] != VERSION:
        raise FileProblem(path, line, "the card is of another version", "One of the two boxes needs an update.")
    length = int.from_bytes(body[1:3], "big")
    if length > MAX_CERTIFICATE_OCTETS or len(body) != 3 + length + STATIC_OCTETS + SIGNATURE_OCTETS:
        raise FileProblem(path, line, "the card's length is wrong", _AGAIN)
    try:
        authority = verify_authority(body[3 : 3 + length], now)
        authority.public_key.verify(body[-SIGNATURE_OCTETS:], _SIGNED + body[:-SIGNATURE_OCTETS])
    except HandshakeError as problem:
        raise FileProblem(path, line, str(problem), _AGAIN) from None
    except InvalidSignature:
        raise FileProblem(path, line, "the card's signature does not verify", _AGAIN) from None
    return VerifiedCard(authority, body[3 + length : -SIGNATURE_OCTETS])


def only_card(text: str) -> str:
    """Return the card's lines alone, without what a mail has around them. Contract: parse_card took the text."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    first = lines.index(BEGIN)
    return "\n".join([*lines[first : lines.index(END, first)], END, ""])


def _check_digits(number: int, line: str) -> str:
    """Return what shows a typing error in a line, or lines out of order. number: 1-based within the card."""
    return hashlib.sha256(f"{number} {line}".encode()).hexdigest()[:4]


def _unarmour(text: str, path: str) -> tuple[bytes, int]:
    """Return the octets between the frame's two lines, and the file's line of the first of the two."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if BEGIN not in lines:
        raise FileProblem(path, 1, f"there is no line '{BEGIN}'", "Is this a card? Copy all of it, with its first and last line.")
    first = lines.index(BEGIN)
    if END not in lines[first:]:
        raise FileProblem(path, len(lines), f"there is no line '{END}'", "Copy all of the card, with its last line.")
    body = b""
    for number, line in enumerate(lines[first + 1 : lines.index(END, first)], 1):
        encoded, _, digits = line.partition(" ")
        if not line.isascii() or digits != _check_digits(number, encoded):
            raise FileProblem(path, first + 1 + number, "this line of the card was changed or is out of place", _AGAIN)
        try:
            octets = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise FileProblem(path, first + 1 + number, "this line is not base64", _AGAIN) from None
        if base64.b64encode(octets).decode() != encoded:
            raise FileProblem(path, first + 1 + number, "this line is not written as a card's is", _AGAIN)
        body += octets
    return body, first + 1
