"""A meeting: what two boxes say to each other that pair by words, over a splice that nobody could tell from a call's.

    accepter   NEW --open--> TOLD (element said) --element--> SHOWN (card shown) --card--> OVER (seen said)
                                                                                 --wrong--> OVER
    inviter    NEW --open--> TOLD --element--> ANSWERED (element said) --card--> SHOWN (card shown, or what else became of the invitation) --seen--> OVER
                                                                       --card, wrong proof--> OVER (wrong said)

The accepter proves first: so whoever tries words at an inviter hears whether they were right, and the inviter has counted the try. Nothing is told to
a user before the other side has proved that it has the words. NOT here: the exchange (exchange.py), the splice (meeting_call.py), which invitations there are (pairing.py).
Pure: takes the date. Spec: PROTOCOL.md §8.8.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum, auto, unique
from typing import Protocol

from voicebox.circuits.call_record import RecordType
from voicebox.circuits.exchange import Exchange, ExchangeKeys
from voicebox.contacts.card import VerifiedCard, only_card, parse_card
from voicebox.errors import FileProblem, HandshakeError, RemoteError
from voicebox.sensitive import Secret


@unique
class Word(IntEnum):
    """What stands before a card; an inviter whose invitation is no more shows none."""

    WELCOME = 0
    USED = 1
    EXPIRED = 2


@unique
class Outcome(StrEnum):
    """What came of a meeting; the value is the word on the control socket."""

    MET = "met"
    WRONG = "wrong"
    """The inviter says that the words are wrong."""
    USED = "used"
    EXPIRED = "expired"
    OTHER = "other"
    """The card is of somebody else than the invitation says."""
    FALSE = "false"
    """Who answered does not have the words."""
    NOBODY = "nobody"
    INTERRUPTED = "interrupted"


_OUTCOMES = {Word.USED: Outcome.USED, Word.EXPIRED: Outcome.EXPIRED}


@dataclass(frozen=True, slots=True)
class Shown:
    """A card that was shown by somebody who has the words."""

    card: VerifiedCard
    text: str = field(repr=False)


class Stage(Enum):
    """See the module's text."""

    NEW = auto()
    TOLD = auto()
    ANSWERED = auto()
    SHOWN = auto()
    OVER = auto()


class Meeting(Protocol):
    """One side. Contract: open() once something valid came, then message(); tell() once outcome stands, or when the splice is gone."""

    outcome: Outcome | None

    def open(self, binding: bytes, say: Callable[[bytes], None]) -> None: ...
    def message(self, message: bytes, date: dt.datetime) -> None: ...
    def tell(self) -> None: ...


class AccepterMeeting:
    """The side that has typed the words. card: ours; inviter_id: whose card it must be, where that is known; told(outcome, shown): called once."""

    def __init__(self, password: Secret, card: str, inviter_id: bytes | None, told: Callable[[Outcome, Shown | None], None]) -> None:
        self._password, self._card, self._inviter_id, self._told = password, card, inviter_id, told
        self.stage = Stage.NEW
        self.outcome: Outcome | None = None
        self._shown: Shown | None = None
        self._exchange: Exchange | None = None
        self._keys: ExchangeKeys | None = None

    def open(self, binding: bytes, say: Callable[[bytes], None]) -> None:
        """Begin. binding: C of the call; say: puts a message on its channel."""
        self._say, self.stage = say, Stage.TOLD
        self._exchange = Exchange(self._password, binding, accepting=True)
        say(bytes([RecordType.ELEMENT]) + self._exchange.element)

    def message(self, message: bytes, date: dt.datetime) -> None:
        """Take a message of the other box. Raises RemoteError where it is not the next one."""
        kind, payload = message[0], message[1:]
        match kind, self.stage:
            case RecordType.ELEMENT, Stage.TOLD if self._exchange is not None:
                self._keys, self.stage = self._exchange.finish(payload), Stage.SHOWN
                self._say(bytes([RecordType.SHOW]) + self._keys.show(Word.WELCOME, self._card))
            case RecordType.WRONG, Stage.SHOWN if not payload:
                self._end(Outcome.WRONG)
            case RecordType.SHOW, Stage.SHOWN if self._keys is not None:
                self._see(self._keys, payload, date)
            case _:
                raise RemoteError("a message of a meeting at the wrong time")

    def _see(self, keys: ExchangeKeys, payload: bytes, date: dt.datetime) -> None:
        try:
            word, text = keys.see(payload)
        except HandshakeError:
            self._end(Outcome.FALSE)
            return
        if word in _OUTCOMES:
            self._end(_OUTCOMES[Word(word)])
            return
        shown = _shown(word, text, date)
        if self._inviter_id not in {None, shown.card.contact_id}:
            self._end(Outcome.OTHER)
            return
        self._say(bytes([RecordType.SEEN]))
        self._end(Outcome.MET, shown)

    def _end(self, outcome: Outcome, shown: Shown | None = None) -> None:
        self.stage, self.outcome, self._shown = Stage.OVER, outcome, shown

    def tell(self) -> None:
        """Tell what came of it, once."""
        if self.outcome is None:
            self._end(Outcome.NOBODY if self.stage is Stage.NEW else Outcome.INTERRUPTED)
        told, self._told = self._told, lambda _outcome, _shown: None
        if self.outcome is not None:
            told(self.outcome, self._shown)


