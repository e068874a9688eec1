"""Opus as phones decode it: what is missing is concealed by libopus itself, which PyAV cannot ask for. [io: the library] On ctypes.

The library is the one that PyAV brings with it, or the system's. Spec: RFC 6716 §4.4; opus_decoder(3): a frame that is missing is decoded from no octets.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import av

RATE_HZ = 48_000
FRAME_SAMPLES = 960
"""20 ms."""
SYSTEM = "libopus.so.0"


@cache
def _library() -> ctypes.CDLL | None:
    brought = sorted(str(path) for path in (Path(av.__file__).resolve().parents[1] / "av.libs").glob("libopus*.so*"))
    for name in (*brought, SYSTEM):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def available() -> bool:
    """Return whether there is a libopus."""
    return _library() is not None


def decode_concealing(frames: Iterable[bytes | None]) -> array[int]:
    """Return the sound of 20 ms frames in order, None where one is missing. samples: int16[n], mono, at RATE_HZ. One that cannot be decoded counts as missing.

    Raises RuntimeError where there is no libopus (available()).
    """
    library = _library()
    if library is None:
        raise RuntimeError("there is no libopus")
    decoder = ctypes.create_string_buffer(library.opus_decoder_get_size(1))
    if library.opus_decoder_init(decoder, RATE_HZ, 1):
        raise RuntimeError("libopus does not decode at this rate")
    sound, pcm = array("h"), (ctypes.c_int16 * FRAME_SAMPLES)()
    for frame in frames:
        decoded = library.opus_decode(decoder, frame, len(frame), pcm, FRAME_SAMPLES, 0) if frame is not None else 0
        if decoded != FRAME_SAMPLES:
            library.opus_decode(decoder, None, 0, pcm, FRAME_SAMPLES, 0)
        sound.extend(pcm)
    return sound
