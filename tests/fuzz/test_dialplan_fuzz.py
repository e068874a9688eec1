"""Dial plans whose parts were exchanged, left out or doubled: read, or refused with all problems and their places; and what is read decides about any call."""

from __future__ import annotations

import copy
import datetime as dt
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.mutation import SEED
from voicebox.dialplan import keys
from voicebox.dialplan.explain import explain_incoming, explain_outgoing
from voicebox.dialplan.load import parse_plan
from voicebox.dialplan.match import incoming, outgoing
from voicebox.dialplan.model import CallContact, EmergencyCall, House, NoAnswer, RingPhones
from voicebox.positions import ProblemsFound

pytestmark = pytest.mark.fuzz

PLANS = sorted((Path(__file__).parents[2] / "dialplans").glob("*.yaml"))
HOUSE = House(("kitchen", "reception", "ben-mobile"), {"bob", "grandma", "carol"}, frozenset({"eve"}), dnd_phones=frozenset({"ben-mobile"}))
WORDS = [
    *sorted({word for name in dir(keys) if name.isupper() for word in getattr(keys, name)}),
    *("112", "20", "30", "0", "2X", "<contact>", "<local>", "<name>", "7<n:XX>", ".", "!", "{n}", "{contact}", "all", "bob", "kitchen", "contacts", "blocked"),
    *(
        "22:00-07:00",
        "07:00-22:00",
        "mon-fri",
        "sat",
        "UTC",
        "Europe/Zurich",
        "Nowhere",
        "25s",
        "90s",
        "0s",
        "404",
        "true",
        "false",
        "in order",
        "random",
        "",
        "é",
    ),
]
Place = tuple[Any, Any]
"""A list or mapping, and an index or key in it."""


def places(node: Any) -> list[Place]:
    """Return every place of a tree below its root."""
    here = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [(node, key) for key, _ in here] + [place for _, value in here for place in places(value)]


def change(tree: dict[str, Any], rng: random.Random) -> None:
    """Change one thing somewhere."""
    found = places(tree)
    if not found:
        return
    holder, key = rng.choice(found)
    match rng.randrange(5):
        case 0:
            holder[key] = rng.choice(WORDS)
        case 1:
            other, where = rng.choice(found)
            holder[key] = copy.deepcopy(other[where])
        case 2:
            del holder[key]
        case 3 if isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        case 3:
            holder[rng.choice(WORDS)] = holder.pop(key)
        case _ if isinstance(holder, list):
            rng.shuffle(holder)
        case _:
            holder[rng.choice(WORDS)] = copy.deepcopy(holder[key])


def test_changed_plans(fuzz_inputs: int) -> None:
    rng = random.Random(f"{SEED} changed plans")
    inputs = fuzz_inputs // 320
    trees = [yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader) for path in PLANS]
    counts: Counter[str] = Counter()
    for _ in range(inputs):
        tree = copy.deepcopy(rng.choice(trees))
        if rng.random() < 0.5:
            tree.pop("tests")
        for _ in range(rng.randint(1, 3)):
            change(tree, rng)
        text = json.dumps(tree)
        try:
            plan = parse_plan(text, "plan.yaml", suffixes=("privacy",))
        except ProblemsFound as problem:
            vague = [str(each) for each in problem.problems if not each.hint or each.line != 1]
            assert vague == [], text
            counts["refused"] += 1
            continue
        counts["taken"] += 1
        for dialled in ("112", "+41-112", "20", "712", "bob", "eve", "kitchen", rng.choice(WORDS)):
            decision = outgoing(plan, dialled, HOUSE)
            counts[type(decision).__name__] += 1
            assert list(explain_outgoing(plan, dialled, HOUSE))
            assert not isinstance(decision, CallContact) or decision.petname in {"bob", "grandma", "carol"}
            assert isinstance(decision, EmergencyCall) or dialled not in plan.emergency
        for petname in ("bob", "grandma", "eve"):
            at = dt.datetime.fromtimestamp(rng.randrange(1 << 32), dt.UTC)
            answer = incoming(plan, petname, HOUSE, at)
            counts[type(answer).__name__] += 1
            assert list(explain_incoming(plan, petname, HOUSE, at))
            assert isinstance(answer, NoAnswer) or (petname != "eve" and "ben-mobile" not in answer.phones)
            seconds = answer.total_s if isinstance(answer, RingPhones) else answer.after_s
            assert 0 < seconds <= 90
    print(f"changed plans: {inputs} inputs, seed {SEED}, {dict(counts)}")
    assert min(counts[name] for name in ("taken", "refused", "CallContact", "RingPhones", "EmergencyCall", "RefuseCall", "NoAnswer")) > 10
