"""What a test of the lab leaves: one JSON object, kept in a file of its own so that a run can be resumed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.adversary.statistics import Comparison, Control, verdict


@dataclass
class Result:
    """One test. also: conditions without statistics, by name. more: further figures; plots: what the page draws."""

    name: str
    title: str
    seed: int
    bound: float
    comparisons: Sequence[Comparison] = ()
    controls: Sequence[Control] = ()
    also: Mapping[str, bool] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    plots: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Return PASS, FAIL or NO RESULT."""
        return verdict(self.comparisons, self.bound, self.controls, also=self.also)

    def entry(self) -> dict[str, Any]:
        """Return the test's object in build/lab.json. auc is that of the attacker who came farthest."""
        worst = max(self.comparisons, key=lambda each: each.upper, default=None)
        return {
            "title": self.title,
            "verdict": self.verdict,
            "auc": worst and round(worst.auc, 4),
            "interval": worst and [round(edge, 4) for edge in worst.interval],
            "upper": worst and round(worst.upper, 4),
            "limit": round(self.bound, 4),
            "p": worst and worst.extra.get("p"),
            "n": worst and list(worst.n),
            "seed": self.seed,
            "controls": {each.name: {"auc": round(each.auc, 4), "at_least": each.at_least, "fired": each.fired} for each in self.controls},
            "also": dict(self.also),
            "comparisons": {
                each.name: {"auc": round(each.auc, 4), "interval": [round(edge, 4) for edge in each.interval], "upper": round(each.upper, 4), "n": list(each.n)}
                | dict(each.extra)
                for each in self.comparisons
            },
            "more": dict(self.more),
        }


def store(folder: Path, result: Result) -> dict[str, Any]:
    """Keep a finished test; return what was kept."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"entry": result.entry(), "plots": dict(result.plots), "rocs": {each.name: each.roc for each in result.comparisons}}
    replace(folder / f"{result.name}.json", json.dumps(kept))
    return kept


def replace(place: Path, text: str) -> None:
    """Write a file at once, so that nobody reads half of it, and two runs of different tests may end at the same time."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, delete=False) as partial:
        partial.write(text)
    Path(partial.name).chmod(0o644)
    Path(partial.name).replace(place)


def load(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a test that was kept, None where there is none."""
    place = folder / f"{name}.json"
    kept: dict[str, Any] | None = json.loads(place.read_text("utf-8")) if place.exists() else None
    return kept
