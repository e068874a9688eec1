"""`voicebox accept`: go to the meeting that somebody invites to, and make them a contact. [io]"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voicebox.circuits.meeting import Outcome
from voicebox.cli.home import add_home, home_of
from voicebox.cli.meeting import NOT_ADDED, add_met, added, claim, free_petname, network_of
from voicebox.cli.terminal import can_ask, is_yes
from voicebox.contacts.invitation import parse_said
from voicebox.contacts.words import EXAMPLE, request_of
from voicebox.control import ask
from voicebox.errors import UsageError

LOOK_EVERY_S = 0.3
WAIT_S = 60
AGAIN_S = 3.0
EXIT_NOT_MET = 1
_SAID = {
    Outcome.WRONG: "These words are wrong. Ask for them again: after three wrong tries they are good no more.",
    Outcome.USED: "These words were used already, and are good once only. If that was not you, tell your friend at once: somebody else has them.",
    Outcome.EXPIRED: "The time of these words is over. Ask for others.",
    Outcome.OTHER: "Who answered has the words, but is not whom this invitation is of. Nobody was added. Ask your friend for another, on a way that you trust.",
    Outcome.FALSE: "Whoever answered does not have the words: it was not your friend's box. They learnt nothing. Try again, and tell your friend if it goes on.",
    Outcome.NOBODY: "Nobody answers. The number may be wrong, the invitation taken back or burned by wrong tries, or their box does not run: both have to, at once.",
    Outcome.INTERRUPTED: "The meeting was interrupted, by a call or a path that died. Try again; should the words be used by then, ask for others.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox accept`."""
    parser.add_argument("words", nargs="+", metavar="WORDS", help=f"what you were told, as {EXAMPLE}, or the text of the QR code; then what you call them")
    add_home(parser)
    parser.add_argument("--yes", action="store_true", help="add whoever has the words without asking again")
    parser.add_argument("--wait", type=int, default=WAIT_S, metavar="SECONDS", help=f"how long to try until they answer (default: {WAIT_S})")


def run(args: argparse.Namespace) -> int:
    """Meet, and ask. Exit code 1 where nobody was met, or is wanted."""
    home, said = home_of(args), " ".join(args.words[:-1])
    if not said:
        raise UsageError(f"Give the words, then the name that you like for them: voicebox accept {EXAMPLE} NAME")
    petname = free_petname(home, args.words[-1])
    if not (args.yes or can_ask()):
        raise UsageError("Nobody is here to be asked whether to add them. With --yes they are added.")
    network_id = network_of(home)
    words, inviter = parse_said(said, network_id)
    request = request_of(words, network_id)
    met = _meet(home, lambda: ask(home, "accept", inviter=inviter, **request), time.monotonic() + args.wait)
    outcome = Outcome(met["outcome"])
    if outcome is not Outcome.MET:
        print(_SAID[outcome], file=sys.stderr)
        return EXIT_NOT_MET
    if not args.yes and not is_yes(f"Who invited you is here. {claim(met['claims'])} Add them as {petname}?"):
        print(NOT_ADDED)
        return EXIT_NOT_MET
    add_met(home, petname, met["card"])
    print(added(petname))
    return 0


def _meet(home: Path, begin: Callable[[], object], end: float) -> dict[str, Any]:
    """Go to the meeting once the circuits stand, and again where nobody answered, until the time is over; return what came of it."""
    while not ask(home, "status")["status"]["ready"] and time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
    while True:
        begin()
        while not (met := ask(home, "accepted"))["outcome"]:
            time.sleep(LOOK_EVERY_S)
        if met["outcome"] != Outcome.NOBODY or time.monotonic() >= end:
            return met
        time.sleep(AGAIN_S)
