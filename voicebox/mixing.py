"""Mixes the sound of a conference: a process of its own beside the box. [io]

    engine's port of each party, G.711  <-- RTP over loopback -->  this process

In every slot of 20 ms each party is sent one packet: the sum of what the others said in theirs, as loud as G.711 can say it. So nobody hears himself, and a party that
says nothing is silence. What comes waits for two slots, so that an uneven sender has no holes; a party that is ahead of the clock here loses a frame at times.
Those who are to hear it are told by a tone when somebody comes in.

The box tells it of its parties over a pair of sockets, its standard input (mixer.py starts it):

    seat u8 | law u8 | hears the tone u8, and a socket    one party more; the socket is connected with its port
    seat u8                                               a party has left
    end of the pair                                       so has everybody

It knows neither phone, box nor key, and has of the package the laws of G.711 alone: `python -I -m voicebox.mixing`. Spec: RFC 3550 §5.1 (but one source in all:
the parties' own are not named, as RFC 3550 §7.1 would have it).
"""

from __future__ import annotations

import contextlib
import math
import secrets
import selectors
import socket
import struct
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

from voicebox.g711 import Law

MAX_PARTIES = 6
SLOT_S = 0.02
SAMPLES = 160
PAYLOAD_TYPE = 96
MAX_DATAGRAM_OCTETS = 2_048
RTP_HEADER_OCTETS = 12
HELD_FRAMES = 2
"""So many wait before a party is heard."""
MAX_WAITING = 6
LOOKED_AT_SLOTS = 50
"""A party of whom more than one frame has waited for so long is ahead of the clock here: one is left out."""
LATE_S = 0.2
"""After standing still for so long, the clock goes on from now."""
RANGE = (MAX_PARTIES + 1) * 32_768
STEP_BITS = 2
"""Of a sample; G.711 tells no finer ones apart."""
TONE_HZ, TONE_SLOTS, TONE_LEVEL = 1_000, 10, 3_000
SILENCE = (0,) * SAMPLES

Frame = Sequence[int]


@cache
def samples_of(law: Law) -> tuple[int, ...]:
    """Return the sample of each octet."""
    return law.samples()


@cache
def octets_of(law: Law) -> bytes:
    """Return the octet of each sum of samples, by `(sum + RANGE) >> STEP_BITS`: the nearest, so the loudest where the sum is louder."""
    levels = sorted((sample, octet) for octet, sample in enumerate(samples_of(law)))
    middles = [(low[0] + high[0]) / 2 for low, high in pairwise(levels)]
    half = (1 << STEP_BITS) // 2
    return bytes(levels[bisect_left(middles, place + half - RANGE)][1] for place in range(0, 2 * RANGE, 1 << STEP_BITS))


@cache
def tone() -> tuple[Frame, ...]:
    """Return the frames of the tone."""
    step = 2 * math.pi * TONE_HZ / 8_000
    return tuple(tuple(round(TONE_LEVEL * math.sin(step * (SAMPLES * slot + place))) for place in range(SAMPLES)) for slot in range(TONE_SLOTS))


class Party:
    """One party: what of it waits to be heard, and the stream that it is sent. hears_tone: when somebody comes in."""

    def __init__(self, law: Law, start: int, ssrc: int, *, hears_tone: bool) -> None:
        self.hears_tone = hears_tone
        self._from_octets, self._to_octets = samples_of(law), octets_of(law)
        self._waiting: deque[Frame] = deque(maxlen=MAX_WAITING)
        self._is_heard = False
        self._least, self._slots = MAX_WAITING, 0
        self._number, self._ssrc = start, ssrc

    def take(self, datagram: bytes) -> None:
        """Take RTP with one frame; anything else is dropped."""
        if len(datagram) == RTP_HEADER_OCTETS + SAMPLES and datagram[0] == 0x80 and datagram[1] & 0x7F == PAYLOAD_TYPE:
            self._waiting.append([self._from_octets[octet] for octet in datagram[RTP_HEADER_OCTETS:]])

    def next_frame(self) -> Frame | None:
        """Return what the party says in this slot, None for nothing."""
        self._is_heard = len(self._waiting) >= HELD_FRAMES or (self._is_heard and bool(self._waiting))
        if not self._is_heard:
            self._least = self._slots = 0
            return None
        frame = self._waiting.popleft()
        self._least, self._slots = min(self._least, len(self._waiting)) if self._slots else len(self._waiting), self._slots + 1
        if self._slots == LOOKED_AT_SLOTS:
            if self._least >= HELD_FRAMES:
                self._waiting.popleft()
            self._least = self._slots = 0
        return frame

    def packet(self, mix: Frame) -> bytes:
        """Return the next packet for this party."""
        octets = bytes([self._to_octets[sample + RANGE >> STEP_BITS] for sample in mix])
        head = struct.pack("!BBHII", 0x80, PAYLOAD_TYPE, self._number & 0xFFFF, self._number * SAMPLES & 0xFFFFFFFF, self._ssrc)
        self._number += 1
        return head + octets


