"""A box with two uplinks, one guard's links over each: one is pulled in mid-call, or leads nowhere from then on. [io]

Relays on an internet of this machine's own; the caller's box has a line to its own router and one to another house's. What is heard is taken from captures between box
and phone, what leaves from captures at the far end of each line.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, leave_dummies, told, wait_until
from tests.support.houses import House
from tests.system.test_move import BEFORE_S, NS, PLAN, heard_ns, houses, in_call, phone
from voicebox.control import ask
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import load_capture
from voicebox.demo.network import Node

pytestmark = pytest.mark.system

FIRST, SECOND, NEXT_DOOR = "eth0", "eth1", "next door"
METRIC = 500
AFTER_S = 4.0
MOST_GAP_S = 0.2
"""On a machine that has other work; twice as long as before the line was lost where that work alone made more of it. In virtual time it is one slot (tests/sim/test_one_line_pulled.py)."""


def use_both(box: Node, house: House) -> str:
    """Choose both lines, as the user does at a terminal of that machine; return what is said."""
    command = [*house.inside.wrapper, sys.executable, "-m", "voicebox", "uplinks", "use", FIRST, SECOND, "--yes", "--home", str(box.home)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def links_over(box: Node) -> dict[str, int]:
    """Return how many links of a box are over each uplink; nothing while a circuit does not stand."""
    return dict(ask(box.home, "uplinks")["links"]) if told(box)["ready"] else {}


def met(capture: Path, from_ns: int, until_ns: int) -> set[str]:
    """Return the addresses to which anything left over a line."""
    return {each.destination.address for each in load_capture(capture) if from_ns < each.time_ns < until_ns}


@pytest.mark.parametrize("lose", [House.pull, pytest.param(House.leads_nowhere, marks=pytest.mark.long)], ids=["pulled", "leads nowhere"])
def test_a_line_that_is_lost_in_mid_call_costs_some_frames_at_most_and_each_line_carries_its_guards_datagrams_alone(
    tmp_path: Path, lose: Callable[[House], None]
) -> None:
    with houses(tmp_path, NEXT_DOOR) as (network, places), ExitStack() as held:
        box, home, next_door = network.boxes[CALLER], places[CALLER], places[NEXT_DOOR]
        home.gets_ready_for(next_door)
        home.has_another_line(next_door, METRIC)
        lines = {
            name: held.enter_context(Capture(tmp_path / f"{name}.pcap", house.street, home.internet.wrapper))
            for name, house in ((FIRST, home), (SECOND, next_door))
        }
        wait_until(lambda: told(box)["uplinks"]["chosen"] == 0, "a box that runs")
        time.sleep(BEFORE_S)
        before_ns = time.time_ns()
        assert "Whoever sees both lines" in use_both(box, home)
        wait_until(lambda: links_over(box) == {FIRST: 1, SECOND: 1}, "a link over each line", 30)
        leave_dummies(network)
        wait_until(lambda: links_over(box) == {FIRST: 1, SECOND: 1}, "a link over each line, and after a start too", 30)
        captures = {name: held.enter_context(Capture(tmp_path / f"{name}-phone.pcap", wrapper=places[name].inside.wrapper)) for name in (CALLER, CALLEE)}
        caller, callee = (held.enter_context(phone(network, name, places[name], tmp_path)) for name in (CALLER, CALLEE))
        for each in (caller, callee):
            each.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", timeout_s=15)
        wait_until(lambda: len(in_call(network, CALLER)) == len(in_call(network, CALLEE)) == 2, "the second circuit", 20)
        talking_ns = time.time_ns()
        time.sleep(AFTER_S)
        pulled_ns = time.time_ns()
        lose(home)
        time.sleep(AFTER_S)
        wait_until(lambda: links_over(box) == {FIRST: 0, SECOND: 2}, "both links over the line that is left", 10)
        until_ns = time.time_ns()
        assert len(in_call(network, CALLER)) == len(in_call(network, CALLEE)) == 2, "over both circuits still"
        assert told(box)["uplinks"] == {"chosen": 2, "there": 1 if lose is House.pull else 2}
        assert "ended" not in caller.events + callee.events
        caller.hang_up()
        callee.wait_for("ended")
        counters = told(box)["engine"]
        assert (counters["bad_command"], counters["panics"]) == (0, 0)
        assert sorted(path.name for path in (box.home / "places").iterdir()) == ["1", "list"], "each line has guards of its own"
        held.pop_all().close()
    for name in (CALLER, CALLEE):
        heard = [at_ns for at_ns in heard_ns(captures[name].path, name) if pulled_ns - AFTER_S * NS < at_ns < until_ns]
        gaps = [((later - sooner) / NS, later > pulled_ns) for sooner, later in pairwise(heard)]
        before_s, gap_s = (max(each for each, is_after in gaps if is_after is after) for after in (False, True))
        print(f"longest time between two frames at the phone of {name}: {gap_s * 1000:.0f} ms, and {before_s * 1000:.0f} ms before the line was lost")
        assert gap_s <= max(MOST_GAP_S, 2 * before_s)
        assert len([at_ns for at_ns in heard if at_ns > until_ns - 3 * NS]) >= 0.9 * 50 * 3, "and it goes on"
    relays = {PLAN.relay_address(name).address: name for name in network.relays}
    over = {name: met(capture.path, talking_ns, pulled_ns) for name, capture in lines.items()}
    assert [len(addresses) for addresses in over.values()] == [1, 1], "one guard over each line, and nothing else"
    assert over[FIRST] != over[SECOND]
    assert {relays[address] for addresses in over.values() for address in addresses} == set(PLAN.guards_of(CALLER))
    assert met(lines[SECOND].path, 0, before_ns) == set(), "nothing left over the second line before it was chosen"
    assert met(lines[SECOND].path, pulled_ns, until_ns) == over[FIRST] | over[SECOND]
