"""What a junction keeps beside its circuits: tokens left, knocks remembered (PROTOCOL.md §6.2); and the numbers of a splice (§5.5)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.model.slots import SLOT_US

if TYPE_CHECKING:
    from relay.model.hop import Hop

KNOCK_LIFE_SLOTS, KNOCKS_PER_CIRCUIT, KNOCK_EVERY_SLOTS, KNOCK_IDS, KNOCK_IDS_SLOTS = 512, 4, 2, 2, 50


@dataclass
class Splice:
    """One side of a splice: slot k of this circuit carries slot k - offset of the mate."""

    join_id: bytes
    mate: "Hop"
    offset: int


class Junction:
    """Tokens and knocks of all circuits that end here. Slot k leaves at 20 ms * k + phase_us."""

    def __init__(self, phase_us: int) -> None:
        self.phase_us = phase_us
        self._tokens: dict[bytes, Hop] = {}
        self._knocks: dict[bytes, tuple[Hop, int]] = {}  # join id: who knocked, slot of network time of the last repetition

    def leave(self, hop: "Hop", payload: bytes) -> None:
        """Replace a circuit's tokens; the latest leaver of a token has it, so that a circuit made anew can be reached."""
        self._tokens = {token: owner for token, owner in self._tokens.items() if owner is not hop}
        self._tokens |= {payload[start : start + 16]: hop for start in range(0, len(payload), 16)}

    def knock(self, hop: "Hop", slot: int, now_us: int, payload: bytes) -> str | None:
        """Put a knock into the inbox of the token's circuit, or return why not."""
        target, join_id = self._tokens.get(payload[:16]), payload[16:32]
        if hop.forward_due is None:
            return "knock_unsettled"
        if hop.splice is not None:  # a late repetition: it would steal a slot of the call
            return "knock_spliced"
        if target is None or target is hop:
            return "unknown_token"
        too_soon = any(slot < last + KNOCK_EVERY_SLOTS for last in hop.knocks.values())
        hop.knocks = {known: last for known, last in hop.knocks.items() if slot - last < KNOCK_IDS_SLOTS}
        self._expire(now_us)
        living = sum(knocker is hop for knocker, _ in self._knocks.values())
        others = self._knocks[join_id][0] is not hop if join_id in self._knocks else living == KNOCKS_PER_CIRCUIT
        if too_soon or others or (join_id not in hop.knocks and len(hop.knocks) == KNOCK_IDS):
            return "knock_limit"
        hop.knocks[join_id], self._knocks[join_id] = slot, (hop, now_us // SLOT_US)
        return None if target.put_knocked(payload) else "speech_full"

    def join(self, hop: "Hop", now_us: int, join_id: bytes) -> str | None:
        """Splice the circuit of the knock with this one, or return why not."""
        if hop.splice is not None and hop.splice.join_id == join_id:
            return None
        self._expire(now_us)
        if join_id not in self._knocks:
            return "unknown_join"
        mate = self._knocks[join_id][0]
        if hop is mate or hop.splice or mate.splice or hop.forward_due is None or mate.forward_due is None:
            return "join_not_free"
        del self._knocks[join_id]
        hop.splice, mate.splice = self._splice(join_id, hop, mate), self._splice(join_id, mate, hop)
        hop.knocked = mate.knocked = None  # nor does one that waits
        return None

    def part(self, hop: "Hop", join_id: bytes) -> None:
        """End the splice of this id, on both sides, or forget a knock of this circuit."""
        if hop.splice is not None and hop.splice.join_id == join_id:
            hop.splice.mate.splice, hop.splice = None, None
        elif join_id in self._knocks and self._knocks[join_id][0] is hop:
            del self._knocks[join_id]

    def forget(self, hop: "Hop") -> None:
        """Drop all that stands for a circuit that ended."""
        self.leave(hop, b"")
        self._knocks = {join_id: knock for join_id, knock in self._knocks.items() if knock[0] is not hop}
        if hop.splice is not None:
            self.part(hop, hop.splice.join_id)

    def _splice(self, join_id: bytes, hop: "Hop", mate: "Hop") -> Splice:
        """Fix the offset: the body of the mate that is due last before this circuit's next slot leaves."""
        assert mate.forward_due is not None
        return Splice(join_id, mate, hop.head_slot - mate.forward_due.last_slot(SLOT_US * hop.head_slot + self.phase_us))

    def _expire(self, now_us: int) -> None:
        self._knocks = {join_id: knock for join_id, knock in self._knocks.items() if now_us // SLOT_US - knock[1] <= KNOCK_LIFE_SLOTS}
