"""The callee's phones as one party: they ring together or in turns, the first that answers wins. Pure: takes `now`.

Drivers: call.py hands events of the caller in; events of the phones go out through tell. The others are cancelled with the Reason
"completed elsewhere". When all have refused, the refusal that says most is told: declined, busy, no common codec, no answer. Who declines
ends the ringing of the other phones of the same member, not that of other people. A phone that sends the call elsewhere (302) is replaced by the phones
of the house that it names, each of which is asked once in a call.

A discreet fork is for a caller from outside: to him a house in which nobody picks up, no phone is there, a phone wants no calls, or none is to
ring are the same. He was told already that it rings; he hears of a refusal only from a phone that rang for him, or that is in another call.
Spec: RFC 3261 §16.7 in spirit, RFC 3326.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

from voicebox.b2bua.context import LegContext, LegTimer
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Progress, Refusal, Refuse, Ringing
from voicebox.b2bua.leg import ANSWERED_ELSEWHERE, UacLeg
from voicebox.b2bua.phone_dialog import PhoneDialog, Tell
from voicebox.b2bua.ports import MediaPort
from voicebox.b2bua.registrar import Binding
from voicebox.dialplan.model import RingPhones, Strategy
from voicebox.errors import HostError

_WEIGHT = (Refusal.DECLINED, Refusal.BUSY, Refusal.NO_COMMON_CODEC, Refusal.NO_ANSWER, Refusal.UNREACHABLE)
_SAID_BY_PEOPLE = {Refusal.DECLINED, Refusal.BUSY}


@dataclass(frozen=True, slots=True)
class Turn:
    """Phones that ring together. members: the phones of each member."""

    members: tuple[tuple[Binding, ...], ...]
    seconds: float


def places_of(turns: Iterable[Turn]) -> list[Binding]:
    """Return every place of phones that have a turn, each once."""
    return list(dict.fromkeys(binding for turn in turns for member in turn.members for binding in member))


def turns_of(ring: RingPhones, bindings: Callable[[Iterable[str]], list[Binding]], draw: Callable[[], int]) -> tuple[Turn, ...]:
    """Return who rings when. bindings(accounts): where their phones are now; draw(): a random number for each member, by which they are put in order."""
    members = [tuple(bindings(member)) for member in ring.members]
    if ring.strategy is Strategy.RANDOM:
        members = [member for _, member in sorted(((draw(), member) for member in members), key=lambda pair: pair[0])]
    together = [tuple(members)] if ring.strategy is Strategy.ALL else [(member,) for member in members]
    turns = tuple(Turn(each, ring.timeout_s) for each in together)
    return turns + (turns_of(ring.then, bindings, draw) if ring.then is not None else ())


class PhoneFork:
    """Several UacLegs, one of which may win. Call start() once tell may be called."""

    def __init__(self, context: LegContext, tell: Tell, *, discreet: bool = False) -> None:
        self._context, self._tell, self._discreet = context, tell, discreet
        self._turns: list[Turn] = []
        self._asked: tuple[str, Offer] | None = None
        self._ends_at = 0.0
        self._ringing: dict[UacLeg, int] = {}
        """The legs whose turn it is, each with the number of its member."""
        self._rang: set[UacLeg] = set()
        self._tried: set[tuple[str, str]] = set()
        """User and contact of the phones that were asked."""
        self._winner: UacLeg | None = None
        self._early: UacLeg | None = None
        self._refusals: list[Refusal] = []
        self._somebody_refused = False
        self._over = False

    @property
    def port(self) -> MediaPort | None:
        """Return the port of the phone that is heard: the one that answered, else the one with early media."""
        leg = self._winner or self._early
        return None if leg is None else leg.port

    @property
    def dialog(self) -> PhoneDialog | None:
        """Return the dialog with the phone that answered."""
        return None if self._winner is None else self._winner.dialog

    @property
    def user(self) -> str:
        """Return the account of the phone that answered."""
        return "" if self._winner is None else self._winner.user

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Let the phone that is heard and the one at another port hear each other."""
        if self.port is not None:
            self.port.join(port, codec)

    def start(self, turns: Iterable[Turn], caller: str, offer: Offer, now: float) -> None:
        """Ring phones; caller: the From value."""
        self._turns, self._asked = list(turns), (caller, offer)
        self._ends_at = now + sum(turn.seconds for turn in self._turns)
        self._next_turn(now)

    def _next_turn(self, now: float) -> None:
        while self._turns and not self._ringing:
            turn = self._turns.pop(0)
            places = [(binding, number) for number, member in enumerate(turn.members) for binding in member]
            for binding, number in places[: self._context.settings.max_forks]:
                self._ring(binding, number, now)
            if self._ringing:
                self._context.timers.set((self, LegTimer.TURN), now + turn.seconds)
        if not self._ringing:
            self._finish_refused(now)

    def _ring(self, binding: Binding, number: int, now: float) -> None:
        """Ring one phone of a member."""
        assert self._asked is not None
        caller, offer = self._asked
        self._tried.add((binding.user, binding.uri))
        # The leg's events name the leg, which exists only after its constructor; none of them comes before a response does.
        legs: list[UacLeg] = []
        try:
            leg = UacLeg(self._context, binding, caller, offer, self._listener(legs), now)
        except HostError:
            self._refusals.append(Refusal.NO_ANSWER)
            return
        legs.append(leg)
        self._ringing[leg] = number

    def _forward(self, leg: UacLeg, number: int, now: float) -> None:
        """Ring the phones to which one sends the call, those that were not asked yet."""
        room = self._context.settings.max_forks - len(self._ringing)
        for binding in [each for each in self._context.forward(leg.forwards_to, leg.flow, now) if (each.user, each.uri) not in self._tried][:room]:
            self._ring(binding, number, now)

    def _listener(self, legs: list[UacLeg]) -> Tell:
        return lambda event, now: self._leg_told(legs[0], event, now)

    def timer_due(self, timer: LegTimer, now: float) -> None:
        """Take that the phones have rung long enough, or that it is time to say so."""
        if timer is LegTimer.TURN and self._winner is None and not self._over:
            if self._ringing:
                self._refusals.append(Refusal.NO_ANSWER)
            self._give_up(list(self._ringing), now)
            self._next_turn(now)

    def handle(self, event: CallEvent, now: float) -> None:
        """Take what the caller did."""
        if isinstance(event, End):
            self._end()
        for leg in [self._winner] if self._winner is not None else list(self._ringing):
            leg.handle(event, now)

    def leave_out(self, users: Container[str], now: float) -> None:
        """Ring phones of these accounts no more."""
        if self._over:
            return
        self._turns = [
            replace(turn, members=tuple(tuple(each for each in member if each.user not in users) for member in turn.members)) for turn in self._turns
        ]
        for leg in [leg for leg in self._ringing if leg.user in users]:
            leg.give_up(now)
            self._leg_refused(leg, Refusal.NO_ANSWER, now)

    def _end(self) -> None:
        self._over = True
        self._context.timers.cancel((self, LegTimer.TURN))

    def _give_up(self, legs: Iterable[UacLeg], now: float, reason: tuple[tuple[str, str], ...] = ()) -> None:
        for leg in legs:
            del self._ringing[leg]
            if self._early is leg:
                self._early = None
            leg.give_up(now, reason)

    def _leg_told(self, leg: UacLeg, event: CallEvent, now: float) -> None:
        if self._over or (self._winner is not None and self._winner is not leg):
            return
        match event:
            case Ringing():
                first = not self._rang
                self._rang.add(leg)
                if first and not self._discreet:
                    self._tell(event, now)
            case Progress():
                self._rang.add(leg)
                if self._early is None:
                    self._early = leg
                    self._tell(event, now)
            case Answer():
                self._winner = leg
                self._context.timers.cancel((self, LegTimer.TURN))
                self._give_up([other for other in self._ringing if other is not leg], now, (ANSWERED_ELSEWHERE,))
                self._ringing.clear()
                self._tell(event, now)
            case Refuse(why):
                self._leg_refused(leg, why, now)
            case _:
                if isinstance(event, End):
                    self._end()
                self._tell(event, now)

    def _leg_refused(self, leg: UacLeg, why: Refusal, now: float) -> None:
        number = self._ringing.pop(leg, None)
        if number is None:
            return
        if leg in self._rang or self._context.talks(leg.flow):
            self._somebody_refused = True
        elif self._discreet and why in _SAID_BY_PEOPLE:
            why = Refusal.NO_ANSWER  # the phone refused by itself
        self._refusals.append(why)
        if self._early is leg:
            self._early = None
        if leg.forwards_to:
            self._forward(leg, number, now)
        if why is Refusal.DECLINED:
            self._give_up([other for other, member in self._ringing.items() if member == number], now)
        if not self._ringing:
            self._context.timers.cancel((self, LegTimer.TURN))
            self._next_turn(now)

    def _finish_refused(self, now: float) -> None:
        why = min(self._refusals or [Refusal.NO_ANSWER], key=_WEIGHT.index)
        if self._discreet and why is Refusal.NO_ANSWER and not self._somebody_refused and now < self._ends_at:
            self._context.timers.set((self, LegTimer.TURN), self._ends_at)
            return
        self._end()
        self._tell(Refuse(why), now)
