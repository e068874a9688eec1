"""The network file: what all nodes of a network agree on, and all its relays; signed by the network's key.

    voicebox network 1
    signer     Ed25519 public key, hexadecimal
    born       microseconds of Unix time at which slot 0 began
    epoch      seconds of an epoch
    shared     32 octets from which the junctions of an epoch follow, hexadecimal
    operators  distinct | any: whether one operator may run two relays of a path
    issued     when it was signed, UTC; a box takes no older one than it has
    relays     how many descriptors follow
    ...        the descriptors (descriptor.py)
    signature  Ed25519 over "voicebox/1 network file" and everything above, hexadecimal

A network's id binds its signer and its birth, so nobody else can sign for it. NOT here: choosing relays (path.py). Pure.
Spec: PROTOCOL.md §10.2.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from voicebox.circuits.descriptor import MAX_DESCRIPTOR_CHARACTERS, Descriptor, Role, VerifiedDescriptor, read_descriptor
from voicebox.circuits.lines import LineReader, hex_line, time_text
from voicebox.errors import UsageError

MAX_RELAYS = 1000
MIN_EPOCH_S = 20
MAX_EPOCH_S = 86_400
DEFAULT_EPOCH_S = 3600
SLOT_US = 20_000
HINT = "Take the network file again from where it came from."
_SIGNED = b"voicebox/1 network file"


def slots_between(earlier: int, later: int) -> int:
    """Return how many slots lie between two of which only the low 32 bits are known, nearest to 0. Spec: PROTOCOL.md §1.2."""
    return (later - earlier + 2**31) % 2**32 - 2**31


@dataclass(frozen=True, slots=True)
class NetworkTerms:
    """What the signer decides, apart from the relays."""

    signer: bytes = field(repr=False)
    born_unix_us: int
    epoch_s: int
    shared: bytes = field(repr=False)
    distinct_operators: bool
    issued: dt.datetime


@dataclass(frozen=True, slots=True)
class VerifiedNetwork:
    """A network file whose signatures were checked."""

    terms: NetworkTerms
    relays: tuple[VerifiedDescriptor, ...]
    text: str = field(repr=False)

    @property
    def network_id(self) -> bytes:
        """Return the network's id: 32 octets."""
        return hashlib.sha256(b"voicebox/1 network" + self.terms.signer + self.terms.born_unix_us.to_bytes(8, "big")).digest()

    @property
    def epoch_us(self) -> int:
        """Return the length of an epoch in microseconds."""
        return self.terms.epoch_s * 1_000_000

    def epoch_at(self, now_us: int) -> int:
        """Return the number of the epoch at a network time."""
        return now_us // self.epoch_us

    def relay(self, relay_id: bytes) -> Descriptor | None:
        """Return the relay of that id."""
        return next((verified.descriptor for verified in self.relays if verified.descriptor.relay_id == relay_id), None)

    def with_role(self, role: Role, now: dt.datetime) -> list[Descriptor]:
        """Return the relays that serve in a role and are valid now."""
        return [verified.descriptor for verified in self.relays if verified.descriptor.role is role and verified.descriptor.valid_at(now)]


def sign_network(terms: NetworkTerms, relays: tuple[VerifiedDescriptor, ...], key: Ed25519PrivateKey) -> VerifiedNetwork:
    """Sign a network. Raises UsageError where it could not carry a call, or a relay is in it twice."""
    problem = _composition_problem(tuple(verified.descriptor for verified in relays))
    if problem:
        raise UsageError(f"This makes no network: {problem}.")
    text = (
        "voicebox network 1\n"
        + hex_line("signer", terms.signer)
        + f"born {terms.born_unix_us}\nepoch {terms.epoch_s}\n"
        + hex_line("shared", terms.shared)
        + f"operators {'distinct' if terms.distinct_operators else 'any'}\nissued {time_text(terms.issued)}\nrelays {len(relays)}\n"
        + "".join(verified.text for verified in relays)
    )
    return VerifiedNetwork(terms, relays, text + hex_line("signature", key.sign(_SIGNED + text.encode())))


def parse_network(text: str, path: str) -> VerifiedNetwork:
    """Read and check a network file. Raises FileProblem with the line."""
    reader = LineReader(text, path, HINT, max_characters=4096 + MAX_RELAYS * MAX_DESCRIPTOR_CHARACTERS)
    reader.exactly("voicebox", "network 1")
    signer = reader.octets("signer", 32)
    born = reader.number("born", 0, 2**62)
    epoch_s = reader.number("epoch", MIN_EPOCH_S, MAX_EPOCH_S)
    shared = reader.octets("shared", 32)
    distinct = reader.choice("operators", ("distinct", "any")) == "distinct"
    issued = reader.time("issued")
    count = reader.number("relays", 1, MAX_RELAYS)
    relays = tuple(read_descriptor(reader) for _ in range(count))
    signed = reader.text_since(0)
    signature = reader.octets("signature", 64)
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(signature, _SIGNED + signed.encode())
    except (InvalidSignature, ValueError):
        raise reader.problem("the network's signature does not verify: the file was changed") from None
    problem = _composition_problem(tuple(verified.descriptor for verified in relays))
    if problem:
        raise reader.problem(problem)
    if not reader.at_end():
        raise reader.problem("something follows the signature")
    return VerifiedNetwork(NetworkTerms(signer, born, epoch_s, shared, distinct, issued), relays, text)


def _composition_problem(relays: tuple[Descriptor, ...]) -> str:
    """Return why these relays make no network, or nothing."""
    if len(relays) > MAX_RELAYS:
        return f"more than {MAX_RELAYS} relays"
    if len({relay.identity for relay in relays}) != len(relays):
        return "a relay is in it twice"
    if not any(relay.role is Role.GUARD for relay in relays):
        return "it has no guard"
    if not any(relay.role is Role.JUNCTION for relay in relays):
        return "it has no junction"
    return ""
