"""A conference's sound: each hears the others and not itself, whatever law, however unevenly they send; and the process between ports of the engine."""

from __future__ import annotations

import math
import random
import socket
import struct
import time
from array import array
from itertools import pairwise

import pytest

from tests.support.tone import tone_share
from voicebox.b2bua.events import Codec
from voicebox.dataplane import LiveDataPlane
from voicebox.errors import HostError
from voicebox.g711 import Law
from voicebox.media_ports import EngineMediaPorts, EngineMixer
from voicebox.mixer import Mixer
from voicebox.mixing import (
    HELD_FRAMES,
    LOOKED_AT_SLOTS,
    MAX_PARTIES,
    MAX_WAITING,
    PAYLOAD_TYPE,
    RANGE,
    SAMPLES,
    STEP_BITS,
    TONE_HZ,
    TONE_SLOTS,
    Mix,
    octets_of,
    samples_of,
)

LOCAL = "127.0.0.1"
TONES_HZ = (440, 700, 1_300, 1_700, 2_300, 3_100)
LOUD = 6_000


def frames_of(hz: int, law: Law, count: int, level: int = LOUD) -> list[bytes]:
    """Return frames of a tone in G.711."""
    wanted = [round(level * math.sin(2 * math.pi * hz * place / 8_000)) for place in range(count * SAMPLES)]
    octets = bytes(octets_of(law)[sample + RANGE >> STEP_BITS] for sample in wanted)
    return [octets[first : first + SAMPLES] for first in range(0, len(octets), SAMPLES)]


def rtp(number: int, frame: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, PAYLOAD_TYPE, number & 0xFFFF, number * SAMPLES, 7) + frame


def share(samples: array[int], hz: int) -> float:
    return tone_share(samples, 8_000, hz)


def samples(packets: list[bytes], law: Law) -> array[int]:
    return array("h", [samples_of(law)[octet] for packet in packets for octet in packet[12:]])


def mixed(laws: list[Law], slots: int = 60, *, hears_tone: bool = False) -> list[list[bytes]]:
    """Let parties say a tone each for so many slots; return what each is sent."""
    mix = Mix(random.Random(1).getrandbits)
    said = [frames_of(TONES_HZ[seat], law, slots) for seat, law in enumerate(laws)]
    for seat, law in enumerate(laws):
        assert mix.add(seat, law, hears_tone=hears_tone)
    heard: list[list[bytes]] = [[] for _ in laws]
    for slot in range(slots):
        for seat, frames in enumerate(said):
            mix.take(seat, rtp(slot, frames[slot]))
        for seat, packet in mix.slot():
            heard[seat].append(packet)
    return heard


@pytest.mark.parametrize("laws", [[Law.A, Law.MU, Law.A], [Law.MU, Law.MU], [Law.A, Law.MU, Law.A, Law.A, Law.MU, Law.A]], ids=len)
def test_each_hears_all_others_and_not_itself(laws: list[Law]) -> None:
    others = len(laws) - 1
    for seat, (law, packets) in enumerate(zip(laws, mixed(laws), strict=True)):
        sound = samples(packets[10:50], law)
        for number in range(len(laws)):
            found = share(sound, TONES_HZ[number])
            assert found < 0.001 if number == seat else 0.9 / others < found < 1.1 / others, (seat, number, found)


def test_a_packet_a_slot_of_one_length_and_one_source_whoever_speaks() -> None:
    mix = Mix(random.Random(2).getrandbits)
    mix.add(0, Law.A, hears_tone=False)
    mix.add(1, Law.MU, hears_tone=False)
    sent = [dict(mix.slot()) for _ in range(70)]
    for seat, silent in ((0, {0xD5, 0x55}), (1, {0xFF, 0x7F})):
        packets = [each[seat] for each in sent]
        assert {len(packet) for packet in packets} == {12 + SAMPLES}
        heads = [struct.unpack_from("!BBHII", packet) for packet in packets]
        assert {(after[2] - before[2]) & 0xFFFF for before, after in pairwise(heads)} == {1}
        assert {(after[3] - before[3]) & 0xFFFFFFFF for before, after in pairwise(heads)} == {SAMPLES}
        assert len({head[4] for head in heads}) == 1
        assert {octet for packet in packets for octet in packet[12:]} <= silent


