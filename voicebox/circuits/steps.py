"""Which de-jitter step a new circuit gets: one for each class of links, by what the links of many neighbours ask for.

Each neighbour has one vote, its latest: the least step of the grid that covers 99.9 % of what its link brought. The class gets their median, the lower of two
in the middle, so that no single neighbour, however late its cells are, raises the step for others. NOT here: the counting (relay/core/src/jitter.rs),
the grid (the engine's). Pure. Spec: PROTOCOL.md §5.3.
"""

from __future__ import annotations

from collections.abc import Hashable

LEAST_STEP_US = 5_000
ASK_EVERY_S = 60
"""So often the engine is asked what its links ask for."""
MAX_VOTES = 256


class Steps:
    """The votes of one class of links. At most 256; the oldest gives way."""

    def __init__(self) -> None:
        self._votes: dict[Hashable, int] = {}

    def vote(self, neighbour: Hashable, step_us: int) -> None:
        """Take a neighbour's vote in the place of its last one."""
        self._votes.pop(neighbour, None)
        self._votes[neighbour] = step_us
        while len(self._votes) > MAX_VOTES:
            del self._votes[next(iter(self._votes))]

    def choose(self) -> int:
        """Return the step of the class in microseconds: the least while nobody has voted."""
        votes = sorted(self._votes.values())
        return votes[(len(votes) - 1) // 2] if votes else LEAST_STEP_US

    def of(self, neighbour: Hashable) -> int:
        """Return what one neighbour asks for, or the step of the class: for a delay that only we ourselves bear."""
        return self._votes.get(neighbour, self.choose())
