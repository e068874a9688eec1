"""Mutated settings and dial plans: read, or refused with all problems and their places; nothing else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.support.mutation import fuzz
from voicebox.config.load import parse_options
from voicebox.config.model import BOX_OPTIONS, RELAY_OPTIONS, box_config, example_file, relay_config
from voicebox.dialplan.load import DEFAULT_PLAN, parse_plan
from voicebox.dialplan.match import incoming, outgoing
from voicebox.dialplan.model import House
from voicebox.positions import ProblemsFound

pytestmark = pytest.mark.fuzz

WORDS = [
    b"- ",
    b"? ",
    b": ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"&a ",
    b"*a",
    b"!!int ",
    b"|\n",
    b"'",
    b'"',
    b"\t",
    b"#",
    b"---\n",
    b"<<: ",
    b"%YAML 1.2\n",
    b"\x85",
    b"\xff",
]


def test_settings(fuzz_inputs: int) -> None:
    box = example_file(BOX_OPTIONS, {}, "A box").replace("# ", "#")
    relay = example_file(RELAY_OPTIONS, {"listen": ["[::1]:4001"], "role": ["guard"], "operator": ["somebody"]}, "A relay")
    short = [b"profile: dsl\nsuffix: [a, b]\n", b"sip:\n  listen: ['1.2.3.4:5']\n", b"listen: 1.2.3.4:5\nrole: guard\noperator: x\n"]

    def take(octets: bytes) -> None:
        text = octets.decode("utf-8", "replace")
        if text.startswith(("listen", "# A relay")):
            relay_config(parse_options(text, "relay.yaml", RELAY_OPTIONS))
        else:
            box_config(parse_options(text, "box.yaml", BOX_OPTIONS))

    counts = fuzz("settings", fuzz_inputs // 4, [*short, *WORDS], take, ProblemsFound)
    assert counts["taken"] > 100
    fuzz("settings of init", fuzz_inputs // 50, [box.encode(), relay.encode()], take, ProblemsFound)


SMALL = b"""version: 1
settings: { tz: UTC, quiet: { days: sun } }
emergency: { numbers: ["112"], do: refuse }
extensions: { "20": { name: kitchen, phones: [desk] } }
groups: { "30": { ring: ["20"], strategy: random, timeout: 9s } }
outgoing:
  - { dial: "7<n:XX>", do: { contact: "{n}" } }
  - { dial: ["3X", "<local>"], do: local }
incoming:
  - { from: bob, when: { hours: "22:00-07:00" }, do: { ring: "30", then: all, ignore_dnd: true } }
tests:
  - { dial: "112", expect: refuse }
  - { from: bob, at: "sat 23:10", expect: { ring: "30" } }
"""


def test_dial_plans(fuzz_inputs: int) -> None:
    house = House(("desk",), {"bob"})
    now = dt.datetime(2026, 2, 3, 4, 5, tzinfo=dt.UTC)

    def take(octets: bytes) -> None:
        plan = parse_plan(octets.decode("utf-8", "replace"), "plan.yaml")
        for dialled in ("712", "bob", "30", "x" * 100, "+1 (2)"):
            outgoing(plan, dialled, house)
        incoming(plan, "bob", house, now)

    counts = fuzz("dial plans", fuzz_inputs // 40, [*([SMALL] * 40), *WORDS], take, ProblemsFound)
    assert counts["taken"] > 5
    family = Path(__file__).parents[2] / "dialplans" / "family.yaml"
    for path in (DEFAULT_PLAN, family):
        fuzz(f"the plan {path.name}", fuzz_inputs // 800, [path.read_bytes()], take, ProblemsFound)
