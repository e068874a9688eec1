"""`voicebox doctor --report` can be shown to strangers."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.cli.main import main
from voicebox.doctor.machine import look_at_machine


def test_report_has_no_address_path_or_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "of Hedwig" / "box"
    main(["init", "--home", str(home), "--sip", "127.0.0.1:5060", "--name", "Gundula"])
    main(["phone", "add", "kitchen", "--home", str(home)])
    (home / "dialplan.yaml").write_text("extensions: {12: nobody-at-all}\nkitchen: true\n")
    capsys.readouterr()
    main(["doctor", "--report", "--home", str(home)])
    report = capsys.readouterr().out
    assert "Python" in report.splitlines()[0]
    assert "settings" in report
    assert "nothing runs" in report
    for private in (str(tmp_path), "Hedwig", "127.0.0.1", "kitchen", "Gundula"):
        assert private not in report


def test_names_that_are_ordinary_words_leave_no_holes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine = look_at_machine()
    monkeypatch.setattr("voicebox.cli.doctor.look_at_machine", lambda: machine)  # how late threads wake is another thing each time, and so is what to try then
    home = tmp_path / "box"
    main(["init", "--home", str(home), "--sip", "127.0.0.1:5060"])
    reports = []
    for name in ("zoltan", "the", "address"):
        main(["phone", "add", name, "--home", str(home)])
        capsys.readouterr()
        main(["doctor", "--report", "--home", str(home)])
        lines = capsys.readouterr().out.splitlines()
        reports.append([line for line in lines if not any(word in line for word in (" phones ", "printed"))])
    assert all(report == reports[0] for report in reports), "whoever reads it does not learn that somebody is called by a word in it"
    assert any("joins a network" in line for line in reports[0]), "an error is among them"


def test_a_call_needs_a_box(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEBOX_HOME", raising=False)
    assert main(["doctor", "--call", "echo"]) == 2
    assert "--home DIR" in capsys.readouterr().err


def test_report_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--report", "--json"])
    assert "not allowed" in capsys.readouterr().err
