"""The two ends of a probe in virtual time, joined by a path that loses, delays and jitters as told; no box between them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voicebox.b2bua.events import CallEvent, Codec, Offer
from voicebox.b2bua.ports import MediaPort
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import AnsweringEnd, CallersEnd, Outcome
from voicebox.probe.result import ProbeResult, result_of
from voicebox.sip.sdes import Protection

EVENT_US = 60_000
"""What call events take from box to box."""


class PlainPort:
    """A media port that does nothing; the path is the test's."""

    rtp_port = 40_000

    def __init__(self) -> None:
        self.open = (False, False)
        self.remote: tuple[str, int, Codec] | None = None

    def set_remote(self, address: str, port: int, codec: Codec, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None) -> None:
        self.remote = (address, port, codec)

    def echo(self, codec: Codec, payload_type: int) -> None:
        self.remote = ("", self.rtp_port, codec)

    def protect(self, protection: Protection | None) -> None: ...
    def set_packets(self, packet_ms: int) -> None: ...
    def set_direction(self, *, to_phone: bool, from_phone: bool) -> None:
        self.open = (to_phone, from_phone)

    def on_digit(self, listener: Callable[[int, int], None]) -> None: ...
    def play_digit(self, code: int, duration_ms: int) -> None: ...
    def join(self, other: MediaPort, codec: Codec) -> None: ...
    def play(self, codec: Codec, frame_octets: int, frames: bytes) -> None: ...
    def close(self) -> None: ...


@dataclass
class Path:
    """One direction: delay and jitter (spread evenly from 0 on) in ms, loss as a share; events: whether call events pass."""

    delay_ms: float = 40.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    events: bool = True


class ProbePair:
    """A caller's end and an answering one. tail_s: by how much the call is to be longer than what is measured; tamper: what each datagram becomes on its way, by direction (True: to the answering end)."""

    def __init__(self, codec: ProbeCodec, seconds: int, there: Path, back: Path, *, seed: int = 1, tail_s: int = 4, speech: Sequence[bytes] = ()) -> None:
        self.chance = random.Random(seed)
        self.now_us = self.chance.randrange(1 << 33)
        self.skew_us = self.chance.randrange(1 << 33)
        """The two machines' clocks have nothing to do with each other."""
        self.paths = {True: there, False: back}
        self.sent, self.dropped = {True: 0, False: 0}, {True: 0, False: 0}
        self.said: list[tuple[bool, CallEvent]] = []
        self.tamper: Callable[[bool, bytes], bytes | None] = lambda _to_answering, datagram: datagram
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.heard: list[list[bytes | None]] = []
        """What the answering end would have scored."""
        bits, port = self.chance.getrandbits, PlainPort()

        def send(datagram: bytes) -> None:
            self._carry(True, datagram)

        self.callers = CallersEnd(codec, port, send, bits, self.now_us, seconds=seconds, length_us=(seconds + tail_s) * 1_000_000, speech=speech)
        self.answering: AnsweringEnd | None = None
        self.callers.leg = _Leg(self, to_answering=True)
        self.codec = codec

    def answer(self, offer: Offer) -> None:
        """Let the other box take the call."""
        codec = next(codec for codec in ProbeCodec if codec.codec is offer.codecs[0])
        on_speech = self.heard.append if offer.speech else None
        bits, now_us = self.chance.getrandbits, self._clock(answering=True)
        end = AnsweringEnd(codec, PlainPort(), lambda datagram: self._carry(False, datagram), bits, now_us, on_speech=on_speech)
        end.leg = _Leg(self, to_answering=False)
        self.answering = end

    def _clock(self, *, answering: bool) -> int:
        return self.now_us + (self.skew_us if answering else 0)

    def at(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do something later."""
        self._order += 1
        heapq.heappush(self._due, (self.now_us + delay_us, self._order, action))

    def _carry(self, to_answering: bool, datagram: bytes) -> None:  # which way
        path = self.paths[to_answering]
        self.sent[to_answering] += 1
        changed = self.tamper(to_answering, datagram)
        if changed is None or self.chance.random() < path.loss:
            self.dropped[to_answering] += 1
            return
        delay_us = int((path.delay_ms + self.chance.uniform(0, path.jitter_ms)) * 1000)
        self.at(delay_us, lambda: self._arrive(to_answering, changed))

    def _arrive(self, to_answering: bool, datagram: bytes) -> None:  # which way
        if not to_answering:
            self.callers.receive(datagram, self.now_us)
        elif self.answering is not None:
            self.answering.receive(datagram, self._clock(answering=True))

    def say(self, to_answering: bool, event: CallEvent) -> None:  # which way
        """Carry a call event."""
        self.said.append((to_answering, event))
        if self.paths[to_answering].events:
            self.at(EVENT_US, lambda: self._hear(to_answering, event))

    def _hear(self, to_answering: bool, event: CallEvent) -> None:  # which way
        if not to_answering and not self.callers.over:
            self.callers.handle_event(event, self.now_us)
        elif to_answering and self.answering is not None and not self.answering.over:
            self.answering.handle_event(event, self._clock(answering=True))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, at most until something holds."""
        end_us = self.now_us + int(seconds * 1e6)
        while not until():
            ends = [(self.callers, 0)] + ([(self.answering, self.skew_us)] if self.answering is not None else [])
            wake_us, end, skew_us = min(((end.next_us - skew_us, end, skew_us) for end, skew_us in ends), key=lambda each: each[0])
            if self._due and self._due[0][0] <= min(wake_us, end_us):
                self.now_us, _, action = heapq.heappop(self._due)
                action()
            elif wake_us <= end_us:
                self.now_us = max(self.now_us, wake_us)
                end.handle_timer(self.now_us + skew_us)
            else:
                self.now_us = end_us
                return

    def result(self) -> ProbeResult:
        """Return what the caller's box knows now."""
        end = self.callers
        there = end.there.since(0)[: end.frames]
        return result_of(self.codec, end.outcome, there, end.back(0, self.now_us), end.stream.round_trips_ms, asked_s=end.frames // 50)


class _Leg:
    """One end's way to the other box."""

    def __init__(self, pair: ProbePair, *, to_answering: bool) -> None:
        self._pair, self._to_answering = pair, to_answering
        self.bound: list[Codec] = []

    def send(self, event: CallEvent) -> None:
        self._pair.say(self._to_answering, event)

    def bind(self, port: MediaPort, codec: Codec) -> None:
        del port
        self.bound.append(codec)


def probed(there: Path, back: Path | None = None, *, codec: ProbeCodec = ProbeCodec.OPUS24, seconds: int = 60, seed: int = 1) -> tuple[ProbePair, ProbeResult]:
    """Run a whole probe; return the pair and the result."""
    pair = ProbePair(codec, seconds, there, back or there, seed=seed)
    pair.answer(Offer((codec.codec,), probe=True))
    pair.run(seconds + 20, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    return pair, pair.result()
