"""The tables of the PrivacyBox thesis (Brosche 2015, chapter 7), ours beside its figures, as Markdown. Pure.

Its relays were Raspberry Pis of the first kind, its links TLS or DTLS streams of which each relay takes off one layer; ours are this machine's. So the columns tell how
the two grow, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tools.bench.figures import get

ONE_WAY_MS = {1: "12 (TLS), 27 (DTLS): half of its round trips", 6: "37 (TLS)"}
CALLS_MS = {6: "over 45, on a Raspberry Pi 1"}
KB_S = "30.9 in, 27.7 out"
"""Of one call, at six relays."""
OCTETS = {6: "618: 64 more for each relay"}
DASH = "-"


def tables(report: Mapping[str, Any]) -> list[str]:
    """Return the lines of the tables of what was measured. report: as bench.json has it."""
    made = (_one_way(report), _through(report), _octets(report), _rates(report))
    return [line for table in made if table for line in (*table, "")]


def _markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [[DASH if cell is None else str(cell) for cell in row] for row in rows]
    return [title, "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in cells)]


def _both(found: Mapping[str, Any], *path: str) -> str | None:
    p50, p99 = (get(found, *path, share) for share in ("p50", "p99"))
    return None if p50 is None else f"{p50:g}, {p99:g}"


def _one_way(report: Mapping[str, Any]) -> list[str]:
    virtual = report.get("one_way_virtual_ms") or {}
    if not virtual:
        return []
    rows: list[list[Any]] = [[relays, *(_both(virtual, link, str(relays)) for link in virtual), ONE_WAY_MS.get(relays)] for relays in range(1, 7)]
    real = [_both(report, "path", case, "rtp_ms") for case in ("clean", "continent-clean", "between-continents-clean")]
    if any(real):
        rows.append(["3, real processes (part `path`)", *real, None])
    title = "One way, from the phone's packet at a box to the other box's packet to its phone, ms, p50 and p99. **Virtual time**: real cores, real cells, no machine."
    return _markdown(title, ["relays", *(f"links of {link} ms" for link in virtual), "thesis, one way"], rows)


def _through(report: Mapping[str, Any]) -> list[str]:
    full, quota = (get(report, "relay_delay_ms", kind) or {} for kind in ("full", "quota"))
    if not full:
        return []
    counts = sorted({int(calls) for calls in (*full, *quota)})
    lost = {kind: {calls: each["missing_pct"] for calls, each in found.items()} for kind, found in (("full", full), ("quota", quota))}
    rows = [
        [
            f"{calls:,}".replace(",", " "),
            _both(full, str(calls)),
            lost["full"].get(str(calls)),
            _both(quota, str(calls)),
            lost["quota"].get(str(calls)),
            CALLS_MS.get(calls),
        ]
        for calls in counts
    ]
    title = "Through one relay, a guard as users run it, a circuit for each call: ms, p50 and p99, its step of 5 ms included; and % of cells that did not come through."
    return _markdown(title, ["calls", "a core", "missing", "20 % of a core", "missing", "thesis"], rows)


def _octets(report: Mapping[str, Any]) -> list[str]:
    found = get(report, "link_octets") or {}
    if not found:
        return []
    rows = []
    for relays in sorted({*map(int, found), 6}):
        links = found.get(str(relays))
        each = None if links is None else ", ".join("/".join(map(str, sizes)) for sizes in links)
        rows.append([relays, each, OCTETS.get(relays)])
    title = "Octets on each link between the boxes of a call, for a frame of 160 octets, with IPv4 and UDP: all sizes that a capture has. Six with nodes that are not shipped."
    return _markdown(title, ["relays", "links in their order", "thesis"], rows)


def _rates(report: Mapping[str, Any]) -> list[str]:
    found = get(report, "relay_kb_s") or {}
    if not found:
        return []
    counts = sorted(map(int, found))
    rows = [
        [calls, *(get(found, str(calls), way) for way in ("in", "out")), *(round(get(found, str(calls), way) / calls, 1) for way in ("in", "out"))]
        for calls in counts
    ]
    title = f"kB/s of one relay, both directions of each call, of a capture. The thesis has {KB_S} for one call at six relays."
    return _markdown(title, ["calls", "in", "out", "in, for each", "out, for each"], rows)
