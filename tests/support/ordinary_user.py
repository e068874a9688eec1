"""A Python program run as a user without rights, by the system's interpreter and without this project's environment. [io]"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65_534


def open_to_all(directory: Path) -> None:
    """Let every user pass to a directory below the system's one for temporary files."""
    top = Path(tempfile.gettempdir())
    for folder in (directory, *directory.parents):
        if top in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)


def said_by(program: str, argument: Path, directory: Path, *, as_nobody: bool, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a program that prints one JSON object, and return that. Fails where the program does, skips where it says that the machine has no namespaces."""
    nobody = NOBODY if as_nobody else None
    done = subprocess.run(
        ["/usr/bin/python3", "-c", program, str(argument)],
        cwd=directory,
        env={"PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        user=nobody,
        group=nobody,
        extra_groups=[] if as_nobody else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    if "reason" in said:
        pytest.skip(f"no namespace: {said['reason']}")
    return said
