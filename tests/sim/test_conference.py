"""A call with a contact that goes on from another port of the box, as when it is brought into a conference: real cores and relays, virtual time."""

from __future__ import annotations

import struct
from itertools import pairwise

from tests.support.probed_network import PORT, Port, Probed, plane_of
from voicebox.b2bua.events import Answer, End, Offer
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.rtpstats import parse_rtp

CODEC = ProbeCodec.PCMA
MIXER = PORT + 1


def speak(world_of: Probed, port: Port, letter: bytes, count: int) -> None:
    """Let a phone say so many frames from now on."""

    def say(number: int = 0) -> None:
        if number < count:
            port.send(struct.pack("!BBHII", 0x80, CODEC.payload_type, number, number * 160, 5) + letter * 160)
            world_of.world.at(20_000, lambda: say(number + 1))

    say()


def test_the_contact_hears_the_mixer_from_then_on_and_what_leaves_the_boxes_is_the_same() -> None:
    call = Probed(CODEC, 3)
    alice, bob = call.boxes
    leg = alice.calls.call("bob", Offer((CODEC.codec,)), alice.listener)
    call.run(2)
    ((_, _, other),) = bob.rung[1:]
    other.send(Answer(CODEC.codec))
    call.run(0.5)
    phone, mixer = Port(call.world, plane_of(alice), CODEC), Port(call.world, plane_of(alice), CODEC, MIXER)
    leg.bind(phone, CODEC.codec)
    other.bind(Port(call.world, plane_of(bob), CODEC), CODEC.codec)
    speak(call, phone, b"p", 200)
    call.run(2)
    call.commands.clear()
    begins_us = call.world.now_us
    leg.bind(mixer, CODEC.codec)
    plane_of(alice).command("media_close", PORT)
    speak(call, mixer, b"m", 200)
    call.run(3)
    heard = [packet.payload for each in call.world.heard if each.box == plane_of(bob).name and (packet := parse_rtp(each.datagram)) is not None]
    letters = [frame[:1] for frame in heard if frame in {b"p" * 160, b"m" * 160}]  # the others are coarse copies
    assert letters == sorted(letters, reverse=True), "first the phone, then the mixer, and never the phone again"
    assert letters.count(b"p") > 80
    assert letters.count(b"m") > 120
    assert call.commands == [], "nothing is said of it to any relay, nor any key changed"
    for (name, _), times in call.world.left_us.items():
        if name.startswith("box"):
            steps = [after - before for before, after in pairwise(times) if before > begins_us]
            assert max(steps) < 21_000
    leg.send(End())
    call.run(5)
    assert all(circuit.free for box in call.boxes for circuit in box.standing.present())
