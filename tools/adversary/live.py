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
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.adversary.world import ROOT, WORKSPACE
from voicebox.demo.capture import Capture
from voicebox.demo.network import EmbeddedNetwork, Node, Plan

WINDOW_S = 2
MARGIN_S = 2
"""At the begin and the end of a block calls are set up and end: no windows are cut there."""
CELL_OCTETS = 278
HEADER_OCTETS = 42
"""Of Ethernet, IPv4 without options, and UDP."""
Octets = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
READY_TIMEOUT_S = 120.0
BETWEEN = "between relays"


NO_DUMMIES = """# Made by tools/adversary/live.py: boxes of the lab begin no dummies, because a dummy in a window that is called idle hides a leak from the attacker,
# and answer more probes than anybody wants to make.
from voicebox.circuits import dummies
from voicebox.probe import limits
dummies.Dummies._wait_us = lambda self: 2**60
limits.AN_HOUR = 10_000
"""


def test_engine() -> Path:
    """Build the engine with the lab's feature; return a directory that, first on the path of modules, has it in place of the shipped one, and has no dummies."""
    command = ["cargo", "build", "--manifest-path", str(WORKSPACE / "Cargo.toml"), "--release", "--locked", "--quiet", "-p", "voicebox-py", "--features", "lab"]
    subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(WORKSPACE / "target")})
    site = ROOT / "build" / "lab-site"
    shutil.rmtree(site, ignore_errors=True)
    (site / "voicebox").mkdir(parents=True)
    for each in (ROOT / "voicebox").iterdir():
        if not each.name.startswith("_relay.") or each.suffix == ".pyi":
            (site / "voicebox" / each.name).symlink_to(each)
    (site / "sitecustomize.py").write_text(NO_DUMMIES, "utf-8")
    shutil.copy(WORKSPACE / "target" / "release" / "lib_relay.so", site / "voicebox" / "_relay.abi3.so")
    return site


class LabNetwork(EmbeddedNetwork):
    """The embedded network with more boxes, in pairs: only pairs are contacts. leaks: what single boxes are told."""

    def __init__(self, directory: Path, boxes: tuple[str, ...], leaks: Mapping[str, str]) -> None:
        super().__init__(directory, Plan(boxes=boxes, profile="dsl"))
        site, cores = test_engine(), sorted(os.sched_getaffinity(0))
        # The two boxes of a call stand on machines of their own: what one does for the call must not make the other one late.
        for index, node in enumerate(self.boxes.values()):
            node.wrapper = ("taskset", "-c", str(cores[index % 2 % len(cores)]))
        for name, node in {**self.relays, **self.boxes}.items():
            node.environment.update({"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1", "VOICEBOX_LAB": leaks.get(name, "")})

    def put_relays_first(self) -> None:
        """Let the engines of relays go before those of boxes, as on machines of their own: else a box's call makes its guard late, which it shares no machine with."""
        for node in self.relays.values():
            assert node.process is not None
            for thread in Path(f"/proc/{node.process.pid}/task").iterdir():
                number = int(thread.name)
                if os.sched_getscheduler(number) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
                    os.sched_setscheduler(number, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(os.sched_getparam(number).sched_priority + 1))

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
        network.put_relays_first()
        yield network
    finally:
        network.stop()


