"""What the links did while a page was fetched, and what is told of the page. Pure.

Before and during are spans of the same length, one right before the other. A pace is counted from the first datagram of a span to its last, so that it does not
depend on where the span's ends fall between two datagrams. The figures are the capture's; no counter of the engine is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from voicebox.demo.datagrams import NS_PER_S, Datagram, Endpoint
from voicebox.demo.measure import LinkRole, on_links
from voicebox.demo.page import Fetched

Json = dict[str, object]
MOST_CHANGED_PCT = 1.0
"""Of a machine that does nothing else: a cell a few milliseconds late at an end of a span of some seconds is a tenth of this."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Datagrams a second on one direction of one link, before a page was fetched and while it was. None where there were fewer than two."""

    link: str
    towards_far: bool
    before: float | None
    during: float | None

    @property
    def changed_pct(self) -> float:
        """Return by how much it changed; all, where there is nothing to compare."""
        return 100.0 if self.before is None or self.during is None else 100 * abs(self.during - self.before) / self.before


@dataclass(frozen=True, slots=True)
class PageFigures:
    """A page that was fetched in a call, and the links meanwhile. sizes: octets of the datagrams on all links while it was fetched."""

    fetched: Fetched
    paces: tuple[Pace, ...] = ()
    sizes: tuple[int, ...] = ()

    @property
    def changed_pct(self) -> float | None:
        """Return the change of the link that changed most; None without a capture."""
        return max((pace.changed_pct for pace in self.paces), default=None)


def measure_page(datagrams: Iterable[Datagram], links: tuple[LinkRole, ...], fetched: Fetched) -> PageFigures:
    """Return how each link went on while the page was fetched."""
    length_ns = fetched.ended_ns - fetched.begun_ns
    times: dict[tuple[int, bool, Endpoint, Endpoint], tuple[list[int], list[int]]] = {}
    sizes: set[int] = set()
    near = (datagram for datagram in datagrams if fetched.begun_ns - length_ns <= datagram.time_ns < fetched.ended_ns)
    for key, datagram in on_links(near, links):
        during = datagram.time_ns >= fetched.begun_ns
        times.setdefault(key, ([], []))[during].append(datagram.time_ns)
        if during:
            sizes.add(len(datagram.payload))
    paces = tuple(
        Pace(links[index].name, towards_far, *map(_pace, both)) for (index, towards_far, *_), both in sorted(times.items(), key=lambda each: each[0][:2])
    )
    return PageFigures(fetched, paces, tuple(sorted(sizes)))


def _pace(times_ns: list[int]) -> float | None:
    return (len(times_ns) - 1) * NS_PER_S / (times_ns[-1] - times_ns[0]) if len(times_ns) > 1 and times_ns[-1] > times_ns[0] else None


def page_json(page: PageFigures | None) -> Json | None:
    """Return it for `--json`."""
    if page is None:
        return None
    fetched = page.fetched
    return {
        "octets": fetched.octets,
        "seconds": round(fetched.seconds, 2),
        "octets_per_s": round(fetched.octets / fetched.seconds) if fetched.seconds else None,
        "whole": fetched.whole,
        "beside_the_call": fetched.beside,
        "datagram_octets": list(page.sizes),
        "changed_pct_most": None if page.changed_pct is None else round(page.changed_pct, 3),
        "links": [
            {"link": pace.link, "direction": "out" if pace.towards_far else "back", "before_per_s": _round(pace.before), "during_per_s": _round(pace.during)}
            for pace in page.paces
        ],
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def page_lines(page: PageFigures) -> list[str]:
    """Return it for people."""
    fetched = page.fetched
    whole = "checksum equal" if fetched.whole else "NOT what was served"
    lines = [
        "",
        "A page of the callee's, fetched by name while they talked, over the circuits of the call",
        f"  page       {fetched.octets} octets in {fetched.seconds:.1f} s ({fetched.octets / max(fetched.seconds, 1e-9) / 1000:.1f} kB/s), {whole}",
    ]
    if page.changed_pct is not None:
        sizes = ", ".join(map(str, page.sizes))
        lines.append(
            f"  links      datagrams of {sizes} octets; no rate changed by more than {page.changed_pct:.2f} % against the {fetched.seconds:.1f} s before"
        )
    return lines


def page_complaints(page: PageFigures, *, with_limits: bool) -> list[str]:
    """Return what is not as it must be, in words. with_limits: also what depends on the machine."""
    found = []
    if not page.fetched.whole:
        found.append("the page that was fetched during the call is not the one that was served")
    if len(page.sizes) > 1:
        found.append(f"datagrams of {len(page.sizes)} sizes on the links while the page was fetched, not of one")
    if with_limits and not page.fetched.beside:
        found.append("the page did not come beside the call")
    if with_limits and page.changed_pct is not None and page.changed_pct > MOST_CHANGED_PCT:
        found.append(f"a link's rate changed by {page.changed_pct:.2f} % while the page was fetched, above {MOST_CHANGED_PCT:g}")
    return found
