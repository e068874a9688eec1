"""Change what is offered to contacts, and where programs find what they offer: a running box does it; where none runs it is done here. [io]"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.streams.offered import STREAMS_FILE, Offered, changed, parse_offered


def load_offered(store: StateDirectory) -> Offered:
    """Read the file of a box. Raises FileProblem, HostError."""
    text = store.read_text(STREAMS_FILE) if store.exists(STREAMS_FILE) else ""
    return parse_offered(text, str(store.path(STREAMS_FILE)))


def change_offered(home: Path, what: str, line: str) -> None:
    """Carry a change out; what and line as in streams/offered.py. Raises UsageError, FileProblem, HostError; then nothing has changed."""
    store = StateDirectory(home)
    with store.locked_if_free() as is_free:
        if not is_free:
            ask(home, "offering", what=what, line=line)
            return
        petnames = frozenset(contact.petname for contact in store.load_contacts(dt.datetime.now(dt.UTC)))
        store.write(STREAMS_FILE, changed(load_offered(store), what, line, petnames).serialise().encode())
