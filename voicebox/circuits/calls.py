"""Calls over standing circuits: knocking, joining, the first contact, and call events as messages of the channel.

One `_Call` is one call, whichever side it began on:

    caller:  KNOCKING -> AWAIT_KEY -> (AWAIT_SECOND) -> OPEN -> CLOSING -> over
             KNOCKING -> WITHDRAWN -> (CLOSING) -> over
    callee:  JOINING -> (AWAIT_FIRST) -> OPEN -> CLOSING -> over

    KNOCKING      we knock, in every second slot, at one circuit after the other
    WITHDRAWN     given up; where a phone rings already, the callee's key comes in a moment, and then we can say that it is over
    AWAIT_KEY     something valid came under the answer key; its message holds the callee's key
    AWAIT_SECOND  never met: `first` is sent, `second` must come
    JOINING       we said join and our key; nothing valid came yet. A phone rings already where the knock cannot be a copy
    AWAIT_FIRST   never met: `first` must come before anything rings
    OPEN          call events pass
    CLOSING       our last event is under way; then we part, the caller's box first

Of a dummy nothing comes back that its caller's box could open: it goes from KNOCKING to OPEN when its knock has been said, whatever came of that.

All that changes these states is in call.py. This file holds the calls of a box: it finds circuits, takes knocks, and is what the B2BUA sees
(b2bua/ports.py Network). NOT here: circuits (circuit.py), secrets (pair_book.py). Drivers: the engine's events, and time.
Spec: PROTOCOL.md §8.3, §8.4, §9.3.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

from voicebox.b2bua.events import CallEvent, Codec, Offer, Refusal
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call
from voicebox.circuits.call_record import parse_digest, parse_offer_record
from voicebox.circuits.call_setting import CallSetting
from voicebox.circuits.call_state import KNOCK_US, State
from voicebox.circuits.circuit import Circuit, GivesWay
from voicebox.circuits.dummies import LONGEST, Script, parse_answered
from voicebox.circuits.kdf import sha256
from voicebox.circuits.meeting import Meeting
from voicebox.circuits.meeting_call import MeetingCall
from voicebox.circuits.network import SLOT_US, slots_between
from voicebox.circuits.pair import Knock, open_knock, parse_knock
from voicebox.circuits.pair_book import TokenOwner, tokens_payload
from voicebox.circuits.path import Path
from voicebox.circuits.standing import StandingCircuits
from voicebox.contacts.changes import Step
from voicebox.contacts.code import Code
from voicebox.contacts.identity import Identity
from voicebox.errors import Bug, RemoteError, UsageError

SEEN_KNOCKS = 4096
"""Knocks remembered, of all contacts together; the oldest go first."""
CLOCKS_US = 1_000_000
"""So far the clocks of two boxes may lie apart where a knock rings at once; it rings later where they lie further apart."""

Listener = Callable[[CallEvent], None]
MEETING_OFFER = Offer((Codec.OPUS, Codec.PCMA, Codec.PCMU))
"""In the knock for a meeting, as in a call's; nobody reads it."""
COIN = 0.5
COVER_US = 3_600_000_000
"""Over so long `voicebox status` counts dummies."""
MOST_COUNTED = 1024
Acceptor = Callable[[str, Offer, CircuitLeg], Listener]


