"""Which phone does what with a box: what is declared here is what the table in PHONES.md says and what tests/interop/test_matrix.py shows. [io]

    python -m tests.interop.matrix > PHONES.md

A gap is declared with its cause; everything else is shown by real calls over the whole system, two boxes and six relays. The covering runs have each phone at each end, each of its ways at
one, and each phone with each other, those that take long to start aside; the long ones every way of every phone with every other.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STEPS = (
    "register",
    "call",
    "cancel",
    "busy",
    "decline",
    "hold and resume",
    "re-INVITE",
    "digits out",
    "digits in",
    "hear",
    "be heard",
    "hang up",
    "be hung up on",
)
"""What a phone can do, or have done to it; `cancel`, `busy` and `decline` are what it does where it calls, respectively is called, and what it understands of the other's."""
ENDS = ("caller", "callee")


@dataclass(frozen=True)
class Way:
    """How a phone reaches its box. Over TLS its sound is SRTP, else RTP; dtls: its keys come from a handshake, and are not in SDP."""

    transport: str
    ipv6: bool = False
    dtls: bool = False

    def __str__(self) -> str:
        return f"{self.transport}{'-ipv6' if self.ipv6 else ''}{'-dtls' if self.dtls else ''}"


DTLS = Way("tls", dtls=True)
WAYS = (*(Way(transport, ipv6) for ipv6 in (False, True) for transport in ("udp", "tcp", "tls")), DTLS)


@dataclass(frozen=True)
class PhoneKind:
    """One phone. ways_shut, gaps: why it does not go that way, or not do a step (of one end: `step, end`)."""

    name: str
    version: str
    ways_shut: dict[Way, str] = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)
    not_called: dict[Way, str] = field(default_factory=dict)
    """Ways over which it calls and is not called."""
    takes_none_of: dict[str, str] = field(default_factory=dict)
    """Phones whose calls it cannot take, and why."""
    costly: bool = False
    """It takes long to start: the covering runs have it at each end, not with each other phone."""

    def ways(self, end: str) -> tuple[Way, ...]:
        """Return the ways that it goes at one end."""
        return tuple(way for way in WAYS if way not in self.ways_shut and not (end == "callee" and way in self.not_called))

    def gap(self, step: str, end: str) -> str | None:
        """Return why it does not do a step at an end, None where it does."""
        return self.gaps.get(f"{step}, {end}", self.gaps.get(step))


_NO_IPV6 = "the wheel is built without IPv6"
_NO_TLS = "Debian's sipp is built without TLS"
_ONE_REFUSAL = "it has one way to refuse a call, which says 486"
_DECLINES = "it has one way to refuse a call, which says 603"
_ZRTP = "it has no TLS, and SRTP by ZRTP only"
_OF_THE_PAGE = "the page and the box are two processes of one machine; to the browser it is DTLS-SRTP"
_SILENT = "sipp does not listen to what it is sent"
PHONES = (
    PhoneKind("baresip", "baresip 1.0.0 (Debian 12)", gaps={"decline, callee": _ONE_REFUSAL}),
    PhoneKind(
        "linphonec", "linphone 5.1.65 (Debian 12)",
        gaps={"busy, callee": _DECLINES, "busy, caller": "it does not print the status of a refusal other than 603"},
    ),
    PhoneKind("pjsua2", "pjsua2 2.15.1 (PyPI), the built-in phone", ways_shut={**{way: _NO_IPV6 for way in WAYS if way.ipv6}, DTLS: "the wheel is built without DTLS-SRTP"}),
    PhoneKind(
        "sipp", "sipp 3.6.1 (Debian 12), scenarios", ways_shut={way: _NO_TLS for way in WAYS if way.transport == "tls"},
        not_called={way: "its connection ends with the process that registered over it" for way in WAYS if way.transport == "tcp"},
        gaps={"hear": _SILENT, "digits in": _SILENT}, takes_none_of={"browser": "its scenario answers an offer of Opus alone in G.711"},
    ),
    PhoneKind(
        "twinkle", "twinkle 1.10.2 (Debian 12)", ways_shut={**{way: _ZRTP for way in WAYS if way.transport == "tls"}, **{way: "it has no IPv6" for way in WAYS if way.ipv6}},
        gaps={"decline, callee": _ONE_REFUSAL, "digits in": "it does not tell of every digit that it is sent", "be heard": "what the tests put in for a sound card is not heard as a tone by every phone"},
    ),
    PhoneKind(
        "browser", "Chromium 156 (Debian 12), the phone on the box's page", ways_shut={way: _OF_THE_PAGE for way in WAYS if way != Way("tcp")}, costly=True,
        gaps={"busy, callee": _DECLINES, "digits in": "it does not tell of digits that it is sent"},
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in PHONES}


@dataclass(frozen=True)
class Side:
    """A phone at one end of a run."""

    phone: str
    way: Way

    def __str__(self) -> str:
        return f"{self.phone}-{self.way}"


Pair = tuple[Side, Side]


SPEAK_OPUS = ("baresip", "linphonec")


def codec_of(side: Side, pair: Pair) -> str:
    """Return the codec of a side: G.711, so that tones are what they were; with a browser, which has Opus alone, some speak Opus too, but for what is over UDP, whose box converts."""
    with_browser = any(each.phone == "browser" for each in pair)
    return "opus" if with_browser and side.phone in SPEAK_OPUS and side.way.transport != "udp" else "pcma"


def run_name(pair: Pair) -> str:
    """Return what a run of two phones is called."""
    return f"{pair[0]}_to_{pair[1]}"


def sides(end: str) -> list[Side]:
    """Return every phone over every way that it goes at an end."""
    return [Side(kind.name, way) for kind in PHONES for way in kind.ways(end)]


def every_pair() -> list[Pair]:
    """Return every side with every other that takes its calls."""
    pairs = itertools.product(sides("caller"), sides("callee"))
    return [(caller, callee) for caller, callee in pairs if caller.phone not in KINDS[callee.phone].takes_none_of]


def _shown_by(pair: Pair) -> set[tuple[object, ...]]:
    """Return what a run shows, of what every set of runs has to show."""
    caller, callee = pair
    ends = {("caller", caller.phone), ("callee", callee.phone), ("transports", caller.way.transport, callee.way.transport)}
    phones = set() if KINDS[caller.phone].costly or KINDS[callee.phone].costly else {("phones", *sorted((caller.phone, callee.phone)))}
    return ends | {("way", caller), ("way", callee)} | phones


def covering_pairs() -> list[Pair]:
    """Return few runs in which each phone is at each end and goes each of its ways, each is in a call with each that does not take long to start, and each transport with each."""
    left = set().union(*(_shown_by(pair) for pair in every_pair()))
    chosen: list[Pair] = []
    while left:
        best = max(every_pair(), key=lambda pair: len(_shown_by(pair) & left))
        chosen.append(best)
        left -= _shown_by(best)
    return chosen


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]


