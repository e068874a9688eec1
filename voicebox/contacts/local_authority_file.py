"""The authority for programs of this machine on a box's disk: the file `local/authority.pem`, a key and its certificate. NOT here: what it is (local_authority.py)."""

from __future__ import annotations

import datetime as dt

from voicebox.contacts.local_authority import LocalAuthority, new_local_authority, parse_local_authority
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HandshakeError

LOCAL_AUTHORITY = "local/authority.pem"
HINT = "Restore it from a backup, or delete it for another one, which every browser has to be given."


def local_authority(store: StateDirectory, suffixes: tuple[str, ...], now: dt.datetime) -> LocalAuthority:
    """Return the authority; it is made where there is none, or the present one is for other suffixes or ends soon. Raises FileProblem, HostError."""
    if store.exists(LOCAL_AUTHORITY):
        try:
            kept = parse_local_authority(store.read(LOCAL_AUTHORITY, HINT))
        except HandshakeError as problem:
            raise FileProblem(str(store.path(LOCAL_AUTHORITY)), 0, str(problem), HINT) from None
        if kept.is_for(suffixes, now):
            return kept
    store.write(LOCAL_AUTHORITY, new_local_authority(suffixes, now))
    return parse_local_authority(store.read(LOCAL_AUTHORITY, HINT))
