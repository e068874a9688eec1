"""The terms of a network: what makes it this one, for all its life. Its id is their hash, so nobody can change them.

    voicebox network 1
    born       microseconds of Unix time at which slot 0 began
    epoch      seconds of an epoch
    shared     32 octets from which the junctions of an epoch follow, hexadecimal
    operators  distinct | any: whether one operator may run two relays of a path
    prefixes   distinct | any: whether two relays of a path may be of one IPv4 /16 or IPv6 /32
    threshold  how many vouchers a relay needs; 0: an open network, everybody's relay is taken
    keys       how many voucher keys follow
    key        Ed25519 public key, hexadecimal; in ascending order
    values     how many value keys follow (value.py), where there are some: their signatures decide the junctions, and not `shared` alone

The network line is what people tell each other: the id, in letters that are checked. NOT here: relays (network.py). Pure. Spec: PROTOCOL.md §10.3.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from dataclasses import dataclass, field

from voicebox.circuits.lines import LineReader, hex_line
from voicebox.circuits.value import ValueKey, read_value_key
from voicebox.circuits.voucher import MAX_VOUCHERS
from voicebox.errors import UsageError

MIN_EPOCH_S = 20
MAX_EPOCH_S = 86_400
DEFAULT_EPOCH_S = 3600
LONGEST_UNIT_S = 3_600
LINE_START = "voicebox-network-"
_CHECK_OCTETS = 3


@dataclass(frozen=True, slots=True)
class NetworkTerms:
    """What a network is. keys: the voucher keys, values: the value keys, both ascending."""

    born_unix_us: int
    epoch_s: int
    shared: bytes = field(repr=False)
    distinct_operators: bool
    distinct_prefixes: bool
    threshold: int
    keys: tuple[bytes, ...] = field(repr=False)
    values: tuple[ValueKey, ...] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """Return the terms as they are written."""
        return (
            f"voicebox network 1\nborn {self.born_unix_us}\nepoch {self.epoch_s}\n"
            + hex_line("shared", self.shared)
            + f"operators {_rule(self.distinct_operators)}\nprefixes {_rule(self.distinct_prefixes)}\nthreshold {self.threshold}\nkeys {len(self.keys)}\n"
            + "".join(hex_line("key", key) for key in self.keys)
            + (f"values {len(self.values)}\n" if self.values else "")
            + "".join(key.text for key in self.values)
        )

    @property
    def network_id(self) -> bytes:
        """Return the network's id: 32 octets."""
        return hashlib.sha256(b"voicebox/1 network" + self.text.encode()).digest()


def unit_s(epoch_s: int) -> int:
    """Return the unit in which the list's news are timed, in seconds. Spec: PROTOCOL.md §10.6."""
    return min(epoch_s, LONGEST_UNIT_S)


def read_terms(reader: LineReader) -> NetworkTerms:
    """Read the terms from where the reader stands. Raises FileProblem."""
    reader.exactly("voicebox", "network 1")
    born, epoch_s, shared = reader.number("born", 0, 2**62), reader.number("epoch", MIN_EPOCH_S, MAX_EPOCH_S), reader.octets("shared", 32)
    operators, prefixes = (reader.choice(key, ("distinct", "any")) == "distinct" for key in ("operators", "prefixes"))
    threshold = reader.number("threshold", 0, MAX_VOUCHERS)
    keys = tuple(reader.octets("key", 32) for _ in range(reader.number("keys", 0, MAX_VOUCHERS)))
    values: tuple[ValueKey, ...] = ()
    if reader.follows("values"):
        values = tuple(read_value_key(reader) for _ in range(reader.number("values", 1, MAX_VOUCHERS)))
    if problem := _keys_problem(threshold, keys, values):
        raise reader.problem(problem)
    return NetworkTerms(born, epoch_s, shared, operators, prefixes, threshold, keys, values)


def make_terms(terms: NetworkTerms) -> NetworkTerms:
    """Return terms that can stand. Raises UsageError."""
    if not MIN_EPOCH_S <= terms.epoch_s <= MAX_EPOCH_S:
        raise UsageError(f"An epoch lasts {MIN_EPOCH_S} to {MAX_EPOCH_S} seconds.")
    if problem := _keys_problem(terms.threshold, terms.keys, terms.values):
        raise UsageError(f"This makes no network: {problem}.")
    return terms


def _keys_problem(threshold: int, keys: tuple[bytes, ...], values: tuple[ValueKey, ...]) -> str:
    if len(keys) > MAX_VOUCHERS or any(later <= earlier for earlier, later in itertools.pairwise(keys)):
        return f"voucher keys are at most {MAX_VOUCHERS}, in ascending order, none twice"
    if not 0 <= threshold <= len(keys) or (threshold == 0 and keys):
        return "the threshold is 1 to the number of voucher keys, or 0 where there are none"
    if len(values) > MAX_VOUCHERS or (threshold == 0 and values) or any(later.der <= earlier.der for earlier, later in itertools.pairwise(values)):
        return f"value keys are at most {MAX_VOUCHERS}, in ascending order, none twice, and none where nobody vouches"
    return ""


def _rule(distinct: bool) -> str:  # noqa: FBT001 - a rule is on or off
    return "distinct" if distinct else "any"


def network_line(network_id: bytes) -> str:
    """Return the line under which people tell each other of a network: 73 characters, any wrong one of which shows."""
    return LINE_START + base64.b32encode(network_id + _check(network_id)).decode().lower()


def parse_network_line(line: str) -> bytes:
    """Return the network's id. Raises UsageError."""
    text = line.strip().lower()
    try:
        octets = base64.b32decode(text.removeprefix(LINE_START).upper())
    except (binascii.Error, ValueError):
        octets = b""
    if not text.startswith(LINE_START) or len(octets) != 32 + _CHECK_OCTETS or octets[32:] != _check(octets[:32]):
        raise UsageError(f"This is no network line, or some of its letters are wrong. It begins with {LINE_START} and has 56 letters and digits behind that.")
    return octets[:32]


def _check(network_id: bytes) -> bytes:
    return hashlib.sha256(b"voicebox/1 network line" + network_id).digest()[:_CHECK_OCTETS]
