"""`voicebox phone show`: print a phone's account again, as a card or in the form that its application reads. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_phone
from voicebox.provisioning.forms import baresip_line, card, card_page, linphone_page, login_of, microsip_section

FORMS = {"card": card, "html": card_page, "baresip": baresip_line, "microsip": microsip_section, "linphone": linphone_page}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox phone show`."""
    parser.add_argument("name", metavar="NAME", help="the phone")
    add_home(parser)
    parser.add_argument(
        "--as",
        dest="form",
        choices=tuple(FORMS),
        default="card",
        help="card: text to print; html: the same as a page; baresip: a line of its `accounts`; microsip: a section of MicroSIP.ini; linphone: its XML page",
    )


def run(args: argparse.Namespace) -> int:
    """Print it; it holds the password."""
    home = home_of(args)
    print(FORMS[args.form](login_of(load_box(home), load_phone(home, args.name))), end="")
    return 0
