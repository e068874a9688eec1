"""`voicebox doctor --report` can be shown to strangers."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.cli.main import main


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


def test_report_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--report", "--json"])
    assert "not allowed" in capsys.readouterr().err
