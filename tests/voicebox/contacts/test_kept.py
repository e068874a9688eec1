"""What a box keeps of a contact follows the petname while no box runs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from voicebox.contacts.kept import Kept, rename_kept
from voicebox.contacts.missed import MISSED_FILE, parse_missed
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import KEY_FILE, MessageFiles
from voicebox.dialplan.model import EVERYBODYS

DAY = dt.date(2026, 3, 10)


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "box")
    made.create()
    made.write(MISSED_FILE, b"2026-03-09 bob\n2026-03-10 bob\n2026-03-10 carol\n")
    messages = MessageFiles(made, lambda: DAY)
    messages.keep(EVERYBODYS, "bob", b"\xd5" * 16_000)
    messages.keep("21", "carol", b"\xd5" * 16_000)
    return made


def kept(store: StateDirectory) -> tuple[list[str], list[str]]:
    missed = parse_missed(store.read(MISSED_FILE).decode(), "missed").entries(DAY)
    return sorted(petname for _, petname in missed), [message.petname for message in MessageFiles(store, lambda: DAY).messages()]


def test_a_new_petname_is_followed(store: StateDirectory) -> None:
    rename_kept(store, "bob", "robert")
    assert kept(store) == (["carol", "robert", "robert"], ["robert", "carol"])


def test_nothing_is_left_of_a_contact_who_is_removed(store: StateDirectory) -> None:
    rename_kept(store, "bob", None)
    assert kept(store) == (["carol"], ["carol"])


def test_where_nothing_was_kept_nothing_is_written(tmp_path: Path) -> None:
    store = StateDirectory(tmp_path / "box")
    store.create()
    before = sorted(tmp_path.rglob("*"))
    rename_kept(store, "bob", None)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_left_of_messages_is_told_follows_its_contact_and_goes_where_no_more_are_taken(store: StateDirectory) -> None:
    box = Kept(store, lambda: DAY)
    box.use(None, keeps_missed=False)
    box.renamed("bob", "robert")
    box.renamed("carol", None)
    left = {"day": "2026-03-10", "mailbox": EVERYBODYS, "petname": "robert", "seconds": 2, "heard": False}
    assert (box.tell_messages({}), box.count()) == ({"kept": False, "messages": [left]}, None)
    assert box.tell_messages({"clear": True})["messages"] == [left]
    assert box.tell_messages({}) == {"kept": False, "messages": []}
    assert not store.exists(KEY_FILE)
