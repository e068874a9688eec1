"""A probe as whoever asked for it sees it: the box of a directory begins it, and is asked again and again how it goes.

NOT here: the probe itself (probe/ends.py, in the box), how it is shown (probe/lines.py), how often it is looked at (cli/probe.py).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from voicebox.control import ask
from voicebox.probe.codecs import codec_of
from voicebox.probe.ends import Outcome
from voicebox.probe.result import ProbeResult, result_of
from voicebox.probe.speech import pack_frames

AGAIN_S = 0.5


class Watch:
    """One probe. speech: frames of the codec that are to be scored at the other end; show_path: ask who runs the relays of our circuits, too.

    Begins it when made. Raises UsageError where the box does not, HostError where it does not answer; look() and end() too.
    """

    def __init__(self, home: Path, petname: str, word: str, seconds: int, speech: Sequence[bytes] = (), *, show_path: bool = False) -> None:
        self._home, self._codec, self._seconds = home, codec_of(word), seconds
        self._show_path = show_path
        self._own: tuple[tuple[str, ...], ...] = ()
        self._there: list[int] = []
        self._back: list[int] = []
        self._trips: list[float] = []
        self.stage = "calling"
        self.score: tuple[int, int, int] | None = None
        """Of speech, its PESQ and its STOI, in hundredths; NO_SCORE where the other end could not say; None before it did."""
        more = {"speech": base64.b64encode(pack_frames(speech)).decode()} if speech else {}
        while not (about := ask(home, "probe", step="begin", petname=petname, codec=word, seconds=seconds, **more))["begun"]:
            time.sleep(AGAIN_S)  # the call of the last probe, which goes on for its drawn time, is ended for this one
        self.petname = str(about["petname"])
        """Who it is; another where anybody was asked for."""
        self._verified, self._relays = bool(about["verified"]), int(about["relays_at_least"])

    def look(self) -> ProbeResult:
        """Return what is known now; only what is new is asked for."""
        told = ask(self._home, "probe", step="look", there=len(self._there), back=len(self._back), trips=len(self._trips), show_path=self._show_path)
        self._there += told["there"]
        self._back += told["back"]
        self._trips += told["round_trips_ms"]
        self.stage = str(told["stage"])
        if told["score"] is not None:
            opinion, pesq, stoi = told["score"]
            self.score = int(opinion), int(pesq), int(stoi)
        self._own = tuple(tuple(str(relay) for relay in relays) for relays in told["relays"]) or self._own
        found = result_of(
            self._codec,
            Outcome(told["outcome"]),
            self._there,
            self._back,
            self._trips,
            verified=self._verified,
            relays_at_least=self._relays,
            asked_s=self._seconds,
            late_sends=int(told["late_sends"]),
        )
        return replace(found, own_relays=self._own)

    def end(self) -> None:
        """End it: what is known is the result."""
        ask(self._home, "probe", step="end")
