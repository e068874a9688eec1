"""A probe's table, strips and verdict as lines of text, the same while it runs and at its end. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import Outcome
from voicebox.probe.figures import DirectionFigures
from voicebox.probe.playout import Delays
from voicebox.probe.result import ACCEPTABLE_MS, HIGH_MS, ProbeResult, SpeechScore, compared, hints, is_known, verdict

STRIP = 60
MARKS_OF_LOSS = ((0.0, "."), (0.1, ":"), (0.5, "|"), (1.0, "#"))
"""Up to which share of a stretch's frames missing, and its mark."""
MARKS_OF_DELAY = ((10.0, "_"), (40.0, "-"), (100.0, "="), (float("inf"), "^"))
"""Up to how many milliseconds above best on average, and its mark."""
WIDTH = 24
NOT_MEASURED = "Not measured: echo, sound devices, background noise. A relay sees the same cells as in any call."


def _ms(value: float, sign: str = "") -> str:
    return f"{value:{sign}.0f}" if is_known(value) else "-"


ROWS: tuple[tuple[str, Callable[[DirectionFigures], str]], ...] = (
    ("sent / received", lambda d: f"{d.sent} / {d.received}"),
    ("lost in the network", lambda d: f"{d.lost_pct:.2f} %"),
    ("too late for the best buffer", lambda d: f"{d.late_pct:.2f} % of {d.best.played.size_ms:g} ms"),
    ("missing in a row: mean, longest", lambda d: f"{d.best.bursts.run_mean:.1f}, {d.best.bursts.run_longest} frames"),
    ("density in bursts, in gaps", lambda d: f"{100 * d.best.bursts.burst_density:.0f} %, {100 * d.best.bursts.gap_density:.2f} %"),
    ("jitter (RFC 3550): mean, most", lambda d: f"{d.jitter_ms:.1f}, {d.jitter_max_ms:.1f} ms" if is_known(d.jitter_ms) else "-"),
    ("delay above best  p50 p95 p99", lambda d: " ".join(_ms(delay, "+") for delay in d.delays_ms[:3]) + " ms"),
    ("mouth to ear", lambda d: f"{d.best.mouth_to_ear_ms:.0f} ms"),
    ("R, fullband 0-148", lambda d: f"{d.best.r_fullband:.1f}"),
    ("MOS-CQEF (estimated)", lambda d: f"{d.best.mos_fullband:.2f}"),
    ("as G.711: R 0-93 / MOS-CQEN", lambda d: f"{d.best.g711.r:.1f} / {d.best.g711.mos:.2f}"),
    ("buffer of 50 ms: missing, MOS", lambda d: _buffer(d, 1)),
    ("buffer of 200 ms", lambda d: _buffer(d, 2)),
    ("buffer that adapts", lambda d: _buffer(d, 3)),
)


def _buffer(direction: DirectionFigures, place: int) -> str:
    heard = direction.heard[place]
    return f"{heard.missing_pct:.2f} %, {heard.mos_fullband:.2f}"


