"""`voicebox invite`: words, and a QR code, by which a friend's box and this one become contacts. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from pathlib import Path

from voicebox.circuits.network_state import NETWORK_FILE
from voicebox.circuits.terms import network_line
from voicebox.cli.home import add_home, home_of
from voicebox.cli.invited import watch
from voicebox.cli.meeting import free_petname, network_of
from voicebox.cli.qr import drawn
from voicebox.cli.terminal import can_ask
from voicebox.contacts.invitation import Invitation, serialise_invitation
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.words import InvitationWords, draw_words, request_of
from voicebox.control import ask
from voicebox.errors import UsageError

HOURS = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox invite`."""
    parser.add_argument("petname", metavar="PETNAME", nargs="?", help="what you will call them (default: you are asked when they come)")
    add_home(parser)
    parser.add_argument("--hours", type=int, default=HOURS, metavar="N", help=f"how long the words are good (default: {HOURS})")
    parser.add_argument("--yes", action="store_true", help="add whoever comes with the words as PETNAME, without asking you again")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and do not wait")


def run(args: argparse.Namespace) -> int:
    """Make the invitation in the running box, print it, and where somebody sits here wait for the friend."""
    home = home_of(args)
    petname = free_petname(home, args.petname) if args.petname else ""
    if args.yes and not petname:
        raise UsageError("With --yes give the petname too: voicebox invite PETNAME --yes")
    if args.hours <= 0:
        raise UsageError("An invitation is good for an hour at least.")
    now = dt.datetime.now(dt.UTC)
    network_id, words = network_of(home), draw_words()
    place = ask(home, "invite", for_s=str(args.hours * 3600), petname=petname, sure=args.yes, **request_of(words, network_id))["place"]
    text = serialise_invitation(Invitation(network_id, StateDirectory(home).load_identity(now).contact_id, words))
    until = (now + dt.timedelta(hours=args.hours)).strftime("%Y-%m-%d %H:%M UTC")
    if args.json:
        print(json.dumps({"place": place, "words": words.text(), "invitation": text, "network": network_line(network_id), "until": until}))
        return 0
    print(_told(home, words, text, network_line(network_id), until), flush=True)
    if not can_ask():
        print("The invitation waits in the running box; `voicebox invited` says who came, and asks you.")
        return 0
    print("Waiting for them. Ctrl-C leaves the invitation in the running box; `voicebox invited` says who came.", flush=True)
    return watch(home, place)


def _told(home: Path, words: InvitationWords, text: str, line: str, until: str) -> str:
    # Capitals, because a QR code holds them in less room than small letters.
    code = drawn(text.upper())
    return f"""Tell your friend, on a way that you trust, and nobody else:

    {words.text()}

Their box has to run, and yours; then they type, with the name that they like for you:

    voicebox accept {words.text()} NAME

or scan this, or paste what it says in the place of the words; then it is sure, too, that it is you who answers:

{code}
    {text}

Who has no box yet makes one with the line of this network, and with its file. The file may come from anywhere, for the line tells a false one; yours is
{home / NETWORK_FILE}

    voicebox init --home DIR --network {line} FILE --phone NAME
    voicebox run --home DIR

The words are good once, until {until}, and for three wrong tries.
"""
