"""A data plane in virtual time for tests of the control plane: relays that make real handshakes, junctions that know tokens, knocks and splices.

What is said to a hop is heard at once and answered after a delay; an end-to-end cell passes where the mate listens under the key that it was sent under.
NOT here: cells, layers, slots, loss (relay/model, relay/core have their own tests).
"""

from __future__ import annotations

import heapq
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.networks import SmallNetwork
from voicebox.circuits.descriptor import RelayAddress
from voicebox.circuits.handshake import HopBinding, LayerKeys, answer_hop
from voicebox.circuits.speech import Speech
from voicebox.errors import HandshakeError, HostError

SLOT_US = 20_000
HOP_US = 30_000
ASKED_SLOTS = 60
"""What a question and its answer take, at the pace at which they are said."""
SILENT_US = 10_000_000


@dataclass
class FakeKnock:
    """What a junction keeps of a circuit's knock."""

    target: FakeCircuit
    ticket: bytes
    joined: bool = False


@dataclass(eq=False)
class FakeCircuit:
    """One circuit of one box."""

    box: FakePlane
    link: int
    number: int
    guard_id: bytes
    junction_id: bytes = b""
    relay_keys: list[LayerKeys] = field(default_factory=list)
    owner_keys: list[tuple[bytes, bytes]] = field(default_factory=list)
    said: int = 0
    saying: tuple[int, bytes] | None = None
    tokens: list[bytes] = field(default_factory=list)
    settled: int = 0
    own_settled: bool = False
    own_step_us: int = 0
    mate: FakeCircuit | None = None
    join_id: bytes = b""
    """By which it is bound: what it knocked or joined with last, until it parts."""
    knock: FakeKnock | None = None
    send_key: bytes | None = None
    receive_keys: list[bytes] = field(default_factory=list)
    heard: set[int] = field(default_factory=set)
    messages: list[bytes] = field(default_factory=list)
    speaking: bool = False
    bound: tuple[int, int] | None = None
    coupled: list[FakeCircuit] = field(default_factory=list)
    last_valid_us: int = 0
    told_silent: bool = False


class FakeWorld:
    """All boxes and relays, and the time."""

    def __init__(self, small: SmallNetwork, now_us: int) -> None:
        self.small, self.now_us = small, now_us
        self.dead: set[bytes] = set()
        self.mute: set[bytes] = set()
        self.asked: Callable[[str, bytes, Callable[[bytes], None]], None] = lambda _junction, _question, _answer: None
        """Told each question that comes to a junction, and how to answer it."""
        self.tamper: Callable[[bytes], bytes] = lambda created: created
        self.circuits: list[FakeCircuit] = []
        self.knocks: dict[bytes, FakeCircuit] = {}
        self.tap: Callable[[str, FakeCircuit, bytes], None] = lambda _what, _circuit, _payload: None
        """Told what a junction sees: open (a circuit comes to it), knock (who knocks), knocked (at whom), splice (who joined), part, gone."""
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def make_plane(self, *, metered: bool = False) -> FakePlane:
        """Make the engine of one more box."""
        assert not metered, "a world without cells knows no rate"
        return FakePlane(self)

    def at(self, delay_us: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now_us + delay_us, next(self._count), action))

    def run_events(self, until_us: int, next_timer: Callable[[], int], timers: Callable[[int], None]) -> None:
        """Run without steps, for hours: timers(now_us) is called when next_timer() says so, which is asked after every action."""
        while (at_us := min(next_timer(), self._heap[0][0] if self._heap else until_us)) < until_us:
            self.now_us = max(self.now_us, at_us)
            if self._heap and self._heap[0][0] <= self.now_us:
                heapq.heappop(self._heap)[2]()
            else:
                timers(self.now_us)
        self.now_us = until_us

    def run_until(self, until_us: int, timers: Callable[[int], None]) -> None:
        """Run; timers(now_us) is called every 10 ms and after every action, and does what is due in the boxes."""
        while self.now_us < until_us:
            step_us = self.now_us + 10_000
            while self._heap and self._heap[0][0] <= step_us:
                self.now_us, _, action = heapq.heappop(self._heap)
                action()
                timers(self.now_us)
            self.now_us = step_us
            timers(self.now_us)


