"""How calls would sound over other links: probes over emulated networks, in virtual time, as a table and a plot. [io]

    python tools/probe.py --sweep FILE [--out DIR]

FILE (YAML) names codecs, seconds and a base: the length of each wire, its jitter, the loss from box to box. Each of the three is varied by itself. In each case a probe
runs over three relays, real cores in virtual time (tests/support/probed_network.py), and beside it one over a single wire of the same length, jitter and loss, without any
box. Relays and boxes have the de-jitter step that the jitter asks for, as they would choose it themselves in a minute. Writes table.md, plot.svg, and plot.png
where a browser is installed, which draws it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import yaml

from tests.support.probed_network import Probed
from tests.support.probes import Path as Wire
from tests.support.probes import probed
from tools.browser import Browser, find_browser
from voicebox.probe.codecs import ProbeCodec, codec_of
from voicebox.probe.result import ProbeResult

STEPS_MS = (5, 10, 15, 20, 30, 40)
SEED = 1
VARIED = {"loss_pct": "loss, %", "wire_ms": "each wire, ms", "jitter_ms": "jitter of each wire, ms"}
PANEL, HEIGHT, MARGIN = 260, 220, 36
MOST_MOS = 4.5
COLOURS = ("#2166ac", "#d6604d", "#7b5ea7")


@dataclass(frozen=True, slots=True)
class Case:
    """One emulated network. loss_pct: from box to box."""

    codec: ProbeCodec
    wire_ms: float
    jitter_ms: float
    loss_pct: float
    seconds: int

    def step_ms(self) -> int:
        """Return the least de-jitter step that covers the jitter: a cell has to be there more than 1 ms before it is due (PROTOCOL.md §5.3)."""
        return next((step for step in STEPS_MS if step > self.jitter_ms + 1), STEPS_MS[-1])


@dataclass(frozen=True, slots=True)
class Run:
    """What was found in a case; varied: which of its figures is not the base's."""

    varied: str
    case: Case
    network: ProbeResult
    direct: ProbeResult


def cases_of(plan: Mapping[str, Any]) -> Iterator[tuple[str, Case]]:
    """Yield what is varied, and each case. Raises KeyError, ValueError for a plan that is none."""
    base = plan["base"]
    for word in plan["codecs"]:
        for name in VARIED:
            for value in plan[name]:
                links = {each: float(base[each]) for each in VARIED} | {name: float(value)}
                yield name, Case(codec_of(word), links["wire_ms"], links["jitter_ms"], links["loss_pct"], int(plan["seconds"]))


def run_case(case: Case) -> tuple[ProbeResult, ProbeResult]:
    """Return what a probe says over the network, and over one wire."""
    microseconds = {"wire_us": round(case.wire_ms * 1000), "jitter_us": round(case.jitter_ms * 1000), "step_us": case.step_ms() * 1000}
    network = Probed(case.codec, case.seconds, loss=case.loss_pct / 100, seed=SEED, **microseconds).whole()
    _, direct = probed(Wire(case.wire_ms, case.jitter_ms, case.loss_pct / 100), codec=case.codec, seconds=case.seconds, seed=SEED)
    return network, direct


def row(run: Run) -> list[str]:
    """Return a line of the table, of the worse direction of each."""
    cells = [run.case.codec.word, VARIED[run.varied], f"{getattr(run.case, run.varied):g}"]
    for result in (run.network, run.direct):
        worse = result.worse
        cells += [f"{worse.lost_pct:.2f}", f"{worse.best.mouth_to_ear_ms:.0f}", f"{worse.best.r_fullband:.0f}", f"{worse.best.mos_fullband:.2f}"]
    return cells


