"""Texts that wait for contacts whose boxes are off, and up to where those of contacts have come. [io: through the directory]

    waiting/CONTACT-ID   JSON: heard, the number of the contact's last text that a phone here took; last, the number of our own last one; texts: [number, perhaps there, text]

On the disk before a phone is told so, sealed where the user wants that. At most 20 texts wait for a contact, for 7 days. A contact is known by his id, so a new petname
changes nothing. NOT here: how they get to the contact's box (circuits/record_rounds.py). Spec: PROTOCOL.md §12.2, §12.7.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem

FOLDER = "waiting"
MAX_WAITING = 20
WAITS_US = 7 * 86_400 * 1_000_000
MAX_NUMBER = 2**63
LATER = "Texts that wait cannot be read; move the file away, and the box starts without them."


@dataclass(frozen=True, slots=True)
class Waiting:
    """One text. number: Unix time in microseconds when it was kept, and above all before it; perhaps_there: the contact's box may have it already."""

    number: int
    text: str = field(repr=False)
    perhaps_there: bool = False


@dataclass(frozen=True, slots=True)
class _Kept:
    """What there is of one contact."""

    heard: int = 0
    last: int = 0
    texts: tuple[Waiting, ...] = ()


class WaitingTexts:
    """All of a box. Methods that change something raise HostError where the disk does not take it; then nothing has changed. Loading raises FileProblem."""

    def __init__(self, store: StateDirectory, contact_ids: Iterable[bytes]) -> None:
        self._store = store
        self._kept: dict[bytes, _Kept] = {}
        self.expired = 0
        known = {contact_id.hex() for contact_id in contact_ids}
        for name in sorted(path.name for path in store.path(FOLDER).glob("[0-9a-f]" * 64)):
            if name in known:
                path = f"{FOLDER}/{name}"
                self._kept[bytes.fromhex(name)] = _parse(store.read(path, LATER), str(store.path(path)))
            else:  # of a contact who was removed while no box ran
                store.remove(f"{FOLDER}/{name}")

    def keep(self, contact_id: bytes, text: str, unix_us: int, *, perhaps_there: bool) -> bool:
        """Keep a text on the disk; False where 20 wait for this contact already."""
        kept = self._timely(contact_id, unix_us)
        if len(kept.texts) >= MAX_WAITING:
            return False
        late, number = self._kept.get(contact_id, kept), max(unix_us, kept.last + 1)
        self._set(contact_id, replace(kept, last=number, texts=(*kept.texts, Waiting(number, text, perhaps_there))))
        self.expired += len(late.texts) - len(kept.texts)
        return True

    def texts(self, contact_id: bytes, unix_us: int) -> tuple[Waiting, ...]:
        """Return what waits for a contact, the oldest first."""
        return self._timely(contact_id, unix_us).texts

    def heard(self, contact_id: bytes) -> int:
        """Return up to where the contact's texts have come."""
        return self._kept.get(contact_id, _Kept()).heard

    def came(self, contact_id: bytes, number: int) -> None:
        """Take that phones have the contact's texts up to this one."""
        kept = self._kept.get(contact_id, _Kept())
        if number > kept.heard:
            self._set(contact_id, replace(kept, heard=number))

    def arrived(self, contact_id: bytes, number: int) -> None:
        """Take that the contact has ours up to this one."""
        kept = self._kept.get(contact_id, _Kept())
        left = tuple(text for text in kept.texts if text.number > number)
        if left != kept.texts:
            self._set(contact_id, replace(kept, texts=left))

    def forget(self, contact_id: bytes) -> None:
        """Forget all of a contact."""
        if contact_id in self._kept:
            self._store.remove(f"{FOLDER}/{contact_id.hex()}")
            del self._kept[contact_id]

    def count(self) -> int:
        """Return how many texts wait."""
        return sum(len(kept.texts) for kept in self._kept.values())

    def expire(self, unix_us: int) -> None:
        """Forget what has waited for too long."""
        for contact_id in list(self._kept):
            before, kept = self._kept[contact_id], self._timely(contact_id, unix_us)
            if kept != before:
                self._set(contact_id, kept)
                self.expired += len(before.texts) - len(kept.texts)

    def _timely(self, contact_id: bytes, unix_us: int) -> _Kept:
        kept = self._kept.get(contact_id, _Kept())
        return replace(kept, texts=tuple(text for text in kept.texts if text.number + WAITS_US > unix_us))

    def _set(self, contact_id: bytes, kept: _Kept) -> None:
        texts = [[text.number, text.perhaps_there, text.text] for text in kept.texts]
        self._store.write(f"{FOLDER}/{contact_id.hex()}", json.dumps({"heard": kept.heard, "last": kept.last, "texts": texts}).encode())
        self._kept[contact_id] = kept


def _parse(octets: bytes, path: str) -> _Kept:
    """Read a file. Raises FileProblem."""
    try:
        match json.loads(octets):
            case {"heard": int(heard), "last": int(last), "texts": list(rows)} if 0 <= heard < MAX_NUMBER and len(rows) <= MAX_WAITING:
                texts = tuple(_text(row) for row in rows)
                numbers = [text.number for text in texts]
                if numbers == sorted(set(numbers)) and max(numbers, default=0) <= last < MAX_NUMBER:
                    return _Kept(heard, last, texts)
    except ValueError:
        pass
    raise FileProblem(path, 0, "these are no texts that wait", LATER)


def _text(row: object) -> Waiting:
    match row:
        case [int(number), bool(perhaps_there), str(text)] if number > 0:
            return Waiting(number, text, perhaps_there)
    raise ValueError
