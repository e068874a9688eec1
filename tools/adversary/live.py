"""A real network for tests (a) and (f): daemons, links and phones as processes of their own, captured by the kernel. [io]

The engine is that of a test build (cargo feature `lab`); what leaks on purpose is said by the environment of single boxes (`VOICEBOX_LAB`), so that clean boxes
and controls are one binary, in one run, under one capture.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.adversary.world import ROOT, WORKSPACE
from voicebox.demo.capture import Capture
from voicebox.demo.network import EmbeddedNetwork, Node, Plan

BLOCK_S = 20
WINDOW_S = 2
WINDOWS = range(2, 18, WINDOW_S)
"""Where in a block the windows begin; before and after, calls are set up and end."""
CELL_OCTETS = 278
READY_TIMEOUT_S = 120.0


def test_engine() -> Path:
    """Build the engine with the lab's feature; return a directory that, first on the path of modules, has it in place of the shipped one."""
    command = ["cargo", "build", "--manifest-path", str(WORKSPACE / "Cargo.toml"), "--release", "--locked", "--quiet", "-p", "voicebox-py", "--features", "lab"]
    subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(WORKSPACE / "target")})
    site = ROOT / "build" / "lab-site"
    shutil.rmtree(site, ignore_errors=True)
    (site / "voicebox").mkdir(parents=True)
    for each in (ROOT / "voicebox").iterdir():
        if not each.name.startswith("_relay.") or each.suffix == ".pyi":
            (site / "voicebox" / each.name).symlink_to(each)
    shutil.copy(WORKSPACE / "target" / "release" / "lib_relay.so", site / "voicebox" / "_relay.abi3.so")
    return site


