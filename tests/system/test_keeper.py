"""The keeper of real sockets: the kernel answers nothing at the ports of links when their engine is gone, for a while, however it went. [io]"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.test_bad_icmp import refused, ups
from tests.system.test_link import LOCAL, make_identity
from voicebox.dataplane import Event, LinkUp, LiveDataPlane
from voicebox.keeper import start_keeper

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
ENGINE = """
import sys
from voicebox.dataplane import LiveDataPlane
from voicebox.keeper import start_keeper
keep_s = float(sys.argv[1])
if keep_s:
    with start_keeper(keep_s) as keeper:
        plane = LiveDataPlane(born_unix_us=0, realtime=False, keeper=keeper.fileno())
else:
    plane = LiveDataPlane(born_unix_us=0, realtime=False)
plane.start()
print(plane.bind("127.0.0.1"), flush=True)
if sys.stdin.read() == "stop":
    plane.stop()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "stopped"])
def test_ports_of_an_engine_that_is_gone_stay_taken_for_a_while(how: signal.Signals | None) -> None:
    keep_s = 3
    with subprocess.Popen([sys.executable, "-c", ENGINE, str(keep_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as engine:
        assert engine.stdout is not None
        port = int(engine.stdout.readline())
        if how is None:
            engine.communicate(b"stop", timeout=10)
        else:
            engine.send_signal(how)
            engine.communicate(timeout=10)  # ends: the keeper holds nothing on which others wait
    gone_at = time.monotonic()
    assert not refused(port)
    while not refused(port):
        assert time.monotonic() < gone_at + 30
    assert time.monotonic() > gone_at + keep_s - 1


def test_without_a_keeper_they_are_free_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", ENGINE, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as engine:
        assert engine.stdout is not None
        port = int(engine.stdout.readline())
        engine.kill()
    assert refused(port)


async def test_a_link_that_ends_costs_nothing_more_though_its_socket_is_held_and_sent_to() -> None:
    """The socket is another process's too, so closing it here does not take it out of what the engine waits for."""
    with start_keeper(1.0) as keeper:
        box = LiveDataPlane(born_unix_us=0, realtime=False, keeper=keeper.fileno())
    guard, identity, events = LiveDataPlane(born_unix_us=0, realtime=False), make_identity(), list[Event]()
    try:
        for plane in (box, guard):
            plane.start()
        box.attach(events.append)
        box.bind(LOCAL)
        port = guard.listen(LOCAL, 0, identity.certificate, identity.key)
        for _ in range(2):
            box.connect(LOCAL, port, identity.pin)
        await ups(events, 2)
        await asyncio.sleep(0.3)  # the guard has a first cell on both
        last = max(event.link for event in events if isinstance(event, LinkUp))
        box.disconnect(last)
        sent, before = guard.counters()["link_cells_out"], box.counters()["turns"]
        await asyncio.sleep(1)
        assert guard.counters()["link_cells_out"] - sent > 60, "the guard goes on sending on both"
        assert box.counters()["turns"] - before < 2_000
        assert box.counters()["keeper_lost"] == 0
    finally:
        box.detach()
        for plane in (box, guard):
            plane.stop()
