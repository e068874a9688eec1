"""Knocks that are repeated (PROTOCOL.md §6.2)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from relay.model.hop import Hop
from relay.model.junction import KNOCK_EVERY_SLOTS, Junction
from relay.model.slots import SLOT_US

TOKENS = bytes(range(256)) * 8
"""128 of 16 octets."""
KNOCK = TOKENS[:16] + b"j" * 16 + bytes(184)


def hop_of(node: Any, heard: list[str], name: str) -> Hop:
    def put_knocked(_octets: bytes) -> bool:
        heard.append(name)
        return True

    hop = SimpleNamespace(node=node, bond=None, knocks={}, forward_due=object(), put_knocked=put_knocked)
    node.hops[name] = hop
    return cast("Hop", hop)


def test_they_go_to_the_circuit_of_the_first_while_that_lives_whoever_has_all_its_tokens_by_then() -> None:
    node = SimpleNamespace(hops={})
    heard: list[str] = []
    knocker, first, later = (hop_of(node, heard, name) for name in ("knocker", "first", "later"))
    junction = Junction(0)

    def knock(slot: int) -> str | None:
        return junction.knock(knocker, slot, slot * SLOT_US, KNOCK, b"ticket--")

    junction.leave(first, TOKENS)
    assert knock(100) is None
    junction.leave(later, TOKENS)
    assert knock(100 + KNOCK_EVERY_SLOTS) is None
    assert heard == ["first", "first"]
    del node.hops["first"]
    assert knock(100 + 2 * KNOCK_EVERY_SLOTS) is None
    assert heard == ["first", "first", "later"]
