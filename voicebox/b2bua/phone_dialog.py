"""A dialog with one phone: re-INVITE, UPDATE, hold, INFO, BYE, the 2xx until its ACK, and the media port. Pure: takes `now`.

 1. leg.py makes one when an INVITE came (UAS) or was answered (UAC).
 2. Requests inside the dialog are served here, locally: the far side learns Hold, Resume, Digit and End, and nothing else.
 3. hang_up() or the phone's BYE ends it; end() gives everything back, once.
Spec: RFC 3261 §12.2, §13.3.1.4, §14.2, §15; RFC 3311; RFC 4028; RFC 6086 with application/dtmf-relay.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from voicebox.b2bua.context import ALLOW, MIN_SESSION_S, SDP_TYPE, SUPPORTED, SUPPORTED_OPTIONS, LegContext, LegTimer, dialog_fields, error_fields, our_contact
from voicebox.b2bua.events import CallEvent, Codec, Digit, End, Hold, Resume
from voicebox.b2bua.offer_answer import OurMedia, PhoneMedia, check_protected, read_phone_media
from voicebox.b2bua.ports import PhonePort
from voicebox.errors import SipError
from voicebox.sip.dialog import Dialog, DialogState
from voicebox.sip.fingerprint import Handshake
from voicebox.sip.flow import Flow
from voicebox.sip.headers import parse_session_expires
from voicebox.sip.message import REASONS, SipRequest, SipResponse
from voicebox.sip.sdp import Direction
from voicebox.sip.transaction import Transaction

Tell = Callable[[CallEvent, float], None]
MAX_DIGIT_MS = 5_000
DEFAULT_DIGIT_MS = 160
_GONE = {408, 481}
_DTMF = re.compile(rb"\s*Signal\s*=\s*([0-9*#A-Da-d])[ \t]*(?:\r?\n\s*Duration\s*=\s*([0-9]{1,5})\s*)?", re.IGNORECASE)
_DIGITS = b"0123456789*#ABCD"


def point_port(port: PhonePort, media: OurMedia, phone: PhoneMedia, codec: Codec) -> None:
    """Let a port send to a phone, under the keys agreed on. Raises SipError(488) for an answer that leaves out the protection that was offered."""
    payload_type = phone.payload_type(codec)
    assert payload_type is not None
    match media.protection(phone):
        case Handshake() as handshake:
            port.agree(handshake)
        case protection:
            port.protect(protection)
    port.set_packets(phone.packet_ms)
    port.set_remote(phone.address, phone.port, codec, payload_type, phone.event_payload_type(codec), phone.rtcp_port)


class PhoneDialog:
    """One dialog with one phone. tell(event, now): what the phone did; after End nothing more is told."""

    def __init__(self, context: LegContext, dialog: Dialog, port: PhonePort, media: OurMedia, tell: Tell) -> None:
        self.dialog, self.port, self.media = dialog, port, media
        self.codec: Codec | None = None
        self._context, self._tell = context, tell
        self._held = False
        self._event_stretch = 1
        self._hears_digits = False
        self._direction = Direction.SENDRECV
        self._success: bytes | None = None
        self._success_flow: Flow | None = None
        self._success_cseq = 0
        self._interval_s = 0.0
        self._offered: tuple[Codec, ...] = ()
        """What our 2xx offered and its ACK has yet to answer."""
        self._hang_up_at_ack = False
        self._refer_event = ""
        self._ended = False
        context.dialogs[dialog.key] = self
        port.on_digit(self._digit_heard)
        port.on_failed(self._sound_failed)

    @property
    def over(self) -> bool:
        """Say whether the phone is no longer served."""
        return self._ended

    # --------------------------------------------------------------------------------------------------------- sound

    def start_sound(self, phone: PhoneMedia, codec: Codec, *, from_phone: bool = True, to_phone: bool = True) -> None:
        """Point the port at the phone. The directions narrow what the phone's description allows."""
        self.codec = codec
        point_port(self.port, self.media, phone, codec)
        self._event_stretch = phone.event_stretch(codec)
        self._hears_digits = phone.direction.receives and phone.event_payload_type(codec) is not None
        self._direction = phone.direction
        self.port.set_direction(to_phone=to_phone and phone.direction.receives, from_phone=from_phone and phone.direction.sends)

    def play_digit(self, digit: Digit) -> None:
        """Let the phone hear a digit that was pressed at the far end, where it listens and knows digits."""
        if self._hears_digits:
            self.port.play_digit(digit.code, max(1, digit.duration_ms // self._event_stretch))

    def _sound_failed(self) -> None:
        self._context.post(self._give_up)

    def _give_up(self, now: float) -> None:
        """Hang up where the sound cannot be protected as was agreed; before the answer a phone may not be ready for its handshake."""
        if not self._ended and self.dialog.state is DialogState.CONFIRMED:
            self.hang_up(now)
            self._tell(End(), now)

    def _digit_heard(self, code: int, duration_ms: int) -> None:
        # The port counts durations on the codec's clock, also where the phone counts them on another.
        self._context.post(lambda now: self._tell_digit(code, duration_ms * self._event_stretch, now))

    def _tell_digit(self, code: int, duration_ms: int, now: float) -> None:
        if not self._ended and self.dialog.state is DialogState.CONFIRMED and 0 <= code <= 15:
            self._tell(Digit(code, min(max(duration_ms, 1), MAX_DIGIT_MS)), now)

    # ----------------------------------------------------------------------------------------------- our 2xx, its ACK

    def send_success(self, transaction: Transaction, body: bytes, now: float, offered: tuple[Codec, ...] = ()) -> None:
        """Answer an INVITE with 200 and repeat it until its ACK comes. offered: where the body is an offer. Spec: RFC 3261 §13.3.1.4."""
        assert transaction.request is not None
        extra = [*dialog_fields(self.dialog.flow, transaction), ("allow", ALLOW), ("supported", SUPPORTED)]
        extra += [*self._session_fields(transaction.request, now), SDP_TYPE]
        self.dialog.state = DialogState.CONFIRMED
        self._success = self._context.layer.respond(transaction, 200, now, self.dialog.local_tag, tuple(extra), body)
        self._success_flow, self._success_cseq, self._offered = transaction.flow, transaction.request.cseq.number, offered
        values = self._context.layer.timer_values
        self._interval_s = values.t1_s
        self._context.timers.set((self, LegTimer.REPEAT_SUCCESS), now + values.t1_s)  # over every transport: a proxy may lose it
        self._context.timers.set((self, LegTimer.NO_ACK), now + values.limit_s)

    def confirmed(self, now: float) -> None:
        """Start what runs in an established call."""
        self.dialog.state = DialogState.CONFIRMED
        self._context.timers.set((self, LegTimer.CHECK), now + self._context.settings.check_interval_s)

    def ack_came(self, request: SipRequest, now: float) -> None:
        """Take the ACK of our 2xx; it may carry the answer to an offer of ours."""
        if self._success is None or request.cseq.number != self._success_cseq:
            return
        self._success = None
        self._context.timers.cancel((self, LegTimer.REPEAT_SUCCESS))
        self._context.timers.cancel((self, LegTimer.NO_ACK))
        self.confirmed(now)
        offered, self._offered = self._offered, ()
        if self._hang_up_at_ack:
            self._say_bye(now)
            self.end()
        elif offered:
            self._take_late_answer(request, offered, now)

    def _take_late_answer(self, ack: SipRequest, offered: tuple[Codec, ...], now: float) -> None:
        try:
            phone = read_phone_media(ack.body, ack.headers.get("content-type"), self.dialog.flow.remote_address)
            if self.codec is None or self.codec not in offered or phone.payload_type(self.codec) is None:
                raise SipError(488, "the answer has none of the codecs offered")
            self.start_sound(phone, self.codec)
        except SipError:
            # There is no way to refuse an answer in an ACK: RFC 3261 §13.2.2.4 leaves hanging up.
            self._hang_up_and_tell(now)
            return
        self._tell_hold(phone, now)

    # ---------------------------------------------------------------------------------------------- the phone's requests

    def request_came(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        """Serve a request inside the dialog."""
        layer = self._context.layer
        try:
            self.dialog.accept(request, flow)
            match request.method:
                case "BYE":
                    layer.respond(transaction, 200, now)
                    self.end()
                    self._tell(End(), now)
                case "INVITE":
                    self._take_reinvite(transaction, request, now)
                case "UPDATE":
                    self._take_update(transaction, request, now)
                case "INFO":
                    self._take_info(transaction, request, now)
                case "OPTIONS":
                    layer.respond(transaction, 200, now, extra=(("allow", ALLOW), ("supported", SUPPORTED), ("accept", "application/sdp")))
                case "SUBSCRIBE":
                    raise SipError(489, "no events here")
                case "REFER":
                    self._take_refer(transaction, request, now)
                case _:
                    raise SipError(405, "not inside a call")
        except SipError as error:
            layer.respond(transaction, error.status, now, extra=error_fields(error))

    def _take_reinvite(self, transaction: Transaction, request: SipRequest, now: float) -> None:
        if self.dialog.state is not DialogState.CONFIRMED:
            raise SipError(500, "the first INVITE has not been answered yet")  # RFC 3261 §14.2
        if self._offered or self.codec is None:
            raise SipError(491, "an offer is waiting for its answer")
        check_session_expires(request)
        if not request.body:
            offered = (self.codec,)
            self.send_success(transaction, self.media.offer(offered), now, offered)
            return
        phone, body = self._answer(request, self.codec)
        self.send_success(transaction, body, now)
        self.start_sound(phone, self.codec)
        self._tell_hold(phone, now)

    def _take_update(self, transaction: Transaction, request: SipRequest, now: float) -> None:
        check_session_expires(request)
        extra = [our_contact(self.dialog.flow), ("allow", ALLOW), ("supported", SUPPORTED)]
        if not request.body:
            extra += self._session_fields(request, now)
            self._context.layer.respond(transaction, 200, now, extra=tuple(extra))
            return
        if self._offered or self.codec is None:
            raise SipError(491, "an offer is waiting for its answer")  # RFC 3311 §5.2
        phone, body = self._answer(request, self.codec)
        extra += [*self._session_fields(request, now), SDP_TYPE]
        self._context.layer.respond(transaction, 200, now, extra=tuple(extra), body=body)
        early = self.dialog.state is DialogState.EARLY
        self.start_sound(phone, self.codec, from_phone=not early)
        if not early:
            self._tell_hold(phone, now)

    def _answer(self, request: SipRequest, codec: Codec) -> tuple[PhoneMedia, bytes]:
        """Return the phone's offer and our answer with the codec in use, which a circuit carries and so cannot change."""
        phone = read_phone_media(request.body, request.headers.get("content-type"), self.dialog.flow.remote_address)
        check_protected(phone, private=self.dialog.flow.private or self.media.never_clear)
        return phone, self.media.answer(phone, codec)

    def _tell_hold(self, phone: PhoneMedia, now: float) -> None:
        if phone.holds != self._held:
            self._held = phone.holds
            self._tell(Hold() if self._held else Resume(), now)

    def _take_info(self, transaction: Transaction, request: SipRequest, now: float) -> None:
        content_type = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
        if request.body and content_type != "application/dtmf-relay":
            raise SipError(415, "only application/dtmf-relay is understood in INFO")
        found = _DTMF.match(request.body) if request.body else None
        if request.body and found is None:
            raise SipError(400, "bad dtmf-relay")
        self._context.layer.respond(transaction, 200, now)
        if found is not None:
            self._tell_digit(_DIGITS.index(found[1].upper()), int(found[2] or DEFAULT_DIGIT_MS), now)

    def _take_refer(self, transaction: Transaction, request: SipRequest, now: float) -> None:
        """Have a transfer carried out inside the box; a REFER never leaves it, because it names people."""
        begin = self._context.refer(self, request, now)
        self._context.layer.respond(transaction, 202, now, extra=(our_contact(self.dialog.flow),))
        # The first REFER's events need no id, each further one's is its CSeq (RFC 3515 §2.4.6).
        self._refer_event = f"refer;id={request.cseq.number}" if self._refer_event else "refer"
        begin(now)

    def notify(self, status: int, now: float, *, over: bool = False) -> None:
        """Tell the phone how the transfer that it asked for goes. Spec: RFC 3515 §2.4.4, §2.4.5."""
        if self._ended:
            return
        state = "terminated;reason=noresource" if over else f"active;expires={round(self._context.settings.ring_limit_s)}"
        extra = (our_contact(self.dialog.flow), ("event", self._refer_event), ("subscription-state", state), ("content-type", "message/sipfrag;version=2.0"))
        body = f"SIP/2.0 {status} {REASONS[status]}\r\n".encode()
        self._context.layer.send_request(self.dialog.request("NOTIFY", extra, body), self.dialog.flow, self, now)

    def _session_fields(self, request: SipRequest, now: float) -> list[tuple[str, str]]:
        """Return our Session-Expires and watch over it, where the phone refreshes. Spec: RFC 4028 §9.

        A phone that wants the box to refresh gets no session timer: the standard allows an answer without one, and the box asks
        for a sign of life by itself.
        """
        text = request.headers.get("session-expires")
        if text is None or "timer" not in request.headers.tokens("supported"):
            return []
        seconds, refresher = parse_session_expires(text)
        if refresher == "uas":
            self._context.timers.cancel((self, LegTimer.SESSION))
            return []
        self._context.timers.set((self, LegTimer.SESSION), now + seconds)
        return [("session-expires", f"{seconds};refresher=uac"), ("require", "timer")]

    # ------------------------------------------------------------------------------------------------------- the end

    def hang_up(self, now: float) -> None:
        """End the call at the phone. Nothing is told. Before the ACK of our 2xx a BYE may not be sent (RFC 3261 §15), so it waits."""
        if self._ended:
            return
        if self._success is not None:
            self._hang_up_at_ack = True
            self.port.set_direction(to_phone=False, from_phone=False)
            return
        if self.dialog.state is DialogState.CONFIRMED:
            self._say_bye(now)
        self.end()

    def _hang_up_and_tell(self, now: float) -> None:
        self._say_bye(now)
        self.end()
        self._tell(End(), now)

    def _say_bye(self, now: float) -> None:
        self._context.layer.send_request(self.dialog.request("BYE"), self.dialog.flow, self, now)

    def end(self) -> None:
        """Give back port, timers and place in the table; idempotent."""
        if self._ended:
            return
        self._ended = True
        self._success = None
        self.dialog.state = DialogState.TERMINATED
        self._context.dialogs.pop(self.dialog.key, None)
        for timer in LegTimer:
            self._context.timers.cancel((self, timer))
        self.port.close()

    def timer_due(self, timer: LegTimer, now: float) -> None:
        """Take a timer of this dialog."""
        if timer is LegTimer.REPEAT_SUCCESS and self._success is not None and self._success_flow is not None:
            self._context.layer.transmit(self._success_flow, self._success)
            self._interval_s = min(2 * self._interval_s, self._context.layer.timer_values.t2_s)
            self._context.timers.set((self, timer), now + self._interval_s)
        elif timer is LegTimer.NO_ACK or timer is LegTimer.SESSION:
            self._hang_up_and_tell(now)
        elif timer is LegTimer.CHECK:
            self._context.layer.send_request(self.dialog.request("OPTIONS"), self.dialog.flow, self, now)

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        """Take the answer to a request of ours; only that to an OPTIONS means something."""
        if self._ended or transaction.outgoing is None or transaction.outgoing.method != "OPTIONS" or response.status < 200:
            return
        if response.status in _GONE:
            self._hang_up_and_tell(now)
        else:
            self._context.timers.set((self, LegTimer.CHECK), now + self._context.settings.check_interval_s)

    def no_response(self, transaction: Transaction, now: float) -> None:
        """Take that the phone is gone."""
        if not self._ended and transaction.outgoing is not None and transaction.outgoing.method == "OPTIONS":
            self._hang_up_and_tell(now)


def check_session_expires(request: SipRequest) -> None:
    """Raise SipError(422) where a phone asks for a session shorter than the minimum. Spec: RFC 4028 §9."""
    text = request.headers.get("session-expires")
    if text is not None and "timer" in request.headers.tokens("supported") and parse_session_expires(text)[0] < MIN_SESSION_S:
        raise SipError(422, "session too short")


def check_require(request: SipRequest) -> frozenset[str]:
    """Return the options in Require that are not supported (RFC 3261 §8.2.2.3); 100rel is one of them."""
    return request.headers.tokens("require") - SUPPORTED_OPTIONS
