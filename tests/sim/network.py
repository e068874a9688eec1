"""Whole networks of the model in virtual time, from a seed: nodes, wires with delay, jitter, loss and reordering, and the control plane's part.

The handshake is not the model's: keys are derived from the handshake's octets, which both ends see. Everything on a wire is captured.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from relay.model.cell import PAYLOAD_OCTETS, Cell, Kind, parse_cell
from relay.model.node import LinkKind, Node
from relay.model.slots import SLOT_US, stride

CONTROL_US = 2_000  # what the control plane takes to answer an event

Event = tuple[object, ...]
Script = Generator[str, Event, None]
"""Yields the name of the event it waits for, is sent that event."""


def keys_of(handshake: bytes) -> tuple[bytes, bytes, bytes]:
    """Return forward key, backward key and the payload of `created` that this handshake stands for."""
    keys = hashlib.sha256(b"keys" + handshake).digest()
    return keys[:16], keys[16:], hashlib.shake_128(handshake).digest(PAYLOAD_OCTETS[Kind.CREATED])


@dataclass
class Wire:
    """One direction of a link. tamper: sees each cell that leaves (time, cell), returns what arrives instead, as (extra delay in us, octets)."""

    to: tuple[str, int]
    latency_us: int = 19_000
    jitter_us: int = 2_000
    loss: float = 0.0
    tamper: Callable[[int, bytes], list[tuple[int, bytes]]] | None = None
    sent: list[tuple[int, Cell]] = field(default_factory=list)
    came: list[tuple[int, Cell]] = field(default_factory=list)


class Network:
    """Nodes by name, wires by (node, link)."""

    def __init__(self, seed: int, make_node: Callable[..., Node] = Node) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.make_node = make_node
        self.now_us = 1_000_000_000 + self.chance.randrange(10**9)
        self.nodes: dict[str, Node] = {}
        self.wires: dict[tuple[str, int], Wire] = {}
        self.relay_links: dict[tuple[str, bytes], int] = {}
        self.scripts: dict[tuple[str, int], list[tuple[Script, str]]] = {}
        self.events: list[tuple[int, str, Event]] = []
        self.listeners: dict[str, Callable[[Event], None]] = {}
        """Told every event of a node, beside its scripts."""
        self._due: list[tuple[int, int, str, tuple[object, ...]]] = []
        self._order = 0

    def add(self, name: str, *, metered: bool = False) -> None:
        """Add a node; metered: its own circuits are."""
        self.nodes[name] = self.make_node(hashlib.sha256(f"{self.seed} {name}".encode()).digest(), metered=metered)

    def connect(self, near: str, far: str, *, access: bool) -> tuple[int, int]:
        """Join two nodes; with access, near is the box. Return the link's number at each."""
        links = len(self.wires) // 2 * 2 + 1, len(self.wires) // 2 * 2 + 2
        self.wires[near, links[0]], self.wires[far, links[1]] = Wire((far, links[1])), Wire((near, links[0]))
        kinds = (LinkKind.OWNER, LinkKind.GUARD) if access else (LinkKind.RELAY, LinkKind.RELAY)
        self.relay_links[near, relay_id(far)], self.relay_links[far, relay_id(near)] = links
        self.at(self.now_us, near, ("link_up", links[0], int(kinds[0])))
        self.at(self.now_us, far, ("link_up", links[1], int(kinds[1])))
        return links

    def at(self, time_us: int, name: str, given: tuple[object, ...]) -> None:
        """Hand an input to a node at a time."""
        self._order += 1
        heapq.heappush(self._due, (time_us, self._order, name, given))

    def command(self, name: str, *command: object) -> None:
        """Give a command to a node after the time the control plane takes."""
        self.at(self.now_us + CONTROL_US, name, ("command", *command))

    def run(self, seconds: float) -> None:
        """Let that much network time pass."""
        end_us = self.now_us + int(seconds * 1e6)
        while True:
            wake_us, name = min(((node.next_timer() or end_us + 1, name) for name, node in self.nodes.items()), default=(end_us + 1, ""))
            if self._due and self._due[0][0] <= min(wake_us, end_us):
                time_us, _, name, given = heapq.heappop(self._due)
            elif wake_us <= end_us:
                time_us, given = wake_us, ("timer",)
            else:
                break
            self.now_us = max(self.now_us, time_us)
            self.nodes[name].handle(self.now_us, given)
            self._carry(name)
        self.now_us = end_us

    def start(self, name: str, link: int, script: Script) -> None:
        """Run a script of the control plane that waits for events of one own link."""
        self.scripts.setdefault((name, link), []).append((script, next(script)))

    def _carry(self, name: str) -> None:
        for output in self.nodes[name].poll():
            if output[0] == "event":
                self.events.append((self.now_us, name, output[1:]))
                self._react(name, output[1:])
            else:
                _, link, octets, at_us = output
                assert isinstance(link, int)
                assert isinstance(octets, bytes)
                assert isinstance(at_us, int)
                self._transmit(self.wires[name, link], octets, at_us)

    def _transmit(self, wire: Wire, octets: bytes, at_us: int) -> None:
        cell = parse_cell(octets)
        assert cell is not None
        wire.sent.append((at_us, cell))
        for extra_us, arriving in wire.tamper(at_us, octets) if wire.tamper else [(0, octets)]:
            if self.chance.random() >= wire.loss:
                arrives_us = at_us + wire.latency_us + extra_us + self.chance.randrange(wire.jitter_us + 1)
                self.at(arrives_us, wire.to[0], ("cell", wire.to[1], arriving))
                came = parse_cell(arriving)
                assert came is not None
                wire.came.append((arrives_us, came))

    def _react(self, name: str, event: Event) -> None:
        """Do the control plane's part: relays answer at once, boxes follow their scripts."""
        if name in self.listeners:
            self.listeners[name](event)
        match event:
            case ("create", int(link), int(circuit), bytes(handshake)):
                forward, backward, created = keys_of(handshake)
                self.command(name, "accept", link, circuit, forward, backward, created, name.startswith("junction"))
            case ("extend", int(link), int(circuit), bytes(relay), int(next_circuit), bytes(handshake)):
                next_link = self.relay_links.get((name, relay))
                if next_link is None:
                    self.command(name, "refuse_extend", link, circuit, 9)
                else:
                    self.command(name, "extend", link, circuit, next_link, next_circuit, handshake)
            case (str(kind), int(link), *_):
                running = self.scripts.pop((name, link), [])
                for script, awaited in running:
                    try:
                        self.scripts.setdefault((name, link), []).append((script, script.send(event) if awaited == kind else awaited))
                    except StopIteration:
                        continue
            case _:
                raise AssertionError(event)


