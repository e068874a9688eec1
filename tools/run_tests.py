"""Run the tests of Python in three parts, so that few cores are used well and what keeps time has the machine it needs. [io]

    python -m tools.run_tests [ARGUMENT OF PYTEST...]

What computes (units, virtual time, fuzzing) gives way on the cores to what lives in real time (daemons, phones, wires), which runs at the same time; both in one process for
each core, a file at a time, each process in a network of its own. What measures the machine's time runs afterwards, alone. One seed for all; what the computing part says is printed
when it is over. Exit code 1 where a test failed or none was run.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree import ElementTree as ET

from voicebox.awake import kept_awake

ROOT = Path(__file__).resolve().parents[1]
NOTHING_COLLECTED = 5
"""pytest's exit code."""
END_TIMEOUT_S = 15.0
NICER, MOST_NICE = 10, 19
"""What computes gives way, and is not starved where others use the machine too."""


@dataclass
class Part:
    """Some of the tests, and how they went. which: those with these markers; a_core_each: in as many processes as there are cores."""

    name: str
    which: str
    a_core_each: bool = True
    failed: list[str] = field(default_factory=list)
    skipped: int = 0
    passed: int = 0
    seconds: float = 0.0


class Run:
    """One run of all parts. Each test is in exactly one."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.computing = Part("computing", "not (system or interop) and not alone")
        self.real_time = Part("in real time", "(system or interop) and not alone")
        self.alone = Part("alone", "alone", a_core_each=False)
        self.parts = (self.computing, self.real_time, self.alone)
        self.seed = random.SystemRandom().randrange(2**32)
        self._folder, self._arguments = folder, arguments

    def start(self, part: Part, out: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start pytest for a part. out: where its output goes, and then its processes are a group of their own."""
        command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-m", part.which]
        command += [f"--randomly-seed={self.seed}", f"--junitxml={self._figures(part)}"]
        # A test that takes too long fails by a signal: by a thread it would end its process, after which xdist may wait for ever; so one that ends all the same ends the part.
        several = ["-n", str(os.cpu_count() or 1), "--dist", "loadfile", "--max-worker-restart", "0", "--timeout-method", "signal"]
        command += several if part.a_core_each else []
        part.seconds = -time.monotonic()
        return subprocess.Popen(
            [*command, *self._arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out and subprocess.STDOUT, process_group=0 if out else None
        )

    def end(self, part: Part, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a part and take its figures."""
        code = process.wait()
        part.seconds += time.monotonic()
        self._read(part)
        if code not in {0, NOTHING_COLLECTED} and not part.failed:
            part.failed = [f"pytest, part {part.name}: exit code {code}"]

    def _figures(self, part: Part) -> Path:
        return self._folder / f"{part.name}.xml"

    def _read(self, part: Part) -> None:
        """Take how the tests went from what pytest wrote, which is JUnit's XML; nothing where it wrote nothing. A test that is expected to fail is skipped there."""
        if not self._figures(part).exists():
            return
        for case in ET.parse(self._figures(part)).getroot().iter("testcase"):  # noqa: S314  # our own pytest wrote it a moment ago
            if case.find("failure") is not None or case.find("error") is not None:
                part.failed.append(f"{case.get('classname')}::{case.get('name')}")
            elif case.find("skipped") is not None:
                part.skipped += 1
            else:
                part.passed += 1


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group, as by the keyboard, and then by force."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main() -> int:
    """Run everything."""
    began, own_nice = time.monotonic(), os.getpriority(os.PRIO_PROCESS, 0)
    with kept_awake(), tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        run = Run(Path(folder), sys.argv[1:])
        background = run.start(run.computing, said)
        try:
            os.setpriority(os.PRIO_PGRP, background.pid, min(own_nice + NICER, MOST_NICE))
            run.end(run.real_time, run.start(run.real_time))
            with contextlib.suppress(OSError):  # it is over, or an ordinary user's, which stays as nice as it is
                os.setpriority(os.PRIO_PGRP, background.pid, own_nice)
            run.end(run.computing, background)
        finally:
            end_group(background)
        said.seek(0)
        shutil.copyfileobj(said, sys.stdout.buffer)
        sys.stdout.flush()
        run.end(run.alone, run.start(run.alone))
    failed, passed, skipped = (
        [name for part in run.parts for name in part.failed],
        sum(part.passed for part in run.parts),
        sum(part.skipped for part in run.parts),
    )
    for name in failed:
        print(f"tests: FAILED {name}")
    took = ", ".join(f"{part.name} {part.seconds:.0f} s" for part in run.parts)
    print(f"tests: {took}, in all {time.monotonic() - began:.0f} s; --randomly-seed={run.seed}")
    print(f"tests: {passed} passed, {len(failed)} failed, {skipped} skipped")
    return int(bool(failed) or not passed)


if __name__ == "__main__":
    sys.exit(main())
