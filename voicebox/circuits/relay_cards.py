"""Relays that a box knows by card: descriptors that a friend handed over, of guards that need not be in the list.

    relay.cards    the descriptors, one behind the other, by ascending relay id, none twice

A relay's card is its descriptor with its vouchers. It has to be admitted as any relay of the network is; what it spares is the list, which everybody sees. NOT here: which
guards are drawn (guards.py: those of cards first), disks (contacts/store.py). Spec: PROTOCOL.md §10.5, §10.8.
"""

from __future__ import annotations

import datetime as dt

from voicebox.circuits.descriptor import HINT, MAX_DESCRIPTOR_CHARACTERS, Descriptor, Role, VerifiedDescriptor, read_descriptor
from voicebox.circuits.lines import LineReader
from voicebox.circuits.network import VerifiedNetwork, admit
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HandshakeError, UsageError

CARDS_FILE = "relay.cards"
MAX_CARDS = 16


def load_cards(store: StateDirectory) -> dict[bytes, VerifiedDescriptor]:
    """Read the cards, by relay id. Raises FileProblem."""
    found: dict[bytes, VerifiedDescriptor] = {}
    if not store.exists(CARDS_FILE):
        return found
    reader = LineReader(store.read_text(CARDS_FILE), str(store.path(CARDS_FILE)), HINT, max_characters=MAX_CARDS * MAX_DESCRIPTOR_CHARACTERS)
    while not reader.at_end():
        verified = read_descriptor(reader)
        if len(found) >= MAX_CARDS or any(verified.descriptor.relay_id <= known for known in found):
            raise reader.problem("cards stand in the order of the relays' ids, none twice, sixteen at most")
        found[verified.descriptor.relay_id] = verified
    return found


def add_card(store: StateDirectory, network: VerifiedNetwork, card: VerifiedDescriptor, now: dt.datetime) -> None:
    """Keep a relay's card; a newer one takes the place of an older one. Raises UsageError, FileProblem; then nothing has changed."""
    descriptor, cards = card.descriptor, load_cards(store)
    if descriptor.role is not Role.GUARD:
        raise UsageError("This relay is a junction: those are the same for everybody in an epoch, so there is no use for a card of one.")
    try:
        admitted = admit(network.terms, network.network_id, card)
    except HandshakeError as problem:
        raise UsageError(f"The network would not have this relay: {problem}. `voicebox relay vouch --unlisted` vouches for it.") from None
    if not admitted.descriptor.valid_at(now):
        raise UsageError("The card, or its vouchers, have expired. Ask for a newer one.")
    known = cards.get(descriptor.relay_id)
    if known is not None and known.descriptor.sequence > descriptor.sequence:
        raise UsageError("A newer card of this relay is there already.")
    if known is None and len(cards) >= MAX_CARDS:
        raise UsageError(f"There are {MAX_CARDS} cards, which is as many as a box keeps. `voicebox relay remove` forgets one.")
    _keep(store, cards | {descriptor.relay_id: admitted.verified})


def remove_cards(store: StateDirectory, operator: str) -> int:
    """Forget the cards of an operator's relays; return how many there were. Raises FileProblem."""
    cards = load_cards(store)
    left = {relay_id: card for relay_id, card in cards.items() if card.descriptor.operator != operator}
    _keep(store, left)
    return len(cards) - len(left)


def relays_by_card(network: VerifiedNetwork, cards: dict[bytes, VerifiedDescriptor]) -> dict[bytes, Descriptor]:
    """Return the relays of the cards that the network admits, by id: as the list has them where it has them, so that what it withdrew stays withdrawn."""
    found: dict[bytes, Descriptor] = {}
    for relay_id, card in cards.items():
        listed = network.relay(relay_id)
        try:
            found[relay_id] = listed or admit(network.terms, network.network_id, card).descriptor
        except HandshakeError:
            continue  # its vouchers are of keys that this network does not have
    return found


def _keep(store: StateDirectory, cards: dict[bytes, VerifiedDescriptor]) -> None:
    store.write(CARDS_FILE, "".join(cards[relay_id].text for relay_id in sorted(cards)).encode())
