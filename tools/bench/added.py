"""What a relay adds to a cell's way: time of leaving minus time of arrival minus the de-jitter step, from a capture. [io]

The relay is a guard as users run it (guard.py), with phases spread over the slot. Cells cannot be told apart on the wire; but a link keeps their order, so the
n-th datagram of a link in the capture is the n-th cell of the journal that the load writes (relay/node/examples/relay_load/journal.rs).

    python -m tools.bench.added [--circuits N] [--seconds S]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.guard import make_guard
from tools.bench.load import FIRST_BEHIND, loading
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.measure import NS_PER_MS
from voicebox.probe.figures import percentile

DATAGRAM_OCTETS = 278
STEP_MS = 5.0
"""D of PROTOCOL.md §5.3, as a relay tells it with `settled`."""
SLOT_MS = 20.0
SETTLE_S = 2.0
MIN_JOINED_SHARE = 0.99
"""Of the cells sent while it is measured, at least so many must be found again."""

CELL = struct.Struct("<IIII")
Cell = tuple[int, int, int, int]
"""Link, circuit, slot, when the load had it (us, modulo 2^32), as the journal has them; circuits behind the relay have the number of the one before plus FIRST_BEHIND - 1."""


def parse_journal(octets: bytes) -> list[list[Cell]]:
    """Return the four journals: sent by the peers, got by the sinks, sent by the sinks, got by the peers. Raises ValueError."""
    journals, position = [], 0
    for _ in range(4):
        if position + 4 > len(octets):
            raise ValueError("the journal was cut off")
        (count,) = struct.unpack_from("<I", octets, position)
        position += 4
        if position + CELL.size * count > len(octets):
            raise ValueError("the journal was cut off")
        journals.append(list(CELL.iter_unpack(octets[position : position + CELL.size * count])))
        position += CELL.size * count
    return journals


def by_link(cells: Iterable[Cell]) -> dict[int, list[tuple[int, int]]]:
    """Return the circuits and slots of each link, in their order."""
    links: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for link, circuit, slot, _ in cells:
        links[link].append((circuit, slot))
    return links


def stamp(flows: Mapping[int, Sequence[int]], links: Mapping[int, Sequence[tuple[int, int]]]) -> dict[tuple[int, int], int]:
    """Return when the cell of a circuit and slot was seen, in ns. flows: times of the datagrams of each link.

    Raises ValueError where a link has another number of datagrams than of cells: then the n-th of one is not the n-th of the other. What came after the journal
    was written are the last few datagrams, so those may be more.
    """
    times: dict[tuple[int, int], int] = {}
    for link, cells in links.items():
        stamps = flows.get(link, ())
        if not len(cells) <= len(stamps) <= len(cells) + len(cells) // 20 + 100:
            raise ValueError(f"{len(stamps)} datagrams of a link in the capture and {len(cells)} cells in the journal")
        for cell, seen_ns in zip(cells, stamps, strict=False):
            times.setdefault(cell, seen_ns)
    return times


def added_ms(arrivals: Mapping[tuple[int, int], int], leavings: Mapping[tuple[int, int], int], shift: int, after_ns: int) -> tuple[list[float], list[float]]:
    """Return what was added to each cell that arrived after a time, and how long after its due time it left.

    shift: what is added to the number of an arriving circuit to have that of the leaving one. Due is counted from the earliest arrival of the circuit, relative to its
    slot, in all of the capture; so the second has the relay's grid and measuring in it, and not how late the load was.
    """
    earliest: dict[int, float] = {}
    for (circuit, slot), arrived in arrivals.items():
        if arrived >= after_ns:
            start = arrived / NS_PER_MS - SLOT_MS * slot
            earliest[circuit] = min(earliest.get(circuit, start), start)
    added, after_due = [], []
    for (circuit, slot), arrived in arrivals.items():
        left = leavings.get((circuit + shift, slot))
        if arrived >= after_ns and left is not None:
            added.append((left - arrived) / NS_PER_MS - STEP_MS)
            after_due.append(left / NS_PER_MS - SLOT_MS * slot - earliest[circuit] - STEP_MS)
    return added, after_due


class Wire:
    """The times of the cells of each link in a capture, by the number of the link."""

    def __init__(self, wire: Iterable[Datagram], relay_port: int, sink_ports: Sequence[int]) -> None:
        sinks = {port: number for number, port in enumerate(sink_ports)}
        boxes: dict[int, int] = {}
        self.from_boxes: dict[int, list[int]] = defaultdict(list)
        self.to_boxes: dict[int, list[int]] = defaultdict(list)
        self.from_sinks: dict[int, list[int]] = defaultdict(list)
        self.to_sinks: dict[int, list[int]] = defaultdict(list)
        for time_ns, _, source, destination, payload in wire:
            if destination.port == relay_port:
                # Boxes connect one after the other, in the order of their numbers.
                boxes.setdefault(source.port, len(boxes))
            # DTLS records begin with 001 (RFC 9147 §4); hellos and cookies do not.
            if len(payload) != DATAGRAM_OCTETS or payload[0] >> 5 != 1:
                continue
            if destination.port == relay_port:
                self.from_boxes[boxes[source.port]].append(time_ns)
            elif source.port == relay_port and destination.port in boxes:
                self.to_boxes[boxes[destination.port]].append(time_ns)
            elif source.port in sinks:
                self.from_sinks[sinks[source.port]].append(time_ns)
            elif destination.port in sinks:
                self.to_sinks[sinks[destination.port]].append(time_ns)


def read(wire: Wire, journals: Sequence[Sequence[Cell]], after_ns: int) -> dict[str, Any]:
    """Return the figures of a run. Raises ValueError where the capture does not have the journals' cells."""
    sent, got, back_sent, back_got = (
        stamp(flows, by_link(journal))
        for flows, journal in zip((wire.from_boxes, wire.to_sinks, wire.from_sinks, wire.to_boxes), journals, strict=True)
    )  # fmt: skip
    forward, forward_due = added_ms(sent, got, FIRST_BEHIND - 1, after_ns)
    backward, backward_due = added_ms(back_sent, back_got, 1 - FIRST_BEHIND, after_ns)
    arrived = sum(stamped >= after_ns for stamped in (*sent.values(), *back_sent.values()))
    both, both_due = forward + backward, forward_due + backward_due
    if len(both) < MIN_JOINED_SHARE * arrived:
        raise ValueError(f"only {len(both)} of {arrived} cells were found again")
    return {
        "cells": len(both),
        "p50": percentile(both, 0.5),
        "p99": percentile(both, 0.99),
        "forward_p50": percentile(forward, 0.5),
        "backward_p50": percentile(backward, 0.5),
        "after_earliest_p50": percentile(both_due, 0.5),
        "after_earliest_p99": percentile(both_due, 0.99),
    }


def measure(circuits: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one run with phases spread over the slot."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        guard = make_guard(directory)
        relay = guard.under_load(circuits, spread=True, log=True)
        capture = Capture(directory / "relay.pcap")
        with guard.run(), capture:
            with loading(relay) as load:
                load.build(guard.sink_ids.__getitem__)
                time.sleep(SETTLE_S)
                after_ns = time.time_ns()
                time.sleep(seconds)
                load.write_log(directory / "journal")
            counts = capture.stop()
        if counts.dropped or counts.unwritten:
            raise RuntimeError("the capture lost datagrams")
        wire = Wire(load_capture(directory / "relay.pcap"), relay.port, guard.sink_ports)
        return {"circuits": circuits, "step_ms": STEP_MS, **read(wire, parse_journal((directory / "journal").read_bytes()), after_ns)}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuits", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    print_apart(lambda: measure(given.circuits, given.seconds))


if __name__ == "__main__":
    main()
