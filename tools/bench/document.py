"""Write the figures of build/bench.json into BENCHMARKS.md, between its two marks. [io]

    python -m tools.bench.document [--figures FILE] [--document FILE]

What stands around the marks is written by hand; what stands between them comes from one or more runs of `make bench` and is never edited.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench import figures, thesis
from tools.bench.table import verdict

ROOT = Path(__file__).resolve().parents[2]
BEGINS, ENDS = "<!-- figures: python -m tools.bench.document -->", "<!-- end of figures -->"


def figures_text(report: Mapping[str, Any]) -> list[str]:
    """Return the lines between the marks: when and where, figures beside their goals, the thesis's tables."""
    rows = [
        [what.strip(), "-" if figure is None else f"{figure:g} {unit}".strip(), "" if goal is None else f"{goal:g}", verdict(figure, goal), note]
        for what, figure, goal, unit, note in figures.rows(report, report["parts"])
    ]
    table = ["| what | measured | at most | | |", "|---|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return ["", *_where(report), "", *table, *thesis.tables(report)]


def _where(report: Mapping[str, Any]) -> Sequence[str]:
    host, runs = report["host"], report["runs"]
    realtime = "with" if report["realtime"] else "without" if report["realtime"] is False else "rights not looked at:"
    dates = sorted({run["date"][:10] for run in runs.values()})
    loads = [f"{name} {run['date'][11:]} ({run['load_before']:.1f} to {run['load_after']:.1f}, {run['took_s']} s)" for name, run in runs.items()]
    return [
        f"Measured on {' and '.join(dates)}, {host['cores']} cores, Linux {host['kernel']}, {realtime} real-time scheduling.",
        f"Each part's time (UTC), the machine's load before and after it, and what it took: {', '.join(loads)}.",
    ]


def put(document: str, lines: Sequence[str]) -> str:
    """Return a document with other lines between its marks. Raises ValueError where it has not both, once."""
    if document.count(BEGINS) != 1 or document.count(ENDS) != 1 or document.index(BEGINS) > document.index(ENDS):
        raise ValueError("the document has no place for figures")
    head, tail = document[: document.index(BEGINS) + len(BEGINS)], document[document.index(ENDS) :]
    return "\n".join([head, *lines, tail])


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--document", type=Path, default=ROOT / "BENCHMARKS.md")
    given = parser.parse_args()
    report = json.loads(given.figures.read_text())
    given.document.write_text(put(given.document.read_text(), figures_text(report)))


if __name__ == "__main__":
    main()
