"""A text to a contact whose box is off: kept at once, left at relays, found when the box is on; with daemons, short epochs and real connections. [io]"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, start_network, told, wait_until
from tests.system.test_dial_plans import phones
from tests.system.test_lan import account
from voicebox.demo.network import EmbeddedNetwork, Plan

pytestmark = [pytest.mark.system, pytest.mark.long]  # a minute of real time: turns, however short

PLAN = Plan(first_port=47_700, prefix="127.0.86", epoch_s=60)
FOUND_S = 150
"""Two turns of the receiving box and one of the other, of some 25 s each, and its start."""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[EmbeddedNetwork]:
    made = start_network(tmp_path, PLAN)
    yield made
    made.stop()


async def test_a_text_to_a_box_that_is_off_comes_when_it_is_on(network: EmbeddedNetwork) -> None:
    alice, bob = network.boxes[CALLER], network.boxes[CALLEE]
    network.stop_node(bob)
    async with phones(account(network, CALLER, 5_910)) as (writer,):
        uri = f"sip:{CALLEE}.privacy"
        final = await writer._ask("MESSAGE", uri, f"<{uri}>", ["Content-Type: text/plain"], "call me when you are back")
        assert final.startswith("SIP/2.0 202"), final
        assert told(alice)["texts"]["waiting"] == 1
        assert len(list((alice.home / "waiting").iterdir())) == 1, "it is on the disk"
        await asyncio.to_thread(wait_until, lambda: told(alice)["texts"].get("records_left", 0) >= 6, "that a record of each contact was left", 60)
        await asyncio.to_thread(network.start_node, bob)
        await asyncio.to_thread(network.wait_ready, 60)
        async with phones(account(network, CALLEE, 5_911)) as (reader,):
            await asyncio.to_thread(wait_until, lambda: any(line.startswith("MESSAGE") for line in reader.came), "the text", FOUND_S)
            await asyncio.to_thread(wait_until, lambda: told(alice)["texts"]["waiting"] == 0, "that its writer has heard of it", FOUND_S)
        assert sum(line.startswith("MESSAGE") for line in reader.came) == 1
    relays = [told(relay) for relay in network.relays.values()]
    assert all(relay["records"]["held"] > 0 for relay in relays), "six relays are all holders"
    assert sum(relay["engine"].get("broke_protocol", 0) for relay in relays) == 0
    for box in (alice, bob):
        assert told(box)["sip"].get("bugs", 0) == 0
        assert not {name for name in told(box)["counters"] if name.startswith("bug_")}
        assert all(isinstance(count, int) for count in told(box)["texts"].values()), "totals alone"
