"""Whether the boxes of contacts know the same junctions: who is told another list of relays than they are finds out.

Each box says in a call which junctions everybody should know by now, as a digest. Two lists that differ by news of the last days have the same one. What nobody can foresee
(a voucher that is taken back) goes round in hours, so only those differ here whose boxes said so for longer. NOT here: the messages (between.py). Pure: takes `now_us`.
Spec: PROTOCOL.md §10.9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from voicebox.circuits.gossip import SETTLED_UNITS
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.path import candidates, known_since
from voicebox.circuits.terms import unit_s
from voicebox.contacts.contact import MAX_CONTACTS

DIGEST_OCTETS = 8
LIST_OCTETS = 4 + DIGEST_OCTETS
REMEMBERED_UNITS = 168
"""So long what a contact's box said counts."""


def junctions_digest(network: VerifiedNetwork, epoch: int) -> bytes:
    """Return a digest, 8 octets, of the junctions that everybody should know at an epoch's first slot, and of what their order in it follows from."""
    known, number = known_since(network, epoch), epoch.to_bytes(4, "big")
    digest = sha256(b"voicebox/1 junctions" + network.network_id + number + network.shared_at(epoch))
    for relay in candidates(network, epoch):
        if relay.since <= known:
            digest.update(relay.descriptor.relay_id + relay.descriptor.mbit_s.to_bytes(4, "big"))
    return digest.digest()[:DIGEST_OCTETS]


@dataclass(slots=True)
class _Word:
    """What a contact's box said last, and since when it has differed, without a word between that did not."""

    at_us: int
    differs_since_us: int | None


class Agreement:
    """What a box says of its list and has heard of those of contacts. network(): as the box knows it now; clock(): network time in microseconds."""

    def __init__(self, network: Callable[[], VerifiedNetwork], clock: Callable[[], int]) -> None:
        self._network, self._clock = network, clock
        self._of: VerifiedNetwork | None = None
        self._digests: dict[int, bytes] = {}
        self._words: OrderedDict[bytes, _Word] = OrderedDict()

    def own(self) -> bytes:
        """Return what the box says: the epoch u32, and its digest."""
        epoch = self._epoch()
        return epoch.to_bytes(4, "big") + self._digest(epoch)

    def heard(self, contact_id: bytes, said: bytes, now_us: int) -> None:
        """Take what a contact's box says, LIST_OCTETS. Of another epoch than this one and those beside it nothing is known."""
        epoch, digest = int.from_bytes(said[:4], "big"), said[4:]
        if abs(epoch - self._epoch()) > 1:
            return
        former = self._words.pop(contact_id, None)
        since = former.differs_since_us if former is not None and former.differs_since_us is not None else now_us
        self._words[contact_id] = _Word(now_us, None if digest == self._digest(epoch) else since)
        while len(self._words) > MAX_CONTACTS:
            self._words.popitem(last=False)

    def told(self) -> dict[str, int]:
        """Return what is told of it: of how many contacts the boxes agree, and of how many they have differed for so long that news are no reason."""
        unit_us, now_us = unit_s(self._network().terms.epoch_s) * 1_000_000, self._clock()
        lately = [word for word in self._words.values() if now_us - word.at_us <= REMEMBERED_UNITS * unit_us]
        differ = [word for word in lately if word.differs_since_us is not None and word.at_us - word.differs_since_us >= SETTLED_UNITS * unit_us]
        return {"agree": sum(word.differs_since_us is None for word in lately), "differ": len(differ)}

    def _epoch(self) -> int:
        return max(0, self._network().epoch_at(self._clock()))

    def _digest(self, epoch: int) -> bytes:
        network = self._network()
        if network is not self._of or len(self._digests) > 3:
            self._of, self._digests = network, {}
        if epoch not in self._digests:
            self._digests[epoch] = junctions_digest(network, epoch)
        return self._digests[epoch]
