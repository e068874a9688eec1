"""The facts of this machine that decide whether ticks are on time and memory stays off the disk. [io]

Each is found by trying what the engine does (relay/node/src/realtime.rs, datagrams.rs), in a thread that ends, or by reading what the kernel says.
NOT here: what follows from them (findings.py).
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import threading
import time
from pathlib import Path

from voicebox.awake import is_virtual
from voicebox.doctor.findings import KernelClock, Machine

PRIORITY = 20
SLEEPS, SLEEP_S = 200, 0.005
PR_SET_TIMERSLACK = 29
CAP_IPC_LOCK, CAP_NET_ADMIN = 14, 12
SOL_UDP, UDP_SEGMENT = 17, 103
STA_UNSYNC, TIME_ERROR = 0x40, 5
PPM_UNIT = 65_536.0
PROC = Path("/proc")


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), up to what is read here; `rest` is as long as the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def look_at_machine() -> Machine:
    """Return the facts; takes a second."""
    real_time, late_us = _timing()
    capabilities = _capabilities()
    return Machine(
        real_time=real_time,
        locked_memory=bool(capabilities >> CAP_IPC_LOCK & 1) or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY,
        late_p99_us=late_us,
        is_virtual=is_virtual(),
        clock=_clock(),
        receive_buffer_octets=_receive_buffer(capabilities),
        cipher_instructions=_cipher_instructions(),
        trains=_trains(),
        cores=len(os.sched_getaffinity(0)),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        swap=len(_text("swaps").splitlines()) > 1,
    )


def _timing() -> tuple[bool, float]:
    """Return whether a thread gets SCHED_FIFO, and how late it wakes (99th percentile, microseconds), with the timer slack the engine asks for."""
    found: list[tuple[bool, float]] = []

    def measure() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
            granted = True
        except PermissionError:
            granted = False
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
        late_us = []
        for _ in range(SLEEPS):
            due = time.monotonic() + SLEEP_S
            time.sleep(SLEEP_S)
            late_us.append((time.monotonic() - due) * 1e6)
        found.append((granted, sorted(late_us)[SLEEPS * 99 // 100]))

    # A thread of its own: its rights and its slack end with it.
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
    return found[0]


def _clock() -> KernelClock | None:
    asked = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    if state < 0:
        return None
    synchronised = state != TIME_ERROR and not asked.status & STA_UNSYNC
    return KernelClock(synchronised, asked.max_error, asked.frequency / PPM_UNIT)


def _receive_buffer(capabilities: int) -> int | None:
    """Return the octets that the engine's socket gets: who may administer the network is not held to the limit."""
    if capabilities >> CAP_NET_ADMIN & 1:
        return 1 << 30
    text = _text("sys/net/core/rmem_max").strip()
    return int(text) if text.isdecimal() else None


def _cipher_instructions() -> bool | None:
    for line in _text("cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return "aes" in value.split()
    return None


def _trains() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.setsockopt(SOL_UDP, UDP_SEGMENT, 0)
        except OSError:
            return False
        return True


def _capabilities() -> int:
    """Return the effective capabilities of this process, a bit each (capabilities(7))."""
    for line in _text("self/status").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return int(value, 16)
    return 0


def _text(name: str) -> str:
    try:
        return (PROC / name).read_text("utf-8", "replace")
    except OSError:
        return ""
