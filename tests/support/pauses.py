"""Whether this machine's host let it run while something was measured on it. [io]

A virtual machine whose host pauses it for longer than a cell may be late loses frames, and that says nothing of what is tested. A sleeper on each processor, which nothing else here can
delay, sees the pauses; what was measured beside one is measured again, a few times, and the last counts however it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

PAUSE_MS = 8.0
TRIES = 4
STOP_S = 10.0
SLEEPERS = """
import os, sys, threading, time
longest, over = [], threading.Event()
def sleep_on(processor):
    os.sched_setaffinity(0, {processor})
    most = 0.0
    while not over.is_set():
        due = time.monotonic() + 0.001
        time.sleep(0.001)
        most = max(most, time.monotonic() - due)
    longest.append(most)
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
except PermissionError:
    pass
sleepers = [threading.Thread(target=sleep_on, args=(processor,)) for processor in os.sched_getaffinity(0)]
for sleeper in sleepers:
    sleeper.start()
sys.stdin.read()
over.set()
for sleeper in sleepers:
    sleeper.join()
print(1_000 * max(longest))
"""


class Pauses:
    """Watches for pauses within a `with`; longest_ms says afterwards how long the longest was."""

    longest_ms = 0.0

    def __enter__(self) -> Self:
        self._sleepers = subprocess.Popen([sys.executable, "-c", SLEEPERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None) -> None:
        said, _ = self._sleepers.communicate(timeout=STOP_S)
        self.longest_ms = float(said)


def measured(measure: Callable[[int], T], is_good: Callable[[T], bool]) -> T:
    """Return what measure(number of the attempt) found: again where it is not good and the machine was paused meanwhile."""
    attempt = 1
    while True:
        with Pauses() as pauses:
            found = measure(attempt)
        if is_good(found) or pauses.longest_ms < PAUSE_MS or attempt == TRIES:
            return found
        print(f"the machine was paused for {pauses.longest_ms:.0f} ms while it was measured")
        attempt += 1
