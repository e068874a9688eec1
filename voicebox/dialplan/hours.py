"""Times of day in a dial plan: hours and days of a time zone, over midnight too. Pure, but for the system's time zones, which parse_zone reads."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
EVERY_DAY = frozenset(range(7))
TEST_WEEK = dt.date(2026, 1, 5)
"""A Monday. Tests of a plan name a day and a time; they mean this week."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9+_/-]{0,63}")


@dataclass(frozen=True, slots=True)
class Hours:
    """Some hours of some days. start, end: minutes of the day, 0..1440; end before start: over midnight, of the day on which they begin. days: 0 is Monday."""

    start: int
    end: int
    days: frozenset[int]
    zone: ZoneInfo

    def hold(self, at: dt.datetime) -> bool:
        """Return whether a moment, with its zone, lies in these hours; the end is outside."""
        local = at.astimezone(self.zone)
        return self._hold(local.weekday(), local.hour * 60 + local.minute)

    def _hold(self, day: int, minute: int) -> bool:
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)

    def within(self, others: list[Hours]) -> bool:
        """Return whether others of the same zone hold at every moment at which these do."""
        same = [other for other in others if other.zone.key == self.zone.key]
        edges = {0} | {edge % DAY_MINUTES for hours in (self, *same) for edge in (hours.start, hours.end)}  # between two nothing changes
        moments = ((day, minute) for day in range(7) for minute in edges if self._hold(day, minute))
        return bool(same) and all(any(other._hold(day, minute) for other in same) for day, minute in moments)  # noqa: SLF001  # of its own class


def parse_hours(text: str) -> tuple[int, int]:
    """Read `22:00-07:00` as two minutes of the day. Raises ValueError with what is wrong."""
    first, dash, second = text.partition("-")
    start, end = _minute(first), DAY_MINUTES if second == "24:00" else _minute(second)
    if not dash or start is None or end is None:
        raise ValueError("should be two times, for example 22:00-07:00")
    if start == end:
        raise ValueError("end when they begin")
    return start, end


def parse_days(text: str) -> frozenset[int]:
    """Read `mon` or `mon-fri`. Raises ValueError with what is wrong."""
    first, dash, last = text.partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError(f"should be one of {', '.join(DAYS)}, or two of them as in mon-fri")
    begin, length = DAYS.index(first), (DAYS.index(last) - DAYS.index(first)) % 7 if dash else 0
    return frozenset((begin + step) % 7 for step in range(length + 1))


def parse_zone(text: str) -> ZoneInfo:
    """Read the name of a time zone. Raises ValueError where this machine does not know it."""
    try:
        if _ZONE.fullmatch(text):
            return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        pass
    raise ValueError("is no time zone that this machine knows")


def parse_at(text: str, zone: ZoneInfo) -> dt.datetime:
    """Read `sat 23:10`, or `23:10` for Monday, as a moment of the week that tests mean. Raises ValueError with what is wrong."""
    day, space, time = text.partition(" ")
    minute = _minute(time if space else text)
    if minute is None or (space and day not in DAYS):
        raise ValueError("should be a time, or a day and a time, for example sat 23:10")
    date = TEST_WEEK + dt.timedelta(days=DAYS.index(day) if space else 0)
    return dt.datetime.combine(date, dt.time(minute // 60, minute % 60), zone)


def _minute(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    return None if found is None else int(found[1]) * 60 + int(found[2])
