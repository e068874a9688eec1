"""Networks in virtual time of nothing but real parts: the engine's cores of relays and boxes, joined by wires, real handshakes, and the boxes' control plane.

What is missing of a running network is sockets, DTLS and SIP. NOT here: wires that are bad to some only (tests/sim), what the core does alone (relay/core/tests).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.fake_engine import FakePlane, FakeWorld
from tests.support.networks import RelayKeys, SmallNetwork
from voicebox import _relay
from voicebox.circuits.descriptor import Role
from voicebox.circuits.handshake import HopBinding, answer_hop
from voicebox.errors import HandshakeError

OWNER, GUARD, RELAY = 0, 1, 2
"""Kinds of a link at one of its ends, as the core has them."""
CONTROL_US = 2_000
"""What a control plane takes to answer an event."""
STEP_US = 10_000


@dataclass(frozen=True)
class Heard:
    """A datagram for a phone."""

    box: str
    at_us: int
    datagram: bytes


class CoreWorld(FakeWorld):
    """All cores, their wires, and the time. wire_us(relay's port): how long a relay's wires are, one way."""

    def __init__(self, small: SmallNetwork, now_us: int, wire_us: Callable[[int], int]) -> None:
        super().__init__(small, now_us)
        self.planes: dict[str, CorePlane] = {}
        self.heard: list[Heard] = []
        self.left_us: dict[tuple[str, int], list[int]] = {}
        """When cells left, by node and link."""
        self.phones: dict[str, Callable[[bytes], None]] = {}
        """Told what comes for the phone of a box, when it comes."""
        self.step_us = 5_000
        """The de-jitter step with which relays accept."""
        self.loses: Callable[[], bool] = lambda: False
        """Asked for each cell on a wire whether it is lost."""
        self.unplugged: set[tuple[str, int]] = set()
        """A node's end of a link: no cell passes there, and nobody is told."""
        self._wire_us = wire_us
        self._relays = {relay.descriptor.relay_id.hex(): relay for relay in small.relays}
        self._cores = {name: _relay.CoreMachine(index.to_bytes(32, "big")) for index, name in enumerate(self._relays)}
        self._wires: dict[tuple[str, int], tuple[str, int]] = {}
        self._numbers = itertools.count(1)
        self._between: dict[tuple[str, str], int] = {}
        for near, far in itertools.product(self._relays, self._relays):
            if (self._relays[near].descriptor.role, self._relays[far].descriptor.role) == (Role.GUARD, Role.JUNCTION):
                self._between[near, far] = self.join(near, far, (RELAY, RELAY))

    def make_plane(self, *, metered: bool = False) -> FakePlane:
        name = f"box {len(self.planes)}"
        self.planes[name] = CorePlane(self, name)
        self._cores[name] = _relay.CoreMachine((1_000 + len(self.planes)).to_bytes(32, "big"), metered=metered)
        return self.planes[name]

    def join(self, near: str, far: str, kinds: tuple[int, int]) -> int:
        """Let a link stand between two nodes; return its number at both."""
        link = next(self._numbers)
        self._wires[near, link], self._wires[far, link] = (far, link), (near, link)
        self.give(near, "link_up", link, kinds[0])
        self.give(far, "link_up", link, kinds[1])
        return link

    def cut(self, name: str, link: int, *, here_only: bool = False) -> None:
        """Let a link be gone at both ends; here_only: the other end hears no more of it, and goes on."""
        far = self._wires.pop((name, link), None)
        if far is not None:
            del self._wires[far]
            self.give(name, "link_down", link)
            if not here_only:
                self.give(far[0], "link_down", link)

    def guard_at(self, port: int) -> RelayKeys:
        return next(relay for relay in self._relays.values() if relay.descriptor.addresses[0].port == port)

    def counters(self, name: str) -> dict[str, int]:
        """Return a core's totals."""
        return self._cores[name].counters()

    def give(self, name: str, *given: object) -> None:
        """Hand an input to a core, and carry what comes of it."""
        for output in self._cores[name].handle(self.now_us, given):
            match output:
                case ("send", int(link), bytes(cell), int(at_us)):
                    self._carry(name, link, cell, at_us)
                case ("rtp", _, False, bytes(datagram), int(at_us)):
                    self.heard.append(Heard(name, at_us, datagram))
                    if name in self.phones:
                        self.at(max(0, at_us - self.now_us), lambda datagram=datagram: self.phones[name](datagram))  # type: ignore[misc] # of this output
                case ("event", *event):
                    self.at(CONTROL_US, lambda event=tuple(event): self._react(name, event))  # type: ignore[misc] # of this output
                case _:
                    pass  # RTCP; links that a core gives up are not

    def _carry(self, name: str, link: int, cell: bytes, at_us: int) -> None:
        self.left_us.setdefault((name, link), []).append(at_us)
        far = self._wires.get((name, link))
        if far is not None and not self.unplugged & {(name, link), far} and not self.loses():
            relay = self._relays.get(far[0]) or self._relays[name]
            delay_us = max(0, at_us - self.now_us) + self._wire_us(relay.descriptor.addresses[0].port)
            self.at(delay_us, lambda: self.give(far[0], "cell", link, cell) if (name, link) in self._wires else None)

    def _react(self, name: str, event: tuple[object, ...]) -> None:
        relay = self._relays.get(name)
        if relay is None:
            self.planes[name].listen(event)
            return
        match event:
            case ("create", int(link), int(circuit), bytes(handshake)):
                self._create(name, relay, link, circuit, handshake)
            case ("extend", int(link), int(circuit), bytes(relay_id), int(next_circuit), bytes(handshake)):
                self.give(name, "command", "extend", link, circuit, self._between[name, relay_id.hex()], next_circuit, handshake)
            case ("ask", int(link), int(circuit), int(number), bytes(question)):
                self.asked(name, question, lambda answer: self.give(name, "command", "answer_ask", link, circuit, number, answer))
            case _:
                pass

    def _create(self, name: str, relay: RelayKeys, link: int, circuit: int, handshake: bytes) -> None:
        network = self.small.network
        for epoch in (network.epoch_at(self.now_us), network.epoch_at(self.now_us) + 1):
            binding = HopBinding(network.network_id, relay.descriptor.identity, circuit, epoch)
            try:
                keys, created = answer_hop(binding, relay.identity_key, handshake)
            except HandshakeError:
                continue
            junction = relay.descriptor.role is Role.JUNCTION
            self.give(name, "command", "accept", link, circuit, keys.forward.reveal(), keys.backward.reveal(), created, junction, self.step_us, self.step_us)

    def run_until(self, until_us: int, timers: Callable[[int], None]) -> None:
        """Run; timers(now_us) is called every 10 ms, and does what is due in the boxes."""
        while self.now_us < until_us:
            end_us = min(until_us, (self.now_us // STEP_US + 1) * STEP_US)
            while self._step(end_us):
                pass
            self.now_us = end_us
            timers(self.now_us)

    def _step(self, end_us: int) -> bool:
        """Let the next thing happen that is due by a time; false where nothing is."""
        wake_us, name = min((max(self.now_us, core.next_timer() or end_us + 1), name) for name, core in self._cores.items())
        if self._heap and self._heap[0][0] <= min(wake_us, end_us):
            at_us, _, action = heapq.heappop(self._heap)
            self.now_us = max(self.now_us, at_us)
            action()
            return True
        if wake_us <= end_us:
            self.now_us = wake_us
            self.give(name, "timer")
            return True
        return False


class CorePlane(FakePlane):
    """The engine of one box: a core, and links that stand at once."""

    def __init__(self, world: CoreWorld, name: str) -> None:
        super().__init__(world)
        self._world, self.name = world, name
        self._left: set[int] = set()

    def links(self) -> set[int]:
        return {link for link, life in self.lives.items() if len(life) == 1}

    def connect(self, address: str, port: int, pin: bytes, *, uplink: str | None = None) -> int:
        relay = self._world.guard_at(port)
        assert (address, pin) == ("127.0.0.1", relay.descriptor.link_pin)
        link = self._world.join(self.name, relay.descriptor.relay_id.hex(), (OWNER, GUARD))
        self.lives[link], self.over[link] = [self._world.now_us], uplink
        self._world.at(CONTROL_US, lambda: self.listen(("link_up", link, False, None)))
        return link

    def disconnect(self, link: int) -> None:
        if link in self.links():
            self.lives[link].append(self._world.now_us)
            self._world.cut(self.name, link, here_only=link in self._left)

    def command(self, name: str, *arguments: object) -> None:
        """Command the core."""
        self._world.give(self.name, "command", name, *arguments)

    def open(self, link: int, number: int, handshake: bytes) -> None:
        self.command("open", link, number, handshake)

    def add_hop(self, link: int, number: int, forward_key: bytes, backward_key: bytes) -> None:
        self.command("add_hop", link, number, forward_key, backward_key)

    def say(self, link: int, number: int, hop: int, kind: int, payload: bytes, every: int = 1, times: int = 0) -> None:
        self.command("say", link, number, hop, int(kind), payload, every, times)

    def hush(self, link: int, number: int) -> None:
        self.command("hush", link, number)

    def attach_circuit(self, link: int, number: int, next_link: int) -> None:
        self._left.add(link)
        self.command("attach_circuit", link, number, next_link)

    def shift(self, link: int, delay_us: int) -> None:
        self.command("shift", link, delay_us)

    def settle_own(self, link: int, number: int, step_us: int) -> None:
        self.command("settle_own", link, number, step_us)

    def speak(self, link: int, number: int, send_key: bytes | None, receive_keys: list[bytes]) -> None:
        self.command("speak", link, number, send_key, receive_keys)

    def couple(self, link: int, number: int, spare_link: int, spare_number: int) -> None:
        self.command("couple", link, number, spare_link, spare_number)

    def channel_send(self, link: int, number: int, message: bytes) -> None:
        self.command("channel_send", link, number, message)

    def quiet(self, link: int, number: int) -> None:
        self.command("quiet", link, number)

    def bundle_bind(self, bundle: int, link: int, number: int) -> None:
        self.command("bundle_bind", bundle, link, number)

    def media_bind(self, port: int, link: int, number: int, codec: int) -> None:
        self.command("media_bind", port, link, number, int(codec))
