"""Probes of a running box: those that its user asks for, and those of contacts that it answers, echoes too. [io]

Each end has a UDP socket on the loopback, where it is the phone of a media port of the engine; an echo has none: there the port is its own phone. The loop runs their
timers. One probe is begun at a time, and one probe or echo answered. NOT here: what an end does (ends.py, echo.py), what comes of the numbers (figures.py, at the command line).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from voicebox.b2bua.events import NO_SCORE, CallEvent, Codec, Offer, Refusal, Refuse, Ringing, Score
from voicebox.b2bua.ports import CircuitLeg, EchoPort, MediaPort
from voicebox.errors import HostError, UsageError
from voicebox.probe.codecs import ProbeCodec, codec_of
from voicebox.probe.echo import LEAST_ECHO_S, MOST_ECHO_S, EchoingEnd
from voicebox.probe.ends import MOST_S, AnsweringEnd, CallersEnd, ProbeEnd, Stage
from voicebox.probe.length import call_length_s
from voicebox.probe.limits import ProbeLimits
from voicebox.probe.speech import pack_frames
from voicebox.probe.stream import NEVER_US
from voicebox.transcoder import LOOPBACK, connected

MAX_DATAGRAM = 2048
MAX_READ = 64
"""Datagrams taken in one turn of the loop."""
ECHO_PAYLOAD_TYPE = 96
"""Of whatever codec, on the way from a port to itself."""

SCORED_AS = {Codec.OPUS: "opus", Codec.PCMA: "pcma", Codec.G722: "g722"}
ANYBODY = "echo"
"""In the place of a petname: whoever is drawn among the contacts. A box never probes itself: a splice between two of its own circuits would tell a junction that they are."""
SCORE_S = 35.0
MAX_SCORE_OCTETS = 16

Listener = Callable[[CallEvent], None]


class PortSource(Protocol):
    """Where an end gets its media port; as b2bua/ports.py's MediaPorts."""

    def open(self, local_address: str) -> EchoPort: ...


class ProbeNetwork(Protocol):
    """Calls to and from contacts, as a probe needs them."""

    def call(self, petname: str, offer: Offer, listener: Listener) -> CircuitLeg: ...
    def on_probe(self, acceptor: Callable[[str, Offer, CircuitLeg], Listener]) -> None: ...
    def relays_of(self, leg: CircuitLeg) -> list[list[str]]: ...


