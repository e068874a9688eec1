"""What `voicebox doctor` makes of what a running box says of itself: circuits, guards, ticks, phones, drops. Pure.

NOT here: asking it (cli/doctor.py). A relay says less, and what it says is looked at where it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicebox.doctor.findings import LATE_LIMIT_US, Finding, Grade
from voicebox.probe.ends import Outcome
from voicebox.probe.result import Grade as ProbeGrade
from voicebox.probe.result import ProbeResult, verdict

FAR_MS = 75
"""From the box to a junction: twice that, with what boxes wait, is beyond the 150 ms of G.114."""


def findings_of_status(status: Mapping[str, Any]) -> list[Finding]:
    """Return the findings of a status (daemon.py, relay_daemon.py)."""
    found = [_granted(status), _ticks(status["engine"]), _bugs(status), _list(status["list"]), _clock(status["list"]), _value(status["list"])]
    if status["kind"] == "box":
        found += [_circuits(status), _phones(status), _copy(status), _compared(status["compared"]), _relay(status["relay"])]
    return found


def _granted(status: Mapping[str, Any]) -> Finding:
    if status["realtime"]:
        return Finding("running", Grade.GOOD, "with real-time scheduling")
    return Finding("running", Grade.NOTE, "without real-time scheduling: it was refused, or is switched off in the settings")


def _ticks(engine: Mapping[str, int]) -> Finding:
    late_us = engine.get("tick_late_p99_us", 0)
    said = f"99 of 100 are at most {late_us / 1e3:.2f} ms late"
    if late_us <= LATE_LIMIT_US:
        return Finding("ticks", Grade.GOOD, said)
    return Finding("ticks", Grade.PROBLEM, f"{said}, and {LATE_LIMIT_US / 1e3:g} ms are wanted", "Other work on this machine delays them.")


def _bugs(status: Mapping[str, Any]) -> Finding:
    faults = sum(count for name, count in status["counters"].items() if name.startswith("bug_")) + status["engine"].get("panics", 0)
    if not faults:
        return Finding("faults", Grade.GOOD, "none of its own")
    return Finding("faults", Grade.PROBLEM, f"{faults} of its own were passed over", "Please report them; `voicebox status --json` has the counters.")


def _compared(told: Mapping[str, Any]) -> Finding:
    if told["differ"]:
        advice = "One of you is told another list than the others. Compare its digits (`voicebox network update` prints them); if theirs has more relays, take their file."
        return Finding("compared", Grade.PROBLEM, f"the boxes of {told['differ']} contacts have known other junctions for hours", advice)
    return Finding("compared", Grade.GOOD, f"the boxes of {told['agree']} contacts said lately that they know the same junctions")


def _list(told: Mapping[str, Any]) -> Finding:
    doubtful = told["lacking"] + told["broke_word"]
    if doubtful:
        advice = "Compare the state of the list with somebody else's (`voicebox network update` prints it); if theirs has more relays, take their file."
        return Finding("list", Grade.PROBLEM, f"{doubtful} of {told['asked']} relays asked for the list do not give all of it", advice)
    if told["fetched_s"] is None and told["unreachable"]:
        advice = "A firewall lets no TCP through, here or at the relays: the list is at the port that a relay's UDP has. Until then take a newer network file."
        return Finding("list", Grade.PROBLEM, f"none of {told['unreachable']} relays asked for the list answered", advice)
    if told["fetched_s"] is None:
        return Finding("list", Grade.NOTE, "no relay has been asked for the list yet", "A minute after the start one should have been.")
    if told["unreachable"]:
        return Finding("list", Grade.NOTE, f"{told['asked']} relays gave it, {told['unreachable']} did not answer", "They may be off, or let no TCP in.")
    return Finding("list", Grade.GOOD, f"{told['asked']} relays were asked for it lately, and agree")


def _value(told: Mapping[str, Any]) -> Finding:
    if told["value"] == "missing":
        return Finding(
            "value",
            Grade.NOTE,
            "who is a junction can be foreseen: not all value keys have signed for this period",
            "Tell those who hold them: `voicebox network value`.",
        )
    if told["value"] == "none":
        return Finding("value", Grade.GOOD, "the network has no value keys: who is a junction can be foreseen for all time")
    return Finding("value", Grade.GOOD, "nobody could foresee who is a junction now")


def _clock(told: Mapping[str, Any]) -> Finding:
    off_s = told["clock_off_s"]
    if off_s:
        return Finding(
            "date", Grade.PROBLEM, f"this machine's is {abs(off_s)} s {'behind' if off_s > 0 else 'ahead'}, most relays say", "Set it, and let NTP keep it."
        )
    return Finding("date", Grade.GOOD, "relays do not say that it is wrong")


def _circuits(status: Mapping[str, Any]) -> Finding:
    present = [circuit for circuit in status["circuits"] if circuit["present"]]
    standing = sum(circuit["state"] == "standing" for circuit in present)
    if status["no_path"]:
        return Finding(
            "circuits", Grade.PROBLEM, "no path through the network keeps the rules", "Get a newer network file, or take guards out of `guards` in box.yaml."
        )
    if status["ready"]:
        return Finding("circuits", Grade.GOOD, f"all {standing} stand")
    advice = "A firewall that lets no UDP out, a router that forgets ports, or guards that are off; look again in a minute."
    return Finding("circuits", Grade.PROBLEM, f"{standing} of {len(present)} stand, so calls may find none", advice)


def _phones(status: Mapping[str, Any]) -> Finding:
    phones = status["phones"]
    if not phones:
        return Finding(
            "registered", Grade.NOTE, "no phone is, so nothing rings here", "Look whether the phone has the server, user and password that were printed."
        )
    clear = sum(bool(phone["clear"]) for phone in phones)
    if clear:
        return Finding("registered", Grade.NOTE, f"{len(phones)} phones, {clear} of them speak in the clear", "`voicebox phone add` makes accounts for TLS.")
    return Finding("registered", Grade.GOOD, f"{len(phones)} phones, none of them in the clear")


def findings_of_path(path: Mapping[str, Any]) -> list[Finding]:
    """Return the findings of what a box says of its path (circuits/path_report.py); operators are counted, not named."""
    used = len({circuit["relays"][0]["operator"] for circuit in path["circuits"]})
    guards, delays = len(path["guards"]), [circuit["delay_ms"] for circuit in path["circuits"] if circuit["delay_ms"] is not None]
    if guards > used:
        found = [Finding("guards", Grade.GOOD, f"{guards} can be used, {used} of them are")]
    else:
        advice = "Take operators out of `guards` in box.yaml, or get a newer network file."
        found = [Finding("guards", Grade.NOTE, f"{guards} can be used, {used} of them are: there is no spare one", advice)]
    if not delays:
        return found
    said = f"{' and '.join(str(delay) for delay in delays)} ms to their junctions, when they were made"
    if max(delays) <= FAR_MS:
        return [*found, Finding("links", Grade.GOOD, said)]
    return [
        *found,
        Finding("links", Grade.NOTE, f"{said}: calls take long", "`prefer` in box.yaml draws guards that are nearer first; `middle: no` is shorter."),
    ]


def finding_of_probe(result: ProbeResult) -> Finding:
    """Return what a short probe of a contact says of the way of a call: there and back through the box's own circuits."""
    if result.outcome not in {Outcome.MEASURED, Outcome.CUT_SHORT}:
        advice = "Circuits that do not stand are named above; if all do, the contact's box is off or wants no probes: try another."
        return Finding("call", Grade.PROBLEM, f"no sound went there and back: {result.outcome.value}", advice)
    worse = result.worse
    said = f"sound goes there and back: {worse.lost_pct:.1f} % lost, {worse.best.mouth_to_ear_ms:.0f} ms from mouth to ear"
    if result.grade is ProbeGrade.GOOD:
        return Finding("call", Grade.GOOD, said)
    return Finding("call", Grade.NOTE, f"{said}: {verdict(result)}", "`voicebox probe` measures longer, and says what to try.")


