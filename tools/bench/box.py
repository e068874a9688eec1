"""CPU time of a box of profile `home`, idle and in a call, as a share of one core. [io]

Real phones, real boxes, six relays, all on the loopback: what the kernel does to hand a datagram on to the next process is counted for the sender here, so the figures are
rather too large. A box's share is of all its threads, engine and Python.

    python -m tools.bench.box [--seconds S]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.calls import CALLEE, CALLER, phones_of
from tools.bench.process import cpu_s, is_realtime, memory_mb
from voicebox.demo.network import EmbeddedNetwork
from voicebox.errors import HostError

SETTLE_S = 5.0
SECONDS = 30.0


def _pids(network: EmbeddedNetwork) -> list[int]:
    found = [node.process.pid for node in network.boxes.values() if node.process is not None]
    if len(found) != len(network.boxes):
        raise HostError("a box has ended")
    return found


def shares_pct(pids: Sequence[int], seconds: float) -> list[float]:
    """Return what each process takes of a core while so much time passes, in percent."""
    began, before = time.monotonic(), [cpu_s(pid) for pid in pids]
    time.sleep(seconds)
    took = time.monotonic() - began
    return [100 * (cpu_s(pid) - used) / took for pid, used in zip(pids, before, strict=True)]


def measure(seconds: float) -> dict[str, Any]:
    """Return the shares of both boxes, idle and in one call with each other."""
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, EmbeddedNetwork(Path(scratch) / "network") as network:
        network.set_up()
        network.start()
        network.wait_ready()
        pids = _pids(network)
        with phones_of(network, Path(scratch) / "phones", 2 * SETTLE_S + seconds) as phones:
            time.sleep(SETTLE_S)
            idle = shares_pct(pids, seconds)
            caller, callee = phones[CALLER], phones[CALLEE]
            caller.dial(f"sip:{CALLEE}.privacy")
            callee.wait_for("incoming")
            callee.answer()
            caller.wait_for("connected")
            time.sleep(SETTLE_S)
            call = shares_pct(pids, seconds)
            circuits = [len(_in_call(network, name)) for name in network.boxes]
            if "ended" in caller.events:
                raise HostError("the call ended while it was measured")
            memory = [memory_mb(pid) for pid in pids]
            caller.hang_up()
        return {
            "idle_pct": max(idle),
            "call_pct": max(call),
            "idle_pct_each": idle,
            "call_pct_each": call,
            "circuits_in_call": circuits,
            "rss_mb": max(memory),
            "realtime": all(is_realtime(pid) for pid in pids),
            "seconds": seconds,
        }


def _in_call(network: EmbeddedNetwork, name: str) -> list[Any]:
    status = network.status(network.boxes[name]) or {}
    return [circuit for circuit in status.get("circuits", ()) if circuit.get("in_call")]


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of either state")
    given = parser.parse_args()
    print_apart(lambda: measure(given.seconds))


if __name__ == "__main__":
    main()
