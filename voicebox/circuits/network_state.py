"""The network as a box or relay keeps it: its id pinned by the line it was joined with, its relays merged from every file since and from what relays tell.

NOT here: the format (network.py), what is newer (merge.py), disks (contacts/store.py). Spec: PROTOCOL.md §10.3.
"""

from __future__ import annotations

import datetime as dt

from voicebox.circuits.merge import Changes, merged
from voicebox.circuits.network import VerifiedNetwork, parse_network
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, UsageError

NETWORK_FILE = "network.list"
PIN_FILE = "network.id"
_HINT = "`voicebox network join LINE FILE --home DIR` joins a network."


def join_network(store: StateDirectory, network_id: bytes, text: str, path: str, now: dt.datetime) -> VerifiedNetwork:
    """Join the network of an id with a file of its relays. Raises FileProblem, UsageError; then nothing has changed."""
    if store.exists(PIN_FILE) and store.read_text(PIN_FILE).strip() != network_id.hex():
        raise UsageError("This is another network than the one used here. A box belongs to one network; make another box for another.")
    found = _network_of(network_id, text, path)
    known = load_network(store) if store.exists(PIN_FILE) and store.exists(NETWORK_FILE) else found
    network, _ = _take(store, known, found, now)
    store.write(PIN_FILE, f"{network_id.hex()}\n".encode())
    return network


def update_network(store: StateDirectory, text: str, path: str, now: dt.datetime) -> tuple[VerifiedNetwork, Changes]:
    """Take what a newer file of the same network has. Raises FileProblem, UsageError; then nothing has changed."""
    known = load_network(store)
    return _take(store, known, _network_of(known.network_id, text, path), now)


def load_network(store: StateDirectory, known: VerifiedNetwork | None = None) -> VerifiedNetwork:
    """Read the network in use. known: what was read before, which is not checked again where the file still says it. Raises FileProblem."""
    text = store.read_text(NETWORK_FILE, _HINT)
    network = known if known is not None and known.text == text else parse_network(text, str(store.path(NETWORK_FILE)))
    if store.read_text(PIN_FILE, _HINT).strip() != network.network_id.hex():
        raise FileProblem(str(store.path(NETWORK_FILE)), 0, "this is another network than the one that was joined", _HINT)
    return network


def reread_network(store: StateDirectory, known: VerifiedNetwork, now: dt.datetime) -> VerifiedNetwork:
    """Return what a daemon knows, with what its file has meanwhile; the file has all of it then. Raises FileProblem; then nothing has changed."""
    there = load_network(store, known)
    if there is known:
        return known
    network, _ = merged(there, (relay.verified for relay in known.relays), now, signed=known.signed.values(), strict=False)
    keep_network(store, network)
    return network


def keep_network(store: StateDirectory, network: VerifiedNetwork) -> None:
    """Write the network down. Raises HostError."""
    store.write(NETWORK_FILE, network.text.encode())


def _network_of(network_id: bytes, text: str, path: str) -> VerifiedNetwork:
    found = parse_network(text, path)
    if found.network_id != network_id:
        raise UsageError(f"{path} is the file of another network: other voucher keys, another threshold, or other terms.")
    return found


def _take(store: StateDirectory, known: VerifiedNetwork, found: VerifiedNetwork, now: dt.datetime) -> tuple[VerifiedNetwork, Changes]:
    network, changes = merged(known, (relay.verified for relay in found.relays), now, signed=found.signed.values())
    if problem := network.problem(now):
        raise UsageError(f"This makes no network that could carry a call: {problem}.")
    keep_network(store, network)
    return network, changes
