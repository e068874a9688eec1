"""One circuit of a box, from the first datagram to its guard until it stands, and its mouth afterwards.

    1 LINKING            an access link to the guard is asked for
    2 CREATING           create to the guard
    3 EXTENDING          extend to the next relay, inside the layers of those before; again until the junction is there
    4 PHASING            each hop in turn tells its de-jitter step, the junction last, and how long a cell would wait there
    5 SHIFTING           the tick is delayed by that
    6 SETTLING           the guard measures 50 cells and fixes its due times; then each hop behind it likewise, 60 slots later
    7 LEAVING_TOKENS     tokens to the junction; our own backward end settles meanwhile
    8 STANDING           knocks may come and go
    9 GONE               for ever: refused, broken, out of time, closed

Where this machine sends from another address, or over another uplink, one that stands goes on over another link to its guard (`attach`); any other is gone.

All that changes the stage is in this file. NOT here: which relays and when (standing.py), calls (calls.py). Drivers: the engine's events through
standing.py, and time. Pure: takes `now_us`, network time. Spec: PROTOCOL.md §5.3, §5.4, §6.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.handshake import HopBinding, PendingHop, begin_hop, finish_hop
from voicebox.circuits.network import SLOT_US
from voicebox.circuits.path import Path
from voicebox.circuits.speech import OwnerPlane, Speech, extend_payload, parse_phased, settle_payload
from voicebox.errors import HostError, RemoteError

STAGE_LIMIT_US = 20_000_000
"""No stage takes that long on a path that works; the longest, LINKING, gives up by itself after 10 s (PROTOCOL.md §2.1)."""
SHIFT_PER_SLOT_US = 500
SETTLE_AHEAD_SLOTS = 25
"""So far ahead lies the first slot to measure: the command is repeated until it is heard."""
SETTLE_APART_SLOTS = 60
OWN_SETTLING_CELLS = 55
COMPOSE_US = 1_000
PART_ROUNDS = 8
PROBE_LIMIT_US = 6_000_000
ATTACH_LIMIT_US = 6_000_000
"""So long after its address changed a circuit is attached, or is gone."""
SAID_US = {Speech.KNOCK: 1_000_000, Speech.JOIN: 600_000}
"""For so long at least a knock and a join are said, answered or not: whoever begins a dummy does not know whether it is (PROTOCOL.md §8.6)."""
SAID_EVERY = {Speech.KNOCK: 2, Speech.JOIN: 3}
"""The slots between two joins carry the answer, of either parity: a metered circuit gets the cells of one alone (PROTOCOL.md §5.7)."""
ASK_EVERY = 5
"""A question leaves four slots between two of its own to the call that there may be: what its slot took of the sound is heard from the copy in the next (PROTOCOL.md §12.4)."""
NEVER_US = 2**62
NO_LINK = 0
"""A circuit that never had one: the engine's numbers begin at 1."""
METERED = 2**31
"""The bit of a circuit's number that says that it has a cell in every second slot only."""
FAST = 2**30
"""The bit that no circuit's number has: with it a cell is a fast one (PROTOCOL.md §13.1)."""
TokenMaker = Callable[[Path, int], bytes]


class GivesWay(Protocol):
    """A dummy (call.py) or a spare (spare.py) that has a circuit, as far as somebody needs it who wants the circuit for a call."""

    @property
    def is_dummy(self) -> bool: ...
    @property
    def is_spare(self) -> bool: ...
    @property
    def ends_us(self) -> int: ...
    def give_way(self) -> None: ...


class Stage(Enum):
    """Protocol order; see the module's list."""

    LINKING = auto()
    CREATING = auto()
    EXTENDING = auto()
    PHASING = auto()
    SHIFTING = auto()
    SETTLING = auto()
    LEAVING_TOKENS = auto()
    STANDING = auto()
    GONE = auto()


class Mouth(Enum):
    """What is being said to the junction of a standing circuit: the engine says one message at a time."""

    FREE = auto()
    TOKENS = auto()
    PROBE = auto()
    QUESTION = auto()
    CALL = auto()
    ANSWERED = auto()
    """A knock or a join that has been answered, until its time is over."""
    PART = auto()


