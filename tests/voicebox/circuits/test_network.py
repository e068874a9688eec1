"""Descriptors and network files: read back as written, and refused with the line where anything differs."""

from __future__ import annotations

import datetime as dt
from random import Random

import pytest

from tests.support.networks import NOW, make_network
from voicebox.circuits.descriptor import Role, parse_descriptor, sign_descriptor
from voicebox.circuits.network import parse_network, sign_network
from voicebox.errors import FileProblem, UsageError

SMALL = make_network()
TEXT = SMALL.network.text


def problem(text: str) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        parse_network(text, "net.signed")
    return caught.value


def test_network_file_is_read_back() -> None:
    assert parse_network(TEXT, "net.signed") == SMALL.network


def test_descriptor_is_read_back() -> None:
    for relay in SMALL.relays:
        assert parse_descriptor(relay.verified.text, "d") == relay.verified


def test_any_one_character_changed_is_refused_at_its_relay() -> None:
    rng = Random(2)
    for at in [rng.randrange(len(TEXT)) for _ in range(400)]:
        letter = rng.choice([x for x in "abcXYZ0189 /+=\n" if x != TEXT[at]])
        found = problem(TEXT[:at] + letter + TEXT[at + 1 :])
        assert found.line > 0
        assert str(found).startswith(f"net.signed:{found.line}: ")


def test_cut_file_is_refused() -> None:
    rng = Random(3)
    for at in [0, 1, len(TEXT) - 1, *(rng.randrange(len(TEXT)) for _ in range(100))]:
        problem(TEXT[:at])


def test_something_behind_is_refused() -> None:
    assert "something follows" in str(problem(TEXT + "more 1\n"))
    with pytest.raises(FileProblem, match="something follows"):
        parse_descriptor(SMALL.relays[0].verified.text + "more 1\n", "d")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("voicebox network 1", "voicebox network 2", "should be 'voicebox network 1'"),
        ("epoch 3600", "epoch 5", "from 20 to"),
        ("epoch 3600", "epoch 03600", "a number"),
        ("operators distinct", "operators some", "one of"),
        ("role guard", "role exit", "one of"),
        ("address 127.0.0.1 4000", "address localhost 4000", "IP address"),
        ("address 127.0.0.1 4000", "address 0.0.0.0 4000", "cannot be reached"),
        ("address 127.0.0.1 4000", "address 127.0.0.1 0", "port"),
        ("from 2026", "from 26", "a time like"),
        ("relays 6", "relays 7", "voicebox"),
    ],
)
def test_wrong_values_are_named(old: str, new: str, words: str) -> None:
    assert words in str(problem(TEXT.replace(old, new, 1)))


def test_file_signed_by_another_key_is_refused() -> None:
    other = make_network().signer
    forged = sign_network(SMALL.network.terms, SMALL.network.relays, other)
    assert "signature does not verify" in str(problem(forged.text))


def test_descriptor_signed_by_another_key_is_refused() -> None:
    forged = sign_descriptor(SMALL.relays[0].descriptor, SMALL.relays[1].identity_key)
    with pytest.raises(FileProblem, match="signature does not verify"):
        parse_descriptor(forged.text, "d")


def test_network_without_junction_or_with_a_relay_twice_is_not_signed() -> None:
    terms, relays = SMALL.network.terms, SMALL.network.relays
    for wrong, words in [(relays[:4], "no junction"), (relays[4:], "no guard"), ((*relays, relays[0]), "twice")]:
        with pytest.raises(UsageError, match=words):
            sign_network(terms, wrong, SMALL.signer)


def test_id_binds_signer_and_birth() -> None:
    other = make_network()
    assert other.network.network_id != SMALL.network.network_id
    assert len(SMALL.network.network_id) == 32


def test_expired_relays_are_not_offered() -> None:
    assert len(SMALL.network.with_role(Role.GUARD, NOW)) == 4
    assert SMALL.network.with_role(Role.GUARD, NOW + dt.timedelta(days=400)) == []
