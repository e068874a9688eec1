"""`voicebox path`: how the paths of a running box are chosen now. [io]"""

from __future__ import annotations

import argparse
import json
from typing import Any

from voicebox.circuits.exposure import bad_call, bad_guard, bad_path, ever_bad_path
from voicebox.circuits.guards import DAY_S, KEEP_S
from voicebox.cli.home import add_home, home_of
from voicebox.control import ask
from voicebox.errors import UsageError

ASSUMED_PCT = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox path`."""
    parser.add_argument("contact", nargs="?", default="", metavar="NAME", help="the path of a call to this contact, as far as it can be known here")
    add_home(parser)
    parser.add_argument("--explain", action="store_true", help="say by which rules it was chosen")
    parser.add_argument(
        "--bad", type=float, default=ASSUMED_PCT, metavar="PERCENT", help=f"assumed share of relays that work together (default: {ASSUMED_PCT:g})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print it. It names operators: keep it to yourself."""
    if not 0 <= args.bad <= 100:
        raise UsageError("--bad is a share in percent, 0 to 100.")
    path = ask(home_of(args), "path", contact=args.contact)["path"]
    path["chances"] = chances(args.bad / 100, path)
    if args.json:
        print(json.dumps(path))
    else:
        print("\n".join([*_paths(path, args.contact), *_chances(path, args.bad), *(_rules(path) if args.explain else ())]))
    return 0


def chances(share: float, path: dict[str, Any]) -> dict[str, float]:
    """Return the probabilities for an assumed share of bad relays."""
    middles, guards = int(path["middle"]), max(1, len(path["circuits"][:2]))
    return {
        "bad_guard_in_a_year": bad_guard(share, guards),
        "bad_path_now": bad_path(share, middles),
        "bad_path_in_a_year": ever_bad_path(share, path["epochs_per_day"], middles, guards),
        "bad_call": bad_call(share, middles),
    }


def _paths(path: dict[str, Any], contact: str) -> list[str]:
    if not path["circuits"]:
        return ["No circuit stands now."]
    there = f", then {contact}'s own relays, which only {contact}'s box knows" if contact else ""
    lines = []
    for number, circuit in enumerate(path["circuits"], 1):
        relays = ", ".join(f"{relay['role']} of {relay['operator']}" for relay in circuit["relays"])
        delay = "not measured" if circuit["delay_ms"] is None else f"about {circuit['delay_ms']} ms to the junction"
        lines.append(f"circuit {number}  {relays}{there}; {delay}{', and as much as the other half takes' if contact else ''}")
    return lines


def _chances(path: dict[str, Any], bad_pct: float) -> list[str]:
    chance = path["chances"]
    return [
        f"If {bad_pct:g} % of what relays give were given by some who work together, the chance is",
        f"  {_percent(chance['bad_guard_in_a_year'])} that this box has one of theirs as a guard at some time in a year: it sees the box's address, and that it is online",
        f"  {_percent(chance['bad_path_now'])} that a circuit is all theirs now: they see that the box is in a call or a dummy, not with whom",
        f"  {_percent(chance['bad_path_in_a_year'])} that this was so at some time in a year",
        f"  {_percent(chance['bad_call'])} that all relays of a call are theirs, if the other box has as many: then they know who calls whom",
    ]


def _rules(path: dict[str, Any]) -> list[str]:
    entropy, relays = path["entropy_bits"], path["relays"]
    low, high = (bound // DAY_S for bound in KEEP_S)
    rules = [name for name, on in (("operator", path["distinct"]["operators"]), ("IPv4 /16 or IPv6 /32", path["distinct"]["prefixes"])) if on]
    drawn = (
        "in proportion to their bandwidth, for which vouchers stand"
        if path["threshold"]
        else "all alike, since this is an open network, where nobody vouches for anything"
    )
    delay = (
        "A middle that is slow is drawn less often, by at most half."
        if path["delay_counts"]
        else "Measured delay decides nothing: there is no middle to choose, or too few relays."
    )
    return [
        f"Guards are drawn among {relays['guards']} relays, {drawn}; entropy of a draw: {entropy['guards']} bits. Each is kept for {low} to {high} days.",
        f"In the order in which they are used: {', '.join(path['guards'])}.",
        *_by_card(path),
        f"Junctions are the same for everybody in an epoch, drawn among {relays['junctions']}; entropy of a draw: {entropy['junctions']} bits.",
        *_compared(path["compared"]),
        f"No two relays of a path are of one {' or '.join(rules)}."
        if rules
        else "This network lets one operator, and one network of addresses, have two relays of a path.",
        f"{delay} The floor is {entropy['floor']:g} bits.",
    ]


def differ_said(count: int) -> str:
    """Say that contacts' boxes know other junctions than this one. count: of how many contacts."""
    return f"the boxes of {count} contacts have known other junctions for hours: this box or they are told another list. `voicebox doctor` says what to do"


def _compared(told: dict[str, int]) -> list[str]:
    """Say whether contacts' boxes know the same, where one has said so."""
    agree = [f"The boxes of {told['agree']} contacts said lately that they know the same junctions."] if told["agree"] else []
    return [*agree, f"Problem: {differ_said(told['differ'])}."] if told["differ"] else agree


def _by_card(path: dict[str, Any]) -> list[str]:
    """Say what this box knows beside the list, where it knows something."""
    cards, lines = path["by_card"], []
    if cards["known"]:
        unlisted = f", {cards['unlisted']} of them not in the list" if cards["unlisted"] else ""
        lines.append(f"{cards['known']} relays are known by card{unlisted}: they are drawn first; {cards['guards']} of the guards above are such.")
    if path["own_relay"]:
        lines.append("The relay beside this box is never on its own paths: both have one address.")
    return lines


def _percent(chance: float) -> str:
    return f"{100 * chance:.2g} %"
