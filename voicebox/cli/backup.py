"""`voicebox backup`: everything of a box or relay in one file, sealed with a passphrase. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.own_relay import FOLDER
from voicebox.cli.home import add_home, home_of, is_node
from voicebox.cli.passphrase import add_passphrase, passphrase_of
from voicebox.contacts.backup import MAGIC, seal_backup
from voicebox.contacts.snapshot import snapshot
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox backup`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="where the backup goes; a former backup there is replaced")
    add_home(parser, "the directory of the box or relay")
    add_passphrase(parser)


def run(args: argparse.Namespace) -> int:
    """Write the backup, readable by the user alone. The box may run meanwhile."""
    home, target = home_of(args), args.file.absolute()
    if not is_node(home):
        raise UsageError(f"{home} is neither a box's nor a relay's directory.")
    _check_target(home, target)
    store = StateDirectory(home)
    met = [contact.contact_id for contact in store.load_contacts(dt.datetime.now(dt.UTC)) if contact.pair is not None]
    files = snapshot(home, FOLDER)
    StateDirectory(target.parent).write(target.name, seal_backup(files, passphrase_of(args, new=True)))
    store.save_backed_up(met)
    print(f"{target} holds {len(files)} files. Keep it and the passphrase apart from this machine; without the passphrase nobody can open it, nor can you.")
    print("Make another one after your first call with a new contact: what was shared in that call cannot be had from an older one. `voicebox doctor` tells.")
    return 0


def _check_target(home: Path, target: Path) -> None:
    if target.resolve().is_relative_to(home.resolve()):
        raise UsageError("A backup inside the directory is lost with it. Give another place.")
    try:
        with target.open("rb") as former:
            if former.read(len(MAGIC)) != MAGIC:
                raise UsageError(f"{target} is there already, and is no backup. Give another name.")
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise UsageError(f"{target.parent} is no directory.") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be used ({error.strerror}).") from None
