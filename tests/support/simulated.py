"""Large networks without keys: descriptors that nobody signed, for what only counts and draws."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
from random import Random

from tests.support.networks import NOW
from voicebox.circuits.descriptor import Descriptor, RelayAddress, Role, VerifiedDescriptor
from voicebox.circuits.network import Admitted, VerifiedNetwork, with_relays
from voicebox.circuits.terms import NetworkTerms

JUNCTION_SHARE = 0.2
MBIT_S = (10, 20, 50, 100, 200, 1_000)
RELAYS_PER_OPERATOR = 4


@functools.cache
def simulated_network(count: int, threshold: int = 1, seed: int = 1) -> VerifiedNetwork:
    """Make a network of that many relays: bandwidths as they come, four relays of each operator on average, a fifth of the addresses IPv6."""
    rng = Random(seed)
    relays = {}
    for _ in range(count):
        descriptor = _descriptor(rng, count)
        relays[descriptor.relay_id] = Admitted(descriptor, VerifiedDescriptor(descriptor, b""))
    keys = tuple(number.to_bytes(32, "big") for number in range(threshold))
    terms = NetworkTerms(int(NOW.timestamp()) * 1_000_000, 3600, bytes(range(32)), True, True, threshold, keys)
    return with_relays(terms, terms.network_id, relays)


def _descriptor(rng: Random, count: int) -> Descriptor:
    role = Role.JUNCTION if rng.random() < JUNCTION_SHARE else Role.GUARD
    operator = f"op{rng.randrange(max(1, count // RELAYS_PER_OPERATOR))}"
    mbit_s = rng.choices(MBIT_S, (30, 25, 20, 15, 8, 2))[0]
    address = RelayAddress(_host(rng), 4000)
    return Descriptor(rng.randbytes(32), 1, role, operator, mbit_s, (address,), bytes(32), NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=2_000))


def _host(rng: Random) -> str:
    """Return a public address: of few providers often, of others seldom."""
    if rng.random() < 0.2:
        return str(ipaddress.IPv6Address((0x2A00 << 112) + (rng.randrange(200) << 96) + rng.randrange(2**64)))
    first = rng.choice((31, 45, 62, 77, 80, 85, 91, 93, 109, 144))
    return f"{first}.{rng.randrange(100)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
