"""What a protocol module is, and what it is told. Pure. INTERCEPTION.md has a worked example.

A module is a small class. For each flow to a contact's virtual address, the modules of `intercept.modules` are asked in their order; the first that does not say `pass` has the flow.

    process(flow, first_octets)      pass, take, drop or answer it
    circuit_ready(flow, local_port)  the contact's box took it: from now on its octets pass no module
    circuit_gone(flow, cause)        it did not; what is returned is said to the program in the contact's place
    notify(module, message)          another module has something to say

A module opens no socket and looks at no clock. One that fails loses the flow that it failed with: nobody gets it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, unique
from typing import Protocol


@unique
class Verdict(Enum):
    """What a module does with a flow."""

    PASS = "pass"  # noqa: S105 - a word of ours, no password
    TAKE = "take"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Answer:
    """As a verdict: this is all that is said to the connection or datagram, which goes nowhere."""

    octets: bytes = field(repr=False)


@unique
class Redirect(Enum):
    """What a flow is."""

    TCP = "tcp"
    """A connection to a virtual address."""
    UDP = "udp"
    """Datagrams of one program's socket to one port of a virtual address; a module sees the first."""
    LOOKUP = "lookup"
    """A datagram with a question about a contact's name, of a device of the LAN to whatever resolver."""
    SIP = "sip"
    """A datagram with a request of SIP about a contact's name, of a phone to a server elsewhere."""


@unique
class Cause(IntEnum):
    """Why a flow has no circuit: as PROTOCOL.md §11.3 numbers it, and LATE where nothing came in time."""

    LATE = 0
    REFUSED = 1
    BUSY = 2
    UNREACHABLE = 3
    GONE = 4
    UNLIKE = 5


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection, association, question or request of a program or device. petname, host: whose virtual address it went to, host "" for the contact's own name, both "" for a question and a request of SIP; port: there."""

    petname: str = field(repr=False)
    host: str = field(repr=False)
    port: int
    redirect: Redirect = Redirect.TCP


class Box(Protocol):
    """What a module has of its box."""

    def look_up(self, query: bytes, /) -> bytes | None:
        """Answer a message of DNS about names of contacts; None where it is none."""

    def owner(self, address: str, /) -> tuple[str, str] | None:
        """Return whose virtual address one is: petname and host; None for nobody's."""

    def notify(self, module: str, message: object, /) -> None:
        """Say something to all other modules."""


class Module:
    """Passes everything: modules are made from this. name: in the configuration; redirect: which flows it is asked about; box: set before the first."""

    name = ""
    redirect = Redirect.TCP
    box: Box

    def process(self, flow: Flow, first_octets: bytes) -> Verdict | Answer:  # noqa: ARG002 - what modules that do look at are given
        """Decide about a flow. first_octets: what its program said so far, which is nothing where it waits for the other side to speak."""
        return Verdict.PASS

    def circuit_ready(self, flow: Flow, local_port: int) -> None:
        """Take that the contact's box took a flow; local_port: of the program's end."""

    def circuit_gone(self, flow: Flow, cause: Cause) -> bytes:  # noqa: ARG002 - as above
        """Take that it did not. Return what is said to the program before its connection is ended, or as a datagram; nothing: it is reset, or refused."""
        return b""

    def notify(self, module: str, message: object) -> None:
        """Take what another module says to all."""
