"""What else goes over the circuits of a box of profile `home`: octets a second of a stream, what a request of 200 octets takes, how a call sounds beside eight streams. [io]

Real processes in the lab's namespaces, links of 19 ms: clean, and with jitter and a loss of 1 % on the path. A stream is a TCP connection to a forward of the one box, to a service
behind the other. The share is of what one circuit has, 50 x 220 octets a second; a `home` box has two. Calls are of Opus between two baresips; one is scored as
speech.py scores it, in turn without streams and with them.

    python -m tools.bench.unseen [--seconds S] [--calls N]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.pairs import Pairs, network_of_pairs, remove_captures, running
from tools.bench.speech import Pieces, pieces_of_call, score
from tools.lab.network import Lab
from voicebox.demo.quality import Plcmos
from voicebox.errors import HostError
from voicebox.probe.figures import percentile

CASES = {"clean": "continent-clean", "lossy": "continent"}
SECONDS, CALLS = 20.0, 3
STREAMS = 8
CIRCUIT_OCTETS_PER_S = 50 * 220
REQUEST_OCTETS, REQUESTS = 200, 20
LINKS_MS = 8 * 19
"""A request and its answer cross four links each."""
FORWARD, SERVICE, PORT = ("127.0.0.1", 8_022), ("127.0.0.1", 8_080), 80
CHUNK_OCTETS = 1 << 14
WARM_S, TIMEOUT_S, PAUSE_S, MARGIN_S = 3.0, 60.0, 1.5, 6.0
ECHO, POUR = b"e", b"p"


class Service:
    """Behind a box: a connection that begins with ECHO gets back what it sends, one that begins with POUR octets without end. Contract: made in its namespace, then close()."""

    def __init__(self) -> None:
        self._listening = socket.create_server(SERVICE)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.shutdown(socket.SHUT_RDWR)  # else the accept() under way keeps the address
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=partial(_answer, connection), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    octets = os.urandom(CHUNK_OCTETS)
    try:
        with connection:
            if connection.recv(1) == POUR:
                while True:
                    connection.sendall(octets)
            while came := connection.recv(CHUNK_OCTETS):
                connection.sendall(came)
    except OSError:
        return  # the stream is over


class Stream:
    """A program's connection to the service."""

    def __init__(self, kind: bytes) -> None:
        self._connection = socket.create_connection(FORWARD, TIMEOUT_S)
        self._connection.sendall(kind)
        self.octets = 0

    def read_for(self, seconds: float) -> None:
        """Read what comes."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            came = self._connection.recv(CHUNK_OCTETS)
            if not came:
                raise HostError("a stream ended by itself")
            self.octets += len(came)

    def ask_ms(self) -> float:
        """Send a request and read as many octets; return what it took."""
        began_s, left = time.monotonic(), REQUEST_OCTETS
        self._connection.sendall(os.urandom(REQUEST_OCTETS))
        while left:
            came = self._connection.recv(left)
            if not came:
                raise HostError("a stream ended by itself")
            left -= len(came)
        return 1_000 * (time.monotonic() - began_s)

    def close(self) -> None:
        """End it."""
        self._connection.close()


class Case:
    """One pair of homes, of whom the callee offers the service to the caller."""

    def __init__(self, lab: Lab, seconds: float) -> None:
        self.lab, self.seconds = lab, seconds
        self.here, self.there = lab.network.boxes
        homes = [lab.nodes.boxes[name].home for name in (self.here, self.there)]
        lab.nodes.voicebox("service", "add", "poured", "--to", "{}:{}".format(*SERVICE), "--port", str(PORT), "--allow", self.here, home=homes[1])
        lab.nodes.voicebox("forward", "add", "{}:{}".format(*FORWARD), f"{self.there}.privacy:{PORT}", home=homes[0])

    def stream(self, kind: bytes) -> Stream:
        """Return a stream of the caller's home."""
        return self.lab.inside(self.here).run(lambda: Stream(kind))

    def carried(self) -> int:
        """Return over how many circuits the caller's box is in a call."""
        status = self.lab.nodes.status(self.lab.nodes.boxes[self.here]) or {}
        return sum(bool(circuit.get("in_call")) for circuit in status.get("circuits", ()))

    def throughput(self) -> dict[str, Any]:
        """Return what one stream has while nobody talks."""
        stream = self.stream(POUR)
        stream.read_for(WARM_S)
        before, began_s = stream.octets, time.monotonic()
        stream.read_for(self.seconds)
        rate = (stream.octets - before) / (time.monotonic() - began_s)
        found = {"octets_per_s": rate, "share": rate / CIRCUIT_OCTETS_PER_S, "circuits": self.carried()}
        stream.close()
        return found

    def requests(self) -> dict[str, float]:
        """Return what the first request takes, whose call for streams is made for it, and others on the same stream."""
        began_s = time.monotonic()
        stream = self.stream(ECHO)
        stream.ask_ms()
        first_ms = 1_000 * (time.monotonic() - began_s)
        time.sleep(WARM_S)
        found = [stream.ask_ms() for _ in range(REQUESTS)]
        stream.close()
        return {"first_ms": first_ms, "p50_ms": percentile(found, 0.5), "most_ms": max(found), "added_p50_ms": percentile(found, 0.5) - LINKS_MS}

    @contextmanager
    def saturated(self, streams: int, rates: list[float]) -> Iterator[None]:
        """Have so many streams poured into all the time; rates gets what they had together, in octets a second."""
        over = threading.Event()

        def pour(stream: Stream) -> None:
            while not over.is_set():
                stream.read_for(0.2)

        with ExitStack() as ends, ThreadPoolExecutor(max(1, streams)) as pool:
            poured = [ends.enter_context(closing(self.stream(POUR))) for _ in range(streams)]
            began_s = time.monotonic()
            pouring = [pool.submit(pour, stream) for stream in poured]
            try:
                yield
            finally:
                octets, took_s = sum(stream.octets for stream in poured), time.monotonic() - began_s
                over.set()
        for its in pouring:
            its.result()  # one that ended by itself makes the figures worth nothing
        if streams:
            rates.append(octets / took_s)


