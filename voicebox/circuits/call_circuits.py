"""The circuits that one call has: the first, a spare, and while it moves to the next epoch one more.

A call leaves the circuits of an epoch that is over in the order

    1 at a drawn time of the overlap the caller knocks at the circuit that has the same place in the new epoch; the callee joins, as a spare is joined
    2 something valid came over it: the call is over the former and the new one at once
    3 some time later, on each side, the former one is given back: the new one is what it was

so that a circuit's link never lasts longer for a call's sake. Where 2 does not come about it is tried again, until the former circuit is gone, and the
call with it if it has no other. NOT here: keys and knocks (call.py), when circuits leave (standing.py). Pure: takes `now_us`. Spec: PROTOCOL.md §9.5, §9.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from voicebox.circuits.circuit import NEVER_US, Circuit, GivesWay
from voicebox.circuits.spare import Spare
from voicebox.errors import Bug

MOVE_AGAIN_US = 2_000_000
"""So long after a knock that nothing came of, or where the circuit is in another's hands, a move is tried again."""


@runtime_checkable
class NumberedPort(Protocol):
    """A media port of the engine, which a call's circuits can carry: reference is its number there."""

    @property
    def reference(self) -> int: ...


class BoxCircuits(Protocol):
    """The circuits of the box (standing.py): those of this epoch, and which of them has the place of a former one."""

    def present(self) -> list[Circuit]: ...
    def successor(self, circuit: Circuit, /) -> Circuit | None: ...


