"""How losses come together: runs, bursts and gaps. Pure.

A frame is *missing* where it was lost or came too late to be played. Two missing frames belong together where fewer than Gmin frames between them were
played; two or more that belong together are a burst, from the first to the last; what is between bursts is gaps, and may hold single missing frames.
Spec: RFC 3611 §4.7.2 (its definitions, not the counters of its Appendix A, which lose what is still open at the end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GMIN = 16


@dataclass(frozen=True, slots=True)
class Bursts:
    """Of one direction. Densities: share of missing frames within bursts and within gaps, 0 to 1; lengths in frames, 0 where there are none.

    run_mean, run_longest: missing frames in a row; burst_ratio: run_mean by what it would be were losses random, at least 1 (G.107 §7.5).
    """

    missing: int
    run_mean: float
    run_longest: int
    burst_ratio: float
    bursts: int
    burst_density: float
    gap_density: float
    burst_mean: float
    gap_mean: float
    gmin: int = GMIN


def runs_of(missing: Sequence[bool]) -> list[tuple[int, int]]:
    """Return (place of the first, length) of each run of missing frames."""
    runs: list[tuple[int, int]] = []
    for place, is_missing in enumerate(missing):
        if not is_missing:
            continue
        if runs and sum(runs[-1]) == place:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((place, 1))
    return runs


def measure_bursts(missing: Sequence[bool], gmin: int = GMIN) -> Bursts:
    """Return how the missing ones of some frames, in order of sending, come together."""
    runs = runs_of(missing)
    count, total = sum(length for _, length in runs), len(missing)
    bursts = _bursts_of(runs, gmin)
    in_bursts = sum(last - first + 1 for first, last, _ in bursts)
    lost_in_bursts = sum(lost for _, _, lost in bursts)
    gaps = _gaps_between(bursts, total)
    run_mean = count / len(runs) if runs else 0.0
    return Bursts(
        missing=count,
        run_mean=run_mean,
        run_longest=max((length for _, length in runs), default=0),
        burst_ratio=max(1.0, run_mean * (1 - count / total)) if total else 1.0,
        bursts=len(bursts),
        burst_density=lost_in_bursts / in_bursts if in_bursts else 0.0,
        gap_density=(count - lost_in_bursts) / sum(gaps) if sum(gaps) else 0.0,
        burst_mean=in_bursts / len(bursts) if bursts else 0.0,
        gap_mean=sum(gaps) / len(gaps) if gaps else 0.0,
        gmin=gmin,
    )


def _bursts_of(runs: Sequence[tuple[int, int]], gmin: int) -> list[tuple[int, int, int]]:
    """Return (first place, last place, missing) of each burst."""
    clusters: list[tuple[int, int, int]] = []
    for place, length in runs:
        if clusters and place - clusters[-1][1] - 1 < gmin:
            first, _, lost = clusters[-1]
            clusters[-1] = (first, place + length - 1, lost + length)
        else:
            clusters.append((place, place + length - 1, length))
    return [cluster for cluster in clusters if cluster[2] > 1]


def _gaps_between(bursts: Sequence[tuple[int, int, int]], total: int) -> list[int]:
    """Return the lengths of what is before, between and after bursts, where there is anything."""
    edges = [-1, *(edge for first, last, _ in bursts for edge in (first, last)), total]
    return [length for begin, end in zip(edges[::2], edges[1::2], strict=True) if (length := end - begin - 1) > 0]
