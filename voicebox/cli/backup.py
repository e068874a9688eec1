"""`voicebox backup`: everything of a box or relay in one file, sealed with a passphrase. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import stat
import time
from pathlib import Path

from voicebox.circuits.own_relay import FOLDER
from voicebox.cli.home import add_home, home_of, is_node
from voicebox.cli.passphrase import add_passphrase, passphrase_of
from voicebox.contacts.backup import MAGIC, MAX_FILES_OCTETS, seal_backup
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError, UsageError

LEFT_OUT = frozenset({"lock", "log", "invitations"})
"""An invitation that was used since would be good again. Beside hidden files, the control socket, which is no file, and the box's own relay, which belongs to the machine and has a backup of its own."""
TRIES = 10
PAUSE_S = 0.5

Marks = dict[str, tuple[int, int, int]]


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
    files = _snapshot(home)
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


def _snapshot(home: Path) -> dict[str, bytes]:
    """Return all files as they were at one moment: the box may write meanwhile, so they are read until nothing changed while they were."""
    for _ in range(TRIES):
        marks = _marks(home)
        if sum(size for _, _, size in marks.values()) > MAX_FILES_OCTETS:
            raise UsageError(f"There is more in the directory than the {MAX_FILES_OCTETS >> 20} MB that a backup may hold.")
        try:
            files = {name: (home / name).read_bytes() for name in marks}
        except FileNotFoundError:
            files = {}
        except OSError as error:
            raise HostError(f"A file in {home} cannot be read ({error.strerror}).") from None
        if files and _marks(home) == marks:
            return files
        time.sleep(PAUSE_S)
    raise HostError("The directory changed while it was read, again and again. Try again.")


def _marks(home: Path) -> Marks:
    """Return what tells whether a file is still the same: by its name, below the directory."""
    found: Marks = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        is_part = name not in LEFT_OUT and path.relative_to(home).parts[0] != FOLDER and not any(part.startswith(".") for part in Path(name).parts)
        if stat.S_ISREG(facts.st_mode) and is_part:
            found[name] = facts.st_ino, facts.st_mtime_ns, facts.st_size
    return found
