"""`voicebox restore`: make a box or relay out of its backup. [io]"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.cli.passphrase import add_passphrase, passphrase_of
from voicebox.contacts.backup import MAX_FILES_OCTETS, check_backup, open_backup
from voicebox.contacts.store import StateDirectory, sync_folder
from voicebox.errors import FileProblem, HostError, UsageError

MAX_BACKUP_OCTETS = 2 * MAX_FILES_OCTETS + (1 << 20)
ASIDE = ".former"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox restore`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup")
    add_home(parser, "the directory to make; not there yet, or empty")
    add_passphrase(parser)
    parser.add_argument("--replace", action="store_true", help=f"where there is a box already, move it to DIR{ASIDE} first")


def run(args: argparse.Namespace) -> int:
    """Make the directory, whole or not at all."""
    home = home_of(args)
    octets = _read(args.file)
    check_backup(octets, str(args.file))
    taken = home.exists() and (not home.is_dir() or any(home.iterdir()))
    if taken and not args.replace:
        raise UsageError(f"{home} is not empty, so nothing was restored. Give another directory, or --replace to move it aside.")
    if taken and home.with_name(home.name + ASIDE).exists():
        raise UsageError(f"{home}{ASIDE} is there already. Move it away first.")
    files = open_backup(octets, passphrase_of(args, new=False), str(args.file))
    try:
        _put(home, files, taken=taken)
    except OSError as error:
        raise HostError(f"{home} cannot be made ({error.strerror}).") from None
    print(f"{home} is restored{f'; what was there is in {home}{ASIDE}' if taken else ''}.")
    print(
        "Make sure that the box from which the backup came never runs again: two copies take calls from each other. `voicebox status` says so on both once a contact has noticed. "
        "Contacts with whom the first call was made after the backup are reached again once both of you remove and add each other."
    )
    return 0


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BACKUP_OCTETS:
            raise FileProblem(str(path), 0, "this is far larger than a backup")
        return path.read_bytes()
    except OSError as error:
        raise FileProblem(str(path), 0, f"the file cannot be read ({error.strerror})") from None


def _put(home: Path, files: dict[str, bytes], *, taken: bool) -> None:
    """Write all beside, then give it its name. What has that name is moved aside, and is not in use."""
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=home.parent, prefix=".restoring-"))
    try:
        store = StateDirectory(made)
        for name, octets in files.items():
            store.write(name, octets)
        with ExitStack() as held:
            if taken:
                held.enter_context(StateDirectory(home).locked())
                home.rename(home.with_name(home.name + ASIDE))
            elif home.exists():
                home.rmdir()
            made.rename(home)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    sync_folder(home.parent)
