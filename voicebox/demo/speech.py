"""Recorded speech for the demo's phones to play. [io]

From Debian's asterisk-core-sounds-en-wav: prompts read by Allison Smith, (c) 2003-2010, licence CC-BY-SA-3.0
(/usr/share/doc/asterisk-core-sounds-en-wav/copyright). Nothing of it is shipped with this project.

A faint noise of a fixed seed (about -66 dBFS, below the step of G.711 at speech level) is laid over it, so that no two
frames are alike, also in pauses: measuring finds each frame that one phone sent in what the other hears.
"""

from __future__ import annotations

import random
import wave
from array import array
from pathlib import Path

from voicebox.errors import HostError

DIRECTORIES = tuple(Path("/usr/share/asterisk/sounds") / name for name in ("en_US_f_Allison", "en", "en_US"))
SPEAKERS = (
    ("demo-congrats", "demo-echotest", "priv-callee-options", "demo-abouttotry"),
    ("demo-instruct", "basic-pbx-ivr-main", "vm-options", "conf-adminmenu"),
)
"""Prompts of the one and the other side, played in this order."""
LICENCE = "speech: Debian's asterisk-core-sounds-en-wav, Allison Smith, CC-BY-SA-3.0"
SPEECH_RATE_HZ = 8000
OPUS_RATE_HZ = 48000
DITHER_AMPLITUDE = 24
MAX_SECONDS = 3600


def speech_directory() -> Path:
    """Return where the prompts are. Raises HostError where they are not installed."""
    for directory in DIRECTORIES:
        if (directory / f"{SPEAKERS[0][0]}.wav").exists():
            return directory
    raise HostError("recorded speech is not installed. On Debian: apt-get install asterisk-core-sounds-en-wav")


def read_mono(path: Path) -> tuple[int, array[int]]:
    """Return rate and samples of a WAV file of 16-bit samples; of several channels the first. Raises HostError where it is none.

    samples: int16[n], in the byte order of this machine (little-endian ones only, as WAV files are).
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise HostError(f"{path.name} has no 16-bit samples")
            rate_hz, channels = file.getframerate(), file.getnchannels()
            samples = array("h", file.readframes(file.getnframes()))
    except (OSError, EOFError, wave.Error):
        raise HostError(f"{path.name} cannot be read") from None
    return rate_hz, samples[::channels]


def speech_samples(speaker: int, seconds: float) -> array[int]:
    """Return speech of one side, as long as asked for, its prompts again and again. samples: int16[n], mono, 8 000 Hz."""
    wanted = int(min(seconds, MAX_SECONDS) * SPEECH_RATE_HZ)
    directory = speech_directory()
    samples = array("h")
    while len(samples) < wanted:
        for name in SPEAKERS[speaker % len(SPEAKERS)]:
            rate_hz, prompt = read_mono(directory / f"{name}.wav")
            if rate_hz != SPEECH_RATE_HZ:
                raise HostError(f"{name}.wav has another rate than {SPEECH_RATE_HZ} Hz")
            samples.extend(prompt)
            if len(samples) >= wanted:
                break
    noise = random.Random(speaker)
    limit = 32767 - DITHER_AMPLITUDE
    return array("h", (max(-limit, min(limit, sample)) + noise.randint(-DITHER_AMPLITUDE, DITHER_AMPLITUDE) for sample in samples[:wanted]))


def write_wav(path: Path, samples: array[int], rate_hz: int, channels: int = 1) -> None:
    """Write a WAV file; samples: int16, interleaved."""
    with wave.open(str(path), "wb") as file:
        file.setsampwidth(2)
        file.setnchannels(channels)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def make_speech(path: Path, speaker: int, seconds: float, codec: str) -> Path:
    """Write the speech of one side for a phone with this codec: mono, 8 000 Hz, for Opus 48 000 Hz. Return the path."""
    samples = speech_samples(speaker, seconds)
    if codec == "opus":
        from voicebox.demo.codec import resample  # noqa: PLC0415 - av takes a quarter of a second to load, which G.711 does not need

        write_wav(path, resample(samples, SPEECH_RATE_HZ, OPUS_RATE_HZ), OPUS_RATE_HZ)
    else:
        write_wav(path, samples, SPEECH_RATE_HZ)
    return path