class LabNetwork(EmbeddedNetwork):
    """The embedded network with more boxes, in pairs: only pairs are contacts. leaks: what single boxes are told."""

    def __init__(self, directory: Path, boxes: tuple[str, ...], leaks: Mapping[str, str]) -> None:
        super().__init__(directory, Plan(boxes=boxes, profile="dsl"))
        site = test_engine()
        for name, node in {**self.relays, **self.boxes}.items():
            node.environment.update({"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "VOICEBOX_LAB": leaks.get(name, "")})

    def peer(self, name: str) -> str:
        """Return the other box of a pair."""
        boxes = self.plan.boxes
        return boxes[boxes.index(name) ^ 1]

    def make_contacts(self, name: str, node: Node) -> None:
        """Add the other box of the pair."""
        other = self.peer(name)
        self.voicebox("contact", "add", other, str(self.directory / f"{other}.card"), home=node.home)

    def account(self, name: str) -> dict[str, Any]:
        """Return what the scripted phone of a box needs."""
        login, own = self.login(name), self.plan.phone_sip(name)
        return {"name": name, "box": [login.host, login.port], "user": login.user, "password": login.password.reveal().decode(), "own": list(own)}


@contextlib.contextmanager
def lab_network(directory: Path, boxes: tuple[str, ...], leaks: Mapping[str, str]) -> Iterator[LabNetwork]:
    """Run a network; every process of it ends with the context."""
    network = LabNetwork(directory, boxes, leaks)
    try:
        network.set_up()
        network.start()
        network.wait_ready(READY_TIMEOUT_S)
        yield network
    finally:
        network.stop()


@dataclass
class Observed:
    """One run. access: departures in us by (box, up); labels: for each box and block whether it was in a call; faults: calls that were none; other: datagrams that are
    on no list, by kind; lengths: sizes seen on links."""

    access: dict[tuple[str, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[str, list[bool | None]] = field(default_factory=dict)
    faults: int = 0
    calls: int = 0
    other: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lengths: set[int] = field(default_factory=set)
    dropped: int = 0


def observe(network: LabNetwork, directory: Path, blocks: int, seed: int) -> Observed:
    """Let pairs call in half of the blocks, drawn for each pair, and record everything."""
    chance, boxes = random.Random(seed), network.plan.boxes
    planned: list[dict[str, Any]] = []
    labels: dict[str, list[bool]] = {}
    for caller, callee in zip(boxes[::2], boxes[1::2], strict=True):
        called = set(chance.sample(range(blocks), blocks // 2))
        labels[caller] = labels[callee] = [block in called for block in range(blocks)]
        for block in sorted(called):
            begin_s = BLOCK_S * block + chance.uniform(0, 0.5)
            planned.append({"caller": caller, "callee": callee, "begin_s": begin_s, "end_s": BLOCK_S * (block + 1) - chance.uniform(0.8, 1.2), "block": block})
    schedule = {"accounts": [network.account(name) for name in boxes], "blocks": planned, "seconds": BLOCK_S * blocks}
    pcap = directory / f"wire-{seed}.pcap"
    capture = Capture(pcap)
    capture.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tools.adversary.phones"],
            input=json.dumps(schedule),
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            timeout=BLOCK_S * blocks + 60,
        )
    finally:
        counts = capture.stop()
    happened = json.loads(done.stdout)
    observed = Observed(labels={name: list(each) for name, each in labels.items()}, calls=len(planned), dropped=counts.dropped)
    for made, outcome in zip(planned, happened["outcomes"], strict=True):
        if not outcome["answered"] or outcome["heard"] < 50:
            observed.faults += 1
            for name in (made["caller"], made["callee"]):
                observed.labels[name][made["block"]] = None
    sort_wire(network, pcap, observed, happened["origin_ns"])
    pcap.unlink()
    return observed


def sort_wire(network: LabNetwork, pcap: Path, observed: Observed, origin_ns: int = 0) -> None:
    """Sort a capture into access links, what is allowed beside them, and the rest. What the hosts of relays send is not a box's affair."""
    plan = network.plan
    boxes = {socket.inet_aton(plan.box_address(name)): name for name in plan.boxes}
    relays = {(socket.inet_aton(plan.relay_address(name).address), plan.relay_address(name).port) for name in network.relays}
    relay_addresses, phone = {address for address, _ in relays}, socket.inet_aton("127.0.0.1")
    octets = memoryview(pcap.read_bytes())
    position, record = 24, struct.Struct("=IIII")
    while position + 16 <= len(octets):
        seconds, nanoseconds, captured, _ = record.unpack_from(octets, position)
        frame = octets[position + 16 : position + 16 + captured]
        position += 16 + captured
        if len(frame) < 42 or bytes(frame[12:14]) != b"\x08\x00" or frame[23] != 17:
            if not _is_elsewhere(frame, relay_addresses, phone):
                observed.other[_kind(frame)] += 1
            continue
        source, target = bytes(frame[26:30]), bytes(frame[30:34])
        ports = int.from_bytes(frame[34:36], "big"), int.from_bytes(frame[36:38], "big")
        length = int.from_bytes(frame[38:40], "big") - 8
        up, down = (target, ports[1]) in relays, (source, ports[0]) in relays
        at_us = ((seconds - origin_ns // 10**9) * 10**9 + nanoseconds - origin_ns % 10**9) / 1_000
        if source in boxes and up:
            observed.access[boxes[source], True].append(at_us)
            observed.lengths.add(length)
        elif target in boxes and down:
            observed.access[boxes[target], False].append(at_us)
            observed.lengths.add(length)
        elif source in relay_addresses and target in relay_addresses and (up or down):
            observed.lengths.add(length)
        elif source not in relay_addresses and not (
            (source in boxes and target == phone) or (source == phone and target in boxes) or (source == phone and target == phone)
        ):
            observed.other["UDP, not on the list"] += 1


def _is_elsewhere(frame: memoryview, relay_addresses: set[bytes], phone: bytes) -> bool:
    """Say whether a frame was sent by a relay's host, or stays between box and phone."""
    source, target = bytes(frame[26:30]), bytes(frame[30:34])
    return bytes(frame[12:14]) == b"\x08\x00" and (source in relay_addresses or phone in (source, target))


def _kind(frame: memoryview) -> str:
    """Return what a frame is that is no UDP over IPv4."""
    ether = int.from_bytes(frame[12:14], "big")
    return {0x0806: "ARP", 0x86DD: "IPv6"}.get(ether, f"IP protocol {frame[23]}" if ether == 0x0800 and len(frame) > 23 else f"type {ether:04x}")


def restart(network: LabNetwork, node: Node, sign: signal.Signals, pause_s: float) -> None:
    """End a daemon by a signal and start it again after a pause."""
    assert node.process is not None
    node.process.send_signal(sign)
    node.process.wait(10)
    time.sleep(pause_s)
    network.start_node(node)
