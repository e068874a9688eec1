"""Keep the processors of a virtual machine from sleeping. [io]

Some hosts give an idle processor of a guest away and wake it milliseconds late: on one, calls lost 2 to 22 % of their frames that way, and 0.1 % once its processors
were kept awake (BENCHMARKS.md). The kernel takes such a wish for as long as a file is open (its Documentation/power/pm_qos_interface.rst: no latency at all is allowed for). It is paid for in
the host's power, so nothing holds it but what measures, and who asks for it (`voicebox stay-awake`). NOT here: how late this machine wakes (doctor/machine.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WISH = Path("/dev/cpu_dma_latency")
PROCESSORS = Path("/proc/cpuinfo")
NO_LATENCY = bytes(4)
"""Microseconds, an int of 32 bits."""


@contextmanager
def kept_awake(wish: Path = WISH, processors: Path = PROCESSORS) -> Iterator[bool]:
    """Keep this machine's processors awake; False where it is no virtual one, whose own wake in microseconds, or where this user may not wish it."""
    if not is_virtual(processors):
        yield False
        return
    try:
        held = os.open(wish, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        os.write(held, NO_LATENCY)
        yield True
    finally:
        os.close(held)


def is_virtual(processors: Path = PROCESSORS) -> bool:
    """Return whether the kernel sees a hypervisor: the flag that x86 has for it."""
    try:
        lines = processors.read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and "hypervisor" in line.split() for line in lines)