def relay_id(name: str) -> bytes:
    """Return a relay's id."""
    return hashlib.sha256(name.encode()).digest()


@dataclass
class Circuit:
    """An own circuit as the box's control plane knows it."""

    network: Network
    box: str
    link: int
    guard: str
    junction: str
    number: int
    next_number: int
    tokens: bytes = b""
    ready_us: int = 0
    keys: list[tuple[bytes, bytes]] = field(default_factory=list)

    def command(self, name: str, *arguments: object) -> None:
        """Command this circuit."""
        self.network.command(self.box, name, self.link, self.number, *arguments)

    def build(self) -> Script:
        """Open, extend to the junction, choose the phase, settle hop by hop, leave tokens (PROTOCOL.md §5, §6)."""
        first, second = (self.network.chance.randbytes(1220) for _ in range(2))
        self.keys = [keys_of(first)[:2], keys_of(second)[:2]]
        self.command("open", first)
        created = yield "created"
        assert created[3] == keys_of(first)[2]
        self.command("add_hop", *self.keys[0])
        self.command("say", 0, int(Kind.EXTEND), relay_id(self.junction) + self.next_number.to_bytes(4, "big") + second, 1, 0)
        answer = yield "answer"
        assert answer[3:] == (0, Kind.EXTENDED, keys_of(second)[2])
        self.command("add_hop", *self.keys[1])
        self.command("say", 1, int(Kind.PHASE), b"", 1, 0)
        answer = yield "answer"
        assert answer[3:5] == (1, Kind.PHASED)
        payload = answer[5]
        assert isinstance(payload, bytes)
        wait_us, step_us = int.from_bytes(payload[:2], "big") * 10, int.from_bytes(payload[2:], "big") * 10
        delay_us = (wait_us - 2 * step_us - 1_000) % (SLOT_US * stride(self.number))
        self.network.command(self.box, "shift", self.link, delay_us)
        first_slot = self.network.now_us // SLOT_US + 25 + delay_us // 500
        for hop in (0, 1):
            first_slot = max(first_slot, self.network.now_us // SLOT_US + 5)
            self.command("say", hop, int(Kind.SETTLE), (first_slot % 2**32).to_bytes(4, "big"), 1, 0)
            answer = yield "answer"
            assert answer[3:5] == (hop, Kind.SETTLED)
            first_slot += 60 * stride(self.number)
        self.command("settle_own")
        self.command("say", 1, int(Kind.TOKENS), self.tokens, 1, 0)
        answer = yield "answer"
        assert answer[3:5] == (1, Kind.LEFT)
        self.ready_us = self.network.now_us


def two_boxes(
    seed: int,
    *,
    latency_us: int = 19_000,
    jitter_us: int = 2_000,
    loss: float = 0.0,
    make_node: Callable[..., Node] = Node,
    metered: tuple[str, ...] = (),
) -> tuple[Network, list[Circuit]]:
    """Make two boxes, four guards, two junctions; return the network and the four circuits: a to junction1 and 2, b to junction1 and 2.

    metered: which boxes are.
    """
    network = Network(seed, make_node)
    for name in ("box_a", "box_b", "guard1", "guard2", "guard3", "guard4", "junction1", "junction2"):
        network.add(name, metered=name in metered)
    circuits = []
    for box, guard, junction in (
        ("box_a", "guard1", "junction1"),
        ("box_a", "guard2", "junction2"),
        ("box_b", "guard3", "junction1"),
        ("box_b", "guard4", "junction2"),
    ):
        link, _ = network.connect(box, guard, access=True)
        network.connect(guard, junction, access=False)
        number, next_number = (network.chance.getrandbits(30) | 1 | (box in metered) << 31 for _ in range(2))
        circuits.append(Circuit(network, box, link, guard, junction, number, next_number, network.chance.randbytes(2048)))
    for each in network.wires.values():
        each.latency_us, each.jitter_us, each.loss = latency_us, jitter_us, loss
    network.run(0.1)
    for circuit in circuits:
        network.start(circuit.box, circuit.link, circuit.build())
    return network, circuits