class Mix:
    """The parties by their seats, at most MAX_PARTIES. random_number(bits): the system's, or a seeded source in tests. Call slot() every 20 ms."""

    def __init__(self, random_number: Callable[[int], int]) -> None:
        self._random_number = random_number
        self._parties: dict[int, Party] = {}
        self._tone: deque[Frame] = deque()

    def add(self, seat: int, law: Law, *, hears_tone: bool) -> bool:
        """Take one more in; return whether there was room."""
        if seat in self._parties or len(self._parties) >= MAX_PARTIES:
            return False
        self._parties[seat] = Party(law, self._random_number(16), self._random_number(32), hears_tone=hears_tone)
        self._tone = deque(tone())
        return True

    def remove(self, seat: int) -> None:
        """Let one go."""
        self._parties.pop(seat, None)

    def take(self, seat: int, datagram: bytes) -> None:
        """Take what a party's port sent."""
        if seat in self._parties:
            self._parties[seat].take(datagram)

    def slot(self) -> list[tuple[int, bytes]]:
        """Return what each party is sent in this slot."""
        said = {seat: frame for seat, party in self._parties.items() if (frame := party.next_frame()) is not None}
        whole: Frame = [sum(samples) for samples in zip(*said.values(), strict=True)] if said else SILENCE
        beep = self._tone.popleft() if self._tone else None
        out = []
        for seat, party in self._parties.items():
            own = said.get(seat)
            mix = whole if own is None else [sample - mine for sample, mine in zip(whole, own, strict=True)]
            if beep is not None and party.hears_tone:
                mix = [sample + note for sample, note in zip(mix, beep, strict=True)]
            out.append((seat, party.packet(mix)))
        return out


class Mixing:
    """The sockets and the clock around a Mix. control: where the box tells of its parties."""

    def __init__(self, control: socket.socket) -> None:
        self._control, self._mix = control, Mix(secrets.randbits)
        self._sockets: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Mix until the pair ends."""
        due = time.monotonic()
        while True:
            for key, _ in self._selector.select(max(0.0, due - time.monotonic())):
                if key.data is not None:
                    self._hear(key.data)
                elif not self._obey():
                    return
            now = time.monotonic()
            if now >= due:
                for seat, packet in self._mix.slot():
                    with contextlib.suppress(OSError):  # a port that is just closing
                        self._sockets[seat].send(packet)
                due = now + SLOT_S if now - due > LATE_S else due + SLOT_S

    def _hear(self, seat: int) -> None:
        if seat in self._sockets:
            with contextlib.suppress(OSError):
                self._mix.take(seat, self._sockets[seat].recv(MAX_DATAGRAM_OCTETS))

    def _obey(self) -> bool:
        """Take what the box says; return whether it is still there."""
        said, descriptors, _, _ = socket.recv_fds(self._control, 8, 1)
        given = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if len(said) == 3 and len(given) == 1 and self._mix.add(said[0], Law(said[1]), hears_tone=bool(said[2])):
            self._sockets[said[0]] = given[0]
            given[0].setblocking(False)
            self._selector.register(given[0], selectors.EVENT_READ, said[0])
            return True
        for each in given:
            each.close()
        if len(said) == 1 and said[0] in self._sockets:
            self._mix.remove(said[0])
            left = self._sockets.pop(said[0])
            self._selector.unregister(left)
            left.close()
        return bool(said)


if __name__ == "__main__":
    Mixing(socket.socket(fileno=sys.stdin.fileno())).run()
