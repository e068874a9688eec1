"""The shared random value of a period: one signature a key, checked by everybody; without one of them a rule that needs nobody; the same at all who have the same list."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512

from tests.support.gossip import NOW_S, look, node, one_round, without
from tests.support.networks import NOW, SmallNetwork, make_network
from voicebox.circuits.gossip import Asking
from voicebox.circuits.merge import merged
from voicebox.circuits.network import VerifiedNetwork, parse_network
from voicebox.circuits.path import junctions_of_epoch
from voicebox.circuits.terms import NetworkTerms, make_terms
from voicebox.circuits.value import (
    MAX_KEPT_PERIODS,
    PERIOD_EPOCHS,
    ValueKey,
    ValueSignature,
    kept,
    last_complete,
    public_part,
    shared_of,
    sign_value,
    value_of,
    verify_value,
)
from voicebox.circuits.values_coming import due, parse_coming, serialise_coming
from voicebox.errors import FileProblem, HandshakeError, UsageError

VECTORS: dict[str, Any] = json.loads(Path("tests/vectors/value.json").read_text("utf-8"))
KEYS = [key for pem in VECTORS["keys"] if isinstance(key := serialization.load_pem_private_key(pem.encode(), None), rsa.RSAPrivateKey)]
PUBLIC = tuple(sorted((public_part(key) for key in KEYS), key=lambda key: key.der))
NETWORK_ID = bytes.fromhex(VECTORS["network_id"])
START = bytes.fromhex(VECTORS["shared"])
PERIOD_S = PERIOD_EPOCHS * 3_600


def signed(*periods: int, keys: list[rsa.RSAPrivateKey] = KEYS, network_id: bytes = NETWORK_ID) -> dict[bytes, ValueSignature]:
    made = [sign_value(key, network_id, period) for period in periods for key in keys]
    return {said.entry_id: said for said in made}


def with_values(small: SmallNetwork) -> VerifiedNetwork:
    """Return a network of value keys: as an open one, whose relays need no vouchers of the new id."""
    terms = replace(small.network.terms, values=PUBLIC)
    return VerifiedNetwork(terms, terms.network_id, small.network.by_id)


SMALL = make_network(guards=4, junctions=6)
TOWN = with_values(SMALL)


def at(period: int) -> dt.datetime:
    return NOW + dt.timedelta(seconds=period * PERIOD_S)


# ------------------------------------------------------------------------------------------------------------------ one value


def test_a_signature_is_what_the_standard_says() -> None:
    """RFC 8017 §8.2.1 and §9.2, by plain arithmetic."""
    for key in KEYS:
        numbers, said = key.private_numbers(), sign_value(key, NETWORK_ID, 7)
        digest = hashlib.sha256(b"voicebox/1 value" + NETWORK_ID + bytes([0, 0, 0, 7])).digest()
        info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
        padded = b"\0\1" + b"\xff" * (256 - 3 - len(info)) + b"\0" + info
        assert pow(int.from_bytes(padded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(256, "big") == said.signature
        assert sign_value(key, NETWORK_ID, 7) == said, "a key has one signature of a period"


@pytest.mark.parametrize("vector", VECTORS["periods"], ids=lambda vector: vector["what"])
def test_recorded_values(vector: dict[str, Any]) -> None:
    signatures = signed(*vector["complete"]) | signed(*vector["half"], keys=KEYS[:1])
    assert shared_of(PUBLIC, START, signatures, vector["period"]).hex() == vector["expected"]


def test_a_value_is_of_all_signatures_in_the_order_of_the_keys() -> None:
    signatures = signed(3)
    parts = b"".join(signatures[ValueSignature(key.key_id, 3, b"").entry_id].signature for key in PUBLIC)
    assert value_of(PUBLIC, signatures, 3) == hashlib.sha256(b"voicebox/1 value of" + bytes([0, 0, 0, 3]) + parts).digest()
    assert shared_of(PUBLIC, START, signatures, 3) == value_of(PUBLIC, signatures, 3)
    assert value_of(PUBLIC, signed(3, keys=KEYS[:1]), 3) is None


def test_without_a_value_a_rule_that_needs_nobody() -> None:
    former = value_of(PUBLIC, signed(3), 3)
    assert former is not None
    expected = hashlib.sha256(b"voicebox/1 value missing" + former + bytes([0, 0, 0, 5])).digest()
    assert shared_of(PUBLIC, START, signed(3, 6) | signed(4, 5, keys=KEYS[1:]), 5) == expected
    assert shared_of(PUBLIC, START, {}, 5) == hashlib.sha256(b"voicebox/1 value missing" + START + bytes([0, 0, 0, 5])).digest()
    assert shared_of((), START, {}, 5) == START, "a network without value keys has what it had"


@pytest.mark.parametrize(
    "change",
    [
        lambda said: replace(said, period=said.period + 1),
        lambda said: replace(said, signature=said.signature[:-1] + bytes([said.signature[-1] ^ 1])),
        lambda said: replace(said, key_id=bytes(32)),
        lambda said: replace(said, key_id=PUBLIC[1].key_id if said.key_id == PUBLIC[0].key_id else PUBLIC[0].key_id),
        lambda _said: sign_value(KEYS[0], bytes(32), 7),
        lambda said: replace(said, signature=KEYS[0].sign(b"voicebox/1 value" + NETWORK_ID + bytes([0, 0, 0, 7]), padding.PKCS1v15(), SHA512())),
        lambda said: replace(
            said, signature=KEYS[0].sign(b"voicebox/1 value" + NETWORK_ID + bytes([0, 0, 0, 7]), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        ),
    ],
    ids=["other period", "flipped", "unknown key", "other key", "other network", "other hash", "other padding"],
)
def test_forged_signatures_are_refused(change: Any) -> None:
    good = sign_value(KEYS[0], NETWORK_ID, 7)
    verify_value(PUBLIC, NETWORK_ID, good)
    with pytest.raises(HandshakeError):
        verify_value(PUBLIC, NETWORK_ID, change(good))


def test_the_same_number_in_another_form_is_refused() -> None:
    """s + n is the same number modulo n, and would be a second signature (RFC 8017 §5.2.2 asks for less than n)."""
    good = sign_value(KEYS[0], NETWORK_ID, 7)
    more = int.from_bytes(good.signature, "big") + KEYS[0].public_key().public_numbers().n
    for octets in ([more.to_bytes(256, "big")] if more < 1 << 2048 else []) + [more.to_bytes(257, "big"), b"\0" + good.signature]:
        with pytest.raises(HandshakeError):
            verify_value(PUBLIC, NETWORK_ID, replace(good, signature=octets))


# ------------------------------------------------------------------------------------------------------------------- the list


def test_terms_name_the_keys_and_older_terms_stay_as_they_are() -> None:
    assert "value" not in SMALL.network.terms.text
    assert TOWN.network_id != SMALL.network.network_id
    text = replace(TOWN, by_id={}, signed=dict(sorted(signed(3, 4, network_id=TOWN.network_id).items()))).text
    again = parse_network(text, "town")
    assert again.text == text
    assert again.terms.values == PUBLIC
    for wrong, words in (
        (text.replace("period 3", "period 5", 1), "does not verify"),
        (text.replace("signed 4", "signed 5"), "ends where"),
        (text.replace("signed 4", "signed 3"), "something follows"),
        (text.replace("values 2", "values 1"), "should say"),
    ):
        with pytest.raises(FileProblem, match=words):
            parse_network(wrong, "town")


@pytest.mark.parametrize("changes", [{"threshold": 0, "keys": ()}, {"values": PUBLIC[::-1]}, {"values": PUBLIC[:1] * 2}], ids=["open", "order", "twice"])
def test_terms_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="makes no network"):
        make_terms(replace(TOWN.terms, **changes))


def test_a_key_of_another_kind_is_none() -> None:
    der = rsa.generate_private_key(3, 2048).public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    terms = NetworkTerms(
        0, 3_600, START, distinct_operators=True, distinct_prefixes=True, threshold=1, keys=(bytes(32),), values=(ValueKey(der.ljust(294, b"\0")),)
    )
    with pytest.raises(FileProblem, match=r"public key|value key"):
        parse_network(terms.text + "relays 0\nsigned 0\n", "town")


@pytest.mark.parametrize(
    ("periods", "half", "now", "left"),
    [
        ((0, 1, 2), (), 1, {1, 2}),
        ((0, 1, 2, 3), (), 1, {1, 2}),
        ((0,), (1, 2, 3), 3, {0, 1, 2, 3}),
        ((), (1, 2, 3), 9, {1, 2, 3}),
        ((5,), (), 9, {5}),
        ((), (), 9, set()),
    ],
)
def test_which_signatures_are_kept(periods: tuple[int, ...], half: tuple[int, ...], now: int, left: set[int]) -> None:
    assert {said.period for said in kept(PUBLIC, (signed(*periods) | signed(*half, keys=KEYS[:1])).values(), now).values()} == left


def test_signatures_without_end_have_a_bound() -> None:
    fake = [ValueSignature(PUBLIC[0].key_id, period, b"") for period in range(500)]
    left = kept(PUBLIC, [*fake, *signed(2).values()], 499)
    assert len({said.period for said in left.values()}) == MAX_KEPT_PERIODS + 1
    assert last_complete(PUBLIC, left, 499) == 2


def test_a_value_decides_the_junctions_and_all_who_have_the_same_list_agree() -> None:
    network, _ = merged(TOWN, [], at(2), signed=signed(2, 3, network_id=TOWN.network_id).values())
    assert len(network.signed) == 4
    other, _ = merged(TOWN, [], at(2), signed=reversed(list(signed(2, 3, network_id=TOWN.network_id).values())))
    epochs = range(2 * PERIOD_EPOCHS, 4 * PERIOD_EPOCHS)
    chosen = [[relay.relay_id for relay in junctions_of_epoch(each, epoch)] for each in (network, other, TOWN) for epoch in epochs]
    assert chosen[:48] == chosen[48:96]
    assert chosen[:48] != chosen[96:]


def test_what_is_told_too_soon_is_not_taken_yet_and_a_forged_one_is_dropped_and_counted() -> None:
    early = signed(4, network_id=TOWN.network_id)
    forged = [replace(said, period=3) for said in signed(2, network_id=TOWN.network_id).values()]
    network, changes = merged(TOWN, [], at(2), signed=[*early.values(), *forged])
    assert (len(network.signed), changes.refused) == (0, 2)


# --------------------------------------------------------------------------------------------------------------------- gossip


def test_signatures_go_round_with_the_list_and_who_was_late_agrees_after_a_round() -> None:
    """Until then boxes may go to other junctions: THREATS.md."""
    now = at(3)
    first, late = signed(2, 3, network_id=TOWN.network_id), signed(4, keys=KEYS[:1], network_id=TOWN.network_id)
    one, other = node(TOWN), node(TOWN)
    one.take([], now.timestamp(), first.values())
    other.take([], now.timestamp(), late.values())
    epoch = 3 * PERIOD_EPOCHS
    assert one.network.shared_at(epoch) != other.network.shared_at(epoch)
    assert one_round(one, other, now.timestamp()).lacking == 0
    assert one.network.shared_at(epoch) == other.network.shared_at(epoch)
    assert one.network.signed == other.network.signed
    assert {said.period for said in one.network.signed.values()} == {3, 4}
    assert parse_network(replace(one.network, by_id={}).text, "town").signed == one.network.signed


def test_a_signature_that_is_none_is_refused_from_a_peer_and_the_rest_is_taken() -> None:
    box, good = node(TOWN), list(signed(2, network_id=TOWN.network_id).values())
    asking = Asking(box)
    texts = [good[0].text, good[0].text + "more 1\n", "voicebox value 1\nby x\n", replace(good[1], signature=bytes(256)).text]
    look(asking.look, texts)
    assert asking.finish(at(2).timestamp())
    assert (list(box.network.signed.values()), box.counters["gossip_refused"]) == ([good[0]], 3)
    assert one_round(node(without(TOWN, *TOWN.by_id)), box, NOW_S).kept_word


# ----------------------------------------------------------------------------------------------------------- what is to come


def test_signatures_made_in_advance_are_told_a_period_before_their_own() -> None:
    made = list(signed(*range(5), keys=KEYS[:1]).values())
    text = serialise_coming([*made, *made], 1)
    assert [said.period for said in parse_coming(text, "coming")] == [1, 2, 3, 4]
    told = [[said.period for said in due(parse_coming(text, "coming"), epoch)] for epoch in (0, 17, 18, 23, 24, 72, 96)]
    assert told == [[1], [1], [], [], [2], [4], []], "none so late that some hear of it only after its period has begun"
    with pytest.raises(FileProblem):
        parse_coming(text[:-1], "coming")
