"""`voicebox page`: a link to the page of a running box, good once and for half an hour. [io]"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.errors import HostError
from voicebox.page.entry import LINK_FILE, LINK_S, new_link

LOOK_EVERY_S = 0.1
WAIT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox page`."""
    add_home(parser)
    parser.add_argument("--quiet", action="store_true", help="print the link alone")


def run(args: argparse.Namespace) -> int:
    """Let the box have its page, and print a link to it."""
    home = home_of(args)
    origin = page_origin(home)
    print(link_to(home, origin) if args.quiet else told(link_to(home, origin)), flush=True)
    return 0


def page_origin(home: Path) -> str:
    """Start the page where it is not there yet; return where it is found. Raises UsageError where no box runs, HostError where the page does not come."""
    end_s = time.monotonic() + WAIT_S
    answer = ask(home, "page", start=True)
    while answer["stage"] != "running":
        if answer["stage"] == "ended" or time.monotonic() > end_s:
            raise HostError(f"There is no page. {answer['problem']}".strip())
        time.sleep(LOOK_EVERY_S)
        answer = ask(home, "page")
    return str(answer["origin"])


def link_to(home: Path, origin: str) -> str:
    """Make a link; one that was not used yet is good no more. The token is behind the #, which no browser sends."""
    token, text = new_link(time.time())
    StateDirectory(home).write(LINK_FILE, text.encode())
    return f"{origin}/enter#{token}"


def told(link: str) -> str:
    """Return what is said of a link."""
    return f"The page of this box, once, within {LINK_S // 60} minutes; it asks for a passphrase that you choose, by which you come in from then on:\n\n    {link}\n"
