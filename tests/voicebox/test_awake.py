"""The wish of a virtual machine not to sleep (voicebox/awake.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.awake import is_virtual, kept_awake

VIRTUAL = "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n"
REAL = "processor\t: 0\nflags\t\t: fpu vme lahf_lm\nbugs\t\t: hypervisor\n"


@pytest.mark.parametrize(("processors", "expected"), [(VIRTUAL, True), (REAL, False), ("", False)])
def test_a_virtual_machine_is_known_by_its_flag(tmp_path: Path, processors: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(processors)
    assert is_virtual(tmp_path / "cpuinfo") is expected
    assert not is_virtual(tmp_path / "none")


@pytest.mark.parametrize(("processors", "said"), [(VIRTUAL, bytes(4)), (REAL, b"")])
def test_only_a_virtual_machine_wishes(tmp_path: Path, processors: str, said: bytes) -> None:
    (tmp_path / "cpuinfo").write_text(processors)
    wish = tmp_path / "wish"
    wish.touch()
    with kept_awake(wish, tmp_path / "cpuinfo") as awake:
        assert awake is bool(said)
        assert wish.read_bytes() == said


def test_who_may_not_wish_goes_on_without(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(VIRTUAL)
    with kept_awake(tmp_path / "none", tmp_path / "cpuinfo") as awake:
        assert not awake
