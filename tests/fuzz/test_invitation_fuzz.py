"""Mutated invitations and words: taken only as they were made, refused otherwise."""

from __future__ import annotations

import pytest

from tests.support.mutation import fuzz
from voicebox.contacts.invitation import Invitation, parse_invitation, serialise_invitation
from voicebox.contacts.words import InvitationWords, parse_words
from voicebox.errors import UsageError

pytestmark = pytest.mark.fuzz

INVITATIONS = [
    Invitation(bytes(range(32)), bytes(range(32, 64)), InvitationWords(482915, (55, 81, 96))),
    Invitation(bytes(32), bytes(32), InvitationWords(0, (0, 0, 0))),
]


def test_invitations(fuzz_inputs: int) -> None:
    def take(octets: bytes) -> None:
        assert parse_invitation(octets.decode("utf-8", "replace")) in INVITATIONS, "an invitation that nobody made was taken"

    counts = fuzz("invitations", fuzz_inputs, [serialise_invitation(each).encode() for each in INVITATIONS], take, UsageError)
    assert counts["refused"] > counts["taken"]


def test_words(fuzz_inputs: int) -> None:
    def take(octets: bytes) -> None:
        words = parse_words(octets.decode("utf-8", "replace"))
        assert parse_words(words.text()) == words

    counts = fuzz("words", fuzz_inputs, [each.words.text().encode() for each in INVITATIONS], take, UsageError)
    assert counts["refused"] > 0
