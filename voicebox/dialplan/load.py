"""Read a dial plan: all problems at once, each with its place and what to try; the plan's own tests are run at every load. [io: load_*]

dialplans/README.md describes the file, dialplans/schema.json tells it to editors; keys.py names its words. NOT here: the parts (read_*.py), rules that
are never reached (check.py), matching (match.py).
"""

from __future__ import annotations

from pathlib import Path

from voicebox.dialplan.check import check_reachable
from voicebox.dialplan.dnd import DND_FILE, Dnd, parse_dnd
from voicebox.dialplan.keys import PLAN
from voicebox.dialplan.model import DialPlan
from voicebox.dialplan.read import Reading
from voicebox.dialplan.read_places import read_emergency, read_places, read_settings, read_speed_dials
from voicebox.dialplan.read_rules import read_incoming, read_outgoing
from voicebox.dialplan.read_tests import failed_tests, read_tests
from voicebox.errors import FileProblem
from voicebox.positions import ConfigProblem, PositionedFile

DEFAULT_PLAN = Path(__file__).with_name("default.yaml")
MAX_FILE_OCTETS = 1 << 18
SUFFIXES = ("privacy", "privacy.alt")


def parse_plan(text: str, file: str, phones: tuple[str, ...] | None = None, suffixes: tuple[str, ...] = SUFFIXES) -> DialPlan:
    """Read a plan. phones: users of the box's accounts, None where the plan is looked at without a box; suffixes: of its names. Raises ProblemsFound."""
    source = PositionedFile(text, file)
    source.raise_problems()
    reading = Reading(source, phones, suffixes)
    top = reading.mapping(source.root, "", PLAN)
    if not source.problems and ("version" not in top or source.text(top["version"], "version") != "1"):
        source.problem(top.get("version", source.root), "version", "should be 1", "Write `version: 1` at the top.")
    quiet, keeps_missed, takes_messages = read_settings(reading, top.get("settings"))
    emergency = read_emergency(reading, top.get("emergency"))
    places = read_places(reading, top.get("extensions"), top.get("groups"), emergency)
    plan = DialPlan(
        emergency,
        places,
        read_speed_dials(reading, top.get("speed_dials"), emergency),
        read_outgoing(reading, top.get("outgoing"), places),
        read_incoming(reading, top.get("incoming"), places),
        quiet,
        read_tests(reading, top.get("tests"), places),
        suffixes,
        reading.zone_of_tests,
        keeps_missed,
        takes_messages,
    )
    source.raise_problems()
    check_reachable(plan, lambda line, part, what, hint: source.problems.append(ConfigProblem(file, line, 1, part, what, hint)))
    source.raise_problems()
    hint = "Change the rule or the test; `voicebox dialplan explain` says what each rule does."
    failed_tests(plan, phones or (), lambda line, what: source.problems.append(ConfigProblem(file, line, 1, "tests", what, hint)))
    source.raise_problems()
    return plan


def load_plan(path: Path, phones: tuple[str, ...] | None = None, suffixes: tuple[str, ...] = SUFFIXES) -> DialPlan:
    """Read a plan's file; phones, suffixes: as in parse_plan. Raises FileProblem, ProblemsFound."""
    text = _text(path, "the dial plan", "`voicebox init` puts one there.", "Is this a dial plan? `dialplan` in box.yaml names it.")
    return parse_plan(text, str(path), phones, suffixes)


def load_dnd(home: Path) -> Dnd:
    """Read who is not to be disturbed; nobody where there is no file. Raises FileProblem, ProblemsFound."""
    path, hint = home / DND_FILE, "Delete it: `voicebox dnd on` writes it anew."
    return parse_dnd(_text(path, "do not disturb", hint, hint), str(path)) if path.exists() else Dnd()


def _text(path: Path, what: str, missing: str, wrong: str) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise FileProblem(str(path), 0, f"{what} cannot be read ({error.strerror})", missing) from None
    if len(octets) > MAX_FILE_OCTETS:
        raise FileProblem(str(path), 0, f"{what} has at most {MAX_FILE_OCTETS} octets", wrong)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise FileProblem(str(path), 0, f"{what} is not UTF-8 text", wrong) from None