async def score(packed: bytes, codec: str, within_s: float = SCORE_S) -> Score:
    """Have packed frames scored by a process of its own (demo/score.py); NO_SCORE in it where it gives none in time."""
    command = (sys.executable, "-m", "voicebox.demo.score", codec)
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=null)
    except OSError:
        return Score(NO_SCORE)
    try:
        said, _ = await asyncio.wait_for(process.communicate(packed), within_s)
    except TimeoutError:
        return Score(NO_SCORE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _score_of(said[:MAX_SCORE_OCTETS].split()) if process.returncode == 0 else Score(NO_SCORE)


def _score_of(said: list[bytes]) -> Score:
    """Return what the process says: three numbers, whatever they are."""
    if len(said) != 3 or not all(each.isdigit() for each in said):
        return Score(NO_SCORE)
    opinion, pesq, stoi = (int(each) for each in said)
    hundredths, pesq = (min(500, max(100, each)) if each else NO_SCORE for each in (opinion, pesq))
    return Score(hundredths, pesq, min(100, stoi))


class DrivenEnd(Protocol):
    """What drives an end needs of it. next_us: when handle_timer is to be called."""

    @property
    def next_us(self) -> int: ...
    @property
    def over(self) -> bool: ...
    def handle_event(self, event: CallEvent, now_us: int) -> None: ...
    def handle_timer(self, now_us: int) -> None: ...
    def stop(self, now_us: int) -> None: ...


Driven = TypeVar("Driven", bound=DrivenEnd)
Probing = TypeVar("Probing", bound=ProbeEnd)


class _Timed(Generic[Driven]):
    """One end, its port and its timer. Call arm() once it is whole."""

    def __init__(self, end: Driven, port: MediaPort, clock: Callable[[], int]) -> None:
        self.end, self._port, self._clock = end, port, clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, event: CallEvent) -> None:
        """Take a call event soon, and never inside of what caused it."""
        self._loop.call_soon(self._step, lambda now_us: self.end.handle_event(event, now_us))

    def _step(self, what: Callable[[int], None]) -> None:
        if not self.end.over:
            what(self._clock())
        self.arm()

    def arm(self) -> None:
        """Set the timer anew, or give everything back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.end.over:
            self.close()
        elif self.end.next_us < NEVER_US:
            wait_s = max(0, self.end.next_us - self._clock()) / 1e6
            self._timer = self._loop.call_later(wait_s, self._step, self.end.handle_timer)

    def stop(self) -> None:
        """End it; idempotent."""
        self.end.stop(self._clock())
        self.arm()

    def close(self) -> None:
        """Give everything back; idempotent."""
        self._port.close()


class _Running(_Timed[Probing]):
    """One end with a socket of its own."""

    def __init__(self, make: Callable[[MediaPort, Callable[[bytes], None], int], Probing], media: PortSource, clock: Callable[[], int]) -> None:
        port = media.open(LOOPBACK)
        try:
            self._socket = connected(port.rtp_port)
        except OSError as error:
            port.close()
            raise HostError(f"A probe has no socket on this machine ({error.strerror}).") from None
        self._socket.setblocking(False)
        super().__init__(make(port, self._send, clock()), port, clock)
        # RTCP comes to the same port, and is passed over.
        here = self._socket.getsockname()[1]
        port.set_remote(LOOPBACK, here, self.end.codec.codec, self.end.codec.payload_type, None, here)
        self._loop.add_reader(self._socket.fileno(), self._readable)
        self.arm()

    def _send(self, datagram: bytes) -> None:
        with contextlib.suppress(OSError):  # a full socket, or a port that is gone: the frame is lost, and counted as such
            self._socket.send(datagram)

    def _readable(self) -> None:
        for _ in range(MAX_READ):
            try:
                datagram = self._socket.recv(MAX_DATAGRAM)
            except OSError:
                return
            self.end.receive(datagram, self._clock())

    def close(self) -> None:
        """Give everything back; idempotent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            super().close()


