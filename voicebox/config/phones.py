"""Which phones that are registered elsewhere may call contacts: by their address alone, which is no password. Pure.

In the file: nobody; here, for programs of this machine; addresses and networks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from voicebox.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NOBODY, HERE = "nobody", "here"
BROADEST_BITS = {4: 8, 6: 16}
"""A wider network is everybody."""


@dataclass(frozen=True, slots=True)
class PhonesElsewhere:
    """here: those of this machine; networks: where the others are."""

    here: bool = False
    networks: tuple[Network, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return self.here or bool(self.networks)

    def admit(self, address: str, *, is_here: bool) -> bool:
        """Return whether the phone at an address, in numbers, may call. is_here: whether that is this machine's own."""
        place = ipaddress.ip_address(address.partition("%")[0])
        return (self.here and is_here) or any(place in network for network in self.networks if network.version == place.version)


def parse_phone_elsewhere(text: str) -> str | Network:
    """Read one entry of the configuration. Raises UsageError."""
    if text in {NOBODY, HERE}:
        return text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise UsageError("should be nobody, here, or an address or network, for example 192.168.1.20 or 192.168.1.0/28") from None
    if network.prefixlen < BROADEST_BITS[network.version]:
        raise UsageError("is nearly everybody: an address is no password, so name the phones")
    return network


def phones_elsewhere(entries: Iterable[str | Network]) -> PhonesElsewhere:
    """Return who may call, of the entries."""
    entries = list(entries)
    return PhonesElsewhere(HERE in entries, tuple(each for each in entries if not isinstance(each, str)))