class FakePlane:
    """The engine of one box. events: (name, fields...) as in voicebox/_relay.pyi, handed to `listen`."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.listen: Callable[[tuple[object, ...]], None] = lambda _event: None
        self.lives: dict[int, list[int]] = {}
        """When each link began and, at the end, ended."""
        self.bundles: list[tuple[int, int]] = []
        """Which bundle was bound to which link's circuit."""
        self._links: dict[int, bytes] = {}
        self._circuits: dict[int, FakeCircuit] = {}
        self._next_link = itertools.count(1)
        self.address = "192.0.2.1"
        """From where the machine sends; empty where it cannot."""
        self.cut_off: set[str] = set()
        """Uplinks that lead nowhere."""
        self.over: dict[int, str | None] = {}
        """The uplink that each link was asked for over."""
        self.muted: set[int] = set()

    def source(self, _address: str, uplink: str | None = None) -> str:
        return f"{self.address} at {uplink}" if uplink and self.address else self.address

    def mute(self, link: int) -> None:
        self.muted.add(link)

    def attach_circuit(self, link: int, number: int, next_link: int) -> None:
        circuit = self._circuits.pop(link)
        assert circuit.number == number
        circuit.link = next_link
        self._circuits[next_link] = circuit
        self._event(HOP_US, "answer", next_link, number, 0, Speech.ATTACHED, bytes(6))

    def circuit(self, link: int) -> FakeCircuit:
        return self._circuits[link]

    def links(self) -> set[int]:
        return set(self._links)

    def _event(self, delay_us: int, *event: object) -> None:
        link = event[1]
        self.world.at(delay_us, lambda: self.listen(event) if link in self._links or event[0] == "link_failed" else None)

    def connect(self, address: str, port: int, pin: bytes, *, uplink: str | None = None) -> int:
        relay = next(keys.descriptor for keys in self.world.small.relays if RelayAddress(address, port) in keys.descriptor.addresses)
        if ":" in address:
            raise HostError("no IPv6 here")
        assert relay.link_pin == pin
        link = next(self._next_link)
        self.lives[link] = [self.world.now_us]
        self._links[link], self.over[link] = relay.relay_id, uplink
        if relay.relay_id in self.world.dead or uplink in self.cut_off:
            del self._links[link]
            self._event(10_000_000, "link_failed", link)
        else:
            self._event(HOP_US, "link_up", link, False, None)
        return link

    def disconnect(self, link: int) -> None:
        self._links.pop(link, None)
        if len(self.lives[link]) == 1:
            self.lives[link].append(self.world.now_us)
        circuit = self._circuits.pop(link, None)
        if circuit is not None:
            self.world.tap("gone", circuit, b"")
            self._unbind(circuit)
            self._uncouple(circuit)
            self.world.circuits.remove(circuit)

    def open(self, link: int, number: int, handshake: bytes) -> None:
        assert link not in self._circuits
        circuit = FakeCircuit(self, link, number, self._links[link])
        self._circuits[link] = circuit
        self.world.circuits.append(circuit)
        created = self._answer(circuit, circuit.guard_id, number, handshake)
        if created is None:
            self._event(HOP_US, "refused", link, number, 16)
        elif circuit.guard_id not in self.world.mute:
            self._event(HOP_US, "created", link, number, self.world.tamper(created))

    def _answer(self, circuit: FakeCircuit, relay_id: bytes, number: int, handshake: bytes) -> bytes | None:
        relay = self.world.small.keys_of(relay_id)
        network = self.world.small.network
        for epoch in (network.epoch_at(self.world.now_us), network.epoch_at(self.world.now_us) + 1):
            binding = HopBinding(network.network_id, relay.descriptor.identity, number, epoch)
            try:
                keys, created = answer_hop(binding, relay.identity_key, handshake)
            except HandshakeError:
                continue
            circuit.relay_keys.append(keys)
            return created
        return None

    def add_hop(self, link: int, number: int, forward_key: bytes, backward_key: bytes) -> None:
        circuit = self._own(link, number)
        circuit.owner_keys.append((forward_key, backward_key))
        agreed = circuit.relay_keys[len(circuit.owner_keys) - 1]
        assert (agreed.forward.reveal(), agreed.backward.reveal()) == (forward_key, backward_key)

    def _own(self, link: int, number: int) -> FakeCircuit:
        circuit = self._circuits[link]
        assert circuit.number == number
        return circuit

    def say(self, link: int, number: int, hop: int, kind: int, payload: bytes, every: int = 1, times: int = 0) -> None:
        circuit = self._own(link, number)
        assert hop < len(circuit.owner_keys)
        circuit.said += 1
        circuit.saying = (kind, payload)
        if not {circuit.guard_id, *([circuit.junction_id] if hop else [])} & self.world.mute:
            self._hear(circuit, hop, kind, payload, circuit.said)

    def _hear(self, circuit: FakeCircuit, hop: int, kind: int, payload: bytes, said: int) -> None:
        answer = {
            Speech.EXTEND: self._extend,
            Speech.PHASE: lambda _circuit, _payload: (2 * HOP_US, Speech.PHASED, (777).to_bytes(2, "big") + (500).to_bytes(2, "big")),
            Speech.SETTLE: self._settle,
            Speech.TOKENS: self._tokens,
        }.get(Speech(kind))
        if answer is not None:
            delay_us, answer_kind, answer_payload = answer(circuit, payload)
            self.world.at(delay_us, lambda: self._answered(circuit, hop, answer_kind, answer_payload, said))
        elif kind == Speech.ASK:
            after_us = ASKED_SLOTS * SLOT_US
            self.world.at(
                after_us, lambda: self.world.asked(circuit.junction_id.hex(), payload, lambda told: self._answered(circuit, hop, Speech.ANSWERED, told, said))
            )
        elif kind == Speech.PART:
            self.world.tap("part", circuit, payload)
            if circuit.join_id == payload:
                self._unbind(circuit)
        else:
            self._repeat(circuit, kind, payload, said)

    def _answered(self, circuit: FakeCircuit, hop: int, kind: int, payload: bytes, said: int) -> None:
        if circuit.said == said and circuit.saying is not None:
            circuit.saying = None
            self._event(0, "answer", circuit.link, circuit.number, hop, kind, payload)

    def _extend(self, circuit: FakeCircuit, payload: bytes) -> tuple[int, int, bytes]:
        relay_id, number = payload[:32], int.from_bytes(payload[32:36], "big")
        created = self._answer(circuit, relay_id, number, payload[36:]) if relay_id not in self.world.dead else None
        circuit.junction_id = relay_id
        self.world.tap("open", circuit, b"")
        return (4 * HOP_US, Speech.NOT_EXTENDED, b"\x04") if created is None else (4 * HOP_US, Speech.EXTENDED, created)

    def _settle(self, circuit: FakeCircuit, payload: bytes) -> tuple[int, int, bytes]:
        ahead = int.from_bytes(payload, "big") - (self.world.now_us // SLOT_US & 0xFFFFFFFF)
        assert 0 < ahead < 200
        circuit.settled += 1
        return (ahead + 50) * SLOT_US + 2 * HOP_US, Speech.SETTLED, (500).to_bytes(2, "big")

    def _tokens(self, circuit: FakeCircuit, payload: bytes) -> tuple[int, int, bytes]:
        assert len(payload) == 2048
        circuit.tokens = [payload[at : at + 16] for at in range(0, 2048, 16)]
        return 15 * SLOT_US, Speech.LEFT, b""

    def _repeat(self, circuit: FakeCircuit, kind: int, payload: bytes, said: int) -> None:
        """Knock or join, every 40 ms until something else is said."""
        if circuit.said != said or circuit.saying is None or circuit not in self.world.circuits:
            return
        if kind == Speech.KNOCK:
            self.world.tap("knock", circuit, payload)
            self._knock(circuit, payload)
        else:
            self._join(circuit, payload[:16], payload[16:])
        self.world.at(2 * SLOT_US, lambda: self._repeat(circuit, kind, payload, said))

    def _knock(self, circuit: FakeCircuit, payload: bytes) -> None:
        """As relay/model/junction.py, but for the limits."""
        join_id = payload[16:32]
        if circuit.knock is not None and circuit.join_id == join_id and circuit.knock.target in self.world.circuits:
            target: FakeCircuit | None = circuit.knock.target
        else:
            target = next((other for other in self.world.circuits if payload[:16] in other.tokens and other.junction_id == circuit.junction_id), None)
        if target is None or target is circuit or self.world.knocks.get(join_id, circuit) is not circuit:
            return
        if circuit.join_id != join_id:
            self._unbind(circuit)
            circuit.knock = FakeKnock(target, secrets.token_bytes(8))
        circuit.join_id, self.world.knocks[join_id] = join_id, circuit
        knock = circuit.knock
        if knock is not None and not knock.joined:
            self.world.tap("knocked", target, payload)
            target.box._event(2 * HOP_US, "answer", target.link, target.number, 1, Speech.KNOCKED, payload + knock.ticket)

    def _join(self, circuit: FakeCircuit, join_id: bytes, ticket: bytes) -> None:
        mate = self.world.knocks.get(join_id)
        if mate is None or mate is circuit or mate.knock is None or mate.knock.joined or mate.knock.ticket != ticket or mate.junction_id != circuit.junction_id:
            return
        self._unbind(circuit)
        circuit.mate, mate.mate, circuit.join_id, mate.knock.joined = mate, circuit, join_id, True
        self.world.tap("splice", circuit, join_id)

    def _unbind(self, circuit: FakeCircuit) -> None:
        mate = circuit.mate
        if mate is not None:
            mate.mate, circuit.mate = None, None
        if self.world.knocks.get(circuit.join_id) is circuit:
            del self.world.knocks[circuit.join_id]
        circuit.join_id, circuit.knock = b"", None

    def hush(self, link: int, number: int) -> None:
        self._own(link, number).saying = None

    def shift(self, link: int, delay_us: int) -> None:
        assert 0 <= delay_us < SLOT_US

    def settle_own(self, link: int, number: int, step_us: int) -> None:
        circuit = self._own(link, number)
        circuit.own_settled, circuit.own_step_us = True, step_us

    def speak(self, link: int, number: int, send_key: bytes | None, receive_keys: list[bytes]) -> None:
        circuit = self._own(link, number)
        circuit.send_key, circuit.receive_keys, circuit.heard = send_key, receive_keys, set()
        circuit.last_valid_us, circuit.told_silent = self.world.now_us, False
        if not circuit.speaking:
            circuit.speaking, circuit.messages = True, []
            self._cells(circuit)

    def _cells(self, circuit: FakeCircuit) -> None:
        if not circuit.speaking or circuit not in self.world.circuits:
            return
        if not circuit.told_silent and self.world.now_us - circuit.last_valid_us >= SILENT_US:
            circuit.told_silent = True
            self._event(0, "silent", circuit.link, circuit.number)
        mate, key = circuit.mate, circuit.send_key
        if mate is not None and key is not None:
            self.world.at(2 * HOP_US, lambda: self._arrive(circuit, mate, key))
        self.world.at(SLOT_US, lambda: self._cells(circuit))

    def _arrive(self, circuit: FakeCircuit, mate: FakeCircuit, key: bytes) -> None:
        if key not in mate.receive_keys or not mate.speaking:
            return
        mate.last_valid_us, mate.told_silent = self.world.now_us, False
        index = mate.receive_keys.index(key)
        if index not in mate.heard:
            mate.heard.add(index)
            mate.box._event(0, "heard", mate.link, mate.number, index)
        if circuit.messages:
            mate.box._event(0, "message", mate.link, mate.number, circuit.messages.pop(0))

    def couple(self, link: int, number: int, spare_link: int, spare_number: int) -> None:
        first, spare = self._own(link, number), self._own(spare_link, spare_number)
        assert first.speaking
        assert spare.speaking
        assert not spare.coupled
        assert len(first.coupled) < 2
        spare.coupled = [first, *first.coupled]
        for mate in spare.coupled:
            mate.coupled.append(spare)
        spare.messages, spare.bound = first.messages, first.bound

    def _uncouple(self, circuit: FakeCircuit) -> None:
        for mate in circuit.coupled:
            mate.coupled.remove(circuit)
            circuit.bound = None
        circuit.coupled = []

    def channel_send(self, link: int, number: int, message: bytes) -> None:
        circuit = self._own(link, number)
        assert circuit.speaking
        assert 1 <= len(message) <= 8192
        circuit.messages.append(message)

    def quiet(self, link: int, number: int) -> None:
        circuit = self._own(link, number)
        self._uncouple(circuit)
        circuit.speaking, circuit.send_key, circuit.receive_keys, circuit.bound = False, None, [], None

    def bundle_bind(self, bundle: int, link: int, number: int) -> None:
        assert self._own(link, number).speaking
        self.bundles.append((bundle, link))

    def media_bind(self, port: int, link: int, number: int, codec: int) -> None:
        circuit = self._own(link, number)
        circuit.bound = (port, codec)
        for mate in circuit.coupled:
            mate.bound = (port, codec)
