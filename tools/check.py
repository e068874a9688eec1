"""`make check`: formatting, lint, types, import contracts, the engine's stub, licences and lock files. No tests.

Every step runs, also after one has failed; each prints one line with its time, and what it said where it failed. The exit status is
the number of failed steps. Run as `python -m tools.check` with the project's own environment (the Makefile does that).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.licences import python_licence_problems, rust_licence_problems
from tools.lock_digest import dependencies_digest
from tools.lock_files import lock_file_problems

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = ROOT / "relay" / "Cargo.toml"
STEP_LIMIT_S = 1200  # the first clippy compiles BoringSSL, which takes about three minutes of two cores
SHOWN_LINES = 150


@dataclass(frozen=True)
class Step:
    """One line of the report: run() returns what is wrong, nothing if all is well."""

    title: str
    run: Callable[[], str]


def command(*words: str) -> Callable[[], str]:
    """Return a step that runs a command and fails with its output."""

    def run() -> str:
        try:
            done = subprocess.run(
                words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=STEP_LIMIT_S, check=False
            )
        except FileNotFoundError:
            return f"{words[0]} was not found; `make check` installs it, `python -m tools.check` alone does not"
        except subprocess.TimeoutExpired:
            return f"took longer than {STEP_LIMIT_S} s"
        return "" if done.returncode == 0 else done.stdout or f"exit status {done.returncode}"

    return run


def listed(problems: Callable[[], list[str]]) -> Callable[[], str]:
    """Return a step that fails with a list of problems."""
    return lambda: "\n".join(problems())


def cargo(*words: str) -> Callable[[], str]:
    """Return a cargo command on the workspace."""
    return command("cargo", words[0], "--manifest-path", str(WORKSPACE), *words[1:])


def steps() -> list[Step]:
    """Return the steps in the order of the report: what fails fast and often comes first."""
    python = sys.executable
    tool = Path(python).parent
    # Release profile, as the build and the tests use: the build script of BoringSSL then runs once for all of them.
    clippy = cargo("clippy", "--workspace", "--all-targets", "--release", "--locked", "--quiet", "--", "-D", "warnings")
    leaks = "voicebox-world/switches,voicebox-node/lab"
    scripts = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("tools/*.sh"), ROOT / ".ci" / "run"])
    return [
        Step("ruff format", command(str(tool / "ruff"), "format", "--check")),
        Step("ruff check", command(str(tool / "ruff"), "check")),
        Step("mypy --strict", command(str(tool / "mypy"))),
        Step("import contracts", command(str(tool / "lint-imports"), "--no-cache")),
        Step("shell scripts", command("bash", "-n", *scripts)),
        Step("cargo fmt", cargo("fmt", "--all", "--check")),
        Step("cargo clippy", clippy),
        Step(
            "clippy, lab's leaks",
            cargo("clippy", "-p", "voicebox-world", "-p", "voicebox-node", "--features", leaks, "--release", "--locked", "--quiet", "--", "-D", "warnings"),
        ),
        Step("stub of the engine", command(python, "-m", "mypy.stubtest", "voicebox._relay", "--mypy-config-file", "pyproject.toml")),
        Step("lock files", listed(lambda: lock_file_problems(ROOT, dependencies_digest()))),
        Step("lock file of Rust", cargo("metadata", "--locked", "--format-version", "1", "--no-deps")),
        Step("licences, Python", listed(lambda: python_licence_problems(ROOT))),
        Step("licences, Rust", listed(lambda: rust_licence_problems(ROOT))),
    ]


def shown(text: str) -> str:
    """Return the end of a step's output, indented; the rest is counted."""
    lines = text.rstrip().splitlines()
    left_out = len(lines) - SHOWN_LINES
    head = [f"({left_out} lines before)"] if left_out > 0 else []
    return "\n".join("    " + line for line in [*head, *lines[-SHOWN_LINES:]])


def main() -> int:
    """Run all steps and return how many failed."""
    os.environ["PYTHONPATH"] = str(ROOT)
    failed = 0
    for step in steps():
        began = time.monotonic()
        problem = step.run()
        took_s = time.monotonic() - began
        print(f"check: {step.title:<20} {'FAILED' if problem else 'ok':<7} {took_s:6.1f} s", flush=True)
        if problem:
            failed += 1
            print(shown(problem), flush=True)
    print(f"check: {f'{failed} steps failed' if failed else 'all steps passed'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
