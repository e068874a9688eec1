"""A box whose process stands still for a while in a call, as on a machine that is suspended or far too busy. [io]"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.system.test_two_boxes import phones
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.system


def pause(network: EmbeddedNetwork, name: str, seconds: float) -> None:
    process = network.boxes[name].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def slots_sent(network: EmbeddedNetwork) -> int:
    return int(told(network.boxes[CALLER])["engine"]["ticks"])


def test_a_call_outlives_a_pause_of_three_seconds(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    with phones(embedded_network, tmp_path) as (caller, callee):
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected")
        pause(embedded_network, CALLER, 3)
        before, begun = slots_sent(embedded_network), time.monotonic()
        time.sleep(2)
        ticks, seconds = slots_sent(embedded_network) - before, time.monotonic() - begun
        assert ticks == pytest.approx(2 * 50 * seconds, rel=0.1), "what was missed is not caught up"
        assert "ended" not in caller.events + callee.events
        assert told(embedded_network.boxes[CALLEE])["calls"] == 1
        caller.hang_up()
        callee.wait_for("ended")


def test_a_call_ends_for_both_in_a_long_pause_and_the_next_one_comes(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    with phones(embedded_network, tmp_path) as (caller, callee):
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected")
        pause(embedded_network, CALLER, 12)
        callee.wait_for("ended")
        caller.wait_for("ended", timeout_s=20)  # what lay in the socket meanwhile is heard first; 10 s of silence count from then on
        wait_until(lambda: all(told(box)["calls"] == 0 for box in embedded_network.boxes.values()), "the end of the call at both boxes")
        embedded_network.wait_ready()
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", count=2)
        caller.hang_up()
        callee.wait_for("ended", count=2)
