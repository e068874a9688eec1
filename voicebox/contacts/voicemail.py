"""Messages that contacts left, in the directory of a box: sealed with a key of their own, whether the directory is or not. [io]

    voicemail/key          32 random octets (sealed with the directory, where that is), from the first message until all are cleared
    voicemail/NAME.msg     "voicebox message" 16 | sealed file (seal.py) of: {"number", "mailbox", "petname", "day", "heard"} as JSON, a line feed, the sound as PCMA; NAME: 16 random hexadecimal digits

Without a seal on the directory the key lies beside the messages: it keeps them from being read where they alone are copied, and makes deleting it delete them. A file's
time is the beginning of its day. Bounds: MAX_ALL, MAX_MESSAGES, MAX_OF_CONTACT, MAX_SOUND_OCTETS; with all of them it is 115 MB.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from voicebox.contacts.contact import PETNAME
from voicebox.contacts.seal import FileKey
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HostError

FOLDER = "voicemail"
KEY_FILE = f"{FOLDER}/key"
MAX_ALL = 120
MAX_MESSAGES, MAX_OF_CONTACT = 30, 10
"""Of one mailbox."""
OCTETS_S = 8_000
MAX_SOUND_OCTETS = 120 * OCTETS_S
_MAGIC = b"voicebox message"
_NAME, _MAILBOX = re.compile(r"[0-9a-f]{16}\Z"), re.compile(r"[0-9]{0,8}\Z")
_HINT = "Delete it; the message is lost."


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """One message, without its sound. reference: its name; number: they rise from message to message; mailbox: the number of an extension, "" for everybody's."""

    reference: str
    number: int
    mailbox: str
    petname: str = field(repr=False)
    day: dt.date
    heard: bool
    seconds: int

    def told(self) -> dict[str, str | int | bool]:
        """Return what the owner is told of it."""
        return {"day": self.day.isoformat(), "mailbox": self.mailbox, "petname": self.petname, "seconds": self.seconds, "heard": self.heard}


class MessageFiles:
    """All messages of a box, of all mailboxes. today(): the day."""

    def __init__(self, store: StateDirectory, today: Callable[[], dt.date]) -> None:
        self._store, self._today = store, today
        self._key = FileKey(store.read(KEY_FILE)) if store.exists(KEY_FILE) else None
        names = sorted(path.stem for path in store.path(FOLDER).glob("*.msg") if _NAME.match(path.stem))
        self._messages = {name: self._read(name)[0] for name in names[:MAX_ALL]}

    def messages(self) -> list[KeptMessage]:
        """Return what there is, the oldest first."""
        return sorted(self._messages.values(), key=lambda message: message.number)

    def count(self) -> tuple[int, int]:
        """Return how many are new, and how many were heard."""
        heard = sum(message.heard for message in self._messages.values())
        return len(self._messages) - heard, heard

    def has_room(self, mailbox: str, petname: str) -> bool:
        """Say whether a contact may leave one more in a mailbox."""
        there = [message.petname for message in self._messages.values() if message.mailbox == mailbox]
        return len(self._messages) < MAX_ALL and len(there) < MAX_MESSAGES and there.count(petname) < MAX_OF_CONTACT

    def keep(self, mailbox: str, petname: str, sound: bytes) -> None:
        """Keep a message; nothing where there is no room. Raises HostError."""
        if self.has_room(mailbox, petname):
            number = 1 + max((message.number for message in self._messages.values()), default=0)
            sound = sound[:MAX_SOUND_OCTETS]
            self._write(KeptMessage(secrets.token_hex(8), number, mailbox, petname, self._today(), heard=False, seconds=len(sound) // OCTETS_S), sound)

    def sound(self, reference: str) -> bytes:
        """Return a message's sound, PCMA; empty where there is no such message. Raises FileProblem."""
        return self._read(reference)[1] if reference in self._messages else b""

    def mark_heard(self, reference: str) -> None:
        """Note that a message was heard. Raises HostError, FileProblem."""
        message = self._messages.get(reference)
        if message is not None and not message.heard:
            self._write(replace(message, heard=True), self._read(reference)[1])

    def remove(self, reference: str) -> None:
        """Delete a message, where there is one. Raises HostError."""
        if self._messages.pop(reference, None) is not None:
            self._store.remove(_file_of(reference))

    def clear(self) -> None:
        """Delete all, and the key: the next one makes another. Raises HostError."""
        for reference in list(self._messages):
            self.remove(reference)
        self._store.remove(KEY_FILE)
        self._key = None

    def renamed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname; or is a contact no more: then its messages go. Raises HostError, FileProblem."""
        for message in [message for message in self._messages.values() if message.petname == petname]:
            if to is None:
                self.remove(message.reference)
            else:
                self._write(replace(message, petname=to), self._read(message.reference)[1])

    def _write(self, message: KeptMessage, sound: bytes) -> None:
        said = {"number": message.number, "mailbox": message.mailbox, "petname": message.petname, "day": message.day.isoformat(), "heard": message.heard}
        head, name = json.dumps(said).encode(), _file_of(message.reference)
        if self._key is None:
            key = secrets.token_bytes(32)
            self._store.write(KEY_FILE, key)
            self._key = FileKey(key)
        self._store.write(name, _MAGIC + self._key.seal(FOLDER, head + b"\n" + sound))
        self._messages[message.reference] = message
        midnight = dt.datetime.combine(message.day, dt.time(), dt.UTC).timestamp()
        try:
            os.utime(self._store.path(name), (midnight, midnight))
        except OSError as error:
            raise HostError(f"The time of a message's file cannot be set ({error.strerror}).") from None

    def _read(self, reference: str) -> tuple[KeptMessage, bytes]:
        name = _file_of(reference)
        path = str(self._store.path(name))
        if self._key is None:
            raise FileProblem(path, 0, "its key is gone", _HINT)
        head, _, sound = self._key.open(FOLDER, self._store.read(name).removeprefix(_MAGIC), path).partition(b"\n")
        try:
            said = json.loads(head)
            day, heard = dt.date.fromisoformat(said["day"]), said["heard"] is True
            message = KeptMessage(reference, int(said["number"]), str(said.get("mailbox", "")), str(said["petname"]), day, heard, len(sound) // OCTETS_S)
        except (ValueError, KeyError, TypeError):
            raise FileProblem(path, 0, "this is no message", _HINT) from None
        if not PETNAME.match(message.petname) or not _MAILBOX.match(message.mailbox) or len(sound) > MAX_SOUND_OCTETS:
            raise FileProblem(path, 0, "this is no message", _HINT)
        return message, sound


def _file_of(reference: str) -> str:
    return f"{FOLDER}/{reference}.msg"
