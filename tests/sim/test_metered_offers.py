"""What a box with a metered circuit offers, and takes of what is offered to it. Real cores, virtual wires. PROTOCOL.md §9.4."""

from __future__ import annotations

import pytest

from tests.support.boxes import Box, acquaint, run
from tests.support.core_world import CoreWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Codec, Offer, Refusal, Refuse
from voicebox.errors import UsageError

SMALL = make_network()
WIDE = Offer((Codec.OPUS, Codec.PCMA, Codec.G722))
G722_ALONE = Offer((Codec.G722,))


def two_boxes(metered: tuple[bool, bool]) -> tuple[CoreWorld, Box, Box]:
    """Return a world in which alice and bob have a circuit each. metered: whose is."""
    world = CoreWorld(SMALL, 5_000_000, lambda _port: 2_000)
    alice, bob = Box(world, "alice", 1, 1, metered=metered[0]), Box(world, "bob", 1, 2, metered=metered[1])
    acquaint(world, [alice, bob], 12)
    assert alice.standing.ready()
    assert bob.standing.ready()
    return world, alice, bob


@pytest.mark.parametrize(
    ("metered", "rings_with"),
    [
        ((False, False), WIDE),
        ((True, False), Offer((Codec.OPUS, Codec.PCMA))),
        ((False, True), Offer((Codec.OPUS, Codec.PCMA))),
        ((True, True), Offer((Codec.OPUS, Codec.PCMA))),
    ],
    ids=["nobody", "caller", "callee", "both"],
)
def test_g722_of_which_there_are_no_copies_is_left_out_where_a_box_is_metered(metered: tuple[bool, bool], rings_with: Offer) -> None:
    world, alice, bob = two_boxes(metered)
    alice.calls.call("bob", WIDE, alice.listener)
    run(world, [alice, bob], 8)
    assert [offer for _, offer, _ in bob.rung] == [rings_with]


def test_texts_need_no_codec() -> None:
    world, alice, bob = two_boxes((True, True))
    alice.calls.call("bob", Offer(()), alice.listener)
    run(world, [alice, bob], 8)
    assert [offer for _, offer, _ in bob.rung] == [Offer(())]


def test_phone_that_has_g722_alone_makes_no_call_from_or_to_a_metered_box() -> None:
    world, alice, bob = two_boxes((False, True))
    with pytest.raises(UsageError, match=r"G\.722"):
        bob.calls.call("alice", G722_ALONE, bob.listener)
    alice.calls.call("bob", G722_ALONE, alice.listener)
    run(world, [alice, bob], 8)
    assert bob.rung == []
    assert alice.events[-1] == Refuse(Refusal.NO_ANSWER)
