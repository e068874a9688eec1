"""What a program asks a name server: the octets of a query, read strictly. Pure.

A query has one question and nothing else but EDNS; a question's name has no pointers, so there is nothing to run in circles. NOT here: answers (zone.py).
Spec: RFC 1035 §4.1, RFC 6891. Departure: other records beside the question, TSIG for instance, are refused as malformed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

HEADER_OCTETS = 12
MAX_NAME_OCTETS = 255
OPT = 41


class Malformed(Exception):
    """The query is to be answered with FORMERR."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. labels: of the name, as they were written; edns: the version of EDNS, None where the query has none; size: octets of a datagram for its asker."""

    labels: tuple[bytes, ...] = field(repr=False)
    kind: int
    of_class: int
    edns: int | None
    size: int


def parse_question(query: bytes) -> Question:
    """Read what stands behind the header. Contract: the query has a header. Raises Malformed."""
    questions, answers, authorities, additional = struct.unpack_from("!HHHH", query, 4)
    if questions != 1 or answers or authorities or additional > 1:
        raise Malformed
    labels, at = _name(query)
    if len(query) < at + 4:
        raise Malformed
    kind, of_class = struct.unpack_from("!HH", query, at)
    edns, size, end = _edns(query, at + 4) if additional else (None, 512, at + 4)
    if end != len(query):
        raise Malformed
    return Question(labels, kind, of_class, edns, size)


def _name(query: bytes) -> tuple[tuple[bytes, ...], int]:
    """Return the labels of the name, and where it ends."""
    labels = []
    at = HEADER_OCTETS
    while at < len(query) and (octets := query[at]):
        if octets > 63 or at + 1 + octets - HEADER_OCTETS >= MAX_NAME_OCTETS:
            raise Malformed
        labels.append(query[at + 1 : at + 1 + octets])
        at += 1 + octets
    return tuple(labels), at + 1


def _edns(query: bytes, at: int) -> tuple[int, int, int]:
    """Return its version, the size of datagrams that its asker takes, and where it ends."""
    if len(query) < at + 11:
        raise Malformed
    name, kind, size, _, version, _, octets = struct.unpack_from("!BHHBBHH", query, at)
    if name or kind != OPT:
        raise Malformed
    return version, max(512, size), at + 11 + octets
