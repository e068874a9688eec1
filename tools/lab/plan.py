"""A test network as its file describes it: who is there, and what the wires between them do. Pure. NOT here: YAML (load.py), processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from voicebox.demo.datagrams import Endpoint
from voicebox.demo.network import Plan

ROLES = ("guard", "junction", "relay", "box", "phone", "stranger")
"""What a wire's end may be, beside a node's name; a relay is either of the first two."""
RELAY_PORT = 47_000
PHONE_SIP_PORT = 5_070
MAX_OF_A_KIND = 200


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which all is lost, counted from the start of the wires."""

    from_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Impairments:
    """What a wire does, in each direction, with random values of each direction's own.

    jitter_ms: the extra delay that 99.9 % of the datagrams do not exceed (gamma, shape 2); the order is kept, but for the share reorder_pct,
    which is held back by reorder_ms. burst_*: Gilbert and Elliott, the share of datagrams at which a burst begins, at which it ends, and
    that are lost within. queue_ms: what would wait longer for the rate is lost. rate_kbit 0: no limit.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_pct: float = 0.0
    burst_begin_pct: float = 0.0
    burst_end_pct: float = 100.0
    burst_loss_pct: float = 100.0
    reorder_pct: float = 0.0
    reorder_ms: float = 1.0
    rate_kbit: float = 0.0
    queue_ms: float = 100.0
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True)
class WireRule:
    """What joins two kinds of nodes, or two nodes by their names."""

    ends: tuple[str, str]
    impairments: Impairments


@dataclass(frozen=True, slots=True)
class BoxNode:
    """A box and the guards it may draw from."""

    guards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabNetwork:
    """One network. relays: name to role; phones: name to the name of their box; strangers: nodes that run nothing of ours.

    The first rule that fits a pair makes its wire; without one there is none.
    """

    seed: int
    epoch_s: int
    profile: str
    relays: Mapping[str, str]
    boxes: Mapping[str, BoxNode]
    phones: Mapping[str, str]
    wires: tuple[WireRule, ...]
    strangers: tuple[str, ...] = ()

    def nodes(self) -> tuple[str, ...]:
        """Return the names of all nodes, in the order of the file: relays, boxes, phones, strangers."""
        return (*self.relays, *self.boxes, *self.phones, *self.strangers)

    def address(self, name: str) -> str:
        """Return the address of a node."""
        for kind, names in enumerate((self.relays, self.boxes, self.phones, self.strangers), 1):
            if name in names:
                return f"10.77.{kind}.{list(names).index(name) + 1}"
        raise KeyError(name)

    def kinds(self, name: str) -> frozenset[str]:
        """Return what a wire's end may call a node."""
        if name in self.relays:
            return frozenset((name, "relay", self.relays[name]))
        kinds = (("box", self.boxes), ("phone", self.phones), ("stranger", self.strangers))
        return frozenset((name, *(kind for kind, names in kinds if name in names)))

    def directions(self) -> Iterator[tuple[str, str, Impairments]]:
        """Yield each direction between two nodes that have a wire. A phone and a box of different homes have none."""
        for near in self.nodes():
            for far in self.nodes():
                if near == far or self._of_other_homes(near, far):
                    continue
                kinds = self.kinds(near), self.kinds(far)
                for rule in self.wires:
                    first, second = rule.ends
                    if (first in kinds[0] and second in kinds[1]) or (second in kinds[0] and first in kinds[1]):
                        yield near, far, rule.impairments
                        break

    def _of_other_homes(self, near: str, far: str) -> bool:
        phone, other = (near, far) if near in self.phones else (far, near)
        return phone in self.phones and other in self.boxes and self.phones[phone] != other


@dataclass(frozen=True, slots=True)
class LabPlan(Plan):
    """Addresses of a network in the lab: each node has its own, and each kind its own /24."""

    network: LabNetwork = field(default_factory=lambda: LabNetwork(0, 3_600, "home", {}, {}, {}, ()))

    @staticmethod
    def of(network: LabNetwork) -> LabPlan:
        """Return the plan of a network."""
        by_role = {role: tuple(name for name, its in network.relays.items() if its == role) for role in ("guard", "junction")}
        return LabPlan(
            epoch_s=network.epoch_s,
            profile=network.profile,
            guards=by_role["guard"],
            junctions=by_role["junction"],
            boxes=tuple(network.boxes),
            network=network,
        )

    def relay_address(self, name: str) -> Endpoint:
        return Endpoint(self.network.address(name), RELAY_PORT)

    def box_address(self, name: str) -> str:
        return self.network.address(name)

    def guards_of(self, name: str) -> tuple[str, ...]:
        return self.network.boxes[name].guards

    def phone_sip(self, name: str) -> Endpoint:
        """Return where the first phone of a box listens."""
        return Endpoint(self.network.address(self.phone_of(name)), PHONE_SIP_PORT)

    def phone_of(self, box: str) -> str:
        """Return the name of the first phone of a box."""
        return next(phone for phone, its in self.network.phones.items() if its == box)
