"""The callee's phones as one party: all registered contacts ring, the first that answers wins. Pure: takes `now`.

Drivers: call.py hands events of the caller in; events of the phones go out through tell. The others are cancelled with the Reason
"completed elsewhere". When all have refused, the refusal that says most about the person is told: declined, busy, no common
codec, no answer.
Spec: RFC 3261 §16.7 in spirit (a decline ends all), RFC 3326.
"""

from __future__ import annotations

from voicebox.b2bua.context import LegContext
from voicebox.b2bua.events import Answer, CallEvent, End, Offer, Progress, Refusal, Refuse, Ringing
from voicebox.b2bua.leg import ANSWERED_ELSEWHERE, UacLeg
from voicebox.b2bua.phone_dialog import Tell
from voicebox.b2bua.ports import MediaPort
from voicebox.b2bua.registrar import Binding
from voicebox.errors import HostError

_WEIGHT = (Refusal.DECLINED, Refusal.BUSY, Refusal.NO_COMMON_CODEC, Refusal.NO_ANSWER, Refusal.UNREACHABLE)


class PhoneFork:
    """Several UacLegs, one of which may win. Call start() once tell may be called."""

    def __init__(self, context: LegContext, tell: Tell) -> None:
        self._context, self._tell = context, tell
        self._ringing: list[UacLeg] = []
        self._winner: UacLeg | None = None
        self._early: UacLeg | None = None
        self._refusals: list[Refusal] = []
        self._rang = self._over = False

    @property
    def port(self) -> MediaPort | None:
        """Return the port of the phone that is heard: the one that answered, else the one with early media."""
        leg = self._winner or self._early
        return None if leg is None else leg.port

    def start(self, bindings: list[Binding], caller: str, offer: Offer, now: float) -> None:
        """Ring phones; caller: the From value."""
        for binding in bindings[: self._context.settings.max_forks]:
            # The leg's events name the leg, which exists only after its constructor; none of them comes before a response does.
            legs: list[UacLeg] = []
            try:
                leg = UacLeg(self._context, binding, caller, offer, self._listener(legs), now)
            except HostError:
                self._refusals.append(Refusal.NO_ANSWER)
                continue
            legs.append(leg)
            self._ringing.append(leg)
        if not self._ringing:
            self._finish_refused(now)

    def _listener(self, legs: list[UacLeg]) -> Tell:
        return lambda event, now: self._leg_told(legs[0], event, now)

    def handle(self, event: CallEvent, now: float) -> None:
        """Take what the caller did."""
        if isinstance(event, End):
            self._over = True
        for leg in [self._winner] if self._winner is not None else list(self._ringing):
            leg.handle(event, now)

    def give_up(self, now: float) -> None:
        """Stop ringing because nobody answered in time."""
        self.handle(End(), now)

    def _leg_told(self, leg: UacLeg, event: CallEvent, now: float) -> None:
        if self._over or (self._winner is not None and self._winner is not leg):
            return
        match event:
            case Ringing():
                if not self._rang:
                    self._rang = True
                    self._tell(event, now)
            case Progress():
                if self._early is None:
                    self._early = leg
                    self._tell(event, now)
            case Answer():
                self._winner = leg
                for other in self._ringing:
                    if other is not leg:
                        other.give_up(now, (ANSWERED_ELSEWHERE,))
                self._ringing.clear()
                self._tell(event, now)
            case Refuse(why):
                self._leg_refused(leg, why, now)
            case _:
                self._over = isinstance(event, End)
                self._tell(event, now)

    def _leg_refused(self, leg: UacLeg, why: Refusal, now: float) -> None:
        self._refusals.append(why)
        self._ringing = [other for other in self._ringing if other is not leg]
        if self._early is leg:
            self._early = None
        if why is Refusal.DECLINED or not self._ringing:
            for other in self._ringing:
                other.give_up(now)
            self._ringing.clear()
            self._finish_refused(now)

    def _finish_refused(self, now: float) -> None:
        self._over = True
        self._tell(Refuse(min(self._refusals or [Refusal.NO_ANSWER], key=_WEIGHT.index)), now)
