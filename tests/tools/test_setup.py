"""The set-up as a user meets it: usage, missing rights, and that .ci/run runs both commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ordinary_user import open_to_all

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534
BASICS = (
    "bash",
    "cat",
    "cut",
    "date",
    "dirname",
    "env",
    "find",
    "flock",
    "grep",
    "head",
    "mkdir",
    "printf",
    "sed",
    "sha256sum",
    "sort",
    "tail",
    "uname",
    "wc",
    "xargs",
)


def run(words: list[str | Path], *, path: str, cwd: Path, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing but a PATH in its environment; as another user where this one is root."""
    return subprocess.run(
        words,
        cwd=cwd,
        env={"PATH": path, "HOME": str(cwd)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        user=user if os.geteuid() == 0 else None,
    )


@pytest.fixture
def bare_copy(tmp_path: Path) -> Path:
    """Return a copy of what the set-up reads, owned by a user without rights, beside a PATH directory with the basics only."""
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "setup.sh", checkout / "tools")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in BASICS:
        found = shutil.which(name)
        assert found is not None, name
        (programs / name).symlink_to(found)
    (programs / "python3").symlink_to("/usr/bin/python3")
    open_to_all(tmp_path)
    if os.geteuid() == 0:
        for folder in (checkout, checkout / "tools"):
            os.chown(folder, NOBODY, NOBODY)
    return checkout


def test_usage() -> None:
    done = run([ROOT / "tools" / "setup.sh", "everything"], path=os.environ["PATH"], cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == "usage: tools/setup.sh demo|test|check|bench\n"


def test_missing_rights_name_the_packages_once(bare_copy: Path) -> None:
    done = run([bare_copy / "tools" / "setup.sh", "test"], path=str(bare_copy.parent / "programs"), cwd=bare_copy, user=NOBODY)
    assert done.returncode == 1
    assert done.stdout == ""
    message = done.stderr
    assert message.count("\n") == 1
    assert message.startswith("set-up: these packages are missing and this user may not install them: ")
    assert " cmake " in message
    assert "apt-get install " in message
    assert " linphone-cli " in message


def test_the_demo_asks_for_less_than_the_tests(bare_copy: Path) -> None:
    done = run([bare_copy / "tools" / "setup.sh", "demo"], path=str(bare_copy.parent / "programs"), cwd=bare_copy, user=NOBODY)
    assert done.returncode == 1
    assert " baresip-core" in done.stderr
    assert "linphone" not in done.stderr


@pytest.mark.parametrize("failing", [(), ("check",), ("test",), ("check", "test")])
def test_ci_runs_both_and_fails_if_one_fails(tmp_path: Path, failing: tuple[str, ...]) -> None:
    """A make that only records how it was called stands in: the real one would run this test."""
    script = (
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write(f\"{{sys.argv[1]}} CI={{os.environ['CI']}} {{len(sys.stdin.read())}}\\n\")\n"
        f"sys.exit(sys.argv[1] in {failing!r})\n"
    )
    (tmp_path / "make").write_text(script, "utf-8")
    (tmp_path / "make").chmod(0o755)
    done = run([ROOT / ".ci" / "run"], path=f"{tmp_path}:{os.environ['PATH']}", cwd=tmp_path)
    assert (tmp_path / "calls").read_text("utf-8") == "check CI=true 0\ntest CI=true 0\n"
    assert (done.returncode != 0) is bool(failing)
