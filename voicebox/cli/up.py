"""`voicebox up`: run the box with its page, and print a link to it. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.cli.page import link_to, told
from voicebox.cli.running import run_daemon
from voicebox.config.load import load_box
from voicebox.daemon import BoxDaemon
from voicebox.paging import origin_of


class _WithPage(BoxDaemon):
    async def start(self) -> None:
        """Start the box, then its page."""
        await super().start()
        self.answers["page"]({"start": True})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox up`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    home = home_of(args)
    origin = origin_of(load_box(home).page_listen)
    print(told(link_to(home, origin)), flush=True)
    return run_daemon(home, _WithPage, "The box is ready: its circuits stand.")
