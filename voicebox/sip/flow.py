"""Where a message came from and goes to: one UDP address pair, or one TCP or TLS connection. Pure.

Spec: RFC 5626 §3.1 (flows).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, unique


@unique
class Transport(Enum):
    """The value is the one in a Via."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"


@dataclass(frozen=True, slots=True)
class Taken:
    """Of a request that was taken on its way to a provider: the address and port that it was going to, and that answers to it leave from.

    contact_user: of our Contact, so that what a phone sends by way of its provider all the same is taken, too; admitted: whether the phone may call.
    """

    address: str = field(repr=False)
    port: int = field(repr=False)
    contact_user: str
    admitted: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to reach a peer. Addresses are literal, IPv6 without brackets, and do not print.

    number: the listener for UDP, the connection for TCP and TLS; never used twice in one run. taken: where a request came that was not for us, which alone is answered so.
    """

    transport: Transport
    number: int
    local_address: str = field(repr=False)
    local_port: int = field(repr=False)
    remote_address: str = field(repr=False)
    remote_port: int = field(repr=False)
    taken: Taken | None = None

    @property
    def own(self) -> Flow:
        """Return how requests of ours reach the peer: from our own address, so that the answers come here and not to a provider."""
        return self if self.taken is None else replace(self, taken=None)

    @property
    def reliable(self) -> bool:
        """Say whether the transport itself delivers or fails."""
        return self.transport is not Transport.UDP

    @property
    def private(self) -> bool:
        """Say whether what passes is enciphered, so that keys may be told in it."""
        return self.transport is Transport.TLS

    @property
    def local_host(self) -> str:
        """Return our address as it stands in a URI or Via."""
        return bracketed(self.local_address)


def bracketed(address: str) -> str:
    """Return a literal address as it stands in a URI: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
