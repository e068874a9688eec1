"""Networks of real cores in virtual time: write a plan, run `voicebox-world` (relay/world), read what every wire carried. [io]

One program makes all runs, those of the controls too: a leak is a line `switch` of the plan, and the switches exist in this build only.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = ROOT / "relay"
RECORD = struct.Struct("<qqHHII8s")
NEVER = 2**63 - 1
PHONE = 0xFFFF
SECOND_US = 1_000_000
RUN_TIMEOUT_S = 1_200

Cell = tuple[int, int, int, int, bytes]
"""left, arrived (us, NEVER where lost), circuit, slot, the body's first 8 octets."""


@cache
def program(*, switches: bool = True) -> Path:
    """Build the world, with the lab's switches or as the engine is shipped; return where it is."""
    cargo = shutil.which("cargo") or "cargo"
    target = WORKSPACE / "target" / ("lab" if switches else "lab-shipped")
    command = [cargo, "build", "--manifest-path", str(WORKSPACE / "Cargo.toml"), "--release", "--locked", "--quiet", "-p", "voicebox-world"]
    command += ["--features", "switches"] if switches else []
    subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    return target / "release" / "voicebox-world"


@dataclass
class Plan:
    """The lines of a plan, made piece by piece; relay/world/src/plan.rs has their meaning."""

    seed: int
    lines: list[str] = field(default_factory=list)
    nodes: int = 0
    paths: list[tuple[int, int, int]] = field(default_factory=list)
    until_us: int = 0

    def relay(self, drift_ppb: int = 0) -> int:
        """Add a relay; return its number."""
        self.lines.append(f"relay {drift_ppb}")
        self.nodes += 1
        return self.nodes - 1

    def box(self, drift_ppb: int = 0, phone_ppb: int = 0, *, metered: bool = False) -> int:
        """Add a box and its phone; return its number."""
        self.lines.append(f"box {drift_ppb} {phone_ppb}" + (" metered" if metered else ""))
        self.nodes += 1
        return self.nodes - 1

    def circuit(self, box: int, guard: int, junction: int, *, later: bool = False) -> int:
        """Add a circuit; return its number."""
        self.lines.append(f"circuit {box} {guard} {junction}" + (" later" if later else ""))
        self.paths.append((box, guard, junction))
        return len(self.paths) - 1

    def wires(self, access: tuple[int, int, int], relay: tuple[int, int, int]) -> None:
        """Say what all wires are: delay, scale of the jitter (us), loss in a million."""
        self.lines += [f"wire access {access[0]} {access[1]} {access[2]}", f"wire relay {relay[0]} {relay[1]} {relay[2]}"]

    def at(self, us: int, *act: object) -> None:
        """Do something at a time."""
        self.lines.append(f"at {us} {' '.join(str(word) for word in act)}")
        self.until_us = max(self.until_us, us)

    def record(self, begin_us: int, end_us: int) -> None:
        """Record what leaves in between; below 0: before all circuits stood."""
        self.lines.append(f"record {begin_us} {end_us}")
        self.until_us = max(self.until_us, end_us + SECOND_US)

    def watch(self, sender: int, receiver: int) -> None:
        """Record this way (and others named so) only."""
        line = f"watch {sender} {receiver}"
        if line not in self.lines:
            self.lines.append(line)

    def text(self) -> str:
        """Return the plan as the world reads it."""
        return "\n".join([f"seed {self.seed}", *self.lines, f"until {self.until_us}", ""])


@dataclass
class Recorded:
    """What a run wrote. cells: by sender and receiver, in the order in which they left. rtp: by circuit: when, timestamp, number; changed: when frames came that are
    not what was said, and by how many octets."""

    plan: Plan
    cells: dict[tuple[int, int], list[Cell]]
    rtp: dict[int, list[tuple[int, int, int]]]
    told: list[list[str]]
    numbers: dict[int, list[tuple[int, int]]]
    changed: dict[int, list[tuple[int, int]]]
    _behind: dict[tuple[int, bool], list[Cell]] = field(default_factory=dict)

    def access(self, circuit: int, *, up: bool) -> list[Cell]:
        """Return what the access link of a circuit carried; a box has one circuit for each guard."""
        box, guard, _ = self.plan.paths[circuit]
        return self.cells.get((box, guard) if up else (guard, box), [])

    def behind(self, circuit: int, *, up: bool) -> list[Cell]:
        """Return what the link between guard and junction carried for a circuit, under all numbers it had."""
        _, guard, junction = self.plan.paths[circuit]
        numbers = {behind for _, behind in self.numbers[circuit]}
        if (circuit, up) not in self._behind:
            self._behind[circuit, up] = [cell for cell in self.cells.get((guard, junction) if up else (junction, guard), []) if cell[2] in numbers]
        return self._behind[circuit, up]

    def heard(self) -> int:
        """Return how many times a box heard the other."""
        return sum(line[0] == "heard" for line in self.told)


def run(plan: Plan, *, switches: bool = True) -> Recorded:
    """Run a plan. Raises RuntimeError where the world says that it went wrong."""
    done = subprocess.run([program(switches=switches)], input=plan.text().encode(), capture_output=True, check=True, timeout=RUN_TIMEOUT_S)
    told = [line.split() for line in done.stderr.decode().splitlines()]
    errors = [" ".join(line) for line in told if line[0] == "error"]
    if errors:
        raise RuntimeError(errors[0])
    cells: dict[tuple[int, int], list[Cell]] = defaultdict(list)
    rtp: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    changed: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for left, arrived, sender, receiver, circuit, slot, body in RECORD.iter_unpack(done.stdout):
        if receiver == PHONE:
            port, octets = int.from_bytes(body[:2], "little"), int.from_bytes(body[2:4], "little")
            rtp[port].append((left, circuit, slot))
            if octets:
                changed[port].append((left, octets))
        else:
            cells[sender, receiver].append((left, arrived, circuit, slot, body))
    for each in cells.values():
        each.sort(key=lambda cell: cell[0])
    numbers: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for line in told:
        if line[0] == "number":
            numbers[int(line[1])].append((int(line[2]), int(line[3])))
    return Recorded(plan, dict(cells), dict(rtp), told, numbers, changed)


ACCESS = (8_000, 300, 500)
RELAY = (12_000, 200, 500)
"""A country: 20 ms from box to junction, gamma jitter of 0.6 and 0.4 ms in the mean, one datagram in 2 000 lost on each wire."""

GUARDS, JUNCTIONS = 4, 2


def network(seed: int, boxes: int, *, drifts: bool = False, metered: int = 0) -> tuple[Plan, random.Random]:
    """Return a plan with four guards, two junctions and boxes of one circuit each, over a guard drawn at random, all to the first junction.

    metered: so many boxes are, the first ones.
    """
    chance, plan = random.Random(seed), Plan(seed)
    plan.wires(ACCESS, RELAY)
    for _ in range(GUARDS + JUNCTIONS):
        plan.relay(chance.randint(-500, 500))
    for index in range(boxes):
        plan.box(*((chance.randint(-50_000, 50_000), chance.randint(-50_000, 50_000)) if drifts else (0, 0)), metered=index < metered)
    for index in range(boxes):
        plan.circuit(GUARDS + JUNCTIONS + index, chance.randrange(GUARDS), GUARDS)
    return plan, chance
