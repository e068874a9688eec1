"""Probes over three relays on real cores in virtual time: what is reported is what came out at the boxes; to relays a probe is a call, and so is an echo."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.support.probed_network import PORT, Port, Probed, plane_of
from voicebox.b2bua.events import Answer, CallEvent, End, Offer, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.echo import EchoingEnd
from voicebox.probe.ends import ANSWER_US, Outcome
from voicebox.probe.rtpstats import parse_rtp


@pytest.mark.parametrize(
    ("codec", "loss_pct"), [(ProbeCodec.OPUS24, 0), (ProbeCodec.OPUS32, 5), (ProbeCodec.PCMA, 5)], ids=lambda value: str(getattr(value, "word", value))
)
def test_loss_is_that_of_the_frames_that_came_out(codec: ProbeCodec, loss_pct: int) -> None:
    probed = Probed(codec, 60, jitter_us=3_000, loss=loss_pct / 100, count=1)
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
    probed = Probed(ProbeCodec.OPUS24, 3)
    probed.whole()
    probed.run(8)
    assert probed.callers.over
    assert_a_call_to_relays(probed)


def assert_a_call_to_relays(probed: Probed) -> None:
    """Compare what two boxes and their relays did with a call of the same two boxes, and people who pick up and hang up when the probe did."""
    ended_us = max(at_us for at_us, box, name, _ in probed.commands if box == "alice" and name == "quiet")
    call = Probed(ProbeCodec.OPUS24, 3)
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


class Echoed(Probed):
    """An echo instead of the probe: alice's phone says numbers from the answer on, and what comes back is heard."""

    def begin(self) -> None:
        alice, bob = self.boxes
        self.begun_us = self.world.now_us
        self.said_us: list[int] = []
        bob.calls.on_probe(self._accept)
        self.phone = Port(self.world, plane_of(alice), self.codec)
        self.leg = alice.calls.call("bob", Offer((self.codec.codec,), probe=True, echo=True), self._hear)

    def _accept(self, _petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        assert offer.echo
        plane = plane_of(self.boxes[1])
        end = EchoingEnd(self.codec.codec, Port(self.world, plane, self.codec), leg, self.world.now_us, 60_000_000)
        self.world.phones[plane.name] = lambda datagram: self.world.give(plane.name, "rtp", PORT, datagram)  # a port that is its own phone
        for after_us, step in ((0, lambda: leg.send(Ringing())), (ANSWER_US, lambda: end.handle_timer(self.world.now_us))):
            self.world.at(after_us, step)
        return lambda event: end.handle_event(event, self.world.now_us)

    def _hear(self, event: CallEvent) -> None:
        if isinstance(event, Answer):
            self.leg.bind(self.phone, event.codec)
            self._speak()

    def _speak(self) -> None:
        number = len(self.said_us)
        if number == 150:
            return
        self.said_us.append(self.world.now_us)
        packet = struct.pack("!BBHII", 0x80, self.codec.payload_type, number, number * self.codec.frame_ticks, 9)
        self.phone.send(packet + self.codec.first_octet + number.to_bytes(2, "big") + bytes(self.codec.frame_octets - 2 - len(self.codec.first_octet)))
        self.world.at(20_000, self._speak)

    def heard_again(self) -> list[tuple[int, int]]:
        """Return (number, when) of what alice's phone got."""
        packets = [(parse_rtp(each.datagram), each.at_us) for each in self.world.heard if each.box == plane_of(self.boxes[0]).name]
        start = len(self.codec.first_octet)
        return [(int.from_bytes(packet.payload[start : start + 2], "big"), at_us) for packet, at_us in packets if packet is not None]


def test_an_echo_comes_back_over_three_relays_twice_and_to_relays_is_a_call() -> None:
    echoed = Echoed(ProbeCodec.OPUS24, 3)
    echoed.begin()
    echoed.run(7)
    heard = echoed.heard_again()
    numbers = [number for number, _ in heard]
    assert numbers == sorted(set(numbers)), "each once, in order"
    assert len(numbers) >= 150 - 6, "but for the gap of a phone's sound, and what begins before both circuits are bound"
    trips_ms = [(at_us - echoed.said_us[number]) / 1e3 for number, at_us in heard]
    print(f"heard again after {min(trips_ms):.0f} to {max(trips_ms):.0f} ms")
    assert min(trips_ms) > 8 * 19
    assert max(trips_ms) < 8 * 19 + 3 * 60
    echoed.leg.send(End())
    echoed.run(8)
    assert all(circuit.free for box in echoed.boxes for circuit in box.standing.present())
    assert echoed.boxes[1].rung[1:] == [], "nobody was rung"
    assert_a_call_to_relays(echoed)


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
