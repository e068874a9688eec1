"""The network file as a box or relay keeps it: pinned at its first use, never replaced by an older one.

NOT here: the format (network.py), disks (contacts/store.py). Spec: PROTOCOL.md §10.2.
"""

from __future__ import annotations

from voicebox.circuits.network import VerifiedNetwork, parse_network
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, UsageError

NETWORK_FILE = "network.signed"
PIN_FILE = "network.id"
_HINT = "`voicebox network use FILE --home DIR` sets the network."


def use_network(store: StateDirectory, text: str, path: str) -> VerifiedNetwork:
    """Check a network file and keep it. The first one pins the network; from then on only newer files of the same network are taken.

    Raises FileProblem, UsageError; then the former file stays.
    """
    network = parse_network(text, path)
    if store.exists(PIN_FILE):
        if store.read_text(PIN_FILE).strip() != network.network_id.hex():
            raise UsageError("This is the file of another network than the one used here. A box belongs to one network; make another box for another.")
        if store.exists(NETWORK_FILE):
            former = parse_network(store.read_text(NETWORK_FILE), str(store.path(NETWORK_FILE)))
            if network.terms.issued < former.terms.issued:
                raise UsageError("This network file is older than the one used here, so it was left as it is.")
    store.write(NETWORK_FILE, text.encode())
    store.write(PIN_FILE, f"{network.network_id.hex()}\n".encode())
    return network


def load_network(store: StateDirectory) -> VerifiedNetwork:
    """Read the network file in use. Raises FileProblem."""
    network = parse_network(store.read_text(NETWORK_FILE, _HINT), str(store.path(NETWORK_FILE)))
    if store.read_text(PIN_FILE, _HINT).strip() != network.network_id.hex():
        raise FileProblem(str(store.path(NETWORK_FILE)), 0, "this is another network than the one that was pinned", _HINT)
    return network
