"""`voicebox status`: ask a running box or relay how it is. [io]"""

from __future__ import annotations

import argparse
import json
from typing import Any

from voicebox.cli.home import add_home, home_of
from voicebox.cli.path import differ_said
from voicebox.control import ask

EXIT_NOT_READY = 1
RELAY_SAID = {
    "possible": "others can reach this machine: it could relay for them, in a process of its own; `voicebox relay offer` says yes, `voicebox relay offer --no` never",
    "unlisted": "others reach it, and the network does not have it yet: give relay/descriptor to those who vouch for relays, then `voicebox network update FILE`",
    "running": "runs, in a process of its own",
    "ended": "its process ended and is started again after a while; `voicebox doctor --home DIR` looks at the directory relay/",
}
"""What is said of a box's own relay, by its stage (circuits/own_relay.py). Where it is wanted and nobody reaches it, that is doctor's to say: of most boxes it is so."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox status`."""
    add_home(parser, "the directory of the box or relay")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all counters")
    parser.add_argument("--show-path", action="store_true", help="also name who runs the relays of each circuit; keep that to yourself")


def run(args: argparse.Namespace) -> int:
    """Print the status; exit code 1 while it is not ready."""
    status = ask(home_of(args), "status", show_path=args.show_path)["status"]
    if args.json:
        print(json.dumps(status))
    else:
        print("\n".join(_lines(status)))
    return 0 if status["ready"] else EXIT_NOT_READY


def _fast(streams: dict[str, int]) -> list[str]:
    """Return what is chosen to be seen, and what was refused for it."""
    said = []
    if chosen := streams.get("fast", 0):
        said.append(f"fast       {chosen} of your services and forwards: what they carry is seen by relays and lines")
    if streams.get("fast_refused"):
        said.append(
            "fast       a forward of yours is fast and the contact's service is not, or is not any more: nothing passes; agree with the contact, and add one of them anew"
        )
    if streams.get("fast_only"):
        said.append(
            "fast       a program asked for a contact's service that is fast, by a way that is not: nothing passes; `voicebox forward add ... --fast` leads there"
        )
    return said


def _lines(status: dict[str, Any]) -> list[str]:
    real_time = "yes" if status["realtime"] else "no: the system does not allow it, so sound may stutter under load"
    if status["kind"] == "relay":
        links = status["links"]
        return [
            f"relay      {status['role']}",
            f"links      {links['access']} to boxes, {links['relay']} to relays",
            f"list       {_list(status['list'], 'relays')}",
            f"records    {status['records']['held']} held for others",
            *_clock(status["list"]),
            f"real time  {real_time}",
        ]
    circuits = [_circuit(circuit) for circuit in status["circuits"]]
    phones = [f"{phone['user']} ({phone['transport']})" for phone in status["phones"]]
    here = {phone["user"] for phone in status["phones"]}
    phones += [f"{user} (gone, last here {_ago(ago_s)} ago)" for user, ago_s in sorted(status["seen"].items()) if user not in here]
    clear = sorted({str(phone["user"]) for phone in status["phones"] if phone["clear"]})
    lines = [
        f"box        {'ready' if status['ready'] else 'not ready'}, profile {status['profile']}",
        f"circuits   {'; '.join(circuits) or 'none'}",
        f"calls      {status['calls']}",
        f"cover      {_cover(status)}",
        f"list       {_list(status['list'], 'guards')}",
        *_clock(status["list"]),
        f"contacts   {_contacts(status)}",
        f"phones     {', '.join(phones) or 'none registered'}",
        *([f"messages   {status['messages']['new']} new, {status['messages']['heard']} heard"] if status["messages"] else []),
        *([f"texts      {status['texts']['waiting']} wait for contacts whose boxes are off"] if status["texts"]["waiting"] else []),
        *([f"texts      {status['texts']['expired']} were not fetched in 7 days, and are gone"] if status["texts"]["expired"] else []),
        *([f"disturb    {_dnd(status['dnd'])}"] if status["dnd"]["everybody"] or status["dnd"]["phones"] else []),
        *(
            [f"trunk      {status['trunk']}; NOTHING protects calls over it: the provider knows you, whom you call, when, and every word"]
            if status["trunk"]
            else []
        ),
        *_fast(status["streams"]),
        f"cost       {_cost(status['cost'])}",
        f"real time  {real_time}",
    ]
    lines += _sound(status["transcoding"])
    lines += [f"relay      {said}" for said in (RELAY_SAID.get(status["relay"]["stage"]),) if said]
    if clear:
        speak = "speak" if len(clear) > 1 else "speaks"
        lines.append(f"clear      {', '.join(clear)} {speak} in the clear: who is on the same network can listen; `voicebox phone add` makes accounts for TLS")
    if status["compared"]["differ"]:
        lines.append(f"problem    {differ_said(status['compared']['differ'])}")
    if status["other_copy"]:
        lines.append("problem    another copy of this box runs, a contact's box says: the two take each other's calls. Stop one of them, for good")
    if status["no_path"]:
        lines.append("problem    no path through the network keeps the rules: too few guards or junctions, or too many of one operator")
    return lines


