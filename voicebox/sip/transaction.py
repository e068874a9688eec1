"""SIP transactions: retransmission, absorption of retransmissions, time-outs. Pure: takes `now` in seconds.

 1. receive() parses octets; a malformed request is answered or dropped, and counted.
 2. A request opens a server transaction and comes out as NewRequest; its user answers with respond(). Retransmissions are absorbed.
 3. send_request() opens a client transaction; responses come out as NewResponse, time-outs and broken flows as Failed.
 4. Everything to send comes out as Transmit. Contract: call one method, drain poll(), re-arm the timer from next_timer(), repeat.

The transitions are the table _TRANSITIONS; an input that has no entry in a state is absorbed. States end in TERMINATED.
The 2xx of an INVITE and its ACK belong to the user (b2bua/leg.py), as RFC 3261 §13 wants it.
Spec: RFC 3261 §17, RFC 6026 (ACCEPTED, timers L and M), RFC 3581. Departure: no Timer C; whoever sends an INVITE limits its ringing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum, unique
from typing import Protocol

from voicebox.sip.flow import Flow
from voicebox.sip.headers import Via, serialise_via
from voicebox.sip.identifiers import Identifiers
from voicebox.sip.message import MAGIC_COOKIE, Malformed, SipRequest, SipResponse, echo_of, parse_message, serialise_request, serialise_response, with_source
from voicebox.sip.timers import Timers

DEFAULT_PORT = 5060


@dataclass(frozen=True, slots=True)
class TimerValues:
    """RFC 3261 Table 4, in seconds."""

    t1_s: float = 0.5
    t2_s: float = 4.0
    t4_s: float = 5.0

    @property
    def limit_s(self) -> float:
        """Return 64*T1: how long anything is waited for."""
        return 64 * self.t1_s


@unique
class DropReason(Enum):
    """Why octets were dropped without an answer."""

    MALFORMED = "malformed"
    KEEP_ALIVE = "keep_alive"
    STRAY_RESPONSE = "stray_response"
    STRAY_ACK = "stray_ack"
    TOO_MANY_TRANSACTIONS = "too_many_transactions"


@unique
class Kind(Enum):
    """The four machines of RFC 3261 §17."""

    INVITE_CLIENT = "invite client"
    CLIENT = "client"
    INVITE_SERVER = "invite server"
    SERVER = "server"


@unique
class State(Enum):
    """In the order in which a transaction goes through them."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


@unique
class Input(Enum):
    """What can happen to a transaction. Single letters are the timers of RFC 3261 and RFC 6026."""

    REQUEST = "request again"
    ACK = "ack"
    PROVISIONAL = "1xx came"
    SUCCESS = "2xx came"
    FAILURE = "3xx-6xx came"
    SAY_PROVISIONAL = "user says 1xx"
    SAY_SUCCESS = "user says 2xx"
    SAY_FAILURE = "user says 3xx-6xx"
    BROKEN = "flow is gone"
    A = "A"
    B = "B"
    D = "D"
    E = "E"
    F = "F"
    G = "G"
    H = "H"
    I = "I"  # noqa: E741  # the timer's name in the standard
    J = "J"
    K = "K"
    L = "L"
    M = "M"


@unique
class Action(Enum):
    """What a transition does."""

    SEND = "send the request again"
    ACKNOWLEDGE = "send ACK"
    REPLY = "send the user's response"
    REPEAT = "send the last response again"
    PASS = "hand the response to the user"  # noqa: S105  # no password
    FAIL = "tell the user that there was no answer"


