"""`voicebox invited`: what became of the invitations of a running box; who came is added, or not. [io]"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from voicebox.circuits.pairing import MAX_WRONG, State
from voicebox.cli.home import add_home, home_of
from voicebox.cli.meeting import NOT_ADDED, add_met, added, claim
from voicebox.cli.terminal import can_ask, is_yes, typed
from voicebox.control import ask
from voicebox.errors import UsageError

LOOK_EVERY_S = 0.3
EXIT_NOBODY = 1
_SAID = {
    State.WAITING: "nobody came yet",
    State.CAME: "somebody with the words came, and waits for your answer",
    State.ADDED: "came, and is a contact",
    State.BURNED: "burned: wrong words were tried too often. Somebody guessed, or your friend misread them. Make another invitation",
    State.EXPIRED: "its time is over. Make another invitation",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox invited`."""
    parser.add_argument("place", metavar="PLACE", nargs="?", type=int, help="one invitation, as the list numbers them")
    parser.add_argument("petname", metavar="PETNAME", nargs="?", help="add who came by that invitation under this name")
    add_home(parser)
    parser.add_argument("--withdraw", action="store_true", help="take the invitation back, or send away who came by it")
    parser.add_argument("--json", action="store_true", help="print one JSON list, and ask nothing")


def run(args: argparse.Namespace) -> int:
    """Print the invitations, or decide about one."""
    home = home_of(args)
    if args.withdraw and args.place is None:
        raise UsageError("Say which: voicebox invited PLACE --withdraw")
    rows = [row for row in ask(home, "invited")["invitations"] if args.place in {None, row["place"]}]
    if args.place is not None and not rows:
        raise UsageError("There is no such invitation; `voicebox invited` prints all.")
    if args.withdraw:
        ask(home, "invited", settle=str(args.place))
    elif args.petname:
        if rows[0]["state"] != State.CAME:
            raise UsageError(f"Nobody is there to be added: {_SAID[State(rows[0]['state'])]}.")
        _add(home, rows[0], args.petname)
    elif args.json:
        print(json.dumps([{key: value for key, value in row.items() if key != "card"} for row in rows]))
    else:
        for row in rows:
            print(f"{row['place']:>3}  {_line(row)}")
            if row["state"] == State.CAME and can_ask():
                _decide(home, row)
    return 0


def watch(home: Path, place: int) -> int:
    """Wait until something became of an invitation; ask who sits here about who came. Exit code 1 where nobody will come."""
    wrong = 0
    while True:
        row = next((row for row in ask(home, "invited")["invitations"] if row["place"] == place), None)
        if row is None:
            print("The invitation was taken back.", file=sys.stderr)
            return EXIT_NOBODY
        if row["wrong"] > wrong:
            wrong = row["wrong"]
            print(f"Somebody tried wrong words: {wrong} of {MAX_WRONG}.", file=sys.stderr)
        match State(row["state"]):
            case State.WAITING:
                time.sleep(LOOK_EVERY_S)
            case State.CAME:
                return _decide(home, row)
            case State.ADDED:
                print(_line(row))
                return 0
            case State.BURNED | State.EXPIRED:
                print(f"The invitation is no more: {_line(row)}.", file=sys.stderr)
                return EXIT_NOBODY


def _decide(home: Path, row: dict[str, Any]) -> int:
    """Ask about who came; keep the answer."""
    petname = row["petname"]
    who = f"Somebody with your words is here. {claim(row['claims'])}"
    if not is_yes(f"{who} Add them{f' as {petname}' if petname else ''}?"):
        ask(home, "invited", settle=str(row["place"]))
        print(NOT_ADDED)
        return EXIT_NOBODY
    while True:
        petname = petname or typed("What do you call them? ")
        try:
            return _add(home, row, petname)
        except UsageError as problem:
            print(problem, file=sys.stderr)
            petname = ""


def _add(home: Path, row: dict[str, Any], petname: str) -> int:
    add_met(home, petname, row["card"])
    ask(home, "invited", settle=str(row["place"]), added=True)
    print(added(petname))
    return 0


def _line(row: dict[str, Any]) -> str:
    state = State(row["state"])
    line = _SAID[state]
    if row["petname"]:
        line = f"{row['petname']}: {line}"
    if state is State.WAITING:
        line += f"; good for {max(1, row['left_s'] // 60)} more minutes"
    if row["wrong"] and state is not State.BURNED:
        line += f"; wrong words were tried, {row['wrong']} of {MAX_WRONG}"
    return line
