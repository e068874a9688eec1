"""The certificates of devices and services on a box's disk.

    certs/NAME.pem       a device's or service's private key and its newest certificate, to be copied to it
    certs/issued         the register of all that still run (device_cert.py)

NOT here: what is in them (device_cert.py). Times are handed in.
"""

from __future__ import annotations

import datetime as dt

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.contacts.device_cert import DAYS, Issued, checked_label, ends_soon, issue, latest, parse_register, revoke, serialise_register
from voicebox.contacts.identity import Identity
from voicebox.contacts.store import StateDirectory

FOLDER = "certs"
REGISTER = f"{FOLDER}/issued"


def file_of(name: str) -> str:
    """Return the file of a device's or service's key and certificate."""
    return f"{FOLDER}/{name}.pem"


def load_register(store: StateDirectory) -> list[Issued]:
    """Read the register; empty where nothing was issued. Raises FileProblem."""
    return parse_register(store.read_text(REGISTER), str(store.path(REGISTER))) if store.exists(REGISTER) else []


def issue_to(store: StateDirectory, identity: Identity, name: str, now: dt.datetime, days: int = DAYS) -> Issued:
    """Issue a certificate, for the key that a device has already, unless what it had was revoked. Raises FileProblem, UsageError; then nothing has changed."""
    name, entries = checked_label(name), load_register(store)
    pem, entry = issue(identity, name, now, days, _key_of(store, name) if name in latest(entries) else None)
    register = serialise_register([*entries, entry], now)
    store.write(REGISTER, register.encode())  # first, so that what is issued can be revoked
    store.write(file_of(name), pem)
    return entry


def renew_due(store: StateDirectory, identity: Identity, now: dt.datetime) -> list[Issued]:
    """Issue anew, for the same keys and as long, what is in its last days; return what was. What has expired was not wanted any more. Raises FileProblem."""
    due = [
        entry
        for entry in latest(load_register(store)).values()
        if ends_soon(entry, now) and entry.until >= now.timestamp() and store.exists(file_of(entry.name))
    ]
    return [issue_to(store, identity, entry.name, now, max(1, round((entry.until - entry.made) / 86_400))) for entry in due]


def revoke_all_of(store: StateDirectory, name: str, now: dt.datetime) -> None:
    """Revoke all certificates of a name and remove its key. Raises FileProblem, UsageError; then nothing has changed."""
    name = checked_label(name)
    store.write(REGISTER, serialise_register(revoke(load_register(store), name, now), now).encode())
    store.remove(file_of(name))


def _key_of(store: StateDirectory, name: str) -> Ed25519PrivateKey | None:
    return store.ed25519(file_of(name), "`voicebox cert revoke`, then issue it anew.") if store.exists(file_of(name)) else None
