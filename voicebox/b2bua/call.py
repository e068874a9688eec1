"""One call: a caller, a callee, and the table of what the one's events do to the other. Pure: takes `now`.

 1. OFFERED: the callee was asked. 2. RINGING. 3. EARLY: the callee's phone is heard. 4. TALKING. 5. ENDED, for ever.
Which of the two is a phone, a circuit or the echo makes no difference to the table. An event that has no entry breaks the protocol
of call events (PROTOCOL.md §9.3) and ends the call on both sides.
NOT here: SIP (leg.py, fork.py), circuits (behind ports.CircuitLeg), who takes a side over (transfer.py).
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum, unique
from functools import partial
from typing import Protocol

from voicebox.b2bua.context import DialogUser, LegContext, LegTimer
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Hold, Offer, Progress, Refusal, Refuse, Resume, Ringing
from voicebox.b2bua.ports import CircuitLeg, MediaPort


@unique
class Side(Enum):
    """Who did something."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> Side:
        """Return the other one."""
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


@unique
class CallState(Enum):
    """In order."""

    OFFERED = "offered"
    RINGING = "ringing"
    EARLY = "early"
    TALKING = "talking"
    ENDED = "ended"


@unique
class Action(Enum):
    """What a transition does; both pass the event on to the other side."""

    PASS = "pass the event on"  # noqa: S105  # no password
    CONNECT = "connect the sound, then pass the event on"
    IGNORE = "nothing"


_BEFORE = (CallState.OFFERED, CallState.RINGING, CallState.EARLY)
_TABLE: dict[tuple[CallState, Side, type[CallEvent]], tuple[CallState, Action]] = {
    (CallState.OFFERED, Side.CALLEE, Ringing): (CallState.RINGING, Action.PASS),
    (CallState.RINGING, Side.CALLEE, Ringing): (CallState.RINGING, Action.IGNORE),
    (CallState.EARLY, Side.CALLEE, Ringing): (CallState.EARLY, Action.IGNORE),
    (CallState.OFFERED, Side.CALLEE, Progress): (CallState.EARLY, Action.CONNECT),
    (CallState.RINGING, Side.CALLEE, Progress): (CallState.EARLY, Action.CONNECT),
    (CallState.EARLY, Side.CALLEE, Progress): (CallState.EARLY, Action.IGNORE),
    (CallState.TALKING, Side.CALLER, Digit): (CallState.TALKING, Action.PASS),
    (CallState.TALKING, Side.CALLEE, Digit): (CallState.TALKING, Action.PASS),
    **{(state, Side.CALLER, Digit): (state, Action.IGNORE) for state in _BEFORE},
    **{(state, Side.CALLEE, Digit): (state, Action.IGNORE) for state in _BEFORE},
    **{(CallState.TALKING, side, kind): (CallState.TALKING, Action.PASS) for side in Side for kind in (Hold, Resume)},
    **{(state, Side.CALLEE, Answer): (CallState.TALKING, Action.CONNECT) for state in _BEFORE},
    **{(state, Side.CALLEE, Refuse): (CallState.ENDED, Action.PASS) for state in _BEFORE},
    **{(state, side, End): (CallState.ENDED, Action.PASS) for state in (*_BEFORE, CallState.TALKING) for side in Side},
}


class Party(Protocol):
    """One side of a call."""

    @property
    def port(self) -> MediaPort | None:
        """The media port of the phone that is heard, None where there is no phone."""

    @property
    def dialog(self) -> DialogUser | None:
        """The dialog with the phone that talks, None where there is no phone, or none yet."""

    @property
    def user(self) -> str:
        """The account of the phone that talks, "" where there is none."""

    def handle(self, event: CallEvent, now: float) -> None:
        """Take what the other side did."""

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Let this side and a phone's port hear each other."""


class CircuitParty:
    """The side of a call that is reached through a circuit."""

    port: MediaPort | None = None
    dialog: DialogUser | None = None
    user = ""

    def __init__(self, leg: CircuitLeg) -> None:
        self._leg = leg

    def handle(self, event: CallEvent, now: float) -> None:  # noqa: ARG002  # the shape of every Party
        """Send the event to the far box."""
        self._leg.send(event)

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Connect the circuit's slots with a phone's port."""
        self._leg.bind(port, codec)


class EchoParty:
    """Nobody: what the phone at the other side says, it hears. Nothing of it leaves the box."""

    port: MediaPort | None = None
    dialog: DialogUser | None = None
    user = ""

    def __init__(self, tell: Callable[[CallEvent, float], None]) -> None:
        self._tell = tell

    def handle(self, event: CallEvent, now: float) -> None:
        """Give a digit back."""
        if isinstance(event, Digit):
            self._tell(event, now)

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Connect a port with itself."""
        port.join(port, codec)


