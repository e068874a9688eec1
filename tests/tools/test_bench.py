"""The benchmarks: a figure is never better than what was measured, and what was not measured is no figure."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bench import added, calls, guard
from tools.bench.load import FIRST_BEHIND
from tools.bench.process import memory_mb
from tools.bench.table import assemble, lines

KEYS = {
    "relay_cell_cpu_us", "reference_udp_cpu_us", "relay_added_ms", "tick_late_ms", "relay_rss_mb", "circuit_kb", "box_rss_mb", "invite_to_ringing_ms",
}  # fmt: skip
MS = 1_000_000


def _run(us: float) -> dict[str, float]:
    return {"cell_cpu_us": us, "loss": 0.0002, "tick_late_p99_us": 80, "rss_mb": 46.6, "empty_rss_mb": 44.3, "circuit_kb": 2.9, "circuit_and_link_kb": 20}


def _journal(*journals: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("<I", len(cells)) + b"".join(struct.pack("<IIII", *cell) for cell in cells) for cells in journals)


def test_the_report_has_every_key_that_is_asked_for_whatever_was_measured() -> None:
    table = ""
    for found in ({}, {"guard": {"error": "no relay"}}):
        report = assemble(found, {"cores": 2})
        assert set(report) >= KEYS
        assert report["relay_cell_cpu_us"] == {"1": None, "100": None, "1000": None}
        assert report["invite_to_ringing_ms"] == {"first_p95": None, "met_p95": None}
        table = "\n".join(lines(json.loads(json.dumps(report))))
        assert "reached" not in table
        assert "no figure" in table
    assert "no figures of guard: no relay" in table


def test_the_table_says_what_reaches_its_goal_and_what_does_not() -> None:
    guard_runs = {"aligned": {"1": _run(80), "100": _run(7.9), "1000": _run(6)}, "spread": {"100": _run(8.1)}}
    report = assemble({"guard": guard_runs, "machine": {"wake_cpu_us": 20.0, "forwarder": {"datagram_cpu_us": 4.0}}}, {})
    rows = {line.split("  ")[0]: line for line in lines(report)}
    assert report["relay_cell_cpu_us"] == {"1": 80, "100": 7.9, "1000": 6}
    assert report["to_reference"]["100"] == pytest.approx(1.98)
    assert "reached" in rows["CPU per relayed cell, 100 circuits"]
    spread = next(line for line in lines(report) if "phases spread, 100" in line)
    assert "MISSED" in spread
    assert "8.0 us of it" in spread


def test_added_is_leaving_minus_arrival_minus_the_step() -> None:
    arrivals = {(7, slot): slot * 20 * MS + (300_000 if slot == 3 else 0) for slot in range(10)}
    leavings = {(7 + FIRST_BEHIND - 1, slot): slot * 20 * MS + 5_250_000 for slot in range(9)}
    found, after_due = added.added_ms(arrivals, leavings, FIRST_BEHIND - 1, 20 * MS)
    assert len(found) == 8  # from slot 1 on, and slot 9 never left
    assert sorted(found) == pytest.approx([-0.05, *[0.25] * 7])
    assert after_due == pytest.approx([0.25] * 8)


def test_a_capture_that_misses_datagrams_of_a_journal_gives_no_figure() -> None:
    cells = {0: [(1, slot) for slot in range(5)]}
    assert added.stamp({0: [10, 20, 30, 40, 50, 60]}, cells)[(1, 4)] == 50
    with pytest.raises(ValueError, match="4 datagrams"):
        added.stamp({0: [10, 20, 30, 40]}, cells)
    with pytest.raises(ValueError, match="0 datagrams"):
        added.stamp({}, cells)


def test_a_journal_is_read_whole_or_not_at_all() -> None:
    octets = _journal([(0, 1, 2, 9)], [], [(3, 4, 5, 10), (6, 7, 8, 11)], [])
    assert added.parse_journal(octets) == [[(0, 1, 2, 9)], [], [(3, 4, 5, 10), (6, 7, 8, 11)], []]
    for end in range(len(octets)):
        with pytest.raises(ValueError, match="cut off"):
            added.parse_journal(octets[:end])


def test_a_call_that_never_rang_gives_no_percentile() -> None:
    assert calls.p95([1.0] * 49, 50) is None
    assert calls.p95([1.0] * 47 + [9.0] * 3, 50) == pytest.approx(9.0)
    assert not math.isnan(calls.p95([5.0], 1) or math.nan)


@pytest.mark.system
def test_a_relay_loads_neither_codecs_nor_tables_and_stays_small(tmp_path: Path) -> None:
    # The daemon's own memory is nobody else's business (voicebox/cli/running.py), so another process loads what it loads, and tells.
    program = "import pathlib, voicebox.cli.relay_run; print(pathlib.Path('/proc/self/maps').read_text())"
    maps = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "voicebox/_relay" in maps
    # Compiled parts of av, numpy and the phones; rich and aiortc are Python only, so the list of imports below has them.
    for library in ("libav", "/av/", "numpy", "onnxruntime", "pjsua2", "aiortc"):
        assert library not in maps
    with guard.make_guard(tmp_path).run() as pid:
        assert memory_mb(pid) < 60


def test_what_a_relay_imports(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from voicebox.cli import main; from voicebox.relay_daemon import RelayDaemon\n"
        "RelayDaemon(Path(sys.argv[1])); print(' '.join(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    home = guard.make_guard(tmp_path).home
    loaded = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True).stdout.split()
    assert "voicebox" in loaded
    assert not {"av", "aiortc", "rich", "numpy", "onnxruntime", "pjsua2"} & set(loaded)
