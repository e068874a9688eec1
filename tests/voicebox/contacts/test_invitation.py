"""The text of an invitation: short enough for a QR code, and no character of it may change."""

from __future__ import annotations

import base64
import hashlib
import string

import pytest

from voicebox.contacts.invitation import CHARACTERS, START, Invitation, is_invitation, parse_invitation, serialise_invitation
from voicebox.contacts.words import InvitationWords
from voicebox.errors import UsageError

INVITATION = Invitation(bytes(range(32)), bytes(range(100, 132)), InvitationWords(482915, (55, 81, 96)))
TEXT = serialise_invitation(INVITATION)
LETTERS = string.ascii_lowercase + string.digits + "-=+ "
MAX_QR_OCTETS = 300


def test_it_is_read_back_in_any_case_and_fits_a_qr_code() -> None:
    assert len(TEXT) == CHARACTERS <= MAX_QR_OCTETS
    for text in (TEXT, TEXT.upper(), f"  {TEXT}\n"):
        assert is_invitation(text)
        assert parse_invitation(text) == INVITATION
    assert serialise_invitation(parse_invitation(TEXT)) == TEXT
    assert not is_invitation("482915-kettle-rocket-violin")


def test_any_one_character_changed_is_refused() -> None:
    for at in range(len(TEXT)):
        for letter in LETTERS:
            if letter != TEXT[at]:
                with pytest.raises(UsageError):
                    parse_invitation(TEXT[:at] + letter + TEXT[at + 1 :])


def test_any_one_character_more_or_less_is_refused() -> None:
    for at in range(len(TEXT)):
        with pytest.raises(UsageError):
            parse_invitation(TEXT[:at] + TEXT[at + 1 :])
        for letter in (TEXT[at], "a", "7"):
            with pytest.raises(UsageError):
                parse_invitation(TEXT[:at] + letter + TEXT[at:])


@pytest.mark.parametrize(("at", "octet"), [(0, 2), (65, 255), (68, 100), (70, 255)], ids=["version", "number", "first word", "last word"])
def test_what_is_out_of_range_is_refused_though_its_check_octets_fit(at: int, octet: int) -> None:
    body = bytearray(base64.b32decode(TEXT.removeprefix(START).upper())[:-4])
    body[at] = octet
    check = hashlib.sha256(b"voicebox/1 invitation" + body).digest()[:4]
    with pytest.raises(UsageError, match="another version"):
        parse_invitation(START + base64.b32encode(bytes(body) + check).decode().lower())


def test_nothing_of_it_is_printed() -> None:
    assert repr(INVITATION) == "Invitation()"