class Prober:
    """The probes of one box. answers: whether contacts may probe it; draw_s(): draws how long an answered call lasts."""

    def __init__(self, network: ProbeNetwork, media: PortSource, clock: Callable[[], int], draw_s: Callable[[], float], *, answers: bool) -> None:
        self._network, self._media, self._clock, self._draw_s = network, media, clock, draw_s
        self._limits = ProbeLimits(answers=answers)
        self._answering: _Running[AnsweringEnd] | None = None
        self._echoing: _Timed[EchoingEnd] | None = None
        self._calling: _Running[CallersEnd] | None = None
        self._scoring: asyncio.Task[None] | None = None
        self._chance = random.SystemRandom()
        self.counters: Counter[str] = Counter()
        network.on_probe(self._accept)

    def _accept(self, petname: str, offer: Offer, leg: CircuitLeg) -> Listener:
        """Answer a contact's probe. Raises HostError where this machine has no port or socket left."""
        codec = next((codec for codec in ProbeCodec if codec.codec is offer.codecs[0]), None)
        busy = any(running is not None and not running.end.over for running in (self._answering, self._echoing))
        spoken = codec is not None or offer.echo
        if not spoken or not self._limits.allow(petname, self._clock(), busy=busy):
            self.counters["probes_refused"] += 1
            why = Refusal.DECLINED if spoken else Refusal.NO_COMMON_CODEC
            asyncio.get_running_loop().call_soon(leg.send, Refuse(why))
            return lambda _event: None
        if codec is None or offer.echo:
            return self._echo(offer.codecs[0], leg)
        self.counters["probes_answered"] += 1

        def make(port: MediaPort, send: Callable[[bytes], None], now_us: int) -> AnsweringEnd:
            return AnsweringEnd(codec, port, send, secrets.randbits, now_us, on_speech=self._score if offer.speech else None)

        self._answering = running = _Running(make, self._media, self._clock)
        if self._scoring is not None:
            self._scoring.cancel()  # if it still runs, nobody waits for it: that probe is over, and one process at a time is enough
        running.end.leg = leg
        asyncio.get_running_loop().call_soon(leg.send, Ringing())
        return running.hear

    def _echo(self, codec: Codec, leg: CircuitLeg) -> Listener:
        """Give back what a contact says. Raises HostError where this machine has no port left."""
        port = self._media.open(LOOPBACK)
        port.echo(codec, ECHO_PAYLOAD_TYPE)
        most_us = int(self._chance.uniform(LEAST_ECHO_S, MOST_ECHO_S) * 1e6)
        self._echoing = echoing = _Timed(EchoingEnd(codec, port, leg, self._clock(), most_us), port, self._clock)
        self.counters["echoes_answered"] += 1
        asyncio.get_running_loop().call_soon(leg.send, Ringing())
        echoing.arm()
        return echoing.hear

    def _score(self, frames: list[bytes | None]) -> None:
        """Have speech scored that the answering end heard."""
        assert self._answering is not None
        self._scoring = asyncio.get_running_loop().create_task(self._scored(self._answering, frames))

    async def _scored(self, running: _Running[AnsweringEnd], frames: list[bytes | None]) -> None:
        running.end.scored(await score(pack_frames(frames), SCORED_AS[running.end.codec.codec]))

    # --------------------------------------------------------------------------------------------------------- for the user

    def begin(self, petname: str, word: str, seconds: int, speech: Sequence[bytes] = ()) -> bool:
        """Begin to probe a contact; return whether that was done: not in the moment in which the call of the last probe is ended for it.

        speech: frames that are to be scored there. Raises UsageError for what cannot be asked for, or where a probe is under way.
        """
        try:
            codec = codec_of(word)
        except ValueError:
            raise UsageError(f"A probe speaks one of: {', '.join(codec.word for codec in ProbeCodec)}.") from None
        if any(len(frame) != codec.frame_octets for frame in speech):
            raise UsageError("The speech is not in frames of this codec.")
        if not 1 <= seconds <= MOST_S:
            raise UsageError(f"A probe lasts 1 to {MOST_S} seconds.")
        if self._calling is not None and not self._calling.end.over:
            if self._calling.end.stage is not Stage.TAIL:
                raise UsageError("A probe is under way already.")
            self._calling.stop()  # as who calls again: the other box hears of the end before it hears the next knock
            return False
        length_us = int(call_length_s(seconds, self._draw_s, self._chance) * 1e6)

        def make(port: MediaPort, send: Callable[[bytes], None], now_us: int) -> CallersEnd:
            return CallersEnd(codec, port, send, secrets.randbits, now_us, seconds=seconds, length_us=length_us, speech=speech)

        running = _Running(make, self._media, self._clock)
        try:
            running.end.leg = self._network.call(petname, Offer((codec.codec,), probe=True, speech=bool(speech)), running.hear)
        except UsageError:
            running.stop()
            raise
        self._calling = running
        self.counters["probes_begun"] += 1
        return True

    def look(self, there: int, back: int, trips: int, *, show_path: bool = False) -> dict[str, Any]:
        """Return how the probe goes: what is new since so many frames there and back, and so many round trips. Raises UsageError where there was none.

        show_path: who runs the relays of our circuits, too, as long as there is a call; nobody is told unasked.
        """
        end = self._begun().end
        now_us = self._clock()
        return {
            "stage": end.stage.value,
            "outcome": end.outcome.value,
            "late_sends": end.stream.late_sends,
            "score": [end.score.hundredths, end.score.pesq, end.score.stoi] if end.score is not None else None,
            "there": end.there.since(there)[: max(0, end.frames - there)],
            "back": end.back(back, now_us),
            "round_trips_ms": [round(trip, 1) for trip in end.stream.round_trips_ms[trips:]],
            "relays": self._network.relays_of(end.leg) if show_path and end.leg is not None else [],
        }

    def end(self) -> None:
        """End the probe that is under way: the user has seen enough. A call of which all is known goes on, so that its length does not say what it is."""
        running = self._begun()
        if running.end.stage is not Stage.TAIL:
            running.stop()

    def _begun(self) -> _Running[CallersEnd]:
        if self._calling is None:
            raise UsageError("There is no probe.")
        return self._calling

    def stop(self) -> None:
        """End every probe, tails too, and the echo; idempotent."""
        for running in (self._calling, self._answering, self._echoing):
            if running is not None:
                running.stop()
        if self._scoring is not None:
            self._scoring.cancel()
