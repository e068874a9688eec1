"""What a box keeps of its contacts' calls, where its owner wants that: who called in vain, and what they said to the machine. [io]

NOT here: the list (missed.py), messages (voicemail.py), when the list is written (daemon.py: at times that no call chooses).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from voicebox.contacts.missed import MISSED_FILE, MissedCalls
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import KEY_FILE, MessageFiles


class Kept:
    """What a running box keeps. today(): the day; messages: None where none are taken. Call use() first. Methods raise HostError and FileProblem."""

    def __init__(self, store: StateDirectory, today: Callable[[], dt.date]) -> None:
        self._store, self._today = store, today
        self.messages: MessageFiles | None = None
        self._missed: MissedCalls | None = None
        self.on_messages: Callable[[], None] = lambda: None
        """Called when messages are fewer, or another's."""

    def opened(self) -> MessageFiles:
        """Return where messages are kept. What is open stays so: somebody may be listening."""
        return self.messages or MessageFiles(self._store, self._today)

    def _there(self) -> MessageFiles | None:
        """Return what there is of messages, where no more are taken too; None where there is none."""
        return self.opened() if self.messages is not None or self._store.exists(KEY_FILE) else None

    def use(self, messages: MessageFiles | None, *, keeps_missed: bool) -> None:
        """Keep messages there, or take none; and note missed calls from now on, or no more."""
        self.messages = messages
        if keeps_missed and self._missed is None:
            self._missed = self._store.load_missed()
        elif not keeps_missed:
            self._missed = None

    def note_missed(self, petname: str) -> None:
        """Take that nobody answered a contact."""
        if self._missed is not None:
            self._missed.note(petname, self._today())

    def write_missed(self) -> None:
        """Write the missed calls, or forget them where none are kept."""
        if self._missed is not None:
            self._store.write(MISSED_FILE, self._missed.serialise(self._today()).encode())
        else:
            self._store.remove(MISSED_FILE)

    def tell_missed(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the missed calls. clear: forget them then."""
        entries = self._missed.entries(self._today()) if self._missed is not None else []
        if self._missed is not None and asked.get("clear") is True:
            self._missed.clear()
            self.write_missed()
        return {"kept": self._missed is not None, "missed": [{"day": day.isoformat(), "petname": petname} for day, petname in entries]}

    def tell_messages(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the messages that contacts left, also before none were taken any more. clear: delete them then."""
        there = self._there()
        messages = there.messages() if there is not None else []
        if there is not None and asked.get("clear") is True:
            there.clear()
            self.on_messages()
        return {"kept": self.messages is not None, "messages": [message.told() for message in messages]}

    def count(self) -> dict[str, int] | None:
        """Return how many messages there are, None where none are taken."""
        return dict(zip(("new", "heard"), self.messages.count(), strict=True)) if self.messages is not None else None

    def renamed(self, petname: str, to: str | None) -> None:
        """Let it follow a contact's new petname; None: it goes."""
        if self._missed is not None:
            self._missed.renamed(petname, to)
        self.write_missed()
        if (there := self._there()) is not None:
            there.renamed(petname, to)
        self.on_messages()


def rename_kept(store: StateDirectory, petname: str, to: str | None) -> None:
    """Let what is on disk follow a contact's new petname where no box runs; None: it goes. Raises HostError, FileProblem."""
    if store.exists(MISSED_FILE):
        missed = store.load_missed()
        missed.renamed(petname, to)
        store.write(MISSED_FILE, missed.text().encode())
    if store.exists(KEY_FILE):
        MessageFiles(store, dt.date.today).renamed(petname, to)
