"""Messages that contacts leave, as far as calls and phones are concerned: who is answered by a machine, who plays them, whose light is on. Pure: takes `now`.

A message is in one of the mailboxes of the dial plan: everybody's, or an extension's, which its phones alone play and show. None are taken unless the owner wants that: then
contacts get no answer, nobody plays anything, and phones that subscribe are told that there are no such events.
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
from voicebox.b2bua.voicemail import G711, KeptMessages, Machine, Message, Player
from voicebox.errors import HostError, VoiceboxError
from voicebox.sip.flow import Flow
from voicebox.sip.message import SipRequest
from voicebox.sip.transaction import Transaction

MailboxesOf = Callable[[str], AbstractSet[str]]
"""The mailboxes of a phone, by the user of its account."""


class Messages:
    """The messages of a box, or none. counters: totals of the box."""

    def __init__(self, context: LegContext, counters: Counter[str]) -> None:
        self._context, self._counters = context, counters
        self._kept: KeptMessages | None = None
        self._mailboxes_of: MailboxesOf = lambda _user: frozenset()
        self._waiting = MessageWaiting(context, self._count)

    def use(self, kept: KeptMessages | None, mailboxes_of: MailboxesOf, now: float) -> None:
        """Keep messages there from now on; None: none are taken. mailboxes_of(user): which a phone plays and shows."""
        self._kept, self._mailboxes_of = kept, mailboxes_of
        self.changed(now)

    def changed(self, now: float) -> None:
        """Let phones show how many messages there are."""
        self._waiting.changed(now)

    def _messages_of(self, user: str) -> list[Message]:
        mailboxes = self._mailboxes_of(user)
        return [message for message in (self._kept.messages() if self._kept is not None else ()) if message.mailbox in mailboxes]

    def _count(self, user: str) -> tuple[int, int]:
        messages = self._messages_of(user)
        heard = sum(message.heard for message in messages)
        return len(messages) - heard, heard

    @property
    def are_taken(self) -> bool:
        """Say whether messages are taken."""
        return self._kept is not None

    def has_room(self, mailbox: str, petname: str) -> bool:
        """Say whether a contact may leave one in a mailbox."""
        return self._kept is not None and self._kept.has_room(mailbox, petname)

    # ------------------------------------------------------------------------------------------------------------- calls

    def answer(self, call: Call, mailbox: str, caller: Callable[[], str | None], offer: Offer, now: float) -> None:
        """Let a contact whom nobody answered leave a message in a mailbox: whatever the cause was, and as late as he would have been told that nobody does.

        caller(): his petname, which may change while he speaks; None where nothing of him is wanted any more.
        """
        if call.state is CallState.ENDED:
            return
        seat = Seat()
        try:
            machine = Machine(self._context, seat.tell, recording("greeting", G711), partial(self._keep, mailbox, caller))
            call.sit(Side.CALLEE, machine, seat)
            self._counters["calls_answered_by_machine"] += 1
            machine.begin(offer, now)
        except HostError:
            call.tell(Side.CALLEE, Refuse(Refusal.NO_ANSWER), now)

    def _keep(self, mailbox: str, caller: Callable[[], str | None], sound: bytes, now: float) -> None:
        petname = caller()
        if self._kept is None or petname is None:
            return
        try:
            self._kept.keep(mailbox, petname, sound)
        except VoiceboxError:
            self._counters["messages_lost"] += 1  # the disk does not take it
        self._waiting.changed(now)

    def play(self, call: Call, user: str, offer: Offer, now: float) -> None:
        """Play the messages of a phone's mailboxes to it. Contract: are_taken."""
        assert self._kept is not None
        seat, references = Seat(), [message.reference for message in self._messages_of(user)]
        player = Player(self._context, seat.tell, self._kept, references, recording("tone", G711), recording("no_messages", G711), self._waiting.changed)
        call.sit(Side.CALLEE, player, seat)
        player.begin(offer, now)

    # ------------------------------------------------------------------------------------------------------------- phones

    def subscribe(self, transaction: Transaction, request: SipRequest, user: str, flow: Flow, now: float) -> None:
        """Take a SUBSCRIBE of a phone. Contract: are_taken. Raises SipError."""
        self._waiting.subscribe(transaction, request, user, flow, now)

    def end_of(self, users: AbstractSet[str], now: float) -> None:
        """End what phones of these accounts have subscribed to."""
        self._waiting.end_of(users, now)
