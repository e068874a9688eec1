"""Call events: all that the two legs of a call, and the two boxes of a call, ever tell each other.

A closed list of small typed records. Nothing textual of one phone can be expressed in them, so nothing textual crosses.
NOT here: their octets between boxes (voicebox/circuits/call_record.py), SIP (leg.py). Pure.
Spec: PROTOCOL.md §9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, unique

MAX_TEXT_OCTETS = 1_300
"""Of a text; as RFC 3428 §8 has it for a whole datagram."""

MAX_ARRIVALS = 100
MENDED, LOST = 0x8000, 0xFFFF
NO_SCORE = 0
TIE_OCTETS = 8


@unique
class Codec(IntEnum):
    """The closed list of codecs; the value is the one on the wire. 20 ms a frame, always."""

    OPUS = 1
    """Opus, constant bit rate, no DTX; RTP clock 48 000 Hz."""
    PCMA = 2
    PCMU = 3
    G722 = 4
    """64 kbit/s; RTP clock 8 000 Hz, sampled at 16 000 (RFC 3551 §4.5.2)."""


@unique
class Refusal(IntEnum):
    """Why a call does not come about. The value is the one on the wire."""

    NO_ANSWER = 1
    """Also what busy-to-strangers, blocked, sleeping and unreachable look like to the caller."""
    BUSY = 2
    DECLINED = 3
    NO_COMMON_CODEC = 4
    UNREACHABLE = 5
    """Local only, never sent: no path, no free circuit, or the contact's box never answered the knock."""
    EMERGENCY = 6
    """Local only: the phone dialled an emergency number."""


LOCAL_REFUSALS = frozenset({Refusal.UNREACHABLE, Refusal.EMERGENCY})


@dataclass(frozen=True, slots=True)
class Offer:
    """The caller's box asks for a call. codecs: each once, ascending: which of them the caller's phone prefers is not told; none for a call that carries texts alone.

    probe: nobody is to be rung, the far box answers itself, in the one codec; speech: and says how the speech sounds that it hears; echo: and gives back what it hears.
    Raises ValueError for another order, a probe of several codecs, or speech or echo without a probe or together.
    """

    codecs: tuple[Codec, ...]
    probe: bool = False
    speech: bool = False
    echo: bool = False
    streams: bool = False
    """Without codecs: it carries streams, and no texts."""

    def __post_init__(self) -> None:
        if list(self.codecs) != sorted(set(self.codecs)):
            raise ValueError("the codecs of an offer are not in ascending order")
        if (self.probe and len(self.codecs) != 1) or (self.speech or self.echo) > self.probe or (self.speech and self.echo):
            raise ValueError("a probe is of one codec, and speech or echo is part of one")
        if self.streams and (self.codecs or self.probe):
            raise ValueError("a call for streams has no sound")

    @property
    def is_of_people(self) -> bool:
        """Return whether somebody is to talk: it is neither a probe nor a call without sound."""
        return bool(self.codecs) and not self.probe


@dataclass(frozen=True, slots=True)
class Ringing:
    """A phone of the callee rings."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Early media: the callee's phone already sends sound (SIP 183 with SDP)."""

    codec: Codec


@dataclass(frozen=True, slots=True)
class Answer:
    """A phone of the callee was picked up."""

    codec: Codec


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call does not come about; final."""

    why: Refusal


@dataclass(frozen=True, slots=True)
class Hold:
    """The sender's phone put the call on hold."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The sender's phone took the call off hold."""


@dataclass(frozen=True, slots=True)
class Digit:
    """A DTMF digit was pressed (RFC 4733). code 0..15 (0-9, *, #, A-D); duration_ms 1..5 000."""

    code: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class End:
    """The call is over (hung up, or given up before the answer); final."""


@dataclass(frozen=True, slots=True)
class Text:
    """In a call that carries texts alone: one of them, UTF-8, 1 to MAX_TEXT_OCTETS. Raises ValueError for another length."""

    octets: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.octets) <= MAX_TEXT_OCTETS:
            raise ValueError("a text has another length")


@dataclass(frozen=True, slots=True)
class Taken:
    """The sender's box has the first text of which this was not said yet."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """In a probe: what became of the frames that the receiver of this sent, from the one with number `first` on; numbers, never sound.

    units: for each frame, in tenths of a millisecond, by how much it took longer than one second less than the first that came, below MENDED; MENDED is added where
    it was heard from a coarse copy; LOST where it did not come. Raises ValueError for other values, none, or more than MAX_ARRIVALS.
    """

    first: int
    units: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.first < 1 << 32 or not 0 < len(self.units) <= MAX_ARRIVALS or not all(0 <= unit <= LOST for unit in self.units):
            raise ValueError("these are no arrivals")


@dataclass(frozen=True, slots=True)
class Score:
    """In a probe with speech: how it sounded at the far box, 1 to 5 in hundredths; NO_SCORE where it could not be said.

    pesq, stoi: by comparison with what was sent, where the far box can: 1 to 5 in hundredths, and a share in hundredths. Raises ValueError for anything else.
    """

    hundredths: int
    pesq: int = NO_SCORE
    stoi: int = NO_SCORE

    def __post_init__(self) -> None:
        opinions = all(each == NO_SCORE or 100 <= each <= 500 for each in (self.hundredths, self.pesq))
        if not opinions or not 0 <= self.stoi <= 100:
            raise ValueError("this is no score")


@dataclass(frozen=True, slots=True)
class Tie:
    """In a call for streams: the number of the sender's bundle with the receiver, 8 octets, and the receiver's as the sender knows it, zeros where it knows none.

    Raises ValueError for another length.
    """

    own: bytes = field(repr=False)
    other: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.own) != TIE_OCTETS or len(self.other) != TIE_OCTETS:
            raise ValueError("a bundle's number has another length")


CallEvent = Offer | Ringing | Progress | Answer | Refuse | Hold | Resume | Digit | End | Text | Taken | Arrivals | Score | Tie
