"""The SIP side of the browser phone: one phone of the box, over one connection on this machine, with one call at a time. Pure: takes `now`.

    connected(flow) -> REGISTER, again before it ends
    dial() / a call that rings -> answer() or decline() -> hold(), hang_up() or the box's BYE

Over TCP, so that nothing is repeated. Only Opus is spoken. NOT here: the connection and the browser (line.py), the sound (sound.py).
Spec: RFC 3261 as a phone needs it; RFC 3264; RFC 3428 (texts).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.b2bua.offer_answer import OPUS_FMTP
from voicebox.errors import SipError
from voicebox.sensitive import Secret
from voicebox.sip.auth import CHALLENGES, digest_answer
from voicebox.sip.dialog import Dialog, dialog_of_request, dialog_of_response
from voicebox.sip.flow import Flow
from voicebox.sip.identifiers import Identifiers
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.sdp import Description, Direction, Encoding, Medium, parse_sdp, serialise_sdp
from voicebox.sip.transaction import NewRequest, NewResponse, OutgoingRequest, State, Transaction, TransactionLayer, Transmit
from voicebox.sip.uri import parse_uri

OPUS_TYPE, EVENT_TYPE = 96, 101
EXPIRES_S, RENEW_S, AGAIN_S = 300, 200.0, 5.0
ALLOW = ("allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE")
MAX_TEXT_OCTETS = 1_300
SDP_TYPE, TEXT_TYPE = ("content-type", "application/sdp"), ("content-type", "text/plain")


@unique
class CallState(Enum):
    """Of the one call; the value is what the browser is told."""

    NONE = "none"
    CALLING = "calling"
    RINGING = "ringing"
    """Somebody calls."""
    TALKING = "talking"


@dataclass(frozen=True, slots=True)
class Where:
    """Where the box wants the sound. payload_type, event_type: of Opus and of digits there, None for no digits."""

    address: str = field(repr=False)
    port: int
    payload_type: int
    event_type: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """The phone's account at the box."""

    user: str = field(repr=False)
    password: Secret
    host: str = field(repr=False)


