"""A dial plan, and what it decides about a call. Frozen; made by load.py, asked through match.py. Pure.

    outgoing (a phone dialled)   CallContact | RingPhones | EchoTest | FarEcho | JoinConference | CallTrunk | VoicemailBox | RefuseCall | EmergencyCall
    incoming (a contact calls)   RingPhones | NoAnswer

NOT here: patterns (pattern.py), times of day (hours.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Container
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Protocol
from zoneinfo import ZoneInfo

from voicebox.dialplan.dnd import Dnd
from voicebox.dialplan.hours import Hours
from voicebox.dialplan.pattern import Pattern

DEFAULT_RING_S = 60
MAX_RING_S = 90
"""What a whole call rings at most."""
FORBIDDEN = 403
NOT_FOUND = 404
NOBODY_THERE = 480
EVERYBODYS = ""
"""The mailbox of messages that are for everybody; every other is an extension's, by its number."""

# ------------------------------------------------------------------------------------------------------------ decisions


@unique
class Strategy(Enum):
    """In which order the members of a group ring."""

    ALL = "all"
    IN_ORDER = "in order"
    RANDOM = "random"
    """One after the other, in an order drawn for each call."""

    def total_s(self, members: int, timeout_s: int) -> int:
        """Return for how long so many members ring when nobody answers."""
        return timeout_s if self is Strategy.ALL else timeout_s * members


@dataclass(frozen=True, slots=True)
class CallContact:
    """Call a contact through a circuit. petname: of a contact that there is."""

    petname: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RingPhones:
    """Ring phones of this box.

    members: the phones of each member; those of one member ring together; never empty, and no member is. timeout_s: ALL: for how long all ring; else
    how long each member rings. then: what rings when nobody has answered; None: the caller gets no answer. mailbox: which takes a message of a contact
    whom nobody answers, None where none does.
    """

    members: tuple[tuple[str, ...], ...] = field(repr=False)
    strategy: Strategy = Strategy.ALL
    timeout_s: int = DEFAULT_RING_S
    then: RingPhones | None = None
    mailbox: str | None = None

    @property
    def phones(self) -> tuple[str, ...]:
        """Return every phone, each once, in order."""
        return tuple(dict.fromkeys(phone for member in self.members for phone in member))

    @property
    def total_s(self) -> int:
        """Return how long it rings when nobody answers."""
        return self.strategy.total_s(len(self.members), self.timeout_s) + (self.then.total_s if self.then is not None else 0)


@dataclass(frozen=True, slots=True)
class EchoTest:
    """Answer, and send every sound back: nothing leaves the box."""


@dataclass(frozen=True, slots=True)
class FarEcho:
    """Call a contact's box, which rings nobody and sends every sound back. petnames: of contacts that there are, one of whom is drawn; never empty."""

    petnames: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class JoinConference:
    """Answer, and let the phone be in the conference of the house."""


@dataclass(frozen=True, slots=True)
class CallTrunk:
    """Call an ordinary telephone number over the provider, which nothing here protects. number: digits, with a + before them or not; in a plan with {words} in it."""

    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RefuseCall:
    """Refuse with a SIP status, 400..699."""

    status: int


@dataclass(frozen=True, slots=True)
class EmergencyCall:
    """Refuse, and say that emergency calls are not carried here."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Let it ring at the caller's, and nowhere here. after_s: when the caller is told that nobody answers, as if a phone had rung for that long; mailbox: as in RingPhones."""

    after_s: int = DEFAULT_RING_S
    mailbox: str | None = None


@dataclass(frozen=True, slots=True)
class VoicemailBox:
    """Answer, and play the messages that contacts left."""


OutgoingDecision = CallContact | RingPhones | EchoTest | FarEcho | JoinConference | CallTrunk | VoicemailBox | RefuseCall | EmergencyCall
IncomingDecision = RingPhones | NoAnswer

# ----------------------------------------------------------------------------------------------------------------- plan

ALL_PHONES = "all"
"""As what a Ring rings: every phone of the box."""


@dataclass(frozen=True, slots=True)
class Place:
    """An extension or a group: what can be rung inside the house. members, strategy, timeout_s: as in RingPhones; has_mailbox: an extension, with messages of its own."""

    number: str
    name: str
    members: tuple[tuple[str, ...], ...] = field(repr=False)
    strategy: Strategy = Strategy.ALL
    timeout_s: int = DEFAULT_RING_S
    has_mailbox: bool = False

    @property
    def phones(self) -> frozenset[str]:
        """Return every phone."""
        return frozenset(phone for member in self.members for phone in member)


