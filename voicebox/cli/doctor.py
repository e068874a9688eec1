"""`voicebox doctor`: look at this machine, at a box's or relay's directory, and at what runs there, for what stands in the way of calls. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import json
import os
import platform
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from voicebox.addresses import drops_answers, routes_here, uplinks_here
from voicebox.circuits.descriptor import RelayAddress
from voicebox.cli.home import add_home
from voicebox.config.model import BoxConfig
from voicebox.contacts.store import StateDirectory
from voicebox.control import SOCKET_NAME, ask
from voicebox.doctor.files import is_relay, look_at_files, relay_addresses, settings_of
from voicebox.doctor.findings import Finding, Grade, findings_of
from voicebox.doctor.machine import look_at_machine
from voicebox.doctor.names import look_at_names
from voicebox.doctor.redact import own_words, redact
from voicebox.doctor.resolver import look_at_low_ports, look_at_resolver
from voicebox.doctor.running import finding_of_probe, findings_of_path, findings_of_status
from voicebox.doctor.surroundings import look_at_address, look_at_ports, look_at_uplinks, source_address
from voicebox.doctor.units import look_at_units, unit_folders
from voicebox.errors import UsageError, VoiceboxError
from voicebox.probe.ends import Outcome
from voicebox.probing import Watch
from voicebox.uplinking import chosen_uplinks

EXIT_PROBLEM = 1
CALL_CODEC, CALL_S = "pcma", 5
LOOK_EVERY_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox doctor`."""
    add_home(parser, "also look at this directory of a box or relay")
    parser.add_argument(
        "--call",
        metavar="PETNAME",
        help="also go through the box's circuits to a contact's box and back, for five seconds; nobody's phone rings. echo: whoever is drawn",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument("--report", action="store_true", help="print what can be shown to others: no address, path, name or key is in it")


def run(args: argparse.Namespace) -> int:
    """Print what was found; exit code 1 where something is in the way."""
    named = args.home or os.environ.get("VOICEBOX_HOME")
    home = Path(named).absolute() if named else None
    if home is None and args.call:
        raise UsageError("--call goes through the circuits of a box, so it needs the box's directory: --home DIR.")
    relay = home is not None and is_relay(home)
    found = findings_of(look_at_machine(), relay=relay)
    if home is not None:
        found += _look_at_home(home, relay=relay)
        found += [_call(home, args.call)] if args.call else []
    if args.report:
        print("\n".join(_report(found, home)))
    elif args.json:
        print(json.dumps({"findings": [{"what": each.what, "grade": each.grade.value, "said": each.said, "advice": each.advice} for each in found]}))
    else:
        print("\n".join(line for finding in found for line in _lines(finding)))
    return EXIT_PROBLEM if any(finding.grade is Grade.PROBLEM for finding in found) else 0


def _look_at_home(home: Path, *, relay: bool) -> list[Finding]:
    """Look at a directory, at what runs there, and at what it needs of the machine's network."""
    now = dt.datetime.now(dt.UTC)
    found = look_at_files(home, now)
    if addresses := relay_addresses(home, now):
        found.append(look_at_address(source_address(addresses), relay=relay))
    running = _look_at_running(home, relay=relay)
    config = None if relay else settings_of(home)
    if config is not None:
        lines = _look_at_uplinks(home, config, addresses)
        found += [lines] if lines is not None else []
        found += look_at_ports(config.sip_listen, config.tls_listen, runs=_runs(home))
        found.append(look_at_names(Path("/"), config.suffixes))
        if config.names_listen:
            found.append(look_at_resolver(Path("/"), config.suffixes, config.names_listen[0]))
            low = look_at_low_ports(Path("/"), config.names_ports, privileged=os.geteuid() == 0)
            found += [low] if low is not None else []
    return [*found, *running, *([] if relay else [look_at_units(unit_folders())])]


def _look_at_uplinks(home: Path, config: BoxConfig, relays: list[RelayAddress]) -> Finding | None:
    there = uplinks_here({ipaddress.ip_address(each.host) for each in relays}, routes_here())
    try:
        chosen = chosen_uplinks(StateDirectory(home), config)
    except VoiceboxError as problem:
        return Finding("uplinks", Grade.PROBLEM, str(problem), quoted=True)
    return look_at_uplinks(chosen, there, sum(drops_answers(name) for name in there if name in chosen))


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.grade.value:8} {finding.what:11} {finding.said}"]
    return [*lines, f"{'':20} {finding.advice}"] if finding.advice else lines


def _runs(home: Path) -> bool:
    try:
        return (home / SOCKET_NAME).exists()
    except OSError:
        return False


def _look_at_running(home: Path, *, relay: bool) -> list[Finding]:
    if not _runs(home):
        return [Finding("running", Grade.NOTE, "nothing runs in this directory")]
    try:
        found = findings_of_status(ask(home, "status")["status"])
        return found if relay else [*found, *findings_of_path(ask(home, "path")["path"])]
    except VoiceboxError as problem:
        return [Finding("running", Grade.PROBLEM, str(problem), quoted=True)]


def _call(home: Path, petname: str) -> Finding:
    """Return how a short probe of a contact goes: the way of a call, through all of the box's own circuits."""
    try:
        watch = Watch(home, petname, CALL_CODEC, CALL_S)
        try:
            while (result := watch.look()).outcome is Outcome.UNDER_WAY:
                time.sleep(LOOK_EVERY_S)
        finally:
            watch.end()  # where it was interrupted; one that was not goes on for a time, as calls do
    except VoiceboxError as problem:
        return Finding("call", Grade.PROBLEM, str(problem), quoted=True)
    return finding_of_probe(result)


def _report(found: list[Finding], home: Path | None) -> list[str]:
    """Return the findings for strangers, with what they need to know of this machine."""
    folders: tuple[str, ...] = (str(home), str(home.resolve())) if home is not None else ()
    head = f"voicebox {metadata.version('voicebox')}, Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    shown = (
        replace(finding, said=redact(finding.said, folders, own_words() if finding.quoted else None), advice=redact(finding.advice, folders))
        for finding in found
    )
    return [head, *(line for finding in shown for line in _lines(finding))]
