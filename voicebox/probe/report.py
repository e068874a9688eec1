"""A probe's figures as one JSON object, versioned: schema.json beside this file says what it holds. Pure.

Names are those of RFC 3611 §4.7 (VoIP metrics block) where it has one, with its units where it has them: rates and densities as shares of 256, durations and
delays in ms. Nobody is named: no contact, no relay that the user did not ask for, no address; the time is rounded to ten minutes. Figures that could not be measured are null.
"""

from __future__ import annotations

import datetime as dt

from voicebox.probe.bursts import Bursts
from voicebox.probe.codecs import FRAME_MS
from voicebox.probe.figures import DirectionFigures, Heard
from voicebox.probe.result import ProbeResult, causes, hints, is_known, points_of

Json = dict[str, object]

VERSION = 2
ROUNDED_MINUTES = 10


def _number(value: float, digits: int = 2) -> float | None:
    return round(value, digits) if is_known(value) else None


def json_object(result: ProbeResult, now: dt.datetime) -> Json:
    """Return the report. now: when the probe ended."""
    rounded = now.replace(minute=now.minute // ROUNDED_MINUTES * ROUNDED_MINUTES, second=0, microsecond=0)
    trips = result.round_trips_ms
    return {
        "version": VERSION,
        "time_rounded": rounded.strftime("%Y-%m-%dT%H:%MZ"),
        "outcome": result.outcome.value,
        "asked_s": result.asked_s,
        "measured_s": round(result.seconds, 2),
        "codec": {"name": result.codec.word, "frame_ms": FRAME_MS, "values": result.codec.source},
        "path": {"relays_at_least": result.relays_at_least, "own": [list(relays) for relays in result.own_relays] or None},
        "before": _before(result),
        "directions": {"there": _direction(result.there, result), "back": _direction(result.back, result)},
        "round_trip_delay_ms": {
            "least": _number(min(trips)) if trips else None,
            "p50": _number(result.round_trip_ms(0.5)),
            "p95": _number(result.round_trip_ms(0.95)),
        },
        "one_way_method": "half of the least round trip",
        "verdict": result.grade.name.lower(),
        "causes": [{"cause": name, "points_of_r": round(cost, 1)} for name, cost in causes(result)],
        "hints": hints(result),
        "signal": {name: getattr(result.speech, name) for name in ("measure", "there", "direct", "pesq", "stoi")} if result.speech is not None else None,
        "not_measured": ["echo", "sound devices", "background noise"],
    }


def _before(result: ProbeResult) -> Json | None:
    """Return what the worse direction was over the circuits of the epoch before."""
    if result.before is None:
        return None
    worse = result.before.worse
    return {
        "verdict": result.before.grade.name.lower(),
        "r_factor": _r_factor(worse.best),
        "lost_pct": round(worse.lost_pct, 3),
        "mouth_to_ear_ms": round(worse.best.mouth_to_ear_ms, 1),
    }


def _direction(direction: DirectionFigures, result: ProbeResult) -> Json:
    points = points_of(direction, result.codec)
    p50, p95, p99, most = (_number(delay) for delay in direction.delays_ms)
    return {
        "sent": direction.sent,
        "received": direction.received,
        "mended": direction.mended,
        "lost_pct": round(direction.lost_pct, 3),
        "jitter_ms": {"mean": _number(direction.jitter_ms), "max": _number(direction.jitter_max_ms)},
        "delay_above_best_ms": {"p50": p50, "p95": p95, "p99": p99, "max": most},
        "best_buffer": _heard(direction.best, direction),
        "buffers": [_heard(heard, direction) for heard in direction.heard[1:]],
        "points_of_r": {name: round(getattr(points, name), 2) for name in ("r", "codec", "lost", "late", "delay")},
    }


def _heard(heard: Heard, direction: DirectionFigures) -> Json:
    played, total = heard.played, max(1, direction.sent)
    return {
        "name": played.name,
        "jb_nominal_ms": round(played.size_ms, 1),
        "loss_rate": _of_256(direction.lost / total),
        "discard_rate": _of_256(played.late / total),
        "discard_pct": round(100 * played.late / total, 3),
        **_bursts(heard.bursts),
        "mouth_to_ear_ms": round(heard.mouth_to_ear_ms, 1),
        "r": {
            "standard": heard.rating.scale.standard,
            "value": round(heard.rating.r, 2),
            "ro": round(heard.rating.ro, 2),
            "idd": round(heard.rating.long_delay, 2),
            "ie_eff": round(heard.rating.loss, 2),
        },
        "r_factor": _r_factor(heard),
        "mos_cq": round(heard.g711.mos, 2),
        "mos": {
            heard.rating.scale.mos_name: round(heard.rating.mos, 2),
            "MOS-CQEF": round(heard.mos_fullband, 2),
            "MOS-CQEN of G.711": round(heard.g711.mos, 2),
        },
    }


def _r_factor(heard: Heard) -> int:
    return round(min(100.0, max(0.0, heard.g711.r)))


def _bursts(bursts: Bursts) -> Json:
    return {
        "gmin": bursts.gmin,
        "burst_density": _of_256(bursts.burst_density),
        "gap_density": _of_256(bursts.gap_density),
        "burst_duration": round(bursts.burst_mean * FRAME_MS),
        "gap_duration": round(bursts.gap_mean * FRAME_MS),
        "burst_ratio": round(bursts.burst_ratio, 2),
        "missing_in_a_row": {"mean": round(bursts.run_mean, 2), "max": bursts.run_longest},
    }


def _of_256(share: float) -> int:
    """Return a share as RFC 3611 has it: multiplied by 256, rounded down, at most 255."""
    return min(255, int(share * 256))
