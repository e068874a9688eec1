"""Make the recordings that a box plays, in each codec that is wanted. Run by hand; what comes out is kept in git.

    apt-get install espeak-ng
    .venv/bin/python tools/make_recordings.py

The three tones before the first are the special information tone of ITU-T E.180 (950, 1 400, 1 800 Hz, 330 ms each): telephones say "it does not work" with it everywhere.
Sentences are spoken by espeak-ng (GPL-3.0-or-later, as this project), voice en-gb. Nobody's voice or recording is in them.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parent.parent / "voicebox" / "b2bua" / "sounds"
GREETING = "Nobody answers. You can leave a message after the tone."
NO_MESSAGES = "There are no messages."
NOT_PROTECTED = "This call leaves the private network. It is not protected."
NO_EMERGENCY = "No emergency calls from this telephone. Hang up. Use another telephone."
SPEED_WORDS_MINUTE = "150"
RATE_HZ = 48_000
TONES_HZ, TONE_S = (950, 1_400, 1_800), 0.33
BEEP_HZ, BEEP_S = 1_000, 0.4
PAUSE_S = 0.25
LEVEL = 0.5
"""Of full scale, the loudest sample."""
OPUS_BIT_S, OPUS_FRAME_OCTETS = 24_000, 60
FRAME_S = 0.02
SLOT_SAMPLES = int(FRAME_S * RATE_HZ)
CODECS = {"opus": ("libopus", RATE_HZ, OPUS_FRAME_OCTETS), "pcma": ("pcm_alaw", 8_000, 160), "pcmu": ("pcm_mulaw", 8_000, 160)}

Samples = NDArray[np.float64]


def tone(hz: float, seconds: float) -> Samples:
    """Return a tone, with edges of 5 ms so that it does not click."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    edge = np.minimum(1.0, np.minimum(time_s, seconds - time_s) / 0.005)
    sounding: Samples = LEVEL * 0.6 * edge * np.sin(2 * np.pi * hz * time_s)
    return sounding


def spoken(sentence: str) -> Samples:
    """Return a spoken sentence."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        subprocess.run(["espeak-ng", "-v", "en-gb", "-s", SPEED_WORDS_MINUTE, "-w", str(file), sentence], check=True)
        with wave.open(str(file)) as recording:
            rate_hz = recording.getframerate()
            said = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(said) > 0.01 * np.abs(said).max())
    said = said[loud[0] : loud[-1]]
    said *= LEVEL / np.abs(said).max()
    times = np.arange(int(len(said) * RATE_HZ / rate_hz)) * rate_hz / RATE_HZ
    resampled: Samples = np.interp(times, np.arange(len(said)), said)
    return resampled


def encoded(samples: Samples, codec: str, rate_hz: int, frame_octets: int) -> bytes:
    """Return whole frames of 20 ms."""
    context = AudioCodecContext.create(codec, "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate_hz, "mono", "s16"
    if codec == "libopus":
        context.bit_rate = OPUS_BIT_S
        context.options = {"vbr": "off", "frame_duration": "20", "application": "voip"}
    resampler = av.AudioResampler("s16", "mono", rate_hz, frame_size=int(FRAME_S * rate_hz))
    frame = av.AudioFrame.from_ndarray((samples * 32_767).astype("<i2").reshape(1, -1), "s16", "mono")
    frame.sample_rate = RATE_HZ
    pieces = [bytes(packet) for piece in (*resampler.resample(frame), *resampler.resample(None)) for packet in context.encode(piece)]
    pieces += [bytes(packet) for packet in context.encode(None)]
    return b"".join(piece for piece in pieces if len(piece) == frame_octets)


def write(name: str, pieces: list[Samples], *endings: str) -> None:
    """Write a recording, in files of these endings."""
    samples = np.concatenate(pieces)
    samples = np.pad(samples, (0, -len(samples) % SLOT_SAMPLES))
    for ending in endings:
        codec, rate_hz, frame_octets = CODECS[ending]
        frames = encoded(samples, codec, rate_hz, frame_octets)
        (FOLDER / f"{name}.{ending}").write_bytes(frames[: len(samples) // SLOT_SAMPLES * frame_octets])


def main() -> None:
    """Write all."""
    FOLDER.mkdir(exist_ok=True)
    pause = np.zeros(int(PAUSE_S * RATE_HZ))
    write("no_emergency", [*(tone(hz, TONE_S) for hz in TONES_HZ), pause, spoken(NO_EMERGENCY), pause], "opus", "pcma", "pcmu")
    write("greeting", [pause, spoken(GREETING), pause, tone(BEEP_HZ, BEEP_S)], "pcma", "pcmu")
    write("no_messages", [pause, spoken(NO_MESSAGES), pause], "pcma", "pcmu")
    beep = tone(BEEP_HZ, BEEP_S / 2)
    write("not_protected", [beep, pause, beep, pause, spoken(NOT_PROTECTED), pause], "pcma", "pcmu")
    write("tone", [pause, tone(BEEP_HZ, BEEP_S), pause], "pcma", "pcmu")


if __name__ == "__main__":
    main()
