"""A trunk: calls to ordinary telephone numbers, over a SIP provider whom the owner names. Outside of all that protects a call here. Pure: takes `now`.

    a phone dials     Progress -> a voice says that the call is not protected, each time -> the provider is called -> its Progress, Answer, Refuse, End

The provider learns the owner's account and address, who is called, when, how long, and hears every word; so does whoever it hands the call on to. Nothing of this is known to
circuits. Who calls from there is refused. NOT here: what is dialled over it (the dial plan; never names of contacts, never emergency numbers), its socket (server.py).
Spec: RFC 3261 §10.2, §22; RFC 8760. Departures: one server, found by its address record alone (no RFC 3263); early sound and the answer in the one codec of the notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.b2bua.announcement import LAST_FRAME_S, Announcement, recording
from voicebox.b2bua.call import Call, Seat, Side
from voicebox.b2bua.context import ALLOW, DialogUser, LegContext, LegTimer, our_contact
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Offer, Progress, Refusal, Refuse, Ringing
from voicebox.b2bua.leg import UacLeg
from voicebox.b2bua.phone_dialog import Tell
from voicebox.b2bua.ports import MediaPort
from voicebox.b2bua.registrar import Binding
from voicebox.b2bua.voicemail import G711
from voicebox.errors import HostError, SipError
from voicebox.sensitive import Secret
from voicebox.sip.auth import CHALLENGES, digest_answer, says_stale
from voicebox.sip.flow import Flow
from voicebox.sip.headers import parse_seconds
from voicebox.sip.message import SipResponse
from voicebox.sip.transaction import OutgoingRequest, Transaction

EXPIRES_S, AGAIN_S = 600, 60.0
"""What is asked for, and how long after a failure it is tried again."""
RENEW_SHARE = 0.8
MAX_CHALLENGES = 2
"""One of the server, and one that says that its nonce was stale."""


@unique
class TrunkState(Enum):
    """For the owner's status."""

    IDLE = "idle"
    """No connection; one is made for the next call."""
    CONNECTED = "connected"
    REGISTERED = "registered"
    REFUSED = "refused"
    """The provider does not take the account."""


@dataclass(frozen=True, slots=True)
class TrunkAccount:
    """The owner's account at a provider. domain: of its URIs; registers: whether the provider wants to know where the box is before it takes calls."""

    domain: str = field(repr=False)
    user: str = field(repr=False)
    password: Secret
    registers: bool = False

    @property
    def uri(self) -> str:
        """Return the Request-URI of what is meant for the provider itself."""
        return f"sip:{self.domain}"

    @property
    def address(self) -> str:
        """Return the From value of what is sent to the provider."""
        return f"<sip:{self.user}@{self.domain}>"


class Credentials:
    """Answers a provider's challenges, each request anew. Contract: one for each request that may be challenged."""

    def __init__(self, context: LegContext, account: TrunkAccount) -> None:
        self._context, self._account = context, account
        self._challenges = 0

    def answer(self, response: SipResponse, method: str, uri: str) -> tuple[str, str] | None:
        """Return the field that answers a challenge; None where there is none that can be, or where the last answer was not taken."""
        if response.status not in CHALLENGES or self._challenges == MAX_CHALLENGES:
            return None
        asks, answers = CHALLENGES[response.status]
        texts = response.headers.all(asks)
        if self._challenges and not any(says_stale(text) for text in texts):
            return None
        self._challenges += 1
        try:
            return answers, digest_answer(texts, self._account.user, self._account.password, method, uri, self._context.identifiers.tag())
        except SipError:
            return None