def _copy(status: Mapping[str, Any]) -> Finding:
    if status["other_copy"]:
        return Finding("copies", Grade.PROBLEM, "another copy of this box runs, and takes its calls", "Stop one of them, for good.")
    return Finding("copies", Grade.GOOD, "no contact's box has noticed another one")


def _relay(relay: Mapping[str, Any]) -> Finding:
    match relay["stage"]:
        case "running":
            return Finding("relay", Grade.GOOD, f"runs beside the box; its process ended {relay['restarts']} times by itself")
        case "possible":
            return Finding(
                "relay", Grade.NOTE, "others can reach this machine, so it could relay for them", "voicebox relay offer; or never: voicebox relay offer --no."
            )
        case "unlisted":
            advice = "Give relay/descriptor to those who vouch for relays, then: voicebox network update FILE."
            return Finding("relay", Grade.NOTE, "others reach it, and the network does not have it", advice)
        case "ended":
            return Finding("relay", Grade.PROBLEM, "its process ends by itself, or its files cannot be used", "voicebox doctor --home on the directory relay/.")
        case "unreached" if relay["wanted"]:
            return Finding("relay", Grade.PROBLEM, "nobody reaches it", "Let the router forward the UDP port of `listen` in relay/relay.yaml to this machine.")
        case _:
            return Finding("relay", Grade.GOOD, "none here, and none that is known to be possible")