class Calls:
    """Calls to and from contacts: the Network of the B2BUA.

    Contract: call an event method or handle_timer, then re-arm at next_timer(); wake() is called when next_timer() became earlier from outside.
    coin() decides at which junction a dummy begins. At a box of one circuit, which has to end a dummy for a call, it decides too whether a dummy gives way to
    another, and whether one waits that finds the circuit taken: where all did, a junction would know from its end that a splice was a dummy, and what follows
    at once for one; where none did, that what it ended for is a call.
    """

    def __init__(self, setting: CallSetting, wake: Callable[[], None], coin: Callable[[], bool]) -> None:
        self._setting, self._wake, self._coin = setting, wake, coin
        self._began_us = setting.clock()
        self._standing: StandingCircuits | None = None
        self._acceptor: Acceptor | None = None
        self._probe_acceptor: Acceptor | None = None
        self._streams_acceptor: Acceptor | None = None
        self._calls: list[Call] = []
        self._tables: dict[tuple[bytes, int], dict[bytes, TokenOwner]] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._dummies_us: deque[int] = deque(maxlen=MOST_COUNTED)
        self._waiting: tuple[str, Script] | None = None
        self._awaited = b""
        """The join id of the last knock for which something gave way."""
        self.on_dummy_over: Callable[[str, int], None] = lambda _petname, _now_us: None
        """Told of each dummy that is over, and of each probe, whoever began it: with whom it was. After either another dummy may begin, as people call again after a call."""
        self.on_scarce: Callable[[], None] = lambda: None
        """Told where a call or a meeting finds no circuit: whoever measures with one (a probe) is to end that now, and what can wait is to leave them."""
        self.on_people: Callable[[], None] = lambda: None
        """Told where people begin a call, or are called: what can wait (streams) is to leave them the circuits."""
        self.on_talk: Callable[[str, CircuitLeg, bytes], Listener] = lambda _petname, _leg, _binding: lambda _event: None
        """Asked, when a call of people is open, who hears what the other box ties, and End when it is over: with whom it is, the call, and C, by which both boxes know it."""
        self.on_guest: Callable[[str], Meeting | None] = lambda _name: None
        """Asked when somebody knocks who may be invited: our side of the meeting, or None where there is none."""
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
        offer = self._carried(offer)
        now_us = self._setting.clock()
        if offer.streams:
            circuits = self._for_streams()
        elif offer.probe:
            circuits = self._for_a_call()
        else:
            if offer.is_of_people:
                self.on_people()
            circuits = self._made_room()
        call = self._new_call(petname, now_us)
        self._waiting = None
        self._calls.append(call)
        call.listener = listener
        call.begin(offer, circuits, now_us)
        self._wake()
        return call

    def _new_call(self, petname: str, now_us: int) -> Call:
        call = Call(self._setting, petname, self._circuits(), now_us)
        call.on_open = self._opened
        return call

    def _opened(self, call: Call) -> Listener:
        return self.on_talk(call.petname, call, call.between.binding if call.between is not None else b"")

    def _for_streams(self) -> list[Circuit]:
        """Return the circuits over which streams may begin: what has one does not give way to them, and while people talk none is theirs. Raises UsageError for want of one."""
        circuits = [circuit for circuit in self._circuits().present() if circuit.soon_free]
        if not circuits or any(call.is_of_people for call in self._calls):
            raise UsageError("No circuit is free for streams.")
        return circuits

    def begin_dummy(self, petname: str, script: Script, now_us: int) -> None:
        """Begin a dummy where there is room. At a box's only circuit it may wait until that is free, unless a call begins sooner."""
        circuits = self._room()
        if self._setting.book.get(petname) is None:
            return
        if not circuits:
            self._waiting = (petname, script) if self._has_one_circuit and self._coin() else None
            return
        if script.answered and self._coin():
            last = circuits[-1].path.junction
            circuits.sort(key=lambda circuit: circuit.path.junction != last)
        call = Call(self._setting, petname, self._circuits(), now_us)
        self._calls.append(call)
        call.begin_dummy(script, circuits, now_us)
        self._dummies_us.append(now_us)

    def meet(self, name: str, meeting: Meeting, rest: Script) -> None:
        """Knock for a meeting with a guest; it takes its circuit as a call does. rest: how it goes on once its words are said."""
        now_us = self._setting.clock()
        call = MeetingCall(self._setting, name, self._circuits(), meeting, rest, now_us)
        circuits = self._made_room()
        self._waiting = None
        self._calls.append(call)
        call.begin(MEETING_OFFER, circuits, now_us)
        self._wake()

    def guests_changed(self, now_us: int) -> None:
        """Leave tokens anew: somebody is invited, or no more."""
        self._circuits().renew_tokens(now_us, at_once=True)
        self._wake()

    def _for_a_call(self) -> list[Circuit]:
        """Return the circuits over which a call may begin: those that will be free, and those of what gives way."""
        return [circuit for circuit in self._circuits().present() if circuit.soon_free or circuit.gives_way is not None]

    def _made_room(self) -> list[Circuit]:
        """Return those circuits, once there is room where there was none and somebody could make it."""
        if not self._for_a_call():
            self.on_scarce()
        return self._for_a_call()

    def _room(self) -> list[Circuit]:
        """Return the circuits over which a dummy may begin: all that will be free, where those are two, so that one is left for a call, or all there are."""
        idle = [circuit for circuit in self._circuits().present() if circuit.idle]
        return idle if len(idle) > 1 or self._has_one_circuit else []

    @property
    def _has_one_circuit(self) -> bool:
        return len(self._circuits().present()) == 1

    def on_call(self, acceptor: Acceptor) -> None:
        """Set who takes incoming calls; see b2bua/ports.py."""
        self._acceptor = acceptor

    def on_streams(self, acceptor: Acceptor) -> None:
        """Set who takes calls for streams, likewise."""
        self._streams_acceptor = acceptor

    def on_probe(self, acceptor: Acceptor) -> None:
        """Set who answers probes, likewise; until then each is refused as one that nobody takes."""
        self._probe_acceptor = acceptor

    def compare(self, petname: str) -> Code | None:
        """Take that our user asks for the code of the call with a contact; return it once it is known. Raises UsageError where there is no call.

        Of several calls with the same contact both boxes take the one with the smallest C.
        """
        there = [call.between for call in self._calls if call.petname == petname and call.state is State.OPEN and call.between is not None]
        if not there:
            raise UsageError("You are in no call with this contact. Call them, and compare the code while you talk.")
        comparison = min(there, key=lambda between: between.binding).comparison
        comparison.want()
        return comparison.code

    def has_copy(self, now_us: int) -> bool:
        """Return whether a contact's box heard another copy of this box within the last day."""
        return self._setting.words.copies.doubled(now_us)

    def contact_changed(self, step: Step, now_us: int) -> None:
        """Take a change of a contact: calls go on under a new petname; those with whom there are none any more end, in silence.

        A token that is still left at a junction stands for nobody from now on, where it no longer is the same person's.
        """
        if step.before is None:
            return
        petname, name = step.before.petname, None if step.doors_change or step.after is None else step.after.petname
        for call in [call for call in self._calls if call.petname == petname]:
            if name is None:
                call.fail(Refusal.UNREACHABLE, now_us)
            else:
                call.petname = name
        if name is None:
            self._sweep()
        self._waiting = None
        for table in self._tables.values():
            for token in [token for token, owner in table.items() if owner.petname == petname]:
                owner = table.pop(token)
                if name is not None:
                    table[token] = replace(owner, petname=name)

    def renew_identity(self, identity: Identity) -> None:
        """Show this box certificate from the next call on."""
        self._setting = replace(self._setting, identity=identity)

    def relays_of(self, leg: CircuitLeg) -> list[list[str]]:
        """Return who runs the relays of each of our circuits of a call, from the box on: for the owner of the box alone. Nothing of a call that is over."""
        return [[relay.operator for relay in circuit.path.relays] for call in self._calls if call is leg for circuit in call.circuits.all()]

    def round_trips_ms(self) -> list[float]:
        """Return the round trip of each call in which people talk and of which it is known, as it was when the call began."""
        there = [call.between for call in self._calls if call.is_of_people and call.state is State.OPEN and call.between is not None]
        return [between.round_trip_us / 1000 for between in there if between.round_trip_us is not None]

    def active(self) -> int:
        """Return how many calls there are."""
        return sum(call.is_call for call in self._calls)

    def but_probes(self) -> int:
        """Return how many calls there are but probes, of which one may go on long after its figures."""
        return sum(call.is_call and not call.is_probe for call in self._calls)

    def dummies(self, now_us: int) -> tuple[int, int]:
        """Return how many dummies there are, and how many were begun, here or by contacts, in the last hour."""
        return len(self._calls) - self.active(), sum(now_us - begun_us < COVER_US for begun_us in self._dummies_us)

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
        if owner is None or not self._setting.book.knows(owner.petname):
            raise RemoteError("a knock with an unknown token")
        current = next((call for call in self._calls if circuit in call.circuits.all()), None)
        if any(knock.join_id in call.circuits.join_ids() for call in self._calls):
            return
        opened = open_knock(knock, owner.secret, junction_id, self._setting.book.ends(owner.petname, caller=False)[1])
        seen = sha256(opened.caller_public)
        if seen in self._seen:
            raise RemoteError("a knock that came before")
        if opened.spare:
            self._take_further(circuit, knock, parse_digest(opened.record), owner.petname, now_us)
            return
        if owner.petname in self._setting.book.guests and (opened.dummy or opened.full_handshake_wanted or self._in_meeting()):
            raise RemoteError("a guest's knock for something else than a meeting, or while there is one")
        answered = parse_answered(opened.record) if opened.dummy else True
        what = LONGEST if opened.dummy else parse_offer_record(opened.record)
        if not (opened.dummy or opened.full_handshake_wanted or self._setting.book.met(owner.petname)):
            raise RemoteError("a knock without the full handshake, from somebody we never met")
        if not answered:
            self._remember(seen)
            return
        here = self._circuits_beside(circuit)
        holders = [each.gives_way for each in here if each.gives_way is not None and not each.closing]
        holder = min(holders, key=lambda holder: not holder.is_spare, default=None)
        free = next((each for each in here if each.free), None)
        fits = not opened.dummy or knock.join_id == self._awaited or bool(self._room())
        elsewhere = opened.goes_on and self._can_take_elsewhere(circuit)
        if current is not None and not opened.dummy and self._yields(current, owner.petname):
            current.fail(Refusal.BUSY, now_us, stay_quiet=True)
            self._sweep()
        elif free is not None and fits:
            circuit = free
        elif holder is not None and (self._may_give_way(holder, current) if opened.dummy else not elsewhere and (holder.is_dummy or not _is_for_streams(what))):
            self._waiting, self._awaited = None, knock.join_id
            holder.give_way()  # the knock comes again, and finds the circuit free
            self._sweep()
            return
        else:
            self.counters["knock_while_busy"] += 1
            if isinstance(what, Offer) and not what.probe and not what.streams and not elsewhere:
                self.on_scarce()  # the knock comes again, and may find the circuit free
            if opened.dummy and not (circuit.soon_free and fits):
                self._remember(seen)  # it is not considered again, so that the coin falls once for each
            return
        self._remember(seen)
        if opened.dummy:
            self._dummies_us.append(now_us)
        call = self._joining(owner.petname, now_us)
        if call is None:
            raise RemoteError("a knock of a guest who is not invited any more")
        self._calls.append(call)
        call.join(circuit, knock, opened, owner, what, self._accept, now_us, ring_at_once=self._is_no_copy(opened.made, now_us))

    def _in_meeting(self) -> bool:
        """Return whether a meeting is under way whose words are not said yet."""
        return any(not call.is_call and not call.is_dummy for call in self._calls)

    def _joining(self, name: str, now_us: int) -> Call | None:
        """Return a call that we are about to join: with a contact, or a meeting."""
        if name not in self._setting.book.guests:
            return self._new_call(name, now_us)
        meeting = self.on_guest(name)
        return MeetingCall(self._setting, name, self._circuits(), meeting, LONGEST, now_us) if meeting is not None else None

    def _is_no_copy(self, made: int, now_us: int) -> bool:
        """Return whether a knock was made just now, and since this box remembers knocks; so it never rang here, and its caller still waits. Spec: PROTOCOL.md §8.3."""
        age_us = slots_between(made, now_us // SLOT_US) * SLOT_US
        return -CLOCKS_US <= age_us <= min(KNOCK_US + CLOCKS_US, now_us - self._began_us - CLOCKS_US)

    def _circuits_beside(self, circuit: Circuit) -> list[Circuit]:
        """Return our circuits at a circuit's junction, itself first: a knock that came to one may be joined on any of them."""
        place = circuit.path.junction, circuit.epoch
        return [circuit, *(each for each in self._circuits().all() if each is not circuit and (each.path.junction, each.epoch) == place)]

    def _may_give_way(self, holder: GivesWay, current: Call | None) -> bool:
        """Return whether what has a circuit gives way to a dummy: a spare does, and half of the dummies on our only circuit, of those that do not still knock."""
        return holder.is_spare or (self._has_one_circuit and holder.is_dummy and current is not None and not current.knocking and self._coin())

    def _can_take_elsewhere(self, circuit: Circuit) -> bool:
        """Return whether a call that knocks at the other junction next finds a circuit there, and no dummy has to end for it here."""
        there = [each for each in self._circuits().present() if each.epoch == circuit.epoch and each.path.junction != circuit.path.junction]
        return any(each.soon_free or (each.gives_way is not None and each.gives_way.is_spare) for each in there)

    def _take_further(self, circuit: Circuit, knock: Knock, digest: bytes, petname: str, now_us: int) -> None:
        """A contact who is in a call with us knocks for one more circuit of it. A spare is taken where one is free there; to the next epoch's circuit a call
        moves as one that begins: what gives way to a call gives way."""
        here = self._circuits_beside(circuit)
        wanted = [(call, each) for call in self._calls if call.petname == petname for each in here if call.wants(each, digest)]
        taken = next(((call, each) for call, each in wanted if each.free or (each.vacant and call.circuits.moves_to(each))), None)
        if taken is not None:
            taken[0].join_further(taken[1], knock, now_us)
        elif any(call.circuits.moves_to(each) and call.circuits.makes_way(each) for call, each in wanted):
            self._waiting = None
            self._sweep()  # the knock comes again, and finds the circuit free
        else:
            for call, _ in wanted:
                call.wish.want()

    def _remember(self, seen: bytes) -> None:
        self._seen[seen] = None
        while len(self._seen) > SEEN_KNOCKS:
            self._seen.popitem(last=False)

    def _yields(self, current: Call, petname: str) -> bool:
        """Return whether our own call that still knocks is let go at once: where both called each other, the one with the larger id lets its own go, so that
        exactly one of the two comes about."""
        contact = self._setting.book.get(petname)
        return (
            current.knocking
            and not current.is_dummy
            and contact is not None
            and current.petname == petname
            and self._setting.identity.contact_id > contact.contact_id
        )

    def _accept(self, call: Call, offer: Offer) -> Listener:
        acceptor = self._probe_acceptor if offer.probe else self._streams_acceptor if offer.streams else self._acceptor
        if acceptor is None:
            raise UsageError("nobody takes this here") if offer.probe or offer.streams else Bug("a call came before anybody takes calls")
        if call.is_of_people:
            self.on_people()
        return acceptor(call.petname, self._carried(offer), call)

    def _carried(self, offer: Offer) -> Offer:
        """Leave out of an offer what a metered circuit cannot carry: every second frame goes as a copy, and of G.722 there is none. Spec: PROTOCOL.md §9.4.

        Raises UsageError where nothing is left.
        """
        if not self._circuits().metered or Codec.G722 not in offer.codecs:
            return offer
        codecs = tuple(codec for codec in offer.codecs if codec is not Codec.G722)
        if not codecs:
            raise UsageError("A metered circuit cannot carry G.722, and the phone has nothing else.")
        return replace(offer, codecs=codecs)

    def heard(self, link: int, key_index: int, now_us: int) -> None:
        """Something valid came under a receive key."""
        self._feed(link, lambda call: call.heard(link, key_index, now_us), now_us)

    def message(self, link: int, octets: bytes, now_us: int) -> None:
        """A message of the channel came."""
        self._feed(link, lambda call: call.message(octets, now_us), now_us)

    def silent(self, link: int, now_us: int) -> None:
        """Nothing valid came for 10 s."""
        self._feed(link, lambda call: call.silent(link, now_us), now_us)

    def circuit_lost(self, circuit: Circuit, now_us: int) -> None:
        """A circuit is gone, and a call that was over it alone."""
        for call in [call for call in self._calls if circuit in call.circuits.all()]:
            call.circuit_lost(circuit, now_us)
        self._sweep()
        self._begin_waiting(now_us)

    def _feed(self, link: int, step: Callable[[Call], None], now_us: int) -> None:
        circuit = self._circuits().by_link(link)
        for call in [call for call in self._calls if circuit is not None and circuit in call.circuits.all()]:
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
        self._begin_waiting(now_us)

    # ---------------------------------------------------------------------------------------------------------------- time

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        for call in list(self._calls):
            if call.next_us <= now_us:
                call.handle_timer(now_us)
        self._sweep()
        self._begin_waiting(now_us)
        standing = self._circuits()
        if any(circuit.stood for circuit in standing.present()):  # relays made circuits for this epoch: it is not only this machine's date that says so
            self._setting.book.forget_before(standing.epoch - 1)

    def next_timer(self) -> int | None:
        """Return when handle_timer is to be called next, or None."""
        return min((call.next_us for call in self._calls), default=None)

    def _sweep(self) -> None:
        gone = [call for call in self._calls if call.over]
        self._calls = [call for call in self._calls if not call.over]
        now_us = self._setting.clock()
        for call in gone:
            if call.ran and (call.script is not None or call.is_probe):
                self.on_dummy_over(call.petname, now_us)

    def _begin_waiting(self, now_us: int) -> None:
        """Begin the dummy that waits, where a circuit is free or will be. Never while a knock is looked at: what is freed for it is not ours."""
        if self._waiting is not None and any(circuit.soon_free for circuit in self._circuits().present()):
            (petname, script), self._waiting = self._waiting, None
            self.begin_dummy(petname, script, now_us)

    def _circuits(self) -> StandingCircuits:
        if self._standing is None:
            raise Bug("calls without circuits")
        return self._standing


def _is_for_streams(what: Offer | Script) -> bool:
    return isinstance(what, Offer) and what.streams
