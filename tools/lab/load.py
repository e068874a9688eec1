"""Read the file of a test network: all problems at once, each with its place. [io: load_network]

    version: 1
    seed: 7
    epoch_s: 3600
    profile: home
    relays: { guard-1: guard, junction-1: junction, ... }
    boxes:  { alice: { guards: [guard-1, guard-2] }, ... }
    phones: { alice-desk: alice, ... }                            phone: box
    strangers: [mallory, ...]                                     who run nothing of ours; may be left out
    wires:  [ { between: [box, relay], delay_ms: 19, ... }, ... ]  the first that fits; ends are names or guard, junction, relay, box, phone, stranger

The keys of a wire are those of plan.Impairments; `outages: [ { from_s: 5, for_s: 1 } ]`. Examples: networks/*.yaml.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import yaml

from tools.lab.plan import MAX_OF_A_KIND, ROLES, BoxNode, Impairments, LabNetwork, Outage, WireRule
from voicebox.config.model import Profile
from voicebox.errors import FileProblem
from voicebox.positions import PositionedFile, did_you_mean

NETWORKS = Path(__file__).with_name("networks")
TOP = ("version", "seed", "epoch_s", "profile", "relays", "boxes", "phones", "strangers", "wires")
NUMBERS = tuple(field.name for field in fields(Impairments) if field.name != "outages")
UPPER = {"_pct": 100.0, "_ms": 10_000.0, "_kbit": 10_000_000.0, "_s": 86_400.0}
"""The largest value of each unit."""
MAX_WIRES = 200
MAX_OUTAGES = 100
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")


def load_network(path: Path) -> LabNetwork:
    """Read a network's file. Raises FileProblem, ProblemsFound."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise FileProblem(str(path), 0, "the file cannot be read", f"Examples are in {NETWORKS}.") from None
    return parse_network(text, str(path))


def parse_network(text: str, file: str) -> LabNetwork:
    """Read a network. Raises ProblemsFound."""
    source = PositionedFile(text, file)
    top = source.mapping(source.root, "", TOP)
    if not source.problems and ("version" not in top or source.text(top["version"], "version") != "1"):
        source.problem(top.get("version", source.root), "version", "should be 1", "Write `version: 1` at the top.")
    seed = _whole(source, top.get("seed"), "seed", 0, (0, (1 << 64) - 1))
    epoch_s = _whole(source, top.get("epoch_s"), "epoch_s", 3_600, (20, 86_400))
    profile = _one_of(source, top.get("profile"), "profile", [each.value for each in Profile]) or Profile.HOME.value
    relays = _relays(source, top.get("relays"))
    guards = [name for name, role in relays.items() if role == "guard"]
    boxes = _boxes(source, top.get("boxes"), guards)
    phones = _phones(source, top.get("phones"), boxes)
    strangers = _strangers(source, top.get("strangers"))
    seen: set[str] = set()
    for kind, names in (("boxes", boxes), ("phones", phones), ("relays", relays), ("strangers", strangers)):
        for name in seen & set(names):
            source.problem(top[kind], f"{kind}.{name}", "two nodes have this name")
        seen |= set(names)
    wires = _wires(source, top.get("wires"), seen)
    source.raise_problems()
    return LabNetwork(seed, epoch_s, profile, relays, boxes, phones, wires, strangers)


def _whole(source: PositionedFile, node: yaml.Node | None, path: str, default: int, span: tuple[int, int]) -> int:
    text = source.text(node, path) if node is not None else str(default)
    if text is None or not text.isascii() or not text.isdigit() or not span[0] <= int(text[:21]) <= span[1]:
        source.problem(node, path, f"should be a whole number from {span[0]} to {span[1]}")
        return default
    return int(text)


def _one_of(source: PositionedFile, node: yaml.Node | None, path: str, known: Iterable[str]) -> str | None:
    """Return a word of a list; None where there is none, which is a problem unless there is no node."""
    text = source.text(node, path) if node is not None else None
    names = list(known)
    if text is None or text in names:
        return text
    source.problem(node, path, f"unknown: {text}", did_you_mean(text, names) if names else "")
    return None