class Invited(Protocol):
    """An invitation, as a meeting sees it."""

    @property
    def password(self) -> Secret: ...
    def may_try(self) -> bool:
        """Return whether words may still be tried; false: what comes is wrong whatever it is."""
        ...

    def wrong(self) -> None:
        """Take that wrong words were tried."""
        ...

    def welcome(self, shown: Shown) -> Word:
        """Take that somebody has the words; return what becomes of it. WELCOME once: nobody else is welcome from then on."""
        ...

    def came(self) -> None:
        """Take that who was welcome has our card, or that the splice is gone."""
        ...


class InviterMeeting:
    """The side that has made the invitation. card: ours."""

    def __init__(self, invited: Invited, card: str) -> None:
        self._invited, self._card = invited, card
        self.stage = Stage.NEW
        self.outcome: Outcome | None = None
        self._welcome = False
        self._exchange: Exchange | None = None
        self._keys: ExchangeKeys | None = None

    def open(self, binding: bytes, say: Callable[[bytes], None]) -> None:
        """Begin. binding: C of the call; say: puts a message on its channel."""
        self._say, self.stage = say, Stage.TOLD
        self._exchange = Exchange(self._invited.password, binding, accepting=False)

    def message(self, message: bytes, date: dt.datetime) -> None:
        """Take a message of the other box. Raises RemoteError where it is not the next one."""
        kind, payload = message[0], message[1:]
        match kind, self.stage:
            case RecordType.ELEMENT, Stage.TOLD if self._exchange is not None:
                self._keys, self.stage = self._exchange.finish(payload), Stage.ANSWERED
                self._say(bytes([RecordType.ELEMENT]) + self._exchange.element)
            case RecordType.SHOW, Stage.ANSWERED if self._keys is not None:
                self._see(self._keys, payload, date)
            case RecordType.SEEN, Stage.SHOWN if not payload:
                self.stage, self.outcome = Stage.OVER, Outcome.MET
            case _:
                raise RemoteError("a message of a meeting at the wrong time")

    def _see(self, keys: ExchangeKeys, payload: bytes, date: dt.datetime) -> None:
        if not self._invited.may_try():
            self._refuse()
            return
        try:
            word, text = keys.see(payload)
        except HandshakeError:
            self._invited.wrong()
            self._refuse()
            return
        became = self._invited.welcome(_shown(word, text, date))
        self._say(bytes([RecordType.SHOW]) + keys.show(became, self._card if became is Word.WELCOME else ""))
        if became is Word.WELCOME:
            self._welcome, self.stage = True, Stage.SHOWN
        else:
            self.stage, self.outcome = Stage.OVER, _OUTCOMES[became]

    def _refuse(self) -> None:
        self._say(bytes([RecordType.WRONG]))
        self.stage, self.outcome = Stage.OVER, Outcome.WRONG

    def tell(self) -> None:
        """Tell that somebody came, once, where it is so."""
        self.outcome = self.outcome or Outcome.INTERRUPTED
        if self._welcome:
            self._welcome = False
            self._invited.came()


def _shown(word: int, text: str, date: dt.datetime) -> Shown:
    """Read a card. Raises HandshakeError where it is none: the other box is not made for this."""
    if word != Word.WELCOME:
        raise HandshakeError("a meeting with an unknown word")
    try:
        return Shown(parse_card(text, date, "the card"), only_card(text))
    except FileProblem:
        raise HandshakeError("what was shown at a meeting is no card") from None