def test_those_who_are_to_hear_it_hear_a_tone_when_somebody_comes() -> None:
    for hears in (True, False):
        mix = Mix(random.Random(3).getrandbits)
        mix.add(0, Law.A, hears_tone=hears)
        for _ in range(2 * TONE_SLOTS):
            mix.slot()
        mix.add(1, Law.A, hears_tone=False)
        packets = [dict(mix.slot()) for _ in range(2 * TONE_SLOTS)]
        there = share(samples([each[0] for each in packets[:TONE_SLOTS]], Law.A), TONE_HZ)
        assert (there > 0.9) is hears
        assert share(samples([each[1] for each in packets[:TONE_SLOTS]], Law.A), TONE_HZ) < 0.1
        assert max(map(abs, samples([each[0] for each in packets[TONE_SLOTS:]], Law.A))) <= 8


@pytest.mark.parametrize("law", list(Law), ids=lambda law: law.name)
def test_what_is_too_loud_is_as_loud_as_can_be_and_all_else_the_nearest(law: Law) -> None:
    levels, table = sorted(samples_of(law)), octets_of(law)

    def said(sample: int) -> int:
        return samples_of(law)[table[sample + RANGE >> STEP_BITS]]

    for sample in (RANGE - 1, 200_000, 32_768, levels[-1]):
        assert said(sample) == levels[-1]
        assert said(-sample) == levels[0]
    for sample in range(-32_000, 32_000, 37):
        assert abs(said(sample) - sample) <= min(abs(level - sample) for level in levels) + (1 << STEP_BITS)
    assert {said(level) for level in levels} == set(levels), "what one alone says comes out as it was"


def test_uneven_senders_have_no_holes_and_one_that_is_ahead_does_not_grow_late() -> None:
    mix = Mix(random.Random(4).getrandbits)
    for seat in (0, 1):
        mix.add(seat, Law.A, hears_tone=False)
    frame = bytes([samples_of(Law.A).index(max(samples_of(Law.A)))]) * SAMPLES
    heard = []
    for slot in range(200):
        for _ in range((slot % 2) * 2):  # two at every second slot
            mix.take(0, rtp(slot, frame))
        heard.append(dict(mix.slot())[1][12:] == frame)
    assert all(heard[4:]), "no hole"
    party = mix._parties[0]
    for _ in range(MAX_WAITING):
        mix.take(0, rtp(0, frame))
    assert len(party._waiting) == MAX_WAITING
    for slot in range(6 * LOOKED_AT_SLOTS):
        mix.take(0, rtp(slot, frame))
        mix.slot()
    assert len(party._waiting) <= HELD_FRAMES


def test_junk_is_no_sound_and_there_are_six_seats() -> None:
    mix = Mix(random.Random(5).getrandbits)
    for seat in range(MAX_PARTIES):
        assert mix.add(seat, Law.A, hears_tone=False)
    assert not mix.add(0, Law.A, hears_tone=False)
    assert not mix.add(MAX_PARTIES, Law.A, hears_tone=False)
    good = rtp(0, b"\x2a" * SAMPLES)
    for junk in (b"", good[:-1], good + b"x", b"\x00" + good[1:], good[:1] + b"\x08" + good[2:], b"\xff" * 172, random.Random(6).randbytes(172)):
        for _ in range(4):
            mix.take(0, junk)
            mix.take(99, good)
    assert all(set(packet[12:]) <= {0xD5, 0x55} for seat, packet in mix.slot() if seat)
    mix.remove(0)
    mix.remove(0)
    assert mix.add(7, Law.MU, hears_tone=False)


# -------------------------------------------------------------------------------------------------------------- the process


