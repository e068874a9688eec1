"""Which relays a box uses: its guards, kept for long, and the junctions of an epoch, the same for everybody.

NOT here: building (standing.py), files (contacts/store.py). Pure; randomness is handed in. Spec: PROTOCOL.md §10.3, §10.4.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.kdf import sha256
from voicebox.circuits.network import VerifiedNetwork
from voicebox.errors import PolicyError

JUNCTIONS_PER_EPOCH = 2
SPARE_GUARDS = 1
"""Guards kept beside those in use, for when one stays unreachable."""


class Rng(Protocol):
    """The randomness that choosing needs: random.SystemRandom in a daemon, seeded in tests."""

    def shuffle(self, items: list[Descriptor], /) -> None: ...


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


def junctions_of_epoch(network: VerifiedNetwork, epoch: int, now: dt.datetime) -> list[Descriptor]:
    """Return the junctions of an epoch in their order, at most two. Spec: PROTOCOL.md §10.3."""
    number = (epoch & 0xFFFFFFFF).to_bytes(4, "big")
    ranked = sorted(network.with_role(Role.JUNCTION, now), key=lambda relay: sha256(b"voicebox/1 junction", network.terms.shared, number, relay.relay_id))
    return ranked[:JUNCTIONS_PER_EPOCH]


def choose_guards(network: VerifiedNetwork, kept: Sequence[bytes], count: int, now: dt.datetime, rng: Rng, operators: Collection[str] = ()) -> list[Descriptor]:
    """Return count guards and SPARE_GUARDS more where the network has them: first those kept, then others at random.

    kept: relay ids in their order, from former runs; those that are gone from the network are left out. No two of one operator,
    where the network says so. The order matters: the first ones are used. operators: take guards of these only; empty takes any.
    """
    valid = [relay for relay in network.with_role(Role.GUARD, now) if not operators or relay.operator in operators]
    by_id = {relay.relay_id: relay for relay in valid}
    candidates = [by_id[relay_id] for relay_id in kept if relay_id in by_id]
    others = [relay for relay in valid if relay not in candidates]
    rng.shuffle(others)
    chosen: list[Descriptor] = []
    for relay in [*candidates, *others]:
        same_operator = any(relay.operator == other.operator for other in chosen)
        if len(chosen) < count + SPARE_GUARDS and not (same_operator and network.terms.distinct_operators):
            chosen.append(relay)
    return chosen


def paths_of_epoch(network: VerifiedNetwork, guards: Sequence[Descriptor], junctions: Sequence[Descriptor], count: int) -> list[Path]:
    """Return count paths over different guards to different junctions, the i-th to the i-th junction.

    Of the ways to pair guards with junctions the first that keeps the rule of operators is taken, so that guards change as seldom as can be.
    Raises PolicyError where none does.
    """
    count = min(count, len(junctions))
    if count:
        for order in itertools.permutations(guards, count):
            pairs = [Path(guard, junction) for guard, junction in zip(order, junctions, strict=False)]
            if all(_may_join(network, path) for path in pairs):
                return pairs
    raise PolicyError("No path through the network keeps the rules: too few guards or junctions, or too many of one operator.")


def with_middle(network: VerifiedNetwork, path: Path, guards: Sequence[Descriptor], now: dt.datetime, rng: Rng) -> Path:
    """Lengthen a path by a relay between guard and junction: at random any of the role guard, but none of the box's own guards.

    Raises PolicyError where the rule of operators leaves none.
    """
    own = {guard.relay_id for guard in guards}
    operators = {path.guard.operator, path.junction.operator} if network.terms.distinct_operators else set()
    found = [relay for relay in network.with_role(Role.GUARD, now) if relay.relay_id not in own and relay.operator not in operators]
    if not found:
        raise PolicyError("No path through the network keeps the rules: there is no relay left for its middle.")
    rng.shuffle(found)
    return Path(path.guard, path.junction, found[0])


def _may_join(network: VerifiedNetwork, path: Path) -> bool:
    return path.guard.relay_id != path.junction.relay_id and not (network.terms.distinct_operators and path.guard.operator == path.junction.operator)