def _named(source: PositionedFile, node: yaml.Node | None, kind: str) -> Mapping[str, yaml.Node]:
    found = source.mapping(node, kind)
    if not 1 <= len(found) <= MAX_OF_A_KIND and not source.problems:
        source.problem(node or source.root, kind, f"should be 1 to {MAX_OF_A_KIND}")
    for name, value in found.items():
        _check_name(source, value, f"{kind}.{name}", name)
    return dict(list(found.items())[:MAX_OF_A_KIND])


def _relays(source: PositionedFile, node: yaml.Node | None) -> Mapping[str, str]:
    found = {}
    for name, value in _named(source, node, "relays").items():
        role = _one_of(source, value, f"relays.{name}", ("guard", "junction"))
        if role:
            found[name] = role
    for role in {"guard", "junction"} - set(found.values()):
        source.problem(node or source.root, "relays", f"has no {role}")
    return found


def _boxes(source: PositionedFile, node: yaml.Node | None, guards: list[str]) -> Mapping[str, BoxNode]:
    found = {}
    for name, value in _named(source, node, "boxes").items():
        keys = source.mapping(value, f"boxes.{name}", ("guards",))
        path = f"boxes.{name}.guards"
        wanted = [_one_of(source, item, path, guards) for item in source.sequence(keys.get("guards"), path)]
        found[name] = BoxNode(tuple(guard for guard in wanted if guard) or tuple(guards))
    return found


def _phones(source: PositionedFile, node: yaml.Node | None, boxes: Iterable[str]) -> Mapping[str, str]:
    found = {}
    for name, value in _named(source, node, "phones").items():
        box = _one_of(source, value, f"phones.{name}", boxes)
        if box:
            found[name] = box
    return found


def _strangers(source: PositionedFile, node: yaml.Node | None) -> tuple[str, ...]:
    names = []
    for item in source.sequence(node, "strangers")[:MAX_OF_A_KIND]:
        name = source.text(item, "strangers") or ""
        _check_name(source, item, "strangers", name)
        if name in names:
            source.problem(item, "strangers", "given twice", "Delete one of the two.")
        names.append(name)
    return tuple(names)


def _check_name(source: PositionedFile, node: yaml.Node, path: str, name: str) -> None:
    if not _NAME.match(name) or name in ROLES:
        source.problem(node, path, "a name has small letters, digits and hyphens, begins with a letter, and is no role")


def _wires(source: PositionedFile, node: yaml.Node | None, names: set[str]) -> tuple[WireRule, ...]:
    items = source.sequence(node, "wires")
    if not 1 <= len(items) <= MAX_WIRES:
        source.problem(node or source.root, "wires", f"should be a list of 1 to {MAX_WIRES}")
    rules = [_wire(source, item, f"wires[{index}]", names) for index, item in enumerate(items[:MAX_WIRES])]
    return tuple(rule for rule in rules if rule is not None)


def _wire(source: PositionedFile, node: yaml.Node, path: str, names: set[str]) -> WireRule | None:
    values = source.mapping(node, path, ("between", "outages", *NUMBERS))
    ends = source.sequence(values.get("between"), f"{path}.between")
    if len(ends) != 2:
        source.problem(values.get("between", node), f"{path}.between", "should be two ends", "Write for example `between: [box, relay]`.")
        return None
    near, far = (_one_of(source, end, f"{path}.between", sorted(names | set(ROLES))) for end in ends)
    numbers = {name: _number(source, values[name], f"{path}.{name}") for name in NUMBERS if name in values}
    impairments = Impairments(**numbers, outages=_outages(source, values.get("outages"), f"{path}.outages"))
    return WireRule((near, far), impairments) if near and far else None


def _number(source: PositionedFile, node: yaml.Node, path: str) -> float:
    text = source.text(node, path) or ""
    upper = next(value for unit, value in UPPER.items() if path.endswith(unit))
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= upper:
        source.problem(node, path, f"should be a number from 0 to {upper:g}")
        return 0.0
    return number


def _outages(source: PositionedFile, node: yaml.Node | None, path: str) -> tuple[Outage, ...]:
    found = []
    for item in source.sequence(node, path)[:MAX_OUTAGES]:
        values = source.mapping(item, path, ("from_s", "for_s"))
        if len(values) == 2:
            found.append(Outage(*(_number(source, values[name], f"{path}.{name}") for name in ("from_s", "for_s"))))
        else:
            source.problem(item, path, "an outage has `from_s` and `for_s`")
    return tuple(found)
