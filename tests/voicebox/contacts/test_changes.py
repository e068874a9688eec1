"""What can be done to the list of contacts, and what is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.changes import Change, Step, What, decide, parse_change
from voicebox.contacts.contact import MAX_CONTACTS, CardText, Contact, PairState, Trust
from voicebox.contacts.identity import new_identity
from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ME, BOB, OTHER = (new_identity(name, NOW) for name in ("me", "Bob", "Bob"))
MINE, OLD, NEW = (serialise_card(identity) for identity in (ME, BOB, OTHER))
MET = PairState(Secret(bytes(32)), 7, met=True)


def contact(petname: str = "bob", text: str = OLD) -> Contact:
    return Contact(petname, parse_card(text, NOW, "card"), text)


def changed(before: Contact) -> Contact:
    return replace(before, changed=CardText(parse_card(NEW, NOW, "card"), NEW))


def do(what: What, petname: str, value: str = "", *, among: list[Contact]) -> Step:
    return decide(Change(what, petname, value), among, ME.contact_id, NOW)


def test_a_new_card_is_a_new_contact() -> None:
    step = do(What.ADD, "Bob", "hello\n" + OLD, among=[])
    assert step == Step(None, contact())
    assert step.doors_change
    assert contact().trust is Trust.UNVERIFIED


def test_another_card_for_a_petname_closes_the_door_until_it_is_decided() -> None:
    met = replace(contact(), pair=MET, verified=True)
    step = do(What.ADD, "bob", NEW, among=[met])
    assert step.after is not None
    assert step.after.trust is Trust.CHANGED
    assert not step.after.open
    assert step.doors_change
    accepted = do(What.ACCEPT, "bob", among=[step.after])
    assert accepted.after == contact(text=NEW), "nothing of the former key is left, nor is it verified"
    assert accepted.doors_change
    kept = do(What.KEEP, "bob", among=[step.after])
    assert kept.after == met
    for what in (What.ACCEPT, What.KEEP):
        with pytest.raises(UsageError, match="nothing to decide"):
            do(what, "bob", among=[met])


def test_a_blocked_contact_stays_blocked_whatever_key_it_has() -> None:
    blocked = replace(changed(contact()), blocked=True)
    for what in (What.ACCEPT, What.KEEP):
        step = do(what, "bob", among=[blocked])
        assert step.after is not None
        assert step.after.blocked
        assert not step.doors_change


def test_block_and_unblock_change_the_door_and_nothing_else() -> None:
    met = replace(contact(), pair=MET, verified=True)
    blocked = do(What.BLOCK, "bob", among=[met])
    assert blocked.after == replace(met, blocked=True)
    assert blocked.doors_change
    assert do(What.UNBLOCK, "bob", among=[replace(met, blocked=True)]) == Step(replace(met, blocked=True), met)


def test_rename_keeps_everything_else() -> None:
    met = replace(contact(), pair=MET, verified=True)
    step = do(What.RENAME, "bob", "Robert", among=[met])
    assert step == Step(met, replace(met, petname="robert"))
    assert not step.doors_change
    with pytest.raises(UsageError, match="already"):
        do(What.RENAME, "bob", "ann", among=[met, contact("ann", NEW)])
    with pytest.raises(UsageError, match="petname is"):
        do(What.RENAME, "bob", "a b", among=[met])


def test_verified_is_only_whom_the_code_was_made_with() -> None:
    assert do(What.VERIFY, "bob", BOB.contact_id.hex(), among=[contact()]).after == replace(contact(), verified=True)
    for present in (contact(text=NEW), changed(contact())):
        with pytest.raises(UsageError, match="another key"):
            do(What.VERIFY, "bob", BOB.contact_id.hex(), among=[present])


def test_remove() -> None:
    assert do(What.REMOVE, "bob", among=[contact()]) == Step(contact(), None)


@pytest.mark.parametrize("what", [what for what in What if what is not What.ADD])
def test_nobody_of_that_name(what: What) -> None:
    with pytest.raises(UsageError, match="no contact"):
        do(what, "carol", among=[contact()])


def test_cards_that_cannot_be_added() -> None:
    with pytest.raises(UsageError, match="your own"):
        do(What.ADD, "me", MINE, among=[])
    with pytest.raises(UsageError, match="as bob"):
        do(What.ADD, "robert", OLD, among=[contact()])
    with pytest.raises(UsageError, match="as bob"):
        do(What.ADD, "robert", NEW, among=[changed(contact())])
    with pytest.raises(FileProblem, match="the card:1"):
        do(What.ADD, "bob", "nothing", among=[])
    with pytest.raises(UsageError, match="at most"):
        do(What.ADD, "bob", NEW, among=[contact(f"c{number}") for number in range(MAX_CONTACTS)])


@pytest.mark.parametrize("asked", [{}, {"what": "dance", "petname": "bob", "value": ""}, {"what": "remove", "petname": 7, "value": ""}])
def test_what_is_no_change_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="no change"):
        parse_change(asked)


def test_a_change_says_no_name_where_it_is_printed() -> None:
    step = do(What.RENAME, "bob", "robert", among=[contact()])
    assert "bob" not in repr(Change(What.RENAME, "bob", "robert"))
    assert "robert" not in repr(step)
