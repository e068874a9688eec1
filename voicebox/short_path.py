"""A short way to a directory, for sockets in it: a socket's path has at most 107 octets (unix(7)). [io: opens the directory]"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def short_path(home: Path) -> Iterator[Path]:
    """Have a path of a few octets that leads to a directory. Raises OSError."""
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{folder}")
    finally:
        os.close(folder)
