"""Calls over standing circuits: knocking, joining, the first contact, and call events as messages of the channel.

One `_Call` is one call, whichever side it began on:

    caller:  KNOCKING -> AWAIT_KEY -> (AWAIT_SECOND) -> OPEN -> CLOSING -> over
    callee:  JOINING -> (AWAIT_FIRST) -> OPEN -> CLOSING -> over

    KNOCKING      we knock, in every second slot, at one circuit after the other
    AWAIT_KEY     something valid came under the answer key; its message holds the callee's key
    AWAIT_SECOND  never met: `first` is sent, `second` must come
    JOINING       we said join and our key; nothing valid came yet
    AWAIT_FIRST   never met: `first` must come before anything rings
    OPEN          call events pass
    CLOSING       our last event is under way; then we part

All that changes these states is in call.py. This file holds the calls of a box: it finds circuits, takes knocks, and is what the B2BUA sees
(b2bua/ports.py Network). NOT here: circuits (circuit.py), secrets (pair_book.py). Drivers: the engine's events, and time.
Spec: PROTOCOL.md §8.3, §8.4, §9.3.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace

from voicebox.b2bua.events import CallEvent, Offer, Refusal
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call, CallSetting
from voicebox.circuits.call_record import parse_offer_record
from voicebox.circuits.circuit import Circuit
from voicebox.circuits.kdf import sha256
from voicebox.circuits.pair import open_knock, parse_knock
from voicebox.circuits.pair_book import TokenOwner, tokens_payload
from voicebox.circuits.path import Path
from voicebox.circuits.standing import StandingCircuits
from voicebox.contacts.identity import Identity
from voicebox.errors import Bug, RemoteError, UsageError

SEEN_KNOCKS = 4096
"""Knocks remembered, of all contacts together; the oldest go first."""

Listener = Callable[[CallEvent], None]
Acceptor = Callable[[str, Offer, CircuitLeg], Listener]


class Calls:
    """Calls to and from contacts: the Network of the B2BUA.

    Contract: call an event method or handle_timer, then re-arm at next_timer(); wake() is called when next_timer() became earlier from outside.
    """

    def __init__(self, setting: CallSetting, wake: Callable[[], None]) -> None:
        self._setting, self._wake = setting, wake
        self._standing: StandingCircuits | None = None
        self._acceptor: Acceptor | None = None
        self._calls: list[Call] = []
        self._tables: dict[tuple[bytes, int], dict[bytes, TokenOwner]] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.counters: Counter[str] = Counter()

    def use(self, standing: StandingCircuits) -> None:
        """Set the circuits to call over; they are built with our make_tokens, so they come second."""
        self._standing = standing
        standing.on_lost = self.circuit_lost

    def make_tokens(self, path: Path, epoch: int) -> bytes:
        """Return the tokens to leave at a junction, and remember whom they stand for."""
        table = self._setting.book.tokens(path.junction.relay_id, epoch)
        for known_epoch in {key[1] for key in self._tables if key[1] < epoch - 2}:
            self._tables = {key: value for key, value in self._tables.items() if key[1] != known_epoch}
        self._tables[path.junction.relay_id, epoch] = table
        return tokens_payload(table)

    # ----------------------------------------------------------------------------------------------------- for the B2BUA

    def call(self, petname: str, offer: Offer, listener: Listener) -> CircuitLeg:
        """Start a call; see b2bua/ports.py."""
        if self._setting.book.get(petname) is None:
            raise UsageError("There is no contact of that name.")
        now_us = self._setting.clock()
        call = Call(self._setting, petname, now_us)
        self._calls.append(call)
        call.listener = listener
        call.begin(offer, [circuit for circuit in self._circuits().present() if circuit.soon_free], now_us)
        self._wake()
        return call

    def on_call(self, acceptor: Acceptor) -> None:
        """Set who takes incoming calls; see b2bua/ports.py."""
        self._acceptor = acceptor

    def renew_identity(self, identity: Identity) -> None:
        """Show this box certificate from the next call on."""
        self._setting = replace(self._setting, identity=identity)

    def active(self) -> int:
        """Return how many calls there are."""
        return len(self._calls)

    # -------------------------------------------------------------------------------------------------------------- events

    def knocked(self, link: int, payload: bytes, now_us: int) -> None:
        """Somebody knocks at one of our circuits; whatever is wrong with it, the answer is none."""
        circuit = self._circuits().by_link(link)
        if circuit is None:
            return
        try:
            self._take_knock(circuit, payload, now_us)
        except RemoteError:
            self.counters["knock_refused"] += 1

    def _take_knock(self, circuit: Circuit, payload: bytes, now_us: int) -> None:
        knock = parse_knock(payload)
        junction_id = circuit.path.junction.relay_id
        owner = self._tables.get((junction_id, circuit.epoch), {}).get(knock.token)
        if owner is None or self._setting.book.get(owner.petname) is None:
            raise RemoteError("a knock with an unknown token")
        current = next((call for call in self._calls if call.circuit is circuit), None)
        if current is not None and current.join_id == knock.join_id:
            return
        opened = open_knock(knock, owner.secret, junction_id, self._setting.identity.contact_id)
        offer = parse_offer_record(opened.record)
        seen = sha256(opened.caller_public)
        if seen in self._seen:
            raise RemoteError("a knock that came before")
        if not opened.full_handshake_wanted and not self._setting.book.met(owner.petname):
            raise RemoteError("a knock without the full handshake, from somebody we never met")
        if current is not None and self._yields(current, owner.petname):
            current.fail(Refusal.BUSY, now_us, stay_quiet=True)
            self._sweep()
        elif not circuit.free:
            self.counters["knock_while_busy"] += 1
            return
        self._seen[seen] = None
        while len(self._seen) > SEEN_KNOCKS:
            self._seen.popitem(last=False)
        call = Call(self._setting, owner.petname, now_us)
        self._calls.append(call)
        call.join(circuit, knock, opened, owner, offer, self._accept, now_us)

    def _yields(self, current: Call, petname: str) -> bool:
        """Both called each other at once: the one with the larger id lets its own call go, so that exactly one of the two comes about."""
        contact = self._setting.book.get(petname)
        return current.knocking and current.petname == petname and contact is not None and self._setting.identity.contact_id > contact.contact_id

    def _accept(self, call: Call, offer: Offer) -> Listener:
        if self._acceptor is None:
            raise Bug("a call came before anybody takes calls")
        return self._acceptor(call.petname, offer, call)

    def heard(self, link: int, key_index: int, now_us: int) -> None:
        """Something valid came under a receive key."""
        self._feed(link, lambda call: call.heard(key_index, now_us), now_us)

    def message(self, link: int, octets: bytes, now_us: int) -> None:
        """A message of the channel came."""
        self._feed(link, lambda call: call.message(octets, now_us), now_us)

    def silent(self, link: int, now_us: int) -> None:
        """Nothing valid came for 10 s."""
        self._feed(link, lambda call: call.silent(now_us), now_us)

    def circuit_lost(self, circuit: Circuit, now_us: int) -> None:
        """A circuit is gone, and the call on it with it."""
        for call in [call for call in self._calls if call.circuit is circuit]:
            call.circuit_lost(now_us)
        self._sweep()

    def _feed(self, link: int, step: Callable[[Call], None], now_us: int) -> None:
        for call in [call for call in self._calls if call.circuit is not None and call.circuit.link == link]:
            try:
                step(call)
            except RemoteError:
                # The contact's box broke the protocol, or is not the contact's: the call ends, and this is all that is told.
                self.counters["call_broken"] += 1
                call.fail(Refusal.UNREACHABLE, now_us)
            if call.secrets_changed:
                call.secrets_changed = False
                self._circuits().renew_tokens(now_us)
        self._sweep()

    # ---------------------------------------------------------------------------------------------------------------- time

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        for call in list(self._calls):
            if call.deadline_us <= now_us:
                call.handle_timer(now_us)
        self._sweep()
        self._setting.book.forget_before(self._circuits().epoch - 1)

    def next_timer(self) -> int | None:
        """Return when handle_timer is to be called next, or None."""
        return min((call.deadline_us for call in self._calls), default=None)

    def _sweep(self) -> None:
        self._calls = [call for call in self._calls if not call.over]

    def _circuits(self) -> StandingCircuits:
        if self._standing is None:
            raise Bug("calls without circuits")
        return self._standing