class Circuit:
    """One circuit over one access link of its own. make_tokens(path, epoch) returns the 2048 octets to leave; own_step_us: the de-jitter step of our own end.

    index: its place among the circuits of its epoch. attempt: which of the guard's addresses is tried. metered: it has a cell in every second slot only.
    uplink: the interface over which its link leaves; None: as the system sends.
    """

    def __init__(
        self,
        plane: OwnerPlane,
        network_id: bytes,
        path: Path,
        epoch: int,
        make_tokens: TokenMaker,
        now_us: int,
        own_step_us: int,
        *,
        index: int = 0,
        attempt: int = 0,
        metered: bool = False,
        uplink: str | None = None,
    ) -> None:
        self.path, self.epoch, self.index = path, epoch, index
        self._metered = metered
        self._stride = 2 if metered else 1
        """Slots from one of its cells to the next."""
        self.move_us = NEVER_US
        """From when on a call moves to the circuit at this place in the next epoch. Set by standing.py at the end of the epoch, as is the next."""
        self.predecessor: Circuit | None = None
        """The circuit at this place in the former epoch, while that is there."""
        self.stage = Stage.LINKING
        self.circuit = self._new_number()
        self.busy = False
        """A call has it. Set and cleared by call.py, as is closing: the call is over but for its last words."""
        self.closing = False
        self.gives_way: GivesWay | None = None
        """What has it, if that gives way to a call."""
        self.failed_at_link = False
        self.stood = False
        """It stands, or stood once: all its relays took it for a circuit of its epoch."""
        self._plane, self._network_id, self._make_tokens = plane, network_id, make_tokens
        self.suspects: tuple[Descriptor, ...] = ()
        """Once it is gone: the relays one of which it may have failed at."""
        self.round_trips_us: list[int] = []
        """From our asking each hop for its phase to the answer, the nearest first."""
        self._asked_us = 0
        self._pending: PendingHop | None = None
        self._own_step_us, self._steps_us = own_step_us, 0
        self._hops = self._phased_hops = self._settled_hops = self._first_settle_slot = 0
        self._junction_hop = len(path.relays) - 1
        self._own_settled_us = 0
        self._said_us = 0
        self._mouth = Mouth.FREE
        self._tokens_old = False
        self._question: bytes | None = None
        """Of the box to the holders of a record, until it is answered or given up. What else is said goes first, and it is said again then."""
        self._overtaken: Speech | None = None
        self._deadline_us = now_us + STAGE_LIMIT_US
        self._to = path.guard.address(attempt)
        self.next_link = NO_LINK
        """The link that it goes on over once that stands."""
        self._attached_by_us = NEVER_US
        self.uplink = uplink
        try:
            self._leaves_from = plane.source(self._to.host, uplink)
            self.link = self._connect()
        except HostError:  # no such family of addresses here: another one is tried next time
            self.link, self.stage, self.failed_at_link = NO_LINK, Stage.GONE, True

    # ----------------------------------------------------------------------------------------------------------- events

    def link_up(self, now_us: int) -> None:
        """The access link stands: create; or another one, to go on over."""
        if self.stage is Stage.LINKING:
            self._pending = begin_hop(self._binding(self.path.guard, self.circuit))
            self._go(Stage.CREATING, now_us)
            self._plane.open(self.link, self.circuit, self._pending.handshake)
        elif self.next_link != NO_LINK:
            former, self.link, self.next_link = self.link, self.next_link, NO_LINK
            self._plane.attach_circuit(former, self.circuit, self.link)
            self._plane.disconnect(former)

    def look_at_address(self, now_us: int, uplinks: tuple[str | None, ...] = (None,)) -> None:
        """Ask for another link where this machine sends to the guard from another address than when it asked for the last one, or could not for a while. Spec: PROTOCOL.md §6.5.

        uplinks: over which it may go on, the best first; the first with a way to the guard is taken, and where none has one, or there is none, nothing leaves.
        """
        if self.stage is Stage.GONE:
            return
        before = self.uplink, self._leaves_from
        ways = ((uplink, self._plane.source(self._to.host, uplink)) for uplink in uplinks)
        self.uplink, self._leaves_from = next((way for way in ways if way[1]), (self.uplink, ""))
        if (self.uplink, self._leaves_from) == before:
            return
        if self.stage is not Stage.STANDING:
            self.give_up()
            return
        self._plane.mute(self.link)
        if self.next_link != NO_LINK:
            self._plane.disconnect(self.next_link)
            self.next_link = NO_LINK
        if self._leaves_from:
            try:
                self.next_link, self._attached_by_us = self._connect(), now_us + ATTACH_LIMIT_US
            except HostError:
                self.give_up()

    def created(self, payload: bytes, now_us: int) -> None:
        """The guard answered our create. Raises RemoteError where it does not verify."""
        if self.stage is not Stage.CREATING:
            raise RemoteError("created came unasked")
        self._add_hop(payload)
        self._extend(now_us)

    def answer(self, hop: int, kind: int, payload: bytes, now_us: int) -> None:
        """Hear a hop's answer to what we said. Raises RemoteError where it is not the one that was asked for."""
        match self.stage, kind, hop:
            case Stage.EXTENDING, Speech.EXTENDED, _ if hop == self._hops - 1:
                self._add_hop(payload)
                if self._hops <= self._junction_hop:
                    self._extend(now_us)
                else:
                    self._ask_phase(now_us)
            case Stage.PHASING, Speech.PHASED, self._phased_hops:
                self._phased(payload, now_us)
            case Stage.SETTLING, Speech.SETTLED, self._settled_hops:
                self._settled(now_us)
            case ((Stage.LEAVING_TOKENS | Stage.STANDING), Speech.LEFT, self._junction_hop) if self._mouth is Mouth.TOKENS:
                self._mouth = Mouth.FREE
                self._deadline_us = max(now_us, self._own_settled_us)
                self.use_mouth(now_us)
            case Stage.STANDING, Speech.PHASED, self._junction_hop if self._mouth is Mouth.PROBE:
                self._mouth = Mouth.FREE
                self.use_mouth(now_us)
            case Stage.STANDING, Speech.ANSWERED, self._junction_hop:  # also to one that was just given up
                self._question = None
                if self._mouth is Mouth.QUESTION:
                    self._mouth = Mouth.FREE
                self.use_mouth(now_us)
            case Stage.STANDING, Speech.ATTACHED, 0 if self._attached_by_us != NEVER_US:
                if self.next_link == NO_LINK:  # else it has left the link that this is about, too
                    self._attached_by_us = NEVER_US
            case Stage.STANDING, self._overtaken, self._junction_hop:
                self._overtaken = None  # it was under way to us when a call began to speak instead
            case _:
                raise RemoteError("a hop answered what it was not asked")

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        if self._attached_by_us <= now_us:
            self.give_up()
        if self._deadline_us > now_us or self.stage is Stage.GONE:
            return
        if self.stage is Stage.SHIFTING:
            self._first_settle_slot = now_us // SLOT_US + SETTLE_AHEAD_SLOTS
            self._settle(now_us)
        elif self.stage is Stage.LEAVING_TOKENS and self._mouth is Mouth.FREE:
            self.stood = True
            self._go(Stage.STANDING, now_us)
        elif self.stage is Stage.STANDING and self._mouth is Mouth.PART:
            self._mouth = Mouth.FREE
        elif self.stage is Stage.STANDING and self._mouth is Mouth.ANSWERED:
            self._fall_silent(now_us)
        elif self.stage is not Stage.STANDING or self._mouth in {Mouth.PROBE, Mouth.TOKENS}:
            self.give_up()

    def next_timer(self) -> int | None:
        """Return when handle_timer is to be called, or None."""
        waits = self.stage is not Stage.STANDING or self._mouth in {Mouth.PROBE, Mouth.TOKENS, Mouth.PART, Mouth.ANSWERED}
        due_us = min(self._deadline_us if waits else NEVER_US, self._attached_by_us)
        return due_us if due_us != NEVER_US and self.stage is not Stage.GONE else None

    def give_up(self) -> None:
        """Forget the circuit and its link, in silence; idempotent."""
        if self.stage is not Stage.GONE:
            self.failed_at_link = self.stage is Stage.LINKING
            self.suspects = self._suspects()
            self.stage, self._attached_by_us = Stage.GONE, NEVER_US
            for link in {self.link, self.next_link} - {NO_LINK}:
                self._plane.disconnect(link)

    # ------------------------------------------------------------------------------------------------- mouth of a standing circuit

    @property
    def is_moving(self) -> bool:
        """Return whether it is on the way to another link."""
        return self._attached_by_us != NEVER_US

    @property
    def vacant(self) -> bool:
        """Return whether nothing is on it: it stands, no call has it, and no part is being said."""
        return self.stage is Stage.STANDING and not self.busy and self._mouth is not Mouth.PART

    @property
    def soon_vacant(self) -> bool:
        """Return whether it is vacant, or will be within a second or two."""
        return self.stage is Stage.STANDING and (not self.busy or self.closing)

    @property
    def free(self) -> bool:
        """Return whether a call may begin on it: it is vacant, and no call will move to it."""
        return self.vacant and not self._awaited

    @property
    def soon_free(self) -> bool:
        """Return whether it is free, or will be within a second or two."""
        return self.soon_vacant and not self._awaited

    @property
    def idle(self) -> bool:
        """Return whether a dummy may begin on it: it will be free, and no dummy will move to it either."""
        return self.soon_vacant and not self._busy_before

    @property
    def _awaited(self) -> bool:
        return self._busy_before and self.predecessor is not None and self.predecessor.gives_way is None

    @property
    def _busy_before(self) -> bool:
        before = self.predecessor
        return before is not None and before.stage is Stage.STANDING and before.busy and not before.closing

    def renew_tokens(self, now_us: int) -> None:
        """Leave tokens anew as soon as nothing else is said: the contacts or their secrets changed."""
        self._tokens_old = True
        self.use_mouth(now_us)

    def use_mouth(self, now_us: int) -> None:
        """Say what waits, where nothing is being said. No tokens within a call: its slots are wanted, and no knock can be taken meanwhile anyway."""
        if self.stage is not Stage.STANDING or self._mouth not in {Mouth.FREE, Mouth.QUESTION}:
            return
        if self._tokens_old and not self.busy:
            self._leave_tokens(now_us)
        elif self._question is not None and self._mouth is Mouth.FREE:
            self._mouth = Mouth.QUESTION
            self._plane.say(self.link, self.circuit, self._junction_hop, Speech.ASK, self._question, ASK_EVERY, 0)

    def ask(self, question: bytes | None, now_us: int) -> None:
        """Ask the holders of a record through the junction, in a call or not; None: give up what was asked."""
        self._question = question
        if self._mouth is Mouth.QUESTION:
            self._fall_silent(now_us)
        else:
            self.use_mouth(now_us)

    def probe(self, now_us: int) -> None:
        """Ask the junction something it must answer: relays fill, so silence is never the sign of a dead one."""
        if self.vacant and self._mouth is Mouth.FREE:
            self._mouth = Mouth.PROBE
            self._deadline_us = now_us + PROBE_LIMIT_US
            self._say(self._junction_hop, Speech.PHASE, b"")

    def call_say(self, kind: Speech, payload: bytes, now_us: int) -> None:
        """Knock in every second slot, or join in every third, until hush(). What else was being said is said again later."""
        self._interrupt()
        self._mouth, self._said_us = Mouth.CALL, now_us + SAID_US[kind]
        self._plane.say(self.link, self.circuit, self._junction_hop, kind, payload, SAID_EVERY[kind], 0)

    def _interrupt(self) -> None:
        """Something else is going to be said; an answer that the engine has told already may still come."""
        self._tokens_old = self._tokens_old or self._mouth is Mouth.TOKENS
        self._overtaken = {Mouth.TOKENS: Speech.LEFT, Mouth.PROBE: Speech.PHASED}.get(self._mouth, self._overtaken)

    def hush(self, now_us: int, *, at_once: bool = False) -> None:
        """Stop knocking or joining, as soon as it was said for SAID_US; at_once: now, for every slot is wanted for sound."""
        if self._mouth is Mouth.CALL:
            self._mouth, self._deadline_us = Mouth.ANSWERED, self._said_us
        if self._mouth is Mouth.ANSWERED and (at_once or self._said_us <= now_us):
            self._fall_silent(now_us)

    def _fall_silent(self, now_us: int) -> None:
        self._mouth = Mouth.FREE
        self._plane.hush(self.link, self.circuit)
        self.use_mouth(now_us)

    def give_back(self, join_id: bytes, now_us: int, *, stay_quiet: bool = False) -> None:
        """Take it from the call that has it: filler again, and no splice and no knock of that call at the junction. stay_quiet: say no part."""
        if self.stage is not Stage.GONE:
            self.hush(now_us, at_once=True)
            self._plane.quiet(self.link, self.circuit)
            if not stay_quiet:
                self.part(join_id, now_us)
        self.busy, self.closing, self.gives_way = False, False, None

    def part(self, join_id: bytes, now_us: int) -> None:
        """End the splice of that id, or withdraw our knock; a few rounds, since nothing answers it."""
        self._interrupt()
        self._mouth = Mouth.PART
        self._deadline_us = now_us + (PART_ROUNDS + 2) * SLOT_US * self._stride
        self._plane.say(self.link, self.circuit, self._junction_hop, Speech.PART, join_id, 1, PART_ROUNDS)

    # ---------------------------------------------------------------------------------------------------------- internals

    def _suspects(self) -> tuple[Descriptor, ...]:
        """Return whom to suspect where it fails now: the hop that is spoken to, and the one that speaks to it; of a circuit that stood, all."""
        relays = self.path.relays
        match self.stage:
            case Stage.LINKING | Stage.CREATING:
                return relays[:1]
            case Stage.EXTENDING:
                return relays[self._hops - 1 : self._hops + 1]
            case Stage.PHASING:
                return relays[: self._phased_hops + 1]
            case _:
                return relays

    def _connect(self) -> int:
        return self._plane.connect(self._to.host, self._to.port, self.path.guard.link_pin, uplink=self.uplink)

    def _new_number(self) -> int:
        """Draw a number for a link: all of one circuit say alike whether it is metered. Spec: PROTOCOL.md §5.7."""
        return 1 + secrets.randbelow(FAST - 1) + (METERED if self._metered else 0)

    def _binding(self, relay: Descriptor, number: int) -> HopBinding:
        return HopBinding(self._network_id, relay.identity, number, self.epoch)

    def _add_hop(self, payload: bytes) -> None:
        if self._pending is None:
            raise RemoteError("a hop answered what it was not asked")
        keys = finish_hop(self._pending, payload)
        self._pending = None
        self._hops += 1
        self._plane.add_hop(self.link, self.circuit, keys.forward.reveal(), keys.backward.reveal())

    def _extend(self, now_us: int) -> None:
        """Ask the last hop to extend to the next relay."""
        relay, number = self.path.relays[self._hops], self._new_number()
        self._pending = begin_hop(self._binding(relay, number))
        self._go(Stage.EXTENDING, now_us)
        self._say(self._hops - 1, Speech.EXTEND, extend_payload(relay.relay_id, number, self._pending.handshake))

    def _settle(self, now_us: int) -> None:
        """Let the next hop settle."""
        self._go(Stage.SETTLING, now_us)
        self._say(self._settled_hops, Speech.SETTLE, settle_payload(self._first_settle_slot))

    def _settled(self, now_us: int) -> None:
        """A hop is even: the next one measures; behind the junction our own end does."""
        self._settled_hops += 1
        if self._settled_hops <= self._junction_hop:
            apart_slots = SETTLE_APART_SLOTS * self._stride
            self._first_settle_slot = max(self._first_settle_slot + apart_slots, now_us // SLOT_US + SETTLE_AHEAD_SLOTS // 2)
            self._settle(now_us)
            return
        self._go(Stage.LEAVING_TOKENS, now_us)
        self._own_settled_us = now_us + OWN_SETTLING_CELLS * SLOT_US * self._stride
        self._plane.settle_own(self.link, self.circuit, self._own_step_us)
        self._leave_tokens(now_us)

    def _go(self, stage: Stage, now_us: int) -> None:
        self.stage = stage
        self._deadline_us = now_us + STAGE_LIMIT_US

    def _say(self, hop: int, kind: Speech, payload: bytes) -> None:
        self._plane.say(self.link, self.circuit, hop, kind, payload, 1, 0)

    def _ask_phase(self, now_us: int) -> None:
        self._go(Stage.PHASING, now_us)
        self._asked_us = now_us
        self._say(self._phased_hops, Speech.PHASE, b"")

    def _phased(self, payload: bytes, now_us: int) -> None:
        """A hop told its step: the next one is asked; behind the junction our tick is delayed, so that cells come just before its slot. Spec: PROTOCOL.md §5.4."""
        wait_us, step_us = parse_phased(payload)
        self.round_trips_us.append(now_us - self._asked_us)
        self._steps_us += step_us
        self._phased_hops += 1
        if self._phased_hops <= self._junction_hop:
            self._ask_phase(now_us)
            return
        delay_us = (wait_us - self._steps_us - COMPOSE_US) % (SLOT_US * self._stride)
        self._go(Stage.SHIFTING, now_us)
        self._deadline_us = now_us + (delay_us // SHIFT_PER_SLOT_US + 3 * self._stride) * SLOT_US
        self._plane.shift(self.link, delay_us)

    def _leave_tokens(self, now_us: int) -> None:
        self._mouth, self._tokens_old = Mouth.TOKENS, False
        self._deadline_us = now_us + STAGE_LIMIT_US
        self._say(self._junction_hop, Speech.TOKENS, self._make_tokens(self.path, self.epoch))
