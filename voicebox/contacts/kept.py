"""What a box keeps of a contact, missed calls and messages, follows the contact's petname where no box runs that would see to it. [io]"""

from __future__ import annotations

import datetime as dt

from voicebox.contacts.missed import MISSED_FILE
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import KEY_FILE, VoicemailBox


def rename_kept(store: StateDirectory, petname: str, to: str | None) -> None:
    """Let it have the new petname; None: delete it, for the contact is gone. Raises HostError, FileProblem."""
    if store.exists(MISSED_FILE):
        missed = store.load_missed()
        missed.renamed(petname, to)
        store.write(MISSED_FILE, missed.text().encode())
    if store.exists(KEY_FILE):
        VoicemailBox(store, dt.date.today).renamed(petname, to)
