"""Mutated cards: a card is read whole, or refused with its line."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.support.mutation import fuzz
from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.identity import new_identity, verify_authority
from voicebox.errors import FileProblem, HandshakeError

pytestmark = pytest.mark.fuzz

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
PEOPLE = [new_identity(name, NOW) for name in ("", "Ann", "somebody with a long name")]


def test_cards(fuzz_inputs: int) -> None:
    cards = [serialise_card(person).encode() for person in PEOPLE]
    known = {person.contact_id for person in PEOPLE}

    def take(octets: bytes) -> None:
        card = parse_card(octets.decode("utf-8", "replace"), NOW, "card")
        assert card.contact_id in known, "a card that nobody made was taken"

    counts = fuzz("cards", fuzz_inputs, cards, take, FileProblem)
    assert counts["refused"] > counts["taken"]


def test_certificates(fuzz_inputs: int) -> None:
    """What stands behind the armour: DER that nobody checked yet."""
    seeds = [certificate for person in PEOPLE for certificate in (person.authority_certificate, person.box_certificate)]

    def take(octets: bytes) -> None:
        assert verify_authority(octets, NOW).certificate in seeds, "a certificate that nobody made was taken"

    fuzz("certificates", fuzz_inputs // 4, seeds, take, HandshakeError)
