"""Print the digest of the dependencies that pyproject.toml names; the lock files carry it, so that they cannot fall behind unseen.

Only the standard library is used: this runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def dependencies_digest() -> str:
    """Return 16 hexadecimal digits over requires-python, dependencies and extras."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    decisive = [project["requires-python"], project["dependencies"], project["optional-dependencies"]]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


if __name__ == "__main__":
    print(dependencies_digest())
