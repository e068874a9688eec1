"""Choosing `fast` for a service or forward: what it reveals and what the unseen way would take is said then, and asked. [io]"""

from __future__ import annotations

import argparse
from pathlib import Path

from voicebox.cli.terminal import can_ask, is_yes
from voicebox.config.load import load_box
from voicebox.config.model import Profile
from voicebox.errors import UsageError

OCTETS_PER_S = 10_200.0
"""Of a stream over one circuit: 0.93 of 220 octets in each of 50 slots (PROTOCOL.md §11.4)."""
CIRCUITS_OF_A_CALL = 2
EXAMPLE_OCTETS = 100e6
REVEALS = """fast: what is sent this way can be SEEN. Your guard, the contact's guard, the relay between them, and whoever watches your line or theirs see that something is
transferred, when, how much, and how fast; nobody reads it. Whoever runs the relay between the two can tell by the amounts that both belong together, and so can
somebody who watches both lines. Without fast nobody sees whether anything is sent, and 100 MB take about {minutes} minutes; with it as long as the lines and relays need.
Both sides must choose it, for the service and for the forward. While anybody talks on your box it waits."""


def add_fast(parser: argparse.ArgumentParser) -> None:
    """Add the arguments by which fast is chosen."""
    parser.add_argument("--fast", action="store_true", help="in bulk beside the slots: quick, but seen by relays and lines; you are told more, and asked")
    parser.add_argument("--yes", action="store_true", help="with --fast: do not ask")


def unseen_minutes(profile: Profile) -> int:
    """Return how long 100 MB take the unseen way, over the circuits that a call of this profile has."""
    per_s = OCTETS_PER_S * min(profile.circuits, CIRCUITS_OF_A_CALL) / (2 if profile.is_metered else 1)
    return round(EXAMPLE_OCTETS / per_s / 60)


def kind_chosen(args: argparse.Namespace, home: Path) -> str:
    """Return what ends the line of the file: " udp", " tls", " fast" or nothing. Says what fast reveals and asks. Raises UsageError where it is not agreed to."""
    is_tls = getattr(args, "tls", False)
    if not args.fast:
        return " udp" if args.udp else " tls" if is_tls else ""
    if args.udp:
        raise UsageError("Datagrams do not go the fast way. Leave out --udp or --fast.")
    if is_tls:
        raise UsageError("What is checked as TLS does not go the fast way. Leave out --tls or --fast.")
    reveals = REVEALS.format(minutes=unseen_minutes(load_box(home).profile))
    if not args.yes and not can_ask():
        raise UsageError(f"{reveals}\nNobody is here to be asked whether that is wanted. With --yes it is.")
    print(reveals)
    if not args.yes and not is_yes("Send it this way?"):
        raise UsageError("Nothing was changed. Without --fast it goes the unseen way.")
    return " fast"
