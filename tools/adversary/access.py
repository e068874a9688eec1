"""Test (a): idle against call on an access link of a real box, in windows of two seconds, both directions; and (f): datagrams that are on no list.

Twelve boxes, one circuit each; a coin for each pair and block says whether it calls. Learnt on one run, tested on another. In the same runs, under the same capture,
four more pairs leak on purpose: no chaff; 200 us and 20 us of work before every second real cell is sent (which the engine does 1 ms ahead).
Boxes make no dummies here: an attacker who took them for idle would miss more.
The same for probes against calls (a_probe): the twelve boxes probe where they do not call; those that leak on purpose are idle then, as before.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.adversary.attackers import PORTFOLIO, timing_features
from tools.adversary.live import BETWEEN, CELL_OCTETS, WINDOW_S, LabNetwork, Observed, lab_network, observe, restart, sort_wire
from tools.adversary.result import Result
from tools.adversary.statistics import Comparison, Control, auc, compare, limit, permutation_p
from voicebox.demo.capture import Capture

NAME, TITLE = "a", "idle against call on an access link"
PROBE_NAME, PROBE_TITLE = "a_probe", "probe against call on an access link"
CLEAN = tuple(f"box{index}" for index in range(12))
LEAKS = {"chaff_off": ("chaff1", "chaff2"), "work=200": ("late1", "late2"), "work=20": ("slow1", "slow2", "slow3", "slow4")}
BOXES = (*CLEAN, *(name for pair in LEAKS.values() for name in pair))
TOLD = {name: leak for leak, pair in LEAKS.items() for name in pair}
BLOCKS_STRICT, BLOCKS_QUICK = ((20, 20), (40, 20)), ((2, 24), (8, 24))
"""Blocks and their seconds, to learn and to be tested: 480 windows a class are tested in quick mode, 1 920 in the strict one."""
LIMIT_STRICT, LIMIT_QUICK = 0.55, 0.60
SECOND_US = 1_000_000

Window = tuple[int, str, int, list[float]]
"""Whether in a call, the box, the block, the features."""


def windows(observed: Observed, boxes: tuple[str, ...]) -> list[Window]:
    """Cut the windows of some boxes; blocks whose call was none are left out."""
    cut: list[Window] = []
    for box in boxes:
        for block, label in enumerate(observed.labels[box]):
            if label is None:
                continue
            for place_us in observed.windows_us:
                begin_us = observed.block_s * SECOND_US * block + place_us
                features: list[float] = []
                for up in (True, False):
                    times = observed.access[box, up]
                    first, last = (bisect_left(times, edge) for edge in (begin_us, begin_us + WINDOW_S * SECOND_US))
                    features += timing_features(times[first:last])
                cut.append((int(label), box, block, features))
    return cut


def score(train: list[Window], examined: list[Window], name: str, chance: random.Random) -> Comparison:
    """Train a learner on one run, score the other; p by permuting whole blocks."""
    learnt = PORTFOLIO[name]([features for *_, features in train], [label for label, *_ in train])
    rated = [(label, box, block, learnt(features)) for label, box, block, features in examined]
    slots: dict[tuple[str, int], tuple[int, list[float]]] = {}
    for label, box, block, value in rated:
        slots.setdefault((box, block), (label, []))[1].append(value)
    p = permutation_p(list(slots.values()), 300, chance)
    return compare(name, [v for label, *_, v in rated if label], [v for label, *_, v in rated if not label], p=round(p, 4))


def by_box(train: list[Window], examined: list[Window]) -> dict[str, float]:
    """Leave one box out: learn from the others, score it."""
    found = {}
    for box in CLEAN:
        others, own = [window for window in train if window[1] != box], [window for window in examined if window[1] == box]
        learnt = PORTFOLIO["boosted stumps"]([features for *_, features in others], [label for label, *_ in others])
        positive, negative = ([learnt(features) for label, *_, features in own if label == wanted] for wanted in (1, 0))
        if positive and negative:
            found[box] = round(auc(positive, negative), 4)
    return found


def tests(seed: int, *, strict: bool) -> tuple[Result, Result, Result]:
    """Run tests (a) and (f) on one network; (f) once more for boxes that crash."""
    blocks = BLOCKS_STRICT if strict else BLOCKS_QUICK
    with tempfile.TemporaryDirectory(prefix="voicebox-lab-") as folder:
        directory = Path(folder)
        _route_everything()
        boot = Capture(directory / "boot.pcap")
        boot.start()
        with lab_network(directory / "network", BOXES, TOLD) as network:
            boot.stop()
            train, examined = (observe(network, directory, *count, seed + at) for at, count in enumerate(blocks))
            beside, crashed = Observed(), Observed()
            sort_wire(network, directory / "boot.pcap", beside)
            late = _late(network)
            events = _relays_go(network, directory, beside), _boxes_crash(network, directory, crashed)
            resolver, keeperless = _resolver(network, directory), _crashes_without_keeper(network, directory)
    calls = 2 * (train.calls + examined.calls)
    what = "a program that looks a name up"
    # The second attacker knows no list: it sees addresses to which nothing was sent before, and a protocol that no box had spoken before.
    to_new = bool(resolver.targets - {target for each in (train, examined, beside, crashed) for target in each.targets})
    asks = [Control(what, float(bool(resolver.other)), 1.0), Control(f"{what}, second attacker", float(to_new), 1.0)]
    what, answers = "a box that crashes after its keeper", keeperless.other.get("IP protocol 1", 0)
    crashes = [Control(what, float(bool(keeperless.other)), 1.0), Control(f"{what}, second attacker", float(answers > 10 and not train.other), 1.0)]
    return (
        _compared(train, examined, seed, strict=strict, late=late),
        _list("f", "datagrams of running boxes that are on no list", [train, examined, beside], events[0] + calls + len(BOXES), asks, seed),
        _list("f_crash", "the same where a box crashes", [crashed], events[1], crashes, seed),
    )


def probe_tests(seed: int, *, strict: bool) -> list[Result]:
    """Run test (a) for probes, on a network of its own."""
    with tempfile.TemporaryDirectory(prefix="voicebox-lab-") as folder:
        directory = Path(folder)
        with lab_network(directory / "network", BOXES, TOLD) as network:
            blocks = BLOCKS_STRICT if strict else BLOCKS_QUICK
            train, examined = (observe(network, directory, *count, seed + at, CLEAN) for at, count in enumerate(blocks))
            late = _late(network)
    return [_compared(train, examined, seed, strict=strict, late=late, probes=True)]


def _late(network: LabNetwork) -> dict[str, Any]:
    return {name: ((network.status(network.boxes[name]) or {}).get("engine") or {}).get("tick_late_p99_us") for name in CLEAN}


def _compared(train: Observed, examined: Observed, seed: int, *, strict: bool, late: dict[str, Any], probes: bool = False) -> Result:
    """Return calls against what is beside them: idle, or with `probes` probes."""
    chance = random.Random(seed)
    learn, clean = windows(train, CLEAN), windows(examined, CLEAN)
    comparisons = [score(learn, clean, name, chance) for name in PORTFOLIO]
    controls = []
    needed = {"chaff_off": ("chaff off", 0.99), "work=200": ("200 us of work before every second real cell", 0.95), "work=20": ("20 us of the same", 0.80)}
    for leak, pair in LEAKS.items():
        name, at_least = needed[leak]
        for who, attacker in (("", "boosted stumps"), (", second attacker", "logistic regression")):
            found = score(windows(train, pair), windows(examined, pair), attacker, chance)
            controls.append(Control(name + who, found.auc, at_least))
    n = comparisons[0].n
    counts = {(round(w[3][0]), round(w[3][len(w[3]) // 2])) for w in clean}
    others = {name: (train.lengths[name] | examined.lengths[name]) - {CELL_OCTETS} for name in (*BOXES, BETWEEN)}
    also = {
        "one length on every link": not any(others[name] for name in (*CLEAN, BETWEEN)),  # the others' links end where they are silent on purpose
        "100 datagrams in two seconds, give or take one": all(99 <= count <= 101 for pair in counts for count in pair),
        "the capture lost nothing": train.dropped + examined.dropped == 0,
    }
    bound = max(LIMIT_STRICT if strict else LIMIT_QUICK, limit(*n, len(comparisons)) if strict else 0)
    more = {
        "calls": train.calls + examined.calls,
        "calls that were none": dict(train.faults + examined.faults),
        "other lengths": {name: sorted(lengths) for name, lengths in others.items() if lengths},
        "leave one box out": by_box(learn, clean),
        "late": late,
    }
    box = CLEAN[0]
    gaps = {
        label: [b - a for block, called in enumerate(examined.labels[box]) if called is wanted for a, b in _gaps(examined, box, block)]
        for label, wanted in (("probe" if probes else "idle", False), ("call", True))
    }
    name, title = (PROBE_NAME, PROBE_TITLE) if probes else (NAME, TITLE)
    return Result(name, title, seed, bound, comparisons, controls, also=also, more=more, plots={"gaps": gaps})


def _gaps(observed: Observed, box: str, block: int) -> list[tuple[float, float]]:
    times, block_us, places = observed.access[box, True], observed.block_s * SECOND_US * block, observed.windows_us
    first, last = (bisect_left(times, block_us + edge) for edge in (places.start, places.stop))
    return list(zip(times[first:last], times[first + 1 : last], strict=False))


# ---------------------------------------------------------------------------------------------------------------- (f)


def _route_everything() -> None:
    """Let what is sent to any address leave by the loopback, so that the capture sees it."""
    subprocess.run(["ip", "route", "replace", "default", "dev", "lo"], check=True)
    subprocess.run(["ip", "-6", "route", "replace", "default", "dev", "lo"], check=False, capture_output=True)


def _captured(network: LabNetwork, pcap: Path, observed: Observed, events: Callable[[], int]) -> int:
    """Capture while events happen, and sort what came; return how many events that were."""
    capture = Capture(pcap)
    capture.start()
    try:
        happened = events()
    finally:
        capture.stop()
    sort_wire(network, pcap, observed)
    return happened


def _relays_go(network: LabNetwork, directory: Path, observed: Observed) -> int:
    """Let a guard and a junction be gone for a while, so that boxes are refused by ICMP, try again, and build anew."""

    def events() -> int:
        restart(network, network.relays["guard-1"], signal.SIGKILL, 6.0)
        restart(network, network.relays["junction-1"], signal.SIGKILL, 2.0)
        time.sleep(10)
        return 4

    return _captured(network, directory / "relays.pcap", observed, events)


def _boxes_crash(network: LabNetwork, directory: Path, observed: Observed) -> int:
    """Let boxes crash and start again at once."""

    def events() -> int:
        for name in CLEAN[:3]:
            restart(network, network.boxes[name], signal.SIGKILL, 0.5)
        time.sleep(6)
        return 6

    return _captured(network, directory / "crashes.pcap", observed, events)


def _crashes_without_keeper(network: LabNetwork, directory: Path) -> Observed:
    """Return what is seen of a box that crashes when the keeper of its ports has ended: the control."""

    def events() -> int:
        node = network.boxes[CLEAN[3]]
        assert node.process is not None
        own = _sockets(Path("/proc", str(node.process.pid)))
        for each in Path("/proc").glob("[0-9]*"):
            if each.name != str(node.process.pid) and own & _sockets(each):
                os.kill(int(each.name), signal.SIGKILL)
        restart(network, node, signal.SIGKILL, 0.5)
        time.sleep(1)
        return 2

    observed = Observed()
    _captured(network, directory / "keeperless.pcap", observed, events)
    return observed


def _sockets(process: Path) -> set[str]:
    """Return which sockets a process has open, as the kernel numbers them."""
    found = set[str]()
    with contextlib.suppress(OSError):  # a process that is gone, or is somebody else's
        for each in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(each.readlink()))
    return {name for name in found if name.startswith("socket:")}


def _resolver(network: LabNetwork, directory: Path) -> Observed:
    """Return what is seen of a program that looks a name up: the control."""

    def events() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(bytes.fromhex("123401000001000000000000036e6e7301610000010001"), ("192.0.2.53", 53))
        subprocess.run([sys.executable, "-c", "import socket\ntry: socket.getaddrinfo('guard.example', 1)\nexcept OSError: pass"], check=False, timeout=30)
        time.sleep(0.3)
        return 1

    observed = Observed()
    _captured(network, directory / "resolver.pcap", observed, events)
    return observed


def _list(name: str, title: str, seen: list[Observed], events: int, controls: list[Control], seed: int) -> Result:
    others: dict[str, int] = {}
    for each in seen:
        for kind, count in each.other.items():
            others[kind] = others.get(kind, 0) + count
    also = {"no datagram that is on no list": not others}
    more = {"events": events, "others": others, "upper bound of the share of events": round(3 / events, 4)}
    return Result(name, title, seed, 0.0, controls=controls, also=also, more=more)