class Trunk:
    """The trunk of a box: to one provider, or to none before use(). Contract: place() only where is_set."""

    def __init__(self, context: LegContext) -> None:
        self.flow: Flow | None = None
        self._context = context
        self._account: TrunkAccount | None = None
        self._state = TrunkState.IDLE
        self._connect: Callable[[], None] = lambda: None
        self._register: Transaction | None = None
        self._credentials: Credentials | None = None
        self._call_id, self._tag, self._cseq = context.identifiers.call_id(), context.identifiers.tag(), 0

    def use(self, account: TrunkAccount | None, connect: Callable[[], None]) -> None:
        """Call over this account from now on; None: over none. connect(): asked for a flow to the provider, which comes by connected(), or failed() does."""
        self._context.timers.cancel((self, LegTimer.TRUNK))
        self._account, self._connect = account, connect
        self._lose_flow()
        if account is not None and account.registers:
            self.want()

    @property
    def is_set(self) -> bool:
        """Say whether there is a provider."""
        return self._account is not None

    @property
    def state(self) -> TrunkState | None:
        """Return how it stands, None where there is none."""
        return self._state if self.is_set else None

    def place(self, call: Call, number: str, offer: Offer | None, now: float) -> None:
        """Give a phone's call to a number. offer: of a phone that can be told before it is answered, else None."""
        assert self._account is not None
        seat = Seat()
        party = TrunkParty(self._context, self, self._account, number, seat.tell)
        call.sit(Side.CALLEE, party, seat)
        call.started(now)
        party.begin(offer, now)

    def want(self) -> None:
        """See to it that there is a flow soon."""
        if self.flow is None:
            self._connect()

    def connected(self, flow: Flow, now: float) -> None:
        """Take the flow that was asked for."""
        self.flow, self._state = flow, TrunkState.CONNECTED
        self._say_register(now)

    def failed(self, now: float) -> None:
        """Take that there is none to be had, or no longer."""
        self._lose_flow()
        if self._account is not None and self._account.registers:
            self._context.timers.set((self, LegTimer.TRUNK), now + AGAIN_S)

    def _lose_flow(self) -> None:
        """Have no flow, and so no REGISTER that is waited for."""
        self.flow, self._register, self._state = None, None, TrunkState.IDLE

    def flow_closed(self, flow: Flow, now: float) -> None:
        """Take that a connection is gone."""
        if self.flow == flow:
            self.failed(now)

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Register again, or try to connect."""
        self.want()
        self._say_register(now)

    def _say_register(self, now: float, authorization: tuple[str, str] | None = None) -> None:
        account = self._account
        if self.flow is None or account is None or not account.registers:
            return
        if authorization is None or self._credentials is None:
            self._credentials = Credentials(self._context, account)
        self._cseq += 1
        fields = (
            ("max-forwards", "70"),
            ("from", f"{account.address};tag={self._tag}"),
            ("to", account.address),
            ("call-id", self._call_id),
            ("cseq", f"{self._cseq} REGISTER"),
            our_contact(self.flow),
            ("expires", str(EXPIRES_S)),
            ("allow", ALLOW),
            *((authorization,) if authorization is not None else ()),
        )
        self._register = self._context.layer.send_request(OutgoingRequest("REGISTER", account.uri, fields, b""), self.flow, self, now)

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        """Take what the provider says to a REGISTER."""
        if transaction is not self._register or response.status < 200 or self._credentials is None or self._account is None:
            return
        authorization = self._credentials.answer(response, "REGISTER", self._account.uri)
        if authorization is not None:
            self._say_register(now, authorization)
            return
        taken = response.status < 300
        self._state = TrunkState.REGISTERED if taken else TrunkState.REFUSED
        wait_s = RENEW_SHARE * _expires_of(response) if taken else AGAIN_S
        self._context.timers.set((self, LegTimer.TRUNK), now + max(wait_s, AGAIN_S / 2))

    def no_response(self, transaction: Transaction, now: float) -> None:
        """Take that the provider is silent."""
        if transaction is self._register:
            self._state = TrunkState.CONNECTED
            self._context.timers.set((self, LegTimer.TRUNK), now + AGAIN_S)


def _expires_of(response: SipResponse) -> int:
    """Return for how long a provider keeps a registration: what it says, at most what was asked for."""
    text = response.headers.get("expires")
    try:
        return EXPIRES_S if text is None else min(parse_seconds(text, "Expires"), EXPIRES_S)
    except SipError:
        return EXPIRES_S


class TrunkLeg(UacLeg):
    """The leg of the provider: a phone that is called, and asks for a password. Raises HostError from the constructor."""

    def __init__(self, context: LegContext, account: TrunkAccount, flow: Flow, number: str, offer: Offer, tell: Tell, now: float) -> None:
        self._credentials = Credentials(context, account)
        binding = Binding("", f"sip:{number}@{account.domain}", flow, 0.0, "", 0)
        super().__init__(context, binding, account.address, offer, tell, now)

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        """Answer a challenge; all else is as at a phone."""
        if transaction is self._invite and response.status in CHALLENGES and self._given_up is None:
            authorization = self._credentials.answer(response, "INVITE", self._binding.uri)
            if authorization is not None:
                self._more = (authorization,)
                self._ask(self._asked[-1], now)
                return
        super().response_came(transaction, response, now)


class TrunkParty:
    """The side of a call that is an ordinary telephone. Call begin() once tell may be called."""

    port: MediaPort | None = None
    dialog: DialogUser | None = None
    user = ""

    def __init__(self, context: LegContext, trunk: Trunk, account: TrunkAccount, number: str, tell: Tell) -> None:
        self._context, self._trunk, self._account, self._number, self._tell = context, trunk, account, number, tell
        self._notice, self._ringing = recording("not_protected", G711), recording("tone", G711)
        self._codec = Codec.PCMA
        self._phone: MediaPort | None = None
        self._leg: TrunkLeg | None = None
        self._is_heard = self._over = False

    def begin(self, offer: Offer | None, now: float) -> None:
        """Say that the call is not protected, then make it. None: the phone cannot be told before it is answered, and gets no such call."""
        codec = self._notice.codec_for(offer) if offer is not None else None
        if codec is None:
            self._tell(Refuse(Refusal.NO_COMMON_CODEC), now)
            return
        self._codec = codec
        self._trunk.want()
        self._context.timers.set((self, LegTimer.SPOKEN), now + self._notice.seconds + LAST_FRAME_S)
        self._tell(Progress(codec), now)

    def connect(self, port: MediaPort, codec: Codec) -> None:  # noqa: ARG002  # the shape of every Party
        """Take the phone's port: it hears the notice, and from the provider's first sound on the provider."""
        self._phone = port
        if self._leg is None:
            self._play(self._notice)
        else:
            self._hear()

    def _play(self, announcement: Announcement) -> None:
        if self._phone is not None:
            announcement.play(self._phone, self._codec)

    def _hear(self) -> None:
        if self._phone is not None and self._leg is not None:
            self._is_heard = True
            self._phone.join(self._leg.port, self._codec)

    def handle(self, event: CallEvent, now: float) -> None:
        """Let the provider know what the phone did."""
        if isinstance(event, End):
            self._over = True
            self._context.timers.cancel((self, LegTimer.SPOKEN))
        if self._leg is not None and isinstance(event, End | Digit):
            self._leg.handle(event, now)

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Call: the phone has been told."""
        flow = self._trunk.flow
        if self._over:
            return
        if flow is None:
            self._tell(Refuse(Refusal.UNREACHABLE), now)
            return
        try:
            self._leg = TrunkLeg(self._context, self._account, flow, self._number, Offer((self._codec,)), self._told, now)
        except HostError:
            self._tell(Refuse(Refusal.UNREACHABLE), now)

    def _told(self, event: CallEvent, now: float) -> None:
        if self._over:
            return
        match event:
            case Ringing():
                if not self._is_heard:
                    self._play(self._ringing)
            case Progress():
                self._hear()
            case Answer() | Refuse() | End() | Digit():
                self._over = isinstance(event, Refuse | End)
                self._tell(event, now)
            case _:
                pass  # a provider that holds is silent, and no more
