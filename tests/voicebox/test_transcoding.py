"""Sound that is converted: each pair of codecs, one frame for one, and the process between two ports of the engine."""

from __future__ import annotations

import itertools
import math
import socket
import struct
import time
from array import array

import pytest

from tests.support.engine import wait_for
from tests.support.tone import AMPLITUDE, tone_share
from voicebox import media_ports, transcoder
from voicebox.b2bua.events import Codec
from voicebox.dataplane import LiveDataPlane
from voicebox.demo.codec import decode_frames
from voicebox.errors import Bug, HostError
from voicebox.media_ports import MAX_TRANSCODED, EngineMediaPort, EngineMediaPorts
from voicebox.transcoding import FORMATS, PAYLOAD_TYPE, Conversion, Direction

LOCAL = "127.0.0.1"
TONE_HZ = 700
CODES = {codec.name.lower(): codec for codec in Codec}


def silence_then_tone(frames: int, silent: int) -> list[bytes]:
    """Return frames of PCMU, made by hand: a tone after so many of silence."""
    return [b"\xff" * 160 if number < silent else mu_law(tone(number * 160, 160)) for number in range(frames)]


def tone(first: int, count: int) -> list[int]:
    return [round(AMPLITUDE * math.sin(2 * math.pi * TONE_HZ * (first + place) / 8_000)) for place in range(count)]


