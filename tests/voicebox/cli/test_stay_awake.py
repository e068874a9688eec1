"""`voicebox stay-awake`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from voicebox.awake import WISH, is_virtual
from voicebox.cli.main import main


def test_it_stays_until_it_is_told_to_stop_or_says_what_is_missing() -> None:
    with subprocess.Popen([sys.executable, "-m", "voicebox", "stay-awake"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    if is_virtual() and os.access(WISH, os.W_OK):
        assert (process.returncode, said) == (0, "The processors stay awake until this ends.\n")
    else:
        assert process.returncode in {1, 2}
        assert "root" in errors or "no virtual machine" in errors


def test_a_real_machine_is_told_that_it_has_no_need(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("voicebox.cli.stay_awake.is_virtual", lambda: False)
    assert main(["stay-awake"]) == 2
    assert "no virtual machine" in capsys.readouterr().err


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    @contextmanager
    def refused() -> Iterator[bool]:
        yield False

    monkeypatch.setattr("voicebox.cli.stay_awake.is_virtual", lambda: True)
    monkeypatch.setattr("voicebox.cli.stay_awake.kept_awake", refused)
    monkeypatch.setattr("signal.pthread_sigmask", lambda *_: None)  # this process goes on
    assert main(["stay-awake"]) == 1
    assert "as root" in capsys.readouterr().err
