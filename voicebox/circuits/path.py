"""Which relays a path takes: what may stand on one together, how often each is drawn, the junctions of an epoch, the same for everybody.

Relays are drawn in proportion to their bandwidth, which vouchers vouch for; in an open network, where nobody does, all alike. What the box itself saw of relays
(scores.py) makes some of them rarer, at most to a fourth, and never guards in use. NOT here: which guards are kept (guards.py), building (standing.py). Pure;
randomness is handed in. Spec: PROTOCOL.md §10.4, §10.5.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.network import Admitted, VerifiedNetwork
from voicebox.circuits.terms import NetworkTerms, unit_s
from voicebox.errors import PolicyError

JUNCTIONS_PER_EPOCH = 2
KNOWN_UNITS = 48
"""So long a relay is vouched for before it is a junction like others: by then every box has heard of it."""
DRAWS = 64
"""So often a relay is drawn that may not be taken, before all that may are looked through."""


class Rng(Protocol):
    """Randomness: random.SystemRandom in a daemon, seeded in tests."""

    def random(self) -> float: ...
    def uniform(self, low: float, high: float, /) -> float: ...


@dataclass(frozen=True, slots=True)
class Path:
    """The relays of a standing circuit. middle: one between, where the box wants that."""

    guard: Descriptor
    junction: Descriptor
    middle: Descriptor | None = None

    @property
    def relays(self) -> tuple[Descriptor, ...]:
        """Return the relays from the box on."""
        return (self.guard, self.junction) if self.middle is None else (self.guard, self.middle, self.junction)


@functools.lru_cache(maxsize=65_536)
def prefix_of(host: str) -> str:
    """Return the IPv4 /16 or IPv6 /32 of a public address; nothing for another: private addresses say nothing of who is near whom."""
    address = ipaddress.ip_address(host)
    if not address.is_global:
        return ""
    return str(ipaddress.ip_network((address, 16 if address.version == 4 else 32), strict=False))


def prefixes(relay: Descriptor) -> set[str]:
    """Return the prefixes of all public addresses of a relay."""
    return {prefix for address in relay.addresses if (prefix := prefix_of(address.host))}


def apart(terms: NetworkTerms, one: Descriptor, other: Descriptor) -> bool:
    """Return whether two relays may be on one path."""
    if one.identity == other.identity or (terms.distinct_operators and one.operator == other.operator):
        return False
    return not (terms.distinct_prefixes and prefixes(one) & prefixes(other))


def weight(terms: NetworkTerms, relay: Descriptor) -> int:
    """Return how often a relay is drawn, in proportion."""
    return relay.mbit_s if terms.threshold else 1


@dataclass(frozen=True, slots=True)
class OwnView:
    """What a box knows of relays beside the list, by their ids. avoid: those with its own address; cards: guards that it was given by card."""

    avoid: frozenset[bytes] = field(default=frozenset(), repr=False)
    cards: Mapping[bytes, Descriptor] = field(default_factory=dict, repr=False)


class Pool:
    """The relays of one role that are valid at a time, to draw from. Making one reads the whole list, drawing a few of it.

    own: some of them are not drawn, and those of cards are there too; `by_card` has their ids, `unlisted` those of them that other relays do not know.
    """

    def __init__(self, network: VerifiedNetwork, role: Role, now: dt.datetime, own: OwnView | None = None) -> None:
        self.terms, self.date, own = network.terms, now, own or OwnView()
        relays = {relay.relay_id: relay for relay in network.with_role(role, now)}
        cards = {relay_id: relay for relay_id, relay in own.cards.items() if relay.role is role and relay.valid_at(now)}
        self.by_id = {relay_id: relay for relay_id, relay in (relays | cards).items() if relay_id not in own.avoid}
        self.by_card = frozenset(cards.keys() - own.avoid)
        self.unlisted = self.by_card - relays.keys()
        self.relays = list(self.by_id.values())
        weights = [weight(self.terms, relay) for relay in self.relays]
        self._sums = list(itertools.accumulate(weights))
        self.entropy_bits = math.log2(self._sums[-1] / max(weights)) if weights else 0.0
        """The min-entropy of one draw: with n bits no relay is drawn more often than once in 2^n times."""

    def draw(self, rng: Rng, fits: Callable[[Descriptor], bool], favour: Callable[[Descriptor], float] = lambda _relay: 1.0) -> Descriptor | None:
        """Draw a relay that fits, by its weight times its favour (over 0, at most 1), or None where there is none."""
        if not self.relays:
            return None
        for _ in range(DRAWS):
            relay = self.relays[bisect_right(self._sums, rng.random() * self._sums[-1])]
            if rng.random() < favour(relay) and fits(relay):
                return relay
        fitting = [relay for relay in self.relays if fits(relay)]
        sums = list(itertools.accumulate(weight(self.terms, relay) * favour(relay) for relay in fitting))
        return fitting[min(bisect_right(sums, rng.random() * sums[-1]), len(fitting) - 1)] if fitting else None


def junctions_of_epoch(network: VerifiedNetwork, epoch: int) -> list[Descriptor]:
    """Return the junctions of an epoch in their order, at most two: the same for everybody who has the same relays, but those that are new. Spec: PROTOCOL.md §10.4.

    Of u, evenly between 0 and 1 from a hash, -ln(u) / weight is least with a probability in proportion to the weight. What is not known to all yet comes behind the rest.
    """
    known = known_since(network, epoch)
    start = sha256(b"voicebox/1 junction" + network.shared_at(epoch) + (epoch & 0xFFFFFFFF).to_bytes(4, "big"))

    def rank(relay: Admitted) -> tuple[bool, float]:
        digest = start.copy()
        digest.update(relay.descriptor.relay_id)
        spread = -math.log(((int.from_bytes(digest.digest()[:8], "big") >> 11) + 0.5) / 2**53) / weight(network.terms, relay.descriptor)
        return relay.since > known, spread

    return [relay.descriptor for relay in sorted(candidates(network, epoch), key=rank)[:JUNCTIONS_PER_EPOCH]]


def junction_ids(network: VerifiedNetwork, epoch: int) -> list[bytes]:
    """Return the ids of an epoch's junctions in their order."""
    return [relay.relay_id for relay in junctions_of_epoch(network, epoch)]


