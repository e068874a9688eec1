"""How the tests are run: each in its part, two of the parts at the same time and the third alone, and one that fails fails the whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.run_tests import MOST_NICE, NICER

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os, time
from pathlib import Path
import pytest

HERE = Path(__file__).parent

def came(name):
    end = time.monotonic() + 60
    while not (HERE / name).exists():
        assert time.monotonic() < end, name
        time.sleep(0.05)

def test_computing():
    (HERE / "computing").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))
    came("real-time")
    (HERE / "computed").touch()
    assert not FAILING

@pytest.mark.system
def test_in_real_time():
    (HERE / "real-time").touch()
    came("computing")

@pytest.mark.xfail(reason="it is expected", strict=True)
def test_that_is_known_to_fail():
    assert not HERE

@pytest.mark.alone
@pytest.mark.system
def test_alone():
    assert (HERE / "computed").exists()
"""


@pytest.mark.parametrize("failing", [False, True])
def test_two_parts_run_side_by_side_and_the_third_alone(tmp_path: Path, *, failing: bool) -> None:
    (tmp_path / "test_parts.py").write_text(TESTS.replace("FAILING", str(failing)))
    done = subprocess.run([sys.executable, "-m", "tools.run_tests", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    said = done.stdout.splitlines()
    assert done.returncode == int(failing), done.stdout + done.stderr
    assert (tmp_path / "computing").read_text() == str(min(os.getpriority(os.PRIO_PROCESS, 0) + NICER, MOST_NICE))
    assert said[-1] == f"tests: {3 - failing} passed, {int(failing)} failed, 1 skipped"
    assert [line.rpartition("::")[2] for line in said if line.startswith("tests: FAILED")] == ["test_computing"] * failing
