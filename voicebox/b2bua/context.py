"""What every phone leg of a box has in common: the transaction layer, timers, media ports, and the header fields that the box writes. Pure.

Header fields are the same for every phone and every call: nothing in them tells one caller from another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Protocol

from voicebox.b2bua.ports import MediaPorts
from voicebox.b2bua.registrar import Binding
from voicebox.errors import SipError
from voicebox.sip.dialog import Dialog, DialogKey, DialogState
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.identifiers import Identifiers
from voicebox.sip.message import SipRequest
from voicebox.sip.timers import Timers
from voicebox.sip.transaction import Transaction, TransactionLayer

ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, REFER, MESSAGE"
SUPPORTED = "timer"
SUPPORTED_OPTIONS = frozenset({"timer"})
MIN_SESSION_S = 90
SDP_TYPE = ("content-type", "application/sdp")

Post = Callable[[Callable[[float], None]], None]
"""Run a function with `now` soon, in the thread of the box's loop and never inside the present call. Order is kept."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Limits of calls. ring_limit_s: how long a call may stay unanswered, more than any dial plan lets it ring, so that a machine behind that answers; check_interval_s: how often a silent phone in a call is asked
    whether it is still there; max_calls: all together; max_calls_of_user: begun by the phones of one account; max_forks: phones rung at once.
    """

    ring_limit_s: float = 120.0
    check_interval_s: float = 300.0
    max_calls: int = 32
    max_calls_of_user: int = 16
    max_forks: int = 10


@unique
class LegTimer(Enum):
    """What a leg may wait for."""

    REPEAT_SUCCESS = "send the 2xx again"
    NO_ACK = "the 2xx was never acknowledged"
    SESSION = "the phone did not refresh its session (RFC 4028)"
    CHECK = "ask whether the phone is still there"
    CANCELLED = "the phone never ended a cancelled INVITE"
    RINGING = "nobody answered"
    SPOKEN = "an announcement, or a part of what a machine says, is over"
    SUBSCRIBED = "a subscription was not renewed"
    IDLE = "nothing was said on a line of texts"
    KEPT = "try again to hand on the texts that are kept"
    ALONE = "contacts wait in a conference for a phone of the house"
    TRUNK = "register at the provider again, or try to connect"
    TURN = "the phones whose turn it is have rung long enough"


class TimerOwner(Protocol):
    """Whose timers run."""

    def timer_due(self, timer: LegTimer, now: float) -> None: ...


class DialogUser(Protocol):
    """Who serves the requests inside a dialog."""

    dialog: Dialog

    def request_came(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None: ...
    def ack_came(self, request: SipRequest, now: float) -> None: ...
    def notify(self, status: int, now: float, *, over: bool = False) -> None: ...


Refer = Callable[[DialogUser, SipRequest, float], Callable[[float], None]]
"""What a phone asked for with REFER: check it, and return what begins it, to be called with `now` once the phone has its 202. Raises SipError to refuse."""


def no_transfers(dialog: DialogUser, request: SipRequest, now: float) -> Callable[[float], None]:  # noqa: ARG001  # the shape of every Refer
    """Refuse."""
    raise SipError(403, "calls are not transferred")


Forward = Callable[[str, Flow, float], Collection[Binding]]
"""Where the phones are to which a phone at a flow sends a call, by the Contact of its 302; none where that is no phone of the house."""


def no_forwarding(contact: str, flow: Flow, now: float) -> Collection[Binding]:  # noqa: ARG001  # the shape of every Forward
    """Send it nowhere."""
    return ()


def same_address(dialog: DialogUser, flow: Flow) -> bool:
    """Say whether a request comes from where its dialog's phone was, and over TLS where that was. A phone that has moved must show its password again.

    Somebody else on the home network may have seen the identifiers in a datagram, but does not so easily send from the phone's address. A phone of this machine
    that called by way of a provider comes over the loopback afterwards, where nobody else is.
    """
    before = dialog.dialog.flow
    moved_in = before.taken is not None and ipaddress.ip_address(flow.remote_address).is_loopback
    return (before.remote_address == flow.remote_address or moved_in) and (flow.private or not before.private)


@dataclass(eq=False, slots=True)
class LegContext:
    """Shared by all legs; the tables are bounded by max_calls and max_forks. dtls_users: accounts whose phones are offered DTLS-SRTP."""

    layer: TransactionLayer
    identifiers: Identifiers
    media: MediaPorts
    post: Post
    settings: CallSettings = field(default_factory=CallSettings)
    timers: Timers[tuple[TimerOwner, LegTimer]] = field(default_factory=Timers)
    dialogs: dict[DialogKey, DialogUser] = field(default_factory=dict)
    refer: Refer = no_transfers
    forward: Forward = no_forwarding
    dtls_users: Collection[str] = frozenset()

    def talks(self, flow: Flow) -> bool:
        """Say whether the phone at a flow is in a call of this box."""
        return any(user.dialog.flow == flow and user.dialog.state is DialogState.CONFIRMED for user in self.dialogs.values())


def our_contact(flow: Flow, uri: str = "") -> tuple[str, str]:
    """Return our Contact field: where in-dialog requests come to; sips where the request's URI is, as RFC 3261 §12.1.1 asks."""
    if uri[:5].lower() == "sips:":
        return ("contact", f"<sips:box@{flow.local_host}:{flow.local_port}>")
    transport = "" if flow.transport is Transport.UDP else f";transport={flow.transport.value.lower()}"
    user = "box" if flow.taken is None else flow.taken.contact_user
    return ("contact", f"<sip:{user}@{flow.local_host}:{flow.local_port}{transport}>")


def dialog_fields(flow: Flow, invite: Transaction) -> tuple[tuple[str, str], ...]:
    """Return what a response that makes a dialog must have: our Contact, and the route it came by. Spec: RFC 3261 §12.1.1."""
    assert invite.request is not None
    return (*(("record-route", value) for value in invite.request.headers.all("record-route")), our_contact(flow, invite.request.uri))


def error_fields(error: SipError) -> tuple[tuple[str, str], ...]:
    """Return the fields that RFC 3261 §21 wants beside a status."""
    return {
        405: (("allow", ALLOW),),
        415: (("accept", "application/sdp"),),
        422: (("min-se", str(MIN_SESSION_S)),),
        423: (("min-expires", "60"),),
        488: (("warning", f'305 voicebox "{error.reason}"'),),
        500: (("retry-after", "5"),),
        501: (("allow", ALLOW + ", REGISTER"),),
        503: (("retry-after", "30"),),
    }.get(error.status, ())
