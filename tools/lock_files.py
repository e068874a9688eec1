"""Hold the lock files to what they are for: the same versions everywhere, from any mirror, and only with the digests written down.

Not here: making them (tools/lock.sh), and Cargo.lock's agreement with Cargo.toml, which cargo checks itself.
"""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

LEVELS = ("demo", "dev")
PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
HEADER = re.compile(r"^# Made by .* \(digest (?P<digest>[0-9a-f]{16})\)")
# Cargo names the index of a crate in its lock file; the default one stands for whatever mirror the machine is set up for.
CARGO_INDEX = 'source = "registry+https://github.com/rust-lang/crates.io-index"'
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Pin:
    """One line of a lock file: this version, under this environment marker (empty for always)."""

    name: str
    version: str
    marker: str

    def covers(self, other: Pin) -> bool:
        """Return whether this pin holds wherever another does: by a marker that is the same, or that leaves some of its conditions out."""
        conditions, of_other = ({each for each in pin.marker.split(" and ") if each} for pin in (self, other))
        is_wider = conditions <= of_other and " or " not in self.marker + other.marker
        return (self.name, self.version) == (other.name, other.version) and (self.marker == other.marker or is_wider)


def read_pins(text: str) -> tuple[list[Pin], list[str]]:
    """Return the pins of a lock file and what is wrong with its lines."""
    pins: list[Pin] = []
    problems: list[str] = []
    hashes_of_last = 1
    for number, line in enumerate(text.splitlines(), 1):
        found = PINNED.match(line)
        if found:
            if hashes_of_last == 0:
                problems.append(f"line {number - 1}: a pin without a digest")
            pins.append(Pin(found["name"], found["version"], found["marker"] or ""))
            hashes_of_last = 0
        elif HASH.match(line):
            hashes_of_last += 1
        elif line and not line.startswith("#"):
            problems.append(f"line {number}: neither a pin nor a digest")
        if ADDRESS.search(line):
            problems.append(f"line {number}: an address; a lock file names versions and digests only")
    if hashes_of_last == 0:
        problems.append("the last pin has no digest")
    return pins, problems


def installed_problems(pins: list[Pin]) -> list[str]:
    """Compare with what is installed here, pins without a marker only (the others may be for another Python)."""
    problems = []
    for pin in pins:
        if pin.marker:
            continue
        try:
            version = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{pin.name} {pin.version} is locked and not installed")
            continue
        if version != pin.version:
            problems.append(f"{pin.name} {version} is installed, {pin.version} is locked")
    return problems


def cargo_lock_problems(text: str) -> list[str]:
    """Return what does not belong into Cargo.lock: an address other than the default index, a crate without a digest."""
    problems = [f"Cargo.lock:{number}: an address" for number, line in enumerate(text.splitlines(), 1) if ADDRESS.search(line) and line != CARGO_INDEX]
    for block in text.split("[[package]]")[1:]:
        if "source = " in block and "checksum = " not in block:
            name = re.search(r'name = "([^"]+)"', block)
            problems.append(f"Cargo.lock: {name[1] if name else 'a crate'} has no digest")
    return problems


def lock_file_problems(root: Path, digest: str) -> list[str]:
    """Return everything that is wrong with the lock files under root; digest: of the dependencies in pyproject.toml."""
    problems: list[str] = []
    levels: dict[str, list[Pin]] = {}
    for level in LEVELS:
        path = f"requirements/{level}.txt"
        text = (root / path).read_text("utf-8")
        header = HEADER.match(text)
        if header is None or header["digest"] != digest:
            problems.append(f"{path}: was made from other dependencies than pyproject.toml names now; run `make lock`")
        levels[level], wrong = read_pins(text)
        problems += [f"{path}: {problem}" for problem in wrong]
    missing = [pin for pin in levels["demo"] if not any(other.covers(pin) for other in levels["dev"])]
    problems += [f"requirements/dev.txt: lacks {pin.name} {pin.version}, which requirements/demo.txt has" for pin in missing]
    problems += installed_problems(levels["dev"])
    cargo_lock = root / "relay" / "Cargo.lock"
    if cargo_lock.exists():
        problems += cargo_lock_problems(cargo_lock.read_text("utf-8"))
    return problems
