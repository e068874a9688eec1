"""SIP dialogs: what both ends must remember of each other. Pure.

NOT here: offer and answer, and what a request means (b2bua/leg.py).
Spec: RFC 3261 §12. Departure: requests go to the peer's flow, never to the host and port of its Contact, which a phone behind
address translation often gets wrong; the Contact is the Request-URI all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.errors import SipError
from voicebox.sip.flow import Flow
from voicebox.sip.headers import parse_name_addr, split_values
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.transaction import OutgoingRequest

MAX_ROUTES = 8
DialogKey = tuple[str, str, str]
"""Call-ID, local tag, remote tag."""


@unique
class DialogState(Enum):
    """In order."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(eq=False, slots=True)
class Dialog:
    """One dialog. Texts are as they stand in the header fields; from_ours and to_theirs carry their tags."""

    call_id: str = field(repr=False)
    local_tag: str
    remote_tag: str = field(repr=False)
    local: str = field(repr=False)
    """The From value of our requests."""
    remote: str = field(repr=False)
    """The To value of our requests."""
    target: str = field(repr=False)
    """The peer's Contact URI."""
    routes: tuple[str, ...] = field(repr=False)
    flow: Flow = field(repr=False)
    local_cseq: int = 0
    remote_cseq: int = 0
    state: DialogState = DialogState.EARLY

    @property
    def key(self) -> DialogKey:
        """Return what a request inside this dialog shows."""
        return (self.call_id, self.local_tag, self.remote_tag)

    def request(self, method: str, extra: tuple[tuple[str, str], ...] = (), body: bytes = b"", cseq: int | None = None) -> OutgoingRequest:
        """Return the next request of ours; cseq: for the ACK of an INVITE, its number. Spec: RFC 3261 §12.2.1.1."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        fields = [("route", route) for route in self.routes]
        fields += [("max-forwards", "70"), ("from", self.local), ("to", self.remote), ("call-id", self.call_id), ("cseq", f"{cseq} {method}")]
        return OutgoingRequest(method, self.target, (*fields, *extra), body)

    def accept(self, request: SipRequest, flow: Flow) -> None:
        """Check the order of a request of the peer and learn where it is now. Raises SipError(500) for an old CSeq. Spec: RFC 3261 §12.2.2."""
        if request.method != "ACK":
            if request.cseq.number <= self.remote_cseq:
                raise SipError(500, "CSeq out of order")
            self.remote_cseq = request.cseq.number
        self.flow = flow  # a phone whose connection died comes back over another one
        if request.method in {"INVITE", "UPDATE"}:
            self.refresh_target(request)

    def refresh_target(self, message: SipRequest | SipResponse) -> None:
        """Take the peer's new Contact, if the message has one."""
        target = contact_uri(message)
        if target is not None:
            self.target = target


def dialog_of_request(request: SipRequest, local_tag: str, flow: Flow) -> Dialog:
    """Return the dialog that our answer to an INVITE makes. Raises SipError(400) where it cannot be made. Spec: RFC 3261 §12.1.1."""
    target = contact_uri(request)
    if target is None:
        raise SipError(400, "INVITE without a usable Contact")
    remote, local = request.headers.get("from") or "", request.headers.get("to") or ""
    tagged = local if request.to.tag else f"{local};tag={local_tag}"
    dialog = Dialog(request.call_id, local_tag, request.from_.tag, tagged, remote, target, _routes(request), flow)
    dialog.remote_cseq = request.cseq.number
    return dialog


def dialog_of_response(invite: OutgoingRequest, local_tag: str, response: SipResponse, flow: Flow) -> Dialog:
    """Return the dialog that a response to our INVITE makes. Raises SipError(400) where it cannot be made. Spec: RFC 3261 §12.1.2."""
    target = contact_uri(response)
    remote = response.headers.get("to") or ""
    routes = tuple(reversed(_routes(response)))
    dialog = Dialog(response.call_id, local_tag, response.to.tag, invite.field("from"), remote, target or invite.uri, routes, flow)
    dialog.local_cseq = response.cseq.number
    return dialog


def contact_uri(message: SipRequest | SipResponse) -> str | None:
    """Return the URI of the first Contact, None where there is none."""
    text = message.headers.get("contact")
    return None if text is None else parse_name_addr(split_values(text)[0]).uri


def _routes(message: SipRequest | SipResponse) -> tuple[str, ...]:
    routes = tuple(value.strip() for line in message.headers.all("record-route") for value in split_values(line))
    if len(routes) > MAX_ROUTES:
        raise SipError(400, "too many Record-Route values")
    for route in routes:
        parse_name_addr(route)
    return routes
