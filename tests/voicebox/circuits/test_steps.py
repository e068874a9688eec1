"""The step of a class of links is what half its neighbours ask for; one of them moves nothing."""

from __future__ import annotations

from voicebox.circuits.steps import LEAST_STEP_US, MAX_VOTES, Steps


def test_without_votes_the_step_is_the_least() -> None:
    assert Steps().choose() == LEAST_STEP_US
    assert Steps().of("anybody") == LEAST_STEP_US


def test_one_neighbour_cannot_raise_the_step_for_others() -> None:
    steps = Steps()
    steps.vote("loud", 40_000)
    for name in ("one", "two", "three"):
        steps.vote(name, 10_000)
        for _ in range(50):
            steps.vote("loud", 40_000)
        assert steps.choose() == 10_000
    assert (steps.of("loud"), steps.of("one"), steps.of("new")) == (40_000, 10_000, 10_000)


def test_most_neighbours_can_in_both_directions() -> None:
    steps = Steps()
    for name in range(5):
        steps.vote(name, 15_000)
    for name in range(6):
        steps.vote(name + 5, 5_000)
    assert steps.choose() == 5_000
    for name in range(6):
        steps.vote(name, 30_000)
    assert steps.choose() == 30_000


def test_votes_are_bounded_and_the_oldest_gives_way() -> None:
    steps = Steps()
    for name in range(MAX_VOTES):
        steps.vote(name, 40_000)
    for name in range(MAX_VOTES, MAX_VOTES + MAX_VOTES // 2):
        steps.vote(name, 5_000)
    assert steps.choose() == 5_000, "half of those that are left"
    steps.vote(MAX_VOTES // 2, 40_000)
    assert steps.of(MAX_VOTES // 2) == 40_000
