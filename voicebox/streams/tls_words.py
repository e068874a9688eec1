"""What a box and its process that speaks TLS say to each other: one JSON object each, over a socket pair that keeps them apart. Pure.

    box: Begin, with the descriptors of both connections        process: Hello, once the program has said for whom it asks
    box: Lead, or Refuse                                        process: Shown, once the service has shown a certificate
    box: Good, or Refuse                                        process: Over, at any time, at last

Words of a flow that is over mean nothing. NOT here: what becomes of them (tls_flow.py, tls_ends.py).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.errors import RemoteError

MAX_WORD_OCTETS = 65_536
MAX_FIRST_OCTETS = 32_768
"""Of what a program said before its connection was handed over."""
MAX_SHOWN_OCTETS = 4_096
"""Of a service's certificate; what is longer is none that a box takes (contacts/identity.py), cut off or not."""


@unique
class Ending(Enum):
    """How a flow ended; the value is how status counts it."""

    DONE = "done"
    """Both had a TLS connection, which is over."""
    REFUSED = "refused"
    """The box said so."""
    NO_SERVICE = "no_service"
    """The service speaks no TLS 1.3, or went."""
    NO_PROGRAM = "no_program"
    """The program speaks no TLS 1.2 or later, or takes no certificate of this box."""
    GONE = "gone"
    """The program went before anything was decided."""
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Begin:
    """Two connections come beside it: of the program, and to the service. first: what the program said already."""

    flow: int
    first: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lead:
    """label: for whom to ask the service; own: the key and certificate to show to the program, PEM."""

    flow: int
    label: str = field(repr=False)
    own: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Good:
    """What the service showed is good."""

    flow: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """alert: with which to refuse the program (RFC 8446 §6)."""

    flow: int
    alert: int


@dataclass(frozen=True, slots=True)
class Hello:
    """name: for whom the program asks (SNI), None where it does not say."""

    flow: int
    name: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Shown:
    """certificate: what the service showed, DER, at most MAX_SHOWN_OCTETS of it."""

    flow: int
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Over:
    """The flow has ended."""

    flow: int
    ending: Ending


Word = Begin | Lead | Good | Refuse | Hello | Shown | Over


def serialise_word(word: Word) -> bytes:
    """Return its octets."""
    fields: dict[str, object]
    match word:
        case Begin(flow, first):
            fields = {"begin": flow, "first": _text(first)}
        case Lead(flow, label, own):
            fields = {"lead": flow, "label": label, "own": _text(own)}
        case Good(flow):
            fields = {"good": flow}
        case Refuse(flow, alert):
            fields = {"refuse": flow, "alert": alert}
        case Hello(flow, name):
            fields = {"hello": flow, "name": name}
        case Shown(flow, certificate):
            fields = {"shown": flow, "certificate": _text(certificate)}
        case Over(flow, ending):
            fields = {"over": flow, "ending": ending.value}
    return json.dumps(fields).encode()


def parse_word(octets: bytes) -> Word:
    """Read what serialise_word() wrote. Raises RemoteError for anything else."""
    try:
        match json.loads(octets):
            case {"begin": int(flow), "first": str(first)}:
                return Begin(flow, _octets(first))
            case {"lead": int(flow), "label": str(label), "own": str(own)}:
                return Lead(flow, label, _octets(own))
            case {"good": int(flow)}:
                return Good(flow)
            case {"refuse": int(flow), "alert": int(alert)}:
                return Refuse(flow, alert)
            case {"hello": int(flow), "name": None | str() as name}:
                return Hello(flow, name)
            case {"shown": int(flow), "certificate": str(certificate)}:
                return Shown(flow, _octets(certificate))
            case {"over": int(flow), "ending": str(ending)}:
                return Over(flow, Ending(ending))
            case _:
                pass
    except (ValueError, RecursionError, binascii.Error):
        pass
    raise RemoteError("this is no word between a box and its process that speaks TLS")


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
