"""The files of a directory as they were at one moment, for a backup. [io]"""

from __future__ import annotations

import stat
import time
from pathlib import Path

from voicebox.contacts.backup import MAX_FILES_OCTETS
from voicebox.errors import HostError, UsageError

LEFT_OUT = frozenset({"lock", "log", "invitations"})
"""An invitation that was used since would be good again. Beside hidden files, the control socket, which is no file, and what stands apart."""
TRIES = 10
PAUSE_S = 0.5

Marks = dict[str, tuple[int, int, int]]


def snapshot(home: Path, apart: str) -> dict[str, bytes]:
    """Return all files as they were at one moment: the box may write meanwhile, so they are read until nothing changed while they were.

    apart: a folder that is left out, because it has a backup of its own. Raises UsageError where there is too much, HostError.
    """
    for _ in range(TRIES):
        marks = _marks(home, apart)
        if sum(size for _, _, size in marks.values()) > MAX_FILES_OCTETS:
            raise UsageError(f"There is more in the directory than the {MAX_FILES_OCTETS >> 20} MB that a backup may hold.")
        try:
            files = {name: (home / name).read_bytes() for name in marks}
        except FileNotFoundError:
            files = {}
        except OSError as error:
            raise HostError(f"A file in {home} cannot be read ({error.strerror}).") from None
        if files and _marks(home, apart) == marks:
            return files
        time.sleep(PAUSE_S)
    raise HostError("The directory changed while it was read, again and again. Try again.")


def _marks(home: Path, apart: str) -> Marks:
    """Return what tells whether a file is still the same: by its name, below the directory."""
    found: Marks = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        is_part = name not in LEFT_OUT and path.relative_to(home).parts[0] != apart and not any(part.startswith(".") for part in Path(name).parts)
        if stat.S_ISREG(facts.st_mode) and is_part:
            found[name] = facts.st_ino, facts.st_mtime_ns, facts.st_size
    return found