@dataclass
class Observed:
    """One run, in blocks of block_s. access: departures in us by (box, up); labels: for each box and block whether it was in a call; faults: calls that were none, by caller; other: datagrams that are
    on no list, by kind; lengths: sizes seen on links, of a box's with its guards and between relays; targets: addresses to which UDP was sent."""

    block_s: int = 0
    access: dict[tuple[str, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[str, list[bool | None]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    other: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lengths: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    targets: set[bytes] = field(default_factory=set)
    dropped: int = 0

    @property
    def windows_us(self) -> range:
        """Return where in a block windows begin."""
        return range(MARGIN_S * 1_000_000, (self.block_s - MARGIN_S) * 1_000_000, WINDOW_S * 1_000_000)


def observe(network: LabNetwork, directory: Path, blocks: int, block_s: int, seed: int, probing: Collection[str] = ()) -> Observed:
    """Let pairs call in half of the blocks, drawn for each pair, and record everything. probing: callers whose box probes the other in the other half."""
    chance, boxes = random.Random(seed), network.plan.boxes
    planned: list[dict[str, Any]] = []
    labels: dict[str, list[bool]] = {}
    for caller, callee in zip(boxes[::2], boxes[1::2], strict=True):
        called = set(chance.sample(range(blocks), blocks // 2))
        labels[caller] = labels[callee] = [block in called for block in range(blocks)]
        for block in range(blocks) if caller in probing else sorted(called):
            begin_s = block_s * block + chance.uniform(0, 0.5)
            probe, end_s = "" if block in called else str(network.boxes[caller].home), block_s * (block + 1) - chance.uniform(0.8, 1.2)
            planned.append({"caller": caller, "callee": callee, "begin_s": begin_s, "end_s": end_s, "block": block, "probe": probe})
    schedule = {"accounts": [network.account(name) for name in boxes], "blocks": planned, "seconds": block_s * blocks}
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
            timeout=block_s * blocks + 60,
        )
    finally:
        counts = capture.stop()
    happened = json.loads(done.stdout)
    observed = Observed(block_s, labels={name: list(each) for name, each in labels.items()}, calls=len(planned), dropped=counts.dropped)
    for made, outcome in zip(planned, happened["outcomes"], strict=True):
        if not outcome["answered"] or outcome["heard"] < 50:
            observed.faults[made["caller"]] += 1
            for name in (made["caller"], made["callee"]):
                observed.labels[name][made["block"]] = None
    sort_wire(network, pcap, observed, happened["origin_ns"])
    pcap.unlink()
    return observed


def sort_wire(network: LabNetwork, pcap: Path, observed: Observed, origin_ns: int = 0) -> None:
    """Sort a capture into access links, what is allowed beside them, and the rest. What the hosts of relays send is not a box's affair."""
    plan = network.plan
    boxes = {_number(plan.box_address(name)): name for name in plan.boxes}
    listening = [(_number(plan.relay_address(name).address), plan.relay_address(name).port) for name in network.relays]
    relays, phone = np.array([address for address, _ in listening]), _number("127.0.0.1")
    whole = pcap.read_bytes()
    octets = np.frombuffer(whole, dtype=np.uint8)
    places, captured = _records(whole)
    head = octets[np.minimum(places[:, None] + np.arange(16 + HEADER_OCTETS), len(octets) - 1)]
    is_udp = (captured >= HEADER_OCTETS) & (_field(head, 28, 2) == 0x0800) & (head[:, 39] == 17)
    for place, length in zip(places[~is_udp], captured[~is_udp], strict=True):
        frame = octets[place + 16 : place + 16 + length].tobytes()
        if not _is_gossip(frame, listening) and not _is_elsewhere(frame, {int(address).to_bytes(4, "big") for address in relays}, phone.to_bytes(4, "big")):
            observed.other[_kind(frame)] += 1
    head, places = head[is_udp], places[is_udp]
    source, target = _field(head, 42, 4), _field(head, 46, 4)
    keys = np.array([address << 16 | port for address, port in listening])
    up, down = np.isin(target << 16 | _field(head, 52, 2), keys), np.isin(source << 16 | _field(head, 50, 2), keys)
    stamps = head[:, :8].copy().view("<u4").astype(np.int64)
    times_us = ((stamps[:, 0] - origin_ns // 10**9) * 10**9 + stamps[:, 1] - origin_ns % 10**9) / 1_000
    from_box, to_box = np.isin(source, list(boxes)) & up, np.isin(target, list(boxes)) & down
    between = np.isin(source, relays) & np.isin(target, relays) & (up | down)
    lengths = _field(head, 54, 2) - 8
    observed.lengths[BETWEEN].update(np.unique(lengths[between]).tolist())
    for address, name in boxes.items():
        leaves, comes = from_box & (source == address), to_box & (target == address)
        observed.access[name, True] += times_us[leaves].tolist()
        observed.access[name, False] += times_us[comes & ~from_box].tolist()
        observed.lengths[name].update(np.unique(lengths[leaves | comes]).tolist())
    observed.targets |= {int(address).to_bytes(4, "big") for address in np.unique(target)}
    near = [*boxes, phone]
    at_home = np.isin(source, near) & np.isin(target, near) & ((source == phone) | (target == phone))
    if elsewhere := int((~(from_box | to_box | between | np.isin(source, relays) | at_home)).sum()):
        observed.other["UDP, not on the list"] += elsewhere


def _records(whole: bytes) -> tuple[Numbers, Numbers]:
    """Return where each record of a pcap file begins, and how many octets of its frame were captured."""
    places, lengths, position = [], [], 24
    while position + 16 <= len(whole):
        captured = int.from_bytes(whole[position + 8 : position + 12], sys.byteorder)
        places.append(position)
        lengths.append(captured)
        position += 16 + captured
    return np.array(places, dtype=np.int64), np.array(lengths, dtype=np.int64)


def _field(head: Octets, begin: int, octets: int) -> Numbers:
    """Return a big-endian field of each record; its header of 16 octets is counted."""
    value = np.zeros(len(head), dtype=np.int64)
    for place in range(begin, begin + octets):
        value = value << 8 | head[:, place]
    return value


def _number(address: str) -> int:
    return int.from_bytes(socket.inet_aton(address), "big")


def _is_elsewhere(frame: bytes, relay_addresses: set[bytes], phone: bytes) -> bool:
    """Say whether a frame was sent by a relay's host, or stays between box and phone."""
    source, target = bytes(frame[26:30]), bytes(frame[30:34])
    return bytes(frame[12:14]) == b"\x08\x00" and (source in relay_addresses or phone in (source, target))


def _is_gossip(frame: bytes, listening: list[tuple[int, int]]) -> bool:
    """Say whether a frame is of TCP to where a relay listens: a box that fetches the list (PROTOCOL.md §10.6)."""
    to = int.from_bytes(frame[30:34], "big"), int.from_bytes(frame[36:38], "big")
    return bytes(frame[12:14]) == b"\x08\x00" and bytes(frame[23:24]) == b"\x06" and to in listening


def _kind(frame: bytes) -> str:
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
