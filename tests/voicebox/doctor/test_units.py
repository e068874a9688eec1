"""What `voicebox doctor` makes of systemd's units, laid out as packages and users do."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from voicebox.doctor.findings import Finding, Grade
from voicebox.doctor.units import look_at_units, unit_folders

PROCESS = "[Service]\nKillMode=process\n"


def unit_of_readme() -> str:
    """Return the systemd unit that README.md shows."""
    lines = (Path(__file__).parents[3] / "README.md").read_text("utf-8").splitlines()
    begin = lines.index("    [Unit]")
    return "".join(f"{line.strip()}\n" for line in itertools.takewhile(lambda line: not line or line.startswith("    "), lines[begin:]))


def look(*folders: Path) -> Finding:
    return look_at_units([folders])


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_unit_that_ends_the_keeper_with_the_box_is_told(tmp_path: Path) -> None:
    unit, more = tmp_path / "voicebox.service", tmp_path / "voicebox.service.d" / "more.conf"
    assert (look(tmp_path, tmp_path / "nothing").grade, look_at_units([]).grade) == (Grade.GOOD, Grade.GOOD)
    unit.write_text(unit_of_readme())
    assert look(tmp_path).said.startswith("it outlives the box")
    unit.write_text(unit_of_readme().replace("KillMode=process\n", ""))
    told = look(tmp_path)
    assert (told.grade, told.advice) == (Grade.PROBLEM, "In a systemd unit: KillMode=process.")
    write(more, PROCESS)
    assert look(tmp_path).grade is Grade.GOOD
    more.write_text("[Service]\nKillMode=mixed\n")
    assert look(tmp_path).grade is Grade.PROBLEM
    unit.write_text(unit_of_readme().replace("voicebox run", "voicebox relay run"))
    assert look(tmp_path).said == "no systemd unit here runs a box", "a relay has no keeper"


@pytest.fixture
def bad(tmp_path: Path) -> tuple[Path, Path]:
    """Return two folders, the stronger first; a unit without KillMode is in the weaker."""
    write(tmp_path / "usr" / "box.service", unit_of_readme().replace("KillMode=process\n", ""))
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc", tmp_path / "usr"


@pytest.mark.parametrize("where", ["etc/box.service.d/a.conf", "usr/box.service.d/a.conf", "etc/service.d/a.conf"])
def test_what_adds_to_a_unit_counts_wherever_it_lies(bad: tuple[Path, Path], where: str) -> None:
    assert look(*bad).grade is Grade.PROBLEM
    write(bad[0].parent / where, PROCESS)
    assert look(*bad).grade is Grade.GOOD


def test_of_two_units_or_additions_of_one_name_the_stronger_counts(bad: tuple[Path, Path]) -> None:
    etc, usr = bad
    write(usr / "box.service.d" / "a.conf", PROCESS)
    write(etc / "box.service.d" / "a.conf", "[Service]\nKillMode=control-group\n")
    assert look(etc, usr).grade is Grade.PROBLEM
    write(etc / "box.service", unit_of_readme())
    (etc / "box.service.d" / "a.conf").unlink()
    (usr / "box.service.d" / "a.conf").unlink()
    assert look(etc, usr).grade is Grade.GOOD
    assert look_at_units([[etc], [usr]]).grade is Grade.PROBLEM, "units of the machine and of a user are two"


def test_later_files_by_name_and_empty_values_take_back(bad: tuple[Path, Path]) -> None:
    etc, usr = bad
    write(usr / "box.service.d" / "10.conf", PROCESS)
    write(etc / "box.service.d" / "20.conf", "[Service]\nKillMode=\n")
    assert look(etc, usr).grade is Grade.PROBLEM
    write(etc / "box.service.d" / "30.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/true\n")
    assert look(etc, usr).said == "no systemd unit here runs a box"


def test_templates_comments_continued_lines_and_other_sections(tmp_path: Path) -> None:
    write(tmp_path / "box@.service", "[Service]\nExecStart=/opt/python -m \\\n  voicebox run --home %i\n# KillMode=process\n[Install]\nKillMode=process\n")
    assert look(tmp_path).grade is Grade.PROBLEM
    write(tmp_path / "box@.service.d" / "a.conf", PROCESS)
    assert look(tmp_path).grade is Grade.GOOD
    write(tmp_path / "box@home.service", "[Service]\nExecStart=voicebox run\n")
    assert look(tmp_path).grade is Grade.GOOD, "what adds to the template adds to the one of it"


def test_who_has_no_home_and_what_cannot_be_read_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    (tmp_path / "box.service").mkdir()
    assert look(tmp_path).grade is Grade.GOOD
    assert str(unit_folders()[1][0]).endswith(".config/systemd/user")
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert str(unit_folders()[1][0]) == "/etc/systemd/user"