def table(runs: Sequence[Run]) -> str:
    """Return the table in Markdown."""
    heads = ["codec", "varied", "to", *(f"{name}{where}" for where in ("", ", direct") for name in ("lost, %", "mouth to ear, ms", "R of 148", "MOS-CQEF"))]
    lines = [heads, ["---"] * len(heads), *(row(run) for run in runs)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def plot(runs: Sequence[Run]) -> str:
    """Return the plot: a panel for each thing varied, MOS-CQEF upwards; whole lines through the network, dashed ones direct."""
    panels = [_panel(place, name, [run for run in runs if run.varied == name]) for place, name in enumerate(VARIED)]
    words = list(dict.fromkeys(run.case.codec.word for run in runs))
    legend = "".join(
        f'<text x="{MARGIN + 250 * place}" y="{HEIGHT + 50}" style="fill:{COLOURS[place]}">{escape(word)}: three relays; dashed: direct</text>'
        for place, word in enumerate(words)
    )
    size = f'width="{PANEL * len(VARIED)}" height="{HEIGHT + 60}"'
    style = '<style>text{font:11px sans-serif;fill:#333}line,polyline{fill:none}</style><rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(panels)}{legend}</svg>\n'


def _panel(place: int, name: str, runs: Sequence[Run]) -> str:
    left, wide, high = place * PANEL + MARGIN, PANEL - MARGIN - 14, HEIGHT - 20
    most = max((getattr(run.case, name) for run in runs), default=0.0) or 1.0

    def at(value: float, mos: float) -> str:
        return f"{left + value / most * wide:.1f},{10 + (MOST_MOS - mos) / (MOST_MOS - 1) * high:.1f}"

    body = [f'<line x1="{left}" y1="{at(0, mos).split(",")[1]}" x2="{left + wide}" y2="{at(0, mos).split(",")[1]}" stroke="#ddd"/>' for mos in (1, 2, 3, 4)]
    body += [f'<text x="{left - 14}" y="{at(0, mos).split(",")[1]}">{mos}</text>' for mos in (1, 2, 3, 4)]
    body += [f'<text x="{left + value / most * wide - 6:.0f}" y="{HEIGHT + 6}">{value:g}</text>' for value in sorted({getattr(run.case, name) for run in runs})]
    body.append(f'<text x="{left}" y="{HEIGHT + 24}">{escape(VARIED[name])}</text>')
    for number, word in enumerate(dict.fromkeys(run.case.codec.word for run in runs)):
        own = sorted((run for run in runs if run.case.codec.word == word), key=lambda run: float(getattr(run.case, name)))
        for which, dash in (("network", ""), ("direct", ' stroke-dasharray="4 3"')):
            points = " ".join(at(getattr(run.case, name), getattr(run, which).worse.best.mos_fullband) for run in own)
            body.append(f'<polyline points="{points}" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="1.8"{dash}/>')
    return "".join(body)


def picture(svg: Path, png: Path) -> bool:
    """Draw a plot, twice as large, with a browser; return whether there is one."""
    browser = find_browser()
    if browser is None:
        return False
    width, height = PANEL * len(VARIED), HEIGHT + 60
    with Browser(browser) as running:
        png.write_bytes(running.show(svg.resolve(), width, height, scale=2).png)
    return True


def sweep(plan: Mapping[str, Any]) -> list[Run]:
    """Return the runs of a plan; what is the same case in two rows is run once."""
    known: dict[Case, tuple[ProbeResult, ProbeResult]] = {}
    runs = []
    for varied, case in cases_of(plan):
        if case not in known:
            known[case] = run_case(case)
        runs.append(Run(varied, case, *known[case]))
        print(" | ".join(row(runs[-1])), file=sys.stderr, flush=True)
    return runs


def main(arguments: Sequence[str]) -> int:
    """Run as `python tools/probe.py --sweep`."""
    parser = argparse.ArgumentParser(prog="probe.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", type=Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("build/sweep"), metavar="DIR")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    runs = sweep(yaml.safe_load(given.sweep.read_text()))
    (given.out / "table.md").write_text(table(runs))
    (given.out / "plot.svg").write_text(plot(runs))
    if not picture(given.out / "plot.svg", given.out / "plot.png"):
        print("There is no browser here (Chromium), so there is no plot.png.", file=sys.stderr)
    print(table(runs), end="")
    return 0