class Speaker:
    """A phone on the loopback that says one tone and keeps what it hears."""

    def __init__(self, ports: EngineMediaPorts, mixer: EngineMixer, hz: int, codec: Codec) -> None:
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind((LOCAL, 0))
        self.socket.setblocking(False)
        self.law = Law.A if codec is Codec.PCMA else Law.MU
        self._frames, self._said = frames_of(hz, self.law, 50), 0
        self.port = ports.open(LOCAL)
        self.port.set_remote(LOCAL, self.socket.getsockname()[1], codec, 8, None)
        self.port.set_direction(to_phone=True, from_phone=True)
        self.seat = mixer.seat(codec, hears_tone=False)
        self.port.join(self.seat, codec)
        self.heard: list[bytes] = []

    def turn(self) -> None:
        head = struct.pack("!BBHII", 0x80, 8, self._said, self._said * SAMPLES, 5)
        self.socket.sendto(head + self._frames[self._said % 50], (LOCAL, self.port.rtp_port))
        self._said += 1
        while True:
            try:
                packet = self.socket.recv(2_048)
            except BlockingIOError:
                return
            if len(packet) == 12 + SAMPLES:
                self.heard.append(packet)


@pytest.mark.system
def test_three_phones_hear_each_other_through_the_process_and_everything_is_given_back(plane: LiveDataPlane) -> None:
    ports = EngineMediaPorts(plane)
    mixer = ports.mixer()
    codecs = (Codec.PCMA, Codec.PCMU, Codec.PCMA)
    phones = [Speaker(ports, mixer, hz, codec) for hz, codec in zip(TONES_HZ, codecs, strict=False)]
    ends, due = time.monotonic() + 30, time.monotonic()

    def right(phone: Speaker, own: int) -> bool:
        latest = samples(phone.heard[-20:], phone.law)
        shares = [share(latest, hz) for hz in TONES_HZ[:3]]
        return len(phone.heard) > 20 and shares[own] < 0.02 and all(found > 0.3 for place, found in enumerate(shares) if place != own)

    while not all(right(phone, own) for own, phone in enumerate(phones)):
        assert time.monotonic() < ends, "somebody did not hear the two others alone"
        for phone in phones:
            phone.turn()
        due += 0.02
        time.sleep(max(0.0, due - time.monotonic()))
    left = phones[0]
    mixer.leave(left.seat)
    left.port.close()
    assert left.seat.closed
    mixer.close()
    for phone in phones:
        phone.port.close()
        phone.socket.close()
    ends = time.monotonic() + 10
    while mixer._process.running() or plane.counters()["media_ports"]:
        assert time.monotonic() < ends, "the process goes on, or a port"
        time.sleep(0.02)
    assert (plane.counters()["panics"], plane.counters()["bad_command"]) == (0, 0)
    with pytest.raises(HostError, match="ended"):
        mixer.seat(Codec.PCMA, hears_tone=True)


@pytest.mark.system
def test_opus_is_converted_for_the_mixer_and_seats_are_taken_again(plane: LiveDataPlane) -> None:
    ports = EngineMediaPorts(plane)
    mixer = ports.mixer()
    opus, plain = mixer.seat(Codec.OPUS, hears_tone=False), mixer.seat(Codec.PCMA, hears_tone=False)
    assert (ports.transcoding, sorted(number for number, _ in mixer._seats.values())) == (1, [0, 1])
    mixer.leave(opus)
    assert opus.closed
    again = mixer.seat(Codec.PCMU, hears_tone=False)
    assert sorted(number for number, _ in mixer._seats.values()) == [0, 1]
    for port in (plain, again):
        mixer.leave(port)
    mixer.leave(plain)
    mixer.close()
    mixer.close()
    ends = time.monotonic() + 10
    while mixer._process.running() or ports.transcoding or plane.counters()["media_ports"]:
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.system
def test_a_mixer_takes_no_seventh() -> None:
    mixer = Mixer()
    with socket.socket(type=socket.SOCK_DGRAM) as there:
        there.bind((LOCAL, 0))
        there.settimeout(30)
        heard: set[int] = set()
        last = 0
        for seat in range(MAX_PARTIES + 1):
            last = mixer.add(seat, there.getsockname()[1], Law.A, hears_tone=False)
        ends = time.monotonic() + 30
        while len(heard) < MAX_PARTIES:
            heard.add(there.recvfrom(2_048)[1][1])
            assert time.monotonic() < ends
        for _ in range(5 * MAX_PARTIES):
            heard.add(there.recvfrom(2_048)[1][1])
        assert last not in heard
    mixer.close()
