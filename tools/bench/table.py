"""The report of `make bench`: its keys, its table, the goals. Pure.

`relay_cell_cpu_us` is of `voicebox relay run` as users run it, a guard with an access link for each circuit (PROTOCOL.md §5.2: a box has one circuit on its link), in
the phases that users' circuits have (§5.4). The same with phases spread over the slot, and the engine over eight links (four in, four out), stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.bench import figures, thesis
from tools.bench.figures import Json, Row, get

GRID_TIMES_PER_S = 4_000
CELLS_PER_S_OF_100 = 10_000
RELAY_MB, KB_PER_CIRCUIT, KB_PER_LINK = 60.0, 4.0, 64.0
MAX_LOSS_PCT = 0.1
PATH_GOALS_MS = {"continent": (120, 140, 500), "between-continents": (230, 245, 700), "clean": (60, 60, 500)}
"""Slot to playable, RTP in to RTP out, INVITE to ringing. clean: links that take no time."""
G114_MS = {"continent": 150, "between-continents": 280, "clean": 150}
"""The delays of ITU-T G.114 beside which mouth to ear stands; of all a call has in it, phones too, so no goal of ours."""
JITTER_MS = {"mean": 2.0, "p99": 10.0}
WIRE_LATE_MS = 0.2
RIGHTS = {True: "yes", False: "no", None: "not looked at"}


def _of_circuits(found: Mapping[str, Any], part: str, phases: str, name: str, **kind: Any) -> Json:
    runs = found.get(part, {}).get(phases) or {}
    return {circuits: get(run, name, **kind) for circuits, run in runs.items()}


def assemble(found: Mapping[str, Mapping[str, Any]], host: Mapping[str, Any]) -> Json:
    """Return what goes into bench.json. found: what each part gave, or its error."""
    reference = get(found, "machine", "forwarder", "datagram_cpu_us")
    cpu = {circuits: _of_circuits(found, "guard", "aligned", "cell_cpu_us").get(circuits) for circuits in ("1", "100", "1000")}
    spread = _of_circuits(found, "guard", "spread", "cell_cpu_us")
    return {
        "relay_cell_cpu_us": cpu,
        "reference_udp_cpu_us": reference,
        "relay_added_ms": {name: get(found, "added", name, digits=3) for name in ("p50", "p99")},
        "tick_late_ms": {
            "idle_p99": get(found, "engine", "spread", "100", "tick_late_p99_us", times=1e-3, digits=3),
            "busy_p99": get(found, "engine", "busy", "tick_late_p99_us", times=1e-3, digits=3),
        },
        "relay_rss_mb": get(found, "guard", "aligned", "100", "rss_mb", digits=1),
        "circuit_kb": get(found, "engine", "aligned", "1000", "circuit_kb"),
        "box_rss_mb": get(found, "calls", "box_rss_mb", digits=1),
        "invite_to_ringing_ms": {name: get(found, "calls", name, digits=0) for name in ("first_p95", "met_p95")},
        # Beside what is asked for:
        "relay_cell_cpu_us_spread": spread,
        "engine_cell_cpu_us": {phases: _of_circuits(found, "engine", phases, "cell_cpu_us") for phases in ("aligned", "spread")},
        "to_reference": {circuits: round(us / reference, 2) for circuits, us in cpu.items() if us and reference},
        "wake_cpu_us": get(found, "machine", "wake_cpu_us"),
        "loss_pct": {
            "guard": {phases: _of_circuits(found, "guard", phases, "loss", times=100, digits=4) for phases in ("aligned", "spread")},
            "engine": {phases: _of_circuits(found, "engine", phases, "loss", times=100, digits=4) for phases in ("aligned", "spread")},
        },
        "realtime": _realtime(found),
        "relay_empty_rss_mb": get(found, "guard", "aligned", "1", "empty_rss_mb", digits=1),
        "circuit_and_link_kb": get(found, "guard", "aligned", "1000", "circuit_and_link_kb", digits=1),
        "path": _path(found.get("path", {})),
        **figures.keys(found),
        "host": dict(host),
        "parts": {name: dict(part) for name, part in found.items()},
    }


def _realtime(found: Mapping[str, Mapping[str, Any]]) -> bool | None:
    """Return whether real-time scheduling was granted, as whichever part has run saw it; None where none looked."""
    by_wires = [get(case, "wires", "realtime") for case in _path(found.get("path", {})).values()]
    by_relay = [get(each, "realtime") for each in (found.get("relay_calls", {}).get("full") or {}).values()]
    others = [get(found, part, "realtime") for part in ("box", "capacity")]
    seen = [get(found, "guard", "aligned", "100", "realtime"), *by_wires, *by_relay, *others]
    return next((each for each in seen if each is not None), None)


def _path(cases: Mapping[str, Any]) -> Json:
    """Return the figures of each case of calls over the lab, rounded; nothing of a part that failed."""
    return {name: _rounded(figures) for name, figures in cases.items() if isinstance(figures, Mapping)}


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 2) if isinstance(value, float) else value


def _path_rows(name: str, case: Mapping[str, Any]) -> list[Row]:
    """Return the rows of one case; the direct path between the same phones stands in the notes."""
    distance = name.removesuffix("-clean")
    slot, rtp, ringing = PATH_GOALS_MS[distance]
    direct = case.get("direct") or {}

    def of_delay(what: str, key: str, goal: float | None, note: str = "") -> Row:
        beside = f"; direct path {get(direct, key, 'p50')}, {get(direct, key, 'p99')}" if direct.get(key) else ""
        return (f"  {what}, p99", get(case, key, "p99"), goal, "ms", f"p50 {get(case, key, 'p50')}{beside}{note}")

    def of_jitter(share: str) -> Row:
        return (
            f"  jitter handed to the phone, {share}",
            get(case, "jitter_ms", share),
            JITTER_MS[share],
            "ms",
            f"direct path {get(direct, 'jitter_ms', share)}",
        )

    return [
        (f"{name}:", case.get("frames"), None, "", f"frames of {case.get('calls')} calls"),
        of_delay("slot to playable", "slot_to_playable_ms", slot),
        of_delay("RTP in to RTP out", "rtp_ms", rtp),
        of_delay("mouth to ear", "mouth_to_ear_ms", None, f"; G.114: {G114_MS[distance]}"),
        of_jitter("mean"),
        of_jitter("p99"),
        ("  loss", case.get("loss_pct"), None, "%", f"direct path {direct.get('loss_pct')}"),
        ("  lost, or late for the phone's buffer", case.get("unheard_pct"), None, "%", f"direct path {direct.get('unheard_pct')}"),
        ("  INVITE to ringing, have met, p95", case.get("ringing_p95_ms"), ringing, "ms", ""),
        ("  the lab's wires late, p99", get(case, "wires", "late_us", "p99", times=1e-3, digits=3), WIRE_LATE_MS, "ms", ""),
    ]


def _floor_of_spread(report: Mapping[str, Any]) -> str:
    wake_us = report["wake_cpu_us"]
    if wake_us is None:
        return ""
    return f"{GRID_TIMES_PER_S * wake_us / CELLS_PER_S_OF_100:.1f} us of it are 4 000 bare wakes a second"


def _rows(report: Mapping[str, Any]) -> list[Row]:
    """Return what, figure, goal, unit, note."""
    cpu, spread, eight = report["relay_cell_cpu_us"], report["relay_cell_cpu_us_spread"], report["engine_cell_cpu_us"]
    added, late, ringing = report["relay_added_ms"], report["tick_late_ms"], report["invite_to_ringing_ms"]
    relay_mb = RELAY_MB + 100 * (KB_PER_CIRCUIT + KB_PER_LINK) * 1_024 / 1e6
    no_rights = "no SCHED_FIFO here" if report["realtime"] is False else ""
    return [
        ("CPU per relayed cell, 1 circuit", cpu["1"], None, "us", "the fixed cost of the tick"),
        ("CPU per relayed cell, 100 circuits", cpu["100"], 8, "us", "voicebox relay run, a link for each circuit"),
        ("CPU per relayed cell, 1 000 circuits", cpu["1000"], 8, "us", ""),
        ("  phases spread, 100 circuits", spread.get("100"), 8, "us", _floor_of_spread(report)),
        ("  phases spread, 1 000 circuits", spread.get("1000"), 8, "us", ""),
        ("  eight links, 100 circuits", eight["aligned"].get("100"), 6, "us", "the engine alone"),
        ("  eight links, 1 000 circuits", eight["aligned"].get("1000"), 4, "us", ""),
        ("  eight links, spread, 100 circuits", eight["spread"].get("100"), 8, "us", ""),
        ("  eight links, spread, 1 000 circuits", eight["spread"].get("1000"), 8, "us", ""),
        ("Bare UDP forwarder, per datagram", report["reference_udp_cpu_us"], None, "us", ""),
        ("Waking a thread that does nothing", report["wake_cpu_us"], None, "us", "this machine"),
        ("Loss, worst of the runs as users run it", _worst(report["loss_pct"]["guard"]), MAX_LOSS_PCT, "%", ""),
        ("Loss, worst of the runs over eight links", _worst(report["loss_pct"]["engine"]), MAX_LOSS_PCT, "%", ""),
        ("Added by a relay, p50", added["p50"], 0.2, "ms", "100 circuits, phases spread"),
        ("Added by a relay, p99", added["p99"], 2, "ms", ""),
        ("Tick late, p99, idle", late["idle_p99"], 0.5, "ms", no_rights),
        ("Tick late, p99, other core busy", late["busy_p99"], 0.5, "ms", no_rights),
        ("Memory of a relay, 100 circuits", report["relay_rss_mb"], relay_mb, "MB", "60 MB + 4 KB a circuit + 64 KB a link"),
        ("Memory per circuit", report["circuit_kb"], KB_PER_CIRCUIT, "KB", "from 100 to 1 000 circuits"),
        ("Memory per access link and circuit", report["circuit_and_link_kb"], KB_PER_CIRCUIT + KB_PER_LINK, "KB", ""),
        ("Memory of a box in a call", report["box_rss_mb"], 150, "MB", ""),
        ("INVITE to ringing, first call, p95", ringing["first_p95"], 1_200, "ms", ""),
        ("INVITE to ringing, have met, p95", ringing["met_p95"], 500, "ms", ""),
    ]


def _worst(losses: Mapping[str, Mapping[str, float | None]]) -> float | None:
    known = [loss for runs in losses.values() for loss in runs.values() if loss is not None]
    return max(known, default=None)


def verdict(figure: float | None, goal: float | None) -> str:
    """Return how a figure stands to its goal, which is the most that it may be."""
    if figure is None:
        return "no figure"
    return "" if goal is None else "reached" if figure <= goal else "MISSED"


def lines(report: Mapping[str, Any]) -> Sequence[str]:
    """Return the table, the goal beside each figure, and behind it those of the thesis."""
    host = report["host"]
    table = [f"{'':42} {'figure':>10} {'goal':>8}"]
    over_the_lab = [row for name, case in report["path"].items() for row in _path_rows(name, case)]
    for what, figure, goal, unit, note in (*_rows(report), *over_the_lab, *figures.rows(report, report["parts"])):
        shown = "-" if figure is None else f"{figure:g}"
        wanted = "" if goal is None else f"{goal:.4g}"
        table.append(f"{what:42} {shown:>10} {wanted:>8} {unit:3} {verdict(figure, goal):9} {note}".rstrip())
    load = f"load {host.get('load_before', 0):.1f} before, {host.get('load_after', 0):.1f} after"
    table.append(f"{host.get('cores')} cores, {load}; real-time rights: {RIGHTS[report['realtime']]}; took {host.get('took_s')} s")
    table += [f"no figures of {name}: {part['error']}" for name, part in report["parts"].items() if "error" in part]
    return [*table, "", *thesis.tables(report)]
