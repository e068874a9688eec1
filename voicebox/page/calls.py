"""The live call: how it sounds, as it goes on; and a probe, which says how one would. [io: an event stream, a thread]"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from voicebox.errors import UsageError, VoiceboxError
from voicebox.page.desk import Desk, desk_of, form_of, led_to, shown, translated
from voicebox.page.gauge import BUFFER_MS, LEAST_DELAY_MS, LEAST_MS, LEAST_PCT, TOP_R, Gauge, drawing
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import Outcome
from voicebox.probe.page import STYLE, drawn
from voicebox.probe.result import ProbeResult
from voicebox.probing import Watch

MAX_STREAMS = 4
STREAM_S = 600.0
"""Then the browser asks for another, by which a login ends that is not used."""
PROBE_S = 30
LOOK_EVERY_S = 1.0


@dataclass
class Probing:
    """A probe that is under way, or its result."""

    petname: str
    result: ProbeResult | None = None
    problem: str = ""
    over: bool = False


async def call(request: Request) -> Response:
    """Show the calls of now, and the form of a probe."""
    desk = desk_of(request)
    await _take(desk)
    return shown(request, "call.html", now=Markup(_told(desk)), contacts=await desk.callees())  # noqa: S704 - made of numbers, below


async def live(request: Request) -> Response:
    """Tell how calls sound, once a second, for ten minutes."""
    desk = desk_of(request)
    streams = desk.work.setdefault("streams", 0)
    if streams >= MAX_STREAMS:
        raise UsageError(translated("Too many windows look at the call already."))

    async def events() -> AsyncIterator[str]:
        desk.work["streams"] += 1
        end_s = desk.now_s() + STREAM_S
        try:
            while desk.now_s() < end_s:
                try:
                    await _take(desk)
                    told = _told(desk)
                except VoiceboxError:
                    told = f"<p>{translated('The box does not answer.')}</p>"
                yield f"event: quality\ndata: {told}\n\n"
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            desk.work["streams"] -= 1

    return StreamingResponse(events(), media_type="text/event-stream")


async def _take(desk: Desk) -> None:
    """Take a sample, unless another window just did."""
    gauge: Gauge = desk.work.setdefault("gauge", Gauge())
    if desk.now_s() - desk.work.get("sampled_s", 0.0) >= LOOK_EVERY_S / 2:
        desk.work["sampled_s"] = desk.now_s()
        status, way = (await desk.ask("status"))["status"], await desk.ask("jitter")
        desk.work["calls"] = int(status["calls"])
        gauge.take(
            int(status["calls"]), status["engine"], [int(step) for step in way["steps_us"]], desk.now_s(), [float(trip) for trip in way["round_trips_ms"]]
        )


def _told(desk: Desk) -> str:
    """Return what is seen of calls now, as one line of HTML, made of numbers and our own words."""
    seconds = list(desk.work["gauge"].seconds)
    calls = int(desk.work.get("calls", 0))
    said = translated("No call now.") if not calls else translated("Calls now: {calls}.").format(calls=calls)
    if calls and seconds and (r := seconds[-1].r) is not None:
        said += " " + translated("R: {r:.0f} of {top:.0f}.").format(r=r, top=TOP_R)
        if seconds[-1].one_way_ms is None:
            said += " " + translated("Delay is not counted in it: it is not known.")
    plots = (
        (
            translated("R: how good it is, as Opus at 24 kbit/s and with {buffer} ms of a phone's buffer").format(buffer=BUFFER_MS),
            [each.r for each in seconds],
            TOP_R,
            "",
        ),
        (translated("Delay one way: half of the round trip when the call began"), [each.one_way_ms for each in seconds], LEAST_DELAY_MS, "ms"),
        (translated("Lost on the way and repaired"), [each.repaired_pct for each in seconds], LEAST_PCT, "%"),
        (translated("Heard as a gap: came too late"), [each.late_pct for each in seconds], LEAST_PCT, "%"),
        (translated("Jitter of the links"), [each.jitter_ms for each in seconds], LEAST_MS, "ms"),
    )
    figures = "".join(f"<figure><figcaption>{label}</figcaption>{drawing(values, least, unit, label)}</figure>" for label, values, least, unit in plots)
    return f'<p class="big">{said}</p><div class="plots">{figures}</div>'


# ---------------------------------------------------------------------------------------------------------------- the probe


async def begin_probe(request: Request) -> Response:
    """Begin a probe of a contact; it goes on beside."""
    form, desk = await form_of(request), desk_of(request)
    there = desk.work.get("probe")
    if isinstance(there, Probing) and not there.over:
        raise UsageError(translated("A probe is under way already."))
    probing = desk.work["probe"] = Probing(form.get("petname", ""))
    desk.begin(_probe(desk, probing))
    return led_to("/call/probe")


async def _probe(desk: Desk, probing: Probing) -> None:
    try:
        watch = await asyncio.to_thread(Watch, desk.home, probing.petname, ProbeCodec.OPUS24.word, PROBE_S)
        try:
            while (result := await asyncio.to_thread(watch.look)).outcome is Outcome.UNDER_WAY:
                probing.result = result
                await asyncio.sleep(LOOK_EVERY_S)
            probing.result = result
        finally:
            await asyncio.to_thread(watch.end)
    except VoiceboxError as problem:
        probing.problem = str(problem)
    finally:
        probing.over = True


async def probe(request: Request) -> Response:
    """Show how the probe goes, then what it found."""
    probing = desk_of(request).work.get("probe")
    if not isinstance(probing, Probing):
        return led_to("/call")
    result = probing.result
    done = min(PROBE_S, round(result.seconds)) if result is not None else 0
    found = result is not None and probing.over and result.outcome in {Outcome.MEASURED, Outcome.CUT_SHORT} and result.seconds > 0
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    inside = Markup(drawn(result, when)) if found and result is not None else ""  # noqa: S704 - escaped where it is made
    outcome = result.outcome.value if result is not None else ""
    return shown(request, "probe.html", probing=probing, done=done, seconds=PROBE_S, drawn=inside, outcome=outcome)


async def probe_style(_request: Request) -> Response:
    """Give the style sheet of a probe's drawings, which its own page has inside."""
    return Response(STYLE, media_type="text/css")
