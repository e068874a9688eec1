"""The bench part about knowing and choosing relays: what it measures is the real thing, and its table is in the documents' order."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.support.simulated import simulated_network
from tools.bench import paths
from tools.bench.year import YEAR_DAYS, Stay, bad_relays, exposed, year_of_guards
from voicebox.circuits.descriptor import Role
from voicebox.circuits.network import parse_network


def test_the_list_that_is_read_is_whole_and_signed(tmp_path: Path) -> None:
    octets = paths.write_network(tmp_path / "network", 40)
    text = (tmp_path / "network").read_text()
    assert len(text) == octets
    network = parse_network(text, "network")
    assert len(network.relays) == 40
    assert all(len(relay.verified.vouchers) == 2 for relay in network.relays)
    found = paths.verify(40)
    assert found["relays"] == 40
    assert 0 < found["kept_mb"] < found["most_mb"]
    assert 2 * 16_384 <= found["gossip"]["quiet_octets"] <= found["gossip"]["first_octets"]
    assert found["gossip"]["day_octets"] == 48 * found["gossip"]["quiet_octets"]


def test_choosing_is_measured_for_every_step() -> None:
    found = paths.choose(200)
    assert all(0 < found[name]["p50_ms"] <= found[name]["p99_ms"] for name in ("look_through", "junctions", "path"))


def test_a_year_of_a_box_fills_every_day_at_both_places() -> None:
    stays = year_of_guards(simulated_network(300), Random(1))
    assert [sum(stay.days for stay in stays if stay.place == place) for place in (0, 1)] == [YEAR_DAYS] * 2


def test_bad_relays_are_found_where_they_stand_and_only_there() -> None:
    network, rng = simulated_network(300), Random(2)
    guards = network.with_role(Role.GUARD, network.date(0))
    bad, have = bad_relays(guards, 0.3, rng)
    assert 0.25 < have <= 0.3
    assert sum(relay.mbit_s for relay in guards if relay.relay_id in bad) == pytest.approx(have * sum(relay.mbit_s for relay in guards))
    years = [[Stay(0, guards[number].relay_id, YEAR_DAYS), Stay(1, guards[-1 - number].relay_id, YEAR_DAYS)] for number in range(20)]
    junctions = [[relay.relay_id for relay in network.with_role(Role.JUNCTION, network.date(0))[:2]] for _ in range(YEAR_DAYS)]
    nobody = exposed(years, network, junctions, 0.0, rng, middle=False, sets=2)
    assert (nobody.bad_guard, nobody.bad_path_now, nobody.bad_path_in_a_year) == (0, 0, 0)
    everybody = exposed(years, network, junctions, 1.0, rng, middle=True, sets=2)
    assert (everybody.bad_guard, everybody.bad_path_now, everybody.bad_path_in_a_year) == (1, 1, 1)
