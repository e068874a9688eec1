"""An engine in a test: waiting for what it counts."""

from __future__ import annotations

import time

from voicebox.dataplane import LiveDataPlane


def wait_for(plane: LiveDataPlane, name: str, total: int) -> None:
    """Wait until a counter has come so far, at most 3 s."""
    ends = time.monotonic() + 3
    while plane.counters()[name] < total:
        assert time.monotonic() < ends, (name, plane.counters())
        time.sleep(0.01)
