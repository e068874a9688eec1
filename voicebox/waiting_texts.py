"""Texts that wait for contacts whose boxes are off: from a phone to the disk, into records, and from records that were found to a phone. [io: through the directory]

NOT here: when records are left and looked for (circuits/record_rounds.py), what is on the disk (contacts/waiting.py), lines and phones (b2bua/contact_texts.py).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.pair_book import PairBook
from voicebox.circuits.record import Letter, Post
from voicebox.circuits.record_rounds import Circuits, RecordRounds, Rng
from voicebox.contacts.changes import Step
from voicebox.contacts.contact import Contact
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.waiting import WaitingTexts
from voicebox.errors import HostError


class Phones(Protocol):
    """Who hands texts to phones."""

    def text_found(self, petname: str, number: int, text: bytes, *, perhaps_here: bool) -> bool: ...


class TextsThatWait:
    """Those of one box. phones(): None while no phone can be reached. Raises FileProblem, HostError."""

    def __init__(self, store: StateDirectory, book: PairBook, own_id: bytes, phones: Callable[[], Phones | None]) -> None:
        self._book, self._own_id, self._phones = book, own_id, phones
        self._waiting = WaitingTexts(store, [contact.contact_id for contact in book.contacts()])
        self._rounds: RecordRounds | None = None
        self.counters: Counter[str] = Counter()

    def rounds(self, network: Callable[[], VerifiedNetwork], circuits: Circuits, rng: Rng, now_us: int, *, metered: bool) -> RecordRounds:
        """Begin to leave and look for records over these circuits."""
        self._rounds = RecordRounds(network, self._book, self._own_id, circuits, self, rng, now_us, metered=metered)
        return self._rounds

    # ----------------------------------------------------------------------------------------------------- of the SIP side

    def keep(self, petname: str, text: bytes, *, perhaps_there: bool) -> bool:
        """Keep a phone's text; see b2bua/ports.py."""
        contact = self._book.get(petname)
        try:
            return contact is not None and self._waiting.keep(contact.contact_id, text.decode(), _unix_us(), perhaps_there=perhaps_there)
        except HostError:
            self.counters["texts_not_written"] += 1
            return False

    def came(self, petname: str, number: int) -> None:
        """Take that a phone has a contact's text."""
        contact = self._book.get(petname)
        if contact is not None:
            with self._on_disk():  # else it is found again, and delivered twice rather than never
                self._waiting.came(contact.contact_id, number)

    # ---------------------------------------------------------------------------------------------------------- of records

    def post_for(self, contact_id: bytes) -> Post:
        """Return what is to be left for a contact."""
        texts = self._waiting.texts(contact_id, _unix_us())
        return Post(self._waiting.heard(contact_id), tuple(Letter(each.number, each.text.encode(), each.perhaps_there) for each in texts))

    def found(self, contact_id: bytes, post: Post) -> None:
        """Take what a contact left: our texts that he has wait no more, his go to phones."""
        contact = self._book.with_id(contact_id)
        if contact is None:
            return
        with self._on_disk():
            self._waiting.arrived(contact_id, post.heard)
        self._hand_on(contact, post)

    def _hand_on(self, contact: Contact, post: Post) -> None:
        phones, heard = self._phones(), self._waiting.heard(contact.contact_id)
        for letter in post.letters:
            if letter.number <= heard:
                continue
            if phones is None or not phones.text_found(contact.petname, letter.number, letter.text, perhaps_here=letter.perhaps_there):
                return  # it stays where it is, and those behind it
            self.counters["texts_found"] += 1

    # ------------------------------------------------------------------------------------------------------------ of a box

    def contact_changed(self, step: Step) -> None:
        """Take a change of the contacts: with whom there is nothing to do any more, nothing of his is left."""
        if step.before is not None and (step.after is None or not step.after.open):
            with self._on_disk():
                self._waiting.forget(step.before.contact_id)

    def expire(self) -> None:
        """Forget texts that have waited for 7 days."""
        with self._on_disk():
            self._waiting.expire(_unix_us())

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Count a disk that does not take a change, which stands as it was then."""
        try:
            yield
        except HostError:
            self.counters["texts_not_written"] += 1

    def told(self) -> dict[str, Any]:
        """Return what the box says of it: totals."""
        rounds = dict(self._rounds.counters) if self._rounds is not None else {}
        return {"waiting": self._waiting.count(), "expired": self._waiting.expired, **rounds, **self.counters}


def _unix_us() -> int:
    return time.time_ns() // 1_000
