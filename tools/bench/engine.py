"""CPU time, memory and lateness of the engine of a relay, under a load of many circuits over eight links. [io]

Not `voicebox relay run` (that is guard.py): a guard takes one circuit over an access link and none over a link of relays, and a junction ends circuits,
so that no relay of users carries a hundred of them over four links in and four out. Here the same engine is driven by the real handshakes without
the policy, as a relay in the middle would be: four links in, four out.

    python -m tools.bench.engine [--circuits N] [--seconds S] [--phases aligned|spread] [--busy]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from tools.bench.load import LOCAL, SINKS, Interval, Load, RelayUnderLoad, loading
from tools.bench.process import memory_kb, other_core_busy, running
from voicebox.circuits.handshake import HopBinding, answer_hop
from voicebox.dataplane import CreateAsked, Event, ExtendAsked, LinkUp, LiveDataPlane

NETWORK_ID = bytes(32)
SETTLE_S = 2.0


@dataclass(frozen=True)
class LinkKey:
    """A link key with its certificate, as files and as octets."""

    certificate: bytes
    key: bytes
    pin: bytes

    def save(self, directory: Path) -> None:
        """Write both in DER, for every sink."""
        for number in range(SINKS):
            (directory / f"sink-{number}.crt").write_bytes(self.certificate)
            (directory / f"sink-{number}.key").write_bytes(self.key)


def new_link_key() -> LinkKey:
    """Draw a P-256 key with a certificate that lives a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "link")])
    now = dt.datetime.now(dt.UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    der = serialization.Encoding.DER
    spki = key.public_key().public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo)
    pkcs8 = key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return LinkKey(certificate.public_bytes(der), pkcs8, hashlib.sha256(spki).digest())


