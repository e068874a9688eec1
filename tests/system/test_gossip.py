"""A relay that nobody has in a file: it tells the others, a box hears of it from its guards and goes over it, and all of them still know it after a restart. [io]"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.embedded import told, wait_until
from tests.support.network_commands import join_network, vouch
from voicebox.cli.main import main
from voicebox.demo.network import EmbeddedNetwork, Node, Plan
from voicebox.errors import VoiceboxError

pytestmark = pytest.mark.system

PLAN = Plan(first_port=47_950, prefix="127.0.85", epoch_s=20, guards=("guard-1", "guard-2"), junctions=("junction-1",), boxes=("alice",))
FRESH = "127.0.85.50:47990"


def knows(node: Node) -> int:
    """Return how many relays a node knows; none while it does not answer."""
    try:
        return int(told(node)["list"]["relays"])
    except VoiceboxError:
        return 0


def test_a_new_relay_is_known_to_all_and_used_without_anybody_copying_a_file(tmp_path: Path) -> None:
    network = EmbeddedNetwork(tmp_path, PLAN)
    network.set_up()
    fresh = Node("junction-2", tmp_path / "junction-2", "relay run")
    file = tmp_path / "network"
    assert main(["relay", "init", "--listen", FRESH, "--role", "junction", "--operator", "fresh", "--home", str(fresh.home)]) == 0
    vouch(file, [fresh.home / "descriptor"])
    join_network(fresh.home, file)
    assert main(["network", "value", f"{file}.value", "--home", str(fresh.home)]) == 0
    alice = network.boxes["alice"]
    try:
        for node in (*network.relays.values(), fresh):
            network.start_node(node)
        wait_until(lambda: all(knows(node) == 4 for node in network.relays.values()), "news at all relays", 60)
        network.start_node(alice)
        wait_until(lambda: knows(alice) == 4, "news at the box", 60)
        wait_until(lambda: told(alice)["ready"] and len(told(alice)["circuits"]) >= 2, "a circuit over the new junction", 60)
        wait_until(lambda: told(alice)["list"]["asked"] == 2, "both guards' lists", 60)
        said = network.voicebox("status", home=alice.home)
        assert re.search(r"(?m)^list +4 relays, fetched \d+ \w+ ago; 2 guards asked lately, who agree; junctions can be foreseen", said)
        assert re.search(r"(?m)^list +4 relays, fetched ", network.voicebox("status", home=fresh.home))
    finally:
        network.stop()
        network.stop_node(fresh)
    for node in (*network.relays.values(), alice):
        kept = (node.home / "network.list").read_text()
        assert "operator fresh" in kept, "a restart needs nobody"
        assert re.findall(r"(?m)^period \d+$", kept) == ["period 1"], "and the value of the next period went round with it"
