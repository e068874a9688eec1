"""The standing circuits of a box: which are wanted, when each is built, tried again, replaced at an epoch, and given up.

A box of profile `home` keeps two, over two guards to the two junctions of the epoch; `dsl` and `metered` one; `lan` eight, over the same two ways in turn. The next epoch's
are made beside the present ones, at a random time near the epoch's end, and are used from its first slot on; the old ones leave at a random time after it. A
call moves to the new ones at a random time before that (call_circuits.py). Nothing here depends on calls.
NOT here: how one is built (circuit.py), calls (calls.py). Drivers: the engine's events, and time. Pure: takes `now_us`, network time, and randomness.
Spec: PROTOCOL.md §10.4, §10.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from voicebox.circuits.circuit import Circuit, Stage, TokenMaker
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.guards import GuardSet
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.pair_book import tokens_payload
from voicebox.circuits.path import JUNCTIONS_PER_EPOCH, OwnView, Path, Pool, Rng, junctions_of_epoch, may_both, paths_over, with_middle
from voicebox.circuits.scores import Scores
from voicebox.circuits.speech import OwnerPlane
from voicebox.circuits.steps import Steps
from voicebox.circuits.uplinks import SILENT_US, Uplinks
from voicebox.errors import HostError, PolicyError, RemoteError

FIRST_RETRY_US = 1_000_000
LAST_RETRY_US = 20_000_000
LOST_RETRY_US = (3_000_000, 20_000_000)
"""A circuit that stood and is gone is made anew after a random wait, so that whoever killed it learns little from the time."""
GUARD_PATIENCE_US = 600_000_000
"""So long a guard must have been out of reach before it is set aside: an attacker on the line must not choose our guards quickly."""
GUARD_PATIENCE_TRIES = 8
PROBE_EVERY_US = (20_000_000, 40_000_000)
PREPARE_AT_MOST_US = 240_000_000
LEAVE_AT_MOST_US = 400_000_000
LEAVE = (0.5, 1.0)
"""In these parts of it circuits are let go after the end of their epoch, and before that calls move from them: in time for a contact's that goes first."""
MOVE = (0.05, 0.25)


@dataclass(slots=True)
class _Post:
    """One wanted circuit of one epoch."""

    index: int
    circuit: Circuit | None = None
    tries: int = 0
    retry_us: int = 0
    probe_us: int = 0
    noted: bool = False
    """That the circuit stands was noted."""


@dataclass(slots=True)
class _Leaving:
    """A circuit of a past epoch."""

    circuit: Circuit
    close_us: int


@dataclass(slots=True)
class _Epoch:
    """The wanted circuits of one epoch."""

    number: int
    junctions: list[Descriptor]
    posts: list[_Post] = field(default_factory=list)


def guards_wanted(count: int) -> int:
    """Return over how many guards that many circuits go."""
    return min(count, JUNCTIONS_PER_EPOCH)


