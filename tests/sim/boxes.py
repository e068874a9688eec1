"""Two boxes whose calls are made by the daemon's own code, over real cores and layers in virtual time: when a phone rings, to the microsecond.

What is not real: the handshakes (keys are given, as in network.py), and the phones, which ring RINGS_US after they are asked. NOT here: SIP.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from relay.model.node import Node
from tests.sim.network import Circuit as SimCircuit
from tests.sim.network import Event, Network, two_boxes
from tests.support.networks import NOW, SmallNetwork, make_network
from voicebox import _relay
from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call_setting import CallSetting
from voicebox.circuits.calls import Calls
from voicebox.circuits.circuit import METERED, Circuit, Stage
from voicebox.circuits.pair_book import PairBook
from voicebox.circuits.path import Path
from voicebox.circuits.speech import OwnerPlane, Speech
from voicebox.circuits.standing import StandingCircuits
from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.contact import Contact
from voicebox.contacts.identity import new_identity
from voicebox.sensitive import Secret

RINGS_US = 5_000
"""From being asked until a phone says that it rings."""
OFFER = Offer((Codec.OPUS, Codec.PCMA))


class CoreNode(Node):
    """The engine's core in the place of the model."""

    def __init__(self, seed: bytes, *, metered: bool = False) -> None:
        super().__init__(seed)
        self.core = _relay.CoreMachine(seed, metered=metered)

    def handle(self, now_us: int, given: tuple[object, ...]) -> None:
        """Give it an input."""
        self._outputs += self.core.handle(now_us, given)

    def next_timer(self) -> int | None:
        """Return when it wants to be woken."""
        return self.core.next_timer()


class _Plane:
    """The data plane of one box: everything is a command of the core, which gets it when the control plane's time has passed."""

    def __init__(self, network: Network, box: str) -> None:
        self._network, self._box = network, box

    def connect(self, *_: object, **_more: object) -> int:
        """The links are there."""
        return 0

    def source(self, _address: str, _uplink: str | None = None) -> str:
        """They leave from one address, always."""
        return "192.0.2.1"

    def __getattr__(self, name: str) -> Callable[..., None]:
        return partial(self._network.command, self._box, name)


class _Standing(Circuit):
    """One that stands: it was built by the scripts of network.py."""

    def __init__(self, plane: OwnerPlane, path: Path, own: SimCircuit) -> None:
        super().__init__(plane, bytes(32), path, 0, lambda _path, _epoch: b"", 0, 5_000, metered=own.number >= METERED)
        self.link, self.circuit, self.stage = own.link, own.number, Stage.STANDING


class _Circuits:
    """What calls see of the standing circuits."""

    epoch = 0

    def __init__(self, circuits: list[Circuit], *, metered: bool) -> None:
        self._circuits, self.metered = circuits, metered

    def present(self) -> list[Circuit]:
        return self._circuits

    def all(self) -> list[Circuit]:
        return self._circuits

    def successor(self, _circuit: Circuit) -> Circuit | None:
        return None

    def by_link(self, link: int) -> Circuit | None:
        return next((circuit for circuit in self._circuits if circuit.link == link), None)


