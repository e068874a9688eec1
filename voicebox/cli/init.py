"""`voicebox init`: make a box. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
from types import ModuleType

from voicebox.circuits.own_relay import ANY_ADDRESS, OwnRelay
from voicebox.cli import network_join, phone_add
from voicebox.cli.home import add_home, home_of
from voicebox.config.model import BOX_OPTIONS, check_given, example_file, parse_word
from voicebox.contacts.identity import new_identity
from voicebox.contacts.store import StateDirectory
from voicebox.dialplan.load import DEFAULT_PLAN
from voicebox.errors import VoiceboxError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox init`."""
    add_home(parser)
    parser.add_argument("--name", default="", help="what you call yourself; contacts see it as your claim")
    parser.add_argument("--sip", action="append", metavar="ADDRESS:PORT", help="where softphones find the box (default: 127.0.0.1:5060); may be repeated")
    parser.add_argument("--link-address", metavar="ADDRESS", help="local address of the links to the guards (default: any)")
    parser.add_argument("--guards", action="append", metavar="OPERATOR", help="use only this operator's guards (default: any); may be repeated")
    parser.add_argument("--profile", help="home: two circuits; dsl: one; lan: eight; metered: one at half the rate (default: home)")
    parser.add_argument("--network", nargs=2, metavar=("LINE", "FILE"), help="join a network too, as `voicebox network join LINE FILE`")
    parser.add_argument("--phone", metavar="NAME", help="make an account for a softphone too, as `voicebox phone add NAME`")


def run(args: argparse.Namespace) -> int:
    """Make the directory, keys and settings. Nothing is left behind where an argument is wrong."""
    name = parse_word(args.name) if args.name else ""
    arguments = {
        "sip.listen": args.sip,
        "guards": args.guards,
        "link_address": [args.link_address] if args.link_address else None,
        "profile": [args.profile] if args.profile else None,
    }
    given = {name: values for name, values in arguments.items() if values}
    check_given(BOX_OPTIONS, given)
    text = example_file(BOX_OPTIONS, given, "The settings of this box; `voicebox run` reads them at its start.")
    home = home_of(args)
    store = StateDirectory(home)
    store.create()
    store.save_identity(new_identity(name, dt.datetime.now(dt.UTC)))
    store.write("dialplan.yaml", DEFAULT_PLAN.read_bytes())
    store.write("box.yaml", text.encode())
    OwnRelay(home).prepare(args.link_address or ANY_ADDRESS)
    print(f"The box is in {home}.")
    try:
        if args.network:
            _also(network_join, *args.network, "--home", str(home))
        if args.phone:
            _also(phone_add, args.phone, "--home", str(home))
    except VoiceboxError:
        shutil.rmtree(home, ignore_errors=True)
        raise
    left = [*([] if args.network else ["voicebox network join LINE FILE"]), *([] if args.phone else ["voicebox phone add NAME"]), "voicebox run"]
    print(f"Next: {', '.join(left)}, each with --home {home}")
    return 0


def _also(command: ModuleType, *words: str) -> None:
    """Do what another command does."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args(words))
