"""Call events as octets: what two boxes tell each other on the channel of a call, and the offer in a knock.

A closed format; anything else ends the call. NOT here: the channel (relay/core), what the events do (calls.py, b2bua/). Pure.
Spec: PROTOCOL.md §9.3.
"""

from __future__ import annotations

import struct
from enum import IntEnum, unique

from voicebox.b2bua.events import (
    LOCAL_REFUSALS,
    MAX_ARRIVALS,
    MAX_TEXT_OCTETS,
    TIE_OCTETS,
    Answer,
    Arrivals,
    CallEvent,
    Codec,
    Digit,
    End,
    Hold,
    Offer,
    Progress,
    Refusal,
    Refuse,
    Resume,
    Ringing,
    Score,
    Taken,
    Text,
    Tie,
)
from voicebox.errors import RemoteError


@unique
class RecordType(IntEnum):
    """The first octet of a message."""

    ANSWER_KEY = 1
    FIRST = 2
    SECOND = 3
    THIRD = 4
    OFFER = 16
    RINGING = 17
    PROGRESS = 18
    ANSWER = 19
    REFUSE = 20
    HOLD = 21
    RESUME = 22
    DIGIT = 23
    END = 24
    ALONE = 25
    """Between boxes only: the call's second circuit leaves it."""
    COMMIT = 26
    NONCE = 27
    OPEN = 28
    """Between boxes only, 26 to 28: the code that both people compare (comparison.py)."""
    COPY = 29
    DOUBLED = 30
    """Between boxes only, 29 and 30: whether one of them runs twice (copies.py)."""
    ROOM = 31
    """Between boxes only, callee to caller: a circuit for the call's spare is free that was taken."""
    PROBE = 40
    """As an offer, of one codec: nobody is rung."""
    ARRIVALS = 41
    SPEECH_PROBE = 42
    SCORE = 43
    TEXT = 44
    TAKEN = 45
    ECHO_PROBE = 46
    TIE = 47
    ELEMENT = 48
    SHOW = 49
    WRONG = 50
    SEEN = 51
    """In a meeting only, 48 to 51: two boxes pair by words (meeting.py)."""
    STREAMS = 52
    """As an offer of no codec: nobody is rung, and streams are carried."""
    LIST = 53
    """Between boxes only: which junctions everybody should know (agreement.py)."""
    REVOKED = 54
    KNOWN = 55
    """Between boxes only, 54 and 55: which certificates were revoked, and that this was taken (revocations.py)."""


HANDSHAKE_TYPES = frozenset({RecordType.ANSWER_KEY, RecordType.FIRST, RecordType.SECOND, RecordType.THIRD})
COMPARISON_TYPES = frozenset({RecordType.COMMIT, RecordType.NONCE, RecordType.OPEN})
BETWEEN_TYPES = COMPARISON_TYPES | {RecordType.COPY, RecordType.DOUBLED, RecordType.ROOM, RecordType.LIST, RecordType.REVOKED, RecordType.KNOWN}
MEETING_TYPES = frozenset({RecordType.ELEMENT, RecordType.SHOW, RecordType.WRONG, RecordType.SEEN})
MAX_CODECS = 8
DIGEST_OCTETS = 32
MAX_DIGIT_CODE = 15
MAX_DIGIT_MS = 5000
_EMPTY: dict[RecordType, type[Ringing | Hold | Resume | End | Taken]] = {
    RecordType.RINGING: Ringing,
    RecordType.HOLD: Hold,
    RecordType.RESUME: Resume,
    RecordType.END: End,
    RecordType.TAKEN: Taken,
}
_OFFERS = {
    (False, False, False, False): RecordType.OFFER,
    (True, False, False, False): RecordType.PROBE,
    (True, True, False, False): RecordType.SPEECH_PROBE,
    (True, False, True, False): RecordType.ECHO_PROBE,
    (False, False, False, True): RecordType.STREAMS,
}
"""By what an Offer says of probe, speech, echo and streams."""
_WHICH_OFFER = {kind: which for which, kind in _OFFERS.items()}
_TYPE_OF_EMPTY = {kind: number for number, kind in _EMPTY.items()}


