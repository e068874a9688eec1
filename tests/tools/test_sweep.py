"""A sweep over emulated networks: each figure is varied by itself, worse links sound worse, and the table and the plot hold every case."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tools.probe import main
from tools.sweep import cases_of, plot, sweep, table
from voicebox.probe.codecs import ProbeCodec

PLAN = {
    "codecs": ["opus24"],
    "seconds": 4,
    "base": {"wire_ms": 10, "jitter_ms": 0, "loss_pct": 0},
    "loss_pct": [0, 20],
    "wire_ms": [10, 60],
    "jitter_ms": [0, 20],
}


def test_each_figure_is_varied_by_itself() -> None:
    cases = list(cases_of(PLAN))
    assert [name for name, _ in cases] == ["loss_pct"] * 2 + ["wire_ms"] * 2 + ["jitter_ms"] * 2
    assert {case.codec for _, case in cases} == {ProbeCodec.OPUS24}
    assert [(case.loss_pct, case.wire_ms, case.jitter_ms) for _, case in cases] == [(0, 10, 0), (20, 10, 0), (0, 10, 0), (0, 60, 0), (0, 10, 0), (0, 10, 20)]
    assert [case.step_ms() for _, case in cases] == [5, 5, 5, 5, 5, 30]
    with pytest.raises(ValueError, match="does not speak"):
        list(cases_of({**PLAN, "codecs": ["g729"]}))


def test_worse_links_sound_worse_and_the_network_costs_delay() -> None:
    runs = sweep(PLAN)
    for better, worse in zip(runs[::2], runs[1::2], strict=True):
        assert worse.network.worse.best.rating.r < better.network.worse.best.rating.r
        assert worse.direct.worse.best.rating.r <= better.direct.worse.best.rating.r
    assert runs[0].network.worse.best.mouth_to_ear_ms > runs[0].direct.worse.best.mouth_to_ear_ms + 3 * 10
    assert runs[1].network.worse.lost_pct < runs[1].direct.worse.lost_pct, "single losses are repaired"
    assert runs[5].network.worse.lost_pct < 2, "the de-jitter step fits"
    lines = table(runs).splitlines()
    assert len(lines) == 2 + len(runs)
    assert len({line.count("|") for line in lines}) == 1
    drawing = ET.fromstring(plot(runs))
    assert len(drawing.findall("{http://www.w3.org/2000/svg}polyline")) == 3 * 2


def test_without_a_sweep_it_is_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bob", "--home", str(tmp_path)]) == 5
    assert "Nothing runs" in capsys.readouterr().err
