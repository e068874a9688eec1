"""The box's SIP side without a socket: requests of phones, calls of the house and of the network, registrations. Pure: takes `now`.

 1. receive() takes octets of a flow; transactions are served, requests dispatched, calls made.
 2. Calls from the network come through ports.Network.on_call, posted so that they never run inside another event.
 3. poll() gives what to send; next_timer() and handle_timer() drive time. Contract: call one method, drain poll(), re-arm, repeat.
Who may do what: OPTIONS is answered to anybody; REGISTER, INVITE, MESSAGE and SUBSCRIBE need the digest of an account, but for calls that were taken (elsewhere.py); requests inside a dialog need its
identifiers, and come from the phone's address or carry its digest. Challenges are stateless. A call inside the house never touches ports.Network.
Spec: RFC 3261 §8.2, §9.2, §10.3, §11.2, §22; RFC 3265 §3.1.4 (489).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from voicebox.b2bua.announcement import Announcement, Speaker, no_emergency
from voicebox.b2bua.call import Call, CallState, CircuitParty, EchoParty, Seat, Side
from voicebox.b2bua.conference import Conference
from voicebox.b2bua.contact_texts import ContactTexts
from voicebox.b2bua.context import ALLOW, SUPPORTED, CallSettings, DialogUser, LegContext, Post, error_fields, same_address
from voicebox.b2bua.dialled import caller_address, dialled_name, is_name, local_address, phones_only, user_of
from voicebox.b2bua.elsewhere import ELSEWHERE, check_reached, check_taken, hosts_elsewhere
from voicebox.b2bua.events import Answer, CallEvent, End, Offer, Refusal, Refuse, Ringing
from voicebox.b2bua.fork import PhoneFork, Turn, places_of, turns_of
from voicebox.b2bua.leg import UasLeg
from voicebox.b2bua.messages import MailboxesOf, Messages
from voicebox.b2bua.phone_dialog import check_require
from voicebox.b2bua.ports import CircuitLeg, MediaPorts, Network
from voicebox.b2bua.registrar import Binding, Registrar, Registration
from voicebox.b2bua.texts import Done, Texts
from voicebox.b2bua.transfer import Transfers
from voicebox.b2bua.trunk import Trunk
from voicebox.b2bua.voicemail import KeptMessages, Machine
from voicebox.dialplan.model import (
    CallContact,
    CallTrunk,
    EmergencyCall,
    FarEcho,
    IncomingDecision,
    JoinConference,
    NoAnswer,
    OutgoingDecision,
    RefuseCall,
    RingPhones,
    VoicemailBox,
)
from voicebox.errors import HostError, SipError, UsageError
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account, DigestAlgorithm, DigestServer, GuessLimiter, Verdict, claimed_user
from voicebox.sip.flow import Flow
from voicebox.sip.headers import parse_name_addr
from voicebox.sip.identifiers import Identifiers
from voicebox.sip.message import SipRequest
from voicebox.sip.transaction import DropReason, Failed, LayerEvent, NewRequest, NewResponse, TimerValues, Transaction, TransactionLayer, Transmit
from voicebox.sip.uri import SipUri, parse_uri

MAX_AUTHORIZATIONS = 4
_INSIDE_ONLY = {"BYE", "INFO", "UPDATE", "PRACK"}
_COUNTED = {"INVITE", "REGISTER", "OPTIONS", "CANCEL", "BYE", "UPDATE", "INFO", "MESSAGE", "SUBSCRIBE"}
_EVENT_METHODS = {"SUBSCRIBE", "NOTIFY", "PUBLISH"}

Resolve = Callable[[str], OutgoingDecision]
"""What a dialled name or number means."""

Admit = Callable[[str], IncomingDecision]
"""What rings for a contact's call, by petname."""