def serialise_event(event: CallEvent) -> bytes:
    """Return the octets of an event. A refusal that is local is never sent: ValueError."""
    match event:
        case Offer(codecs, probe, speech, echo, streams):
            return bytes([_OFFERS[probe, speech, echo, streams], len(codecs), *codecs])
        case Progress(codec):
            return bytes([RecordType.PROGRESS, codec])
        case Answer(codec):
            return bytes([RecordType.ANSWER, codec])
        case Refuse(why):
            if why in LOCAL_REFUSALS:
                raise ValueError("what is refused here is not told there")
            return bytes([RecordType.REFUSE, why])
        case Digit(code, duration_ms):
            return bytes([RecordType.DIGIT, code]) + duration_ms.to_bytes(2, "big")
        case Score(hundredths, pesq, stoi):
            return struct.pack(">BHHH", RecordType.SCORE, hundredths, pesq, stoi)
        case Tie(own, other):
            return bytes([RecordType.TIE]) + own + other
        case Arrivals(first, units):
            return struct.pack(f">BI{len(units)}H", RecordType.ARRIVALS, first, *units)
        case Text(octets):
            return bytes([RecordType.TEXT]) + len(octets).to_bytes(2, "big") + octets.ljust(MAX_TEXT_OCTETS, b"\0")
        case Ringing() | Hold() | Resume() | End() | Taken():
            return bytes([_TYPE_OF_EMPTY[type(event)]])


def parse_event(message: bytes) -> CallEvent:
    """Read one event; raises RemoteError for anything that is not exactly one."""
    if not message:
        raise RemoteError("a call record is empty")
    payload = message[1:]
    try:
        kind = RecordType(message[0])
        match kind:
            case _ if kind in _WHICH_OFFER and 0 < len(payload) <= 1 + MAX_CODECS and payload[0] == len(payload) - 1:
                return Offer(tuple(Codec(number) for number in payload[1:]), *_WHICH_OFFER[kind])
            case RecordType.SCORE if len(payload) == 6:
                return Score(*struct.unpack(">HHH", payload))
            case RecordType.TIE if len(payload) == 2 * TIE_OCTETS:
                return Tie(payload[:TIE_OCTETS], payload[TIE_OCTETS:])
            case RecordType.PROGRESS if len(payload) == 1:
                return Progress(Codec(payload[0]))
            case RecordType.ANSWER if len(payload) == 1:
                return Answer(Codec(payload[0]))
            case RecordType.REFUSE if len(payload) == 1 and payload[0] not in LOCAL_REFUSALS:
                return Refuse(Refusal(payload[0]))
            case RecordType.DIGIT if len(payload) == 3 and payload[0] <= MAX_DIGIT_CODE:
                duration_ms = int.from_bytes(payload[1:], "big")
                if 1 <= duration_ms <= MAX_DIGIT_MS:
                    return Digit(payload[0], duration_ms)
            case RecordType.TEXT if len(payload) == 2 + MAX_TEXT_OCTETS:
                octets = payload[2 : 2 + int.from_bytes(payload[:2], "big")]
                if octets.ljust(MAX_TEXT_OCTETS, b"\0") == payload[2:] and len(octets) == int.from_bytes(payload[:2], "big"):
                    return Text(octets)
            case RecordType.ARRIVALS if 4 < len(payload) <= 4 + 2 * MAX_ARRIVALS and len(payload) % 2 == 0:
                first, *units = struct.unpack(f">I{len(payload) // 2 - 2}H", payload)
                return Arrivals(first, tuple(units))
            case _ if kind in _EMPTY and not payload:
                return _EMPTY[kind]()
            case _:
                pass
    except ValueError:
        pass  # a codec, refusal or type that is not in the closed list, or codecs in another order
    raise RemoteError("a call record is not one")


def parse_offer_record(record: bytes) -> Offer:
    """Read the offer of a knock, behind which only zeros may stand. Raises RemoteError for anything else."""
    length = 2 + record[1] if len(record) >= 2 else 0
    if any(record[length:]):
        raise RemoteError("a knock holds more than an offer")
    event = parse_event(record[:length])
    if not isinstance(event, Offer):
        raise RemoteError("a knock holds something else than an offer")
    return event


def parse_digest(record: bytes) -> bytes:
    """Read the digest in the knock of a spare, behind which only zeros may stand. Raises RemoteError for anything else."""
    if len(record) < DIGEST_OCTETS or any(record[DIGEST_OCTETS:]):
        raise RemoteError("a spare's knock holds more than a digest")
    return record[:DIGEST_OCTETS]
