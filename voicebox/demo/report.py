"""What the demo says while it runs and at its end: lines for people, one JSON object for programs.

Every figure is one of measure.py's, from the capture. Where the two directions of a call differ, the worse one is the headline and both
stand under `directions`. Without a capture there are no figures, and the report says so. Pure, apart from Progress [io].
"""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from voicebox.demo.capture import CaptureCounts
from voicebox.demo.measure import CallFigures, DirectionFigures, FlowFigures, SecondCounts
from voicebox.demo.page_figures import PageFigures, page_complaints, page_json, page_lines
from voicebox.demo.quality import Quality
from voicebox.demo.speech import LICENCE
from voicebox.probe.figures import mean, percentile
from voicebox.probe.lines import all_lines
from voicebox.probe.report import json_object as probe_json
from voicebox.probe.result import ProbeResult

Json = dict[str, object]

ONE_WAY_P99_MS = 60.0
JITTER_MEAN_MS = 2.0
LOSS_PCT = 0.2
"""Where another program, or the host of a virtual machine, can delay a cell; else no frame is lost."""
QUALITY_MARGIN = 0.15
MAX_GAP_SLOTS = 3.0


class Progress:
    """Lines of what happens, each with the seconds since the start; bold on a terminal. With JSON they go to standard error."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._begun_s = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line."""
        clock = f"{time.monotonic() - self._begun_s:6.1f} s"
        if self._out.isatty():
            clock = f"\x1b[2m{clock}\x1b[0m"
        print(f"{clock}  {text}", file=self._out, flush=True)


@dataclass(frozen=True, slots=True)
class DemoReport:
    """All that the demo found out. figures None: there was no capture, or it shows no call.

    path: the names of the nodes from box to box; spare: likewise over the second circuits; probe: what came of one after the call; page: of a page that was fetched during it; notes: what the reader must know about the figures; real_time: every process that keeps
    a schedule had SCHED_FIFO; is_virtual: the machine's host can delay it.
    """

    path: tuple[str, ...]
    codec: str
    cell_octets: int
    figures: CallFigures | None
    quality: Quality | None
    capture: CaptureCounts | None
    real_time: bool
    notes: tuple[str, ...] = field(default=())
    spare: tuple[str, ...] = field(default=())
    probe: ProbeResult | None = None
    page: PageFigures | None = None
    is_virtual: bool = False

    @property
    def relays(self) -> int:
        """Nodes of the path that are no box: all but its two ends."""
        return max(0, len(self.path) - 2)


def _number(value: float | None, digits: int = 2) -> float | None:
    return None if value is None or math.isnan(value) else round(value, digits)


