"""What being unseen costs on the line: the rate that a profile promises, and the one that the engine's counters show. Pure.

Drivers: the daemon, which gives a sample of the counters every SAMPLE_S. NOT here: the counters themselves (relay/node), who prints it (cli/status.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

CELL_WIRE_OCTETS = 306
"""278 octets of a datagram (PROTOCOL.md §2.2) with the headers of UDP and IPv4; with IPv6 20 more."""
CELLS_PER_S = 50
SAMPLE_S = 10
WINDOW_SAMPLES = 7
MONTH_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Cost:
    """A rate each way in kbit/s, and what both ways are in a month of 30 days, in GB (10^9 octets)."""

    out_kbit_s: float
    in_kbit_s: float

    @property
    def month_gb(self) -> float:
        """Return the GB of a month, both ways."""
        return (self.out_kbit_s + self.in_kbit_s) * 1_000 / 8 * MONTH_S / 1e9

    def told(self) -> dict[str, float]:
        """Return it as it is told."""
        return {"out_kbit_s": round(self.out_kbit_s, 1), "in_kbit_s": round(self.in_kbit_s, 1), "month_gb": round(self.month_gb, 1)}


def promised(circuits: int, *, metered: bool = False) -> Cost:
    """Return what a number of circuits costs, always. metered: they have a cell in every second slot only."""
    kbit_s = circuits * CELLS_PER_S * CELL_WIRE_OCTETS * 8 / 1_000 / (2 if metered else 1)
    return Cost(kbit_s, kbit_s)


class CostMeter:
    """The rate over the last minute, from totals of cells. Takes network time in microseconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=WINDOW_SAMPLES)

    def sample(self, now_us: int, cells_out: int, cells_in: int) -> None:
        """Take the engine's totals."""
        self._samples.append((now_us, cells_out, cells_in))

    def measured(self) -> Cost | None:
        """Return the rate between the oldest and the newest sample; None before there are two."""
        if len(self._samples) < 2:
            return None
        (began_us, *began), (ended_us, *ended) = self._samples[0], self._samples[-1]
        seconds = (ended_us - began_us) / 1e6
        if seconds <= 0:
            return None
        out, into = ((after - before) * CELL_WIRE_OCTETS * 8 / 1_000 / seconds for before, after in zip(began, ended, strict=True))
        return Cost(out, into)
