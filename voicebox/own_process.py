"""What a process asks of the kernel for itself: that nobody looks into its memory, and that it ends with another one. [io]"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from voicebox.errors import HostError

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
NICER = 10
"""How much later a process that gives way is served (nice(2))."""


def keep_memory_private() -> None:
    """Let no core dump of this process be written, and no other program of the same user look into its memory (prctl(2), PR_SET_DUMPABLE).

    Raises HostError where the kernel refuses: the keys of contacts would be in the next crash's file.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0):
        raise HostError("Core dumps cannot be switched off on this machine, so nothing was started.")


def live_beside(pid: int) -> None:
    """Be told to stop when the process that started this one ends, however it does (prctl(2), PR_SET_PDEATHSIG), and let it go first. Raises HostError."""
    failed = ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if failed or os.getppid() != pid:
        raise HostError("The process beside which this one was to run is gone.")
    os.nice(NICER)
