"""Probes over three relays on real cores in virtual time: what is reported is what came out at the boxes, and to relays a probe is a call."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.support.boxes import Box, run
from tests.support.core_world import CorePlane, CoreWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, CallEvent, End, Offer, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.speech import Speech
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import ANSWER_US, AnsweringEnd, CallersEnd, Outcome
from voicebox.probe.frames import parse_frame
from voicebox.probe.result import ProbeResult, result_of
from voicebox.probe.rtpstats import parse_rtp

SMALL = make_network(epoch_s=3_600)
PORT = 7
STEP_US = 20_000
TAIL_US = 3_000_000


class Port:
    """The media port of a core that an end of a probe is the phone of."""

    reference = PORT
    rtp_port = 20_000

    def __init__(self, world: CoreWorld, plane: CorePlane, codec: ProbeCodec) -> None:
        self.world, self.plane = world, plane
        plane.command("media_open", PORT)
        plane.command("media_remote", PORT, int(codec.codec), codec.payload_type, None)

    def send(self, datagram: bytes) -> None:
        """Hand RTP to the box."""
        self.world.give(self.plane.name, "rtp", PORT, datagram)

    def nothing(self, *arguments: object, **named: object) -> None:
        """Stand for what a probe never uses, or what was done above."""

    set_remote = protect = set_packets = set_direction = on_digit = play_digit = join = play = close = nothing


class Probed:
    """Two boxes on wires of one length, and a probe of alice's to bob."""

    def __init__(self, codec: ProbeCodec, seconds: int, *, wire_us: int = 19_000, jitter_us: int = 0, count: int = 2, seed: int = 1) -> None:
        self.chance = chance = Random(seed)
        self.begun_us = 0
        self.codec = codec
        self.world = world = CoreWorld(SMALL, 5_000_000, lambda _port: wire_us + (chance.randrange(jitter_us) if jitter_us else 0))
        self.boxes = [Box(world, "alice", count, 1), Box(world, "bob", count, 2)]
        self.boxes[0].knows(self.boxes[1])
        self.boxes[1].knows(self.boxes[0])
        for box in self.boxes:
            box.start()
        run(world, self.boxes, 12)
        assert all(box.standing.ready() for box in self.boxes)
        # The two have met, so that a knock is as it is in every later call.
        met = self.boxes[0].calls.call("bob", Offer((codec.codec,)), lambda _event: None)
        run(world, self.boxes, 3)
        met.send(End())
        run(world, self.boxes, 4)
        self.seconds = seconds
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
        self.callers = CallersEnd(self.codec, here, here.send, bits, world.now_us, seconds=self.seconds, tail_us=TAIL_US)
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


@pytest.mark.parametrize(
    ("codec", "loss_pct"), [(ProbeCodec.OPUS24, 0), (ProbeCodec.OPUS32, 5), (ProbeCodec.PCMA, 5)], ids=lambda value: str(getattr(value, "word", value))
)
def test_loss_is_that_of_the_frames_that_came_out(codec: ProbeCodec, loss_pct: int) -> None:
    probed = Probed(codec, 60, jitter_us=3_000, count=1)
    chance = Random(11)
    probed.world.loses = lambda: chance.random() < loss_pct / 100 / 4
    result = probed.whole()
    assert result.outcome is Outcome.MEASURED
    for direction, box, sender in ((result.there, probed.boxes[1], probed.callers), (result.back, probed.boxes[0], probed.answering)):
        assert direction.sent == 3000
        came = probed.came(box)
        window = range(came[0], came[0] + direction.sent)
        assert window.stop <= sender.stream.sent
        whole = sum(number in window for number in set(came))
        print(f"{codec.word}, {loss_pct} %: reported {direction.lost_pct:.2f} %, mended {direction.mended}; whole at the box {whole}")
        assert direction.received - direction.mended == pytest.approx(whole, abs=3)
        assert direction.lost_pct <= loss_pct + 0.3, "single losses are repaired from the cell behind"
        if loss_pct and codec is ProbeCodec.PCMA:
            assert direction.mended > 0.5 * loss_pct / 100 * direction.sent


def test_delay_is_that_of_the_wires_and_what_boxes_wait() -> None:
    results = [Probed(ProbeCodec.OPUS24, 5, wire_us=wire_us, count=1).whole() for wire_us in (10_000, 30_000)]
    trips = [result.round_trip_ms(0.5) for result in results]
    # Eight wires, there and back; a box's slots are where they are, so a frame may wait a slot more or less at each box.
    assert trips[1] - trips[0] == pytest.approx(8 * 20, abs=2 * 20)
    for result, wire_ms in zip(results, (10, 30), strict=True):
        assert 8 * wire_ms < min(result.round_trips_ms) < 8 * wire_ms + 2 * 60
        assert result.worse.best.mouth_to_ear_ms == pytest.approx(min(result.round_trips_ms) / 2 + 20 + 20 + 6.5, abs=1)


def test_to_relays_a_probe_is_a_call() -> None:
    probed, call = Probed(ProbeCodec.OPUS24, 3), Probed(ProbeCodec.OPUS24, 3)
    probed.whole()
    probed.run(8)
    assert probed.callers.over
    ended_us = max(at_us for at_us, box, name, _ in probed.commands if box == "alice" and name == "quiet")
    # The same two boxes, and people who pick up and hang up when the probe did.
    call.begun_us = call.world.now_us
    alice, bob = call.boxes
    leg = alice.calls.call("bob", Offer((ProbeCodec.OPUS24.codec,)), alice.listener)
    call.run(0.5)
    ((_, _, other),) = bob.rung[1:]
    call.run(0.5 + ANSWER_US / 1e6)
    for box, each in ((alice, leg), (bob, other)):
        each.bind(Port(call.world, plane_of(box), call.codec), call.codec.codec)
    other.send(Answer(ProbeCodec.OPUS24.codec))
    call.run((ended_us - 400_000 - (call.world.now_us - call.begun_us)) / 1e6)
    leg.send(End())
    call.run(8)
    seen, expected = ([(box, name, plain) for _, box, name, plain in each.commands] for each in (probed, call))
    assert sorted(seen) == sorted(expected), "knock, join, spare, couple, part: as many, of the same kinds, and said as often"
    for name in ("say", "couple", "quiet"):
        times = [[at_us for at_us, _, what, _ in each.commands if what == name] for each in (probed, call)]
        assert all(abs(left - right) <= 120_000 for left, right in zip(*times, strict=True)), f"{name} at the same times, to how long events take"
    for links in zip(*(sorted(each.world.left_us.items()) for each in (probed, call)), strict=True):
        rates = [len(times) / (times[-1] - times[0]) for _, times in links]
        assert rates[0] == pytest.approx(rates[1], rel=0.01)


def test_probes_nobody_takes_are_refused_and_ring_nobody() -> None:
    probed = Probed(ProbeCodec.OPUS24, 3)
    alice, bob = probed.boxes
    probed.begun_us = probed.world.now_us
    rung = len(bob.rung)
    alice.events.clear()
    alice.calls.call("bob", Offer((ProbeCodec.OPUS24.codec,), probe=True), alice.listener)
    probed.run(6)
    assert len(bob.rung) == rung
    assert [type(event).__name__ for event in alice.events] == ["Refuse"]
    assert all(circuit.free for box in probed.boxes for circuit in box.standing.present())
