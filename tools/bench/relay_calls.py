"""A guard as users run it with 1 to 1 000 calls: how long a cell takes through it, and how many octets go through it for each. [io]

A call is one circuit here: an access link in, a cell each 20 ms in each direction, to a junction that takes it. The delay is from when the load hands a cell to the kernel
to when it has it again behind the relay, of both directions: the de-jitter step of 5 ms and, backward, the wait for the tick towards the box are in it, and up to
0.3 ms of the load's own. Octets are those of a capture, IPv4 and UDP headers included. `quota`: the same with 20 % of one core (quota.py), without real-time rights.

    python -m tools.bench.relay_calls [--calls N ...] [--quota-calls N ...] [--rates N ...] [--seconds S]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.bench.added import Cell, parse_journal
from tools.bench.apart import print_apart
from tools.bench.guard import Guard, make_guard
from tools.bench.load import FIRST_BEHIND, RelayUnderLoad, loading
from tools.bench.process import is_realtime
from tools.bench.quota import Quota, group
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import load_capture
from voicebox.errors import HostError
from voicebox.probe.figures import percentile

CALLS = (1, 2, 3, 4, 5, 6, 10, 100, 1_000)
RATES = (1, 2, 5, 10, 20, 50)
"""So many calls are captured."""
SHARE = 0.2
SETTLE_S = 2.0
SECONDS = 10.0
WRAP = 1 << 32
UNDER_WAY_US = 500_000
"""What was sent so shortly before the end may still be under way, and is not looked at."""
IP_AND_UDP_OCTETS = 28


def delays_ms(sent: Sequence[Cell], got: Sequence[Cell], shift: int, span_us: tuple[int, int]) -> tuple[list[float], int]:
    """Return how long each cell sent in a span took, and how many were sent. shift: from the number of a circuit before the relay to behind it."""
    since_us, until_us = span_us
    times = {(circuit, slot): at_us for _, circuit, slot, at_us in got}
    found, count = [], 0
    for _, circuit, slot, at_us in sent:
        if circuit and (at_us - since_us) % WRAP < until_us - since_us:
            count += 1
            there_us = times.get((circuit + shift, slot))
            if there_us is not None:
                found.append(((there_us - at_us) % WRAP) / 1_000)
    return found, count


def _delays(journals: Sequence[Sequence[Cell]], span_us: tuple[int, int]) -> dict[str, Any]:
    sent, got, back_sent, back_got = journals
    forward, sent_forward = delays_ms(sent, got, FIRST_BEHIND - 1, span_us)
    backward, sent_backward = delays_ms(back_sent, back_got, 1 - FIRST_BEHIND, span_us)
    both = forward + backward
    if not both:
        raise HostError("no cell came through the relay")
    return {
        "p50_ms": percentile(both, 0.5),
        "p99_ms": percentile(both, 0.99),
        "forward_p50_ms": percentile(forward, 0.5),
        "backward_p50_ms": percentile(backward, 0.5),
        "cells": len(both),
        "missing_pct": 100 * max(0.0, 1 - len(both) / (sent_forward + sent_backward)),
    }


@contextmanager
def _circuits(calls: int, quota: Quota | None, *, log: bool) -> Iterator[tuple[Any, int, Guard, RelayUnderLoad, Path]]:
    """Run a guard whose circuits stand."""
    with tempfile.TemporaryDirectory() as scratch:
        guard = make_guard(Path(scratch))
        with guard.run(quota.wrapper if quota else ()) as pid:
            relay = guard.under_load(calls, spread=True, log=log)
            with loading(relay) as load:
                load.build(guard.sink_ids.__getitem__)
                if quota is not None:
                    quota.limit(SHARE)
                time.sleep(SETTLE_S)
                yield load, pid, guard, relay, Path(scratch)


def delay(calls: int, seconds: float, quota: Quota | None = None) -> dict[str, Any]:
    """Return how long cells take with so many calls."""
    throttled = quota.throttled() if quota else 0
    with _circuits(calls, quota, log=True) as (load, pid, _, relay, directory):
        since_us = int(time.time() * 1e6) - relay.born_unix_us
        interval = load.run(pid, seconds)
        realtime = is_realtime(pid)
        load.write_log(directory / "journal")
        span_us = since_us, since_us + round(interval.seconds * 1e6) - UNDER_WAY_US
        journals = parse_journal((directory / "journal").read_bytes())
        if quota is not None:
            throttled = quota.throttled() - throttled
    periods = {"throttled_periods": throttled} if quota else {}
    return {"calls": calls, **_delays(journals, span_us), "cpu_share": interval.cpu_s / interval.seconds, "realtime": realtime, **periods}


def rate(calls: int, seconds: float) -> dict[str, Any]:
    """Return the kB/s (1 000 octets) that come to a guard and leave it with so many calls, of a capture."""
    with _circuits(calls, None, log=False) as (_, _, _, relay, directory):
        path = directory / "relay.pcap"
        with Capture(path) as capture:
            time.sleep(seconds)
            counts = capture.stop()
        if counts.dropped or counts.unwritten:
            raise HostError("the capture lost datagrams")
        wire = load_capture(path)
    span_s = (wire[-1].time_ns - wire[0].time_ns) / 1e9
    junctions = frozenset(relay.sink_ports)
    came = [len(each.payload) for each in wire if each.destination.port == relay.port or each.source.port in junctions]
    left = [len(each.payload) for each in wire if each.source.port == relay.port or each.destination.port in junctions]
    into, out = ((sum(each) + IP_AND_UDP_OCTETS * len(each)) / 1_000 / span_s for each in (came, left))
    sizes = sorted({*came, *left})
    return {"calls": calls, "in_kb_s": into, "out_kb_s": out, "udp_octets": sizes, "seconds": span_s}


def measure(calls: Sequence[int], quota_calls: Sequence[int], rates: Sequence[int], seconds: float) -> dict[str, Any]:
    """Return the figures by the number of calls; failed: why there are none of a number."""

    def under_quota(count: int) -> dict[str, Any]:
        with group() as quota:
            return delay(count, seconds, quota)

    runs: dict[str, tuple[Sequence[int], Callable[[int], dict[str, Any]]]] = {
        "full": (calls, lambda count: delay(count, seconds)),
        "quota": (quota_calls, under_quota),
        "rates": (rates, lambda count: rate(count, seconds)),
    }
    found: dict[str, Any] = {"quota_share": SHARE, "failed": {}}
    for name, (counts, run) in runs.items():
        found[name] = {}
        for count in counts:
            try:
                found[name][str(count)] = run(count)
            except (HostError, RuntimeError, ValueError) as error:
                # A machine that cannot carry a thousand calls has figures of a hundred.
                found["failed"][f"{name} {count}"] = str(error)
    return found


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="*", default=CALLS)
    parser.add_argument("--quota-calls", type=int, nargs="*", default=CALLS)
    parser.add_argument("--rates", type=int, nargs="*", default=RATES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    print_apart(lambda: measure(given.calls, given.quota_calls, given.rates, given.seconds))


if __name__ == "__main__":
    main()
