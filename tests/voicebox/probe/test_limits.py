"""Who may probe a box, and how often."""

from __future__ import annotations

from voicebox.probe.limits import AN_HOUR, HOUR_US, REMEMBERED, ProbeLimits


def test_a_contact_has_so_many_an_hour_and_others_have_theirs() -> None:
    limits = ProbeLimits(answers=True)
    assert [limits.allow("bob", minute * 60_000_000, busy=False) for minute in range(AN_HOUR + 1)] == [True] * AN_HOUR + [False]
    assert limits.allow("ann", 0, busy=False)
    assert limits.allow("bob", HOUR_US, busy=False), "the first is an hour ago"
    assert not limits.allow("bob", HOUR_US + 1, busy=False)


def test_one_at_a_time_and_none_where_the_user_wants_none() -> None:
    assert not ProbeLimits(answers=True).allow("bob", 0, busy=True)
    assert not ProbeLimits(answers=False).allow("bob", 0, busy=False)


def test_what_is_refused_counts_for_nothing_and_what_is_kept_is_bounded() -> None:
    limits = ProbeLimits(answers=True)
    for _ in range(1000):
        limits.allow("bob", 0, busy=True)
    assert limits.allow("bob", 0, busy=False)
    for number in range(1000):
        limits.allow(f"contact {number}", 0, busy=False)
    assert len(limits._began) == REMEMBERED