_IC, _C, _IS, _S = Kind.INVITE_CLIENT, Kind.CLIENT, Kind.INVITE_SERVER, Kind.SERVER
_TRANSITIONS: dict[tuple[Kind, State, Input], tuple[State, tuple[Action, ...]]] = {
    (_IC, State.CALLING, Input.A): (State.CALLING, (Action.SEND,)),
    (_IC, State.CALLING, Input.B): (State.TERMINATED, (Action.FAIL,)),
    (_IC, State.CALLING, Input.BROKEN): (State.TERMINATED, (Action.FAIL,)),
    (_IC, State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (_IC, State.CALLING, Input.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
    (_IC, State.CALLING, Input.FAILURE): (State.COMPLETED, (Action.ACKNOWLEDGE, Action.PASS)),
    (_IC, State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (_IC, State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
    (_IC, State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Action.ACKNOWLEDGE, Action.PASS)),
    (_IC, State.PROCEEDING, Input.BROKEN): (State.TERMINATED, (Action.FAIL,)),
    (_IC, State.COMPLETED, Input.FAILURE): (State.COMPLETED, (Action.ACKNOWLEDGE,)),
    (_IC, State.COMPLETED, Input.D): (State.TERMINATED, ()),
    (_IC, State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
    (_IC, State.ACCEPTED, Input.M): (State.TERMINATED, ()),
    (_C, State.TRYING, Input.E): (State.TRYING, (Action.SEND,)),
    (_C, State.TRYING, Input.F): (State.TERMINATED, (Action.FAIL,)),
    (_C, State.TRYING, Input.BROKEN): (State.TERMINATED, (Action.FAIL,)),
    (_C, State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (_C, State.TRYING, Input.SUCCESS): (State.COMPLETED, (Action.PASS,)),
    (_C, State.TRYING, Input.FAILURE): (State.COMPLETED, (Action.PASS,)),
    (_C, State.PROCEEDING, Input.E): (State.PROCEEDING, (Action.SEND,)),
    (_C, State.PROCEEDING, Input.F): (State.TERMINATED, (Action.FAIL,)),
    (_C, State.PROCEEDING, Input.BROKEN): (State.TERMINATED, (Action.FAIL,)),
    (_C, State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (_C, State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (Action.PASS,)),
    (_C, State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Action.PASS,)),
    (_C, State.COMPLETED, Input.K): (State.TERMINATED, ()),
    (_IS, State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Action.REPEAT,)),
    (_IS, State.PROCEEDING, Input.SAY_PROVISIONAL): (State.PROCEEDING, (Action.REPLY,)),
    (_IS, State.PROCEEDING, Input.SAY_SUCCESS): (State.ACCEPTED, (Action.REPLY,)),
    (_IS, State.PROCEEDING, Input.SAY_FAILURE): (State.COMPLETED, (Action.REPLY,)),
    (_IS, State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Action.REPEAT,)),
    (_IS, State.COMPLETED, Input.G): (State.COMPLETED, (Action.REPEAT,)),
    (_IS, State.COMPLETED, Input.H): (State.TERMINATED, ()),
    (_IS, State.COMPLETED, Input.ACK): (State.CONFIRMED, ()),
    (_IS, State.CONFIRMED, Input.I): (State.TERMINATED, ()),
    (_IS, State.ACCEPTED, Input.SAY_SUCCESS): (State.ACCEPTED, (Action.REPLY,)),
    (_IS, State.ACCEPTED, Input.L): (State.TERMINATED, ()),
    (_S, State.TRYING, Input.SAY_PROVISIONAL): (State.PROCEEDING, (Action.REPLY,)),
    (_S, State.TRYING, Input.SAY_SUCCESS): (State.COMPLETED, (Action.REPLY,)),
    (_S, State.TRYING, Input.SAY_FAILURE): (State.COMPLETED, (Action.REPLY,)),
    (_S, State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Action.REPEAT,)),
    (_S, State.PROCEEDING, Input.SAY_PROVISIONAL): (State.PROCEEDING, (Action.REPLY,)),
    (_S, State.PROCEEDING, Input.SAY_SUCCESS): (State.COMPLETED, (Action.REPLY,)),
    (_S, State.PROCEEDING, Input.SAY_FAILURE): (State.COMPLETED, (Action.REPLY,)),
    (_S, State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Action.REPEAT,)),
    (_S, State.COMPLETED, Input.J): (State.TERMINATED, ()),
}

_RUNNING: dict[tuple[Kind, State], tuple[Input, ...]] = {
    (_IC, State.CALLING): (Input.A, Input.B),
    (_IC, State.COMPLETED): (Input.D,),
    (_IC, State.ACCEPTED): (Input.M,),
    (_C, State.TRYING): (Input.E, Input.F),
    (_C, State.PROCEEDING): (Input.E, Input.F),
    (_C, State.COMPLETED): (Input.K,),
    (_IS, State.COMPLETED): (Input.G, Input.H),
    (_IS, State.CONFIRMED): (Input.I,),
    (_IS, State.ACCEPTED): (Input.L,),
    (_S, State.COMPLETED): (Input.J,),
}
"""Which timers run in which state: one that runs in the old and the new state goes on, others start and stop with the state."""

_REPEATING = {Input.A, Input.E, Input.G}  # retransmit, so only over unreliable transports
_SHORT = {Input.D, Input.I, Input.J, Input.K}  # wait for late copies, so zero over reliable ones (RFC 3261 Table 4)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request without its Via. fields: lower-case names and values in order, From, To, Call-ID and CSeq among them."""

    method: str
    uri: str = field(repr=False)
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    def field(self, name: str) -> str:
        """Return the first value of a field, "" where it is absent."""
        return next((value for key, value in self.fields if key == name), "")


class TransactionUser(Protocol):
    """Who is told how a client transaction goes."""

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None: ...
    def no_response(self, transaction: Transaction, now: float) -> None: ...


Key = tuple[str, ...]


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction. Only TransactionLayer changes it."""

    key: Key = field(repr=False)
    kind: Kind
    state: State
    flow: Flow = field(repr=False)
    outgoing: OutgoingRequest | None = field(default=None, repr=False)
    via: str = field(default="", repr=False)
    user: TransactionUser | None = field(default=None, repr=False)
    request: SipRequest | None = field(default=None, repr=False)
    last_octets: bytes = field(default=b"", repr=False)
    interval_s: float = 0.0

    @property
    def answered(self) -> bool:
        """Say whether a final response has been given or come."""
        return self.state not in {State.CALLING, State.TRYING, State.PROCEEDING}


@dataclass(frozen=True, slots=True)
class Transmit:
    """Octets to send."""

    flow: Flow
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request for the user; transaction is None for an ACK of a 2xx."""

    transaction: Transaction | None
    request: SipRequest = field(repr=False)
    flow: Flow


@dataclass(frozen=True, slots=True)
class NewResponse:
    """A response for the user of a client transaction."""

    transaction: Transaction
    response: SipResponse = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A client transaction got no final response: time-out or broken flow."""

    transaction: Transaction


LayerEvent = Transmit | NewRequest | NewResponse | Failed


class TransactionLayer:
    """All transactions of a box. See the module's text for the contract."""

    def __init__(self, identifiers: Identifiers, timer_values: TimerValues | None = None, max_transactions: int = 8_192) -> None:
        self.timer_values = timer_values or TimerValues()
        self.drops: Counter[DropReason] = Counter()
        self.malformed_answered = 0
        self._identifiers = identifiers
        self._max_transactions = max_transactions
        self._transactions: dict[Key, Transaction] = {}
        self._timers: Timers[tuple[Key, Input]] = Timers()
        self._events: list[LayerEvent] = []

    def __len__(self) -> int:
        return len(self._transactions)

    def poll(self) -> list[LayerEvent]:
        """Take what is to be sent and told, in order."""
        events, self._events = self._events, []
        return events

    def next_timer(self) -> float | None:
        """Return when handle_timer is to be called, None for never."""
        return self._timers.next()

    def handle_timer(self, now: float) -> None:
        """Let the timers run whose time has come."""
        for key, timer in self._timers.due(now):
            transaction = self._transactions.get(key)
            if transaction is not None:
                self._step(transaction, timer, now)

    # ------------------------------------------------------------------------------------------------------ incoming

    def receive(self, octets: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one frame of a stream."""
        if not octets.strip(b"\r\n\x00"):
            self.drops[DropReason.KEEP_ALIVE] += 1  # a ping over UDP needs no answer (RFC 5626 §4.4.1 is about streams)
            return
        try:
            message = parse_message(octets)
        except Malformed as malformed:
            self._answer_malformed(malformed, flow)
            return
        if isinstance(message, SipResponse):
            self._receive_response(message, now)
        else:
            self._receive_request(message, flow, now)

    def _answer_malformed(self, malformed: Malformed, flow: Flow) -> None:
        if malformed.echo is None:
            self.drops[DropReason.MALFORMED] += 1
            return
        self.malformed_answered += 1
        via = with_source(malformed.echo, flow.remote_address, flow.remote_port)
        # The reason is one of our own fixed texts, so it may be told.
        octets = serialise_response(malformed.status, malformed.echo, self._identifiers.tag(), [], reason=f"Bad Request: {malformed.reason}")
        self.transmit(_reply_flow(flow, via), octets)

    def _receive_response(self, response: SipResponse, now: float) -> None:
        transaction = self._transactions.get(("client", response.via.branch, response.cseq.method))
        if transaction is None:
            self.drops[DropReason.STRAY_RESPONSE] += 1
            return
        kind = Input.PROVISIONAL if response.status < 200 else Input.SUCCESS if response.status < 300 else Input.FAILURE
        self._step(transaction, kind, now, response)

    def _receive_request(self, request: SipRequest, flow: Flow, now: float) -> None:
        via = with_source(request.headers, flow.remote_address, flow.remote_port)
        key = _server_key(request, request.method)
        transaction = self._transactions.get(key)
        if request.method == "ACK":
            if transaction is not None and transaction.state is not State.ACCEPTED:
                self._step(transaction, Input.ACK, now)
            elif request.to.tag != _stateless_tag(key):  # else it acknowledges an answer that left no transaction
                self._events.append(NewRequest(None, request, flow))
        elif transaction is not None:
            self._step(transaction, Input.REQUEST, now)
        elif len(self._transactions) >= self._max_transactions:
            self.drops[DropReason.TOO_MANY_TRANSACTIONS] += 1
            self.transmit(_reply_flow(flow, via), serialise_response(503, echo_of(request), self._identifiers.tag(), [("retry-after", "5")]))
        else:
            is_invite = request.method == "INVITE"
            kind, state = (Kind.INVITE_SERVER, State.PROCEEDING) if is_invite else (Kind.SERVER, State.TRYING)
            transaction = Transaction(key, kind, state, _reply_flow(flow, via), request=request)
            self._transactions[key] = transaction
            self._events.append(NewRequest(transaction, request, flow))

    def flow_closed(self, flow: Flow, now: float) -> None:
        """Tell that a connection is gone: requests that wait for an answer on it fail."""
        for transaction in [known for known in self._transactions.values() if known.flow == flow]:
            self._step(transaction, Input.BROKEN, now)

    def invite_of(self, cancel: SipRequest) -> Transaction | None:
        """Return the INVITE transaction that a CANCEL means. Spec: RFC 3261 §9.2."""
        return self._transactions.get(_server_key(cancel, "INVITE"))

    # ------------------------------------------------------------------------------------------------------ outgoing

    def transmit(self, flow: Flow, octets: bytes) -> None:
        """Send octets outside any transaction (the ACK of a 2xx, and its repetition)."""
        self._events.append(Transmit(flow, octets))

    def via_for(self, flow: Flow, branch: str) -> str:
        """Return the Via of a request of ours."""
        return serialise_via(Via(flow.transport.value, flow.local_host, flow.local_port, (("branch", branch), ("rport", None))))

    def serialise_outside(self, request: OutgoingRequest, flow: Flow) -> bytes:
        """Return the octets of a request that has no transaction, with a fresh branch."""
        return _request_octets(request, self.via_for(flow, self._identifiers.branch()))

    def send_request(self, request: OutgoingRequest, flow: Flow, user: TransactionUser, now: float) -> Transaction:
        """Send a request and wait for its responses."""
        return self._open_client(request, flow.own, self._identifiers.branch(), user, now)

    def cancel(self, invite: Transaction, extra: tuple[tuple[str, str], ...], user: TransactionUser, now: float) -> Transaction:
        """Send a CANCEL for an INVITE of ours, which must have had a provisional response. Spec: RFC 3261 §9.1."""
        assert invite.outgoing is not None
        sent = invite.outgoing
        copied = [(name, value) for name, value in sent.fields if name in {"max-forwards", "from", "to", "call-id", "route"}]
        cseq = f"{sent.field('cseq').partition(' ')[0]} CANCEL"
        request = OutgoingRequest("CANCEL", sent.uri, (*copied, ("cseq", cseq), *extra))
        return self._open_client(request, invite.flow, invite.key[1], user, now)

    def _open_client(self, request: OutgoingRequest, flow: Flow, branch: str, user: TransactionUser, now: float) -> Transaction:
        kind, state = (Kind.INVITE_CLIENT, State.CALLING) if request.method == "INVITE" else (Kind.CLIENT, State.TRYING)
        via = self.via_for(flow, branch)
        transaction = Transaction(("client", branch, request.method), kind, state, flow, outgoing=request, via=via, user=user)
        transaction.last_octets = _request_octets(request, via)
        self._transactions[transaction.key] = transaction
        self._start(transaction, _RUNNING[kind, state], now)
        self.transmit(flow, transaction.last_octets)
        return transaction

    def respond_without_state(self, transaction: Transaction, status: int, extra: tuple[tuple[str, str], ...]) -> None:
        """Answer a request finally and forget it at once, so that nobody without a password can fill the table of transactions.

        A repeated request is then a new one and gets an equal answer: the To tag is made from the request (RFC 3261 §8.2.7).
        """
        request = transaction.request
        assert request is not None
        self.transmit(transaction.flow, serialise_response(status, echo_of(request), _stateless_tag(transaction.key), list(extra)))
        self._transactions.pop(transaction.key, None)

    def abandon(self, transaction: Transaction) -> None:
        """Forget a client transaction for which no final response is awaited any more."""
        for timer in _RUNNING.get((transaction.kind, transaction.state), ()):
            self._timers.cancel((transaction.key, timer))
        transaction.state = State.TERMINATED
        self._transactions.pop(transaction.key, None)

    def respond(self, transaction: Transaction, status: int, now: float, to_tag: str = "", extra: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> bytes:
        """Answer a request; a second final answer is ignored. Return the octets (the user repeats a 2xx to an INVITE itself)."""
        assert transaction.request is not None
        octets = serialise_response(status, echo_of(transaction.request), to_tag if status > 100 else "", list(extra), body)
        kind = Input.SAY_PROVISIONAL if status < 200 else Input.SAY_SUCCESS if status < 300 else Input.SAY_FAILURE
        self._step(transaction, kind, now, reply=octets)
        return octets

    # ------------------------------------------------------------------------------------------------------- machine

    def _step(self, transaction: Transaction, what: Input, now: float, response: SipResponse | None = None, reply: bytes = b"") -> None:
        entry = _TRANSITIONS.get((transaction.kind, transaction.state, what))
        if entry is None:
            return
        state, actions = entry
        old_timers = _RUNNING.get((transaction.kind, transaction.state), ())
        new_timers = _RUNNING.get((transaction.kind, state), ())
        transaction.state = state
        if what in _REPEATING:
            cap_s = float("inf") if what is Input.A else self.timer_values.t2_s
            # Non-INVITE requests that were answered provisionally are repeated at T2 (RFC 3261 §17.1.2.2).
            slow = transaction.kind is Kind.CLIENT and state is State.PROCEEDING
            transaction.interval_s = self.timer_values.t2_s if slow else min(2 * transaction.interval_s, cap_s)
            self._timers.set((transaction.key, what), now + transaction.interval_s)
        for timer in old_timers:
            if timer not in new_timers:
                self._timers.cancel((transaction.key, timer))
        for action in actions:
            self._act(transaction, action, response, reply)
        self._start(transaction, tuple(timer for timer in new_timers if timer not in old_timers), now)
        if transaction.state is State.TERMINATED:
            self._transactions.pop(transaction.key, None)

    def _start(self, transaction: Transaction, timers: tuple[Input, ...], now: float) -> None:
        values, reliable = self.timer_values, transaction.flow.reliable
        for timer in timers:
            if timer in _REPEATING:
                if not reliable:
                    transaction.interval_s = values.t1_s
                    self._timers.set((transaction.key, timer), now + values.t1_s)
            elif timer in _SHORT and reliable:
                transaction.state = State.TERMINATED
            else:
                wait_s = values.t4_s if timer in {Input.I, Input.K} else values.limit_s
                self._timers.set((transaction.key, timer), now + wait_s)

    def _act(self, transaction: Transaction, action: Action, response: SipResponse | None, reply: bytes) -> None:
        match action:
            case Action.SEND | Action.REPEAT:
                if transaction.last_octets:
                    self.transmit(transaction.flow, transaction.last_octets)
            case Action.REPLY:
                transaction.last_octets = reply
                self.transmit(transaction.flow, reply)
            case Action.ACKNOWLEDGE:
                assert response is not None
                self.transmit(transaction.flow, _failure_ack(transaction, response))
            case Action.PASS:
                assert response is not None
                self._events.append(NewResponse(transaction, response))
            case Action.FAIL:
                self._events.append(Failed(transaction))


def _request_octets(request: OutgoingRequest, via: str) -> bytes:
    return serialise_request(request.method, request.uri, [("via", via), *request.fields], request.body)


def _failure_ack(transaction: Transaction, response: SipResponse) -> bytes:
    """Return the ACK of a 3xx to 6xx. Spec: RFC 3261 §17.1.1.3."""
    assert transaction.outgoing is not None
    sent = transaction.outgoing
    fields = [("via", transaction.via)]
    fields += [(name, value) for name, value in sent.fields if name in {"max-forwards", "from", "call-id", "route"}]
    fields += [("to", response.headers.get("to") or ""), ("cseq", f"{sent.field('cseq').partition(' ')[0]} ACK")]
    return serialise_request("ACK", sent.uri, fields)


def _server_key(request: SipRequest, method: str) -> Key:
    """Return what retransmissions of a request have in common. Spec: RFC 3261 §17.2.3."""
    method = "INVITE" if method == "ACK" else method
    via = request.via
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        return ("server", via.branch, via.host, str(via.port), method)
    # Before RFC 3261 the branch did not name the transaction; the To tag of an ACK differs from that of its INVITE, so it stays out.
    return ("old server", request.uri, request.from_.tag, request.call_id, str(request.cseq.number), serialise_via(via), method)


def _stateless_tag(key: Key) -> str:
    """Return the To tag of an answer without a transaction: equal for repeated requests. It is no secret."""
    return hashlib.sha256("\n".join(key).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _reply_flow(flow: Flow, via: Via) -> Flow:
    """Return where responses go. Spec: RFC 3261 §18.2.2, RFC 3581 §4."""
    if flow.reliable or any(name == "rport" for name, _ in via.params):
        return flow
    return replace(flow, remote_port=via.port or DEFAULT_PORT)