class Agent:
    """tell(what, fields): for the browser. on_sound(where): where sound goes from now on, None for nowhere."""

    def __init__(self, account: Account, random_octets: Callable[[int], bytes], tell: Callable[..., None], on_sound: Callable[[Where | None], None]) -> None:
        self._account, self._tell, self._on_sound = account, tell, on_sound
        self._ids = Identifiers(random_octets)
        self._layer = TransactionLayer(self._ids, max_transactions=64)
        self._flow: Flow | None = None
        self._register_id, self._register_tag = self._ids.call_id(), self._ids.tag()
        self._cseq = 0
        self._next_register: float | None = None
        self._clear()

    def _clear(self) -> None:
        self.state = CallState.NONE
        self._dialog: Dialog | None = None
        self._invite: Transaction | None = None
        self._coming: Transaction | None = None
        self._given_up = self._held = False
        self._rtp_port = 0
        self._sdp_number, self._sdp_version = self._ids.sdp_number(), 1

    # --------------------------------------------------------------------------------------------------------- the shell

    def connected(self, flow: Flow, now: float) -> None:
        """Take the connection to the box, and register."""
        self._flow = flow
        self._register(now)

    def receive(self, octets: bytes, now: float) -> None:
        """Take one message of the box."""
        assert self._flow is not None
        self._layer.receive(octets, self._flow, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._layer.handle_timer(now)
        if self._next_register is not None and self._next_register <= now:
            self._register(now)

    def next_timer(self) -> float | None:
        """Return when handle_timer() wants to be called."""
        return min((each for each in (self._layer.next_timer(), self._next_register) if each is not None), default=None)

    def poll(self, now: float) -> list[bytes]:
        """Do what came, and return what is to be sent."""
        out = []
        while events := self._layer.poll():
            for event in events:
                match event:
                    case Transmit():
                        out.append(event.octets)
                    case NewRequest():
                        self._request_came(event, now)
                    case NewResponse():
                        self._response_came(event.transaction, event.response, now)
                    case _:
                        self._failed(event.transaction)
        return out

    # ------------------------------------------------------------------------------------------------------- what is asked

    def dial(self, to: str, rtp_port: int, now: float) -> None:
        """Call. to: as it is dialled; a name, an extension, a SIP URI."""
        if self.state is not CallState.NONE or self._flow is None:
            return
        self.state, self._rtp_port = CallState.CALLING, rtp_port
        uri = to if to.startswith("sip:") else f"sip:{to}@{self._account.host}"
        tag, call_id = self._ids.tag(), self._ids.call_id()
        fields = (*self._ends(uri, tag), ("call-id", call_id), ("cseq", "1 INVITE"), self._contact(), ALLOW, SDP_TYPE)
        self._invite = self._send(OutgoingRequest("INVITE", uri, fields, self._sdp()), now)

    def answer(self, rtp_port: int, now: float) -> None:
        """Take the call that rings."""
        if self.state is not CallState.RINGING or self._coming is None or self._coming.request is None or self._dialog is None:
            return
        self._rtp_port = rtp_port
        try:
            where = _where(self._coming.request.body)
        except SipError as problem:
            self._layer.respond(self._coming, problem.status, now, self._dialog.local_tag)
            self._over("failed")
            return
        self._layer.respond(self._coming, 200, now, self._dialog.local_tag, (self._contact(), ALLOW, SDP_TYPE), self._sdp(where))
        self._coming = None
        self._talk(where)

    def hang_up(self, now: float) -> None:
        """End the call, whatever it is; decline one that rings."""
        match self.state:
            case CallState.TALKING if self._dialog is not None:
                self._send(self._dialog.request("BYE"), now)
            case CallState.RINGING if self._coming is not None and self._dialog is not None:
                self._layer.respond(self._coming, 603, now, self._dialog.local_tag)
            case CallState.CALLING if self._invite is not None:
                self._given_up = True
                self._cancel(now)
                self._on_sound(None)
                return
            case _:
                return
        self._over("ended")

    def hold(self, *, on: bool, now: float) -> None:
        """Hold the call, or take it up again."""
        if self.state is CallState.TALKING and self._dialog is not None and on is not self._held:
            self._held = on
            self._sdp_version += 1
            self._invite = self._send(self._dialog.request("INVITE", (self._contact(), SDP_TYPE), self._sdp()), now)

    def text(self, to: str, text: str, now: float) -> None:
        """Send a text; the browser is told what became of it."""
        octets = text.encode()[:MAX_TEXT_OCTETS]
        uri = to if to.startswith("sip:") else f"sip:{to}@{self._account.host}"
        fields = (*self._ends(uri, self._ids.tag()), ("call-id", self._ids.call_id()), ("cseq", "1 MESSAGE"), TEXT_TYPE)
        self._send(OutgoingRequest("MESSAGE", uri, fields, octets), now)

    # --------------------------------------------------------------------------------------------------------- requests

    def _register(self, now: float) -> None:
        self._cseq += 1
        self._next_register = now + RENEW_S
        uri = f"sip:{self._account.host}"
        me = f"<sip:{self._account.user}@{self._account.host}>"
        ends = (("max-forwards", "70"), ("from", f"{me};tag={self._register_tag}"), ("to", me))
        fields = (*ends, ("call-id", self._register_id), ("cseq", f"{self._cseq} REGISTER"), self._contact(), ("expires", str(EXPIRES_S)), ALLOW)
        self._send(OutgoingRequest("REGISTER", uri, fields), now)

    def _send(self, request: OutgoingRequest, now: float) -> Transaction:
        assert self._flow is not None
        return self._layer.send_request(request, self._flow, _NOBODY, now)

    def _ends(self, uri: str, tag: str) -> tuple[tuple[str, str], ...]:
        return ("max-forwards", "70"), ("from", f"<sip:{self._account.user}@{self._account.host}>;tag={tag}"), ("to", f"<{uri}>")

    def _contact(self) -> tuple[str, str]:
        assert self._flow is not None
        return ("contact", f"<sip:{self._account.user}@{self._flow.local_host}:{self._flow.local_port};transport=tcp>")

    def _sdp(self, where: Where | None = None) -> bytes:
        assert self._flow is not None
        opus, event = (OPUS_TYPE, EVENT_TYPE) if where is None else (where.payload_type, where.event_type)
        encodings = (Encoding(opus, "opus", 48_000, 2, OPUS_FMTP), *((Encoding(event, "telephone-event", 8_000, 1, "0-15"),) if event is not None else ()))
        formats = tuple(str(each.payload_type) for each in encodings)
        direction = Direction.SENDONLY if self._held else Direction.SENDRECV
        medium = Medium("audio", self._rtp_port, "RTP/AVP", formats, encodings=encodings, direction=direction, ptime_ms=20)
        return serialise_sdp(Description((medium,)), self._flow.local_address, self._sdp_number, self._sdp_version)

    def _authorised(self, transaction: Transaction, response: SipResponse, now: float) -> bool:
        """Ask once more with the password. Return whether it is asked."""
        asks, answers = CHALLENGES[response.status]
        sent = transaction.outgoing
        if sent is None or sent.field(answers):
            return False
        try:
            value = digest_answer(response.headers.all(asks), self._account.user, self._account.password, sent.method, sent.uri, self._ids.tag())
        except SipError:
            return False
        number = int(sent.field("cseq").partition(" ")[0]) + 1
        if sent.method == "REGISTER":
            self._cseq = number
        if self._dialog is not None:
            self._dialog.local_cseq = max(number, self._dialog.local_cseq)
        fields = tuple((name, f"{number} {sent.method}" if name == "cseq" else text) for name, text in sent.fields)
        again = self._send(OutgoingRequest(sent.method, sent.uri, (*fields, (answers, value)), sent.body), now)
        if transaction is self._invite:
            self._invite = again
        return True

    def _cancel(self, now: float) -> None:
        if self._invite is not None and self._invite.state is State.PROCEEDING:
            self._layer.cancel(self._invite, (), _NOBODY, now)

    # --------------------------------------------------------------------------------------------------------- responses

    def _response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        if response.status in CHALLENGES and not self._given_up and self._authorised(transaction, response, now):
            return
        match response.cseq.method:
            case "REGISTER" if response.status >= 200:
                self._next_register = now + (RENEW_S if response.status < 300 else AGAIN_S)
                self._tell("registered" if response.status < 300 else "refused")
            case "INVITE" if transaction is self._invite:
                self._invite_answered(transaction, response, now)
            case "MESSAGE" if response.status >= 200:
                self._tell("text-sent" if response.status < 300 else "text-failed")
            case _:
                pass

    def _invite_answered(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        if response.status < 200:
            if self._given_up:
                self._cancel(now)
            elif self.state is CallState.CALLING:
                self._tell("rings" if response.status in {180, 183} else "calling")
                if response.body:
                    self._hear(response.body)
            return
        self._invite = None
        if response.status >= 300:
            if self.state is CallState.CALLING:
                self._over({486: "busy", 600: "busy", 603: "declined", 487: "ended", 404: "unknown", 480: "away", 408: "away"}.get(response.status, "failed"))
            return
        assert transaction.outgoing is not None
        assert self._flow is not None
        if self._dialog is None:
            tag = transaction.outgoing.field("from").rpartition(";tag=")[2]
            self._dialog = dialog_of_response(transaction.outgoing, tag, response, self._flow)
        self._layer.transmit(self._flow, self._layer.serialise_outside(self._dialog.request("ACK", cseq=response.cseq.number), self._flow))
        if self._given_up:
            self._send(self._dialog.request("BYE"), now)
            self._over("ended")
            return
        if self.state is CallState.CALLING:
            try:
                self._talk(_where(response.body))
            except SipError:
                self._send(self._dialog.request("BYE"), now)
                self._over("failed")
        else:
            self._tell("held" if self._held else "talking")

    def _failed(self, transaction: Transaction) -> None:
        if transaction is self._invite and self.state is CallState.CALLING:
            self._over("failed")

    def _hear(self, body: bytes) -> None:
        with contextlib.suppress(SipError):  # sound before the answer that is not for us
            self._on_sound(_where(body))

    def _talk(self, where: Where) -> None:
        self.state = CallState.TALKING
        self._on_sound(where)
        self._tell("talking")

    def _over(self, why: str) -> None:
        self._on_sound(None)
        self._clear()
        self._tell("ended", why=why)

    # ---------------------------------------------------------------------------------------------------------- requests in

    def _request_came(self, event: NewRequest, now: float) -> None:
        request, transaction = event.request, event.transaction
        if transaction is None:
            return  # an ACK
        match request.method:
            case "INVITE":
                self._invited(request, transaction, event.flow, now)
            case "CANCEL":
                self._layer.respond(transaction, 200, now, self._ids.tag())
                if self._coming is not None and self._layer.invite_of(request) is self._coming and self._dialog is not None:
                    self._layer.respond(self._coming, 487, now, self._dialog.local_tag)
                    self._over("ended")
            case "BYE":
                ours = self._dialog is not None and request.call_id == self._dialog.call_id
                self._layer.respond(transaction, 200 if ours else 481, now, self._ids.tag())
                if ours:
                    self._over("ended")
            case "MESSAGE":
                self._layer.respond(transaction, 200, now, self._ids.tag())
                self._tell("text", who=_name(request), text=request.body[:MAX_TEXT_OCTETS].decode("utf-8", "replace"))
            case "OPTIONS":
                self._layer.respond(transaction, 200, now, self._ids.tag(), (ALLOW,))
            case "NOTIFY" | "INFO":
                self._layer.respond(transaction, 200, now, self._ids.tag())
            case _:
                self._layer.respond(transaction, 405, now, self._ids.tag(), (ALLOW,))

    def _invited(self, request: SipRequest, transaction: Transaction, flow: Flow, now: float) -> None:
        if self._dialog is not None and request.call_id == self._dialog.call_id and self.state is CallState.TALKING:
            try:
                where = _where(request.body)
            except SipError as problem:
                self._layer.respond(transaction, problem.status, now, self._dialog.local_tag)
                return
            self._sdp_version += 1
            self._layer.respond(transaction, 200, now, self._dialog.local_tag, (self._contact(), SDP_TYPE), self._sdp(where))
            self._on_sound(where)
            return
        if self.state is not CallState.NONE:
            self._layer.respond(transaction, 486, now, self._ids.tag())
            return
        try:
            _where(request.body)
            self._dialog = dialog_of_request(request, self._ids.tag(), flow)
        except SipError as problem:
            self._layer.respond(transaction, problem.status, now, self._ids.tag())
            return
        self._coming, self.state = transaction, CallState.RINGING
        self._layer.respond(transaction, 180, now, self._dialog.local_tag, (self._contact(),))
        self._tell("ring", who=_name(request))


class _Nobody:
    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None: ...
    def no_response(self, transaction: Transaction, now: float) -> None: ...


_NOBODY = _Nobody()


def _name(request: SipRequest) -> str:
    """Return who it is of, as the box says: a petname or a phone's name."""
    try:
        uri = parse_uri(request.from_.uri)
    except SipError:
        return ""
    return request.from_.display.strip(chr(34)) or uri.user_text or uri.host


def _where(body: bytes) -> Where:
    """Return where a description wants Opus. Raises SipError 488 where it wants none."""
    for medium in parse_sdp(body).media:
        opus = next((each.payload_type for each in medium.encodings if each.name == "opus"), None)
        if medium.kind == "audio" and medium.port and opus is not None and medium.protocol == "RTP/AVP":
            event = next((each.payload_type for each in medium.encodings if each.name == "telephone-event" and each.clock_rate_hz == 8_000), None)
            return Where(medium.address, medium.port, opus, event)
    raise SipError(488, "no Opus in the clear")