class _Notes:
    """Causes of gaps, each with a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def cell(self, cause: str | None) -> str:
        """Return what stands in a cell."""
        if cause is None:
            return "yes"
        if cause not in self.texts:
            self.texts.append(cause)
        return f"no ({self.texts.index(cause) + 1})"


def _runs(count: int, cause: str | None, notes: _Notes) -> str:
    return str(count) if cause is None else notes.cell(cause)


def document() -> str:
    """Return PHONES.md."""
    notes = _Notes()
    steps, ways = [], []
    for kind in PHONES:
        for end in ENDS:
            steps.append([kind.name, end, *(notes.cell(kind.gap(step, end)) for step in STEPS)])
            ways.append([kind.name, end, *(notes.cell(kind.ways_shut.get(way) or (kind.not_called.get(way) if end == "callee" else None)) for way in WAYS)])
    lines = ["# Phones", "", *INTRODUCTION, "", *table(["phone", "what it was"], ([kind.name, kind.version] for kind in PHONES)), "", "## What each does", ""]
    lines += [
        *table(["phone", "as", *STEPS], steps),
        "",
        "## Over which ways",
        "",
        "Over TLS the sound is SRTP: keys in SDP, or, in the last column, of a handshake (DTLS-SRTP). Else it is RTP.",
        "",
    ]
    runs = Counter((caller.phone, callee.phone) for caller, callee in every_pair())
    calls = [
        [f"{caller.name} calls", *(_runs(runs[caller.name, callee.name], callee.takes_none_of.get(caller.name), notes) for callee in PHONES)]
        for caller in PHONES
    ]
    lines += [*table(["phone", "as", *(str(way) for way in WAYS)], ways), "", "## Causes of the gaps", ""]
    lines += [f"{number}. {text}." for number, text in enumerate(notes.texts, 1)]
    lines += ["", "## Who calls whom", "", *WHO_CALLS_WHOM, ""]
    lines += [*table(["", *(callee.name for callee in PHONES)], calls), "", "## The phone in the browser", "", *IN_BROWSER, ""]
    return "\n".join([*lines, "## A phone that is registered elsewhere", "", *ELSEWHERE, ""])


ELSEWHERE = (
    "A phone with an account at another provider, and none with the box, calls contacts where INTERCEPTION.md's `intercept.phones` names it. Shown with baresip at a LAN, over UDP",
    "(`tests/system/test_intercept_contacts.py`, in `make test`): call, hear and be heard, hang up and be hung up on, cancel.",
)
INTRODUCTION = (
    "Made by `python -m tests.interop.matrix`; do not edit. What is not a gap is shown by `tests/interop/test_matrix.py` with real calls between two boxes over six relays: `make test` has a few",
    f"runs that cover every phone at both ends, each of its ways, and each pair of phones but the browser ({len(covering_pairs())}), `make test-long` all of them ({len(every_pair())}). In each run one call is answered, digits are pressed",
    "and the call is held by both ends before the caller hangs up; in a second the callee hangs up; a third is cancelled while it rings, and a fourth refused. `make matrix` runs all of them alone, and prints",
    "what came of each.",
)  # fmt: skip
WHO_CALLS_WHOM = (
    "In each of these directions, each way of the one with each of the other: so many runs. When `make matrix` went through all of them, in two parts, four or five at once on two cores that others",
    "used too, in 32 minutes, 474 passed at once, and nine when they ran again: a twinkle had died of a call that was cancelled as it rang, and stayed registered for the seven runs after it (the boxes start anew",
    "since then); and once a linphone that a sipp had called was sent no sound behind a hold, which was not understood, and not seen again in 28 runs of sipp and linphone.",
    "Those with the browser were run later, by themselves, three at once on two cores whose load was about 20, in 12 minutes: of 43, 42 passed at once, and the other, in which a",
    "baresip had recorded nothing, when it ran again, alone.",
)
IN_BROWSER = (
    "The browser is a Chromium without a window on the page of its box, which is clicked as somebody would; its microphone plays a file, without the browser's noise suppression, which takes a tone for",
    "noise. It speaks Opus alone. The others speak G.711, which a box converts, but for baresip and linphonec, which speak Opus with it where they do not use UDP. What a phone of others has not, mute, two",
    "tabs, a tab that is closed in a call, texts, no microphone, is shown by `tests/system/test_in_browser.py`.",
)  # fmt: skip

if __name__ == "__main__":
    print(document(), end="")
