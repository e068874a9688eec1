"""The circuits of the next epoch, for a probe over a path that is new: they are waited for, and nothing is made for it. [io]

A box has new junctions (and new middles) each epoch, at times that depend on nothing that anybody does. A circuit that were dropped and made anew because somebody
wants to measure would show on the access link, and at a junction, that somebody is about to: so it is not done. The guards stay, because they are kept for months.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from voicebox.control import ask

LOOK_EVERY_S = 2.0
AFTER_S = 60.0
"""So long at most after they are in use, drawn evenly, so that a probe is no mark of the beginning of an epoch."""
PART_OF_EPOCH = 0.1
"""In a network of short epochs it is this part of one, at most."""
LATE_S = 120.0
"""So much later than they are due circuits may stand, before nobody waits for them any more."""


def epoch_of(home: Path) -> dict[str, Any]:
    """Return what a running box says of its epoch, among all else. Raises UsageError, HostError."""
    found: dict[str, Any] = ask(home, "status")["status"]
    return found


def wait_for_next_epoch(home: Path, before: dict[str, Any]) -> bool:
    """Wait until circuits of a later epoch than in `before` are in use, and a drawn time more; return whether they all stand. Raises UsageError, HostError, KeyboardInterrupt."""
    until_s = time.monotonic() + before["epoch_left_s"] + LATE_S
    while (now := epoch_of(home))["epoch"] == before["epoch"] or not now["ready"]:
        if time.monotonic() > until_s:
            return False
        time.sleep(LOOK_EVERY_S)
    time.sleep(random.SystemRandom().uniform(0, min(AFTER_S, PART_OF_EPOCH * before["epoch_s"])))
    return True
