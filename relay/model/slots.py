"""Slots and due times (PROTOCOL.md §1.2, §5): how a hop fixes when it sends what, and which cell it still takes. A slot here is the whole number, unwrapped on arrival."""

from dataclasses import dataclass

SLOT_US = 20_000
STEPS_US = (5_000, 10_000, 15_000, 20_000, 30_000, 40_000)  # the grid of de-jitter steps D
STEP_US = STEPS_US[0]  # where nothing else is said
COMPOSE_US = 1_000  # what a slot carries is put together this long before it is due
GRID_US = 250
MEASURED_CELLS, RING_CELLS, AHEAD_SLOTS = 50, 8, 3


def signed32(difference: int) -> int:
    """Return a difference of two u32 numbers as the nearest signed one."""
    return (difference + 2**31) % 2**32 - 2**31


def stride(circuit: int) -> int:
    """Return the slots from one cell of a circuit to the next: 2, those of even numbers, where its number says that it is metered (§5.7), else 1."""
    return 1 + (circuit >> 31)


def unwrap(number: int, now_us: int) -> int:
    """Return the slot nearest to network time that has these low 32 bits."""
    return now_us // SLOT_US + signed32(number - now_us // SLOT_US)


def grid(time_us: int) -> int:
    """Round up to the grid of all that relays do by the clock."""
    return -(-time_us // GRID_US) * GRID_US


@dataclass(frozen=True)
class Due:
    """Settled due times of one direction, `base + 20 ms * slot`, never changed. started: the first slot sent by them, None where nothing is."""

    base_us: int
    started: int | None = None

    def time_us(self, slot: int) -> int:
        """Return when a slot is due."""
        return self.base_us + SLOT_US * slot

    def next_slot(self, now_us: int) -> int:
        """Return the first slot still to be put together."""
        slot = self.last_slot(now_us + COMPOSE_US) + 1
        return slot if self.started is None else max(slot, self.started)

    def last_slot(self, time_us: int) -> int:
        """Return the last slot that is due at or before a time."""
        return (time_us - self.base_us) // SLOT_US


@dataclass
class Settling:
    """The 50 cells over which the earliest arrival is sought (§5.3). first: cells before this number do not count. step_us: D."""

    first: int | None = None
    step_us: int = STEP_US
    cells: int = 0
    earliest_us: int = 0

    def measure(self, slot: int, arrival_us: int) -> int | None:
        """Take an arrival; with the 50th return the base of the due times."""
        if self.cells == MEASURED_CELLS or (self.first is not None and signed32(slot - self.first) < 0):
            return None
        offset_us = arrival_us - SLOT_US * slot
        self.earliest_us = min(self.earliest_us, offset_us) if self.cells else offset_us
        self.cells += 1
        return grid(self.earliest_us + self.step_us) if self.cells == MEASURED_CELLS else None


class Ring:
    """The cells of one direction between arrival and due time, each slot taken once (§5.3)."""

    def __init__(self) -> None:
        self._places: list[tuple[int, bytes | None] | None] = [None] * RING_CELLS

    def refusal(self, slot: int, due: Due, now_us: int) -> str | None:
        """Return why a slot is not taken, or None."""
        next_slot, place = due.next_slot(now_us), self._places[slot % RING_CELLS]
        if not next_slot <= slot <= next_slot + AHEAD_SLOTS:
            return "slot_late" if slot < next_slot else "slot_ahead"
        return "slot_twice" if place is not None and place[0] == slot else None

    def put(self, slot: int, body: bytes | None) -> None:
        """Keep a body; None marks the slot as taken by speech for this hop."""
        self._places[slot % RING_CELLS] = (slot, body)

    def body(self, slot: int) -> bytes | None:
        """Return what came under a slot, None where nothing did."""
        place = self._places[slot % RING_CELLS]
        return place[1] if place is not None and place[0] == slot else None
