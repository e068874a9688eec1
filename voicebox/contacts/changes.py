"""What a user does to the list of contacts: decided here, from what is asked and what there is; carried out by whoever holds the list.

While a box runs it alone holds its contacts, because their secrets change under its hands; else the command line does, with the directory locked. Both ask
decide() and do the Step it returns. NOT here: files (store.py), the running box (daemon.py), cards (card.py). Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique

from voicebox.contacts.card import only_card, parse_card
from voicebox.contacts.contact import MAX_CONTACTS, CardText, Contact, checked_petname
from voicebox.errors import UsageError


@unique
class What(StrEnum):
    """What can be done to a contact; the value is the word on the control socket."""

    ADD = "add"
    """value: the card. For a petname that is taken: another card of the same person."""
    REMOVE = "remove"
    RENAME = "rename"
    """value: the new petname."""
    BLOCK = "block"
    UNBLOCK = "unblock"
    ACCEPT = "accept"
    """Take the changed card."""
    KEEP = "keep"
    """Stay with the former card."""
    VERIFY = "verify"
    """value: the id of whom the code was seen with, 64 hexadecimal digits, so that nobody else is verified by it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do."""

    what: What
    petname: str = field(repr=False)
    value: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """How the list changes: before, as it was (None: new), and after (None: gone). Where the petname differs, nothing else does."""

    before: Contact | None
    after: Contact | None

    @property
    def doors_change(self) -> bool:
        """Return whether somebody can reach the box who could not before, or the other way round."""
        return _door(self.before) != _door(self.after)

    @property
    def renamed(self) -> tuple[str, str | None] | None:
        """Return the petname that is this contact's no more, and the one that is now, None where the contact is gone. None where no petname changes."""
        if self.before is None or (self.after is not None and self.after.petname == self.before.petname):
            return None
        return self.before.petname, None if self.after is None else self.after.petname


def parse_change(asked: Mapping[str, object]) -> Change:
    """Read a change as the control socket carries it. Raises UsageError."""
    match asked:
        case {"what": str(what), "petname": str(petname), "value": str(value)} if what in set(What):
            return Change(What(what), petname, value)
        case _:
            raise UsageError("This is no change of a contact.")


def decide(change: Change, contacts: Iterable[Contact], own_id: bytes, now: dt.datetime) -> Step:
    """Return what a change comes to. Raises UsageError where it makes no sense, FileProblem for a card that is none."""
    by_petname = {contact.petname: contact for contact in contacts}
    petname = checked_petname(change.petname)
    if change.what is What.ADD:
        return _add(petname, change, by_petname, own_id, now)
    before = by_petname.get(petname)
    if before is None:
        raise UsageError("There is no contact of that petname; `voicebox contact list` prints all.")
    match change.what:
        case What.REMOVE:
            return Step(before, None)
        case What.RENAME:
            return Step(before, _renamed(before, checked_petname(change.value), by_petname))
        case _:
            return Step(before, _ON_ONE[change.what](before, change.value))


def _door(contact: Contact | None) -> bytes | None:
    return contact.contact_id if contact is not None and contact.open else None


def _add(petname: str, change: Change, by_petname: dict[str, Contact], own_id: bytes, now: dt.datetime) -> Step:
    card, text = parse_card(change.value, now, "the card"), only_card(change.value)
    if card.contact_id == own_id:
        raise UsageError("This is your own card. Give it to your contact, and add theirs.")
    for contact in by_petname.values():
        known = [contact.contact_id, *([contact.changed.card.contact_id] if contact.changed is not None else [])]
        if card.contact_id in known:
            raise UsageError(f"This person is a contact already, as {contact.petname}.")
    before = by_petname.get(petname)
    if before is not None:
        return Step(before, replace(before, changed=CardText(card, text)))
    if len(by_petname) >= MAX_CONTACTS:
        raise UsageError(f"A box has at most {MAX_CONTACTS} contacts.")
    return Step(None, Contact(petname, card, text))


def _renamed(before: Contact, petname: str, by_petname: dict[str, Contact]) -> Contact:
    if petname in by_petname:
        raise UsageError("There is a contact of the new petname already. Take another.")
    return replace(before, petname=petname)


def _accepted(before: Contact, _value: str) -> Contact:
    """Return the contact with the new card: not met, not verified; what was shared with the former key is of no more use."""
    changed = _changed(before)
    return Contact(before.petname, changed.card, changed.text, blocked=before.blocked)


def _kept(before: Contact, _value: str) -> Contact:
    _changed(before)
    return replace(before, changed=None)


def _changed(contact: Contact) -> CardText:
    if contact.changed is None:
        raise UsageError("No other card of this contact came; there is nothing to decide.")
    return contact.changed


def _verified(before: Contact, value: str) -> Contact:
    if before.contact_id.hex() != value or before.changed is not None:
        raise UsageError("The contact has another key by now than the code was made with. Compare again in the next call.")
    return replace(before, verified=True)


_ON_ONE: dict[What, Callable[[Contact, str], Contact]] = {
    What.BLOCK: lambda before, _value: replace(before, blocked=True),
    What.UNBLOCK: lambda before, _value: replace(before, blocked=False),
    What.ACCEPT: _accepted,
    What.KEEP: _kept,
    What.VERIFY: _verified,
}