class Box:
    """One box. told: what its phone was told, and when; trace: what happened, and when."""

    def __init__(self, world: World, name: str, circuits: list[SimCircuit]) -> None:
        self.world, self.name, self.own = world, name, circuits
        self.identity = new_identity(name, NOW)
        self.told: list[tuple[int, CallEvent]] = []
        self.trace: list[tuple[int, str]] = []

    def start(self, other: Box, secret: Secret) -> None:
        """Begin, with a contact that was met."""
        network, small = self.world.network, self.world.small
        plane = cast("OwnerPlane", _Plane(network, self.own[0].box))
        text = serialise_card(other.identity)
        book = PairBook(self.identity, small.network.network_id, [Contact(other.name, parse_card(text, NOW, "card"), text)], lambda _contact: None)
        book.renew(other.name, secret, 0, None)
        setting = CallSetting(plane, self.identity, small.network.network_id, small.network.terms.born_unix_us, book, lambda: network.now_us)
        self.calls = Calls(setting, lambda: None, lambda: True)
        self.calls.on_call(self._rings)
        paths = [Path(small.relays[0].descriptor, small.relays[-2 + index].descriptor) for index in range(2)]
        self.circuits: list[Circuit] = [_Standing(plane, path, own) for path, own in zip(paths, self.own, strict=True)]
        self.calls.use(cast("StandingCircuits", _Circuits(self.circuits, metered=self.own[0].number >= METERED)))
        for path, own in zip(paths, self.own, strict=True):
            own.tokens = self.calls.make_tokens(path, 0)
        network.listeners[self.own[0].box] = self._event

    def handle_timer(self) -> None:
        """Do what is due."""
        now_us = self.world.network.now_us
        for circuit in self.circuits:
            circuit.handle_timer(now_us)
        self.calls.handle_timer(now_us)

    def listener(self, event: CallEvent) -> None:
        """Be the phone of whoever calls or is called."""
        self.told.append((self.world.network.now_us, event))

    def _rings(self, _petname: str, _offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        self.listener(Ringing())
        self.world.later(RINGS_US, lambda: leg.send(Ringing()))
        return self.listener

    def _event(self, event: Event) -> None:
        now_us = self.world.network.now_us
        match event:
            case ("answer", int(link), _, _, Speech.KNOCKED, bytes(payload)):
                self.trace.append((now_us, "knocked"))
                self.calls.knocked(link, payload, now_us)
            case ("heard", int(link), _, int(index)):
                self.trace.append((now_us, "heard"))
                self.calls.heard(link, index, now_us)
            case ("message", int(link), _, bytes(message)):
                self.trace.append((now_us, f"message {message[0]}"))
                self.calls.message(link, message, now_us)
            case _:
                pass  # what the scripts asked for


class World:
    """Four relays, two boxes that have met; later(us, action) does something when that much time has passed."""

    def __init__(self, seed: int, latency_us: int, jitter_us: int, loss: float = 0.0, metered: tuple[str, ...] = ()) -> None:
        self.small: SmallNetwork = make_network()
        self.network, own = two_boxes(seed, latency_us=latency_us, jitter_us=jitter_us, loss=loss, make_node=CoreNode, metered=metered)
        self._later: list[tuple[int, Callable[[], None]]] = []
        self.alice, self.bob = Box(self, "alice", own[:2]), Box(self, "bob", own[2:])
        secret = Secret(self.network.chance.randbytes(32))
        self.alice.start(self.bob, secret)
        self.bob.start(self.alice, secret)
        while not all(circuit.ready_us for circuit in own):
            self.network.run(0.5)
        self.run(2)

    def later(self, us: int, action: Callable[[], None]) -> None:
        """Do something when that much time has passed."""
        self._later.append((self.network.now_us + us, action))

    def run(self, seconds: float, until: Callable[[], Any] = lambda: False) -> None:
        """Let time pass, in steps of a millisecond; at most until something holds."""
        end_us = self.network.now_us + int(seconds * 1e6)
        while self.network.now_us < end_us and not until():
            self.network.run(0.001)
            due = [action for at_us, action in self._later if at_us <= self.network.now_us]
            self._later = [each for each in self._later if each[0] > self.network.now_us]
            for action in due:
                action()
            for box in (self.alice, self.bob):
                box.handle_timer()

    def ring(self) -> tuple[int, int]:
        """Let alice call bob and give up when it rings. Return the microseconds until bob's phone is asked to ring, and until alice hears that it does."""
        began_us = self.network.now_us
        for box in (self.alice, self.bob):
            box.told.clear()
            box.trace.clear()
        leg = self.alice.calls.call("bob", OFFER, self.alice.listener)
        self.run(5, lambda: self.alice.told)
        heard_us, event = self.alice.told[0]
        assert event == Ringing()
        rang_us = self.bob.told[0][0]
        leg.send(End())
        self.run(2.5)
        return rang_us - began_us, heard_us - began_us

    def give_up(self, after_us: int) -> int | None:
        """Let alice call bob and give up so soon. Return the microseconds from then until bob's phone is told that it is over; None where it was never asked to ring."""
        for box in (self.alice, self.bob):
            box.told.clear()
        leg = self.alice.calls.call("bob", OFFER, self.alice.listener)
        self.run(after_us / 1e6)
        gave_up_us = self.network.now_us
        leg.send(End())
        self.run(5)
        told = list(self.bob.told)
        assert [event for _, event in told] in ([], [Ringing(), End()])
        assert not any(circuit.busy for box in (self.alice, self.bob) for circuit in box.circuits)
        return told[1][0] - gave_up_us if told else None
