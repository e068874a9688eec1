"""The layer between two boxes (PROTOCOL.md §9.1): bodies, and the window of counters taken."""

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.model.cell import is_speech
from relay.model.layer import Cipher

CONTENT_OCTETS = 220
FRAME_OCTETS = {0: range(1), 1: range(1, 121), **dict.fromkeys((2, 3, 4), range(160, 161))}  # by codec (§9.3)
COPY_OCTETS = {1: FRAME_OCTETS[1], 2: range(57, 58), 3: range(57, 58)}  # of the frame before; of G.711 a coarse one (§9.4), of G.722 none
ENDS_MESSAGE, COPY, METERED, OF_STREAMS = 1, 2, 4, 8
NO_TWEAK = b""


class Sound(NamedTuple):
    """zero 16 | counter u64 | codec u8 | frame length u8 | second length u8 | flags u8 | frame | second | third | zero.

    second: a segment, or with flag 2 a copy; then third: its length u8, and the segment, if any.
    """

    counter: int
    codec: int = 0
    frame: bytes = b""
    second: bytes = b""
    flags: int = 0
    third: bytes = b""


def serialise_sound(sound: Sound) -> bytes:
    """Write the body that is then sealed."""
    counter, codec, frame, second, flags, third = sound
    return struct.pack(">16xQBBBB220s", counter, codec, len(frame), len(second), flags, frame + second + bytes([len(third)] * bool(third)) + third)


def parse_sound(body: bytes) -> Sound | None:
    """Read a body that was opened and begins with 16 zeros; None where it does not fit."""
    counter, codec, frame, second, flags, content = struct.unpack(">16xQBBBB220s", body)
    segment, copies, behind = flags & (ENDS_MESSAGE | OF_STREAMS), flags & COPY, frame + second
    third = content[behind] if copies and behind < CONTENT_OCTETS else 0
    end = behind + (third and 1 + third)
    fits = counter and flags < 16 and (frame in FRAME_OCTETS.get(codec, ()) or (copies and frame == 0)) and end <= CONTENT_OCTETS and not any(content[end:])
    fits = fits and segment < 9 and (not copies or second in COPY_OCTETS.get(codec, ())) and not (segment and not (third if copies else second))
    return Sound(counter, codec, content[:frame], content[frame:behind], flags, content[behind + 1 : end]) if fits else None


@dataclass
class CounterWindow:
    """Which numbers were taken: each once, none that is `size` or more behind the highest."""

    size: int = 1_024
    highest: int | None = None
    seen: set[int] = field(default_factory=set)

    def take(self, counter: int) -> bool:
        """Take a number; False where it came before or is too old."""
        if self.highest is not None and (counter <= self.highest - self.size or counter in self.seen):
            return False
        self.highest = counter if self.highest is None else max(counter, self.highest)
        self.seen = {number for number in self.seen if number > self.highest - self.size} | {counter}
        return True


@dataclass
class EndToEnd:
    """One circuit's end of a splice: keys, the counter that is the clock of the sound, what was heard."""

    send: Cipher | None
    receive: list[Cipher]
    last_valid_us: int
    counter: int = 0
    window: CounterWindow = field(default_factory=CounterWindow)
    heard: set[int] = field(default_factory=set)
    silent: bool = False

    def open(self, body: bytes) -> tuple[int, bytes] | None:
        """Try the keys in order; return the index of the one that opens and what it shows."""
        return next(((index, opened) for index, cipher in enumerate(self.receive) if is_speech(opened := cipher.decipher(NO_TWEAK, body))), None)
