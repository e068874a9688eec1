"""The two ends of a probe: a call of the ordinary kind, whose far end is answered by the far box itself. Pure: takes `now_us`.

    caller's:     CALLING --Answer--> MEASURING --all is known--> TAIL --its time is over--> OVER
    answering:    CALLING --as long after the call came as no phone is picked up sooner--> MEASURING --End, or the longest time--> OVER

 1. Both send frames (stream.py) from MEASURING on. The answering end tells the caller's now and then what became of the caller's frames (Arrivals).
 2. In a probe with speech the caller's frames are speech, and the answering end says once how it sounded (Score); nothing is told of single frames.
 3. In TAIL the caller's end knows all that it wanted; the call goes on until it is as long as one that was drawn (length.py), and looks as before.
 4. Refuse, End and a call that breaks end it in any state, with what is known so far.

To relays and observers this is a call: knock, join, spare, cells, end. Drivers: prober.py. NOT here: who may probe (limits.py), figures (figures.py).
Spec: PROTOCOL.md §9.9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import Enum, unique

from voicebox.b2bua.events import Answer, Arrivals, CallEvent, End, Progress, Refusal, Refuse, Score
from voicebox.b2bua.ports import CircuitLeg, MediaPort
from voicebox.probe.codecs import FRAME_MS, ProbeCodec
from voicebox.probe.speech import HeardSpeech
from voicebox.probe.stream import NEVER_US, Collected, ProbeStream

ANSWER_US = 1_100_000
"""A knock is said for one second where no sound begins sooner (PROTOCOL.md §8.3), and in a call none does."""
LOOK_US = 200_000
"""So often the answering end looks whether it has something to tell."""
EARLY_TELLS, TELL_FRAMES = (50, 100), 250
"""It tells after so many frames of the caller's, then after each 5 s of them. Seldom, because a message takes the place of copies (PROTOCOL.md §9.4): it is said in each slot
until it is acknowledged, a round trip later, and each time it comes it is acknowledged. With numbers told each second a quarter of the lost frames had no copy."""
LAST_WORD_US = 10_000_000
"""So much later than its frames the answering end's last numbers may come."""
MOST_S = 300
LONGEST_US = 1_010_000_000
"""So long the answering end stays, should the caller's never say that it is over; as in a dummy (PROTOCOL.md §8.6)."""
SCORE_US = 40_000_000
"""So long after the speech its score may come: a model is loaded, on a small machine."""
CALL_US = 20_000_000
"""So long the caller's end waits for the answer: knocks at both junctions, and the full handshake."""


@unique
class Stage(Enum):
    """See the module's text."""

    CALLING = "calling"
    MEASURING = "measuring"
    TAIL = "tail"
    OVER = "over"


@unique
class Outcome(Enum):
    """How a probe ended, for the caller's end."""

    UNDER_WAY = "under way"
    MEASURED = "measured"
    CUT_SHORT = "cut short"
    NO_ANSWER = "no answer"
    REFUSED = "refused"
    STOPPED = "stopped"
    """By its user, or for a call, before anything was known."""


