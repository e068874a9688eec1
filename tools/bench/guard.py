"""CPU time, memory and delay of a guard: `voicebox relay run`, as users run it. [io]

A relay home made with `voicebox relay init`, `network create`, `relay vouch` and `network join`; boxes, each with an access link and its one circuit (PROTOCOL.md §5.2);
four sinks in the place of junctions of the network file. With N circuits there are N links in and four out.

    python -m tools.bench.guard [--circuits N] [--seconds S] [--phases aligned|spread]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.load import LOCAL, SINKS, RelayUnderLoad, loading
from tools.bench.process import is_realtime, memory_kb, memory_mb
from voicebox.circuits.network_state import load_network
from voicebox.circuits.relay_state import load_relay_keys
from voicebox.contacts.store import StateDirectory

COMMAND_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 20.0
SETTLE_S = 2.0
VOICEBOX = (sys.executable, "-m", "voicebox")


def voicebox(*arguments: str) -> str:
    """Run a voicebox command; return what it printed."""
    done = subprocess.run([*VOICEBOX, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"voicebox {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Return UDP ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind((LOCAL, 0))
        return [int(each.getsockname()[1]) for each in sockets]


@dataclass(frozen=True)
class Guard:
    """A guard's home, and what the load needs to know of it and of the sinks."""

    home: Path
    directory: Path
    sink_ids: tuple[bytes, ...]
    sink_ports: tuple[int, ...]

    def under_load(self, circuits: int, *, spread: bool, log: bool = False) -> RelayUnderLoad:
        """Describe the guard to the load."""
        store = StateDirectory(self.home)
        network, own = load_network(store), load_relay_keys(store)[0].descriptor
        epoch = network.epoch_at(int(time.time() * 1e6) - network.terms.born_unix_us)
        return RelayUnderLoad(
            network.terms.born_unix_us, own.addresses[0].port, own.link_pin, network.network_id, own.identity, epoch, self.directory, self.sink_ports,
            circuits, boxes=True, spread=spread, log=log,
        )  # fmt: skip

    @contextmanager
    def run(self, wrapper: Sequence[str] = ()) -> Iterator[int]:
        """Run it as users do; yield the process id once it answers. wrapper: a command in front of it, which becomes it."""
        with (self.home / "log").open("ab") as log:
            process = subprocess.Popen([*wrapper, *VOICEBOX, "relay", "run", "--home", str(self.home)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait_ready(process)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < ends and process.poll() is None:
            with contextlib.suppress(RuntimeError):
                voicebox("status", "--json", "--home", str(self.home))
                return
            time.sleep(0.1)
        raise RuntimeError(f"the relay does not run: {(self.home / 'log').read_text()[-500:]}")


def make_guard(directory: Path) -> Guard:
    """Make a guard and four junctions of one network, by the commands that users type; the junctions' keys are for the sinks."""
    ports = free_ports(SINKS + 1)
    homes = [directory / "guard", *(directory / f"junction-{number}" for number in range(SINKS))]
    for number, (home, port) in enumerate(zip(homes, ports, strict=True)):
        role = "junction" if number else "guard"
        voicebox("relay", "init", "--listen", f"{LOCAL}:{port}", "--role", role, "--operator", f"operator {number}", "--home", str(home))
    file = str(directory / "network")
    line = voicebox("network", "create", file).split()[-1]
    voicebox("relay", "vouch", "--network", file, *(str(home / "descriptor") for home in homes))
    voicebox("network", "join", line, file, "--home", str(homes[0]))
    sink_ids = []
    for number, home in enumerate(homes[1:]):
        verified, keys = load_relay_keys(StateDirectory(home))
        sink_ids.append(verified.descriptor.relay_id)
        (directory / f"sink-{number}.crt").write_bytes(keys.certificate)
        (directory / f"sink-{number}.key").write_bytes(keys.link_key.reveal())
    return Guard(homes[0], directory, tuple(sink_ids), tuple(ports[1:]))


def measure(circuits: int, seconds: float, *, spread: bool) -> dict[str, Any]:
    """Return the figures of one run."""
    with tempfile.TemporaryDirectory() as scratch:
        guard = make_guard(Path(scratch))
        with guard.run() as pid:
            empty_kb = memory_kb(pid)
            with loading(guard.under_load(circuits, spread=spread)) as load:
                load.build(guard.sink_ids.__getitem__)
                time.sleep(SETTLE_S)
                interval = load.run(pid, seconds)
                engine = json.loads(voicebox("status", "--json", "--home", str(guard.home)))["engine"]
                return {
                    "circuits": circuits,
                    **interval.figures(),
                    "rss_mb": memory_mb(pid),
                    "empty_rss_mb": empty_kb * 1_024 / 1e6,
                    "circuit_and_link_kb": (memory_kb(pid) - empty_kb) / circuits,
                    "realtime": is_realtime(pid),
                    "tick_late_p99_us": engine["tick_late_p99_us"],
                    "cells_per_receive": engine["link_cells_in"] / max(engine["receives"], 1),
                }


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuits", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--phases", choices=["aligned", "spread"], default="spread")
    given = parser.parse_args()
    print(json.dumps(measure(given.circuits, given.seconds, spread=given.phases == "spread")))


if __name__ == "__main__":
    main()
