"""One call over a circuit, caller's or callee's side; the flow is drawn in calls.py.

All that changes a call's state is in this file. Drivers: calls.py. Pure: takes `now_us`. Spec: PROTOCOL.md §8.3, §8.4, §9.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Refusal, Refuse, Ringing
from voicebox.b2bua.ports import MediaPort
from voicebox.circuits import pair
from voicebox.circuits.attempts import Attempt, attempts_at
from voicebox.circuits.between import Between
from voicebox.circuits.call_circuits import MOVE_AGAIN_US, BoxCircuits, CallCircuits, NumberedPort
from voicebox.circuits.call_record import BETWEEN_TYPES, HANDSHAKE_TYPES, RecordType, parse_event, serialise_event
from voicebox.circuits.call_setting import CallSetting
from voicebox.circuits.call_state import DUMMY_SLACK_US, HANDSHAKE_US, KNOCK_US, LINGER_US, MAX_HELD, PART_US, WAIT_FREE_US, WAIT_STEP_US, WITHDRAWN_US, State
from voicebox.circuits.circuit import NEVER_US, SAID_US, Circuit
from voicebox.circuits.dummies import Script
from voicebox.circuits.kdf import X25519_OCTETS
from voicebox.circuits.network import SLOT_US
from voicebox.circuits.pair_book import TokenOwner
from voicebox.circuits.spare import LOOK_US, Spare, SpareOwner, Wish, drawn_look_us
from voicebox.circuits.speech import Speech
from voicebox.errors import Bug, RemoteError, VoiceboxError
from voicebox.sensitive import Secret


@dataclass(slots=True)
class _Full:
    """What a full handshake needs between its messages."""

    binding: pair.FullBinding
    first: pair.FirstSent | None = None
    new_secret: Secret | None = None


class Call:
    """One call; also the CircuitLeg that the B2BUA holds. over: it can be forgotten."""

    def __init__(self, setting: CallSetting, petname: str, box: BoxCircuits, now_us: int) -> None:
        self._setting, self._plane = setting, setting.plane
        self.petname = petname
        self.state = State.NEW
        self.circuits = CallCircuits(lambda: self if self.is_dummy else None, box)
        self.deadline_us = now_us
        self.listener: Callable[[CallEvent], None] = lambda _event: None
        self.secrets_changed = False
        self.on_open: Callable[[Call], Callable[[CallEvent], None]] = lambda _call: lambda _event: None
        """Asked, of a call of people that is open, who hears what the other box ties (PROTOCOL.md §11.5), and End when the call is over."""
        self._hears_ties: Callable[[CallEvent], None] = lambda _event: None
        self.script: Script | None = None
        """Of a dummy; else None. Only its caller's box knows the true one."""
        self._knock_digest = b""
        self._is_caller = False
        self._record = b""
        self._attempts: list[Attempt] = []
        self._offer: Offer | None = None
        self._sent: pair.SentKnock | None = None
        self._owner: TokenOwner | None = None
        self._keys: pair.CallKeys | None = None
        self._full: _Full | None = None
        self._accept: Callable[[Call, Offer], Callable[[CallEvent], None]] | None = None
        self._rang = False
        self.ran = False
        self._look_us = self._said_us = NEVER_US
        """When we look for a spare, and the first knock, ours or the other's, has been said."""
        self.wish = Wish()
        self._held: list[Callable[[], None]] = []
        """What our phone did before the keys were confirmed."""
        self._told_end = False
        self._wants_full = False
        self._wait_until_us = now_us
        self.between: Between | None = None

    @property
    def over(self) -> bool:
        """Return whether nothing more will happen."""
        return self.state is State.OVER

    @property
    def knocking(self) -> bool:
        """Return whether nobody has answered yet."""
        return self.state is State.KNOCKING

    # ------------------------------------------------------------------------------------------------------- caller's side

    def begin(self, offer: Offer, circuits: list[Circuit], now_us: int) -> None:
        """Knock at the first junction; where there is none the refusal comes with the next timer, after the B2BUA has its leg."""
        self._offer = offer
        self._begin(serialise_event(offer), circuits, now_us)

    def begin_dummy(self, script: Script, circuits: list[Circuit], now_us: int) -> None:
        """Do the same for nobody; of one that is answered nothing would tell that it was not."""
        self.script = script
        self._begin(script.serialise(), circuits, now_us)

    def _begin(self, record: bytes, circuits: list[Circuit], now_us: int) -> None:
        self._record, self._is_caller = record, True
        once = self.script is not None and (self.script.answered or not self.script.doubled)
        self._attempts = attempts_at(circuits, self._setting.book, self.petname)[: 1 if once else None]
        self.wish.want()
        self.state = State.KNOCKING
        self._wait_until_us = now_us + WAIT_FREE_US
        self._knock_next(now_us)

    def _knock_next(self, now_us: int) -> None:
        self.circuits.release(now_us, stay_quiet=False)
        attempt, circuit = next(((attempt, free) for attempt in self._attempts if (free := attempt.free()) is not None), (None, None))
        known = self._setting.book.knows(self.petname)
        if attempt is None or circuit is None or not known:
            self._make_room(now_us)
            if now_us >= self._wait_until_us or not known:
                self._attempts = []
            self.deadline_us = now_us + WAIT_STEP_US if self._attempts else now_us
            return
        self._attempts.remove(attempt)
        if self._sent is not None:
            self.wish = Wish()  # where nobody answered a spare would not be either, until the other box says that there is room
        self._owner = attempt.owner
        junction_id, dummy = circuit.path.junction.relay_id, self.is_dummy
        self._wants_full = full = not dummy and (not self._setting.book.met(self.petname) or attempt.owner.former)
        goes_on = attempt.brief and not dummy and any(other.circuits is not attempt.circuits and other.free() for other in self._attempts)
        callee_id = self._setting.book.ends(self.petname, caller=True)[1]
        made, sealed_for = now_us // SLOT_US, (attempt.owner.secret, junction_id, callee_id)
        self._sent = pair.seal_knock(*sealed_for, self._record, made, full_handshake=full, dummy=dummy, goes_on=goes_on)
        self._full, self._knock_digest = None, self._sent.knock.digest()
        self.circuits.take(circuit, self._sent.knock.join_id)
        if self.script is not None:
            keys = pair.dummy_keys(attempt.owner.secret, self._sent.knock)
            self._keys = keys if self.script.answered else None
            self._plane.speak(circuit.link, circuit.circuit, keys.to_callee.reveal(), [keys.to_caller.reveal()])
        else:
            self._plane.speak(circuit.link, circuit.circuit, None, [pair.answer_key(attempt.owner.secret, self._sent.knock).reveal()])
        circuit.call_say(Speech.KNOCK, self._sent.knock.serialise(), now_us)
        self._look_us = self._said_us = now_us + SAID_US[Speech.KNOCK]
        self.deadline_us = self._said_us if self._keys is not None else now_us + attempt.for_us

    def _make_room(self, now_us: int) -> None:
        """No circuit is free: let a spare go, or else end the dummy with the least time left, and wait for the circuit. A dummy waits for nothing."""
        circuits = [circuit for attempt in self._attempts for circuit in attempt.circuits]
        if self.script is not None or any(circuit.soon_free for circuit in circuits):
            return
        holders = [circuit.gives_way for circuit in circuits if circuit.gives_way is not None]
        if holders:
            min(holders, key=lambda holder: (not holder.is_spare, holder.ends_us)).give_way()
            self._wait_until_us = now_us + WAIT_FREE_US

    def _key_came(self, payload: bytes, now_us: int) -> None:
        circuit, sent, owner = self._circuit(), self._sent, self._owner
        if len(payload) != X25519_OCTETS or sent is None or owner is None:
            raise RemoteError("the callee's key is not one")
        circuit.hush(now_us)
        self._keys = keys = pair.finish_knock(sent, payload)
        receive = [keys.to_caller.reveal(), pair.answer_key(owner.secret, sent.knock).reveal()]
        self._plane.speak(circuit.link, circuit.circuit, keys.to_callee.reveal(), receive)
        if self.state is State.WITHDRAWN:
            self._send(serialise_event(End()))
            self._close(now_us + PART_US)
            return
        if not self._wants_full:
            self._open(now_us)
            return
        binding = self._binding(caller=True)
        first = pair.make_first(binding, self._setting.identity)
        self._full = _Full(binding, first)
        self.state = State.AWAIT_SECOND
        self.deadline_us = now_us + HANDSHAKE_US
        self._send(bytes([RecordType.FIRST]) + first.message)

    def _second_came(self, second: bytes, now_us: int) -> None:
        full, owner = self._full, self._owner
        if full is None or full.first is None or owner is None:
            raise RemoteError("second came unasked")
        third, new_secret = pair.finish_second(
            full.binding, full.first, self._setting.authority(self.petname), second, owner.secret, self._setting.date(now_us)
        )
        # The callee made this secret and has stored it, so the former one is of no more use.
        self._setting.book.renew(self.petname, new_secret, self._circuit().epoch, None)
        self.secrets_changed = True
        self._send(bytes([RecordType.THIRD]) + third)
        self._open(now_us)

    # ------------------------------------------------------------------------------------------------------- callee's side

    def join(
        self,
        circuit: Circuit,
        knock: pair.Knock,
        opened: pair.OpenedKnock,
        owner: TokenOwner,
        what: Offer | Script,
        accept: Callable[[Call, Offer], Callable[[CallEvent], None]],
        now_us: int,
        *,
        ring_at_once: bool,
    ) -> None:
        """Agree to a knock: join, and say our key, in a dummy nothing that can be opened. ring_at_once: else nothing rings before something valid came back."""
        self._owner, self._accept = owner, accept
        if isinstance(what, Script):
            self.script = what
        else:
            self._offer = what
        self._wants_full, self._knock_digest = opened.full_handshake_wanted, knock.digest()
        self.circuits.take(circuit, knock.join_id)
        self.state = State.JOINING
        self.deadline_us, self._said_us, self._look_us = now_us + KNOCK_US, now_us + SAID_US[Speech.KNOCK], now_us + LOOK_US
        if self.is_dummy:
            self._keys = keys = pair.dummy_keys(owner.secret, knock)
            self._plane.speak(circuit.link, circuit.circuit, keys.to_caller.reveal(), [keys.to_callee.reveal()])
        else:
            self._keys, public = pair.answer_knock(knock, opened, owner.secret)
            self._plane.speak(circuit.link, circuit.circuit, pair.answer_key(owner.secret, knock).reveal(), [self._keys.to_callee.reveal()])
            self._send(bytes([RecordType.ANSWER_KEY]) + public)
        circuit.call_say(Speech.JOIN, knock.join(), now_us)
        if ring_at_once and not self._wants_full:
            self._ring()

    def _confirmed(self, now_us: int) -> None:
        """The caller has our key: it is who the secret says."""
        circuit, keys = self._circuit(), self._keys
        if keys is None or self._owner is None:
            raise Bug("a call without keys")
        circuit.hush(now_us)
        if not self.is_dummy:
            self._plane.speak(circuit.link, circuit.circuit, keys.to_caller.reveal(), [keys.to_callee.reveal()])
        if self._wants_full:
            self.state = State.AWAIT_FIRST
            self.deadline_us = now_us + HANDSHAKE_US
            return
        if not self._owner.former:
            self._setting.book.confirm(self.petname)
        self._open_callee(now_us)

    def _first_came(self, first: bytes, now_us: int) -> None:
        owner = self._owner
        if owner is None:
            raise Bug("a call without keys")
        binding = self._binding(caller=False)
        second, new_secret = pair.answer_first(
            binding, self._setting.identity, self._setting.authority(self.petname), first, owner.secret, self._setting.date(now_us)
        )
        # Stored before it is sent, with the former one beside it until `third` shows that the caller has it too.
        self._setting.book.renew(self.petname, new_secret, self._circuit().epoch, owner.secret)
        self._full = _Full(binding, None, new_secret)
        self.secrets_changed = True
        self._send(bytes([RecordType.SECOND]) + second)
        self._open_callee(now_us)

    def _third_came(self, third: bytes) -> None:
        full = self._full
        if full is None or full.new_secret is None:
            raise RemoteError("third came unasked")
        pair.check_third(full.binding, full.new_secret, third)
        full.new_secret = None
        self._setting.book.confirm(self.petname)
        self.secrets_changed = True

    def _open_callee(self, now_us: int) -> None:
        """The keys are confirmed: ring, or tell what our phone did since it rings."""
        self._open(now_us)
        if not self._rang:
            self._ring()
        held, self._held = self._held, []
        for step in held:
            step()

    def _ring(self) -> None:
        self._rang = True
        if self.script is not None:
            return
        if self._accept is None or self._offer is None:
            raise Bug("a call that nobody takes")
        try:
            self.listener = self._accept(self, self._offer)
        except VoiceboxError:
            # Nobody here can take it, say for want of ports: the caller hears what it hears when nobody answers.
            self.send(Refuse(Refusal.NO_ANSWER))

    # ---------------------------------------------------------------------------------------------------------- both sides

    def heard(self, link: int, key_index: int, now_us: int) -> None:
        """Something valid came under a key of the latest speak()."""
        circuit = self._circuit()
        if self.circuits.heard(link, now_us):
            return
        if self.state is State.KNOCKING:
            self.state = State.AWAIT_KEY
            self.deadline_us = now_us + HANDSHAKE_US
            circuit.hush(now_us)
        elif self.state is State.JOINING:
            self._confirmed(now_us)
        elif key_index == 0 and self._sent is not None and self._keys is not None and self.state in {State.AWAIT_SECOND, State.OPEN}:
            # The callee speaks under the call's own key now, so that the answer key has served.
            self._plane.speak(circuit.link, circuit.circuit, self._keys.to_callee.reveal(), [self._keys.to_caller.reveal()])
            self._sent = None

    def message(self, octets: bytes, now_us: int) -> None:
        """A message came. Raises RemoteError where it is not one for now: the call is over then."""
        kind = octets[0] if octets else 0
        match self.state, kind:
            case ((State.KNOCKING | State.AWAIT_KEY | State.WITHDRAWN), RecordType.ANSWER_KEY):
                self._key_came(octets[1:], now_us)
            case State.AWAIT_SECOND, RecordType.SECOND:
                self._second_came(octets[1:], now_us)
            case State.AWAIT_FIRST, RecordType.FIRST:
                self._first_came(octets[1:], now_us)
            case ((State.OPEN | State.CLOSING), RecordType.THIRD):
                self._third_came(octets[1:])
            case ((State.OPEN | State.CLOSING), RecordType.ALONE) if len(octets) == 1:
                self.circuits.drop_spare(now_us)
            case State.OPEN, RecordType.ROOM if len(octets) == 1 and self._is_caller:
                if not self.is_dummy:  # a meeting whose words are said is one, and this was under way
                    self.wish.want()
                    self._look_us = now_us
            case State.OPEN, _ if kind in BETWEEN_TYPES and self.between is not None:
                self.between.message(octets, now_us)
            case State.OPEN, RecordType.TIE if self.is_of_people:
                self._hears_ties(parse_event(octets))
            case State.OPEN, _ if kind not in HANDSHAKE_TYPES:
                self._pass_on(parse_event(octets), now_us)
            case State.CLOSING, _:
                # What was under way when we ended the call; only its end matters, and the callee's box, which parts after it.
                if kind not in HANDSHAKE_TYPES | BETWEEN_TYPES and isinstance(parse_event(octets), End | Refuse) and not self._is_caller:
                    self._close(now_us + PART_US)
            case _:
                raise RemoteError("a message at the wrong time")

    def _pass_on(self, event: CallEvent, now_us: int) -> None:
        if isinstance(event, Offer):
            raise RemoteError("an offer within a call")
        if isinstance(event, End | Refuse):
            self._told_end = True
            self._send(serialise_event(End()))  # so that the other need not repeat its last event any longer
            self._close(now_us + PART_US)
        self.listener(event)

    def send(self, event: CallEvent) -> None:
        """Tell the far box (b2bua/ports.py CircuitLeg)."""
        now_us = self._setting.clock()
        last = isinstance(event, End | Refuse)
        if self.state is State.OPEN or (last and self.state is State.AWAIT_SECOND):
            self._send(serialise_event(Refuse(Refusal.NO_ANSWER) if event == Refuse(Refusal.UNREACHABLE) else event))
            if last:
                self._told_end = True
                self._close(now_us + (PART_US if self._is_caller else LINGER_US))
        elif self._rings_unconfirmed:
            self._hold(event)
        elif last and self.state not in {State.WITHDRAWN, State.CLOSING, State.OVER}:
            self._told_end = True
            self._withdraw(now_us)

    def _withdraw(self, now_us: int) -> None:
        """Give up before anybody was there to be told. A phone may ring already, of which the answer that is under way tells: then it is told that it is over."""
        may_ring = self.state in {State.KNOCKING, State.AWAIT_KEY} and self.circuits.first is not None and not (self._wants_full or self.is_dummy)
        if not may_ring:
            self._finish(now_us)
            return
        self._attempts = []
        self._circuit().hush(now_us)
        self.circuits.close()
        self.state = State.WITHDRAWN
        self.deadline_us = now_us + WITHDRAWN_US

    @property
    def _rings_unconfirmed(self) -> bool:
        """Return whether a phone rings here for a caller who has not shown yet that it has the call's keys."""
        return self.state is State.JOINING and self._rang and self.script is None

    def _hold(self, event: CallEvent) -> None:
        """Tell that it rings under the answer key; keep all else until the call has keys that nothing but this call knows. Spec: PROTOCOL.md §8.3."""
        last = isinstance(event, End | Refuse)
        if self._told_end:
            return
        if isinstance(event, Ringing):
            self._send(serialise_event(event))
        elif last or len(self._held) < MAX_HELD:
            self._told_end = last
            self._held.append(partial(self.send, event))

    def bind(self, port: MediaPort, codec: Codec) -> None:
        """Connect the circuit's sound with a phone's port (b2bua/ports.py CircuitLeg)."""
        if not isinstance(port, NumberedPort):
            raise Bug("a media port that is not the engine's")
        if self.state is State.OPEN:
            circuit = self._circuit()
            circuit.hush(self._setting.clock(), at_once=True)
            self._plane.media_bind(port.reference, circuit.link, circuit.circuit, codec)
        elif self._rings_unconfirmed and not self._told_end and len(self._held) < MAX_HELD:
            self._held.append(partial(self.bind, port, codec))

    def carry(self, bundle: int) -> None:
        """Let the call's circuits carry a bundle of streams, until they leave it. bundle: the engine's number."""
        if self.state is State.OPEN:
            circuit = self._circuit()
            self._plane.bundle_bind(bundle, circuit.link, circuit.circuit)

    def handle_timer(self, now_us: int) -> None:
        """The time of this state is over."""
        self.circuits.handle_timer(now_us)
        if self._may_move and self.circuits.move_us() <= now_us:
            self._move(now_us)
        if self.state is State.KNOCKING and self._attempts:
            self._knock_next(now_us)
        if self.deadline_us <= now_us:
            if self.state is State.CLOSING:
                self._finish(now_us)
            elif self.state is State.OPEN:
                self.give_way()
            elif self.state is State.KNOCKING and self._keys is not None:  # a dummy of ours, whose knock has been said
                self._circuit().hush(now_us)
                self._open(now_us)
            elif not self.over:
                self.fail(Refusal.UNREACHABLE, now_us)
        if self.state is State.OPEN and self._look_us <= now_us:
            self._look_us = NEVER_US if self.is_dummy else drawn_look_us(now_us)
            self._look_for_spare(now_us)

    @property
    def ends_us(self) -> int:
        """Return when a dummy ends by itself, at the latest."""
        return self.deadline_us

    def give_way(self) -> None:
        """End a dummy: its time is over, or its circuit is wanted. Whoever was knocked at leaves without a word, which nobody could open."""
        if self._is_caller:
            self.send(End())
        else:
            self._finish(self._setting.clock())

    @property
    def is_dummy(self) -> bool:
        """Return whether nobody makes it."""
        return self.script is not None

    @property
    def is_call(self) -> bool:
        """Return whether people make it: it is neither a dummy nor a meeting."""
        return not self.is_dummy

    @property
    def is_of_people(self) -> bool:
        """Return whether somebody talks, or is about to: it is neither a dummy, a meeting nor a probe, and carries no texts or streams alone."""
        return self._offer is not None and self._offer.is_of_people

    @property
    def is_probe(self) -> bool:
        """Return whether it measures, and rings nobody."""
        return self._offer is not None and self._offer.probe

    @property
    def is_spare(self) -> bool:
        """Return whether what has the circuit has another one: the first has none."""
        return False

    @property
    def _is_blind(self) -> bool:
        """Return whether it is a dummy of ours, of which nothing comes back that we could open."""
        return self.is_dummy and self._is_caller

    @property
    def next_us(self) -> int:
        """Return when handle_timer is to be called next."""
        further_us = min(self._look_us, self.circuits.move_us() if self._may_move else NEVER_US)
        return min(self.deadline_us, self.circuits.next_us, further_us if self.state is State.OPEN else NEVER_US)

    def silent(self, link: int, now_us: int) -> None:
        """No valid cell for 10 s: the other box is gone, or the path is. Over two circuits the call goes on over the one that lives."""
        for circuit in [circuit for circuit in self.circuits.all() if circuit.link == link and not self._is_blind]:
            if not self.circuits.without(circuit, now_us) and self.state not in {State.KNOCKING, State.OVER}:
                self.fail(Refusal.UNREACHABLE, now_us)

    def circuit_lost(self, circuit: Circuit, now_us: int) -> None:
        """A circuit is gone."""
        if self.circuits.without(circuit, now_us):
            return
        if self.state is State.KNOCKING and self._attempts:
            self.circuits.first = None
            self._knock_next(now_us)
        else:
            self.fail(Refusal.UNREACHABLE, now_us)

    def fail(self, why: Refusal, now_us: int, *, stay_quiet: bool = False) -> None:
        """End the call from inside. stay_quiet: say no part, because the circuit is wanted for another call at once."""
        told, opened = self._told_end, self.state is State.OPEN or self._rings_unconfirmed
        self._told_end = True
        self._finish(now_us, stay_quiet=stay_quiet)
        if not told:
            self.listener(End() if opened else Refuse(why))

    def _close(self, until_us: int) -> None:
        self.state = State.CLOSING
        self.deadline_us = max(until_us, self._said_us + PART_US)  # no sooner than the shortest dummy
        self.circuits.close()

    def _finish(self, now_us: int, *, stay_quiet: bool = False) -> None:
        self.circuits.release(now_us, stay_quiet=stay_quiet)
        self.state = State.OVER
        self.deadline_us = NEVER_US
        self._hears_ties(End())

    # --------------------------------------------------------------------------------------------------- further circuits

    def _look_for_spare(self, now_us: int) -> None:
        """Ask for a circuit at the other junction of the first one's epoch, where one there is free: should a path die, the call goes on over the other."""
        if self.script is not None and not (self._is_caller and self.script.doubled):
            return
        circuit = self.wish.look(self.circuits.for_a_spare())
        if circuit is not None and self._is_caller:
            self._knock_at(circuit, None, now_us)
        elif circuit is not None:
            self._send(bytes([RecordType.ROOM]))

    def _knock_at(self, circuit: Circuit, replaces: Circuit | None, now_us: int) -> None:
        """Knock at one more circuit for this call."""
        keys, book = self._keys, self._setting.book
        owners = book.secrets_of(self.petname, circuit.epoch) if book.knows(self.petname) else []
        owner = next((owner for owner in owners if not owner.former), None)
        if keys is None or owner is None:
            return
        knock = pair.seal_spare(owner.secret, circuit.path.junction.relay_id, book.ends(self.petname, caller=True)[1], self._knock_digest)
        to_callee, to_caller = pair.spare_keys(keys, knock)
        spare = Spare(self._plane, circuit, knock.join_id, self._spare_owner(), replaces)
        spare.begin(self._circuit(), Speech.KNOCK, knock.serialise(), to_callee, to_caller, now_us)
        self.circuits.add(spare)

    def wants(self, circuit: Circuit, digest: bytes) -> bool:
        """Return whether a knock there with the digest of our call's first may bring a circuit for it: the spare, or the next epoch's of one it has."""
        if self.state is not State.OPEN or self._is_caller or self._knock_digest != digest or circuit in self.circuits.all():
            return False
        if self.circuits.moves_to(circuit):
            return self.circuits.moving is None
        return self.circuits.spare is None and circuit.epoch == self._circuit().epoch

    def join_further(self, circuit: Circuit, knock: pair.Knock, now_us: int) -> None:
        """Agree to one more circuit."""
        if self._keys is None:
            raise Bug("a call without keys")
        to_callee, to_caller = pair.spare_keys(self._keys, knock)
        spare = Spare(self._plane, circuit, knock.join_id, self._spare_owner(), self.circuits.replaced_by(circuit))
        spare.begin(self._circuit(), Speech.JOIN, knock.join(), to_caller, to_callee, now_us)
        self.circuits.add(spare)

    @property
    def _may_move(self) -> bool:
        return self.state is State.OPEN and self._is_caller

    def _move(self, now_us: int) -> None:
        """Knock at the next epoch's circuit, in the place of one whose time is ending. A dummy that finds it in a call's hands ends."""
        former = self.circuits.to_move(now_us)
        successor = self.circuits.box.successor(former) if former is not None else None
        self.circuits.move_again_us = now_us + MOVE_AGAIN_US
        if former is None or successor is None:
            return
        if successor.vacant:
            self._knock_at(successor, former, now_us)
        elif self.circuits.makes_way(successor):
            self.circuits.move_again_us = now_us + WAIT_STEP_US
        elif self.is_dummy and successor.busy:
            self.give_way()

    def _spare_owner(self) -> SpareOwner:
        return SpareOwner(self.is_dummy, self._is_blind, lambda: self.deadline_us, self._let_spare_go)

    def _let_spare_go(self) -> None:
        self.wish.want()
        if self.state is State.OPEN:
            self._send(bytes([RecordType.ALONE]))  # so that the other box's circuit is free as soon as ours
        self.circuits.drop_spare(self._setting.clock())

    def _open(self, now_us: int) -> None:
        self.state, self.ran = State.OPEN, True
        self.deadline_us = NEVER_US
        if not self.is_dummy:
            first_us = now_us if self._full is None else None  # the full handshake is before it on the channel
            self.between = Between(self._binding(caller=self._is_caller), self._send, self._setting.words, is_caller=self._is_caller, now_us=first_us)
        if self.script is not None:
            self.deadline_us = now_us + self.script.length_us + (0 if self._is_caller else DUMMY_SLACK_US)
        if self.is_of_people:
            self._hears_ties = self.on_open(self)

    def _send(self, message: bytes) -> None:
        circuit = self._circuit()
        self._plane.channel_send(circuit.link, circuit.circuit, message)

    def _circuit(self) -> Circuit:
        return self.circuits.present()

    def _binding(self, *, caller: bool) -> pair.FullBinding:
        if self._keys is None:
            raise Bug("a call without keys")
        return pair.FullBinding(self._keys, self._setting.network_id, *self._setting.book.ends(self.petname, caller=caller))
