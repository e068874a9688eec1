"""Sound over one to six relays in VIRTUAL TIME: real cores, real octets, wires that only delay, and a machine that takes no time. [io]

Boxes call over three relays; other lengths are put together here, by relay/world, and by nothing that is shipped: a box whose circuit is longer by one or two relays
between guard and junction, or ends at the relay that it is linked to. What sockets, kernels and scheduling add is not in these figures:
the calls of path.py over real processes stand beside them.

    python -m tools.bench.lengths [--seconds S] [--calls N]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tools.adversary.world import PHONE, RECORD, program
from voicebox.probe.figures import percentile

LENGTHS = (1, 2, 3, 4, 5, 6)
LINKS_MS = (0, 19, 45)
SIDES = {1: (1, 1), 2: (2, 1), 3: (2, 2), 4: (3, 2), 5: (3, 3), 6: (4, 3)}
"""Relays of the caller's circuit and of the callee's, the junction in both."""
SEED = 7
CALLS, SECONDS = 30, 2.0
"""In virtual time the frames of a call all take as long; what differs is where in the slot its phone speaks."""
US_PER_S = 1_000_000
TALKS_AFTER_US = 4 * US_PER_S
RUN_TIMEOUT_S = 300.0
MIN_HEARD_SHARE = 0.99
"""No wire loses anything; where a phone speaks at the very moment at which a slot is put together, a frame may be left out (PROTOCOL.md §9.4)."""


def plan(relays: int, link_ms: int, calls: int, seconds: float) -> str:
    """Return the plan of so many calls at once, in the words of relay/world/src/plan.rs; circuits 2 n and 2 n + 1 call each other."""
    near, far = (side - 1 for side in SIDES[relays])
    first_box = relays
    ends_us = TALKS_AFTER_US + round(seconds * US_PER_S)
    lines = [f"seed {SEED}", *(f"wire {kind} {1_000 * link_ms} 0 0" for kind in ("access", "relay")), *["relay 0"] * relays, *["box 0 0"] * (2 * calls)]
    # Relay 0 is the junction, the next ones are the caller's, then the callee's.
    ways = [[*range(1, 1 + near), 0], [*range(1 + near, 1 + near + far), 0]]
    for box in range(2 * calls):
        lines.append(f"circuit {first_box + box} {' '.join(map(str, ways[box % 2]))}")
        lines += [f"watch {PHONE} {first_box + box}", f"watch {first_box + box} {PHONE}"]
    lines += [f"at 0 call {2 * call} {2 * call + 1} {call + 1}" for call in range(calls)]
    return "\n".join([*lines, f"record {TALKS_AFTER_US} {ends_us + US_PER_S}", f"until {ends_us + US_PER_S}", ""])


def delays_ms(records: bytes, ends_us: int) -> tuple[list[float], int]:
    """Return the milliseconds from the phone's frame to the other phone's RTP, and how many frames were spoken before a time."""
    spoken: dict[tuple[int, bytes], int] = {}
    heard: dict[tuple[int, bytes], int] = {}
    for left_us, _, sender, _, _, _, body in RECORD.iter_unpack(records):
        port = int.from_bytes(body[:2], "little")
        # The phone of circuit n hears the one of the other circuit of the pair.
        frames, key = (spoken, (port, body[4:])) if sender == PHONE else (heard, (port ^ 1, body[4:]))
        if sender != PHONE or left_us < ends_us:
            frames.setdefault(key, left_us)
    return [(heard[frame] - left_us) / 1_000 for frame, left_us in spoken.items() if frame in heard], len(spoken)


def one_way(relays: int, link_ms: int, calls: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one length. Raises RuntimeError where the calls did not come about."""
    text = plan(relays, link_ms, calls, seconds)
    done = subprocess.run([program(switches=False)], input=text.encode(), capture_output=True, timeout=RUN_TIMEOUT_S, check=True)
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("error")]
    found, spoken = delays_ms(done.stdout, TALKS_AFTER_US + round(seconds * US_PER_S))
    if errors or not spoken or len(found) < MIN_HEARD_SHARE * spoken:
        raise RuntimeError(f"{relays} relays, {link_ms} ms: {errors or f'{len(found)} of {spoken} frames came'}")
    return {"p50_ms": percentile(found, 0.5), "p99_ms": percentile(found, 0.99), "links": relays + 1, "calls": calls, "frames": len(found)}


def measure(calls: int, seconds: float, lengths: Sequence[int] = LENGTHS, links_ms: Sequence[int] = LINKS_MS) -> dict[str, Any]:
    """Return the figures by the links' delay in ms and the number of relays."""
    return {"virtual_time": True, "one_way": {str(ms): {str(relays): one_way(relays, ms, calls, seconds) for relays in lengths} for ms in links_ms}}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of virtual time, of each call")
    parser.add_argument("--calls", type=int, default=CALLS, choices=range(1, 100), metavar="N", help="at once, of each length")
    given = parser.parse_args()
    print(json.dumps(measure(given.calls, given.seconds)))


if __name__ == "__main__":
    main()
