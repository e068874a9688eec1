"""A process that may use only a share of one core: a control group with a CPU quota, version 2 or 1. [io]

The process is born in the group without a limit; limit() sets one once all stands, so that setting up takes no minutes. In a group of version 1 real-time
scheduling is refused, as in most containers: a thread with SCHED_FIFO would not be held to the quota. What a quota does is to stop the process for the rest of
each 100 ms in which it has used its part.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voicebox.errors import HostError

PERIOD_US = 100_000
TREE = Path("/sys/fs/cgroup")


class Quota:
    """A control group and how a process gets into it."""

    def __init__(self, group: Path, version: int) -> None:
        self.group, self.version = group, version

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Return what to put in front of a command, so that it runs in the group as the same process."""
        return ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.group / "cgroup.procs"))

    def limit(self, share: float) -> None:
        """Let the group have so much of one core from now on. Raises HostError where the system refuses."""
        quota_us = round(PERIOD_US * share)
        settings = {"cpu.max": f"{quota_us} {PERIOD_US}"} if self.version == 2 else {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota_us)}
        try:
            for name, value in settings.items():
                (self.group / name).write_text(value)
        except OSError as error:
            raise HostError(f"no CPU quota is possible here ({error.strerror})") from None

    def throttled(self) -> int:
        """Return in how many periods the group was stopped."""
        fields = dict(line.split() for line in (self.group / "cpu.stat").read_text().splitlines())
        return int(fields.get("nr_throttled", 0))


@contextmanager
def group() -> Iterator[Quota]:
    """Make a group, and remove it once its processes have ended. Raises HostError where this machine has none to give."""
    version, parent = _tree()
    path = parent / f"voicebox-bench-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        raise HostError(f"no CPU quota is possible here ({error.strerror})") from None
    try:
        yield Quota(path, version)
    finally:
        path.rmdir()


def _tree() -> tuple[int, Path]:
    controllers = TREE / "cgroup.controllers"
    if controllers.exists() and "cpu" in controllers.read_text().split():
        return 2, TREE
    if (TREE / "cpu" / "cpu.cfs_quota_us").exists():
        return 1, TREE / "cpu"
    raise HostError("no CPU quota is possible here (no control groups)")
