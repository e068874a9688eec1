"""Sound over one to six relays in virtual time: every length comes about, and takes what its links and steps take."""

from __future__ import annotations

import struct
import subprocess
from random import Random

import pytest

from tests.support.networks import NOW, make_network
from tools.adversary.world import PHONE, RECORD, Plan, run
from tools.bench.lengths import LENGTHS, SIDES, delays_ms, one_way, plan
from tools.bench.long_node import with_two_middles
from voicebox.circuits.descriptor import Role
from voicebox.circuits.path import Path, Pool
from voicebox.errors import PolicyError

STEP_MS, SLOT_MS = 5, 20


def test_each_length_has_its_number_of_relays() -> None:
    assert {near + far - 1 for near, far in SIDES.values()} == set(LENGTHS)
    for relays in LENGTHS:
        assert SIDES[relays][0] + SIDES[relays][1] - 1 == relays
        assert plan(relays, 19, 2, 1).count("\nrelay ") == relays


@pytest.mark.parametrize("relays", [1, 2, 4, 6])
def test_a_call_takes_its_links_and_some_slots(relays: int) -> None:
    found = one_way(relays, 19, 3, 2.0)
    assert found["frames"] == 3 * 2 * 100
    least = 19 * (relays + 1) + STEP_MS
    assert least <= found["p50_ms"] <= found["p99_ms"] <= least + STEP_MS * relays + 3 * SLOT_MS


def test_a_frame_is_found_again_at_the_other_phone_only() -> None:
    def record(at_us: int, port: int, frame: int, *, spoken: bool) -> bytes:
        ends = (PHONE, 5) if spoken else (5, PHONE)
        return RECORD.pack(at_us, at_us, *ends, 0, 0, struct.pack("<I", port) + struct.pack(">I", frame))

    heard = [record(60_000, 1, 7, spoken=False), record(50_000, 0, 8, spoken=False), record(61_000, 1, 9, spoken=False)]
    octets = b"".join([record(20_000, 0, 7, spoken=True), record(30_000, 0, 8, spoken=True), record(40_000, 0, 9, spoken=True), *heard])
    assert delays_ms(octets, 40_000) == ([40.0], 2)


def test_more_hops_than_an_owner_has_layers_for_are_refused() -> None:
    assert max(max(side) for side in SIDES.values()) == 4
    five = Plan(1, lines=[*["relay 0"] * 5, "box 0 0", "circuit 5 0 1 2 3 4"])
    with pytest.raises(subprocess.CalledProcessError, match="exit status 2"):
        run(five, switches=False)


def test_a_path_with_two_middles_has_four_different_relays() -> None:
    small = make_network(guards=6)
    guards = [relay.descriptor for relay in small.relays[:2]]
    pool = Pool(small.network, Role.GUARD, NOW)
    for seed in range(20):
        path = with_two_middles(pool, Path(guards[0], small.relays[6].descriptor), guards, Random(seed), lambda _relay: 1.0)
        ids = [relay.relay_id for relay in path.relays]
        assert len(set(ids)) == 4
        assert ids[0] == guards[0].relay_id
        assert ids[-1] == small.relays[6].descriptor.relay_id
        assert guards[1].relay_id not in ids
    few = make_network(guards=3)
    own = [relay.descriptor for relay in few.relays[:2]]
    with pytest.raises(PolicyError, match="not two"):
        with_two_middles(Pool(few.network, Role.GUARD, NOW), Path(own[0], few.relays[3].descriptor), own, Random(0), lambda _relay: 1.0)
