"""`voicebox stay-awake`: keep the processors of this virtual machine awake, for a box or a relay beside it, until told to stop. [io]"""

from __future__ import annotations

import argparse
import signal

from voicebox.awake import is_virtual, kept_awake
from voicebox.errors import HostError, UsageError

STOP = (signal.SIGINT, signal.SIGTERM)


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add no argument: there is nothing to choose."""


def run(_args: argparse.Namespace) -> int:
    """Hold the wish until told to stop."""
    if not is_virtual():
        raise UsageError("This is no virtual machine: its processors wake by themselves in time, and keeping them awake would only cost power.")
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    with kept_awake() as awake:
        if not awake:
            raise HostError("The kernel takes this wish of root alone, at /dev/cpu_dma_latency: run it as root, as a systemd unit of its own.")
        print("The processors stay awake until this ends.", flush=True)
        signal.sigwait(STOP)
    return 0
