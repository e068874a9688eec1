"""How a hundred calls sound with G.711 and a hundred with Opus: PLCMOS, over links of 19 ms with jitter of 5 ms and a loss of 1 % on the path. [io]

Real processes in the lab's namespaces, several pairs at once. Scored is what came to the phones' sockets, as voicebox/demo/quality.py plays and decodes it; beside
it what the other phone sent, decoded the same way. A call's figure is the median over its pieces of 4 s in both directions. PESQ beside it where it is
installed; it wants at least 3.0 in 99 % of the calls, and without it nothing is said about that.

    python -m tools.bench.speech [--calls N] [--seconds S] [--pairs N] [--codecs pcma opus] [--case NAME]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.pairs import network_of_pairs, remove_captures, running
from tools.bench.path_figures import Wire
from tools.lab.network import Lab
from voicebox.demo.codec import RATES_HZ, decode_frames
from voicebox.demo.measure import align, frames_received, frames_sent, play_out
from voicebox.demo.quality import LOUD_ENOUGH, MEASURE, Plcmos, pesq_installed, pieces_of, rms, score_pesq
from voicebox.demo.sipview import CLOCK_RATES_HZ, CallView
from voicebox.probe.figures import percentile

CASES = ("continent", "continent-clean")
CODECS = ("pcma", "opus")
CALLS, SECONDS, PAIRS = 100, 9.0, 4
ROUNDS_OF_A_RUN = 8
"""Then the network starts anew, so that its captures stay small."""
PAUSE_S = 1.5
MARGIN_S = 4.0
PESQ_ENOUGH = 3.0
MAX_EXTRA_RUNS = 3


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of the sound of one call, the loudest of each direction first: as it came, and as it was sent."""

    came: list[array[int]]
    sent: list[array[int]]


def pieces_of_call(wire: Wire, call: CallView, codec: str) -> tuple[Pieces, int, int]:
    """Return what of a call can be scored, how many frames there were and how many of them did not come in time. Raises ValueError where nothing came."""
    caller, callee = call.caller_media, call.callee_media
    if caller is None or callee is None or call.ended_ns is None:
        raise ValueError("the capture does not show an answered call")
    span = [[each for each in whole if call.invited_ns <= each.time_ns <= call.ended_ns] for whole in (wire.sent, wire.arrived)]
    found, frames, missing = Pieces([], []), 0, 0
    for speaker, listener in ((caller, callee), (callee, caller)):
        played, sent = align(play_out(frames_received(span[1], listener), CLOCK_RATES_HZ[codec]), frames_sent(span[0], speaker))
        frames += len(played)
        missing += played.count(None)
        came, original = (pieces_of(decode_frames(each, codec), RATES_HZ[codec]) for each in (played, sent))
        for reference, piece in zip(original, came, strict=False):
            if rms(reference) >= LOUD_ENOUGH:
                found.came.append(piece)
                found.sent.append(reference)
    if not found.came:
        raise ValueError("no speech came")
    return found, frames, missing


def score(calls: Sequence[Pieces], codec: str) -> dict[str, Any]:
    """Return the figures of calls with one codec."""
    model, rate_hz = Plcmos(), RATES_HZ[codec]
    of_calls, of_sent, pesq = [], [], []
    for call in calls:
        sent = [model.score(piece, rate_hz) for piece in call.sent]
        came = [same if piece == original else model.score(piece, rate_hz) for piece, original, same in zip(call.came, call.sent, sent, strict=True)]
        of_calls.append(statistics.median(came))
        of_sent.append(statistics.median(sent))
        if pesq_installed():
            its = [each for original, piece in zip(call.sent, call.came, strict=True) for each in score_pesq(original, [piece], rate_hz)]
            pesq += [statistics.median(its)] if its else []
    figures = {"p50": percentile(of_calls, 0.5), "p1": percentile(of_calls, 0.01), "least": min(of_calls), "direct_p50": percentile(of_sent, 0.5)}
    shares = {"enough_pct": 100 * sum(each >= PESQ_ENOUGH for each in pesq) / len(pesq), "p50": percentile(pesq, 0.5), "calls": len(pesq)} if pesq else None
    return {"measure": MEASURE, "calls": len(calls), "pieces": sum(len(call.came) for call in calls), **figures, "pesq": shares}


def calls_with(lab: Lab, codec: str, calls: int, seconds: float) -> dict[str, Any]:
    """Return the figures of at least so many calls with one codec."""
    found: list[Pieces] = []
    frames, missing, dialled, late_us, begun = 0, 0, 0, 0, time.monotonic()
    runs = -(-calls // (ROUNDS_OF_A_RUN * (len(lab.network.boxes) // 2))) + MAX_EXTRA_RUNS
    for run in range(runs):
        if len(found) >= calls:
            break
        name = f"{codec}-{run}"
        with running(lab, name, seconds + MARGIN_S, codec) as pairs:
            rounds = min(ROUNDS_OF_A_RUN, -(-(calls - len(found)) // len(pairs.pairs)))
            for _ in range(rounds):
                standing = pairs.talk()
                dialled += len(pairs.pairs)
                time.sleep(seconds)
                pairs.hang_up(standing)
                time.sleep(PAUSE_S)
        for wire, views in pairs.calls().values():
            for call in views:
                if call.answered_ns is not None and call.caller_media is not None:
                    pieces, its, lost = pieces_of_call(wire, call, codec)
                    found.append(pieces)
                    frames, missing = frames + its, missing + lost
        late_us = max(late_us, pairs.wires.report.late_us["p99"] if pairs.wires.report else 0)
        remove_captures(lab, name)
    took_s = time.monotonic() - begun
    loss = {"missing_pct": 100 * missing / frames if frames else None, "dialled": dialled, "wires_late_p99_us": late_us}
    return {**score(found, codec), **loss, "calls_took_s": round(took_s), "took_s": round(time.monotonic() - begun)}


def measure(calls: int, seconds: float, pairs: int, codecs: Sequence[str], case: str) -> dict[str, Any]:
    """Return the figures of each codec."""
    Plcmos()  # where the model is missing, that is said before an hour of calls
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, Lab(network_of_pairs(case, pairs), Path(scratch)) as lab:
        found = {codec: calls_with(lab, codec, calls, seconds) for codec in codecs}
    return {"case": case, "pairs": pairs, "seconds": seconds, "pesq_installed": pesq_installed(), "codecs": found}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=CALLS, help="with each codec")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each call")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of homes that call at once")
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=CODECS)
    parser.add_argument("--case", choices=CASES, default=CASES[0])
    given = parser.parse_args()
    print_apart(lambda: measure(given.calls, given.seconds, given.pairs, given.codecs, given.case))


if __name__ == "__main__":
    main()
