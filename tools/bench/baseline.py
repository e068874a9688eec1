"""What this machine takes by itself: a bare UDP forwarder of the same datagrams, and a thread that only wakes up. [io]

The figures of the relay are read beside these. A virtual machine may take 20 us for a sleep of a thread, with the work of the host that it causes;
a relay whose 80 grid times in a slot are all in use wakes 4 000 times a second.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from typing import Any

from tools.bench.load import BINARY, CELLS_PER_S, LOCAL
from tools.bench.process import cpu_s, running

SLEEP_S = 3.0
DATAGRAM_OCTETS = 278
SENDER = """
import socket, sys, time
to, each_ms, octets = ("127.0.0.1", int(sys.argv[1])), int(sys.argv[2]), bytes(int(sys.argv[3]))
link, due = socket.socket(type=socket.SOCK_DGRAM), time.monotonic()
while True:
    for _ in range(each_ms):
        link.sendto(octets, to)
    due += 0.001
    time.sleep(max(0, due - time.monotonic()))
"""


def _take_all(sink: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while sink.recv(2 * DATAGRAM_OCTETS):
            count += 1
    return count


def forwarder(circuits: int, seconds: float) -> dict[str, Any]:
    """Return the CPU time of a bare forwarder per datagram: one call to receive, one to send, as many datagrams as that many circuits have both ways."""
    each_ms = max(1, 2 * circuits * CELLS_PER_S // 1_000)
    with socket.socket(type=socket.SOCK_DGRAM) as sink:
        sink.bind((LOCAL, 0))
        sink.setblocking(False)
        with running([str(BINARY), "forward", f"{LOCAL}:{sink.getsockname()[1]}"]) as process:
            assert process.stdout is not None
            port = process.stdout.readline().split()[1]
            with running([sys.executable, "-c", SENDER, port, str(each_ms), str(DATAGRAM_OCTETS)]):
                time.sleep(1)
                _take_all(sink)
                used, ends, count = cpu_s(process.pid), time.monotonic() + seconds, 0
                while time.monotonic() < ends:
                    time.sleep(0.01)
                    count += _take_all(sink)
                used = cpu_s(process.pid) - used
    return {"circuits": circuits, "forwarded": count, "datagram_cpu_us": used * 1e6 / max(count, 1)}


def wake_cpu_us() -> float:
    """Return the CPU time of waking up once, doing nothing, and sleeping again, 4 000 times a second with SCHED_FIFO where it is granted."""
    with running([str(BINARY), "sleep"]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(20))
        time.sleep(SLEEP_S)
        used = cpu_s(process.pid)
        print("enough", file=process.stdin, flush=True)
        return used * 1e6 / int(process.stdout.readline().split()[1])
