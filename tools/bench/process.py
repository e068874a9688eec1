"""What the system says about a process: CPU time, memory, libraries; and how to start and hurry one. [io]"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SPIN = "while True: pass"


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, all threads, in the scheduler's nanoseconds: the ticks of /proc/PID/stat miss work that is timed."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def hurry(pid: int) -> None:
    """Put the load before ordinary work, behind the relay: a peer that is late would be counted as the relay's loss."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(10))


def is_realtime(pid: int) -> bool:
    """Return whether some thread of a process has SCHED_FIFO."""
    policies = {os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK for task in Path(f"/proc/{pid}/task").iterdir()}
    return os.SCHED_FIFO in policies


def memory_kb(pid: int) -> int:
    """Resident memory of a process, in units of 1 024 octets. Raises ProcessLookupError where there is none."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10^6 octets)."""
    return memory_kb(pid) * 1024 / 1e6


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a process with pipes; it ends with the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def other_core_busy(pid: int) -> Iterator[None]:
    """Keep a process on the first core, and every other one busy with work that never sleeps."""
    first, *others = sorted(os.sched_getaffinity(0))
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {first})
    with contextlib.ExitStack() as stack:
        for core in others:
            spinner = stack.enter_context(running([sys.executable, "-c", SPIN]))
            os.sched_setaffinity(spinner.pid, {core})
        yield