def _worst(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return max(there) if there else math.nan


def one_way_ms(figures: CallFigures, share: float) -> float:
    """Return a percentile of the one-way delay, of the worse direction; NaN where nothing came."""
    return _worst([percentile(direction.delays_ms, share) for direction in (figures.to_callee, figures.to_caller)])


def jitter_mean_ms(figures: CallFigures) -> float:
    """Return the mean jitter of the worse direction."""
    return _worst([mean(direction.jitters_ms) for direction in (figures.to_callee, figures.to_caller)])


def loss_pct(figures: CallFigures) -> float:
    """Return the loss of the worse direction."""
    return max(figures.to_callee.loss_pct, figures.to_caller.loss_pct)


def json_object(report: DemoReport) -> Json:
    """Return the report as one object for `--json`. Figures that could not be measured are null."""
    figures, quality = report.figures, report.quality
    flows = figures.flows if figures else ()
    jitters = [direction.jitters_ms for direction in (figures.to_callee, figures.to_caller)] if figures else []
    return {
        "relays": report.relays,
        "path": list(report.path),
        "spare": list(report.spare),
        "codec": report.codec,
        "cell_octets": report.cell_octets,
        "datagram_octets": sorted({size for flow in flows for size in flow.sizes}),
        "one_way_ms": {name: _number(one_way_ms(figures, share)) if figures else None for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        "jitter_ms": {
            "mean": _number(jitter_mean_ms(figures)) if figures else None,
            "p99": _number(_worst([percentile(values, 0.99) for values in jitters])),
        },
        "loss_pct": _number(loss_pct(figures), 3) if figures else None,
        "setup_ms": {
            "invite_to_ringing": _number(figures.invite_to_ringing_ms) if figures else None,
            "answer_to_audio": _number(figures.answer_to_audio_ms) if figures else None,
        },
        "quality": _quality_json(quality),
        "cells_per_s": cells_per_s(flows),
        "directions": {"to_callee": _direction_json(figures.to_callee), "to_caller": _direction_json(figures.to_caller)} if figures else None,
        "links": [_flow_json(flow) for flow in flows],
        "page": page_json(report.page),
        "capture": {"frames": report.capture.frames, "dropped": report.capture.dropped} if report.capture else None,
        "real_time": report.real_time,
        "is_virtual": report.is_virtual,
        "notes": list(report.notes),
        "probe": probe_json(report.probe, dt.datetime.now(dt.UTC)) if report.probe is not None else None,
    }


def _quality_json(quality: Quality | None) -> Json:
    if quality is None:
        return {"measure": None, "call": None, "direct": None, "call_with_5pct_loss": None}
    found: Json = {
        "measure": quality.measure,
        "call": _number(quality.call),
        "direct": _number(quality.direct),
        "call_with_5pct_loss": _number(quality.call_with_5pct_loss),
        "heard": _number(quality.heard),
        "pieces": quality.pieces,
    }
    if quality.pesq is not None:
        found["pesq"] = {name: _number(score) for name, score in quality.pesq.items()}
    return found


def cells_per_s(flows: Sequence[FlowFigures]) -> Json:
    """Return for each link its mean rate before (`idle`) and during the call (`call`): of its slower direction."""
    names = dict.fromkeys(flow.link for flow in flows)
    return {name: {"idle": _slowest([f.idle for f in flows if f.link == name]), "call": _slowest([f.call for f in flows if f.link == name])} for name in names}


def _slowest(counts: Sequence[SecondCounts | None]) -> float | None:
    rates = [count.rate for count in counts if count is not None]
    return round(min(rates), 2) if rates else None


def _direction_json(direction: DirectionFigures) -> Json:
    return {
        "frames": direction.sent,
        "lost": direction.lost,
        "repaired": direction.repaired,
        "clipped_ms": _number(direction.clipped_ms),
        "one_way_ms": {name: _number(percentile(direction.delays_ms, share)) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))},
        "jitter_ms": {"mean": _number(mean(direction.jitters_ms)), "p99": _number(percentile(direction.jitters_ms, 0.99))},
    }


def _flow_json(flow: FlowFigures) -> Json:
    return {
        "link": flow.link,
        "access": flow.access,
        "direction": "out" if flow.towards_far else "back",
        "octets": list(flow.sizes),
        "cells": sum(flow.sizes.values()),
        "idle": _counts_json(flow.idle),
        "call": _counts_json(flow.call),
        "longest_gap_slots": _number(flow.longest_gap_slots),
        "gaps_over_3_slots": flow.gaps_over_3_slots,
    }


def _counts_json(counts: SecondCounts | None) -> Json | None:
    return None if counts is None else {"per_s": _number(counts.rate), "fewest": counts.fewest, "most": counts.most, "seconds": counts.seconds}


def complaints(report: DemoReport, *, with_limits: bool = True) -> list[str]:
    """Return what is not as it must be, in words; empty where all is well.

    with_limits: also the figures that depend on the machine, not only those that hold by construction.
    """
    figures = report.figures
    if figures is None:
        return ["there are no figures: " + ("the capture shows no answered call" if report.capture else "there was no capture")]
    found: list[str] = []
    sizes = {size for flow in figures.flows for size in flow.sizes}
    if len(sizes) > 1:
        found.append(f"datagrams of {len(sizes)} sizes on the links, not of one")
    if not figures.to_callee.delays_ms or not figures.to_caller.delays_ms:
        found.append("sound came through in one direction only, or in none")
    if report.capture and report.capture.dropped:
        found.append(f"the capture lost {report.capture.dropped} frames, so the figures are too bad")
    if report.page is not None:
        found += page_complaints(report.page, with_limits=with_limits)
    if not with_limits:
        return found
    limits = (
        ("one-way delay, p99", one_way_ms(figures, 0.99), ONE_WAY_P99_MS, "ms"),
        ("mean jitter", jitter_mean_ms(figures), JITTER_MEAN_MS, "ms"),
        ("loss", loss_pct(figures), LOSS_PCT if report.is_virtual or not report.real_time else 0.0, "%"),
        ("longest gap on an access link", _worst([flow.longest_gap_slots for flow in figures.flows if flow.access]), MAX_GAP_SLOTS, "slots"),
    )
    found += [f"{name}: {value:.2f} {unit}, above {limit:g}" for name, value, limit, unit in limits if value > limit]
    if report.quality and report.quality.direct - report.quality.call > QUALITY_MARGIN:
        found.append(f"quality: {report.quality.call:.2f}, more than {QUALITY_MARGIN} below the {report.quality.direct:.2f} without the network")
    return found