@dataclass(frozen=True, slots=True)
class SwitchboardSettings:
    """What the box is called, and its limits. suffixes: the first is the one shown; hosts: names under which phones know the box."""

    realm: str = "voicebox"
    suffixes: tuple[str, ...] = ("privacy", "privacy.alt")
    hosts: frozenset[str] = frozenset()
    algorithms: tuple[DigestAlgorithm, ...] = (DigestAlgorithm.MD5,)
    """What users that there are not are challenged with: as those that there are, so that nobody learns which is which."""
    no_emergency: Announcement = field(default_factory=no_emergency)
    """What is said to whoever dials an emergency number."""
    calls: CallSettings = field(default_factory=CallSettings)
    timers: TimerValues = field(default_factory=TimerValues)


def _dtls_users(accounts: Iterable[Account]) -> frozenset[str]:
    return frozenset(account.user for account in accounts if account.dtls)


class Switchboard:
    """See the module's text. random_octets(n): the operating system's, or a seeded source in tests. missed(petname): a contact's call ended, and nobody had answered."""

    def __init__(
        self,
        accounts: list[Account],
        network: Network,
        media: MediaPorts,
        resolve: Resolve,
        admit: Admit,
        post: Post,
        random_octets: Callable[[int], bytes],
        settings: SwitchboardSettings | None = None,
        missed: Callable[[str], None] = lambda _petname: None,
    ) -> None:
        self.settings = settings or SwitchboardSettings()
        self.counters: Counter[str] = Counter()
        self.layer = TransactionLayer(Identifiers(random_octets), self.settings.timers)
        self._accounts = {account.user: account for account in accounts}
        dtls_users = _dtls_users(accounts)
        self.registrar = Registrar(self._accounts)
        self._resolve, self._admit, self._post = resolve, admit, post
        self._random_octets = random_octets
        self._digest = DigestServer(self.settings.realm, random_octets)
        self._guesses = GuessLimiter()
        self._nobody = Account("", tuple((each, Secret(b"")) for each in self.settings.algorithms))
        """As whom a user that there is not is challenged, by the same work as one that there is."""
        self._context = LegContext(self.layer, Identifiers(random_octets), media, post, self.settings.calls, dtls_users=dtls_users)
        self._hosts = self.settings.hosts | {self.settings.realm.lower(), "localhost"}
        self._uas_legs: dict[Transaction, UasLeg] = {}
        self._missed = missed
        self._callers: dict[Call, str] = {}
        self._calls: set[Call] = set()
        self._texts = Texts(self._context)
        self.contact_texts = ContactTexts(self._context, self._deliver_text, self._draw)
        self._messages = Messages(self._context, self.counters)
        self._conference = Conference(self._context)
        self.trunk = Trunk(self._context)
        self._transfers = Transfers(self._context, self._calls, self._turns_of_transfer, self._conference, self._is_conference, self._shown)
        self._context.forward = self._places_of_forward
        self._outbox: list[Transmit] = []
        self._proved: Transaction | None = None
        """The latest request whose sender has shown a password."""
        self.use(network, media)

    def use(self, network: Network, media: MediaPorts) -> None:
        """Make calls with these from now on. Contract: there is no call."""
        self._network, self._context.media = network, media
        self.contact_texts.use(network)
        network.on_call(self._accept_call)

    def use_messages(self, kept: KeptMessages | None, mailboxes_of: MailboxesOf, now: float) -> None:
        """Let contacts whom nobody answers leave messages there from now on; None: none are taken. mailboxes_of(user): which a phone plays and shows."""
        self._messages.use(kept, mailboxes_of, now)
        self._drain(now)

    def contact_changed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname, or, None, that nothing of him is wanted any more."""
        self.contact_texts.contact_changed(petname, to)
        for call in [call for call, caller in self._callers.items() if caller == petname]:
            if to is None:
                del self._callers[call]
            else:
                self._callers[call] = to

    def messages_changed(self, now: float) -> None:
        """Let phones show how many messages there are."""
        self._messages.changed(now)
        self._drain(now)

    def use_accounts(self, accounts: Iterable[Account], now: float) -> None:
        """Serve these phones from now on. One whose account is gone or another one is registered no more, rings no more, and its calls end."""
        before, self._accounts = self._accounts, {account.user: account for account in accounts}
        self._context.dtls_users = _dtls_users(self._accounts.values())
        gone = {user for user, account in before.items() if self._accounts.get(user) != account}
        self.registrar.use(before.keys() - gone)
        self.registrar.use(self._accounts)
        for call in list(self._calls):
            parties = list(call.parties.values())
            if any(party.user in gone for party in parties):
                call.hang_up(now)
            for party in parties:
                if isinstance(party, PhoneFork):
                    party.leave_out(gone, now)
            if call.taking is not None:
                call.taking.leave_out(gone, now)
        self._messages.end_of(gone, now)
        self._drain(now)

    @property
    def calls(self) -> int:
        """Return how many calls there are."""
        return len(self._calls)

    # ------------------------------------------------------------------------------------------------------- driving

    def receive(self, octets: bytes, flow: Flow, now: float) -> None:
        """Take a datagram or a frame of a stream."""
        self.layer.receive(octets, flow, now)
        self._drain(now)

    def run(self, function: Callable[[float], None], now: float) -> None:
        """Run what was posted."""
        function(now)
        self._drain(now)

    def flow_closed(self, flow: Flow, now: float) -> None:
        """Take that a connection is gone."""
        self.registrar.flow_closed(flow)
        self.trunk.flow_closed(flow, now)
        self.layer.flow_closed(flow, now)
        self._drain(now)

    def handle_timer(self, now: float) -> None:
        """Let what is due run."""
        self.layer.handle_timer(now)
        for owner, timer in self._context.timers.due(now):
            owner.timer_due(timer, now)
        self._drain(now)

    def next_timer(self) -> float | None:
        """Return when handle_timer is to be called, None for never."""
        deadlines = [deadline for deadline in (self.layer.next_timer(), self._context.timers.next()) if deadline is not None]
        return min(deadlines, default=None)

    def poll(self) -> list[Transmit]:
        """Take what is to be sent."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def hang_up_all(self, now: float) -> None:
        """End every call: the box stops."""
        for call in list(self._calls):
            call.hang_up(now)
        self.contact_texts.end_all(now)
        self._drain(now)

    def registrations(self, now: float) -> list[Registration]:
        """Return the live registrations."""
        return self.registrar.registrations(now)

    def totals(self) -> dict[str, int]:
        """Return totals since the start; none of them names anybody."""
        drops = {f"dropped_{reason.value}": count for reason, count in self.layer.drops.items()}
        return (
            dict(self.counters)
            | drops
            | {"malformed_answered": self.layer.malformed_answered, "transactions": len(self.layer), "calls": len(self._calls), "texts": len(self._texts)}
            | {"texts_kept": self.contact_texts.kept, "lines_of_texts": self.contact_texts.lines, "conference_parties": len(self._conference)}
        )

    def _drain(self, now: float) -> None:
        """Serve what the transactions have. A bug that one event meets costs no other: the first is raised when all are served, the others are counted."""
        bugs: list[Exception] = []
        while events := self.layer.poll():
            for event in events:
                try:
                    self._take(event, now)
                except Exception as bug:  # noqa: BLE001 - raised below
                    bugs.append(bug)
        if bugs:
            self.counters["bugs"] += len(bugs) - 1
            raise bugs[0]

    def _take(self, event: LayerEvent, now: float) -> None:
        match event:
            case Transmit():
                self._outbox.append(event)
            case NewRequest(transaction, request, flow):
                self._dispatch(transaction, request, flow, now)
            case NewResponse(transaction, response):
                if transaction.user is not None:
                    transaction.user.response_came(transaction, response, now)
            case Failed(transaction):
                if transaction.user is not None:
                    transaction.user.no_response(transaction, now)

    # --------------------------------------------------------------------------------------------- requests of phones

    def _dispatch(self, transaction: Transaction | None, request: SipRequest, flow: Flow, now: float) -> None:
        if transaction is None:
            dialog = self._dialog_of(request)
            if dialog is not None and same_address(dialog, flow):
                dialog.ack_came(request, now)
            else:
                self.layer.drops[DropReason.STRAY_ACK] += 1
            return
        self.counters[f"requests_{request.method.lower()}" if request.method in _COUNTED else "requests_other"] += 1
        try:
            self._serve_or_refuse(transaction, request, flow, now)
        except Exception:
            self._give_up(transaction, now)
            raise

    def _give_up(self, transaction: Transaction, now: float) -> None:
        """Answer a request that met a bug, so that its transaction ends, and end the call that it began. What was answered already stays so. Spec: RFC 3261 §21.5.1."""
        leg = self._uas_legs.get(transaction)
        self.layer.respond(transaction, 500, now, self._context.identifiers.tag() if leg is None else leg.dialog.dialog.local_tag)
        for call in [call for call in self._calls if leg is not None and leg in call.parties.values()]:
            call.hang_up(now)

    def _serve_or_refuse(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        try:
            self._serve(transaction, request, flow, now)
        except SipError as error:
            extra = error_fields(error)
            if error.status == 420:
                extra = (("unsupported", ", ".join(sorted(check_require(request)))),)
            if transaction is self._proved:
                self.layer.respond(transaction, error.status, now, self._context.identifiers.tag(), extra)
            else:
                self.layer.respond_without_state(transaction, error.status, extra)
        except HostError:
            self.counters["no_media_port"] += 1
            self.layer.respond(transaction, 503, now, self._context.identifiers.tag(), error_fields(SipError(503, "")))

    def _serve(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        if request.method == "CANCEL":
            self._cancel(transaction, request, now)
            return
        if parse_uri(request.uri).scheme != "sip" and not flow.private:
            raise SipError(416, "sips is for TLS")  # RFC 5630 §4
        if check_require(request):
            raise SipError(420, "an extension is required that is not spoken here")
        if request.to.tag:
            dialog = self._dialog_of(request)
            if dialog is None:
                raise SipError(481, "no such dialog")
            if same_address(dialog, flow) or self._authenticate(transaction, request, flow, now) is not None:
                dialog.request_came(transaction, request, flow, now)
            return
        check_taken(flow.taken, request.method)
        match request.method:
            case "OPTIONS":
                fields = (("allow", ALLOW + ", REGISTER"), ("accept", "application/sdp"), ("supported", SUPPORTED))
                self.layer.respond_without_state(transaction, 200, fields)
            case "REGISTER":
                account = self._authenticate(transaction, request, flow, now)
                if account is not None:
                    contacts = self.registrar.register(request, account, flow, now)
                    self.layer.respond(transaction, 200, now, self._context.identifiers.tag(), contacts)
                    self.contact_texts.try_again(now)
            case "INVITE":
                self._invite(transaction, request, flow, now)
            case "MESSAGE":
                self._text(transaction, request, flow, now)
            case method if method in _EVENT_METHODS:
                self._event(transaction, request, flow, now)
            case method if method in _INSIDE_ONLY:
                raise SipError(481, "no such dialog")
            case "REFER":
                raise SipError(405, "not served here")
            case _:
                raise SipError(501, "unknown method")

    def _event(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        if request.method != "SUBSCRIBE" or not self._messages.are_taken:
            raise SipError(489, "no events here")  # anything else makes phones ask again for ever
        account = self._authenticate(transaction, request, flow, now)
        if account is not None:
            self._messages.subscribe(transaction, request, account.user, flow, now)

    def _dialog_of(self, request: SipRequest) -> DialogUser | None:
        return self._context.dialogs.get((request.call_id, request.to.tag, request.from_.tag))

    def _cancel(self, transaction: Transaction, request: SipRequest, now: float) -> None:
        invite = self.layer.invite_of(request)
        if invite is None:
            raise SipError(481, "nothing to cancel")
        self.layer.respond(transaction, 200, now, self._context.identifiers.tag())
        leg = self._uas_legs.get(invite)
        if leg is not None:
            leg.cancelled(now)

    def _authenticate(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> Account | None:
        """Return the account whose digest the request carries; else None, with the challenge sent. Raises SipError(403) for a banned source, a trunk's provider, and what was taken."""
        if self.trunk.flow == flow or flow.taken is not None:
            raise SipError(403, "nobody is called from there, and no password tried")
        verdict = Verdict.MISSING
        for authorization in request.headers.all("authorization")[:MAX_AUTHORIZATIONS]:
            user = claimed_user(authorization) or ""
            if self._guesses.banned(flow.remote_address, now):
                self.counters["guesses_banned"] += 1
                raise SipError(403, "too many wrong passwords")
            account = self._accounts.get(user)
            verdict = self._digest.verify(authorization, request.method, account, now, flow.remote_address)
            if verdict is Verdict.GOOD and account is not None:
                if not account.clear and not flow.private:
                    self.counters["refused_in_the_clear"] += 1
                    raise SipError(403, "this phone is to speak over TLS only")
                self._proved = transaction
                return account
            if verdict is Verdict.WRONG:
                self.counters["wrong_passwords"] += 1
                self._guesses.failed(flow.remote_address, now)
        named = self._accounts.get(user_of(request), self._nobody)
        stale = verdict is Verdict.STALE
        challenges = [self._digest.challenge(each, now, flow.remote_address, stale=stale) for each in named.algorithms]
        self.layer.respond_without_state(transaction, 401, tuple(("www-authenticate", challenge) for challenge in challenges))
        return None

    # ----------------------------------------------------------------------------------------------------------- calls

    def _invite(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        merge_key = (request.call_id, request.from_.tag, request.cseq.number)
        if any(leg.merge_key == merge_key for leg in self._uas_legs.values()):
            raise SipError(482, "the same call came twice")  # RFC 3261 §8.2.2.2
        account = self._authenticate(transaction, request, flow, now) if flow.taken is None else ELSEWHERE
        if account is None:
            return
        self.layer.respond(transaction, 100, now)
        if (request.headers.get("max-forwards") or "70").strip("0 ") == "":
            raise SipError(483, "no hops left")
        decision = self._decide(parse_uri(request.uri), flow)
        begun = sum(leg.user == account.user and not leg.dialog.over for leg in self._uas_legs.values())
        if len(self._calls) >= self.settings.calls.max_calls or begun >= self.settings.calls.max_calls_of_user:
            raise SipError(503, "too many calls")
        self._place_call(transaction, request, flow, account, decision, now)

    def _decide(self, uri: SipUri, flow: Flow) -> OutgoingDecision:
        """Return what a phone dialled. Raises SipError where it is refused."""
        hosts = self._hosts | {flow.local_address} if flow.taken is None else hosts_elsewhere(uri, self.settings.suffixes)
        decision = self._resolve(dialled_name(uri, self.settings.suffixes, hosts))
        if isinstance(decision, CallTrunk) and (not self.trunk.is_set or is_name(uri, self.settings.suffixes)):
            raise SipError(404, "no trunk, or what was dialled is a name of the network")
        if isinstance(decision, RefuseCall):
            raise SipError(decision.status, "refused by the dial plan")
        if flow.taken is not None:
            check_reached(decision)
        if isinstance(decision, VoicemailBox) and not self._messages.are_taken:
            raise SipError(404, "no messages are taken here")
        return decision

    def _place_call(self, transaction: Transaction, request: SipRequest, flow: Flow, account: Account, decision: OutgoingDecision, now: float) -> None:
        seat = Seat()
        leg = UasLeg(self._context, transaction, request, flow, account.user, seat.tell)
        call = Call(self._context, leg.offer, self._call_ended)
        call.sit(Side.CALLER, leg, seat)
        self._calls.add(call)
        self._uas_legs[transaction] = leg
        match decision:
            case CallContact(petname):
                self.counters["calls_out"] += 1
                self.contact_texts.make_room(now)
                self._reach_contact(call, petname, leg.offer, now)
            case FarEcho(petnames):
                self.counters["calls_far_echo"] += 1
                self.contact_texts.make_room(now)
                petname = petnames[int(self._draw(0, len(petnames)))]
                self._reach_contact(call, petname, Offer(leg.offer.codecs[:1], probe=True, echo=True), now)
            case RingPhones():
                self.counters["calls_local"] += 1
                self._reach_phones(call, self._turns(decision, flow, now), self._shown(account.user), leg.offer, now, discreet=False)
            case EmergencyCall():
                self.counters["calls_emergency"] += 1
                self._announce(call, self.settings.no_emergency, Refusal.EMERGENCY, leg, now)
            case CallTrunk(number):
                self.counters["calls_trunk"] += 1
                self.trunk.place(call, number, leg.offer if leg.hears_early else None, now)
            case JoinConference():
                self.counters["calls_conference"] += 1
                self._conference.answer(call, leg.offer, now)
            case VoicemailBox():
                self.counters["calls_voicemail"] += 1
                self._messages.play(call, account.user, leg.offer, now)
            case _:
                self.counters["calls_echo"] += 1
                echo_seat = Seat()
                call.sit(Side.CALLEE, EchoParty(echo_seat.tell), echo_seat)
                echo_seat.tell(Answer(leg.offer.codecs[0]), now)

    def _announce(self, call: Call, announcement: Announcement, why: Refusal, leg: UasLeg, now: float) -> None:
        """Say why the call is refused, then refuse it: as early media, so that nobody takes it for answered (RFC 3960 §3)."""
        seat = Seat()
        speaker = Speaker(self._context, seat.tell, announcement, why)
        call.sit(Side.CALLEE, speaker, seat)
        speaker.begin(leg.offer if leg.hears_early else None, now)

    def _reach_contact(self, call: Call, petname: str, offer: Offer, now: float) -> None:
        try:
            circuit = self._network.call(petname, offer, lambda event: self._post(lambda when: self._far_event(call, Side.CALLEE, event, when)))
        except UsageError:
            call.tell(Side.CALLEE, Refuse(Refusal.UNREACHABLE), now)
            return
        call.parties[Side.CALLEE] = CircuitParty(circuit)
        call.started(now)

    def _reach_phones(
        self,
        call: Call,
        turns: tuple[Turn, ...],
        caller: str,
        offer: Offer,
        now: float,
        *,
        discreet: bool,
        unanswered: Callable[[float], None] | None = None,
    ) -> None:
        """Ring phones. unanswered(now): what happens where they refuse; None: the caller is told."""
        seat = Seat()

        def told(event: CallEvent, when: float) -> None:
            if unanswered is not None and isinstance(event, Refuse):
                unanswered(when)
            else:
                seat.tell(event, when)

        fork = PhoneFork(self._context, told, discreet=discreet)
        call.sit(Side.CALLEE, fork, seat)
        call.started(now)
        fork.start(turns, caller, offer, now)

    def _turns(self, ring: RingPhones, caller: Flow | None, now: float) -> tuple[Turn, ...]:
        """Return who rings when. caller: where the calling phone is, which does not ring itself."""

        def bindings(users: Iterable[str]) -> list[Binding]:
            return [binding for binding in self.registrar.bindings(now, users) if binding.flow != caller]

        return turns_of(ring, bindings, self._context.identifiers.reference)

    def _turns_of_transfer(self, uri: SipUri, dialog: DialogUser, now: float) -> tuple[Turn, ...]:
        decision = phones_only(self._decide(uri, dialog.dialog.flow), "calls are transferred to phones of the house only")
        return self._turns(decision, dialog.dialog.flow, now)

    def _is_conference(self, uri: SipUri, dialog: DialogUser) -> bool:
        try:
            return isinstance(self._decide(uri, dialog.dialog.flow), JoinConference)
        except SipError:
            return False

    def _places_of_forward(self, contact: str, flow: Flow, now: float) -> list[Binding]:
        """Return where the phones of the house are to which one of them sends a call; what leads elsewhere is nowhere."""
        try:
            decision = self._decide(parse_uri(parse_name_addr(contact).uri), flow)
        except SipError:
            return []
        return places_of(self._turns(decision, flow, now)) if isinstance(decision, RingPhones) else []

    def _shown(self, user: str) -> str:
        return local_address(user, self.settings.realm)

    def _text(self, transaction: Transaction, request: SipRequest, flow: Flow, now: float) -> None:
        account = self._authenticate(transaction, request, flow, now)
        if account is None:
            return
        decision = self._decide(parse_uri(request.uri), flow)
        if isinstance(decision, CallContact):
            self.contact_texts.send(transaction, request, decision.petname, now)
            return
        decision = phones_only(decision, "texts go to phones of the house, and to contacts")
        self._texts.send(transaction, request, places_of(self._turns(decision, flow, now)), self._shown(account.user), now)

    def _deliver_text(self, petname: str, text: bytes, done: Done, now: float) -> None:
        """Hand a contact's text to the phones that ring for the contact now."""
        decision = self._admit(petname)
        turns = () if isinstance(decision, NoAnswer) else self._turns(decision, None, now)
        self._texts.deliver(text, places_of(turns), caller_address(petname, self.settings.suffixes[0]), done, now)

    def _draw(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(self._random_octets(4), "big") / 2**32

    # -------------------------------------------------------------------------------------------- calls of the network

    def _accept_call(self, petname: str, offer: Offer, circuit: CircuitLeg) -> Callable[[CallEvent], None]:
        if not offer.codecs:
            return self.contact_texts.accept(petname, circuit)
        call = Call(self._context, offer, self._call_ended)
        call.parties[Side.CALLER] = CircuitParty(circuit)
        self._post(lambda now: self._ring_phones(call, petname, offer, now))
        return lambda event: self._post(lambda now: self._far_event(call, Side.CALLER, event, now))

    def _ring_phones(self, call: Call, petname: str, offer: Offer, now: float) -> None:
        if call.state is CallState.ENDED:
            return
        full = len(self._calls) >= self.settings.calls.max_calls
        self._calls.add(call)
        self._callers[call] = petname
        self.counters["calls_in"] += 1
        if full:
            call.tell(Side.CALLEE, Refuse(Refusal.BUSY), now)
            return
        decision = self._admit(petname)
        turns = (Turn((), decision.after_s),) if isinstance(decision, NoAnswer) else self._turns(decision, None, now)
        # It rings as soon as the box knows of the call, whatever its phones do: when they do it, and whether, is nobody's business.
        call.tell(Side.CALLEE, Ringing(), now)
        box, unanswered = decision.mailbox, None
        if box is not None and self._messages.has_room(box, petname):
            unanswered = partial(self._messages.answer, call, box, lambda: self._callers.get(call), offer)
        self._reach_phones(call, turns, caller_address(petname, self.settings.suffixes[0]), offer, now, discreet=True, unanswered=unanswered)

    def _far_event(self, call: Call, side: Side, event: CallEvent, now: float) -> None:
        # The far box may end a call that broke on its side with End where it is the callee and has not answered: a refusal to the phone.
        if side is Side.CALLEE and isinstance(event, End) and call.state is not CallState.TALKING:
            event = Refuse(Refusal.NO_ANSWER)
        call.tell(side, event, now)

    def _call_ended(self, call: Call) -> None:
        self._calls.discard(call)
        petname = self._callers.pop(call, None)
        if petname is not None and (not call.answered or isinstance(call.parties.get(Side.CALLEE), Machine)):
            self._missed(petname)
        if call.broken:
            self.counters["calls_broken"] += 1
        gone = [transaction for transaction, leg in self._uas_legs.items() if leg in call.parties.values() or leg.dialog.over]
        for transaction in gone:
            del self._uas_legs[transaction]
