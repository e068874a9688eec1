"""Messages that contacts leave, as far as calls and phones are concerned: who is answered by a machine, who plays them, whose light is on. Pure: takes `now`.

There is no mailbox unless the owner wants one: then contacts get no answer, nobody plays anything, and phones that subscribe are told that there are no such events.
NOT here: the two machines (voicemail.py), subscriptions (message_waiting.py), where messages are kept (contacts/voicemail.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import partial

from voicebox.b2bua.announcement import recording
from voicebox.b2bua.call import Call, CallState, Seat, Side
from voicebox.b2bua.context import LegContext
from voicebox.b2bua.events import Offer, Refusal, Refuse
from voicebox.b2bua.message_waiting import MessageWaiting
from voicebox.b2bua.voicemail import G711, Machine, Mailbox, Player
from voicebox.errors import HostError, VoiceboxError
from voicebox.sip.flow import Flow
from voicebox.sip.message import SipRequest
from voicebox.sip.transaction import Transaction


class Messages:
    """The mailbox of a box, or none. counters: totals of the box."""

    def __init__(self, context: LegContext, counters: Counter[str]) -> None:
        self._context, self._counters = context, counters
        self._mailbox: Mailbox | None = None
        self._waiting = MessageWaiting(context, self._count)

    def use(self, mailbox: Mailbox | None, now: float) -> None:
        """Keep messages there from now on; None: none are taken."""
        self._mailbox = mailbox
        self.changed(now)

    def changed(self, now: float) -> None:
        """Let phones show how many messages there are."""
        self._waiting.changed(now)

    def _count(self) -> tuple[int, int]:
        return self._mailbox.count() if self._mailbox is not None else (0, 0)

    @property
    def are_taken(self) -> bool:
        """Say whether there is a mailbox."""
        return self._mailbox is not None

    def has_room(self, petname: str) -> bool:
        """Say whether a contact may leave one."""
        return self._mailbox is not None and self._mailbox.has_room(petname)

    # ------------------------------------------------------------------------------------------------------------- calls

    def answer(self, call: Call, caller: Callable[[], str | None], offer: Offer, now: float) -> None:
        """Let a contact whom nobody answered leave a message: whatever the cause was, and as late as he would have been told that nobody does.

        caller(): his petname, which may change while he speaks; None where nothing of him is wanted any more.
        """
        if call.state is CallState.ENDED:
            return
        seat = Seat()
        try:
            machine = Machine(self._context, seat.tell, recording("greeting", G711), partial(self._keep, caller))
            call.sit(Side.CALLEE, machine, seat)
            self._counters["calls_answered_by_machine"] += 1
            machine.begin(offer, now)
        except HostError:
            call.tell(Side.CALLEE, Refuse(Refusal.NO_ANSWER), now)

    def _keep(self, caller: Callable[[], str | None], sound: bytes, now: float) -> None:
        petname = caller()
        if self._mailbox is None or petname is None:
            return
        try:
            self._mailbox.keep(petname, sound)
        except VoiceboxError:
            self._counters["messages_lost"] += 1  # the disk does not take it
        self._waiting.changed(now)

    def play(self, call: Call, offer: Offer, now: float) -> None:
        """Play the messages to a phone of the house. Contract: are_taken."""
        assert self._mailbox is not None
        seat = Seat()
        player = Player(self._context, seat.tell, self._mailbox, recording("tone", G711), recording("no_messages", G711), self._waiting.changed)
        call.sit(Side.CALLEE, player, seat)
        player.begin(offer, now)

    # ------------------------------------------------------------------------------------------------------------- phones

    def subscribe(self, transaction: Transaction, request: SipRequest, user: str, flow: Flow, now: float) -> None:
        """Take a SUBSCRIBE of a phone. Contract: are_taken. Raises SipError."""
        self._waiting.subscribe(transaction, request, user, flow, now)

    def end_of(self, users: AbstractSet[str], now: float) -> None:
        """End what phones of these accounts have subscribed to."""
        self._waiting.end_of(users, now)
