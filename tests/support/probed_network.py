"""A probe between two boxes over three relays, all real cores and the boxes' own control plane, in virtual time. What is missing is sockets and DTLS."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.support.boxes import Box, run
from tests.support.core_world import CorePlane, CoreWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import CallEvent, End, Offer, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.speech import Speech
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import AnsweringEnd, CallersEnd, Outcome
from voicebox.probe.frames import parse_frame
from voicebox.probe.result import ProbeResult, result_of
from voicebox.probe.rtpstats import parse_rtp

SMALL = make_network(epoch_s=3_600)
PORT = 7
STEP_US = 20_000
WIRES = 4
"""Between the two boxes, each way: box, guard, junction, guard, box."""
TAIL_US = 5_000_000
"""By so much the call is to be longer than what is measured."""


class Port:
    """A media port of a core, for whoever is its phone: an end of a probe, or a test that speaks. reference: its number there."""

    rtp_port = 20_000

    def __init__(self, world: CoreWorld, plane: CorePlane, codec: ProbeCodec, reference: int = PORT) -> None:
        self.world, self.plane, self.reference = world, plane, reference
        plane.command("media_open", reference)
        plane.command("media_remote", reference, int(codec.codec), codec.payload_type, None)

    def send(self, datagram: bytes) -> None:
        """Hand RTP to the box."""
        self.world.give(self.plane.name, "rtp", self.reference, datagram)

    def nothing(self, *arguments: object, **named: object) -> None:
        """Stand for what a probe never uses, or what was done above."""

    set_remote = protect = set_packets = set_direction = on_digit = play_digit = join = play = close = nothing


class Probed:
    """Two boxes on wires of one length, and a probe of alice's to bob.

    jitter_us: spread evenly from 0 on, of each wire; loss: share of the cells that the path loses from box to box; step_us: the de-jitter step of every hop.
    """

    def __init__(
        self,
        codec: ProbeCodec,
        seconds: int,
        *,
        wire_us: int = 19_000,
        jitter_us: int = 0,
        loss: float = 0.0,
        step_us: int = 5_000,
        count: int = 2,
        seed: int = 1,
    ) -> None:
        self.chance = chance = Random(seed)
        self.begun_us = 0
        self.codec = codec
        self.world = world = CoreWorld(SMALL, 5_000_000, lambda _port: wire_us + (chance.randrange(jitter_us) if jitter_us else 0))
        world.step_us = step_us
        self.boxes = [Box(world, "alice", count, 1), Box(world, "bob", count, 2)]
        self.boxes[0].knows(self.boxes[1])
        self.boxes[1].knows(self.boxes[0])
        for box in self.boxes:
            box.start()
            box.standing._steps.vote("the wires", step_us)
        run(world, self.boxes, 12)
        assert all(box.standing.ready() for box in self.boxes)
        # The two have met, so that a knock is as it is in every later call.
        met = self.boxes[0].calls.call("bob", Offer((codec.codec,)), lambda _event: None)
        run(world, self.boxes, 3)
        met.send(End())
        run(world, self.boxes, 4)
        self.seconds = seconds
        dice = Random(seed + 10)
        world.loses = lambda: dice.random() < loss / WIRES
        self.commands: list[tuple[int, str, str, tuple[object, ...]]] = []
        """When the control plane of a box told its engine what, without keys and payloads."""
        for box in self.boxes:
            self._record(box)

    def _record(self, box: Box) -> None:
        plane = plane_of(box)
        command = plane.command

        def record(name: str, *arguments: object) -> None:
            plain = tuple(argument for argument in arguments[2:] if isinstance(argument, int))
            if name in {"speak", "quiet", "couple"} or (name == "say" and plain[1] in {Speech.KNOCK, Speech.JOIN, Speech.PART}):
                self.commands.append((self.world.now_us - self.begun_us, box.name, name, plain if name == "say" else ()))
            command(name, *arguments)

        plane.command = record  # type: ignore[method-assign] # to watch it

    def begin(self) -> None:
        """Let the probe begin."""
        world, (alice, bob) = self.world, self.boxes
        self.begun_us = world.now_us
        bits = self.chance.getrandbits
        here = Port(world, plane_of(alice), self.codec)
        self.callers = CallersEnd(self.codec, here, here.send, bits, world.now_us, seconds=self.seconds, length_us=self.seconds * 1_000_000 + TAIL_US)
        bob.calls.on_probe(self._accept)
        self.callers.leg = alice.calls.call("bob", Offer((self.codec.codec,), probe=True), lambda event: self._later(self.callers, event))
        self._drive(alice, self.callers)

    def _accept(self, _petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        assert offer.probe
        there = Port(self.world, plane_of(self.boxes[1]), self.codec)
        self.answering = end = AnsweringEnd(self.codec, there, there.send, self.chance.getrandbits, self.world.now_us)
        end.leg = leg
        self.world.at(0, lambda: leg.send(Ringing()))
        self._drive(self.boxes[1], end)
        return lambda event: self._later(end, event)

    def _later(self, end: CallersEnd | AnsweringEnd, event: CallEvent) -> None:
        self.world.at(0, lambda: None if end.over else end.handle_event(event, self.world.now_us))

    def _drive(self, box: Box, end: CallersEnd | AnsweringEnd) -> None:
        self.world.phones[plane_of(box).name] = lambda datagram: end.receive(datagram, self.world.now_us)

        def step() -> None:
            if end.next_us <= self.world.now_us:
                end.handle_timer(self.world.now_us)
            if not end.over:
                self.world.at(min(STEP_US, max(500, end.next_us - self.world.now_us)), step)

        self.world.at(0, step)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        run(self.world, self.boxes, seconds)

    def whole(self) -> ProbeResult:
        """Run until all is known."""
        self.begin()
        for _ in range(self.seconds + 10):
            if self.callers.outcome is not Outcome.UNDER_WAY:
                break
            self.run(1)
        end = self.callers
        return result_of(self.codec, end.outcome, end.there.since(0)[: end.frames], end.back(0, self.world.now_us), end.stream.round_trips_ms)

    def came(self, box: Box) -> list[int]:
        """Return the numbers of the frames that a box handed out whole."""
        packets = [parse_rtp(each.datagram) for each in self.world.heard if each.box == plane_of(box).name]
        frames = [parse_frame(packet.payload, self.codec) for packet in packets if packet is not None]
        return sorted(frame.number for frame in frames if frame is not None)


def plane_of(box: Box) -> CorePlane:
    assert isinstance(box.plane, CorePlane)
    return box.plane