class BareRelay:
    """A relay without policy: answers every create and carries out every extend to a sink, whose port is the first number of the relay id."""

    def __init__(self, born_unix_us: int, identity: Ed25519PrivateKey) -> None:
        self._key = new_link_key()
        self._identity = identity
        self._plane = LiveDataPlane(born_unix_us=born_unix_us)
        self._links: dict[int, int] = {}
        self._up: set[int] = set()
        self._waiting: list[ExtendAsked] = []

    def start(self) -> tuple[int, bytes, bool]:
        """Return port, pin and whether realtime rights were granted."""
        realtime = self._plane.start()
        self._plane.attach(self._take)
        return self._plane.listen(LOCAL, 0, self._key.certificate, self._key.key), self._key.pin, realtime

    def counters(self) -> dict[str, int]:
        """Return the engine's totals."""
        return self._plane.counters()

    def tap(self, seconds: float) -> None:
        """Gather lateness anew."""
        self._plane.tap(seconds)

    def _take(self, event: Event) -> None:
        if isinstance(event, CreateAsked):
            binding = HopBinding(NETWORK_ID, self._identity.public_key().public_bytes_raw(), event.circuit, 0)
            keys, created = answer_hop(binding, self._identity, event.handshake)
            self._plane.accept(event.link, event.circuit, keys.forward.reveal(), keys.backward.reveal(), created, junction=False)
        elif isinstance(event, ExtendAsked):
            self._waiting.append(event)
            port = int.from_bytes(event.relay_id[:2], "big")
            if port not in self._links:
                pin = event.relay_id[2:] + self._sink_pin_end
                self._links[port] = self._plane.connect(LOCAL, port, pin, self._key.certificate, self._key.key)
        elif isinstance(event, LinkUp) and not event.incoming:
            self._up.add(event.link)
        self._extend()

    _sink_pin_end = b""

    def know_sinks(self, pin: bytes) -> None:
        """Take the last two octets of the sinks' pin: the relay id holds the port and the first thirty."""
        self._sink_pin_end = pin[30:]

    def _extend(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            link = self._links[int.from_bytes(event.relay_id[:2], "big")]
            if link in self._up:
                self._plane.extend(event.link, event.circuit, link, event.next_circuit, event.handshake)
            else:
                self._waiting.append(event)


async def serve() -> None:
    """Be the relay under load; lines of JSON in and out."""
    first = json.loads(sys.stdin.readline())
    relay = BareRelay(first["born_unix_us"], Ed25519PrivateKey.from_private_bytes(bytes.fromhex(first["identity"])))
    relay.know_sinks(bytes.fromhex(first["sink_pin"]))
    port, pin, realtime = relay.start()
    print(json.dumps({"port": port, "pin": pin.hex(), "realtime": realtime}), flush=True)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def ask() -> None:
        line = sys.stdin.readline().strip()
        if line == "counters":
            print(json.dumps(relay.counters()), flush=True)
        elif line.startswith("tap"):
            relay.tap(float(line.split()[1]))
            print(json.dumps(relay.counters()), flush=True)
        else:
            stop.set()

    loop.add_reader(sys.stdin.fileno(), ask)
    await stop.wait()


class EngineUnderLoad:
    """The engine in a process of its own, its load, and as many circuits as were built."""

    def __init__(self, process: subprocess.Popen[str], load: Load, sink_pin: bytes, *, realtime: bool) -> None:
        self._process, self._sink_pin = process, sink_pin
        self.load, self.pid, self.realtime = load, process.pid, realtime

    def build(self, first: int, count: int) -> None:
        """Bring more circuits to where each slot carries a cell."""
        self.load.build(self._sink_id, first, count)

    def _sink_id(self, number: int) -> bytes:
        return self.load.sink_ports[number].to_bytes(2, "big") + self._sink_pin[:30]

    def _ask(self, line: str) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(line, file=self._process.stdin, flush=True)
        counters: dict[str, int] = json.loads(self._process.stdout.readline())
        return counters

    def run(self, seconds: float) -> tuple[Interval, dict[str, int], dict[str, int]]:
        """Let it run; return what happened, by how much each counter rose, and the counters, whose lateness is of this while."""
        early = self._ask(f"tap {seconds}")
        interval = self.load.run(self.pid, seconds)
        counters = self._ask("counters")
        return interval, {name: total - early[name] for name, total in counters.items()}, counters


@contextmanager
def engine_under_load(circuits: int, *, spread: bool) -> Iterator[EngineUnderLoad]:
    """Run the engine and its load, with no circuits yet. circuits: how many there can be. spread: as RelayUnderLoad has it."""
    born_unix_us = int(time.time() * 1e6) - 1_000_000_000
    identity, sink_key = Ed25519PrivateKey.generate(), new_link_key()
    with tempfile.TemporaryDirectory() as directory, running([sys.executable, "-m", "tools.bench.engine", "--serve"]) as relay:
        assert relay.stdin is not None
        assert relay.stdout is not None
        print(
            json.dumps({"born_unix_us": born_unix_us, "identity": identity.private_bytes_raw().hex(), "sink_pin": sink_key.pin.hex()}),
            file=relay.stdin,
            flush=True,
        )
        told = json.loads(relay.stdout.readline())
        sink_key.save(Path(directory))
        under_load = RelayUnderLoad(
            born_unix_us, told["port"], bytes.fromhex(told["pin"]), NETWORK_ID, identity.public_key().public_bytes_raw(), 0, Path(directory), (0,) * SINKS, circuits,
            boxes=False, spread=spread,
        )  # fmt: skip
        with loading(under_load) as load:
            yield EngineUnderLoad(relay, load, sink_key.pin, realtime=told["realtime"])


def measure(circuits: int, seconds: float, *, spread: bool, busy: bool = False) -> dict[str, Any]:
    """Return the figures of one run. spread: as RelayUnderLoad has it. busy: with every core but the relay's in use."""
    with engine_under_load(circuits, spread=spread) as engine, contextlib.ExitStack() as stack:
        # What grows with the first circuits only (links, buffers, the interpreter's first handshakes) is not counted for a circuit.
        few = min(circuits, 100)
        engine.build(0, few)
        few_kb = memory_kb(engine.pid)
        engine.build(few, circuits - few)
        if busy:
            stack.enter_context(other_core_busy(engine.pid))
        time.sleep(SETTLE_S)
        interval, gained, counters = engine.run(seconds)
        return {
            "circuits": circuits,
            **interval.figures(),
            "circuit_kb": (memory_kb(engine.pid) - few_kb) / (circuits - few) if circuits > few else None,
            "realtime": engine.realtime,
            "tick_late_p50_us": counters["tick_late_p50_us"],
            "tick_late_p99_us": counters["tick_late_p99_us"],
            "turns_per_s": gained["turns"] / interval.seconds,
            "filled": gained["filled"],
            "cells_per_receive": gained["link_cells_in"] / gained["receives"],
        }


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuits", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--phases", choices=["aligned", "spread"], default="aligned")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
    else:
        print(json.dumps(measure(given.circuits, given.seconds, spread=given.phases == "spread", busy=given.busy)))


if __name__ == "__main__":
    main()
