"""Bulk transfer beside the slots (PROTOCOL.md §13) over three relays of this machine, and Tor over three of its own beside it, where it is installed. [io]

The same boxes, relays and commands as users run; a service that sends octets, and forwards that are read. CPU is of all nodes of the way and the ones beside it, not of the service and the reader.

    python -m tools.bench.fast [--mb MB]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.bench import tor
from tools.bench.process import cpu_s
from voicebox.demo.network import BOXES, EmbeddedNetwork, Plan
from voicebox.errors import HostError

MB = 100
MANY = 8
REQUEST_OCTETS = 200
REQUESTS = 200
REQUESTS_IN_SLOTS = 10
READY_S = 90.0
STILL_S = 120.0
CHUNK = bytes(range(256)) * 4_096
CALLER, CALLEE = BOXES
FAST, IN_SLOTS = ("127.0.82.200", 8_022), ("127.0.82.200", 8_023)
SIZE_OCTETS = 8

Connect = Callable[[], socket.socket]


def _talk(program: socket.socket) -> None:
    """Send as many octets as the first eight say; where that is 0, give back whatever comes."""
    with program, contextlib.suppress(OSError):
        left = int.from_bytes(_exactly(program, SIZE_OCTETS), "big")
        while left:
            left -= program.send(CHUNK[:left])
        if not left:
            while came := program.recv(1 << 16):
                program.sendall(came)


@contextmanager
def _service() -> Iterator[int]:
    """Serve on the loopback; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=_talk, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def _exactly(program: socket.socket, octets: int) -> bytes:
    came = b""
    while len(came) < octets:
        more = program.recv(octets - len(came))
        if not more:
            raise HostError("a stream ended before its octets had come")
        came += more
    return came


def _fetch(connect: Connect, octets: int) -> None:
    with connect() as program:
        program.settimeout(STILL_S)
        program.sendall(octets.to_bytes(SIZE_OCTETS, "big"))
        left, room = octets, bytearray(1 << 20)
        while left:
            came = program.recv_into(room, min(left, len(room)))
            if not came:
                raise HostError("a stream ended before its octets had come")
            left -= came


def _load() -> float:
    return round(os.getloadavg()[0], 1)


def transfer(connect: Connect, pids: Sequence[int], streams: int, octets: int) -> dict[str, float]:
    """Fetch so many octets over each of some streams at once; return MB/s, CPU seconds a GB, and the machine's load before."""
    load, before, began = _load(), sum(map(cpu_s, pids)), time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        for _ in pool.map(lambda _place: _fetch(connect, octets), range(streams)):
            pass
    took, used = time.monotonic() - began, sum(map(cpu_s, pids)) - before
    moved = streams * octets
    return {"mb_s": round(moved / took / 1e6, 1), "cpu_s_gb": round(used / moved * 1e9, 1), "load": load}


def request_ms(connect: Connect, requests: int) -> float:
    """Return the median time of a request and its answer, of 200 octets each, over a stream that stands."""
    took = []
    with connect() as program:
        program.settimeout(STILL_S)
        program.sendall(bytes(SIZE_OCTETS))
        for _ in range(requests):
            began = time.monotonic()
            program.sendall(bytes(REQUEST_OCTETS))
            _exactly(program, REQUEST_OCTETS)
            took.append(time.monotonic() - began)
    return round(statistics.median(took) * 1e3, 2)


def _figures(connect: Connect, pids: Sequence[int], mb: int) -> dict[str, Any]:
    _fetch(connect, 1_000_000)  # the way stands then
    one = transfer(connect, pids, 1, mb * 1_000_000)
    many = transfer(connect, pids, MANY, mb * 2_000_000 // MANY)
    return {"one": one, "eight": many, "request_ms": request_ms(connect, REQUESTS)}


def of_boxes(folder: Path, mb: int) -> dict[str, Any]:
    """Return the figures of fast streams, and how long a request takes in the slots."""
    with _service() as port, EmbeddedNetwork(folder, Plan(first_port=47_500, prefix="127.0.82")) as network:
        network.set_up()
        caller, callee = network.boxes[CALLER].home, network.boxes[CALLEE].home
        for name, way, listen, kind in (("bulk", 81, FAST, ("--fast", "--yes")), ("plain", 82, IN_SLOTS, ())):
            network.voicebox("service", "add", name, "--to", f"127.0.0.1:{port}", "--port", str(way), "--allow", CALLER, *kind, home=callee)
            network.voicebox("forward", "add", f"{listen[0]}:{listen[1]}", f"{CALLEE}.privacy:{way}", *kind, home=caller)
        network.start()
        network.wait_ready(READY_S)
        pids = [node.process.pid for node in (*network.relays.values(), *network.boxes.values()) if node.process is not None]
        found = _figures(lambda: socket.create_connection(FAST, STILL_S), pids, mb)
        found["request_in_slots_ms"] = request_ms(lambda: socket.create_connection(IN_SLOTS, STILL_S), REQUESTS_IN_SLOTS)
        return found


def of_tor(folder: Path, mb: int) -> dict[str, Any] | None:
    """Return the figures of a Tor network of this machine's; None where it is not installed."""
    if not tor.is_installed():
        return None
    with _service() as port, tor.running(folder) as network:
        return _figures(lambda: network.connect(port), network.pids, mb)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=float, default=MB)
    mb = int(parser.parse_args().mb)
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch:
        print(json.dumps({"fast": of_boxes(Path(scratch) / "network", mb), "tor": of_tor(Path(scratch) / "tor", mb), "mb": mb}))


if __name__ == "__main__":
    main()
