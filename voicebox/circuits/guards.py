"""The guards of a box: a small set, drawn by weight, kept for months, changed by rule alone and never because of a call.

    each guard is kept for a time drawn when it is taken, and then gives its place to a fresh one
    one that is gone from the network is waited for, and then replaced in its place; a spare one serves meanwhile; only where all are gone nothing is waited for
    one that cannot be reached is set aside for some hours, tried again, and replaced after days of that
    in any 60 days no more are drawn than twice the set: whoever can cut a box off from its guards cannot make it try many

    voicebox guards 1
    drawn      Unix time of a draw; one line each, of the last 60 days
    guard      relay id, end of its time, KEPT | GONE | AWAY, since what time; Unix time; in the order of use

NOT here: paths (path.py), links (standing.py), disks. Pure; randomness and time (Unix seconds) are handed in. Spec: PROTOCOL.md §10.5.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, unique

from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.lines import LineReader
from voicebox.circuits.path import Pool, Rng, apart

SPARE_GUARDS = 1
"""Guards kept beside those in use, for when one stays unreachable."""
DAY_S = 86_400
KEEP_S = (120 * DAY_S, 240 * DAY_S)
GONE_WAIT_S = (1 * DAY_S, 3 * DAY_S)
AWAY_WAIT_S = (3 * DAY_S, 7 * DAY_S)
RETRY_S = (4 * 3600, 12 * 3600)
BUDGET_S = 60 * DAY_S
BUDGET_SETS = 2
GUARDS_FILE = "guards"
MAX_GUARDS = 8
_HINT = "Restore it from a backup. If you delete it, other guards are drawn: more relays then know this box's address."


@unique
class State(Enum):
    """What is known of a guard."""

    KEPT = "kept"
    GONE = "gone"
    AWAY = "away"


@dataclass(slots=True)
class Guard:
    """One guard. until_s: the end of its time; replace_s: when another takes its place, where it is not kept; retry_s: when it is tried again."""

    relay_id: bytes
    until_s: int
    state: State = State.KEPT
    replace_s: int = 0
    retry_s: int = 0


class GuardSet:
    """The guards of one box. wanted: how many are in use at once. only: operators whose guards alone may be taken; prefer: whose are taken first, as those of cards are; both may be empty.

    save(text) is called after each change that is to be kept.
    """

    def __init__(
        self,
        wanted: int,
        rng: Rng,
        save: Callable[[str], None],
        text: str = "",
        path: str = GUARDS_FILE,
        *,
        only: Collection[str] = (),
        prefer: Collection[str] = (),
    ) -> None:
        self._size, self._rng, self._save, self._only, self._prefer = wanted + SPARE_GUARDS, rng, save, only, prefer
        self.guards, self._drawn = _parse(text, path) if text else ([], [])

    def refresh(self, pool: Pool, now_s: int) -> None:
        """Apply the rules; called when a box starts, and for each epoch before its circuits are made."""
        before = self.text()
        self._drawn = [drawn_s for drawn_s in self._drawn if drawn_s > now_s - BUDGET_S]
        for guard in self.guards:
            self._look(guard, pool, now_s)
        if all(guard.state is State.GONE for guard in self.guards):
            for guard in self.guards:
                guard.replace_s = min(guard.replace_s, now_s)
        for place, guard in enumerate(self.guards):
            if guard.until_s <= now_s or (guard.state is not State.KEPT and guard.replace_s <= now_s):
                fresh = self._draw(pool, now_s, leaving=guard)
                if fresh is not None:
                    self.guards[place] = fresh
        while len(self.guards) < self._size and (fresh := self._draw(pool, now_s)) is not None:
            self.guards.append(fresh)
        if self.text() != before:
            self._save(self.text())

    def in_order(self, pool: Pool, now_s: int) -> list[Descriptor]:
        """Return the guards that may be used, in their order. In the place of one that may not, or is set aside, stands the last one that may; those set aside come last."""
        good = [guard for guard in self.guards if guard.state is State.KEPT or (guard.state is State.AWAY and guard.retry_s <= now_s)]
        places = len(good)
        spare = [guard for guard in self.guards[places:] if guard in good]
        line = [guard if guard in good else spare.pop() for guard in self.guards[:places]]
        line += [guard for guard in self.guards if guard.state is State.AWAY and guard not in good]
        return [relay for guard in line if (relay := pool.by_id.get(guard.relay_id)) is not None]

    def out_of_reach(self, relay_id: bytes, now_s: int) -> None:
        """A guard could not be reached for long: set it aside for some hours."""
        for guard in self.guards:
            if guard.relay_id == relay_id:
                guard.retry_s = now_s + self._between(RETRY_S)
                if guard.state is not State.AWAY:
                    guard.state, guard.replace_s = State.AWAY, now_s + self._between(AWAY_WAIT_S)
                    self._save(self.text())

    def reached(self, relay_id: bytes) -> None:
        """A circuit over a guard stands."""
        for guard in self.guards:
            if guard.relay_id == relay_id and guard.state is State.AWAY:
                guard.state, guard.replace_s, guard.retry_s = State.KEPT, 0, 0
                self._save(self.text())

    def text(self) -> str:
        """Return the set as it is kept."""
        lines = ["voicebox guards 1", *(f"drawn {drawn_s}" for drawn_s in self._drawn)]
        lines += [f"guard {guard.relay_id.hex()} {guard.until_s} {guard.state.value} {guard.replace_s}" for guard in self.guards]
        return "\n".join(lines) + "\n"

    def _look(self, guard: Guard, pool: Pool, now_s: int) -> None:
        """Note that a guard is gone from the network, or there again, or no longer one that the user wants."""
        relay = pool.by_id.get(guard.relay_id)
        if relay is None:
            if guard.state is not State.GONE:
                guard.state, guard.replace_s = State.GONE, now_s + self._between(GONE_WAIT_S)
        elif not self._may(relay):
            guard.state, guard.replace_s = State.GONE, min(guard.replace_s or now_s, now_s)
        elif guard.state is State.GONE:
            guard.state, guard.replace_s = State.KEPT, 0

    def _may(self, relay: Descriptor) -> bool:
        return not self._only or relay.operator in self._only

    def _draw(self, pool: Pool, now_s: int, leaving: Guard | None = None) -> Guard | None:
        """Draw a guard that is apart from the others, or none: there is none, or enough were drawn of late."""
        if len(self._drawn) >= BUDGET_SETS * self._size:
            return None
        others = [pool.by_id[guard.relay_id] for guard in self.guards if guard is not leaving and guard.relay_id in pool.by_id]
        left = leaving.relay_id if leaving is not None else b""

        def fits(relay: Descriptor) -> bool:
            return self._may(relay) and relay.relay_id != left and all(apart(pool.terms, relay, other) for other in others)

        def is_preferred(relay: Descriptor) -> bool:
            return relay.operator in self._prefer or (bool(pool.by_card) and relay.relay_id in pool.by_card)

        relay = pool.draw(self._rng, lambda relay: is_preferred(relay) and fits(relay)) if self._prefer or pool.by_card else None
        relay = relay or pool.draw(self._rng, fits)
        if relay is None:
            return None
        self._drawn.append(now_s)
        return Guard(relay.relay_id, now_s + self._between(KEEP_S))

    def _between(self, bounds: tuple[int, int]) -> int:
        return int(self._rng.uniform(*bounds))


def _parse(text: str, path: str) -> tuple[list[Guard], list[int]]:
    """Read what text() wrote. Raises FileProblem."""
    reader = LineReader(text, path, _HINT, max_characters=8192)
    reader.exactly("voicebox", "guards 1")
    drawn: list[int] = []
    while reader.follows("drawn"):
        drawn.append(reader.number("drawn", 0, 2**40))
    guards: list[Guard] = []
    while not reader.at_end():
        guards.append(_guard(reader))
        if len(guards) > MAX_GUARDS or guards[-1].relay_id in (guard.relay_id for guard in guards[:-1]):
            raise reader.problem("there are too many guards, or one is there twice")
    return guards, drawn


def _guard(reader: LineReader) -> Guard:
    words = reader.value("guard").split(" ")
    wrong = reader.problem("a guard is a relay's id, a time, a state and a time")
    try:
        relay_id, until, state, replace = words
        guard = Guard(bytes.fromhex(relay_id), int(until), State(state), int(replace))
    except ValueError:
        raise wrong from None
    if len(guard.relay_id) != 32 or not 0 <= guard.until_s < 2**40 or not 0 <= guard.replace_s < 2**40:
        raise wrong
    return guard
