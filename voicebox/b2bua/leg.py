"""One phone's side of a call: UasLeg where the phone called, UacLeg where it is called. Pure: takes `now`.

 1. UasLeg: offer -> 180 / 183 / 200 as the far side's events come, or a refusal; CANCEL ends it.
 2. UacLeg: INVITE -> Ringing / Progress / Answer / Refuse to the call; give_up() cancels, or hangs up where the answer crossed. A phone that has none of
    the caller's codecs (488) is asked once more for the others, and its sound is converted.
 3. From the answer on phone_dialog.py serves the phone.
NOT here: forking over several phones (fork.py), what the two sides of a call do to each other (call.py).
Spec: RFC 3261 §9, §13; RFC 3326 (Reason); RFC 3960 §3 (early media).
"""

from __future__ import annotations

from enum import Enum, unique

from voicebox.b2bua.context import ALLOW, SDP_TYPE, LegContext, LegTimer, dialog_fields, our_contact
from voicebox.b2bua.events import (
    Answer,
    Arrivals,
    CallEvent,
    Codec,
    Digit,
    End,
    Hold,
    Offer,
    Progress,
    Refusal,
    Refuse,
    Resume,
    Ringing,
    Score,
    Taken,
    Text,
    Tie,
)
from voicebox.b2bua.offer_answer import ALL_CODECS, LATE_OFFER_CODECS, OurMedia, PhoneMedia, check_protected, choose_codec, our_protocol, read_phone_media
from voicebox.b2bua.phone_dialog import PhoneDialog, Tell, check_session_expires, point_port
from voicebox.b2bua.ports import MediaPort, PhonePort
from voicebox.b2bua.registrar import Binding
from voicebox.errors import HostError, SipError
from voicebox.sip.dialog import dialog_of_request, dialog_of_response
from voicebox.sip.flow import Flow
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.transaction import OutgoingRequest, Transaction

MAX_ANSWERS = 8
"""2xx with different tags that one INVITE may get: a contact may be a proxy that forks."""
STATUS_OF = {
    Refusal.NO_ANSWER: 480,
    Refusal.BUSY: 486,
    Refusal.DECLINED: 603,
    Refusal.NO_COMMON_CODEC: 488,
    Refusal.UNREACHABLE: 480,
    Refusal.EMERGENCY: 503,
}
REFUSAL_OF = {486: Refusal.BUSY, 600: Refusal.BUSY, 603: Refusal.DECLINED, 488: Refusal.NO_COMMON_CODEC, 606: Refusal.NO_COMMON_CODEC}
FORWARDS = {301, 302}
ANSWERED_ELSEWHERE = ("reason", 'SIP;cause=200;text="Call completed elsewhere"')


def our_media(context: LegContext, user: str, flow: Flow, port: PhonePort) -> OurMedia:
    """Return our side of what is described to a phone of an account that is reached over a flow; what we offer over one that is enciphered is protected."""
    identifiers, protocol = context.identifiers, our_protocol(protected=flow.private, shaken=user in context.dtls_users)
    return OurMedia(flow.local_address, port.rtp_port, identifiers.sdp_number(), identifiers.octets, port.fingerprint, protocol)