class ProbeEnd(ABC):
    """What both ends have in common. port: one of the engine's that faces this end; send: puts a datagram to it."""

    def __init__(
        self,
        codec: ProbeCodec,
        port: MediaPort,
        send: Callable[[bytes], None],
        random_number: Callable[[int], int],
        now_us: int,
        *,
        follows: bool,
        speech: Sequence[bytes] = (),
    ) -> None:
        self.codec, self._port, self._send = codec, port, send
        self.stage = Stage.CALLING
        self.deadline_us = NEVER_US
        self.stream = ProbeStream(codec, now_us, random_number, follows=follows, speech=speech)
        self.leg: CircuitLeg | None = None

    @property
    def next_us(self) -> int:
        """Return when handle_timer is to be called."""
        return min(self.deadline_us, self.stream.next_us if self.stage in {Stage.MEASURING, Stage.TAIL} else NEVER_US)

    @property
    def over(self) -> bool:
        """Return whether nothing more will happen."""
        return self.stage is Stage.OVER

    def receive(self, datagram: bytes, now_us: int) -> None:
        """Take what the box hands to this end; in the tail nobody wants to know."""
        if self.stage is Stage.MEASURING:
            self.stream.receive(datagram, now_us)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        if self.stage in {Stage.MEASURING, Stage.TAIL} and self.stream.next_us <= now_us:
            for datagram in self.stream.send(now_us):
                self._send(datagram)
        if self.deadline_us <= now_us:
            self._due(now_us)

    @abstractmethod
    def handle_event(self, event: CallEvent, now_us: int) -> None:
        """Take what the other box says."""

    @abstractmethod
    def _due(self, now_us: int) -> None:
        """Do what the deadline is for."""

    def _begin(self, now_us: int) -> None:
        """Let the sound begin."""
        if self.leg is None:
            return
        self.stage = Stage.MEASURING
        self.stream.next_us = now_us
        self._port.set_direction(to_phone=True, from_phone=True)
        self.leg.bind(self._port, self.codec.codec)

    def stop(self, now_us: int) -> None:  # noqa: ARG002  # the shape of both ends
        """Take that the box wants it to be over: the call ends."""
        self.hang_up()

    def hang_up(self) -> None:
        """End the call, if there is one."""
        if self.stage is not Stage.OVER:
            self._finish()
            if self.leg is not None:
                self.leg.send(End())

    def _finish(self) -> None:
        self.stage, self.deadline_us = Stage.OVER, NEVER_US


