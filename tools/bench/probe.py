"""What a probe takes: CPU of the box and of the command while it measures, how soon it begins, and how long scoring takes. [io]

Real boxes and six relays on the loopback, no phones. Scoring is of ten seconds of recorded speech, in this process, the second time: its model is made anew then, as a
box has it done, but what it needs of the disk is in memory.

    python -m tools.bench.probe [--seconds S]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.box import SETTLE_S, shares_pct
from tools.bench.process import cpu_s, is_realtime
from voicebox.control import ask
from voicebox.demo.network import BOXES, EmbeddedNetwork
from voicebox.demo.score import score
from voicebox.demo.speech_frames import recorded_frames
from voicebox.errors import HostError
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.prober import SCORED_AS
from voicebox.probe.speech import pack_frames

SECONDS = 30.0
SETTLED_S = 3.0
"""After that the interpreter has started, and sound goes."""
PATIENCE_S, LOOK_S = 30.0, 0.01
CODECS = (ProbeCodec.PCMA, ProbeCodec.OPUS24)


def _wait(holds: Callable[[], bool], what: str) -> float:
    """Return when something held."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > until_s:
            raise HostError(f"{what} did not come about")
        time.sleep(LOOK_S)
    return time.monotonic()


def _stage(home: Path) -> str:
    return str(ask(home, "probe", step="look", there=0, back=0, trips=0)["stage"])


def measure(seconds: float) -> dict[str, Any]:
    """Return the shares of a core, idle and in a probe; s until it begins, and until the first frame; s that scoring takes."""
    here, there = BOXES
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, EmbeddedNetwork(Path(scratch) / "network") as network:
        network.set_up()
        network.start()
        network.wait_ready()
        pids = [node.process.pid for node in network.boxes.values() if node.process is not None]
        time.sleep(SETTLE_S)
        idle = shares_pct(pids, seconds)
        home = network.boxes[here].home
        command = [sys.executable, "-m", "voicebox", "probe", there, "--seconds", str(round(seconds + 2 * SETTLED_S)), "--json", "-", "--home", str(home)]
        began_s = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as asking:
            begun_s = _wait(lambda: ask(home, "status")["status"]["probes"].get("probes_begun", 0) > 0, "the begin of a probe")
            sound_s = _wait(lambda: _stage(home) == "measuring", "the answer to a probe")
            time.sleep(SETTLED_S)
            used_s, at_s = cpu_s(asking.pid), time.monotonic()
            probing = shares_pct(pids, seconds)
            asked_pct = 100 * (cpu_s(asking.pid) - used_s) / (time.monotonic() - at_s)
            figures = json.loads(asking.communicate(timeout=seconds + PATIENCE_S)[0])
        return {
            "box_idle_pct": idle,
            "box_probing_pct": probing,
            "command_pct": asked_pct,
            "added_pct": probing[0] - idle[0] + asked_pct,
            "start_s": begun_s - began_s,
            "first_frame_s": sound_s - began_s,
            "lost_pct": max(direction["lost_pct"] for direction in figures["directions"].values()),
            "score_s": {codec.word: score_s(codec) for codec in CODECS},
            "realtime": all(is_realtime(pid) for pid in pids),
            "seconds": seconds,
        }


def score_s(codec: ProbeCodec) -> float | None:
    """Return how long scoring ten seconds takes, the second time; None where the extra `quality` or the recordings are missing."""
    try:
        packed = pack_frames(recorded_frames(codec))
        score(packed, SCORED_AS[codec.codec])
        began_s = time.monotonic()
        score(packed, SCORED_AS[codec.codec])
    except HostError:
        return None
    return time.monotonic() - began_s


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of either state")
    given = parser.parse_args()
    print_apart(lambda: measure(given.seconds))


if __name__ == "__main__":
    main()
