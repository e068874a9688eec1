"""The network file: the terms of a network, and the relays that belong to it.

    ...        the terms (terms.py)
    relays     how many descriptors follow
    ...        the descriptors with their vouchers (descriptor.py), by ascending relay id
    signed     how many signatures of values follow (value.py), where the terms name value keys; by ascending entry id

Nobody signs the file: the terms are held by the network's id, each relay by its own signature and its vouchers. So whoever hands it on can leave relays out, and
nothing else; therefore files are merged, never replaced. NOT here: choosing relays (path.py). Pure. Spec: PROTOCOL.md §10.3.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from voicebox.circuits.descriptor import Descriptor, Role, VerifiedDescriptor, read_descriptor
from voicebox.circuits.lines import LineReader
from voicebox.circuits.terms import NetworkTerms, read_terms
from voicebox.circuits.value import MAX_KEPT_PERIODS, PERIOD_EPOCHS, ValueSignature, read_value_signature, shared_of, value_of, verify_value
from voicebox.circuits.voucher import MAX_VOUCHERS
from voicebox.errors import HandshakeError, UsageError

MAX_RELAYS = 20_000
CHARACTERS_PER_RELAY = 4096
"""Of a file, on average at most: a descriptor with four vouchers has 3 700."""
MAX_SIGNED = MAX_VOUCHERS * (MAX_KEPT_PERIODS + 1)
MAX_NETWORK_CHARACTERS = 4096 * (1 + MAX_VOUCHERS) + MAX_RELAYS * CHARACTERS_PER_RELAY + MAX_SIGNED * 1024
SLOT_US = 20_000
HINT = "Take the network file again from where it came from."
ALWAYS, NEVER = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)


def slots_between(earlier: int, later: int) -> int:
    """Return how many slots lie between two of which only the low 32 bits are known, nearest to 0. Spec: PROTOCOL.md §1.2."""
    return (later - earlier + 2**31) % 2**32 - 2**31


@dataclass(frozen=True, slots=True)
class Admitted:
    """A relay of a network. descriptor: valid for as long as both what was signed and enough vouchers are; verified: what was signed.

    since: when enough holders had begun to vouch for it, who have not taken that back; in an open network always.
    """

    descriptor: Descriptor
    verified: VerifiedDescriptor = field(repr=False)
    since: dt.datetime = ALWAYS

    @property
    def text(self) -> str:
        """Return what was signed as it is written, with its vouchers."""
        return self.verified.text


@dataclass(frozen=True, slots=True)
class VerifiedNetwork:
    """A network whose relays were all admitted."""

    terms: NetworkTerms
    network_id: bytes = field(repr=False)
    by_id: Mapping[bytes, Admitted] = field(repr=False)
    """The relays by their id, in the order of the ids."""
    signed: Mapping[bytes, ValueSignature] = field(default_factory=dict, repr=False)
    """The signatures of values by their entry id, in that order; all verified."""

    @property
    def relays(self) -> tuple[Admitted, ...]:
        """Return the relays in the order of their ids."""
        return tuple(self.by_id.values())

    @property
    def text(self) -> str:
        """Return the file."""
        return self.terms.text + f"relays {len(self.by_id)}\n" + "".join(relay.text for relay in self.by_id.values()) + self._signed_text

    @property
    def _signed_text(self) -> str:
        return f"signed {len(self.signed)}\n" + "".join(said.text for said in self.signed.values()) if self.terms.values else ""

    @property
    def digest(self) -> str:
        """Return 16 digits that two people can compare: the same relays in the same state have the same."""
        return hashlib.sha256(b"voicebox/1 list" + self.text.encode()).hexdigest()[:16]

    @property
    def epoch_us(self) -> int:
        """Return the length of an epoch in microseconds."""
        return self.terms.epoch_s * 1_000_000

    def epoch_at(self, now_us: int) -> int:
        """Return the number of the epoch at a network time."""
        return now_us // self.epoch_us

    def period_at(self, now_us: int) -> int:
        """Return the number of the period at a network time."""
        return self.epoch_at(now_us) // PERIOD_EPOCHS

    def left_s(self, epoch: int, now_us: int) -> float:
        """Return in how many seconds an epoch ends; 0 where it is past."""
        return max(0, (epoch + 1) * self.epoch_us - now_us) / 1e6

    def epoch_of(self, now: dt.datetime) -> int:
        """Return the number of the epoch at a date; 0 before the network's birth."""
        return max(0, self.epoch_at(int(now.timestamp() * 1_000_000) - self.terms.born_unix_us))

    def period_of(self, now: dt.datetime) -> int:
        """Return the number of the period at a date (PROTOCOL.md §10.7)."""
        return self.epoch_of(now) // PERIOD_EPOCHS

    def shared_at(self, epoch: int) -> bytes:
        """Return what the junctions of an epoch follow from: 32 octets."""
        return shared_of(self.terms.values, self.terms.shared, self.signed, epoch // PERIOD_EPOCHS)

    def value_told(self, now: dt.datetime) -> str:
        """Return whether the value of the period is there: complete or missing; none where the network has no value keys."""
        if not self.terms.values:
            return "none"
        return "missing" if value_of(self.terms.values, self.signed, self.period_of(now)) is None else "complete"

    def date(self, now_us: int) -> dt.datetime:
        """Return the date at a network time."""
        return dt.datetime.fromtimestamp((self.terms.born_unix_us + now_us) / 1e6, dt.UTC)

    def relay(self, relay_id: bytes) -> Descriptor | None:
        """Return the relay of that id."""
        found = self.by_id.get(relay_id)
        return None if found is None else found.descriptor

    def with_role(self, role: Role, now: dt.datetime) -> list[Descriptor]:
        """Return the relays that serve in a role and are valid now."""
        return [relay for relay in self.valid(now) if relay.role is role]

    def valid(self, now: dt.datetime) -> list[Descriptor]:
        """Return the relays that are valid now."""
        return [relay.descriptor for relay in self.by_id.values() if relay.descriptor.valid_at(now)]

    def problem(self, now: dt.datetime) -> str:
        """Return why no call can be carried now, or nothing."""
        missing = [role.value for role in Role if not self.with_role(role, now)]
        return f"it has no {' and no '.join(missing)} that is valid now" if missing else ""


def admit(terms: NetworkTerms, network_id: bytes, verified: VerifiedDescriptor) -> Admitted:
    """Check a relay's vouchers; those of other networks' keys are left out. Raises HandshakeError where one does not verify, or there are too few."""
    descriptor = verified.descriptor
    counted = tuple(voucher for voucher in verified.vouchers if voucher.key in terms.keys)
    for voucher in counted:
        voucher.verify(network_id, descriptor.vouched)
    if len(counted) < terms.threshold:
        raise HandshakeError(f"{terms.threshold} vouchers are needed, and it has {len(counted)}")
    since = ALWAYS
    if terms.threshold:
        since = sorted(voucher.since if voucher.valid_until >= voucher.made else NEVER for voucher in counted)[terms.threshold - 1]
        lasting = sorted((voucher.valid_until for voucher in counted), reverse=True)[terms.threshold - 1]
        if lasting < descriptor.valid_until:
            descriptor = replace(descriptor, valid_until=lasting)
    return Admitted(descriptor, replace(verified, vouchers=counted), since)


def belongs(network: VerifiedNetwork, own: VerifiedDescriptor, now: dt.datetime) -> bool:
    """Return whether a relay may serve: the list has it, or its own descriptor has vouchers enough, so that it serves those who have its card."""
    listed = network.relay(own.descriptor.relay_id)
    if listed is not None:
        return (listed.link_pin, listed.role) == (own.descriptor.link_pin, own.descriptor.role) and listed.valid_at(now)
    try:
        return admit(network.terms, network.network_id, own).descriptor.valid_at(now)
    except HandshakeError:
        return False


def new_network(terms: NetworkTerms, relays: Iterable[VerifiedDescriptor] = ()) -> VerifiedNetwork:
    """Make a network of relays that are admitted. Raises HandshakeError, UsageError for too many, or one that is there twice."""
    network_id = terms.network_id
    admitted: dict[bytes, Admitted] = {}
    for verified in relays:
        if verified.descriptor.relay_id in admitted:
            raise UsageError("A relay is there twice.")
        admitted[verified.descriptor.relay_id] = admit(terms, network_id, verified)
    return with_relays(terms, network_id, admitted)


def with_relays(
    terms: NetworkTerms, network_id: bytes, admitted: Mapping[bytes, Admitted], signed: Mapping[bytes, ValueSignature] | None = None
) -> VerifiedNetwork:
    """Make a network of relays that were admitted, by their ids. signed: signatures of values that were verified. Raises UsageError for too many."""
    if len(admitted) > MAX_RELAYS:
        raise UsageError(f"A network has at most {MAX_RELAYS} relays.")
    return VerifiedNetwork(terms, network_id, {relay_id: admitted[relay_id] for relay_id in sorted(admitted)}, dict(signed or {}))


def parse_network(text: str, path: str) -> VerifiedNetwork:
    """Read and check a network file. Raises FileProblem with the line."""
    reader = LineReader(text, path, HINT, max_characters=MAX_NETWORK_CHARACTERS)
    terms = read_terms(reader)
    network_id = terms.network_id
    admitted: dict[bytes, Admitted] = {}
    last = b""
    for _ in range(reader.number("relays", 0, MAX_RELAYS)):
        verified = read_descriptor(reader)
        relay_id = verified.descriptor.relay_id
        if relay_id <= last:
            raise reader.problem("relays stand in the order of their ids, none twice")
        try:
            admitted[relay_id] = admit(terms, network_id, verified)
        except HandshakeError as problem:
            raise reader.problem(f"this relay is not of the network: {problem}") from None
        if admitted[relay_id].verified != verified:
            raise reader.problem("a voucher of this relay is by a key that is none of the network's")
        last = relay_id
    signed = _read_signed(reader, terms, network_id) if terms.values else {}
    if not reader.at_end():
        raise reader.problem("something follows the last relay")
    return VerifiedNetwork(terms, network_id, admitted, signed)


def _read_signed(reader: LineReader, terms: NetworkTerms, network_id: bytes) -> dict[bytes, ValueSignature]:
    found: dict[bytes, ValueSignature] = {}
    last = b""
    for _ in range(reader.number("signed", 0, MAX_SIGNED)):
        said = read_value_signature(reader)
        if said.entry_id <= last:
            raise reader.problem("signatures of values stand in the order of their entries, none twice")
        try:
            verify_value(terms.values, network_id, said)
        except HandshakeError as problem:
            raise reader.problem(f"{problem}") from None
        found[said.entry_id] = said
        last = said.entry_id
    return found