@dataclass(frozen=True, slots=True)
class Call:
    """Call the contact of that petname."""

    petname: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SpeedDial:
    """Call the contact whose speed dial that is."""

    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EchoAt:
    """Have the box of a contact give the sound back. target: a speed dial, else a petname; "": whose ever."""

    target: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ring:
    """Ring a place. place: a number, a name or a phone, ALL_PHONES for every phone; timeout_s: None for the place's own; then: another place."""

    place: str = field(repr=False)
    timeout_s: int | None = None
    then: str | None = field(default=None, repr=False)
    ignore_dnd: bool = False


@dataclass(frozen=True, slots=True)
class Local:
    """Ring the place that was dialled."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Ring nothing: the caller gets no answer."""


OutgoingAct = Call | SpeedDial | Ring | Local | EchoTest | EchoAt | JoinConference | CallTrunk | VoicemailBox | RefuseCall | EmergencyCall
IncomingAct = Ring | Silence


@dataclass(frozen=True, slots=True)
class OutgoingRule:
    """One line of `outgoing`. do: with {words} in it that a pattern catches; line: 1-based, of the file."""

    patterns: tuple[Pattern, ...]
    do: OutgoingAct
    line: int


@unique
class Callers(Enum):
    """Whom a rule of `incoming` names without a petname."""

    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    CONTACTS = "contacts"


Caller = str | Callers
"""A petname, or callers together."""


@dataclass(frozen=True, slots=True)
class IncomingRule:
    """One line of `incoming`. hours: None for always."""

    callers: tuple[Caller, ...] = field(repr=False)
    hours: Hours | None
    do: IncomingAct
    line: int


@dataclass(frozen=True, slots=True)
class PlanTest:
    """One line of `tests`, of what is dialled or of who calls. expect: None where any refusal will do."""

    dialled: str | None = field(repr=False)
    caller: Caller | None = field(repr=False)
    at: dt.datetime
    dnd: bool
    expect: OutgoingAct | IncomingAct | None
    line: int


@dataclass(frozen=True, slots=True)
class DialPlan:
    """A whole plan.

    emergency: numbers that are refused before any rule; places: by number, and by name; speed_dials: number to petname; incoming: None where the file
    has no such part, and every phone rings for every contact; quiet: hours in which nothing rings but by rules that say so; suffixes: of names; zone: in which times that name
    none are meant; keeps_missed: whether missed calls are kept, with petname and day, for seven days; takes_messages: whether a machine answers contacts whom nobody answered, for everybody;
    an extension's place says whether for that one.
    """

    emergency: frozenset[str]
    places: dict[str, Place] = field(repr=False)
    speed_dials: dict[str, str] = field(repr=False)
    outgoing: tuple[OutgoingRule, ...]
    incoming: tuple[IncomingRule, ...] | None
    quiet: Hours | None
    tests: tuple[PlanTest, ...]
    suffixes: tuple[str, ...]
    zone: ZoneInfo
    keeps_missed: bool = False
    takes_messages: bool = False

    @property
    def mailboxes(self) -> frozenset[str]:
        """Return every mailbox that there is."""
        return frozenset(place.number for place in self.places.values() if place.has_mailbox) | ({EVERYBODYS} if self.takes_messages else set())

    def mailboxes_of(self, phone: str) -> frozenset[str]:
        """Return the mailboxes whose messages a phone plays and shows: those of its extensions, and everybody's."""
        return self.mailboxes - {place.number for place in self.places.values() if phone not in place.phones}


@dataclass(frozen=True, slots=True)
class House:
    """What a plan is asked about beside the call.

    phones: users of all accounts; contacts: petnames, None to take any; blocked: petnames with whom there are no calls, either way; dnd: nobody outside may ring; dnd_phones: those that do not ring.
    """

    phones: tuple[str, ...] = field(default=(), repr=False)
    contacts: Collection[str] | None = field(default=None, repr=False)
    blocked: Container[str] = field(default=(), repr=False)
    dnd: bool = False
    dnd_phones: frozenset[str] = field(default=frozenset(), repr=False)


class Acquaintance(Protocol):
    """A contact, as far as a plan is concerned. open: there may be calls."""

    @property
    def petname(self) -> str: ...
    @property
    def open(self) -> bool: ...


def house_of(phones: tuple[str, ...], contacts: Collection[Acquaintance], dnd: Dnd) -> House:
    """Return what a plan of a box is asked about. phones: users of all accounts."""
    closed = {contact.petname for contact in contacts if not contact.open}
    return House(phones, {contact.petname for contact in contacts}, closed, dnd.everybody, dnd.phones)
