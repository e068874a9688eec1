"""Texts to and from contacts: calls that ring nobody and carry texts alone, called lines here. Pure: takes `now`.

    sender's box    MESSAGE of a phone -> a call with an Offer of no codec -> Ringing: the contact's box is there -> Text -> Taken -> 202 to the phone
                    where the box is not there: kept on the disk -> 202 to the phone -> it waits at relays (circuits/record_rounds.py)
    receiver's box  an Offer of no codec -> Ringing -> Text -> kept -> Taken; and to a phone, as soon as one takes it

Taken says that the contact's box has the text, and nothing of its phones: they may be off, asleep or not to be disturbed. What is kept is in memory alone, until a phone takes it;
a text that was found at relays is said to have come only then.
A line serves both directions, and stays for a while after the last text, drawn as long as a call that nobody answers, so that a junction sees one more of those (PROTOCOL.md §8.6).
Only its beginner ends it, sooner where a phone calls a contact meanwhile. NOT here: phones of the house (texts.py), what a phone dialled and which phones a contact may reach (switchboard.py), circuits. Spec: PROTOCOL.md §9.3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from voicebox.b2bua.context import LegContext, LegTimer
from voicebox.b2bua.events import CallEvent, End, Offer, Refusal, Refuse, Ringing, Taken, Text
from voicebox.b2bua.ports import CircuitLeg, Network, TextKeeper
from voicebox.b2bua.texts import MAX_UNDER_WAY, Done, checked_text
from voicebox.errors import SipError, UsageError
from voicebox.sip.message import SipRequest
from voicebox.sip.transaction import Transaction

MAX_LINES = 8
MAX_KEPT, MAX_KEPT_OF_CONTACT = 200, 20
KEPT_S = 7 * 86_400.0
TRY_AGAIN_S = 30.0
REMEMBERED = 32
"""Texts that came over lines are known again, where one of them is found that its sender's box was not sure of."""
IDLE_S = (7.0, 38.0)
"""As long as dummies last of which nothing comes."""
FORGOTTEN_S = 300.0
"""A line that a contact began and does not end is ended here."""
Deliver = Callable[[str, bytes, Done, float], None]
"""deliver(petname, text, done, now): hand a text to phones that may ring for a contact now; done(status, now) with 200 once one took it, 415 where none can show it, else another."""


@dataclass(eq=False, slots=True)
class _Kept:
    petname: str
    text: bytes = field(repr=False)
    until: float
    number: int | None = None
    """Of one that was found."""
    has_come: bool = False
    """It came over a line, too: only that it did is to be said, in its turn."""
    under_way: bool = False


@dataclass(slots=True)
class _Sent:
    """A phone's text that its contact's box has not taken yet."""

    transaction: Transaction
    text: bytes = field(repr=False)


class _Line:
    """One call that carries texts. began: by this box."""

    def __init__(self, texts: ContactTexts, petname: str, *, began: bool) -> None:
        self._texts = texts
        self.petname, self.began = petname, began
        self.circuit: CircuitLeg | None = None
        self.is_open = False
        self.waiting: deque[_Sent] = deque()
        self.said: deque[_Sent] = deque()

    def timer_due(self, timer: LegTimer, now: float) -> None:
        """Take that nothing was said for long enough."""
        if timer is LegTimer.IDLE:
            self._texts.end(self, now, End())


