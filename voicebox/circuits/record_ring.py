"""Which relays hold a record: those behind the eight points of its place on a ring over all relays of the list.

A place has a point for each of its holders, and not one for all: so where relays that stand side by side are gone, no place loses more holders than another.

Where relays and places stand on the ring follows from what is shared in the period (PROTOCOL.md §10.7), which nobody knows or chooses ahead: so nobody can make a relay
that will stand beside a place. In a network without value keys it follows from a hash that everybody could compute long before. NOT here: what a holder does
(record_holder.py). Pure. Spec: PROTOCOL.md §12.3.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.kdf import sha256
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.value import PERIOD_EPOCHS

HOLDERS = 8
FEWEST = 4
"""Where fewer of them answer, those behind them are asked, too: so that a record can be left, and found, where many relays are gone that the list still has."""


def position(what: bytes, shared: bytes, period: int, name: bytes) -> bytes:
    """Return where a relay or a place (what) of that name stands: 32 octets, in their order."""
    return sha256(b"voicebox/1 ring " + what, shared, period.to_bytes(4, "big"), name)


@dataclass(frozen=True)
class Ring:
    """The relays of one period in the order in which they stand."""

    period: int
    shared: bytes = field(repr=False)
    positions: list[bytes] = field(repr=False)
    relays: list[Descriptor] = field(repr=False)

    def holders(self, place: bytes) -> list[Descriptor]:
        """Return the eight relays of a place; fewer where there are fewer."""
        return self._behind(place, HOLDERS)

    def others(self, place: bytes) -> list[Descriptor]:
        """Return the eight who are asked, too, where fewer than FEWEST holders answer."""
        return self._behind(place, 2 * HOLDERS)[HOLDERS:]

    def _behind(self, place: bytes, count: int) -> list[Descriptor]:
        """Return for each point of a place the first relay at or behind it that is behind none before it."""
        found: dict[bytes, Descriptor] = {}
        for point in range(min(count, len(self.relays))):
            at = bisect_left(self.positions, position(b"place", self.shared, self.period, bytes([point]) + place)) % len(self.relays)
            while self.relays[at].relay_id in found:
                at = (at + 1) % len(self.relays)
            found[self.relays[at].relay_id] = self.relays[at]
        return list(found.values())


def ring_of(network: VerifiedNetwork, period: int, now_us: int) -> Ring:
    """Return the ring of a period over the relays that are valid now."""
    shared = network.shared_at(period * PERIOD_EPOCHS)
    standing = sorted((position(b"relay", shared, period, relay.relay_id), relay) for relay in network.valid(network.date(now_us)))
    return Ring(period, shared, [position for position, _ in standing], [relay for _, relay in standing])


class Rings:
    """The rings of a few periods, made once for each list and epoch."""

    def __init__(self) -> None:
        self._network: VerifiedNetwork | None = None
        self._epoch = -1
        self._rings: dict[int, Ring] = {}

    def of(self, network: VerifiedNetwork, period: int, now_us: int) -> Ring:
        """Return the ring of a period. Contract: only periods near to the present one are asked for."""
        epoch = network.epoch_at(now_us)
        if network is not self._network or epoch != self._epoch:
            self._network, self._epoch, self._rings = network, epoch, {}
        if period not in self._rings:
            self._rings[period] = ring_of(network, period, now_us)
        return self._rings[period]
