"""The lab's virtual world: what it records is what the cores do, and its leaks exist in the lab's build only."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tools.adversary import live
from tools.adversary.clocks import piece_of, rate_of
from tools.adversary.world import NEVER, SECOND_US, Plan, Recorded, network, run

SLOT_US = 20_000


def plan_of(*switches: str, lossy: bool = False) -> Plan:
    """Return a plan: two boxes call each other for some seconds, recorded from before the call to after it."""
    plan, _ = network(4_711, 2)
    if lossy:
        plan.wires((8_000, 300, 20_000), (12_000, 200, 20_000))
    for switch in switches:
        plan.at(0, "switch", switch, "on")
    plan.at(2 * SECOND_US, "call", 0, 1, 9)
    plan.at(6 * SECOND_US, "end", 0, 1, 9)
    plan.record(SECOND_US, 9 * SECOND_US)
    return plan


@pytest.fixture(scope="module")
def clean() -> Recorded:
    return run(plan_of())


def test_a_call_is_heard_at_both_ends_and_by_the_phones(clean: Recorded) -> None:
    assert clean.heard() == 2
    for circuit in (0, 1):
        assert 150 < len(clean.rtp[circuit]) < 220
        assert {after[1] - before[1] for before, after in zip(clean.rtp[circuit], clean.rtp[circuit][1:], strict=False)} >= {160}


def test_each_way_of_each_link_has_one_cell_a_slot(clean: Recorded) -> None:
    for circuit in (0, 1):
        for up in (True, False):
            for cells in (clean.access(circuit, up=up), clean.behind(circuit, up=up)):
                assert abs(len(cells) - 400) <= 1
                slots = [cell[3] for cell in cells]
                assert slots == list(range(slots[0], slots[0] + len(slots)))


def test_equal_plans_give_equal_records(clean: Recorded) -> None:
    assert run(plan_of()).cells == clean.cells


def test_the_build_that_is_shipped_does_the_same_and_has_no_switches(clean: Recorded) -> None:
    shipped = run(plan_of(), switches=False)
    assert (shipped.cells, shipped.rtp) == (clean.cells, clean.rtp)
    with pytest.raises(RuntimeError, match="no switch"):
        run(plan_of("fill_off"), switches=False)


def test_the_installed_engine_has_no_leak_to_switch_on() -> None:
    installed = importlib.util.find_spec("voicebox._relay")
    assert installed is not None
    assert installed.origin is not None
    assert b"VOICEBOX_LAB" not in Path(installed.origin).read_bytes()
    assert b"VOICEBOX_LAB" in (live.test_engine() / "voicebox" / "_relay.abi3.so").read_bytes(), "a test build has, and is found by this"


def test_every_switch_leaks() -> None:
    holes = run(plan_of("fill_off", lossy=True))
    whole = run(plan_of(lossy=True))
    assert len(holes.access(1, up=False)) < len(whole.access(1, up=False)) - 3, "a lost cell is a hole"
    silent = run(plan_of("chaff_off", "fill_off"))
    assert 150 < len(silent.access(0, up=True)) < 300, "cells in the call only"
    passed = run(plan_of("pass_through"))
    gaps = [after[0] - before[0] for before, after in zip(passed.access(1, up=False), passed.access(1, up=False)[1:], strict=False)]
    assert max(abs(gap - SLOT_US) for gap in gaps) > 500, "jitter goes through"


def test_silence_shows_with_discontinuous_transmission_only() -> None:
    for switches, least, most in ((("dtx",), 250, 350), ((), 398, 402)):
        plan = plan_of(*switches)
        plan.at(3 * SECOND_US, "frames", 0, "off")
        plan.at(5 * SECOND_US, "frames", 0, "on")
        assert least < len(run(plan).access(0, up=True)) < most


def test_a_flipped_bit_reaches_the_phone_through_a_stream_cipher_only() -> None:
    for switches in (("xor_stream",), ()):
        plan = plan_of(*switches)
        plan.at(3 * SECOND_US, "tamper", 0, 0, 0, 1, 0)
        plan.at(4 * SECOND_US, "tamper", 0, 0, 0, 0, 0)
        recorded = run(plan)
        marked = sum(octets == 1 for _, octets in recorded.changed[1])
        assert 40 < marked <= 50 if switches else marked == 0
        assert not recorded.changed[0], "nobody touched the other way"


def test_a_tick_is_its_guards_but_for_the_switches_that_let_the_crystal_through() -> None:
    def ticks_of(*switches: str) -> list[int]:
        plan = Plan(4_712)
        plan.wires((8_000, 50, 0), (12_000, 50, 0))
        nodes = [plan.relay(), plan.relay(), plan.box(40_000)]
        plan.circuit(nodes[2], nodes[0], nodes[1])
        for switch in switches:
            plan.at(0, "switch", switch, "on")
        plan.record(10 * SECOND_US, 40 * SECOND_US)
        return [cell[0] for cell in run(plan).access(0, up=True)]

    assert abs(rate_of(ticks_of())) < 2
    assert rate_of(ticks_of("free_tick")) == pytest.approx(40, abs=0.1)
    stepped = ticks_of("stepped_tick")
    assert abs(rate_of(stepped)) < 2
    assert piece_of(stepped) == pytest.approx(40, abs=2), "between corrections it is the crystal's"


def test_wires_lose_and_delay_as_the_plan_says() -> None:
    cells = run(plan_of(lossy=True)).access(0, up=True)
    lost = sum(cell[1] == NEVER for cell in cells) / len(cells)
    assert 0.002 < lost < 0.06
    delays = [cell[1] - cell[0] for cell in cells if cell[1] != NEVER]
    assert min(delays) >= 8_000
    assert 8_200 < sum(delays) / len(delays) < 9_200


def test_a_plan_that_is_none_is_refused() -> None:
    plan = plan_of()
    plan.lines.append("at 5 dance 1")
    with pytest.raises(Exception, match=r"line|exit status 2"):
        run(plan)
