"""Change what is offered to contacts, and where programs find what they offer: a running box does it; where none runs it is done here. [io]"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.streams.offered import changed, keep_offered, load_offered


def change_offered(home: Path, what: str, line: str) -> None:
    """Carry a change out; what and line as in streams/offered.py. Raises UsageError, FileProblem, HostError; then nothing has changed."""
    store = StateDirectory(home)
    with store.locked_if_free() as is_free:
        if not is_free:
            ask(home, "offering", what=what, line=line)
            return
        petnames = frozenset(contact.petname for contact in store.load_contacts(dt.datetime.now(dt.UTC)))
        keep_offered(store, changed(load_offered(store), what, line, petnames))
