"""Hours of a dial plan: over midnight, days of nights, time zones and their summer time."""

from __future__ import annotations

import datetime as dt
import random
from zoneinfo import ZoneInfo

import pytest

from voicebox.dialplan.hours import DAYS, Hours, parse_at, parse_days, parse_hours, parse_zone

ZURICH = ZoneInfo("Europe/Zurich")


def hours(span: str, days: str = "mon-sun", zone: ZoneInfo = ZURICH) -> Hours:
    return Hours(*parse_hours(span), parse_days(days), zone)


@pytest.mark.parametrize(
    ("span", "days", "inside", "outside"),
    [
        ("08:00-12:00", "mon-fri", ["mon 08:00", "fri 11:59"], ["mon 07:59", "mon 12:00", "sat 09:00"]),
        ("22:00-07:00", "mon-sun", ["mon 22:00", "tue 00:00", "sun 06:59"], ["mon 07:00", "mon 21:59"]),
        ("22:00-07:00", "fri", ["fri 22:00", "sat 06:59"], ["fri 06:59", "sat 07:00", "sat 22:00", "thu 23:00"]),
        ("22:00-07:00", "sun", ["sun 23:00", "mon 03:00"], ["sat 23:00", "sun 03:00"]),
        ("00:00-24:00", "sat-sun", ["sat 00:00", "sun 23:59"], ["fri 23:59", "mon 00:00"]),
        ("22:00-24:00", "sat-mon", ["sat 23:59", "sun 22:00", "mon 22:00"], ["sun 00:00", "tue 22:00"]),
    ],
)
def test_hours_hold(span: str, days: str, inside: list[str], outside: list[str]) -> None:
    wanted = hours(span, days)
    assert [at for at in inside if not wanted.hold(parse_at(at, ZURICH))] == []
    assert [at for at in outside if wanted.hold(parse_at(at, ZURICH))] == []


def test_hours_are_those_of_their_zone_in_summer_and_winter() -> None:
    night = hours("22:00-07:00")
    assert not night.hold(dt.datetime(2026, 1, 10, 20, 59, tzinfo=dt.UTC))
    assert night.hold(dt.datetime(2026, 1, 10, 21, 0, tzinfo=dt.UTC))
    assert night.hold(dt.datetime(2026, 7, 10, 20, 0, tzinfo=dt.UTC))
    assert not night.hold(dt.datetime(2026, 7, 10, 5, 0, tzinfo=dt.UTC))
    assert night.hold(parse_at("mon 16:30", ZoneInfo("America/New_York")))


@pytest.mark.parametrize(
    "text", ["", "22:00", "22:00-", "7:00-8:00", "24:00-07:00", "22:60-23:00", "07:00-07:00", "22.00-23.00", "22:00-07:00-08:00", "٢٢:00-23:00"]
)
def test_wrong_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_hours(text)


@pytest.mark.parametrize("text", ["", "monday", "mon-", "-fri", "mon-fri-sat", "Mon"])
def test_wrong_days(text: str) -> None:
    with pytest.raises(ValueError, match="should be one of mon"):
        parse_days(text)


@pytest.mark.parametrize("text", ["", "Europe", "Europe/Nowhere", "../etc/passwd", "/etc/passwd", "Europe/../UTC", "x" * 200, "Z\0"])
def test_wrong_zones(text: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        parse_zone(text)


@pytest.mark.parametrize("text", ["", "sat", "sat 7:00", "xyz 12:00", "12:00 sat", "sat  12:00"])
def test_wrong_moments(text: str) -> None:
    with pytest.raises(ValueError, match="sat 23:10"):
        parse_at(text, ZURICH)


def test_within_is_what_every_minute_says() -> None:
    rng = random.Random(7)
    seen = set()
    for _ in range(60):
        one, two = (hours(f"{rng.randrange(0, 12):02}:00-{rng.randrange(12, 24):02}:30", rng.choice(["mon", "mon-wed", "mon-sun"])) for _ in range(2))
        moments = [parse_at(f"{day} {hour:02}:{minute:02}", ZURICH) for day in DAYS[:4] for hour in range(24) for minute in (0, 15, 30, 45)]
        said = one.within([two])
        assert said is all(two.hold(at) for at in moments if one.hold(at))
        seen.add(said)
    assert seen == {True, False}
    assert not hours("08:00-09:00").within([])
    assert not hours("08:00-09:00").within([hours("00:00-24:00", zone=ZoneInfo("UTC"))]), "another zone is not compared"
    assert hours("08:00-10:00").within([hours("08:00-09:00"), hours("09:00-10:00")])
