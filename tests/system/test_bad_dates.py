"""Machines whose date is wrong when they start and is set later, as on a small computer without a clock of its own. [io]

The processes get another date through a wrapper of the C library's clock_gettime (tests/support/date.c); nothing else of the machine changes. A machine that
slept looks the same to its processes: the monotonic clock stood still and the date went on.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.system.test_two_boxes import phones
from voicebox.demo.network import EmbeddedNetwork, Node, Plan
from voicebox.errors import VoiceboxError

pytestmark = pytest.mark.system

HOURS_S = 2 * 3_600
SHIM = Path(__file__).parents[1] / "support" / "date.c"
RECOVERY_S = 60.0
"""Two looks at the date, 5 s apart; the last try to build a circuit may have been a moment before, and the next come within 20 s of it."""


def answers(node: Node) -> bool:
    try:
        return bool(told(node))
    except VoiceboxError:
        return False


def date_set(node: Node) -> int:
    return int(told(node)["counters"].get("date_set", 0))


def test_nodes_whose_date_was_wrong_work_when_it_is_set(tmp_path: Path) -> None:
    """One box and all guards begin two hours ahead, so that no circuit comes about. Nobody starts anything anew."""
    library, off = tmp_path / "date.so", tmp_path / "off"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(SHIM)], check=True)
    off.write_text(f"{HOURS_S}\n")
    network = EmbeddedNetwork(tmp_path / "network", Plan(first_port=47_900, prefix="127.0.84"))
    network.set_up()
    wrong = [network.boxes[CALLER], *(network.relays[name] for name in network.plan.guards)]
    for node in wrong:
        node.environment = {"LD_PRELOAD": str(library), "VOICEBOX_TEST_DATE_OFF": str(off)}
    try:
        network.start()
        wait_until(lambda: all(map(answers, (*network.relays.values(), *network.boxes.values()))), "all nodes", 30)
        with phones(network, tmp_path) as (caller, callee):
            time.sleep(3)
            assert not any(circuit["state"] == "standing" for box in network.boxes.values() for circuit in told(box)["circuits"])
            off.write_text("0\n")
            network.wait_ready(RECOVERY_S)
            caller.dial(f"sip:{CALLEE}.privacy")
            caller.wait_for("connected")
            caller.hang_up()
            callee.wait_for("ended")
        assert [date_set(node) for node in wrong] == [1] * len(wrong)
        assert date_set(network.boxes[CALLEE]) == 0
    finally:
        network.stop()