def _list(told: dict[str, Any], asked: str) -> str:
    """Say when the list of relays was last fetched, from how many, and whether they agree. asked: what they are."""
    said = f"{told['relays']} relays, "
    if told["fetched_s"] is None:
        said += f"as the network file had them: none of the {asked} has been asked yet"
    else:
        said += f"fetched {_ago(told['fetched_s'])} ago; {told['asked']} {asked} asked lately"
    doubts = [
        (told["unreachable"], "did not answer at the TCP port of their UDP"),
        (told["lacking"], "lack relays that have been known for long: they keep them back, or hear no news"),
        (told["broke_word"], "gave another list than they had said that they have"),
    ]
    found = [f"{count} {what}" for count, what in doubts if count]
    if told["value"] == "missing":
        found.append("junctions can be foreseen, because not all value keys have signed for this period")
    agree = ", who agree" if told["asked"] > 1 and not any(count for count, _ in doubts) else ""
    return "; ".join([said + agree, *found])


def _clock(told: dict[str, Any]) -> list[str]:
    """Say that this machine's clock is wrong, where most of those asked have another time."""
    off_s = told["clock_off_s"]
    return [f"problem    this machine's clock is {abs(off_s)} s {'slow' if off_s > 0 else 'fast'}, most relays say"] if off_s else []


def _ago(seconds: int) -> str:
    """Say how long something is ago, roughly."""
    unit, name = next((unit, name) for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")) if seconds >= unit or unit == 1)
    count = max(1, seconds // unit)
    return f"{count} {name}{'s' if count > 1 else ''}"


def _sound(transcoding: dict[str, Any]) -> list[str]:
    """Say what is converted between codecs, where there is something to say."""
    if not transcoding["possible"]:
        return ["sound      phones without a common codec cannot call each other: the Python package av, which has the codecs, is missing"]
    now = transcoding["now"]
    converted = f"{now} call{'s are' if now != 1 else ' is'} converted between codecs now, " if now else ""
    return [f"sound      {converted}{transcoding['calls']} since the start: the two phones have no codec in common"] if transcoding["calls"] else []


def _dnd(dnd: dict[str, Any]) -> str:
    everybody = ["nothing rings for callers, but by rules of the dial plan that say so"] if dnd["everybody"] else []
    return "; ".join([*everybody, *([f"these never ring: {', '.join(dnd['phones'])}"] if dnd["phones"] else [])])


def _contacts(status: dict[str, Any]) -> str:
    said = f"{status['contacts']}, {status['contacts_verified']} verified"
    if status["invitations"]:
        said += f", {status['invitations']} invited (`voicebox invited`)"
    if status["contacts_blocked"]:
        said += f", {status['contacts_blocked']} blocked"
    if status["contacts_changed"]:
        said += f"; {status['contacts_changed']} with another key than before: no calls with them until `voicebox contact accept`"
    return said


def _cost(cost: dict[str, Any]) -> str:
    promised, measured = cost["promised"], cost["measured"]
    always = f"{promised['out_kbit_s']:.0f} kbit/s each way, call or no call: {promised['month_gb']:.0f} GB a month both ways"
    if measured is None:
        return f"{always}; not measured yet"
    return (
        f"{always}; in the last minute {measured['out_kbit_s']:.0f} out and {measured['in_kbit_s']:.0f} in, at which a month has {measured['month_gb']:.0f} GB"
    )


def _cover(status: dict[str, Any]) -> str:
    """Say among how many splices a junction has to guess, as far as a box can know that: its own."""
    if not status["contacts"]:
        return "none: dummies go to contacts, and there is none; a call is the only splice of this box"
    dummies, calls = status["dummies"]["last_hour"], status["calls"]
    return f"{dummies} dummy splices of this box in the last hour beside {calls} calls now; those of other boxes come on top, and cannot be known here"


def _circuit(circuit: dict[str, Any]) -> str:
    words = [
        circuit["state"],
        *(["second of a call" if circuit["spare"] else "in a call"] if circuit["in_call"] else []),
        *([] if circuit["present"] else ["of another epoch"]),
    ]
    over = f" over {' and '.join(circuit['relays'])}" if "relays" in circuit else ""
    return ", ".join(words) + over
