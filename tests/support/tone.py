"""Tones for phones to play, and the check that a recording holds the tone of the other side.

Each phone plays its own tone; what a phone recorded must hold the other's and not its own. Goertzel's filter, 200 ms at a time.
"""

from __future__ import annotations

import math
import struct
import wave
from array import array
from pathlib import Path

TONES_HZ = {"alice": 440, "carol": 700, "bob": 1000}
AMPLITUDE = 9000
HEARD_SHARE = 0.5
BLOCK_S = 0.2


def write_tone(path: Path, frequency_hz: float, seconds: float, rate_hz: int = 8000, channels: int = 1) -> Path:
    """Write a sine tone: 8 000 Hz mono for G.711, 48 000 Hz (mono or stereo) for Opus. Return the path."""
    step = 2 * math.pi * frequency_hz / rate_hz
    samples = array("h", (round(AMPLITUDE * math.sin(step * i)) for i in range(int(seconds * rate_hz)) for _ in range(channels)))
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def read_recording(path: Path) -> tuple[int, array[int]]:
    """Return rate and first channel of a recording, whatever sizes its header claims: linphonec writes wrong ones.

    samples: int16[n]. An empty or headless file is an empty recording.
    """
    octets = path.read_bytes()
    position, rate_hz, channels = 12, 8000, 1
    while octets[:4] == b"RIFF" and position + 8 <= len(octets):
        name, length = octets[position : position + 4], struct.unpack_from("<I", octets, position + 4)[0]
        position += 8
        if name == b"fmt ":
            channels, rate_hz = struct.unpack_from("<HI", octets, position + 2)
        if name == b"data":
            sound = octets[position : position + length] if 0 < length <= len(octets) - position else octets[position:]
            return rate_hz, array("h", sound[: len(sound) // (2 * channels) * 2 * channels])[::channels]
        position += length + length % 2
    return rate_hz, array("h")


def tone_share(samples: array[int], rate_hz: int, frequency_hz: float) -> float:
    """Return the share of the power that lies at one frequency, 0 to 1."""
    factor = 2 * math.cos(2 * math.pi * frequency_hz / rate_hz)
    before = last = power = 0.0
    for sample in samples:
        before, last = last, sample + factor * last - before
        power += sample * sample
    return 2 * (last * last + before * before - factor * last * before) / (power * len(samples)) if power else 0.0


def seconds_of_tone(path: Path, frequency_hz: float) -> float:
    """Return how many seconds of a recording are that tone and little else."""
    rate_hz, samples = read_recording(path)
    block = int(rate_hz * BLOCK_S)
    blocks = (samples[i : i + block] for i in range(0, len(samples) - block + 1, block))
    return BLOCK_S * sum(tone_share(each, rate_hz, frequency_hz) > HEARD_SHARE for each in blocks)
