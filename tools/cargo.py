"""Build what is not shipped, when it is used: with nothing to do it takes a moment, and it is never older than its source. [io]"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from voicebox.errors import HostError

WORKSPACE = Path(__file__).resolve().parent.parent / "relay"
TARGET = WORKSPACE / "target"
BUILD_TIMEOUT_S = 900.0


def build(*what: str) -> Path:
    """Build a part of the workspace, named as for `cargo build`; return the directory of binaries. Raises HostError."""
    command = ["cargo", "build", "--manifest-path", str(WORKSPACE / "Cargo.toml"), "--release", "--locked", "--quiet", *what]
    try:
        environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False, env=environment)
    except FileNotFoundError:
        raise HostError("cargo was not found; `. build/env` puts it on the path") from None
    if done.returncode:
        raise HostError(f"`cargo build {' '.join(what)}` failed: {done.stderr.strip()[-2_000:]}")
    return TARGET / "release"
