"""Relays by card: kept, checked as the list's are, drawn first as guards, never as a middle where others do not know them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path as FilePath
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.networks import NOW, RelayKeys, make_network, make_relay
from voicebox.circuits.descriptor import Role, VerifiedDescriptor, sign_descriptor
from voicebox.circuits.guards import GuardSet
from voicebox.circuits.network import new_network
from voicebox.circuits.path import OwnView, Path, Pool, with_middle
from voicebox.circuits.relay_cards import CARDS_FILE, MAX_CARDS, add_card, load_cards, relays_by_card, remove_cards
from voicebox.circuits.voucher import vouch
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, UsageError

SMALL = make_network(guards=6)
NETWORK = SMALL.network
NOW_S = int(NOW.timestamp())


def vouched(relay: RelayKeys, verified: VerifiedDescriptor | None = None, *, key: Ed25519PrivateKey = SMALL.voucher_key, days: int = 90) -> VerifiedDescriptor:
    verified = verified or relay.verified
    return verified.with_vouchers([vouch(NETWORK.network_id, verified.descriptor.vouched, NOW, NOW + dt.timedelta(days=days), key)])


FRIEND = make_relay(Role.GUARD, "a friend", 4_900)
CARD = vouched(FRIEND)
VIEW = OwnView(cards={CARD.descriptor.relay_id: CARD.descriptor})


@pytest.fixture
def store(tmp_path: FilePath) -> StateDirectory:
    return StateDirectory(tmp_path)


def test_a_card_is_kept_replaced_by_a_newer_one_and_removed(store: StateDirectory) -> None:
    assert load_cards(store) == {}
    add_card(store, NETWORK, CARD, NOW)
    other = vouched(make_relay(Role.GUARD, "another", 4_901))
    add_card(store, NETWORK, other, NOW)
    assert load_cards(store) == {each.descriptor.relay_id: each for each in (CARD, other)}
    newer = vouched(FRIEND, sign_descriptor(replace(CARD.descriptor, sequence=7), FRIEND.identity_key))
    add_card(store, NETWORK, newer, NOW)
    assert load_cards(store)[CARD.descriptor.relay_id] == newer
    with pytest.raises(UsageError, match="newer card"):
        add_card(store, NETWORK, CARD, NOW)
    assert (remove_cards(store, "a friend"), remove_cards(store, "a friend")) == (1, 0)
    assert list(load_cards(store)) == [other.descriptor.relay_id]


def test_a_card_that_the_network_would_not_admit_is_refused(store: StateDirectory) -> None:
    junction = make_relay(Role.JUNCTION, "a friend", 4_902)
    forged = replace(CARD.vouchers[0], signature=bytes(64))
    for card, match in (
        (FRIEND.verified, "1 vouchers are needed"),
        (vouched(FRIEND, key=Ed25519PrivateKey.generate()), "1 vouchers are needed"),
        (replace(CARD, vouchers=(forged,)), "does not verify"),
        (vouched(FRIEND, days=-1), "expired"),
        (vouched(junction), "junction"),
    ):
        with pytest.raises(UsageError, match=match):
            add_card(store, NETWORK, card, NOW)
    assert not store.exists(CARDS_FILE)


def test_cards_are_few_and_their_file_is_read_exactly(store: StateDirectory) -> None:
    for number in range(MAX_CARDS):
        add_card(store, NETWORK, vouched(make_relay(Role.GUARD, "a friend", 5_000 + number)), NOW)
    with pytest.raises(UsageError, match="as many as a box keeps"):
        add_card(store, NETWORK, CARD, NOW)
    text = store.read_text(CARDS_FILE)
    for damaged in (text + CARD.text, text.replace("operator a friend", "operator a fiend", 1), text[:-1], text + "\n"):
        store.write(CARDS_FILE, damaged.encode())
        with pytest.raises(FileProblem):
            load_cards(store)


def test_the_list_decides_about_a_relay_that_it_has() -> None:
    cards = {CARD.descriptor.relay_id: CARD}
    assert relays_by_card(NETWORK, cards) == {CARD.descriptor.relay_id: replace(CARD.descriptor, valid_until=NOW + dt.timedelta(days=90))}
    gone = vouch(NETWORK.network_id, CARD.descriptor.vouched, NOW + dt.timedelta(hours=1), NOW, SMALL.voucher_key)
    knows = new_network(NETWORK.terms, [*(relay.verified for relay in NETWORK.relays), CARD.with_vouchers([gone])])
    later = NOW + dt.timedelta(hours=2)
    pool = Pool(knows, Role.GUARD, later, OwnView(cards=relays_by_card(knows, cards)))
    assert CARD.descriptor.relay_id not in pool.by_id, "what was withdrawn is not brought back by a card"
    assert relays_by_card(make_network().network, cards) == {}, "a card of another network"


def test_a_relay_by_card_is_drawn_first_as_a_guard_and_served_as_any() -> None:
    pool = Pool(NETWORK, Role.GUARD, NOW, VIEW)
    assert (len(pool.relays), pool.by_card, pool.unlisted) == (7, frozenset(VIEW.cards), frozenset(VIEW.cards))
    for seed in range(50):
        guards = GuardSet(2, Random(seed), lambda _text: None)
        guards.refresh(pool, NOW_S)
        assert guards.guards[0].relay_id == CARD.descriptor.relay_id
        assert guards.in_order(pool, NOW_S)[0] == CARD.descriptor
        assert len(guards.guards) == 3
    only = GuardSet(2, Random(1), lambda _text: None, only={"op0", "op1", "op2"})
    only.refresh(pool, NOW_S)
    assert CARD.descriptor.relay_id not in {guard.relay_id for guard in only.guards}, "who names operators means those"


def test_a_guard_whose_card_was_removed_is_waited_for_and_replaced() -> None:
    guards = GuardSet(2, Random(3), lambda _text: None)
    guards.refresh(Pool(NETWORK, Role.GUARD, NOW, VIEW), NOW_S)
    bare = Pool(NETWORK, Role.GUARD, NOW)
    guards.refresh(bare, NOW_S + 60)
    assert CARD.descriptor not in guards.in_order(bare, NOW_S + 60)
    assert guards.guards[0].relay_id == CARD.descriptor.relay_id
    guards.refresh(bare, NOW_S + 4 * 86_400)
    assert CARD.descriptor.relay_id not in {guard.relay_id for guard in guards.guards}


def test_what_other_relays_do_not_know_is_no_middle() -> None:
    path = Path(SMALL.relays[0].descriptor, SMALL.relays[6].descriptor)
    pool = Pool(NETWORK, Role.GUARD, NOW, VIEW)
    middles = {with_middle(pool, path, [path.guard], Random(seed)).middle for seed in range(200)}
    assert middles == {relay.descriptor for relay in SMALL.relays[1:6]}
    listed = OwnView(cards={SMALL.relays[1].descriptor.relay_id: SMALL.relays[1].descriptor})
    assert Pool(NETWORK, Role.GUARD, NOW, listed).unlisted == frozenset()