class ContactTexts:
    """All lines of a box. draw(low, high): a number of seconds evenly between the two."""

    def __init__(self, context: LegContext, deliver: Deliver, draw: Callable[[float, float], float]) -> None:
        self._context, self._deliver, self._draw = context, deliver, draw
        self._network: Network | None = None
        self._lines: list[_Line] = []
        self._kept: list[_Kept] = []
        self._came: deque[tuple[str, bytes]] = deque(maxlen=REMEMBERED)
        self.keeper: TextKeeper | None = None
        """Where texts wait whose contacts' boxes are off; None: they are refused."""

    def use(self, network: Network) -> None:
        """Begin lines over this network from now on. Contract: there is none."""
        self._network = network

    @property
    def lines(self) -> int:
        """Return how many lines there are."""
        return len(self._lines)

    @property
    def kept(self) -> int:
        """Return how many texts wait for a phone."""
        return len(self._kept)

    # ----------------------------------------------------------------------------------------------------------- sending

    def send(self, transaction: Transaction, request: SipRequest, petname: str, now: float) -> None:
        """Send a phone's text to a contact; the phone is answered once the contact's box has it, or it waits on the disk. Raises SipError: as texts.checked_text(), 503."""
        text = checked_text(request)
        if sum(len(line.waiting) + len(line.said) for line in self._lines) >= MAX_UNDER_WAY:
            raise SipError(503, "too many texts under way")
        try:
            line = self._line_to(petname, now)
        except UsageError:  # no circuit is free
            self._keep(_Sent(transaction, text), petname, now, perhaps_there=False)
            return
        line.waiting.append(_Sent(transaction, text))
        self._say(line, now)

    def _keep(self, sent: _Sent, petname: str, now: float, *, perhaps_there: bool) -> None:
        """Let a text wait on the disk that the contact's box has not taken; tell the phone whether it does."""
        kept = self.keeper is not None and self.keeper.keep(petname, sent.text, perhaps_there=perhaps_there)
        extra = () if kept else (("warning", f'399 voicebox "{_OFF}"'),)
        self._context.layer.respond(sent.transaction, 202 if kept else 480, now, self._context.identifiers.tag(), extra)

    def _line_to(self, petname: str, now: float) -> _Line:
        """Return a line to a contact. Raises SipError where there are too many, UsageError where no circuit is free."""
        there = [line for line in self._lines if line.petname == petname]
        if there:
            return next((line for line in there if line.is_open), there[0])
        if len(self._lines) >= MAX_LINES or self._network is None:
            raise SipError(503, "too many lines of texts")
        line = _Line(self, petname, began=True)
        line.circuit = self._network.call(petname, Offer(()), self._listener(line))
        self._lines.append(line)
        self._stay(line, now, FORGOTTEN_S)
        return line

    def _listener(self, line: _Line) -> Callable[[CallEvent], None]:
        return lambda event: self._context.post(partial(self._heard, line, event))

    def _say(self, line: _Line, now: float) -> None:
        """Say what waits, where somebody is there to hear it."""
        if not line.is_open or line.circuit is None:
            return
        while line.waiting:
            sent = line.waiting.popleft()
            line.said.append(sent)
            line.circuit.send(Text(sent.text))
        self._stay(line, now)

    def _stay(self, line: _Line, now: float, seconds: float | None = None) -> None:
        longest = seconds or (self._draw(*IDLE_S) if line.began else FORGOTTEN_S)
        self._context.timers.set((line, LegTimer.IDLE), now + longest)

    # ---------------------------------------------------------------------------------------------------------- receiving

    def accept(self, petname: str, circuit: CircuitLeg) -> Callable[[CallEvent], None]:
        """Take a line that a contact begins; see ports.Network.on_call."""
        line = _Line(self, petname, began=False)
        line.circuit = circuit
        self._context.post(partial(self._accepted, line))
        return self._listener(line)

    def _accepted(self, line: _Line, now: float) -> None:
        assert line.circuit is not None
        if len(self._lines) >= MAX_LINES:
            line.circuit.send(Refuse(Refusal.BUSY))
            return
        self._lines.append(line)
        line.is_open = True
        line.circuit.send(Ringing())
        self._stay(line, now)

    def _heard(self, line: _Line, event: CallEvent, now: float) -> None:
        if line not in self._lines or line.circuit is None:
            return
        match event:
            case Ringing() if line.began:
                line.is_open = True
                self._say(line, now)
            case Text(octets) if line.is_open:
                self._take(line, octets, now)
            case Taken() if line.said:
                self._context.layer.respond(line.said.popleft().transaction, 202, now, self._context.identifiers.tag())
                self._stay(line, now)
            case End() | Refuse():
                self.end(line, now, None)
            case _:
                self.end(line, now, End())  # no event of a line

    def _take(self, line: _Line, octets: bytes, now: float) -> None:
        if not self._has_room(line.petname):
            self.end(line, now, Refuse(Refusal.BUSY) if not line.began else End())
            return
        assert line.circuit is not None
        self._kept.append(_Kept(line.petname, octets, now + KEPT_S))
        self._came.append((line.petname, octets))
        line.circuit.send(Taken())
        self._stay(line, now)
        self.try_again(now)

    def found(self, petname: str, number: int, text: bytes, now: float, *, perhaps_here: bool) -> bool:
        """Take a text that a contact left at relays; False where it has to wait there. Contract: those of a contact by rising numbers.

        perhaps_here: it may have come over a line already. What was found before is no other text.
        """
        if any(kept.petname == petname and kept.number == number for kept in self._kept):
            return True
        if not self._has_room(petname):
            return False
        has_come = perhaps_here and (petname, text) in self._came
        if has_come:
            self._came.remove((petname, text))
        self._kept.append(_Kept(petname, text, now + KEPT_S, number, has_come=has_come))
        self.try_again(now)
        return True

    def _has_room(self, petname: str) -> bool:
        return len(self._kept) < MAX_KEPT and sum(kept.petname == petname for kept in self._kept) < MAX_KEPT_OF_CONTACT

    def try_again(self, now: float) -> None:
        """Hand the oldest text of each contact to a phone, where none of its texts is under way: a phone came, or it is time."""
        self._kept = [kept for kept in self._kept if kept.until > now]
        for petname in dict.fromkeys(kept.petname for kept in self._kept):
            self._hand_on(petname, now)

    def _hand_on(self, petname: str, now: float) -> None:
        oldest = next((kept for kept in self._kept if kept.petname == petname), None)
        if oldest is not None and oldest.has_come:
            self._delivered(oldest, 200, now)
        elif oldest is not None and not oldest.under_way:
            oldest.under_way = True
            self._deliver(petname, oldest.text, partial(self._delivered, oldest), now)

    def _delivered(self, kept: _Kept, status: int, now: float) -> None:
        kept.under_way = False
        if status in _DONE:
            self._kept = [other for other in self._kept if other is not kept]
            if kept.number is not None and self.keeper is not None:
                self.keeper.came(kept.petname, kept.number)
            self._hand_on(kept.petname, now)
        else:
            self._context.timers.set((self, LegTimer.KEPT), now + TRY_AGAIN_S)

    def timer_due(self, timer: LegTimer, now: float) -> None:
        """Take that it is time to try again."""
        if timer is LegTimer.KEPT:
            self.try_again(now)

    # ------------------------------------------------------------------------------------------------------------ the end

    def end(self, line: _Line, now: float, say: CallEvent | None) -> None:
        """End a line; texts that were not taken wait on the disk, or their phones are told so."""
        if line not in self._lines:
            return
        self._lines.remove(line)
        self._context.timers.cancel((line, LegTimer.IDLE))
        if say is not None and line.circuit is not None:
            line.circuit.send(say)
        for sent in line.said:
            self._keep(sent, line.petname, now, perhaps_there=True)
        for sent in line.waiting:
            self._keep(sent, line.petname, now, perhaps_there=False)

    def contact_changed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname; None: there is nothing to do with him any more, and what he wrote is forgotten."""
        if to is None:
            self._kept = [kept for kept in self._kept if kept.petname != petname]
            self._came = deque((each for each in self._came if each[0] != petname), maxlen=self._came.maxlen)
            return
        for kept in [kept for kept in self._kept if kept.petname == petname]:
            kept.petname = to
        self._came = deque(((to if name == petname else name, text) for name, text in self._came), maxlen=REMEMBERED)
        for line in [line for line in self._lines if line.petname == petname]:
            line.petname = to

    def make_room(self, now: float) -> None:
        """End the lines of ours on which nothing is under way: a call wants their circuits."""
        for line in [line for line in self._lines if line.began and not (line.waiting or line.said)]:
            self.end(line, now, End())

    def end_all(self, now: float) -> None:
        """End every line: the box stops, or begins anew."""
        for line in list(self._lines):
            self.end(line, now, End())


_OFF = "the contact's box is off or full, and has not got the text, and it cannot wait"
_DONE = {200, 415}
