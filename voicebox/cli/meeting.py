"""What `voicebox invite`, `invited` and `accept` share: the box's network, petnames that are free, and the contact that is made. [io]"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from voicebox.circuits.network_state import load_network
from voicebox.cli.changing import change_contact
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError

NOT_ADDED = "They are no contact of yours, and no call of theirs rings here."


def network_of(home: Path) -> bytes:
    """Return the id of the network that a box belongs to. Raises FileProblem where it belongs to none."""
    return load_network(StateDirectory(home)).network_id


def free_petname(home: Path, petname: str) -> str:
    """Return a petname that no contact has. Raises UsageError: a card for one that somebody has would be taken for another card of theirs."""
    checked = checked_petname(petname)
    if any(contact.petname == checked for contact in StateDirectory(home).load_contacts(dt.datetime.now(dt.UTC))):
        raise UsageError(f"There is a contact {checked} already. Take another petname, or rename the other one with `voicebox contact rename`.")
    return checked


def add_met(home: Path, petname: str, card: str) -> None:
    """Make a contact of somebody who was met. Raises UsageError, FileProblem, HostError; then nothing has changed."""
    change_contact(home, Change(What.ADD, free_petname(home, petname), card))


def added(petname: str) -> str:
    """Return what is said once somebody was added."""
    return f"{petname} is a contact now, once they have said yes too. In your first call compare a code, if you like: `voicebox verify {petname}`."


def claim(claims: str) -> str:
    """Return in words what somebody calls themselves, which anybody could."""
    return f"They call themselves {claims!r}." if claims and claims != "voicebox" else "They give no name."