def human_lines(report: DemoReport) -> list[str]:
    """Return the final report for people."""
    lines = ["", "The call", f"  path       {' > '.join(report.path)}   ({report.relays} relays)"]
    if len(report.spare) > 2:
        lines.append(f"  and over   {' > '.join(report.spare)}   (either is enough)")
    lines.append(f"  codec      {report.codec}")
    figures = report.figures
    if figures is not None:
        lines += _call_lines(figures)
    if report.quality is not None:
        quality = report.quality
        scale = f"  quality    {quality.measure}, 1 to 5: call {quality.call:.2f}, without the network {quality.direct:.2f}"
        lines.append(f"{scale}, with 5 % of the frames dropped {quality.call_with_5pct_loss:.2f}")
        if quality.heard is not None:
            lines.append(f"             what the phones recorded, with their own jitter buffers: {quality.heard:.2f}")
        lines += [f"             PESQ against the sound before the network: {name} {score:.2f}" for name, score in (quality.pesq or {}).items()]
    if figures is not None and figures.flows:
        lines += _link_lines(figures.flows)
    if report.page is not None:
        lines += page_lines(report.page)
    lines += ["", *(f"note: {note}" for note in report.notes)]
    if not report.real_time:
        lines.append("note: without real-time rights (SCHED_FIFO) another program can delay a cell; the figures are marked by this note")
    lines.append(LICENCE)
    found = complaints(report)
    lines += [f"NOT AS IT SHOULD BE: {complaint}" for complaint in found] or ["All figures are within their limits."]
    if report.probe is not None:
        lines += ["", "`voicebox probe` between the same two boxes, after the call:", *all_lines(report.path[-1], report.probe)]
    return lines


def _call_lines(figures: CallFigures) -> list[str]:
    p50, p95, p99 = (one_way_ms(figures, share) for share in (0.5, 0.95, 0.99))
    both = (figures.to_callee, figures.to_caller)
    ringing = f"{figures.invite_to_ringing_ms:.0f} ms" if figures.invite_to_ringing_ms is not None else "never"
    audio = f"{figures.answer_to_audio_ms:.0f} ms" if figures.answer_to_audio_ms is not None else "never"
    copies = sum(direction.repaired for direction in both)
    repaired = f", {copies} heard from a coarse copy" if copies else ""
    return [
        f"  one way    {p50:.1f} ms median, {p95:.1f} p95, {p99:.1f} p99, phone to phone (frames found again at the other phone)",
        f"  jitter     {jitter_mean_ms(figures):.2f} ms mean, {_worst([percentile(d.jitters_ms, 0.99) for d in both]):.2f} p99, at the phone's socket (RFC 3550 A.8)",
        f"  loss       {loss_pct(figures):.2f} %  ({sum(d.lost for d in both)} of {sum(d.sent for d in both)} frames{repaired})",
        f"  set-up     INVITE to ringing {ringing}, answer to sound in both directions {audio}",
    ]


def _link_lines(flows: Sequence[FlowFigures]) -> list[str]:
    width = max(len(flow.link) for flow in flows)
    sizes = sorted({size for flow in flows for size in flow.sizes})
    sizes_text = f"datagrams of {sizes[0]} octets and nothing else" if len(sizes) == 1 else f"datagrams of {', '.join(map(str, sizes))} octets"
    lines = ["", f"What went over each link, from its first cell on: {sizes_text}"]
    lines.append(f"  {'link':{width}}         before the call   during the call   longest gap")
    for flow in flows:
        arrow = "->" if flow.towards_far else "<-"
        lines.append(f"  {flow.link:{width}}  {arrow}  {_rate(flow.idle):>19} {_rate(flow.call):>17} {flow.longest_gap_slots:7.2f} slots")
    return lines


def _rate(counts: SecondCounts | None) -> str:
    return "-" if counts is None else f"{counts.rate:.1f}/s ({counts.fewest}-{counts.most})"