class CallCircuits:
    """Contract: take() the first; add() further ones; heard(), then handle_timer at next_us; release().

    holder(): what the first circuit says has it, if that gives way to a call.
    """

    def __init__(self, holder: Callable[[], GivesWay | None], box: BoxCircuits) -> None:
        self._holder, self.box = holder, box
        self.first: Circuit | None = None
        self.join_id = b""
        self.spare: Spare | None = None
        self.moving: Spare | None = None
        self.move_again_us = 0

    def take(self, circuit: Circuit, join_id: bytes) -> None:
        """Take the first."""
        self.first, self.join_id = circuit, join_id
        circuit.busy, circuit.gives_way = True, self._holder()

    def add(self, spare: Spare) -> None:
        """Take one more, which has begun."""
        if spare.replaces is None:
            self.spare = spare
        else:
            self.moving = spare
            spare.circuit.gives_way = self._holder()

    def present(self) -> Circuit:
        """Return the first."""
        if self.first is None:
            raise Bug("a call without a circuit")
        return self.first

    def all(self) -> list[Circuit]:
        """Return all of them."""
        return [*([self.first] if self.first is not None else []), *(spare.circuit for spare in self._further())]

    def for_a_spare(self) -> list[Circuit]:
        """Return the circuits of our box at the other junction of the first one's epoch; none where the call has a spare, or is about to have other circuits."""
        first = self.present()
        if self._further():
            return []
        return [each for each in reversed(self.box.present()) if each.epoch == first.epoch and each.path.junction != first.path.junction]

    def join_ids(self) -> set[bytes]:
        """Return the ids of the splices, or of the knocks."""
        return {self.join_id, *(spare.join_id for spare in self._further())}

    def heard(self, link: int, now_us: int) -> bool:
        """Something valid came; false where it was over the first."""
        further = [spare for spare in self._further() if spare.circuit.link == link]
        for spare in further:
            spare.heard(now_us)
        return bool(further)

    def close(self) -> None:
        """Say of all that the call is over but for its last words."""
        for circuit in self.all():
            circuit.closing = True

    # ------------------------------------------------------------------------------------------------------------ moving

    def moves_to(self, circuit: Circuit) -> bool:
        """Return whether this is the next epoch's circuit in the place of one of ours."""
        return self.replaced_by(circuit) is not None

    def replaced_by(self, circuit: Circuit) -> Circuit | None:
        """Return which of ours a circuit of the next epoch has the place of."""
        return next((each for each in self.all() if self.box.successor(each) is circuit), None)

    def makes_way(self, circuit: Circuit) -> bool:
        """Let a dummy or another call's spare give a circuit of the next epoch up, so that this call can move there; false where it is a call's.

        A call that has another circuit, and a dummy, take nothing from a call.
        """
        holder, are_dummy = circuit.gives_way, self._holder() is not None
        if holder is None or not (holder.is_dummy or (self.spare is None and not are_dummy)):
            return circuit.soon_vacant
        if not circuit.closing:
            holder.give_way()
        return True

    def to_move(self, now_us: int) -> Circuit | None:
        """Return a circuit that is to be left now for the next epoch's."""
        due = [circuit for circuit in self._may_move() if circuit.move_us <= now_us]
        return due[0] if due and self.move_again_us <= now_us else None

    def move_us(self) -> int:
        """Return when to_move has one."""
        return max(self.move_again_us, min((circuit.move_us for circuit in self._may_move()), default=NEVER_US))

    def _may_move(self) -> list[Circuit]:
        if self.moving is not None or self.first is None:
            return []
        return [self.first, *([self.spare.circuit] if self.spare is not None and self.spare.up else [])]

    def _moved(self, new: Spare, now_us: int) -> None:
        """The new circuit has been there for long enough: the former one goes, and the new one takes its place."""
        self.moving, former = None, new.replaces
        new.stay()
        if former is self.first:
            self._leave_first(new, now_us)
            return
        self.drop_spare(now_us)
        self.spare, new.circuit.gives_way = new, new

    # ------------------------------------------------------------------------------------------------------------ leaving

    def without(self, circuit: Circuit, now_us: int) -> bool:
        """Go on without one of them; false where no other is there to go on over."""
        if self.spare is not None and self.spare.circuit is circuit:
            self.drop_spare(now_us)
        elif self.moving is not None and self.moving.circuit is circuit:
            self._drop_moving(now_us)
        else:
            heir = next((spare for spare in self._further() if spare.up), None)
            if heir is None:
                return False
            if heir is self.spare:
                self.spare = None
            else:
                self.moving = None
            heir.stay()
            self._leave_first(heir, now_us)
        return True

    def drop_spare(self, now_us: int) -> None:
        """Give the spare back, where there is one."""
        spare, self.spare = self.spare, None
        if spare is not None:
            spare.release(now_us)

    def release(self, now_us: int, *, stay_quiet: bool) -> None:
        """Give all back: filler again, and no splice and no knock of ours at the junctions. stay_quiet: say no part on the first."""
        self.drop_spare(now_us)
        self._drop_moving(now_us)
        first, self.first = self.first, None
        if first is not None:
            first.give_back(self.join_id, now_us, stay_quiet=stay_quiet)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        for spare in self._further():
            spare.handle_timer(now_us)
        if self.spare is not None and self.spare.deadline_us <= now_us:
            self.drop_spare(now_us)
        moving = self.moving
        if moving is not None and moving.deadline_us <= now_us:
            if moving.up:
                self._moved(moving, now_us)
            else:
                self._drop_moving(now_us)

    @property
    def next_us(self) -> int:
        """Return when handle_timer is to be called next."""
        return min((spare.deadline_us for spare in self._further()), default=NEVER_US)

    def _drop_moving(self, now_us: int) -> None:
        moving, self.moving = self.moving, None
        if moving is not None:
            self.move_again_us = now_us + MOVE_AGAIN_US
            moving.release(now_us)

    def _leave_first(self, heir: Spare, now_us: int) -> None:
        first, closing = self.present(), self.present().closing
        first.give_back(self.join_id, now_us)
        self.take(heir.circuit, heir.join_id)
        heir.circuit.closing = closing

    def _further(self) -> list[Spare]:
        return [spare for spare in (self.spare, self.moving) if spare is not None]
