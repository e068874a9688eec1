"""Small readers of a dial plan's values, each with its problem and what to try. NOT here: sections (read_places.py, read_rules.py, read_tests.py). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo

import yaml

from voicebox.dialplan.hours import DAY_MINUTES, EVERY_DAY, Hours, parse_days, parse_hours, parse_zone
from voicebox.dialplan.keys import ELSEWHERE, NOT_BUILT, WHEN
from voicebox.dialplan.model import MAX_RING_S
from voicebox.positions import PositionedFile, did_you_mean

PETNAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
PLACE_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
NUMBER = re.compile(r"[0-9]{1,8}\Z")
SPEED_DIAL = re.compile(r"[0-9*#]{1,16}\Z")
_SECONDS = re.compile(r"([1-9][0-9]?)s\Z")
_UTC = ZoneInfo("UTC")
_REFUSED = {name: (f"`{name}` is not built yet", hint) for name, hint in NOT_BUILT.items()} | {
    name: ("is not set here", hint) for name, hint in ELSEWHERE.items()
}
Value = TypeVar("Value")


@dataclass(slots=True)
class Reading:
    """A file that is read. phones: users of the box's accounts, None where they are not known; zone: settings.tz, else that of the first hours."""

    source: PositionedFile
    phones: tuple[str, ...] | None
    suffixes: tuple[str, ...]
    zone: ZoneInfo | None = None

    @property
    def zone_of_tests(self) -> ZoneInfo:
        """Return the zone in which tests tell the time."""
        return self.zone or _UTC

    def mapping(self, node: yaml.Node | None, path: str, known: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return a mapping's values; a key of something that is not built or stands elsewhere is told as such."""
        return self.source.mapping(node, path, known, _REFUSED)

    def not_taken(self, node: yaml.Node, path: str, name: str, known: tuple[str, ...]) -> None:
        """Note a word that is not taken here."""
        self.source.problem(node, path, *_REFUSED.get(name, ("unknown", did_you_mean(name, known))))

    def items(self, node: yaml.Node | None, path: str, most: int) -> list[yaml.Node]:
        """Return a list's items, at most so many."""
        found = self.source.sequence(node, path)
        if len(found) > most:
            self.source.problem(node, path, f"has more than {most} items", "Make it shorter.")
        return found[:most]

    def one_or_many(self, node: yaml.Node, path: str, most: int) -> list[yaml.Node]:
        """Return the items of a list, or a single value as a list of one."""
        return self.items(node, path, most) if isinstance(node, yaml.SequenceNode) else [node]

    def parsed(self, node: yaml.Node, path: str, parse: Callable[[str], Value], hint: str) -> Value | None:
        """Return a value as a parser makes it; what the parser says is a problem."""
        text = self.source.text(node, path)
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.source.problem(node, path, str(error), hint)
            return None

    def shaped(self, node: yaml.Node, path: str, shape: re.Pattern[str], what: str, hint: str) -> str | None:
        """Return a text of some shape, in small letters."""
        text = self.source.text(node, path)
        if text is not None and not shape.match(text.lower()):
            self.source.problem(node, path, what, hint)
            return None
        return None if text is None else text.lower()

    def switch(self, node: yaml.Node, path: str) -> bool:
        """Return what true or false says."""
        text = self.source.text(node, path)
        if text is not None and text not in {"true", "false"}:
            self.source.problem(node, path, "should be true or false", "Write one of the two, without quotes.")
        return text == "true"

    def timeout(self, node: yaml.Node, path: str) -> int | None:
        """Return seconds, as in 25s."""
        text = self.source.text(node, path)
        found = _SECONDS.match(text or "")
        if text is not None and (found is None or int(found[1]) > MAX_RING_S):
            self.source.problem(node, path, f"should be 1s to {MAX_RING_S}s", "Write seconds with an s, for example 25s.")
            return None
        return int(found[1]) if found is not None else None

    def hours(self, node: yaml.Node, path: str) -> Hours | None:
        """Return hours, days, or both."""
        values = self.mapping(node, path, WHEN)
        if not values or not {"hours", "days"} & set(values):
            self.source.problem(node, path, "should say hours or days", 'Write for example { hours: "22:00-07:00", tz: Europe/Berlin }.')
            return None
        start, end = 0, DAY_MINUTES
        if "hours" in values:
            span = self.parsed(values["hours"], f"{path}.hours", parse_hours, 'Write for example "22:00-07:00"; leave hours out for whole days.')
            start, end = span if span is not None else (start, end)
        days = EVERY_DAY
        if "days" in values:
            spans = [
                self.parsed(item, f"{path}.days", parse_days, "Write for example mon-fri, or [sat, sun].")
                for item in self.one_or_many(values["days"], f"{path}.days", 7)
            ]
            days = frozenset(day for span in spans for day in span or ())
        zone = self.read_zone(values["tz"], f"{path}.tz") if "tz" in values else self.zone
        if zone is None and "tz" not in values:
            self.source.problem(node, path, "has no time zone", "Add `tz: Europe/Berlin` here, or once under settings.")
        if zone is None:
            return None
        self.zone = self.zone or zone
        return Hours(start, end, days, zone)

    def read_zone(self, node: yaml.Node, path: str) -> ZoneInfo | None:
        """Return a time zone."""
        return self.parsed(node, path, parse_zone, "Write one as in Europe/Berlin; they come with the package tzdata.")