def mu_law(samples: list[int]) -> bytes:
    """ITU-T G.711, from its definition: sign, exponent, mantissa of the magnitude plus 33 in 14 bits."""
    octets = bytearray()
    for sample in samples:
        magnitude = min(abs(sample) // 4, 8_158) + 33
        exponent = magnitude.bit_length() - 6
        octets.append(~((0x80 if sample < 0 else 0) | exponent << 4 | (magnitude >> exponent + 1) & 15) & 0xFF)
    return bytes(octets)


def heard(frames: list[bytes | None]) -> array[int]:
    return decode_frames(frames, "pcmu")


@pytest.mark.parametrize(("phone", "call"), list(itertools.permutations(FORMATS, 2)))
def test_a_tone_comes_through_each_pair_of_codecs_and_back(phone: str, call: str) -> None:
    """The frames of PCMU are made to the one codec, converted to the other, and made PCMU again."""
    steps = [Conversion(source, target) for source, target in itertools.pairwise(("pcmu", phone, call, "pcmu")) if source != target]
    out: list[bytes | None] = []
    for frame in silence_then_tone(60, 10):
        octets: bytes | None = frame
        for step in steps:
            octets = step.convert(octets) if octets is not None else None
        out.append(octets)
    assert None not in out, "one frame for one, from the first on"
    samples = heard(out)
    assert tone_share(samples[30 * 160 : 50 * 160], 8_000, TONE_HZ) > 0.97
    loudness = math.sqrt(sum(sample**2 for sample in samples[30 * 160 : 50 * 160]) / (20 * 160))
    assert 0.8 < loudness / (AMPLITUDE / math.sqrt(2)) < 1.2
    begins = next(place for place in range(0, len(samples), 8) if max(map(abs, samples[place : place + 8])) > AMPLITUDE / 2)
    assert begins / 8 - 200 < 45, f"{begins / 8 - 200} ms later after up to three conversions"


@pytest.mark.parametrize("target", list(FORMATS))
def test_every_frame_of_a_codec_has_its_length(target: str) -> None:
    source = "pcmu" if target != "pcmu" else "pcma"
    made = Conversion(source, target)
    assert {len(made.convert(frame) or b"") for frame in silence_then_tone(20, 3)} == {FORMATS[target].frame_octets}


def test_what_cannot_be_decoded_is_no_frame_and_harms_no_other() -> None:
    made, opus = Conversion("opus", "pcma"), Conversion("pcmu", "opus")
    good = [opus.convert(frame) or b"" for frame in silence_then_tone(10, 0)]
    for frame in good[:5]:
        assert made.convert(frame) is not None
    for junk in (b"\xff" * 3, b"\x03", b"\x03\xff"):
        made.convert(junk)
    assert len(made.convert(good[5]) or b"") == 160


def test_packets_keep_their_numbers_and_clocks_and_all_else_is_dropped() -> None:
    direction = Direction("pcmu", "opus")
    head = struct.pack("!BBHII", 0x80, 0x80 | PAYLOAD_TYPE, 65_535, 160, 7)
    packet = direction.packet(head + b"\xff" * 160)
    assert packet is not None
    assert struct.unpack_from("!BBHII", packet) == (0x80, 0x80 | PAYLOAD_TYPE, 65_535, 960, 7)
    assert len(packet) == 12 + FORMATS["opus"].frame_octets
    rest = bytes(10) + b"\xff" * 160
    for bad in (b"", head, bytes([0x80, 200]) + rest, bytes([0x80, 8]) + rest, bytes([0x90, PAYLOAD_TYPE]) + rest, bytes([0, PAYLOAD_TYPE]) + rest):
        assert direction.packet(bad) is None


@pytest.mark.system
@pytest.mark.parametrize(("phone_codec", "codec"), [("pcmu", "opus"), ("g722", "pcmu")])
def test_two_phones_hear_each_other_through_the_process(plane: LiveDataPlane, phone_codec: str, codec: str) -> None:
    ports = EngineMediaPorts(plane)
    here, there = ports.open(LOCAL), ports.open(LOCAL)
    to_phone, to_call = Conversion("pcma", phone_codec), Conversion("pcma", codec)
    with socket.socket(type=socket.SOCK_DGRAM) as ann, socket.socket(type=socket.SOCK_DGRAM) as ben:
        for phone, port, name in ((ann, here, phone_codec), (ben, there, codec)):
            phone.bind((LOCAL, 0))
            phone.settimeout(0.02)
            port.set_remote(LOCAL, phone.getsockname()[1], CODES[name], 98, None)
            port.set_direction(to_phone=True, from_phone=True)
        stand_in = ports.transcode(here, CODES[phone_codec], CODES[codec])
        assert (ports.transcoding, ports.transcoded) == (1, 1)
        stand_in.join(there, CODES[codec])
        silent = b"\xd5" * 160
        got: dict[str, set[int]] = {"ann": set(), "ben": set()}
        ends = time.monotonic() + 30
        for number in itertools.count():
            for phone, port, made in ((ann, here, to_phone), (ben, there, to_call)):
                frame = made.convert(silent) or b""
                clock = FORMATS[phone_codec if phone is ann else codec].clock_rate_hz // 50
                phone.sendto(struct.pack("!BBHII", 0x80, 98, number, number * clock, 5) + frame, (LOCAL, port.rtp_port))
            for name, phone in (("ann", ann), ("ben", ben)):
                try:
                    got[name].add(len(phone.recv(2_048)) - 12)
                except TimeoutError:
                    continue
            if all(got.values()) or time.monotonic() > ends:
                break
        assert got["ann"] == {FORMATS[phone_codec].frame_octets}
        assert got["ben"] == {FORMATS[codec].frame_octets}
    process = here._behind[-1]
    assert isinstance(process, transcoder.Transcoder)
    here.close()
    ends = time.monotonic() + 10
    while process.running():
        assert time.monotonic() < ends, "the process goes on"
        time.sleep(0.02)
    assert stand_in.closed
    assert ports.transcoding == 0
    assert plane.counters()["panics"] == 0
    assert plane.counters()["media_ports"] == 1
    assert plane.counters()["bad_command"] == 0


@pytest.mark.system
def test_what_stands_for_a_port_is_bounded_and_gives_everything_back(plane: LiveDataPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = EngineMediaPorts(plane)
    monkeypatch.setattr(media_ports, "MAX_TRANSCODED", 1)
    here, there = ports.open(LOCAL), ports.open(LOCAL)
    ports.transcode(here, 1, 2)
    with pytest.raises(HostError, match="As many"):
        ports.transcode(there, 1, 2)
    wait_for(plane, "media_ports", 4)
    here.close()
    monkeypatch.setattr(media_ports, "MAX_TRANSCODED", MAX_TRANSCODED)
    monkeypatch.setattr(transcoder, "available", lambda: False)
    with pytest.raises(HostError, match="av"):
        ports.transcode(there, 1, 2)
    ends = time.monotonic() + 5
    while plane.counters()["media_ports"] != 1:
        assert time.monotonic() < ends
        time.sleep(0.01)
    with pytest.raises(Bug):
        ports.transcode(object(), 1, 2)
    assert isinstance(there, EngineMediaPort)
    there.close()
