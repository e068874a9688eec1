"""The process with all the wires (relay/lab), seen from the lab. [io]"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.cargo import build
from tools.lab.plan import Impairments, LabNetwork
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.errors import HostError

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 30.0
UNITS = {
    "delay_ms": ("delay_us", 1_000),
    "jitter_ms": ("jitter_us", 1_000),
    "loss_pct": ("loss_ppm", 10_000),
    "burst_begin_pct": ("burst_begin_ppm", 10_000),
    "burst_end_pct": ("burst_end_ppm", 10_000),
    "burst_loss_pct": ("burst_loss_ppm", 10_000),
    "reorder_pct": ("reorder_ppm", 10_000),
    "reorder_ms": ("reorder_us", 1_000),
    "rate_kbit": ("rate_kbit", 1),
    "queue_ms": ("queue_us", 1_000),
}
"""A setting of plan.Impairments, and how the process has it."""


@cache
def binary() -> Path:
    """Return the program, built."""
    return build("-p", "voicebox-lab") / "voicebox-wire"


@dataclass(frozen=True, slots=True)
class WireReport:
    """What the wires did. Frames taken, lost on purpose, let out; astray: without a wire; overflow, missed, unwritten: what the lab itself could not do.

    late_us: p50, p99, max of leaving minus coming in minus the wire's delay, for every frame.
    """

    taken: int
    lost: int
    left: int
    astray: int
    overflow: int
    missed: int
    unwritten: int
    realtime: bool
    late_us: Mapping[str, int]

    @property
    def sound(self) -> bool:
        """Return whether the lab did all it should, so that what is missing was lost on purpose."""
        return self.overflow == self.missed == self.unwritten == 0


def plan_lines(network: LabNetwork, interfaces: Mapping[str, str]) -> Iterator[str]:
    """Yield the plan as the process reads it (relay/lab/src/plan.rs). interfaces: of each node, in the namespace in the middle."""
    numbers = {name: number for number, name in enumerate(network.nodes())}
    yield f"seed {network.seed}"
    for name in network.nodes():
        yield f"node {interfaces[name]} {network.address(name)}"
    for near, far, impairments in network.directions():
        ends = f"{numbers[near]} {numbers[far]}"
        yield f"wire {ends} {_settings(impairments)}"
        for outage in impairments.outages:
            yield f"outage {ends} {round(outage.from_s * 1_000_000)} {round(outage.for_s * 1_000_000)}"
    yield "go"


def _settings(impairments: Impairments) -> str:
    return " ".join(f"{key}={round(getattr(impairments, name) * factor)}" for name, (key, factor) in UNITS.items())


class Wires:
    """All wires of a network, from entry to exit of the context. report and the captures are there afterwards."""

    def __init__(self, network: LabNetwork, interfaces: Mapping[str, str], wrapper: Sequence[str], directory: Path) -> None:
        self._lines = "\n".join(plan_lines(network, interfaces)) + "\n"
        self._paths = directory / "sent.pcap", directory / "arrived.pcap"
        self._command = [*wrapper, str(binary()), *map(str, self._paths)]
        self._process: subprocess.Popen[str] | None = None
        self.report: WireReport | None = None

    def start(self) -> None:
        """Start the process. Raises HostError with its reason where it cannot."""
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self.report = process, None
        process.stdin.write(self._lines)
        process.stdin.flush()
        readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        said = process.stdout.readline().strip() if readable else "nothing"
        if said != "ready":
            process.kill()
            process.communicate()
            self._process = None
            raise HostError(f"the wires do not stand: {said}")

    def stop(self) -> None:
        """End the process after it has written all it saw."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            said, _ = process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise HostError("the wires did not end") from None
        if process.returncode:
            raise HostError(f"the wires broke: {said.strip()}")
        self.report = WireReport(**json.loads(said))

    def sent(self, ends: Collection[str] = ()) -> list[Datagram]:
        """Return every datagram as it left its sender. ends: only those from or to one of these addresses."""
        return load_capture(self._paths[0], ends)

    def arrived(self, ends: Collection[str] = ()) -> list[Datagram]:
        """Return every datagram as it came to its receiver. ends: as of sent()."""
        return load_capture(self._paths[1], ends)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