class StandingCircuits:
    """Keep the circuits of a box. Contract: call an event method or handle_timer, then re-arm at next_timer().

    on_lost(circuit, now_us) is called when a circuit that may have a call is gone. middle: each circuit has one relay more, between guard and junction.
    metered: each has a cell in every second slot only. own: what the box knows of relays beside the list. guards: of the place of each uplink.
    """

    def __init__(
        self,
        plane: OwnerPlane,
        network: VerifiedNetwork,
        count: int,
        guards: Mapping[str | None, GuardSet],
        make_tokens: TokenMaker,
        rng: Rng,
        now_us: int,
        *,
        middle: bool = False,
        metered: bool = False,
        own: OwnView | None = None,
        uplinks: Uplinks | None = None,
    ) -> None:
        self._plane, self._network, self._rng, self._middle, self.metered = plane, network, rng, middle, metered
        wanted = guards_wanted(count)
        number = network.epoch_at(now_us)
        self._ways = max(1, min(wanted, len(junctions_of_epoch(network, number))))
        """Pairs of guard and junction: circuit i goes the way i modulo this."""
        self._count = count // wanted * self._ways
        self._make_tokens = make_tokens
        self.on_lost: Callable[[Circuit, int], None] = lambda _circuit, _now_us: None
        self._guard_sets, self._own, self.uplinks = dict(guards), own, uplinks or Uplinks()
        self.scores = Scores()
        self._failing: dict[bytes, tuple[int, int]] = {}
        """How many links in a row failed to a guard, and since when: whatever its posts did over other guards meanwhile, which may be another uplink's."""
        self._present = self._new_epoch(number, now_us)
        self._coming: _Epoch | None = None
        self._leaving: list[_Leaving] = []
        self._prepare_us = self._draw_prepare_us()
        self.no_path = False
        self._steps = Steps()

    # ----------------------------------------------------------------------------------------------------------- questions

    def guards(self) -> list[Descriptor]:
        """Return the guards that may be used, in their order; of several places those in use first, then of each in turn."""
        orders = [self._order_of(self.uplinks.own(way)) for way in range(self._ways)]
        orders += [order for order in self._orders.values() if order not in orders]
        in_turn = (order[place] for place in range(max(map(len, orders), default=0)) for order in orders if place < len(order))
        in_use = [circuit.path.guard for circuit in self.present()] if len(self._orders) > 1 else []
        return list({guard.relay_id: guard for guard in (*in_use, *in_turn)}.values())

    def uplink_to(self, guard: Descriptor) -> str | None:
        """Return the uplink over which a guard has a link, or would have one, so that it is met over no other; None: as the system sends. Raises HostError where it is not there."""
        if not self.uplinks.chosen:
            return None
        over = [circuit.uplink for circuit in self.all() if circuit.path.guard.relay_id == guard.relay_id]
        over += [uplink for uplink, order in self._orders.items() if guard in order]
        if not over or over[0] not in self.uplinks.there:
            raise HostError("the uplink of a guard is not there")
        return over[0]

    @property
    def pool(self) -> Pool:
        """Return the relays from which guards and middles are drawn."""
        return self._pool

    @property
    def avoids(self) -> int:
        """Return how many relays are left out because they have the box's own address."""
        return len(self._own.avoid) if self._own is not None else 0

    @property
    def epoch(self) -> int:
        """Return the epoch whose circuits are in use."""
        return self._present.number

    def present(self) -> list[Circuit]:
        """Return the circuits of this epoch, in the order of its junctions."""
        return [post.circuit for post in self._present.posts if post.circuit is not None]

    def all(self) -> list[Circuit]:
        """Return every circuit there is, those of the next and the last epoch too."""
        coming = [post.circuit for post in self._coming.posts if post.circuit is not None] if self._coming else []
        return [*self.present(), *coming, *(leaving.circuit for leaving in self._leaving)]

    def successor(self, circuit: Circuit) -> Circuit | None:
        """Return the circuit to which the call of a former epoch's moves: the one at its place among those of this epoch."""
        later = [each for each in self.present() if each.index == circuit.index]
        return later[0] if later and circuit.epoch < self._present.number else None

    def ready(self) -> bool:
        """Return whether every circuit of the profile stands."""
        return sum(circuit.stage is Stage.STANDING for circuit in self.present()) == self._count

    def by_link(self, link: int) -> Circuit | None:
        """Return the circuit over a link."""
        return next((circuit for circuit in self.all() if link in {circuit.link, circuit.next_link}), None)

    # -------------------------------------------------------------------------------------------------------------- events

    def link_up(self, link: int, now_us: int) -> None:
        """An access link stands."""
        circuit = self.by_link(link)
        if circuit is not None:
            circuit.link_up(now_us)

    def created(self, link: int, payload: bytes, now_us: int) -> None:
        """A guard answered; one that does not verify costs the circuit."""
        self._feed(link, lambda circuit: circuit.created(payload, now_us), now_us)

    def answer(self, link: int, hop: int, kind: int, payload: bytes, now_us: int) -> None:
        """A hop answered."""
        self._feed(link, lambda circuit: circuit.answer(hop, kind, payload, now_us), now_us)

    def lost(self, link: int, now_us: int) -> None:
        """A link failed or is down, or a circuit was refused or ended."""
        circuit = self.by_link(link)
        if circuit is not None:
            circuit.give_up()
            self._clear(now_us)

    def _feed(self, link: int, step: Callable[[Circuit], None], now_us: int) -> None:
        circuit = self.by_link(link)
        if circuit is None:
            return
        try:
            step(circuit)
        except RemoteError:
            circuit.give_up()
        self._clear(now_us)

    # ---------------------------------------------------------------------------------------------------------------- time

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        for circuit in self.all():
            circuit.handle_timer(now_us)
            circuit.use_mouth(now_us)
        self._clear(now_us)
        if self._network.epoch_at(now_us) > self._present.number:
            self._switch(now_us)
        if self._coming is None and now_us >= self._prepare_us:
            self._coming = self._new_epoch(self._present.number + 1, now_us)
        for epoch in (self._present, self._coming):
            if epoch is not None:
                self._build(epoch, now_us)
        for leaving in [leaving for leaving in self._leaving if leaving.close_us <= now_us]:
            leaving.circuit.give_up()
        self._clear(now_us)
        former = {leaving.circuit.index: leaving.circuit for leaving in self._leaving}
        for circuit in self.present():
            circuit.predecessor = former.get(circuit.index)

    def next_timer(self) -> int:
        """Return when handle_timer is to be called next."""
        times = [(self._present.number + 1) * self._network.epoch_us]
        if self._coming is None:
            times.append(self._prepare_us)
        times += [timer for circuit in self.all() if (timer := circuit.next_timer()) is not None]
        times += [leaving.close_us for leaving in self._leaving]
        for epoch in (self._present, self._coming):
            if epoch is not None:
                times += [post.retry_us if post.circuit is None else post.probe_us for post in epoch.posts]
        return min(times)

    def use_guards(self, guards: Mapping[str | None, GuardSet], now_us: int) -> None:
        """Take the guards of other places, for circuits that are made from now on; those that stand go on over theirs."""
        self._guard_sets = dict(guards)
        self._look_at_relays(now_us)

    def look_at_addresses(self, now_us: int) -> None:
        """Let circuits go on from where this machine sends now. Spec: PROTOCOL.md §6.5."""
        for circuit in self.all():
            circuit.look_at_address(now_us, self.uplinks.to_stay(circuit.index % self._ways, circuit.uplink))
        self._clear(now_us)

    def take_silence(self, asked: Iterable[tuple[int, int]], now_us: int) -> None:
        """Take (link, how long nothing valid came) of the engine: what is silent over one uplink goes on over another one that is not. Spec: PROTOCOL.md §6.5."""
        silent_us = dict(asked)
        linked = [(circuit, silent_us[circuit.link]) for circuit in self.all() if circuit.link in silent_us]
        heard = {circuit.uplink for circuit, silence_us in linked if silence_us < SILENT_US}
        for circuit, silence_us in linked:
            others = tuple(other for other in self.uplinks.to_stay(circuit.index % self._ways, circuit.uplink) if other in heard and other != circuit.uplink)
            if silence_us >= SILENT_US and others and circuit.stage is Stage.STANDING and not circuit.is_moving:
                circuit.look_at_address(now_us, others)
        self._clear(now_us)

    def take_jitter(self, asked: Iterable[tuple[int, int]]) -> None:
        """Take (link, step) of the engine: our own end of later circuits over the same guard settles with that step."""
        for link, step_us in asked:
            circuit = self.by_link(link)
            if circuit is not None:
                self._steps.vote(circuit.path.guard.relay_id, step_us)

    def renew_tokens(self, now_us: int, *, at_once: bool = False) -> None:
        """Leave tokens anew on every circuit: contacts or secrets changed. at_once: dummies give way to that; a new contact may call any moment."""
        for circuit in self.all():
            if at_once and circuit.gives_way is not None and circuit.gives_way.is_dummy and not circuit.closing:
                circuit.gives_way.give_way()
            circuit.renew_tokens(now_us)

    def use(self, network: VerifiedNetwork, own: OwnView) -> None:
        """Take newer relays of the network, and what is known beside them; they count from the next epoch on."""
        self._network, self._own = network, own

    def close(self) -> None:
        """Give up everything, in silence."""
        for circuit in self.all():
            circuit.give_up()

    # ----------------------------------------------------------------------------------------------------------- internals

    def _new_epoch(self, number: int, now_us: int) -> _Epoch:
        self._look_at_relays(now_us)
        return _Epoch(number, junctions_of_epoch(self._network, number), [_Post(index) for index in range(self._count)])

    def _look_at_relays(self, now_us: int) -> None:
        """See which relays are valid now, and let the rules of the guards have their way: once an epoch, whatever happens."""
        self._pool = Pool(self._network, Role.GUARD, self._network.date(now_us), self._own)
        for guards in set(self._guard_sets.values()):
            guards.refresh(self._pool, self._unix_s(now_us))
        self._order_guards(now_us)

    def _order_guards(self, now_us: int) -> None:
        by_set = {guards: guards.in_order(self._pool, self._unix_s(now_us)) for guards in set(self._guard_sets.values())}
        self._orders = {uplink: by_set[guards] for uplink, guards in self._guard_sets.items()}

    def _set_of(self, circuit: Circuit) -> GuardSet:
        """Return the guards among which a circuit's was; after a change of uplinks any, for a set takes no notice of others' guards."""
        return self._guard_sets.get(circuit.uplink, next(iter(self._guard_sets.values())))

    def _order_of(self, uplink: str | None) -> list[Descriptor]:
        """Return the guards over an uplink in their order; none over one that was not chosen when guards were taken."""
        return self._orders.get(uplink, [])

    def _unix_s(self, now_us: int) -> int:
        return (self._network.terms.born_unix_us + now_us) // 1_000_000

    def _draw_prepare_us(self) -> int:
        lead_us = min(PREPARE_AT_MOST_US, self._network.epoch_us / 3)
        return int((self._present.number + 1) * self._network.epoch_us - self._rng.uniform(0.6, 1) * lead_us)

    def _path(self, epoch: _Epoch, index: int, uplink: str | None) -> Path | None:
        """Return the path of a post over an uplink, with a fresh middle where that is wanted."""
        path = self._guard_and_junction(epoch, index, uplink)
        if path is None or not self._middle:
            return path
        try:
            return with_middle(self._pool, path, self.guards(), self._rng, self.scores.favour(self._pool.entropy_bits))
        except PolicyError:
            return None

    def _guard_and_junction(self, epoch: _Epoch, index: int, uplink: str | None) -> Path | None:
        """Return the ends of a path, with a guard of the uplink's place; never over a guard that a circuit of the other way uses in the same epoch, or near it."""
        terms, junctions, way = self._network.terms, epoch.junctions, index % self._ways
        used = [post.circuit.path.guard for post in epoch.posts if post.circuit is not None and post.index % self._ways != way]
        mine = self._order_of(uplink)
        orders = [mine if each == way else self._order_of(self.uplinks.own(each)) for each in range(min(self._ways, len(junctions)))]

        def may(guard: Descriptor) -> bool:
            return all(may_both(terms, guard, other, same_place=other in mine) for other in used)

        try:
            paths = paths_over(terms, orders, junctions)
            if way < len(paths) and not may(paths[way].guard):
                return paths_over(terms, [[guard for guard in mine if may(guard)]], junctions[way : way + 1])[0]
        except PolicyError:
            return None
        return paths[way] if way < len(paths) else None

    def _tokens_of(self, post: _Post) -> TokenMaker:
        """Return who makes a circuit's tokens: the first of each way is knocked at; those beside it leave random ones, so that the same never lie at two."""
        return self._make_tokens if post.index < self._ways else lambda _path, _epoch: tokens_payload(())

    def _build(self, epoch: _Epoch, now_us: int) -> None:
        for post in epoch.posts:
            if post.circuit is not None:
                if post.probe_us <= now_us:
                    post.circuit.probe(now_us)
                    post.probe_us = now_us + self._between(PROBE_EVERY_US)
            elif post.retry_us <= now_us:
                uplink, path = self._way_out(epoch, post)
                self.no_path = path is None
                post.noted = False
                if path is None:
                    post.retry_us = now_us + LAST_RETRY_US
                else:
                    post.circuit = Circuit(
                        self._plane,
                        self._network.network_id,
                        path,
                        epoch.number,
                        self._tokens_of(post),
                        now_us,
                        self._steps.of(path.guard.relay_id),
                        index=post.index,
                        attempt=post.tries // max(1, len(self.uplinks.there)),
                        metered=self.metered,
                        uplink=uplink,
                    )
                    post.probe_us = now_us + self._between(PROBE_EVERY_US)

    def _way_out(self, epoch: _Epoch, post: _Post) -> tuple[str | None, Path | None]:
        """Return over which uplink a circuit is begun, and its path; no path where no uplink of those chosen is there."""
        try:
            uplink = self.uplinks.to_begin(post.index % self._ways, post.tries)
        except HostError:
            return None, None
        return uplink, self._path(epoch, post.index, uplink)

    def _switch(self, now_us: int) -> None:
        """The epoch is over: what was coming is present, what was present leaves."""
        leave_us = min(LEAVE_AT_MOST_US, self._network.epoch_us / 3)
        for post in self._present.posts:  # drawn whether it has a circuit or not
            move_us, close_us = (int(now_us + self._rng.uniform(*part) * leave_us) for part in (MOVE, LEAVE))
            if post.circuit is not None:
                post.circuit.move_us = move_us
                self._leaving.append(_Leaving(post.circuit, close_us))
        number, coming, self._coming = self._network.epoch_at(now_us), self._coming, None
        if coming is not None and coming.number != number:  # a machine that stood still over a whole epoch
            for post in coming.posts:
                if post.circuit is not None:
                    post.circuit.give_up()
            coming = None
        self._present = coming or self._new_epoch(number, now_us)
        self._prepare_us = self._draw_prepare_us()

    def _clear(self, now_us: int) -> None:
        """Take out the circuits that are gone, and set when they are tried again."""
        for epoch in (self._present, self._coming):
            for post in epoch.posts if epoch is not None else ():
                circuit = post.circuit
                if circuit is not None and circuit.stage is Stage.GONE:
                    post.circuit = None
                    self.scores.failed(circuit)
                    self._schedule(post, circuit, now_us)
                    self.on_lost(circuit, now_us)
                elif circuit is not None and circuit.stage is Stage.STANDING:
                    post.tries = 0
                    self._failing.pop(circuit.path.guard.relay_id, None)
                    if not post.noted:
                        post.noted = True
                        self.scores.stood(circuit)
                        self._set_of(circuit).reached(circuit.path.guard.relay_id)
        for leaving in [leaving for leaving in self._leaving if leaving.circuit.stage is Stage.GONE]:
            self._leaving.remove(leaving)
            self.on_lost(leaving.circuit, now_us)

    def _schedule(self, post: _Post, circuit: Circuit, now_us: int) -> None:
        if post.tries == 0 and circuit.stood:
            post.retry_us = now_us + self._between(LOST_RETRY_US)
            return
        longest_us = min(LAST_RETRY_US, FIRST_RETRY_US << min(post.tries, 10))
        post.retry_us = now_us + self._between((longest_us // 2, longest_us))
        post.tries += 1
        guard_id = circuit.path.guard.relay_id
        failures, since_us = self._failing.pop(guard_id, (0, now_us))
        if not circuit.failed_at_link:
            return
        if failures + 1 >= GUARD_PATIENCE_TRIES and now_us - since_us >= GUARD_PATIENCE_US:
            self._set_of(circuit).out_of_reach(guard_id, self._unix_s(now_us))
            self._order_guards(now_us)
            post.tries = 0
        else:
            self._failing[guard_id] = failures + 1, since_us

    def _between(self, bounds: tuple[int, int]) -> int:
        return int(self._rng.uniform(*bounds))
