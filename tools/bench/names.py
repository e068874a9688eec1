"""Questions a second that the name server answers on one core, beside dnslib's own server with one fixed answer. [io]

Each server is a process of its own, with its own CPU time; a client on another core keeps so many questions under way over UDP on loopback. Three of four are for contacts and
hosts under them, in letters of drawn case as resolvers write them (0x20), so that no answer is in memory; the others for nobody. `per_core`: how many a core has time for.

    python -m tools.bench.names [--seconds S]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any

from dnslib import QTYPE, RR, A, DNSLabel, DNSQuestion, DNSRecord
from dnslib.server import BaseResolver, DNSServer

from tools.bench.process import running
from voicebox.config.model import Endpoint
from voicebox.naming.server import NameServer
from voicebox.naming.virtual import new_addresses
from voicebox.naming.zone import Zone

CONTACTS, HOSTS, QUESTIONS, UNDER_WAY = 60, 20, 2_000, 32
SECONDS = 5.0
TIMEOUT_S = 5.0
SEED = 7
MODULE = "tools.bench.names"


def questions(seed: int) -> list[bytes]:
    """Return what is asked, one after the other."""
    draws = random.Random(seed)
    found = []
    for _ in range(QUESTIONS):
        host = f"host{draws.randrange(HOSTS)}." if draws.random() < 0.5 else ""
        petname = f"contact{draws.randrange(CONTACTS)}" if draws.random() < 0.75 else f"nobody{draws.randrange(1_000)}"
        name = "".join(draws.choice((letter.lower(), letter.upper())) for letter in f"{host}{petname}.privacy")
        label = DNSLabel(tuple(part.encode() for part in name.split(".")))
        found.append(bytes(DNSRecord(q=DNSQuestion(label, draws.choice((QTYPE.A, QTYPE.AAAA)))).pack()))
    return found


class _Fixed(BaseResolver):  # type: ignore[misc]  # dnslib is published without types
    def resolve(self, request: Any, _handler: Any) -> Any:
        """Answer all alike."""
        reply = request.reply()
        reply.add_answer(RR(request.q.qname, QTYPE.A, ttl=30, rdata=A("198.18.0.1")))
        return reply


async def _serve_ours(port: int) -> None:
    zone = Zone(("privacy",), new_addresses(bytes(5), random.Random(SEED).randrange), None)
    zone.use(frozenset(f"contact{number}" for number in range(CONTACTS)), loopback=False)
    await NameServer(zone).start([Endpoint("127.0.0.1", port)])
    print("ready", flush=True)
    await asyncio.Event().wait()


def _serve_reference(port: int) -> None:
    server = DNSServer(_Fixed(), port=port, address="127.0.0.1", logger=type("Quiet", (), {"__getattr__": lambda *_: lambda *_: None})())
    server.start_thread()
    print("ready", flush=True)
    while True:
        time.sleep(1)


def _ask(port: int, seconds: float) -> tuple[int, float]:
    """Keep questions under way; return how many were answered, and in how many seconds."""
    asked = questions(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(TIMEOUT_S)
        asker.connect(("127.0.0.1", port))
        for octets in asked[:UNDER_WAY]:
            asker.send(octets)
        begin, answered = time.monotonic(), 0
        while (now := time.monotonic()) < begin + seconds:
            asker.recv(512)
            answered += 1
            asker.send(asked[answered % QUESTIONS])
        return answered, now - begin


def _cpu_s(pid: int) -> float:
    """CPU time of a process so far, with that of threads that ended: dnslib's server has one for each question."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_server(kind: str, seconds: float) -> dict[str, float]:
    """Return figures of one server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running([sys.executable, "-m", MODULE, "--serve", kind, "--port", str(port)]) as server:
        assert server.stdout is not None
        server.stdout.readline()
        _ask(port, 0.5)  # names get their addresses once
        before = _cpu_s(server.pid)
        answered, took_s = _ask(port, seconds)
        cpu = _cpu_s(server.pid) - before
    return {"rate": round(answered / took_s), "cpu_us": round(cpu / answered * 1e6, 1), "per_core": round(answered / cpu)}


def main() -> None:
    """Serve, or measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--serve", choices=("ours", "reference"))
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    match args.serve:
        case "ours":
            asyncio.run(_serve_ours(args.port))
        case "reference":
            _serve_reference(args.port)
        case _:
            print(json.dumps({"under_way": UNDER_WAY, **{kind: of_server(kind, args.seconds) for kind in ("ours", "reference")}}))


if __name__ == "__main__":
    main()
