"""Change a contact: the running box does it, since it alone knows its contacts' latest secrets; where none runs it is done here. [io]"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from voicebox.contacts.changes import Change, decide
from voicebox.contacts.kept import rename_kept
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.naming.names import rename_names
from voicebox.streams.offered import rename_offered


def change_contact(home: Path, change: Change) -> None:
    """Carry a change out. Raises UsageError, FileProblem, HostError; then nothing has changed."""
    store = StateDirectory(home)
    with store.locked_if_free() as is_free:
        if not is_free:
            ask(home, "contact", what=change.what, petname=change.petname, value=change.value)
            return
        now = dt.datetime.now(dt.UTC)
        step = decide(change, store.load_contacts(now), store.load_identity(now).contact_id, now)
        store.keep(step)
        if step.renamed is not None:
            rename_offered(store, *step.renamed)
            rename_names(store, *step.renamed)
            rename_kept(store, *step.renamed)
