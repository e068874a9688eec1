"""A further circuit of a call, beside its first: the second one, or the one of the next epoch. How it comes to the call, and how it leaves it.

    KNOCKING or JOINING -> UP -> over

    KNOCKING   the caller knocks at its other circuit, once the call is open and the first knock has been said
    JOINING    the callee, whose circuit at that junction is free, says join
    UP         something valid came; of a dummy's knock nothing ever does, and its caller takes it for answered when it has been said

From its first cell on the engine says over it what it says over the first; the path is there when something valid comes.

Nobody waits for a spare: where it does not come about, or leaves, the call is over its first circuit alone, until one that was taken is free. NOT here: the call (call.py), when a call moves to
the next epoch (call_circuits.py), what the engine does with more circuits than one (relay/core). Driver: call.py. Pure: takes `now_us`. Spec: PROTOCOL.md §9.5.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from voicebox.circuits.circuit import NEVER_US, SAID_US, Circuit
from voicebox.circuits.speech import OwnerPlane, Speech
from voicebox.sensitive import Secret

SPARE_KNOCK_US = 4_000_000
OVERLAP_US = 1_000_000
"""So long at least a call is over a new circuit before the former one goes, and as much longer as it is knocked for: the other box hears the new one by
then, and nothing is under way on the former alone."""


LOOK_US = 6_000_000
"""So long after a call's first knock the callee's box looks for the first time whether a circuit is free for a spare: by then the caller's has knocked for one."""
LOOK_AGAIN_US = (20_000_000, 120_000_000)
"""Between two looks, drawn: so a knock for a spare does not come right behind the part of what had the circuit."""


class Wish:
    """When a box asks for a spare: once, and again where a circuit that was taken is free. The caller's asks with a knock, the callee's with `Room`, which
    makes the caller's look at once. Contract: look() where it is time and the call has no spare."""

    def __init__(self) -> None:
        self._asks = False

    def want(self) -> None:
        """Ask at the next look at which a circuit is free."""
        self._asks = True

    def look(self, circuits: list[Circuit]) -> Circuit | None:
        """Look at the circuits of the other junction; return one for which a spare is to be asked."""
        free = next((circuit for circuit in circuits if circuit.free), None)
        if free is None:
            self._asks = self._asks or bool(circuits)
            return None
        asks, self._asks = self._asks, False
        return free if asks else None


def drawn_look_us(now_us: int) -> int:
    """Return when a box looks the next time."""
    return now_us + LOOK_AGAIN_US[0] + secrets.randbelow(LOOK_AGAIN_US[1] - LOOK_AGAIN_US[0])


@dataclass(frozen=True, slots=True)
class SpareOwner:
    """The call of a spare, as far as a spare needs it. give_way: let the spare go, because its circuit is wanted for a call.

    is_blind: it is a dummy of ours, of which we hear nothing.
    """

    is_dummy: bool
    is_blind: bool
    ends_us: Callable[[], int]
    give_way: Callable[[], None]


class Spare:
    """One circuit beside the first of a call. Contract: begin(), then heard(), handle at deadline_us, release().

    replaces: the circuit of the former epoch that goes when this one is there.
    """

    def __init__(self, plane: OwnerPlane, circuit: Circuit, join_id: bytes, owner: SpareOwner, replaces: Circuit | None = None) -> None:
        self._plane, self._owner = plane, owner
        self.circuit, self.join_id, self.replaces = circuit, join_id, replaces
        self.up = False
        self.deadline_us = self._leave_us = NEVER_US

    def begin(self, first: Circuit, kind: Speech, payload: bytes, send_key: Secret, receive_key: Secret, now_us: int) -> None:
        """Knock, or join, and speak as the first circuit does."""
        circuit = self.circuit
        circuit.busy, circuit.gives_way = True, self
        self.deadline_us = now_us + (SAID_US[kind] if self._owner.is_blind else SPARE_KNOCK_US)
        self._leave_us = now_us + SAID_US[Speech.KNOCK] + OVERLAP_US
        self._plane.speak(circuit.link, circuit.circuit, send_key.reveal(), [receive_key.reveal()])
        self._plane.couple(first.link, first.circuit, circuit.link, circuit.circuit)
        circuit.call_say(kind, payload, now_us)

    def heard(self, now_us: int) -> None:
        """Something valid came over it: the path is there."""
        if not self.up:
            self.up, self.deadline_us = True, NEVER_US if self.replaces is None else max(self._leave_us, now_us + OVERLAP_US)
            self.circuit.hush(now_us)

    def handle_timer(self, now_us: int) -> None:
        """The time of its knock is over."""
        if self._owner.is_blind and self.deadline_us <= now_us:
            self.heard(now_us)

    def stay(self) -> None:
        """Replace nothing any longer: what it replaced is gone."""
        self.replaces, self.deadline_us = None, NEVER_US

    def release(self, now_us: int) -> None:
        """Give the circuit back, as a call's first."""
        self.circuit.give_back(self.join_id, now_us)

    @property
    def is_dummy(self) -> bool:
        """Return whether its call is a dummy."""
        return self._owner.is_dummy

    @property
    def is_spare(self) -> bool:
        """Return whether what has the circuit has another one."""
        return True

    @property
    def ends_us(self) -> int:
        """Return when its call ends by itself, at the latest."""
        return self._owner.ends_us()

    def give_way(self) -> None:
        """Leave the call: the circuit is wanted for another."""
        self._owner.give_way()