class UasLeg:
    """The leg of a phone that calls. user: its account. Raises SipError or HostError from the constructor: then nothing is left behind."""

    def __init__(self, context: LegContext, transaction: Transaction, request: SipRequest, flow: Flow, user: str, tell: Tell) -> None:
        self._context, self._invite, self._tell = context, transaction, tell
        self.user = user
        check_session_expires(request)
        self._phone: PhoneMedia | None = None
        if request.body:
            self._phone = read_phone_media(request.body, request.headers.get("content-type"), flow.remote_address)
            check_protected(self._phone, private=flow.private or user in context.dtls_users)
        dialog = dialog_of_request(request, context.identifiers.tag(), flow)
        port = context.media.open(flow.local_address)
        media = our_media(context, user, flow, port)
        self._side = PhoneDialog(context, dialog, port, media, self._phone_told)
        self._early: tuple[Codec, bytes] | None = None
        self._finished = False
        self.offer = Offer(LATE_OFFER_CODECS if self._phone is None else tuple(sorted(codec for codec, _ in self._phone.codecs)))
        self.merge_key = (request.call_id, request.from_.tag, request.cseq.number)

    @property
    def hears_early(self) -> bool:
        """Say whether the phone can be made to hear something before the call is answered: it has said where and in which codec."""
        return self._phone is not None

    @property
    def port(self) -> MediaPort:
        """Return the port that faces the phone."""
        return self._side.port

    @property
    def dialog(self) -> PhoneDialog:
        """Return the dialog with the phone."""
        return self._side

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Let the phone and the one at another port hear each other."""
        self.port.join(port, codec)

    def _phone_told(self, event: CallEvent, now: float) -> None:
        if isinstance(event, End) and not self._finished:
            self._refuse(487, now)  # a BYE before the answer is allowed to the caller (RFC 3261 §15), and its INVITE still wants one
        self._tell(event, now)

    def handle(self, event: CallEvent, now: float) -> None:
        """Let the phone know what the far side did."""
        match event:
            case Ringing():
                self._provisional(180, now)
            case Progress(codec):
                self._progress(codec, now)
            case Answer(codec):
                self._answer(codec, now)
            case Refuse(why):
                self._refuse(STATUS_OF[why], now)
            case End():
                if self._finished:
                    self._side.hang_up(now)
                else:
                    self._refuse(480, now)
            case Digit():
                self._side.play_digit(event)
            case Offer() | Hold() | Resume() | Text() | Taken() | Arrivals() | Score() | Tie():
                pass  # the slots of a held call go on, so there is nothing to tell the phone; texts, probes and streams are in no call of a phone

    def _provisional(self, status: int, now: float, body: bytes = b"") -> None:
        if not self._finished:
            extra = (*dialog_fields(self._side.dialog.flow, self._invite), ("allow", ALLOW), *((SDP_TYPE,) if body else ()))
            self._context.layer.respond(self._invite, status, now, self._side.dialog.local_tag, extra, body)

    def _progress(self, codec: Codec, now: float) -> None:
        if self._phone is None:
            self._provisional(180, now)  # our offer could not be answered before the 200 without 100rel
            return
        self._early = (codec, self._side.media.answer(self._phone, codec))
        # The far phone is not picked up: its sound is heard here, nothing is sent there.
        self._side.start_sound(self._phone, codec, from_phone=False)
        self._provisional(183, now, self._early[1])

    def _answer(self, codec: Codec, now: float) -> None:
        self._finished = True
        if self._phone is None:
            self._side.codec = codec
            self._side.send_success(self._invite, self._side.media.offer((codec,)), now, (codec,))
            return
        # The answer in the 200 repeats the one in the 183 (RFC 3261 §13.2.1).
        body = self._early[1] if self._early and self._early[0] is codec else self._side.media.answer(self._phone, codec)
        self._side.start_sound(self._phone, codec)
        self._side.send_success(self._invite, body, now)

    def _refuse(self, status: int, now: float) -> None:
        if not self._finished:
            self._finished = True
            self._context.layer.respond(self._invite, status, now, self._side.dialog.local_tag)
            self._side.end()

    def cancelled(self, now: float) -> None:
        """Take the phone's CANCEL. It has no effect where the call was answered already (RFC 3261 §9.2)."""
        if not self._finished:
            self._refuse(487, now)
            self._tell(End(), now)


@unique
class _Stage(Enum):
    """Of a UacLeg, in order."""

    CALLING = "no answer of any kind yet"
    PROCEEDING = "a provisional answer came"
    ANSWERED = "picked up"
    ENDED = "over"


