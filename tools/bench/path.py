"""Calls over the lab's emulated internet, and the direct path between the same phones beside them. [io]

Real phones, boxes and relays, each in a namespace; every link has its delay, jitter and loss (tools/lab/networks). A case is one of those files. All times are
the wires' own. Between two calls there is a pause: whoever dials within moments of hanging up waits for the circuit to be free, which is another figure.

    python -m tools.bench.path [--seconds S] [--calls N] [--rings N] [--cases NAME ...] [--codec opus]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.calls import p95
from tools.bench.path_figures import WayFigures, Wire, measure_way, phones_view, summary, ways
from tools.lab.load import NETWORKS, load_network
from tools.lab.network import Lab
from tools.lab.plan import LabNetwork
from tools.lab.wire import Wires
from voicebox.demo.datagrams import Endpoint
from voicebox.demo.measure import NS_PER_MS
from voicebox.demo.phones import PhoneDriver
from voicebox.demo.sipview import find_calls
from voicebox.demo.speech import make_speech

CASES = ("continent", "between-continents", "continent-clean", "between-continents-clean", "clean")
CALLER, CALLEE = "alice", "bob"
CALLS, RINGS = 2, 20
READY_TIMEOUT_S = 90.0
RING_TIMEOUT_S = 15.0
PAUSE_S = 1.5
SPEECH_MARGIN_S = 4.0


class _Case:
    """One case: its wires, and the two phones."""

    def __init__(self, lab: Lab, network: LabNetwork, name: str, seconds: float, codec: str) -> None:
        self._lab, self._network, self._name, self._seconds, self._codec = lab, network, name, seconds, codec
        self._speech = [make_speech(lab.directory / f"{speaker}.wav", speaker, seconds + SPEECH_MARGIN_S, codec) for speaker in (0, 1)]

    def measure(self, calls: int, rings: int) -> dict[str, Any]:
        """Return the figures of calls through the network and of one without it."""
        wires = self._lab.wires(self._network, self._name)
        with wires:
            self._lab.nodes.start()
            try:
                ready_s = self._lab.nodes.wait_ready(READY_TIMEOUT_S)
                guards = self._through(calls, rings)
            finally:
                self._lab.nodes.stop()
        found = self._read(wires, guards, calls, rings)
        direct = self._lab.wires(self._network, f"{self._name}-direct")
        with direct:
            self._direct()
        (call,) = find_calls(direct.sent(), *self._phones())
        ends = Wire(direct.sent(), direct.arrived())
        return {**found, "ready_s": ready_s, "direct": summary([measure_way(ends, way) for way in ways(call, None)])}

    def _phones(self) -> tuple[Endpoint, Endpoint]:
        return self._lab.plan.phone_sip(CALLER), self._lab.plan.phone_sip(CALLEE)

    def _phone(self, box: str, *, login: bool = True, ring_s: float | None = None) -> PhoneDriver:
        speech = self._speech[box == CALLEE]
        return self._lab.phone(box, speech, codec=self._codec, login=login, ring_s=ring_s, directory=self._lab.directory / self._name)

    def _through(self, calls: int, rings: int) -> list[tuple[str, str]]:
        """Ring and talk; return the guards of each call."""
        guards = []
        with self._phone(CALLER) as caller, self._phone(CALLEE) as callee:
            for phone in (caller, callee):
                phone.wait_for("registered")
            for _ in range(rings + 1):  # at the first they meet, which takes longer and is a figure of tools.bench.calls
                _ring(caller, callee)
                _end(caller, callee)
            for _ in range(calls):
                _ring(caller, callee)
                stands = caller.events.count("connected") + 1
                callee.answer()
                caller.wait_for("connected", count=stands)
                guards.append((self._guard(CALLER), self._guard(CALLEE)))
                time.sleep(self._seconds)
                _end(caller, callee)
        return guards

    def _guard(self, box: str) -> str:
        status = self._lab.nodes.status(self._lab.nodes.boxes[box], show_path=True) or {}
        (relays,) = (circuit["relays"] for circuit in status.get("circuits", ()) if circuit.get("in_call") and not circuit.get("spare"))
        return str(relays[0]).removeprefix("operator of ")

    def _direct(self) -> None:
        with self._phone(CALLER, login=False) as caller, self._phone(CALLEE, login=False, ring_s=0.2) as callee:
            there = self._phones()[1]
            caller.dial(f"sip:{callee.setup.name}@{there.address}:{there.port}")
            caller.wait_for("connected")
            time.sleep(self._seconds)
            caller.hang_up()
            callee.wait_for("ended")

    def _read(self, wires: Wires, guards: Sequence[tuple[str, str]], calls: int, rings: int) -> dict[str, Any]:
        report = wires.report
        assert report is not None
        if not report.sound:
            raise RuntimeError(f"the wires lost what they should not: {report}")
        wire = Wire(wires.sent(), wires.arrived())
        ends = self._phones()
        found = find_calls(phones_view(wire, [end.address for end in ends]), *ends)
        if len(found) != 1 + rings + calls:
            raise RuntimeError(f"the capture shows {len(found)} calls and not {1 + rings + calls}")
        figures: list[WayFigures] = []
        for call, through in zip(found[1 + rings :], guards, strict=True):
            span = _span(wire, call.invited_ns, (call.ended_ns or call.invited_ns) + 1_000 * NS_PER_MS)
            boxes = [(self._lab.plan.box_address(box), self._lab.plan.relay_address(guard)) for box, guard in zip((CALLER, CALLEE), through, strict=True)]
            figures += [measure_way(span, way) for way in ways(call, (boxes[0], boxes[1]))]
        ringing = [(call.ringing_ns - call.invited_ns) / NS_PER_MS for call in found[1:] if call.ringing_ns is not None]
        return {**summary(figures), "calls": calls, "ringing_p95_ms": p95(ringing, calls + rings), "wires": asdict(report)}


def _span(wire: Wire, begin_ns: int, end_ns: int) -> Wire:
    return Wire(*([datagram for datagram in each if begin_ns <= datagram.time_ns < end_ns] for each in (wire.sent, wire.arrived)))


def _ring(caller: PhoneDriver, callee: PhoneDriver) -> None:
    wanted = [(phone, event, phone.events.count(event) + 1) for phone, event in ((callee, "incoming"), (caller, "ringing"))]
    caller.dial(f"sip:{CALLEE}.privacy")
    for phone, event, count in wanted:
        phone.wait_for(event, RING_TIMEOUT_S, count)


def _end(caller: PhoneDriver, callee: PhoneDriver) -> None:
    ended = [(phone, phone.events.count("ended") + 1) for phone in (caller, callee)]
    caller.hang_up()
    for phone, count in ended:
        phone.wait_for("ended", count=count)
    time.sleep(PAUSE_S)


def measure(cases: Sequence[str], seconds: float, calls: int, rings: int, codec: str) -> dict[str, Any]:
    """Return the figures of each case. The nodes are set up once; they meet other wires in each case."""
    networks = {name: load_network(NETWORKS / f"{name}.yaml") for name in cases}
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, Lab(networks[cases[0]], Path(scratch)) as lab:
        return {name: _Case(lab, network, name, seconds, codec).measure(calls, rings) for name, network in networks.items()}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each call")
    parser.add_argument("--calls", type=int, default=CALLS, help="that are answered, in each case")
    parser.add_argument("--rings", type=int, default=RINGS, help="calls that only ring, in each case")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--codec", choices=("pcma", "opus"), default="pcma")
    given = parser.parse_args()
    print_apart(lambda: measure(given.cases, given.seconds, given.calls, given.rings, given.codec))


if __name__ == "__main__":
    main()
