"""Taking a newer list of relays: what is known already is never rolled back, and nothing that is still valid is lost.

Of each relay the descriptor with the highest sequence number stays. A lower one is a replay or an older file, and is left; another one with the same number is a
contradiction of the relay itself, and the one known first stays. Vouchers of one and the same claim are put together. A relay that is vouched for no more stays in the
list until what it signed itself expires, so that an older file does not bring it back. NOT here: files (network_state.py). Pure. Spec: PROTOCOL.md §10.3.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from voicebox.circuits.descriptor import VerifiedDescriptor
from voicebox.circuits.network import MAX_RELAYS, Admitted, VerifiedNetwork, admit, with_relays
from voicebox.circuits.value import ValueSignature, kept, verify_value
from voicebox.errors import HandshakeError, UsageError


@dataclass(slots=True)
class Changes:
    """What a merge did, in numbers of relays."""

    new: int = 0
    changed: int = 0
    older: int = 0
    contradicting: int = 0
    expired: int = 0
    refused: int = 0
    signed: int = 0

    def __str__(self) -> str:
        """Say it; what did not happen is left out."""
        words = {
            "new": self.new,
            "changed": self.changed,
            "left as known, because the file has an older descriptor": self.older,
            "left as known, because another descriptor has the same number": self.contradicting,
            "expired and left out": self.expired,
            "signatures of values": self.signed,
        }
        return "; ".join(f"{count} {what}" for what, count in words.items() if count) or "nothing new"


def merged(
    known: VerifiedNetwork, found: Iterable[VerifiedDescriptor], now: dt.datetime, *, signed: Iterable[ValueSignature] = (), strict: bool = True
) -> tuple[VerifiedNetwork, Changes]:
    """Return a network with what was found, and what that changed. Raises HandshakeError for a relay that is not admitted, UsageError for too many.

    signed: signatures of values, of which those are kept that verify and are neither of a period that is far ahead nor done with (value.py).

    Not strict, for what peers tell: such a relay is left out and counted as refused, and nothing is raised.
    """
    changes = Changes()
    relays = dict(known.by_id)
    for verified in found:
        relay_id = verified.descriptor.relay_id
        try:
            if not strict and (verified.descriptor.valid_until < now or (relay_id not in relays and len(relays) >= MAX_RELAYS)):
                changes.refused += 1
                continue
            relays[relay_id] = _merge(known, relays.get(relay_id), verified, changes)
        except (HandshakeError, UsageError):
            if strict:
                raise
            changes.refused += 1
    expired = [relay_id for relay_id, relay in relays.items() if relay.verified.descriptor.valid_until < now]
    changes.expired = len(expired)
    for relay_id in expired:
        del relays[relay_id]
    return with_relays(known.terms, known.network_id, relays, _signed(known, signed, now, changes)), changes


def _signed(known: VerifiedNetwork, signed: Iterable[ValueSignature], now: dt.datetime, changes: Changes) -> dict[bytes, ValueSignature]:
    found = dict(known.signed)
    for said in signed:
        if said.entry_id not in found:
            try:
                verify_value(known.terms.values, known.network_id, said)
                found[said.entry_id] = said
            except HandshakeError:
                changes.refused += 1
    left = kept(known.terms.values, found.values(), known.period_of(now))
    changes.signed = len(left.keys() - known.signed.keys())
    return left


def _merge(known: VerifiedNetwork, former: Admitted | None, verified: VerifiedDescriptor, changes: Changes) -> Admitted:
    """Return what is to be kept of a relay."""
    if former is None:
        admitted = admit(known.terms, known.network_id, verified)
        changes.new += 1
        return admitted
    had, has = former.verified, verified
    if has.descriptor.sequence < had.descriptor.sequence:
        changes.older += 1
        return former
    if has.descriptor.sequence == had.descriptor.sequence and has.signature != had.signature:
        changes.contradicting += 1
        return former
    if has.descriptor.vouched == had.descriptor.vouched:
        has = has.with_vouchers(had.vouchers)
    if has == had:
        return former
    admitted = admit(known.terms, known.network_id, has)
    changes.changed += 1
    return admitted