class UacLeg:
    """The leg of a phone that is called. caller: the From value, made from the petname only."""

    def __init__(self, context: LegContext, binding: Binding, caller: str, offer: Offer, tell: Tell, now: float) -> None:
        self._context, self._tell, self._codecs = context, tell, offer.codecs
        self._flow, self._binding, self._caller = binding.flow, binding, caller
        self._given_up: tuple[tuple[str, str], ...] | None = None
        self._acks: dict[str, bytes] = {}
        self._rang = self._progressed = False
        self._side: PhoneDialog | None = None
        self.user = binding.user
        self.forwards_to = ""
        """The Contact by which the phone sent the call elsewhere, once it has."""
        self._phone_port = context.media.open(self._flow.local_address)
        self._stand_in: tuple[Codec, MediaPort] | None = None
        self._media = our_media(context, binding.user, self._flow, self._phone_port)
        self._tag, self._call_id = context.identifiers.tag(), context.identifiers.call_id()
        self._asked: list[tuple[Codec, ...]] = []
        self._more: tuple[tuple[str, str], ...] = ()
        """Fields of the INVITE that a phone does not need: an answer to a challenge."""
        self._ask(offer.codecs, now)

    def _ask(self, codecs: tuple[Codec, ...], now: float) -> None:
        """Invite the phone with an offer; the second time under the next number. Spec: RFC 3261 §8.1.3.5."""
        self._stage = _Stage.CALLING
        self._asked.append(codecs)
        uri = self._binding.uri
        fields = (
            ("max-forwards", "70"),
            ("from", f"{self._caller};tag={self._tag}"),
            ("to", f"<{uri}>"),
            ("call-id", self._call_id),
            ("cseq", f"{len(self._asked)} INVITE"),
            our_contact(self._flow, uri),
            ("allow", ALLOW),
            *self._more,
            SDP_TYPE,
        )
        self._invite = self._context.layer.send_request(OutgoingRequest("INVITE", uri, fields, self._media.offer(codecs)), self._flow, self, now)

    @property
    def port(self) -> MediaPort:
        """Return the port that speaks the call's codec: the one that faces the phone, or what stands for it where sound is converted."""
        return self._phone_port if self._stand_in is None else self._stand_in[1]

    @property
    def flow(self) -> Flow:
        """Return how the phone is reached."""
        return self._flow

    @property
    def dialog(self) -> PhoneDialog | None:
        """Return the dialog with the phone, None before it answered."""
        return self._side

    def handle(self, event: CallEvent, now: float) -> None:
        """Let the phone know what the caller did."""
        if isinstance(event, End):
            self.give_up(now)
        elif isinstance(event, Digit) and self._side is not None:
            self._side.play_digit(event)

    def give_up(self, now: float, reason: tuple[tuple[str, str], ...] = ()) -> None:
        """End this leg: hang up where it was answered, else cancel. Nothing is told any more."""
        if self._given_up is not None:
            return
        self._given_up = reason
        if self._side is not None:
            self._side.hang_up(now)
        else:
            self._phone_port.close()
            if self._stage is _Stage.PROCEEDING:
                self._cancel(now)
            # In CALLING the CANCEL waits for the first provisional answer (RFC 3261 §9.1), or for Timer B.

    def _cancel(self, now: float) -> None:
        self._context.layer.cancel(self._invite, self._given_up or (), self, now)
        self._context.timers.set((self, LegTimer.CANCELLED), now + self._context.layer.timer_values.limit_s)

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Take that a cancelled INVITE was never answered finally: the phone is gone."""
        if timer is LegTimer.CANCELLED:
            self._context.layer.abandon(self._invite)

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        """Take a response to the INVITE; those to our CANCEL and BYE change nothing."""
        if transaction is not self._invite:
            return
        if response.status < 200:
            self._provisional(response, now)
        elif response.status < 300:
            self._success(response, now)
        else:
            self._context.timers.cancel((self, LegTimer.CANCELLED))
            if response.status in FORWARDS:
                self.forwards_to = response.headers.get("contact") or ""
            why = REFUSAL_OF.get(response.status, Refusal.NO_ANSWER)
            others = tuple(codec for codec in ALL_CODECS if codec not in self._codecs)
            if why is Refusal.NO_COMMON_CODEC and len(self._asked) == 1 and self._given_up is None and others and self._context.media.transcodes:
                self._ask(others, now)
                return
            self._refused(why, now)

    def no_response(self, transaction: Transaction, now: float) -> None:
        """Take that the phone does not answer at all."""
        if transaction is self._invite:
            self._refused(Refusal.NO_ANSWER, now)

    def _refused(self, why: Refusal, now: float) -> None:
        told = self._given_up is None and self._stage is not _Stage.ENDED
        self._stage = _Stage.ENDED
        if told:
            self._phone_port.close()
            self._tell(Refuse(why), now)

    def _provisional(self, response: SipResponse, now: float) -> None:
        if self._stage is _Stage.CALLING:
            self._stage = _Stage.PROCEEDING
            if self._given_up is not None:
                self._cancel(now)
        if self._given_up is not None or self._stage is not _Stage.PROCEEDING:
            return
        if response.body and response.status in {180, 183} and not self._progressed:
            try:
                phone, codec = self._read_answer(response)
                carried = self._carried(codec)
            except (SipError, HostError):
                return  # the 200 will have its own answer, or the call fails then
            self._progressed = True
            point_port(self._phone_port, self._media, phone, codec)
            self._phone_port.set_direction(to_phone=False, from_phone=True)
            self._tell(Progress(carried), now)
        elif response.status == 180 and not self._rang:
            self._rang = True
            self._tell(Ringing(), now)

    def _success(self, response: SipResponse, now: float) -> None:
        tag = response.to.tag
        if tag in self._acks:
            self._context.layer.transmit(self._flow, self._acks[tag])  # a repeated 2xx wants its ACK again (RFC 3261 §13.2.2.4)
            return
        if len(self._acks) >= MAX_ANSWERS:
            return
        self._context.timers.cancel((self, LegTimer.CANCELLED))
        assert self._invite.outgoing is not None
        try:
            dialog = dialog_of_response(self._invite.outgoing, self._tag, response, self._flow)
        except SipError:
            self._refused(Refusal.NO_ANSWER, now)
            return
        self._acks[tag] = self._context.layer.serialise_outside(dialog.request("ACK", cseq=response.cseq.number), self._flow)
        self._context.layer.transmit(self._flow, self._acks[tag])
        try:
            if self._given_up is not None or self._stage in {_Stage.ANSWERED, _Stage.ENDED}:
                raise SipError(487, "no longer wanted")
            phone, codec = self._read_answer(response)
            carried = self._carried(codec)
        except (SipError, HostError) as error:
            # A second phone behind the contact, an answer that crossed the CANCEL, or one that cannot be used.
            self._context.layer.send_request(dialog.request("BYE"), self._flow, self, now)
            if isinstance(error, HostError) or error.status != 487:
                self._refused(Refusal.NO_COMMON_CODEC, now)
            return
        self._stage = _Stage.ANSWERED
        self._side = PhoneDialog(self._context, dialog, self._phone_port, self._media, self._tell)
        self._side.start_sound(phone, codec)
        self._side.confirmed(now)
        self._tell(Answer(carried), now)

    def _read_answer(self, response: SipResponse) -> tuple[PhoneMedia, Codec]:
        phone = read_phone_media(response.body, response.headers.get("content-type"), self._flow.remote_address)
        self._media.protection(phone)
        return phone, choose_codec(self._asked[-1], phone)

    def _carried(self, codec: Codec) -> Codec:
        """Return the codec of the call where the phone speaks this one: the same, or the caller's best one, with a port that stands for the phone's. Raises HostError."""
        if codec in self._codecs:
            return codec
        carried = next(best for best in ALL_CODECS if best in self._codecs)
        if self._stand_in is None or self._stand_in[0] is not codec:
            self._stand_in = codec, self._context.media.transcode(self._phone_port, codec, carried)
        return carried
