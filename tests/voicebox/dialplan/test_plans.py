"""The plans in dialplans/, and the schema beside them: what editors are told is what is read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicebox.dialplan import keys
from voicebox.dialplan.load import DEFAULT_PLAN, load_plan
from voicebox.dialplan.model import Callers, Strategy
from voicebox.dialplan.read_rules import MAX_RULES
from voicebox.dialplan.read_tests import MAX_TESTS

FOLDER = Path(__file__).parents[3] / "dialplans"
PLANS = sorted(FOLDER.glob("*.yaml"))
SCHEMA: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text("utf-8"))


def phones_of(path: Path) -> tuple[str, ...]:
    extensions = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader).get("extensions") or {}
    return tuple(phone for extension in extensions.values() for phone in extension["phones"])


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_every_plan_loads_and_passes_its_tests(path: Path) -> None:
    for phones in (None, phones_of(path)):
        plan = load_plan(path, phones)
        assert len(plan.tests) >= 8
        assert {test.dialled is None for test in plan.tests} == {True, False}, "both of what is dialled and of who calls"


def test_there_is_a_plan_for_anybody_a_family_and_an_office() -> None:
    assert [path.name for path in PLANS] == ["default.yaml", "family.yaml", "small-office.yaml"]
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert [path.name for path in PLANS if f"`{path.name}`" not in readme] == []


def test_the_default_is_the_one_that_init_writes() -> None:
    """It stands twice because only what is below voicebox/ goes into a wheel; a symbolic link does not survive every way of copying a tree."""
    assert (FOLDER / "default.yaml").read_bytes() == DEFAULT_PLAN.read_bytes()


def test_a_plan_for_another_suffix_is_refused(tmp_path: Path) -> None:
    assert load_plan(FOLDER / "default.yaml", suffixes=("home",)).suffixes == ("home",)
    with pytest.raises(Exception, match="ends in no suffix of this box, which has home"):
        load_plan(FOLDER / "family.yaml", suffixes=("home",))


def test_the_readme_names_every_word() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    words = [word for name in dir(keys) if name.isupper() and name not in {"NOT_BUILT", "ELSEWHERE"} for word in getattr(keys, name)]
    assert len(words) > 40
    assert [word for word in words if not re.search(rf"\b{re.escape(word)}\b", readme) and word not in {"voicemail", "call_log", "unknown"}] == []


# --------------------------------------------------------------------------------------------------------------- schema


def taken(node: dict[str, Any]) -> tuple[str, ...]:
    assert node["additionalProperties"] is False
    return tuple(node["properties"])


def test_schema_takes_what_the_loader_takes() -> None:
    parts = SCHEMA["$defs"]
    assert taken(SCHEMA) == keys.PLAN
    for name, words in {
        "settings": keys.SETTINGS,
        "emergency": keys.EMERGENCY,
        "extension": keys.EXTENSION,
        "group": keys.GROUP,
        "outgoing_rule": keys.OUTGOING_RULE,
        "incoming_rule": keys.INCOMING_RULE,
        "when": keys.WHEN,
        "outgoing_ring": keys.OUTGOING_RING,
        "incoming_ring": keys.INCOMING_RING,
        "outgoing_test": keys.OUTGOING_TEST,
        "incoming_test": keys.INCOMING_TEST,
    }.items():
        assert taken(parts[name]) == words, name
    single = [next(iter(form["properties"])) for form in parts["outgoing_act"]["anyOf"] if "$ref" not in form]
    assert (*single, "ring") == keys.OUTGOING_ACTS
    assert tuple(parts["outgoing_rule"]["properties"]["do"]["anyOf"][0]["enum"]) == keys.OUTGOING_WORDS
    assert tuple(parts["incoming_act"]["anyOf"][0]["enum"]) == keys.INCOMING_WORDS
    assert parts["group"]["properties"]["strategy"]["enum"] == [strategy.value for strategy in Strategy]
    assert [part["maxItems"] for part in (SCHEMA["properties"]["outgoing"], SCHEMA["properties"]["tests"])] == [MAX_RULES, MAX_TESTS]
    assert {"blocked", "unknown", "contacts"} == {caller.value for caller in Callers}


KINDS: dict[str, tuple[type, ...]] = {"object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "integer": (int,), "number": (int, float)}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Judge by the part of JSON Schema 2020-12 that schema.json uses; a word that is not known here fails loudly."""
    unknown = set(schema) - {
        *("$schema", "title", "description", "$defs", "type", "enum", "anyOf", "$ref", "properties", "patternProperties"),
        *("additionalProperties", "required", "items", "minItems", "maxItems", "minProperties", "pattern"),
    }
    assert not unknown, unknown
    if "$ref" in schema and not fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "anyOf" in schema and not any(fits(value, form) for form in schema["anyOf"]):
        return False
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, KINDS[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds):
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**6) and all(fits(item, schema.get("items", {})) for item in value)
    if isinstance(value, dict):
        if not set(schema.get("required", ())) <= set(value) or len(value) < schema.get("minProperties", 0):
            return False
        for key, item in value.items():
            forms = [form for name, form in schema.get("properties", {}).items() if name == key]
            forms += [form for pattern, form in schema.get("patternProperties", {}).items() if re.search(pattern, str(key))]
            if not all(fits(item, form) for form in forms) or (not forms and schema.get("additionalProperties") is False):
                return False
    return True


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
@pytest.mark.parametrize("loader", [yaml.BaseLoader, yaml.SafeLoader], ids=["as the box reads it", "as editors read it"])
def test_schema_takes_every_plan(path: Path, loader: Any) -> None:
    """Editors make numbers and truths of what is not in quotes; the box does not."""
    assert fits(yaml.load(path.read_text("utf-8"), Loader=loader), SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("settings:", "setings:"),
        ("strategy: in order", "strategy: in_order"),
        ("timeout: 40s", "timeout: 40"),
        ("do: echo", "do: ecko"),
        ("do: local", "do: { call: bob, ring: all }"),
        ('hours: "22:00-07:00"', 'hours: "22-7"'),
        ("from: grandma,", "form: grandma,"),
        ("do: no-answer", "do: voicemail"),
        ("phones: [kitchen]", "phones: []"),
        ("do: refuse", "do: call"),
        ('"20": {', '"2x": {'),
        ("expect: drop", "expect: { call: bob }"),
        ("version: 1", "version: 2"),
    ],
)
def test_schema_refuses_what_the_loader_refuses(old: str, new: str) -> None:
    text = (FOLDER / "family.yaml").read_text("utf-8")
    assert old in text
    assert not fits(yaml.load(text.replace(old, new, 1), Loader=yaml.SafeLoader), SCHEMA)