def stretches(delays: Delays, most: int) -> list[Delays]:
    """Return up to so many equal stretches of a direction, in order."""
    count = min(most, len(delays))
    return [delays[len(delays) * place // count : len(delays) * (place + 1) // count] for place in range(count)]


def strip(delays: Delays, shade: Callable[[Sequence[float | None]], str]) -> str:
    """Return one mark for each of up to STRIP stretches of a direction."""
    return "".join(shade(stretch) for stretch in stretches(delays, STRIP))


def mark_of_loss(stretch: Sequence[float | None]) -> str:
    """Return the mark of a stretch by how much of it is missing."""
    share = sum(delay is None for delay in stretch) / len(stretch)
    return next(mark for most, mark in MARKS_OF_LOSS if share <= most)


def mark_of_delay(stretch: Sequence[float | None]) -> str:
    """Return the mark of a stretch by its delay; a space where nothing came."""
    there = [delay for delay in stretch if delay is not None]
    return next(mark for most, mark in MARKS_OF_DELAY if sum(there) / len(there) <= most) if there else " "


def headline(name: str, result: ProbeResult) -> str:
    """Return the first line: whom, over what, how far."""
    state = "verified" if result.verified else "not verified"
    done = min(1.0, result.seconds / result.asked_s) if result.asked_s else 0.0
    bar = "#" * round(14 * done) + "-" * (14 - round(14 * done))
    return f" {name}  {state}   at least {result.relays_at_least} relays   {result.codec.word}   {result.seconds:.0f} of {result.asked_s} s {bar} {100 * done:.0f} %"


def table(name: str, result: ProbeResult) -> list[str]:
    """Return the table of both directions, with the strips below."""
    lines = [headline(name, result), f"  {'':32}{f'you -> {name}':>{WIDTH}}{f'{name} -> you':>{WIDTH}}"]
    for title, text in ROWS:
        lines.append(f"  {title:32}{text(result.there):>{WIDTH}}{text(result.back):>{WIDTH}}")
    if result.round_trips_ms:
        lines.append(f"  {'round trip  least, p50, p95':32}{_trips(result):>{WIDTH}}   one way: half of the least")
    lines.append(f"  (mouth to ear with the buffer, without sound devices; {ACCEPTABLE_MS:.0f} ms is not noticed, {HIGH_MS:.0f} ms is)")
    seconds = f"one mark: {result.seconds / STRIP:.1f} s" if result.there.sent >= STRIP else ""
    for arrow, direction in (("->", result.there), ("<-", result.back)):
        lines.append(f"  loss  {arrow} {strip(direction.above_best, mark_of_loss):{STRIP}}  {seconds}")
        lines.append(f"  delay {arrow} {strip(direction.above_best, mark_of_delay)}")
    return lines


def _trips(result: ProbeResult) -> str:
    return " ".join(_ms(trip) for trip in (min(result.round_trips_ms), result.round_trip_ms(0.5), result.round_trip_ms(0.95))) + " ms"


def conclusion(result: ProbeResult) -> list[str]:
    """Return the last lines: the verdict, what to try, and whose figures these are."""
    lines = [f" verdict: {verdict(result)}", *(f"   {hint}" for hint in hints(result))]
    if result.before is not None:
        lines.append(f" path: {compared(result)}")
    if result.own_relays:
        first, *spares = (", ".join(relays) for relays in result.own_relays)
        lines.append(f" your relays: {first}{''.join(f'; beside it {spare}' for spare in spares)}. Of the other side you know the junction only.")
    if result.outcome is Outcome.CUT_SHORT:
        lines.append(f" It was cut short: these are the figures of {result.seconds:.0f} s.")
    if result.speech is not None:
        lines.append(f" speech: {_speech(result.speech)}")
    mended = result.there.mended + result.back.mended
    if mended:
        lines.append(f" {mended} lost frames were heard from coarse copies, and count as received.")
    if result.codec is not ProbeCodec.PCMA:
        lines.append(f" Values of {result.codec.source}.")
    return [*lines, f" {NOT_MEASURED}"]


def _speech(speech: SpeechScore) -> str:
    direct = f", {speech.direct:.2f} the same frames with nothing between" if speech.direct is not None else ""
    if speech.there is None:
        return f"the other box cannot score it (it lacks the extra `quality`, or did not hear it whole){direct}"
    compared_there = [f"{name} {value:.2f}" for name, value in (("PESQ", speech.pesq), ("STOI", speech.stoi)) if value is not None]
    direct += "".join(f", {each} there" for each in compared_there)
    return f"{speech.measure}, 1 to 5: {speech.there:.2f} at the other box{direct}; losses are concealed before that, of Opus as phones do it"


def all_lines(name: str, result: ProbeResult) -> list[str]:
    """Return the whole of what is shown at the end."""
    return [*table(name, result), *conclusion(result)]
