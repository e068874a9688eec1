"""Files of the system, as far as they can be read: what cannot be is passed over, one by one."""

from __future__ import annotations

from pathlib import Path

MAX_OCTETS = 1 << 16


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a folder that a pattern matches, by name; none where it may not be looked into."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def text_of(file: Path) -> str:
    """Return what a file begins with; nothing where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_OCTETS).decode("utf-8", "replace")
    except OSError:
        return ""
