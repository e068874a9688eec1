"""A guard that carries calls, while 50 neighbours flood it: 100 000 datagrams of junk and 1 000 handshakes a second, or what this machine can send. [io]

`voicebox relay run` as users run it (guard.py), twice: left alone, and flooded. No call may be lost, and ticks must leave as they did. The neighbours have addresses of their own
(relay/node/examples/relay_load/flood.rs); flood, load and relay share this machine's cores, so the flood is sent at the lowest priority and the rate that
came about is told.

    python -m tools.bench.flood [--calls N] [--seconds S] [--junk N] [--handshakes N]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.guard import make_guard, voicebox
from tools.bench.load import BINARY, LOCAL, loading
from tools.bench.process import running

CALLS, SECONDS, NEIGHBOURS = 100, 60.0, 50
JUNK_PER_S, HANDSHAKES_PER_S = 100_000, 1_000
SETTLE_S = 2.0
NICENESS = 19
KINDS = ("dtls", "unknown", "hello", "first")
DROPS = {"dtls": "drop_unknown_address", "unknown": "drop_unknown_kind", "first": "drop_bad_cookie"}
"""What must count a kind of junk; a good hello is answered with a cookie."""


@dataclass(frozen=True, slots=True)
class Flood:
    """What neighbours sent. junk: by kind; begun, stood: handshakes."""

    seconds: float
    junk: dict[str, int]
    begun: int
    stood: int

    def figures(self) -> dict[str, Any]:
        """Return the rates."""
        total = sum(self.junk.values())
        return {
            "junk_per_s": total / self.seconds,
            "handshakes_per_s": self.begun / self.seconds,
            "handshakes_stood": self.stood,
            "neighbours": NEIGHBOURS,
            "seconds": self.seconds,
        }


def parse_flood(line: str) -> Flood:
    """Read what the flood says at its end. Raises RuntimeError with what it says instead."""
    words = line.split()
    if len(words) != 8 or words[0] != "flooded":
        raise RuntimeError(f"the flood said {line.strip() or 'nothing'}")
    counts = [int(word) for word in words[2:]]
    return Flood(float(words[1]), dict(zip(KINDS, counts[:4], strict=True)), counts[4], counts[5])


def send_flood(port: int, pin: bytes, junk_per_s: float, handshakes_per_s: float, seconds: float) -> Flood:
    """Flood a relay, and wait until that is over."""
    rates = [str(NEIGHBOURS), str(junk_per_s), str(handshakes_per_s), str(seconds)]
    with running([str(BINARY), "flood", f"{LOCAL}:{port}", pin.hex(), *rates]) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        assert process.stdout is not None
        return parse_flood(process.stdout.readline())


def carry(calls: int, seconds: float, junk_per_s: float = 0.0, handshakes_per_s: float = 0.0) -> dict[str, Any]:
    """Return how a guard carries calls for so long, flooded or not."""
    with tempfile.TemporaryDirectory() as scratch:
        guard = make_guard(Path(scratch))

        def engine() -> dict[str, Any]:
            status: dict[str, Any] = json.loads(voicebox("status", "--json", "--home", str(guard.home)))
            return {**status["engine"], "relay_links": status["links"]}

        with guard.run() as pid:
            relay = guard.under_load(calls, spread=True)
            with loading(relay) as load:
                load.build(guard.sink_ids.__getitem__)
                time.sleep(SETTLE_S)
                before, totals = engine(), load.totals()
                flood = None
                if junk_per_s or handshakes_per_s:
                    flood = send_flood(relay.port, relay.pin, junk_per_s, handshakes_per_s, seconds)
                else:
                    load.run(pid, seconds)
                sent, got = (later - sooner for later, sooner in zip(load.totals(), totals, strict=True))
                # A circuit that was lost brings nothing more: what comes in the second after the flood says how many live.
                last = load.run(pid, 1.0)
                after = engine()
        counted = {kind: after[name] - before[name] for kind, name in DROPS.items()}
        return {
            "calls": calls,
            "calls_lost": round(calls * max(0.0, 1 - last.relayed / last.sent)),
            "loss_pct": 100 * max(0.0, 1 - got / sent),
            "tick_late_p50_us": after["tick_late_p50_us"],
            "tick_late_p99_us": after["tick_late_p99_us"],
            "links_lost": max(0, before["links"] - after["links"]),
            "panics": after["panics"],
            "flood": {**flood.figures(), "junk": flood.junk, "counted": counted} if flood else None,
            "handshakes_discarded": after["handshakes_discarded"] - before["handshakes_discarded"],
            "handshakes_refused": after["handshakes_refused"] - before["handshakes_refused"],
        }


def measure(calls: int, seconds: float, junk_per_s: float, handshakes_per_s: float) -> dict[str, Any]:
    """Return the figures of both runs."""
    return {"quiet": carry(calls, seconds), "flooded": carry(calls, seconds, junk_per_s, handshakes_per_s), "wanted": [junk_per_s, handshakes_per_s]}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of either run")
    parser.add_argument("--junk", type=float, default=JUNK_PER_S, help="datagrams a second")
    parser.add_argument("--handshakes", type=float, default=HANDSHAKES_PER_S, help="a second")
    given = parser.parse_args()
    print(json.dumps(measure(given.calls, given.seconds, given.junk, given.handshakes)))


if __name__ == "__main__":
    main()