@dataclass(eq=False, slots=True)
class Seat:
    """Where a party's events go. Made before the party and its call are; a transfer moves it to another call, or leaves it empty."""

    listener: Callable[[CallEvent, float], None] | None = None

    def tell(self, event: CallEvent, now: float) -> None:
        """Pass on what the party did, if anybody listens."""
        if self.listener is not None:
            self.listener(event, now)


class Taking(Protocol):
    """A transfer under way: somebody is to take over one side of a call."""

    side: Side

    def give_up(self, now: float) -> None:
        """Take that the call is over."""

    def leave_out(self, users: Container[str], now: float) -> None:
        """Let nobody of these accounts take over."""


class Call:
    """Two parties and the table. on_end is called once, when the call is over."""

    def __init__(self, context: LegContext, offer: Offer, on_end: Callable[[Call], None]) -> None:
        self.state = CallState.OFFERED
        self.parties: dict[Side, Party] = {}
        self.broken = False
        self.answered = False
        self.codec: Codec | None = None
        """What is spoken, once it is."""
        self.taking: Taking | None = None
        self._seats: dict[Side, Seat] = {}
        self._context, self._offer, self._on_end = context, offer, on_end

    def sit(self, side: Side, party: Party, seat: Seat) -> None:
        """Give a side to a party whose events come through seat. Who sat there before is heard no more."""
        if side in self._seats:
            self._seats[side].listener = None
        self.parties[side], self._seats[side] = party, seat
        seat.listener = partial(self.tell, side)

    def take_over(self, side: Side, party: Party, seat: Seat) -> None:
        """Give a side of a call in which people talk to another party, and connect the sound."""
        self.sit(side, party, seat)
        if self.codec is not None:
            self._connect(self.codec)

    def rise(self, side: Side, now: float) -> tuple[Party, Seat]:
        """End the call without telling the party of a side, which goes on in another one. The other party is told."""
        party, seat = self.parties.pop(side), self._seats.pop(side)
        seat.listener = None
        self._end_both(now)
        return party, seat

    def started(self, now: float) -> None:
        """Begin to count the time that it may ring."""
        if self.state is not CallState.ENDED:
            self._context.timers.set((self, LegTimer.RINGING), now + self._context.settings.ring_limit_s)

    def tell(self, side: Side, event: CallEvent, now: float) -> None:
        """Take what one side did."""
        if self.state is CallState.ENDED:
            return
        if self.taking is not None and self.taking.side is side and isinstance(event, End):
            self.parties.pop(side, None)  # the transferor has left; who is transferred waits for the taker
            return
        entry = _TABLE.get((self.state, side, type(event)))
        codec = event.codec if isinstance(event, Answer | Progress) else None
        if entry is None or (codec is not None and codec not in self._offer.codecs):
            self.broken = True
            self._end_both(now)
            return
        self.state, action = entry
        self.answered |= self.state is CallState.TALKING
        if self.state in {CallState.TALKING, CallState.ENDED}:
            self._context.timers.cancel((self, LegTimer.RINGING))
        if action is Action.CONNECT and codec is not None:
            self.codec = codec
            self._connect(codec)
        if action is not Action.IGNORE:
            self._pass_on(side, event, now)
        if self.state is CallState.ENDED:
            self._over(now)

    def _pass_on(self, side: Side, event: CallEvent, now: float) -> None:
        other = self.parties.get(side.other)
        if other is not None:
            other.handle(event, now)

    def _connect(self, codec: Codec) -> None:
        caller, callee = self.parties.get(Side.CALLER), self.parties.get(Side.CALLEE)
        if caller is None or callee is None:
            return
        if caller.port is not None:
            callee.connect(caller.port, codec)
        elif callee.port is not None:
            caller.connect(callee.port, codec)

    def _end_both(self, now: float) -> None:
        self.state = CallState.ENDED
        self._context.timers.cancel((self, LegTimer.RINGING))
        for party in self.parties.values():
            party.handle(End(), now)
        self._over(now)

    def _over(self, now: float) -> None:
        taking, self.taking = self.taking, None
        if taking is not None:
            taking.give_up(now)
        self._on_end(self)

    def hang_up(self, now: float) -> None:
        """End the call on both sides."""
        if self.state is not CallState.ENDED:
            self._end_both(now)

    def timer_due(self, timer: LegTimer, now: float) -> None:
        """Take that nobody answered in time."""
        if timer is LegTimer.RINGING and self.state in _BEFORE:
            caller, callee = self.parties.get(Side.CALLER), self.parties.get(Side.CALLEE)
            self.state = CallState.ENDED
            if callee is not None:
                callee.handle(End(), now)
            if caller is not None:
                caller.handle(Refuse(Refusal.NO_ANSWER), now)
            self._on_end(self)