def candidates(network: VerifiedNetwork, epoch: int) -> list[Admitted]:
    """Return the relays that may be junctions of an epoch, by their ids: those that are valid from its first slot to its last."""
    begin, end = (network.date(each * network.epoch_us) for each in (epoch, epoch + 1))
    return [
        relay
        for relay in network.by_id.values()
        if relay.descriptor.role is Role.JUNCTION and relay.descriptor.valid_at(begin) and relay.descriptor.valid_at(end)
    ]


def known_since(network: VerifiedNetwork, epoch: int) -> dt.datetime:
    """Return since when a relay must have been vouched for to be known to everybody at an epoch's first slot."""
    return network.date(epoch * network.epoch_us) - dt.timedelta(seconds=KNOWN_UNITS * unit_s(network.terms.epoch_s))


def paths_over(terms: NetworkTerms, guards: Sequence[Sequence[Descriptor]], junctions: Sequence[Descriptor]) -> list[Path]:
    """Return a path to each of the first junctions, the i-th over one of guards[i], which may be of another place: none over the same guard, or over two that are not apart.

    Those of one place are apart as they were drawn. The first pairing that keeps the rules is taken, so that guards change as seldom as can be. Raises PolicyError where no pairing keeps the rules.
    """
    for order in itertools.product(*guards) if guards else ():
        pairs = [Path(guard, junction) for guard, junction in zip(order, junctions, strict=False)]
        if all(apart(terms, path.guard, path.junction) for path in pairs) and all(
            may_both(terms, one, other, same_place=guards[i] is guards[j]) for (i, one), (j, other) in itertools.combinations(enumerate(order), 2)
        ):
            return pairs
    raise PolicyError("No path through the network keeps the rules: too few guards or junctions, or too many of one operator or in one network of addresses.")


def may_both(terms: NetworkTerms, one: Descriptor, other: Descriptor, *, same_place: bool) -> bool:
    """Return whether a box may use two guards at once. same_place: both are of one place's set, which was drawn apart."""
    return one.relay_id != other.relay_id and (same_place or apart(terms, one, other))


def with_middle(pool: Pool, path: Path, guards: Collection[Descriptor], rng: Rng, favour: Callable[[Descriptor], float] = lambda _relay: 1.0) -> Path:
    """Lengthen a path by a relay between guard and junction: drawn among those of the role guard that are in the list, but none of the box's own guards.

    Raises PolicyError where the rules leave none.
    """
    own = {guard.identity for guard in guards}
    ends = (path.guard, path.junction)

    def fits(relay: Descriptor) -> bool:
        is_known = not pool.unlisted or relay.relay_id not in pool.unlisted
        return is_known and relay.identity not in own and all(apart(pool.terms, relay, end) for end in ends)

    middle = pool.draw(rng, fits, favour)
    if middle is None:
        raise PolicyError("No path through the network keeps the rules: there is no relay left for its middle.")
    return Path(path.guard, path.junction, middle)
