"""What a junction keeps beside its circuits: tokens left, what binds circuits (PROTOCOL.md §6.2); and the numbers of a splice (§5.5)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.model.slots import SLOT_US

if TYPE_CHECKING:
    from relay.model.hop import Hop

KNOCK_LIFE_SLOTS, KNOCK_EVERY_SLOTS, KNOCK_IDS, KNOCK_IDS_SLOTS = 512, 2, 2, 50


@dataclass(eq=False)
class Bond:
    """By what a circuit is bound. target: where it knocked; ticket: what whoever joins must show, none once joined; last_slot: of network time, of the last repetition.

    In a splice slot k of the circuit carries slot k - offset of the mate.
    """

    join_id: bytes
    target: "Hop | None" = None
    ticket: bytes = b""
    last_slot: int = 0
    mate: "Hop | None" = None
    offset: int = 0


class Junction:
    """Tokens and knocks of all circuits that end here. Slot k leaves at 20 ms * k + phase_us."""

    def __init__(self, phase_us: int) -> None:
        self.phase_us = phase_us
        self._tokens: dict[bytes, Hop] = {}
        self._knockers: dict[bytes, Hop] = {}  # whoever is bound by a knock, by its join id

    def leave(self, hop: "Hop", payload: bytes) -> None:
        """Replace a circuit's tokens; the latest leaver of a token has it, so that a circuit made anew can be reached."""
        self._tokens = {token: owner for token, owner in self._tokens.items() if owner is not hop}
        self._tokens |= {payload[start : start + 16]: hop for start in range(0, len(payload), 16)}

    def knock(self, hop: "Hop", slot: int, now_us: int, payload: bytes, ticket: bytes) -> str | None:
        """Put a knock into the inbox of the token's circuit, or return why not. Nothing that the knocker gets of it tells whether somebody joined."""
        join_id, known = payload[16:32], self._knockers.get(payload[16:32])
        if hop.forward_due is None:
            return "knock_unsettled"
        bond = hop.bond if hop.bond is not None and known is hop else Bond(join_id)
        target = bond.target if bond.target in hop.node.hops.values() else self._tokens.get(payload[:16])  # while it lives, wherever its token is
        if target is None or target is hop:
            return "unknown_token"
        too_soon = any(slot < last + KNOCK_EVERY_SLOTS for last in hop.knocks.values())
        hop.knocks = {lately: last for lately, last in hop.knocks.items() if slot - last < KNOCK_IDS_SLOTS}
        if too_soon or known not in (None, hop) or (join_id not in hop.knocks and len(hop.knocks) == KNOCK_IDS):
            return "knock_limit"
        if bond is not hop.bond:
            self.part(hop)
            hop.bond, bond.ticket, self._knockers[join_id] = bond, ticket, hop
        hop.knocks[join_id], bond.last_slot, bond.target = slot, now_us // SLOT_US, target
        delivered = bool(bond.ticket) and target.put_knocked(payload + bond.ticket)  # no late repetition: it would steal a slot of the call
        return None if delivered else "speech_full" if bond.ticket else "knock_spliced"

    def join(self, hop: "Hop", now_us: int, payload: bytes) -> str | None:
        """Splice the circuit of the knock with this one, or return why not."""
        join_id, mate = payload[:16], self._knockers.get(payload[:16])
        if mate is None or mate.bond is None or mate.bond.ticket != payload[16:] or now_us // SLOT_US - mate.bond.last_slot > KNOCK_LIFE_SLOTS:
            return None if hop.bond is not None and hop.bond.mate is not None and hop.bond.join_id == join_id else "unknown_join"  # said again
        if hop is mate or hop.forward_due is None or mate.forward_due is None:
            return "join_not_free"
        self.part(hop)
        hop.bond = Bond(join_id, mate=mate, offset=self._offset(hop, mate))
        mate.bond.mate, mate.bond.offset, mate.bond.ticket = hop, self._offset(mate, hop), b""
        hop.knocked = None  # nor does one that waits
        return None

    def part(self, hop: "Hop", join_id: bytes | None = None) -> None:
        """End what this id binds a circuit to, or whatever does: its splice, on both sides, or its knock."""
        bond = hop.bond
        if bond is None or join_id not in (None, bond.join_id):
            return
        if bond.mate is not None and bond.mate.bond is not None:
            bond.mate.bond.mate = None
        if self._knockers.get(bond.join_id) is hop:
            del self._knockers[bond.join_id]
        hop.bond = None

    def _offset(self, hop: "Hop", mate: "Hop") -> int:
        """Return the constant of a splice: the body of the mate that is due last before this circuit's next slot leaves; between two metered ones of an even number."""
        assert mate.forward_due is not None
        return hop.head_slot - (last := mate.forward_due.last_slot(SLOT_US * hop.head_slot + self.phase_us)) + last % min(hop.stride, mate.stride)