@dataclass
class _Heard:
    """What came of calls of one kind."""

    pieces: list[Pieces] = field(default_factory=list)
    frames: int = 0
    missing: int = 0

    def figures(self) -> dict[str, Any]:
        return {**score(self.pieces, "opus"), "missing_pct": 100 * self.missing / self.frames}


def _quality(case: Case, calls: int) -> dict[str, Any]:
    """Return how calls sound, without streams and with them, in turn."""
    heard = {0: _Heard(), STREAMS: _Heard()}
    rates: list[float] = []
    for number in range(calls):
        for streams, so_far in heard.items():
            name = f"call-{number}-{streams}"
            with running(case.lab, name, case.seconds + MARGIN_S, "opus") as pairs, _service(case):
                _talk(case, pairs, streams, rates)
            ((wire, views),) = pairs.calls().values()
            for call in views:
                pieces, frames, missing = pieces_of_call(wire, call, "opus")
                so_far.pieces.append(pieces)
                so_far.frames, so_far.missing = so_far.frames + frames, so_far.missing + missing
            remove_captures(case.lab, name)
    alone, beside = heard[0].figures(), heard[STREAMS].figures()
    return {"alone": alone, "beside": beside, "streams": STREAMS, "octets_per_s": sum(rates) / len(rates), "worse_by": alone["p50"] - beside["p50"]}


def _talk(case: Case, pairs: Pairs, streams: int, rates: list[float]) -> None:
    standing = pairs.talk()
    if not standing:
        raise HostError("the call did not come about")
    time.sleep(PAUSE_S)
    with case.saturated(streams, rates):
        time.sleep(case.seconds)
    pairs.hang_up(standing)
    time.sleep(PAUSE_S)


@contextmanager
def _service(case: Case) -> Iterator[None]:
    service = case.lab.inside(case.there).run(Service)
    try:
        yield
    finally:
        service.close()


def _idle(case: Case) -> dict[str, Any]:
    with running(case.lab, "idle", 1.0) as _, _service(case):
        requests = case.requests()
        return {"requests": requests, "one_stream": case.throughput()}


def measure(seconds: float, calls: int) -> dict[str, Any]:
    """Return the figures of each case; how a call sounds with a loss."""
    Plcmos()  # where the model is missing, that is said before the calls
    found: dict[str, Any] = {}
    for name, network in CASES.items():
        with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, Lab(network_of_pairs(network, 1), Path(scratch)) as lab:
            case = Case(lab, seconds)
            found[name] = _idle(case)
            if name == "lossy":
                found["quality"] = _quality(case, calls)
    return found


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each stream, and of each call")
    parser.add_argument("--calls", type=int, default=CALLS, help="without streams, and as many with them")
    given = parser.parse_args()
    print_apart(lambda: measure(given.seconds, given.calls))


if __name__ == "__main__":
    main()
