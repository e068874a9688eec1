"""The clock of an access link (PROTOCOL.md §5.6): its guard's, as the guard's cells tell it. A regression in whole numbers of 1/65 536 us; all divisions round down."""

from relay.model.randomness import SeededRandom
from relay.model.slots import SLOT_US

PARTS = 2**16
SLOT = SLOT_US * PARTS
WINDOW_SLOTS, LEAST_CELLS, MOST_WINDOWS = 64, 16, 64
FIRST_RATE, MOST_RATE, MOST_PACE, AHEAD, JUMP = 3 * PARTS, 4 * PARTS, 2 * PARTS, 200 * PARTS, 2_000 * PARTS


class Clock:
    """By how much the guard's slots have fallen behind 20 ms of the own clock: the model, measured in each window, and the beat, which follows evenly and is what ticks go by."""

    def __init__(self, random: SeededRandom) -> None:
        self.rate = random.u32() % (2 * FIRST_RATE + 1) - FIRST_RATE
        self.model, self.beat, self.windows, self.settled = 0, 0, 0, False
        self.begin(settled=False)

    def begin(self, *, settled: bool) -> None:
        """Measure anew where the guard's cells are; the rate stays. settled: whether they have a phase that they keep."""
        if self.settled or not settled:
            self.anchor()
        self.settled, self.windows, self.model, self.pace, self.aside = settled, min(self.windows, 2), self.beat, 0, 0
        self.window_slots = self.slots = self.cells = self.earliest = 0
        self.reference: int | None = None

    def anchor(self) -> None:
        """Say that the guard fixed its due times by the ticks so far: by what goes wrong from here on, until the rate is known, the beat is put right later."""
        self.anchored, self.lead = self.beat, 0

    def note(self, offset_us: int) -> None:
        """Take an arrival, less its slot's time."""
        offset, self.cells = offset_us * PARTS - self.model, self.cells + 1
        self.earliest = min(self.earliest, offset) if self.cells > 1 else offset

    def tick(self, slots: int = 1) -> int:
        """Let a tick pass, of so many slots; return by how many us the guard's cells have jumped, mostly 0."""
        self.model, self.beat = self.model + slots * self.rate, self.beat + slots * (self.rate + self.pace)
        self.slots, self.window_slots = self.slots + slots, self.window_slots + slots
        self.lead += slots * (not self.settled or self.reference is None)
        if self.window_slots < WINDOW_SLOTS:
            return 0
        jumped = self._measure() if self.cells >= LEAST_CELLS else 0
        self.window_slots, self.cells, self.pace = 0, 0, max(-MOST_PACE, min(MOST_PACE, (self.model + self.aside - self.beat) // WINDOW_SLOTS))
        return jumped // PARTS

    def _measure(self) -> int:
        """Take the window's earliest arrival. Unsettled cells may be whole slots off, and give no more than a first rate."""
        slots, self.slots, reference = self.slots, 0, self.reference
        apart = self.earliest - (self.earliest if reference is None else reference)
        off = apart if self.settled else (apart + SLOT // 2) % SLOT - SLOT // 2
        if reference is None or abs(off) > JUMP:
            self.reference, self.windows = self.earliest, max(self.windows, 1)
            self.aside = self.anchored + self.rate * self.lead - self.model - AHEAD if self.settled and reference is None else self.aside
            return apart
        if self.settled or self.windows < 2:
            self.windows = min(self.windows + 1, MOST_WINDOWS)
            points = self.windows * (self.windows + 1)
            before, self.rate = self.rate, max(-MOST_RATE, min(MOST_RATE, self.rate + 6 * off // (points * slots)))
            if self.settled:
                self.model += 2 * (2 * self.windows - 1) * off // points
                self.aside += (self.rate - before) * self.lead
            else:
                self.reference = self.earliest
        return 0
