"""The load on one relay: a process of relay/node/examples/relay_load, and the handshakes of its circuits. [io]

Peers with create, extend, settle and then one cell per slot and circuit; four sinks that send as many back. What counts as relayed is what
peers and sinks got with the other's mark.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tools.bench.process import cpu_s, hurry, running
from tools.cargo import TARGET
from voicebox.circuits.handshake import HopBinding, begin_hop, finish_hop

LOCAL = "127.0.0.1"
SINKS = 4
CELLS_PER_S = 50
FIRST_BEHIND = 1_000_000
BATCH = 100
"""Circuits that are built at one time: a relay keeps at most 256 extends waiting (PROTOCOL.md §6.3)."""
BATCH_EVERY_S = 1.0
"""With a relay of users, which discards creates at random from 250 in a second on (§6.3); two batches may fall into one second of its clock."""
SETUP_TIMEOUT_S = 90.0
"""For all links, and for each batch: on a quiet machine a thousand links take 12 s."""
BINARY = TARGET / "release" / "examples" / "relay_load"


@dataclass(frozen=True)
class RelayUnderLoad:
    """What the load has to know of a relay, and how many circuits of which kind there are to be.

    identities: a directory with sink-N.crt and sink-N.key. sink_ports: where the sinks listen, 0 for anywhere. boxes: a link for each circuit
    and without certificate, as boxes have; else four links of relays. spread: the cells leave evenly over the slot; else all that go to one
    sink leave together, as the phase of a junction makes them (PROTOCOL.md §5.4). log: keep what went over each link.
    """

    born_unix_us: int
    port: int
    pin: bytes
    network_id: bytes
    identity: bytes
    epoch: int
    identities: Path
    sink_ports: tuple[int, ...]
    circuits: int
    boxes: bool
    spread: bool
    log: bool = False

    def command(self) -> list[str]:
        """Return the command line of the load."""
        kinds = ["spread" if self.spread else "aligned", "boxes" if self.boxes else "relays"]
        relay = [str(self.born_unix_us), LOCAL, f"{LOCAL}:{self.port}", self.pin.hex(), str(self.identities), str(self.circuits)]
        return [str(BINARY), *relay, *kinds, *map(str, self.sink_ports), "log" if self.log else "-"]


@dataclass(frozen=True)
class Interval:
    """What happened while the load ran. sent, relayed: cells, both ways."""

    seconds: float
    cpu_s: float
    sent: int
    relayed: int

    def figures(self) -> dict[str, float]:
        """Return the figures of the interval."""
        return {
            "relayed": self.relayed,
            "loss": max(0.0, 1 - self.relayed / self.sent),
            "cell_cpu_us": self.cpu_s * 1e6 / self.relayed,
            "cpu_share": self.cpu_s / self.seconds,
        }


class Load:
    """The load generator, over lines of text."""

    def __init__(self, process: Popen[str], relay: RelayUnderLoad) -> None:
        self._process, self._relay = process, relay
        self.sink_ports = [int(self._hear("sink")[1]) for _ in range(SINKS)]
        self._hear("up")

    @property
    def pid(self) -> int:
        """Return the process id of the load generator."""
        return self._process.pid

    def _say(self, *words: object) -> None:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    def _line(self) -> list[str]:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split()

    def _hear(self, word: str) -> list[str]:
        words = self._line()
        if not words or words[0] != word:
            raise RuntimeError(f"the load said {words} and not {word}")
        return words[1:]

    def totals(self) -> tuple[int, int]:
        """Return how many cells were sent and got, both ways."""
        self._say("totals")
        sent, got, back_sent, back_got = map(int, self._hear("totals"))
        return sent + back_sent, got + back_got

    def write_log(self, path: Path) -> None:
        """Write what went over each link."""
        self._say("log", path)
        self._hear("logged")

    def build(self, sink_id: Callable[[int], bytes], first: int = 0, count: int | None = None) -> None:
        """Bring circuits to where each slot carries a cell. sink_id: the relay id of a sink, by its number."""
        end = self._relay.circuits if count is None else first + count
        for start in range(first, end, BATCH):
            began = time.monotonic()
            with _ended_after(self._process, SETUP_TIMEOUT_S):
                self._build(range(start, min(start + BATCH, end)), sink_id)
            if self._relay.boxes and start + BATCH < end:
                time.sleep(max(0.0, began + BATCH_EVERY_S - time.monotonic()))

    def _build(self, batch: range, sink_id: Callable[[int], bytes]) -> None:
        relay, pending = self._relay, {}
        for place in batch:
            pending[place] = begin_hop(HopBinding(relay.network_id, relay.identity, place + 1, relay.epoch))
            self._say("create", place, place + 1, pending[place].handshake.hex())
        waits_for_created, waits_for_running = set(batch), set(batch)
        while waits_for_running:
            match self._line():
                case ["created", number, created] if int(number) in waits_for_created:
                    place = int(number)
                    waits_for_created.remove(place)
                    keys = finish_hop(pending[place], bytes.fromhex(created))
                    # Each circuit goes out by another link than the next one in the same link, so that all sixteen pairs occur.
                    behind = sink_id((place // SINKS + place) % SINKS).hex()
                    self._say("keys", place, keys.forward.reveal().hex(), keys.backward.reveal().hex(), behind, place + FIRST_BEHIND)
                case ["running", number]:
                    waits_for_running.discard(int(number))
                case words:
                    raise RuntimeError(f"the load said {words}")

    def run(self, pid: int, seconds: float) -> Interval:
        """Let it run; pid: of the relay."""
        before, began, used = self.totals(), time.monotonic(), cpu_s(pid)
        time.sleep(seconds)
        after, took, used = self.totals(), time.monotonic() - began, cpu_s(pid) - used
        return Interval(took, used, after[0] - before[0], after[1] - before[1])


@contextmanager
def loading(relay: RelayUnderLoad) -> Iterator[Load]:
    """Run the load, with its links up and no circuits yet."""
    with running(relay.command()) as process:
        hurry(process.pid)
        with _ended_after(process, SETUP_TIMEOUT_S):
            load = Load(process, relay)
        yield load


@contextmanager
def _ended_after(process: Popen[str], seconds: float) -> Iterator[None]:
    """End a process that takes too long, so that whoever reads from it is told nothing more."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