class AnsweringEnd(ProbeEnd):
    """The end of the box that was called. on_speech: given the frames of the speech in order, None where one did not come; scored() takes what came of it."""

    def __init__(
        self,
        codec: ProbeCodec,
        port: MediaPort,
        send: Callable[[bytes], None],
        random_number: Callable[[int], int],
        now_us: int,
        *,
        on_speech: Callable[[list[bytes | None]], None] | None = None,
    ) -> None:
        super().__init__(codec, port, send, random_number, now_us, follows=on_speech is None)
        self._on_speech, self._speech = on_speech, HeardSpeech(codec) if on_speech is not None else None
        self.deadline_us = now_us + ANSWER_US
        self._ends_us = now_us + LONGEST_US
        self._told = 0

    def handle_event(self, event: CallEvent, now_us: int) -> None:  # noqa: ARG002  # the shape of both ends
        """Take what the caller's box says: that it is over, or nothing that matters here."""
        if isinstance(event, End | Refuse):
            self._finish()

    def _due(self, now_us: int) -> None:
        if self.leg is None or now_us >= self._ends_us:
            self.hang_up()
        elif self.stage is Stage.CALLING:
            self.leg.send(Answer(self.codec.codec))
            self._begin(now_us)
            self.deadline_us = now_us + LOOK_US
        else:
            if self._speech is None:
                self._tell(now_us, self.leg)
            elif self._on_speech is not None and self._speech.whole(now_us):
                self._on_speech(self._speech.frames())
                self._on_speech = None
            self.deadline_us = now_us + LOOK_US

    def receive(self, datagram: bytes, now_us: int) -> None:
        """Take what the box hands to this end."""
        super().receive(datagram, now_us)
        if self._speech is not None and self.stage is Stage.MEASURING:
            self._speech.receive(datagram, now_us)

    def scored(self, score: Score) -> None:
        """Take how the speech sounded."""
        if self.leg is not None and self.stage is Stage.MEASURING:
            self.leg.send(score)

    def _tell(self, now_us: int, leg: CircuitLeg) -> None:
        """Tell what became of the caller's frames, where so many more are decided that it is time for it."""
        until = next((early for early in EARLY_TELLS if self._told < early), (self._told // TELL_FRAMES + 1) * TELL_FRAMES)
        while self.stream.final(now_us) >= until > self._told:
            arrivals = self.stream.arrivals(self._told, until)
            leg.send(arrivals)
            self._told += len(arrivals.units)


class CallersEnd(ProbeEnd):
    """The end of the box whose user wants to know. seconds: of sound to be measured each way, 1 to MOST_S; length_us: how long the call lasts, if not longer, once it is answered.

    speech: frames of the codec to be scored, then seconds are those of SPEECH_S; score is what came of them.
    """

    def __init__(
        self,
        codec: ProbeCodec,
        port: MediaPort,
        send: Callable[[bytes], None],
        random_number: Callable[[int], int],
        now_us: int,
        *,
        seconds: int,
        length_us: int,
        speech: Sequence[bytes] = (),
    ) -> None:
        super().__init__(codec, port, send, random_number, now_us, follows=False, speech=speech)
        self.score: Score | None = None
        self._with_speech = bool(speech)
        self.outcome = Outcome.UNDER_WAY
        self.frames = seconds * 1000 // FRAME_MS
        self._seconds, self._length_us = seconds, length_us
        self._ends_us = NEVER_US
        self.there = Collected()
        self._known_us = NEVER_US
        self.deadline_us = now_us + CALL_US

    def handle_event(self, event: CallEvent, now_us: int) -> None:
        """Take what the other box says."""
        match event:
            case Answer(codec) if self.stage is Stage.CALLING and codec is self.codec.codec:
                self._begin(now_us)
                self._ends_us = now_us + self._length_us
                self.deadline_us = now_us + self._seconds * 1_000_000 + (SCORE_US if self._with_speech else LAST_WORD_US)
            case Arrivals() if self.stage is Stage.MEASURING and self.there.take(event):
                self._look(now_us)
            case Score() if self.stage is Stage.MEASURING and self._with_speech:
                self.score = event
                self._known(Outcome.MEASURED, now_us)
            case Arrivals() if self.stage is Stage.TAIL:
                pass  # all was known
            case Refuse(why):
                unreached = why in {Refusal.UNREACHABLE, Refusal.NO_ANSWER}
                self._decide(Outcome.NO_ANSWER if unreached else Outcome.REFUSED, now_us)
                self._finish()
            case End():
                self._decide(Outcome.NO_ANSWER, now_us)
                self._finish()
            case Answer() | Arrivals() | Score() | Progress():
                self._give_up(now_us)  # a codec that was not asked for, or numbers that do not follow
            case _:
                pass

    def _decide(self, otherwise: Outcome, now_us: int) -> None:
        """Take that nothing more will be known: what is known so far is the result, if there is any."""
        if self.outcome is Outcome.UNDER_WAY:
            self.outcome = Outcome.CUT_SHORT if self.there else otherwise
            self._known_us = now_us

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        super().handle_timer(now_us)
        if self.stage is Stage.MEASURING:
            self._look(now_us)

    def _look(self, now_us: int) -> None:
        """See whether all is known."""
        if not self._with_speech and len(self.there) >= self.frames and self.stream.final(now_us) >= self.frames:
            self._known(Outcome.MEASURED, now_us)

    def _known(self, outcome: Outcome, now_us: int) -> None:
        """Take that nothing more will be known, and let the call go on for its tail."""
        self.outcome, self._known_us, self.stage = outcome, now_us, Stage.TAIL
        self.deadline_us = max(now_us, self._ends_us)

    def _due(self, now_us: int) -> None:
        if self.stage is Stage.MEASURING and self.there:
            self._known(Outcome.CUT_SHORT, now_us)
        else:
            self._give_up(now_us)

    def _give_up(self, now_us: int) -> None:
        """Take that there is nothing to see: the call ends."""
        self._decide(Outcome.NO_ANSWER, now_us)
        self.hang_up()

    def stop(self, now_us: int) -> None:
        """Take that the user has seen enough, or that the circuit is needed: the call ends."""
        self._decide(Outcome.STOPPED, now_us)
        self.hang_up()

    def back(self, since: int, now_us: int) -> list[int]:
        """Return what became of the other end's frames from a place on, in units as in Arrivals."""
        end = min(self.frames, self.stream.final(min(now_us, self._known_us)))
        found: list[int] = []
        while since + len(found) < end:
            found += self.stream.arrivals(since + len(found), end).units
        return found
