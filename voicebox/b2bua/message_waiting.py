"""The light at a phone that says that there are messages: subscriptions of phones to their mailboxes. Pure: takes `now`.

 1. A phone subscribes (SUBSCRIBE, message-summary) and is answered 200, then told how things are (NOTIFY), and again whenever they change.
 2. It renews or ends the subscription inside its dialog; one that runs out, or whose phone does not answer, is forgotten.
NOT here: who may subscribe (switchboard.py). Spec: RFC 6665, RFC 3842. Departure: a phone is told of the mailboxes that are its own, whatever address was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from voicebox.b2bua.context import LegContext, LegTimer, error_fields, our_contact
from voicebox.errors import SipError
from voicebox.sip.dialog import Dialog, DialogState, dialog_of_request
from voicebox.sip.flow import Flow
from voicebox.sip.headers import parse_seconds
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.transaction import Transaction

EVENT = "message-summary"
MAX_SUBSCRIPTIONS = 64
MIN_S, DEFAULT_S, MAX_S = 60, 3_600, 3_600
_TYPE = ("content-type", "application/simple-message-summary")


class MessageWaiting:
    """All subscriptions of a box. count(user): how many messages of a phone are new, and how many old."""

    def __init__(self, context: LegContext, count: Callable[[str], tuple[int, int]]) -> None:
        self.context, self._count = context, count
        self._subscriptions: set[_Subscription] = set()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, transaction: Transaction, request: SipRequest, user: str, flow: Flow, now: float) -> None:
        """Take a SUBSCRIBE outside a dialog. Raises SipError: 489 for another event, 423 too brief, 503 too many, 400."""
        seconds = wanted_s(request)
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise SipError(503, "too many subscriptions")
        dialog = dialog_of_request(request, self.context.identifiers.tag(), flow)
        subscription = _Subscription(self, dialog, user)
        self._subscriptions.add(subscription)
        self.context.dialogs[dialog.key] = subscription
        subscription.renew(transaction, seconds, now)

    def body(self, user: str) -> bytes:
        """Return what a phone is told. Spec: RFC 3842 §5.2."""
        new, old = self._count(user)
        return f"Messages-Waiting: {'yes' if new else 'no'}\r\nVoice-Message: {new}/{old}\r\n".encode()

    def changed(self, now: float) -> None:
        """Tell every phone how things are now."""
        for subscription in list(self._subscriptions):
            subscription.tell(now)

    def end_of(self, users: AbstractSet[str], now: float) -> None:
        """End what phones of these accounts have subscribed to."""
        for subscription in [each for each in self._subscriptions if each.user in users]:
            subscription.end(now, "rejected")

    def forget(self, subscription: _Subscription) -> None:
        """Serve a subscription no more."""
        self._subscriptions.discard(subscription)
        self.context.dialogs.pop(subscription.dialog.key, None)
        self.context.timers.cancel((subscription, LegTimer.SUBSCRIBED))


class _Subscription:
    """One phone's; it serves the requests inside its dialog."""

    def __init__(self, waiting: MessageWaiting, dialog: Dialog, user: str) -> None:
        self._waiting, self.dialog, self.user = waiting, dialog, user
        self._ends_at = 0.0

    def renew(self, transaction: Transaction, seconds: int, now: float) -> None:
        """Answer a SUBSCRIBE, and tell how things are. seconds: 0 ends it."""
        context = self._waiting.context
        extra = (our_contact(self.dialog.flow), ("expires", str(seconds)))
        context.layer.respond(transaction, 200, now, self.dialog.local_tag, extra)
        if seconds == 0:
            self.end(now, "timeout")
            return
        self._ends_at = now + seconds
        context.timers.set((self, LegTimer.SUBSCRIBED), self._ends_at)
        self.tell(now)

    def tell(self, now: float, state: str = "") -> None:
        """Say how things are."""
        state = state or f"active;expires={max(1, round(self._ends_at - now))}"
        extra = (our_contact(self.dialog.flow), ("event", EVENT), ("subscription-state", state), _TYPE)
        self._waiting.context.layer.send_request(self.dialog.request("NOTIFY", extra, self._waiting.body(self.user)), self.dialog.flow, self, now)

    def end(self, now: float, why: str) -> None:
        """Say so for the last time. Spec: RFC 6665 §4.1.3."""
        self.dialog.state = DialogState.TERMINATED
        self._waiting.forget(self)
        self.tell(now, f"terminated;reason={why}")

    def request_came(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        """Serve a request inside the dialog: a renewal, or the end."""
        try:
            self.dialog.accept(request, flow)
            if request.method != "SUBSCRIBE":
                raise SipError(405, "not inside a subscription")
            self.renew(transaction, wanted_s(request), now)
        except SipError as error:
            self._waiting.context.layer.respond(transaction, error.status, now, extra=error_fields(error))

    def ack_came(self, request: SipRequest, now: float) -> None:
        """Nothing: there is no INVITE here."""

    def notify(self, status: int, now: float, *, over: bool = False) -> None:
        """Nothing: nobody is transferred here."""

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Take that it was not renewed."""
        self.end(now, "timeout")

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:  # noqa: ARG002  # the shape of every TransactionUser
        """Take the answer to a NOTIFY: whoever refuses one wants none. Spec: RFC 6665 §4.2.2."""
        if response.status >= 300:
            self._waiting.forget(self)

    def no_response(self, transaction: Transaction, now: float) -> None:  # noqa: ARG002  # as above
        """Take that the phone is gone."""
        self._waiting.forget(self)


def wanted_s(request: SipRequest) -> int:
    """Return for how long a SUBSCRIBE is to last. Raises SipError: 489, 423, 400."""
    if (request.headers.get("event") or "").partition(";")[0].strip().lower() != EVENT:
        raise SipError(489, "no such events here")
    text = request.headers.get("expires")
    seconds = parse_seconds(text, "Expires") if text is not None else DEFAULT_S
    if 0 < seconds < MIN_S:
        raise SipError(423, "a subscription lasts at least a minute")
    return min(seconds, MAX_S)
