"""Keys and rows of the parts lengths, octets, relay_calls, box, probe, house, capacity, kills, flood, speech, records, names, fast, paths and unseen. Pure. The others': table.py; the thesis: thesis.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
Row = tuple[str, Any, float | None, str, str]
"""What, figure, goal (at most), unit, note."""
BOX_PCT = 2.0
GAP_P50_MS, GAP_MAX_MS = 300.0, 600.0
QUALITY_BELOW = 0.15
TICK_LATE_MS = 0.5
PESQ_PCT = 99.0
PATH_CHOICE_MS = 5.0
JITTER_MS, MESSAGE_US, START_S = 2.0, 150.0, 2.0
QUESTION_US = 200.0
"""5 000 questions a second on one core."""
FAST_MB_S, FAST_TO_TOR = 15, 4
QUESTION_MS, UNREADABLE = 2_000.0, 10
PROBE_PCT, PROBE_START_S, SCORE_S = 5.0, 1.0, 2.0
STREAM_PCT = {"clean": 85.0, "lossy": 60.0}
"""Of one circuit's octets; at least."""
BESIDE_BELOW = 0.1
PAGE_READY_MS, PAGE_MB, BROWSER_LEG_MS = 300.0, 60.0, 5.0


def get(found: Mapping[str, Any], *path: str, times: float = 1.0, digits: int = 2) -> Any:
    """Return a number deep inside, rounded; None where it is not there."""
    value: Any = found
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return round(value * times, digits) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _table(found: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    value = get(found, *path)
    return value if isinstance(value, Mapping) else {}


def keys(found: Mapping[str, Mapping[str, Any]]) -> Json:
    """Return what goes into bench.json of these parts: the names stay, and are null or empty where a part did not run."""
    one_way = _table(found, "lengths", "one_way")
    return {
        "one_way_virtual_ms": {
            link: {relays: {"p50": get(each, "p50_ms"), "p99": get(each, "p99_ms")} for relays, each in lengths.items()} for link, lengths in one_way.items()
        },
        "link_octets": {relays: [get(link, "ip_octets") for link in each["links"]] for relays, each in _table(found, "octets", "relays").items()},
        "relay_delay_ms": {
            kind: {
                calls: {"p50": get(each, "p50_ms"), "p99": get(each, "p99_ms"), "missing_pct": get(each, "missing_pct", digits=3)}
                for calls, each in _table(found, "relay_calls", kind).items()
            }
            for kind in ("full", "quota")
        },
        "relay_kb_s": {
            calls: {"in": get(each, "in_kb_s", digits=1), "out": get(each, "out_kb_s", digits=1)}
            for calls, each in _table(found, "relay_calls", "rates").items()
        },
        "box_cpu_pct": {state: get(found, "box", f"{state}_pct") for state in ("idle", "call")},
        "probe": {
            **{name: get(found, "probe", name) for name in ("added_pct", "start_s", "first_frame_s")},
            "score_s": {codec: get(found, "probe", "score_s", codec) for codec in _table(found, "probe", "score_s")},
        },
        "page": {
            "ready_ms": get(found, "page", "ready_s", "p95", times=1000, digits=1),
            "own_mb": {state: get(found, "page", state, "own_mb", digits=1) for state in ("page", "call")},
            "leg_ms": get(found, "page", "leg_ms", "p99"),
        },
        "house": {
            **{
                kind: {name: get(found, "house", kind, name, digits=3) for name in ("wanted", "failed", "rate", "cpu_ms_each", "retransmissions")}
                for kind in ("calls", "registrations", "kamailio")
            },
            "jitter_ms": {kind: get(found, "house", "at_once", kind, "mean_ms", digits=3) for kind in ("local", "circuits")},
            "message_us": get(found, "house", "message", "p50_us", digits=1),
            "start_s": get(found, "house", "start_s"),
        },
        "relay_capacity": {
            "calls": get(found, "capacity", "most_calls"),
            "circuits": get(found, "capacity", "most_circuits"),
            "tick_late_p99_ms": get(found, "capacity", "held", "tick_late_p99_us", times=1e-3, digits=3),
            "loss_pct": get(found, "capacity", "held", "loss", times=100, digits=4),
            "rtpengine": get(found, "capacity", "rtpengine"),
        },
        "relay_killed": {
            relay: {name: get(each, name, digits=0) for name in ("kills", "lived", "gap_p50_ms", "gap_max_ms")}
            for relay, each in _table(found, "kills", "relays").items()
        },
        "flood": {
            "junk_per_s": get(found, "flood", "flooded", "flood", "junk_per_s", digits=0),
            "handshakes_per_s": get(found, "flood", "flooded", "flood", "handshakes_per_s", digits=0),
            **{
                name: {run: get(found, "flood", run, name, digits=4) for run in ("quiet", "flooded")} for name in ("calls_lost", "loss_pct", "tick_late_p99_us")
            },
        },
        "records": {"question_ms": dict(_table(found, "records", "took_ms")), "half_die": dict(_table(found, "records", "half_die"))},
        "names": {kind: {name: get(found, "names", kind, name) for name in ("cpu_us", "per_core", "rate")} for kind in ("ours", "reference")},
        "fast": {
            network: {
                **{
                    streams: {name: get(found, "fast", network, streams, name, digits=1) for name in ("mb_s", "cpu_s_gb", "load")}
                    for streams in ("one", "eight")
                },
                "request_ms": get(found, "fast", network, "request_ms"),
            }
            for network in ("fast", "tor")
        },
        "directory": {
            relays: {
                "verify_s": get(each, "cpu_s"),
                "kept_mb": get(each, "kept_mb", digits=1),
                "most_mb": get(each, "most_mb", digits=1),
                "mb": get(each, "octets", times=1e-6, digits=1),
                "fetch_s": get(each, "gossip", "first_cpu_s"),
                "fetch_mb": get(each, "gossip", "first_octets", times=1e-6, digits=2),
                "gossip_mb_day": get(each, "gossip", "day_octets", times=1e-6, digits=2),
                "path_p99_ms": get(found, "paths", "choose", relays, "path", "p99_ms", digits=3),
            }
            for relays, each in _table(found, "paths", "verify").items()
        },
        "unseen": {
            **{
                case: {
                    "stream_pct": get(found, "unseen", case, "one_stream", "share", times=100, digits=0),
                    "octets_per_s": get(found, "unseen", case, "one_stream", "octets_per_s", digits=0),
                    "request_p50_ms": get(found, "unseen", case, "requests", "p50_ms", digits=0),
                    "request_first_ms": get(found, "unseen", case, "requests", "first_ms", digits=0),
                }
                for case in STREAM_PCT
            },
            "plcmos": {kind: get(found, "unseen", "quality", kind, "p50") for kind in ("alone", "beside")},
            "beside_octets_per_s": get(found, "unseen", "quality", "octets_per_s", digits=0),
        },
        "speech_plcmos": {
            codec: {name: get(each, name) for name in ("calls", "p50", "p1", "direct_p50", "missing_pct", "pesq")}
            for codec, each in _table(found, "speech", "codecs").items()
        },
    }


def rows(report: Mapping[str, Any], parts: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the parts that ran; report: as keys() has it."""
    groups = {
        "lengths": _lengths_rows, "relay_calls": _relay_rows, "box": _box_rows, "probe": _probe_rows, "page": _page_rows, "house": _house_rows, "capacity": _capacity_rows, "kills": _kill_rows, "flood": _flood_rows,
        "speech": _speech_rows, "records": _records_rows, "names": _names_rows, "fast": _fast_rows, "paths": _paths_rows, "unseen": _unseen_rows,
    }  # fmt: skip
    return [row for part, of_part in groups.items() if part in parts and "error" not in parts[part] for row in of_part(report, parts[part])]


def _lengths_rows(report: Mapping[str, Any], _: Mapping[str, Any]) -> list[Row]:
    return [
        (f"One way, six relays, links of {link} ms, p99", get(report, "one_way_virtual_ms", link, "6", "p99"), None, "ms",
         f"VIRTUAL TIME; three relays {get(report, 'one_way_virtual_ms', link, '3', 'p99')}")
        for link in report["one_way_virtual_ms"]
    ]  # fmt: skip


def _records_rows(report: Mapping[str, Any], _: Mapping[str, Any]) -> list[Row]:
    die, took = report["records"]["half_die"], report["records"]["question_ms"]
    return [
        *(
            (
                f"A question about a record, {profile}, p95",
                get(each, "p95"),
                QUESTION_MS if profile == "home" else None,
                "ms",
                f"VIRTUAL TIME, links of 19 ms; p50 {each['p50']}",
            )
            for profile, each in took.items()
        ),
        (
            f"Of {die['records']} records unreadable when half of {die['relays']} relays died",
            die["unreadable"],
            UNREADABLE,
            "",
            f"the worst of {die['draws']} draws, mean {die['mean']}; 1 in 256 to be expected",
        ),
        ("  after the next put", die["after_put"], 0, "", ""),
    ]


def _names_rows(report: Mapping[str, Any], _: Mapping[str, Any]) -> list[Row]:
    ours, reference = report["names"]["ours"], report["names"]["reference"]
    note = f"{ours['per_core']:.0f} a second on one core; dnslib's own server with one fixed answer: {reference['cpu_us']} us"
    return [("A question to the name server", ours["cpu_us"], QUESTION_US, "us of CPU", note)]


def _unseen_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    its, rows = report["unseen"], list[Row]()
    for case, least in STREAM_PCT.items():
        each = its[case]
        share, circuits = each["stream_pct"], get(part, case, "one_stream", "circuits", digits=0)
        note = "" if share is None else f"{share:g} % of one circuit (at least {least:g}) over {circuits:g}; links of 19 ms, {case}"
        rows.append((f"One stream of an idle box, {case}", each["octets_per_s"], None, "octets/s", note))
        rows.append(
            (
                f"A request of 200 octets and its answer, {case}",
                each["request_p50_ms"],
                None,
                "ms",
                f"the wires have 152; the first one {each['request_first_ms']}",
            )
        )
    alone, beside = its["plcmos"]["alone"], its["plcmos"]["beside"]
    worse = None if alone is None or beside is None else round(max(0.0, alone - beside), 2)
    note = "" if worse is None else f"{beside} and {alone}; {its['beside_octets_per_s']:g} octets/s of streams"
    return [*rows, ("PLCMOS of an Opus call beside eight streams, less than without them by", worse, BESIDE_BELOW, "", note)]


def _fast_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    ours, tor = report["fast"]["fast"], report["fast"]["tor"]
    rows: list[Row] = []
    for streams in ("one", "eight"):
        beside, load = tor[streams], f"load {ours[streams]['load']} before"
        rows.append(
            (f"fast streams, {streams} over three relays", ours[streams]["mb_s"], None, "MB/s", f"goal: {FAST_MB_S} or more; Tor {beside['mb_s']}; {load}")
        )
        most = None if beside["cpu_s_gb"] is None else FAST_TO_TOR * beside["cpu_s_gb"]
        rows.append(("  CPU of all nodes", ours[streams]["cpu_s_gb"], most, "s a GB", f"Tor {beside['cpu_s_gb']}"))
    note = f"Tor {tor['request_ms']}; in the slots {get(part, 'fast', 'request_in_slots_ms', digits=0)}"
    return [*rows, ("  a request and its answer, 200 octets each", ours["request_ms"], None, "ms", note)]


def _paths_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for relays, each in report["directory"].items():
        note = f"{each['mb']} MB of text; {each['kept_mb']} MB stay, {each['most_mb']} MB at most"
        rows.append((f"checking a list of {relays} relays with two vouchers each", each["verify_s"], None, "s of CPU", note))
        note = f"{each['fetch_mb']} MB; {each['gossip_mb_day']} MB in a day without news"
        rows.append((f"getting that list by gossip for the first time, {relays} relays", each["fetch_s"], None, "s of CPU, both sides", note))
        rows.append((f"choosing a path among {relays} relays, p99", each["path_p99_ms"], PATH_CHOICE_MS, "ms of CPU", _once_an_epoch(part, relays)))
    return rows


def _once_an_epoch(part: Mapping[str, Any], relays: str) -> str:
    look, rank = (get(part, "choose", relays, name, "p50_ms", digits=1) for name in ("look_through", "junctions"))
    return f"once an epoch: {look} ms to look through the list, {rank} ms to rank its junctions"


def _relay_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    delays = report["relay_delay_ms"]
    failed = "; ".join(f"{run}: {why}" for run, why in part["failed"].items())
    return [
        ("Through a relay, 100 calls, p99", get(delays, "full", "100", "p99"), None, "ms", f"p50 {get(delays, 'full', '100', 'p50')}"),
        ("  with 20 % of a core", get(delays, "quota", "100", "p99"), None, "ms", f"p50 {get(delays, 'quota', '100', 'p50')}; failed: {failed or 'none'}"),
    ]


def _box_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    shares = report["box_cpu_pct"]
    circuits = f"{min(part['circuits_in_call'])} circuits in the call"
    return [("CPU of a box, idle", shares["idle"], BOX_PCT, "%", "of one core"), ("CPU of a box, in a call", shares["call"], BOX_PCT, "%", circuits)]


def _probe_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found = report["probe"]
    boxes = f"of one core; box {get(part['box_probing_pct'][0])}, idle {get(part['box_idle_pct'][0])}, the command {get(part, 'command_pct')}"
    return [
        ("CPU that a probe adds", found["added_pct"], PROBE_PCT, "%", boxes),
        (
            "A probe begins after",
            found["start_s"],
            PROBE_START_S,
            "s",
            f"its first frame after {found['first_frame_s']}, of which 1.1 s are waited at the other box",
        ),
        *((f"Scoring ten seconds of {codec}", seconds, SCORE_S, "s", "warm") for codec, seconds in found["score_s"].items()),
    ]


def _page_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found, ready = report["page"], part["ready_s"]
    most = get(ready, "most", times=1000, digits=0)
    return [
        ("A page of the box is ready, p95", found["ready_ms"], PAGE_READY_MS, "ms", f"of {ready['count']} requests; most {most}"),
        ("Memory of the page", found["own_mb"]["page"], PAGE_MB, "MB", f"its own; resident {get(part, 'page', 'rss_mb', digits=0)}"),
        ("Memory of the page in a call of a browser", found["own_mb"]["call"], PAGE_MB, "MB", f"its own; resident {get(part, 'call', 'rss_mb', digits=0)}"),
        ("The phone in a browser adds, p99", found["leg_ms"], BROWSER_LEG_MS, "ms", f"of {part['leg_ms']['frames']} frames; p50 {get(part, 'leg_ms', 'p50')}"),
    ]


def _house_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found = report["house"]
    calls, registrations, jitter = found["calls"], found["registrations"], found["jitter_ms"]
    other = get(part, "kamailio", "cpu_ms_each")
    reference = f"Kamailio, which asks nobody who it is and has no sound: {other} ms" if other else f"Kamailio: {get(part, 'kamailio') or 'no figure'}"
    each = f"{calls['wanted']:.0f} in {part['seconds']:.0f} s, {calls['cpu_ms_each']} ms of CPU each, {calls['retransmissions']:.0f} repetitions; {reference}"
    local, circuits = part["at_once"]["local"], part["at_once"]["circuits"]
    return [
        ("Calls of 50 a second in a house that failed", calls["failed"], 0.0, "", each),
        ("Registrations of 50 a second that failed", registrations["failed"], 0.0, "", f"{registrations['cpu_ms_each']} ms of CPU each"),
        (
            "Jitter to the phone, 20 calls in a house",
            jitter["local"],
            JITTER_MS,
            "ms",
            f"mean; worst phone {get(local, 'worst_ms')}, {local['streams']} streams",
        ),
        (
            "Jitter to the phone, 8 calls over circuits",
            jitter["circuits"],
            JITTER_MS,
            "ms",
            f"mean; worst phone {get(circuits, 'worst_ms')}, {circuits['streams']} streams",
        ),
        ("A SIP message parsed and written", found["message_us"], MESSAGE_US, "us", f"p99 {get(part, 'message', 'p99_us')}"),
        ("Start of a box, to its first answer", found["start_s"], START_S, "s", ""),
    ]


def _capacity_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found = report["relay_capacity"]
    wanted = part["wanted_circuits"]
    note = f"of {wanted} wanted, for {part['held_s']:.0f} s; rtpengine: {found['rtpengine']}"
    late = f"p99 of {found['circuits']} circuits; the first too many: {part['first_too_many']}"
    return [("Circuits that one relay carries", found["circuits"], None, "", note), ("  tick late, p99", found["tick_late_p99_ms"], 2.0, "ms", late)]


def _kill_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found: list[Row] = []
    for relay, each in report["relay_killed"].items():
        name = relay.replace("_", "'s ", 1) if "_" in relay else relay
        note = f"{each['kills']:.0f} kills, {part['case']}"
        found += [
            (f"Gap, {name} killed, median", each["gap_p50_ms"], GAP_P50_MS, "ms", note),
            ("  most", each["gap_max_ms"], GAP_MAX_MS, "ms", ""),
            ("  calls that ended", each["kills"] - each["lived"], 0.0, "", ""),
        ]
    return found


def _flood_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found = report["flood"]
    sent = f"{found['junk_per_s']:.0f} datagrams and {found['handshakes_per_s']:.0f} handshakes a second of {part['wanted'][0]:.0f} and {part['wanted'][1]:.0f}"
    late = {run: get(found, "tick_late_p99_us", run, times=1e-3, digits=3) for run in ("quiet", "flooded")}
    return [
        ("Calls lost in a flood", found["calls_lost"]["flooded"], 0.0, "", sent),
        ("  cells lost", found["loss_pct"]["flooded"], None, "%", f"left alone {found['loss_pct']['quiet']}"),
        ("  tick late, p99", late["flooded"], TICK_LATE_MS, "ms", f"left alone {late['quiet']}"),
    ]


def _speech_rows(report: Mapping[str, Any], part: Mapping[str, Any]) -> list[Row]:
    found: list[Row] = []
    for codec, each in report["speech_plcmos"].items():
        below = round(each["direct_p50"] - each["p50"], 3)
        note = f"{each['calls']} calls, median {each['p50']}, 99 % at least {each['p1']}; without the network {each['direct_p50']}"
        found.append((f"PLCMOS below the codec's, {codec}", below, QUALITY_BELOW, "", note))
        enough = get(each, "pesq", "enough_pct")
        missing = "" if part["pesq_installed"] else "pesq is not installed"
        found.append(("  PESQ below 3.0", None if enough is None else 100 - enough, 100 - PESQ_PCT, "%", missing))
    return found
