"""The engine's core equals the model over 10^6 inputs: octets, events, order of random draws, counted drops, and it asks to be woken in time."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import LONG
from tests.oracle.chaos import Chaos
from tests.oracle.compared import DROPS, Compared

INPUTS = 10_000_000 if LONG else 1_000_000
SEEDS = 8  # networks, each with its own wires, rate of faults and history
COUPLED, TRIPLED = 10, 3
EVENTS = {"create", "extend", "ask", "circuit_ended", "created", "refused", "ended", "heard", "silent", 17, 18, 21, 23, 25, 27, 31, 33}
"""All the events a model has; numbers are kinds of `answer`."""


@pytest.mark.fuzz
@pytest.mark.timeout(3_600 if LONG else 280)
def test_the_core_does_what_the_model_does() -> None:
    inputs, coupled, tripled, drops, events = 0, 0, 0, Counter[str](), Counter[object]()
    for seed in range(2 * SEEDS):
        if inputs >= INPUTS and coupled >= COUPLED and tripled >= TRIPLED and all(drops[name] for name in DROPS) and set(events) == EVENTS:
            break  # more networks only until everything was tried
        nodes: list[Compared] = []

        def make_node(octets: bytes, *, metered: bool = False, nodes: list[Compared] = nodes) -> Compared:
            nodes.append(Compared(octets, metered=metered))
            return nodes[-1]

        network = Chaos(seed, make_node)
        while sum(node.inputs for node in nodes) < INPUTS / SEEDS:
            network.three_seconds()
            for node in nodes:
                node.compare_counters()
        inputs += sum(node.inputs for node in nodes)
        coupled += sum(node.coupled for node in nodes)
        tripled += sum(node.tripled for node in nodes)
        for node in nodes:
            drops.update(node.counters)
        events.update(event[4] if event[0] == "answer" else event[0] for _, _, event in network.events)
    print(f"{inputs} inputs, {seed} seeds; {coupled} couples, {tripled} of a third circuit; drops {dict(drops)}; events {dict(events)}")
    assert inputs >= INPUTS
    assert coupled >= COUPLED
    assert tripled >= TRIPLED
    assert not [name for name in DROPS if not drops[name]], "some reason to drop was never tried"
    assert set(events) == EVENTS, "some event was never tried"
