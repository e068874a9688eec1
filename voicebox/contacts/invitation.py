"""The text of an invitation, for a QR code or to be pasted: the network, whose box invites, and the words.

    voicebox-invitation- | base32, small letters: version u8 = 1 | network id 32 | inviter's id 32 | number u24 | words 3 of u8 | check 4

Nothing else is needed: the card is fetched at the meeting, and has to be of the id that stands here. The check octets tell any wrong letter. Who reads the text can go to the
meeting in the friend's place, as with the words. NOT here: the meeting (circuits/meeting.py). Pure. Spec: PROTOCOL.md §8.8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from voicebox.contacts.words import WORD_COUNT, InvitationWords, parse_words
from voicebox.errors import UsageError

START = "voicebox-invitation-"
VERSION = 1
ID_OCTETS, CHECK_OCTETS = 32, 4
OCTETS = 1 + 2 * ID_OCTETS + 3 + WORD_COUNT + CHECK_OCTETS
CHARACTERS = len(START) + OCTETS * 8 // 5


@dataclass(frozen=True, slots=True)
class Invitation:
    """What somebody is given. inviter_id: SHA-256 of the public key of the inviter's authority."""

    network_id: bytes = field(repr=False)
    inviter_id: bytes = field(repr=False)
    words: InvitationWords = field(repr=False)


def serialise_invitation(invitation: Invitation) -> str:
    """Return the text: 140 characters, none of which is a space."""
    words = invitation.words
    body = bytes([VERSION]) + invitation.network_id + invitation.inviter_id + words.number.to_bytes(3, "big") + bytes(words.choice)
    return START + base64.b32encode(body + _check(body)).decode().lower()


def is_invitation(text: str) -> bool:
    """Return whether a text wants to be an invitation, rather than words."""
    return text.strip().lower().startswith(START)


def parse_invitation(text: str) -> Invitation:
    """Read the text, in any case. Raises UsageError."""
    folded = text.strip().lower()
    octets = b""
    if len(folded) == CHARACTERS and folded.startswith(START) and folded.isascii():
        try:
            octets = base64.b32decode(folded.removeprefix(START).upper())
        except binascii.Error:
            octets = b""
    body = octets[:-CHECK_OCTETS]
    if len(octets) != OCTETS or octets[-CHECK_OCTETS:] != _check(body):
        raise UsageError(f"This is no invitation, or some of its letters are wrong or missing: it begins with {START} and has {CHARACTERS} characters.")
    try:
        if body[0] != VERSION:
            raise ValueError
        words = InvitationWords(int.from_bytes(body[65:68], "big"), (body[68], body[69], body[70]))
    except ValueError:
        raise UsageError("This invitation is of another version. One of the two boxes needs an update.") from None
    return Invitation(body[1:33], body[33:65], words)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"voicebox/1 invitation" + body).digest()[:CHECK_OCTETS]


def parse_said(said: str, network_id: bytes) -> tuple[InvitationWords, str]:
    """Return the words of what somebody was told, and the id of whose card it must be, 64 hexadecimal digits, or empty where words alone do not tell. Raises UsageError."""
    if not is_invitation(said):
        return parse_words(said), ""
    invitation = parse_invitation(said)
    if invitation.network_id != network_id:
        raise UsageError("This invitation is of another network than this box belongs to. Make a box for that network: `voicebox init --network LINE FILE`.")
    return invitation.words, invitation.inviter_id.hex()
