"""`voicebox backup` and `restore` on directories as users have them. What a restored box is good for: tests/voicebox/circuits/test_pair_book.py."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

import pytest

from voicebox.cli.main import main
from voicebox.contacts.backup import seal_backup
from voicebox.contacts.seal import LEAST_COST
from voicebox.contacts.store import StateDirectory

Files = dict[str, bytes]


class Person:
    """A box below one directory, and what its commands say."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.home, self.file = folder / "box", folder / "ann.backup"
        (folder / "passphrase").write_text("correct horse battery\nsecond line\n")
        self.good("init", "--name", "ann")
        self.good("phone", "add", "desk")
        for name in ("bob", "carol"):
            self.good("init", "--home", str(folder / name), home=False)
            (folder / f"{name}.card").write_text(self.good("contact", "card", "--home", str(folder / name), home=False))
            self.good("contact", "add", name, str(folder / f"{name}.card"))

    def _run(self, *words: str, home: bool = True) -> tuple[int, str, str]:
        passphrase = ["--passphrase-file", str(self.folder / "passphrase")] if words[0] in {"backup", "restore"} else []
        code = main([*words, *passphrase, *(["--home", str(self.home)] if home else [])])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def good(self, *words: str, home: bool = True) -> str:
        code, out, err = self._run(*words, home=home)
        assert (code, err) == (0, "")
        return out

    def bad(self, *words: str) -> str:
        code, out, err = self._run(*words)
        assert code in {1, 2}
        assert out == ""
        assert err.startswith("voicebox: ")
        return err

    def files(self, home: Path | None = None) -> Files:
        root = home or self.home
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and path.name not in {"lock", "log", "backup.made"} and path.relative_to(root).parts[0] != "relay"
        }


@pytest.fixture
def ann(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Person:
    """Return a box whose backups cost little to open; tests/system/test_two_boxes.py makes one as users do."""
    monkeypatch.setattr(seal_backup, "__kwdefaults__", {"cost": LEAST_COST, "salt": None, "nonce": None})
    return Person(tmp_path, capsys)


def test_a_wiped_box_comes_back_as_it_was(ann: Person) -> None:
    before = ann.files()
    assert {"box.yaml", "identity/authority.key", "contacts/bob.yaml", "phones/desk.yaml"} <= set(before)
    (ann.home / "log").write_text("not worth keeping")
    with StateDirectory(ann.home).locked():
        ann.good("backup", str(ann.file))
    assert stat.S_IMODE(ann.file.stat().st_mode) == 0o600
    moved = ann.home.rename(ann.folder / "gone")
    assert "never runs again" in ann.good("restore", str(ann.file))
    assert ann.files() == before == ann.files(moved)
    for path in [ann.home, *ann.home.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert not list(ann.folder.glob(".restoring-*"))
    assert "bob" in ann.good("contact", "list")


def test_a_living_box_is_only_moved_aside_when_asked_and_never_while_it_runs(ann: Person) -> None:
    ann.good("backup", str(ann.file))
    ann.good("contact", "remove", "carol")
    before = ann.files()
    assert "not empty" in ann.bad("restore", str(ann.file))
    with StateDirectory(ann.home).locked():
        assert "runs in" in ann.bad("restore", str(ann.file), "--replace")
    assert ann.files() == before
    assert ".former" in ann.good("restore", str(ann.file), "--replace")
    assert set(ann.files()) - set(before) == {"contacts/carol.yaml"}
    former = ann.folder / "box.former"
    assert ann.files(former) == before
    assert "there already" in ann.bad("restore", str(ann.file), "--replace")


def test_what_is_no_good_backup_leaves_nothing(ann: Person) -> None:
    ann.good("backup", str(ann.file))
    octets = ann.file.read_bytes()
    ann.home = ann.folder / "new"
    ann.file.write_bytes(octets[:1000] + bytes([octets[1000] ^ 1]) + octets[1001:])
    assert "damaged" in ann.bad("restore", str(ann.file))
    ann.file.write_bytes(octets)
    (ann.folder / "passphrase").write_text("correct horse batterie\n")
    assert "passphrase is wrong" in ann.bad("restore", str(ann.file))
    assert "no backup" in ann.bad("restore", str(ann.folder / "bob.card"))
    assert "cannot be read" in ann.bad("restore", str(ann.folder / "none"))
    assert not ann.home.exists()
    assert not list(ann.folder.glob(".restoring-*"))


def test_a_backup_goes_nowhere_else_than_into_a_file_of_its_own(ann: Person) -> None:
    ann.good("backup", str(ann.file))
    ann.good("backup", str(ann.file))
    card = ann.folder / "bob.card"
    text = card.read_text()
    assert "is no backup" in ann.bad("backup", str(card))
    assert card.read_text() == text
    assert "inside the directory" in ann.bad("backup", str(ann.home / "x"))
    assert "no directory" in ann.bad("backup", str(ann.folder / "none" / "x"))
    (ann.folder / "passphrase").write_text("short\n")
    assert "at least 10" in ann.bad("backup", str(ann.folder / "other"))
    assert not (ann.folder / "other").exists()
    ann.home = ann.folder
    assert "neither a box's" in ann.bad("backup", str(ann.file))


def test_nobody_to_ask_is_said_so(ann: Person, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", str(ann.file), "--home", str(ann.home)]) == 2
    assert "--passphrase-file" in capsys.readouterr().err
    assert not ann.file.exists()


def test_a_passphrase_is_typed_twice_where_it_is_new(ann: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed = iter(["ten letters or more", "ten letters or mare", *["ten letters or more"] * 3])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(typed))
    assert main(["backup", str(ann.file), "--home", str(ann.home)]) == 2
    assert "two different passphrases" in capsys.readouterr().err
    assert main(["backup", str(ann.file), "--home", str(ann.home)]) == 0
    assert main(["restore", str(ann.file), "--home", str(ann.folder / "new")]) == 0
    assert next(typed, None) is None


def test_files_that_change_while_they_are_read_are_read_again(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contact renamed in the meantime would be in the backup twice, or not at all."""
    read_bytes, store, reads = Path.read_bytes, StateDirectory(ann.home), Counter[str]()

    def meddle(path: Path) -> bytes:
        octets = read_bytes(path)
        reads[path.name] += 1
        if (path.name, reads[path.name]) == ("carol.yaml", 2):
            path.with_name("bob.yaml").rename(path.with_name("robert.yaml"))
        return octets

    monkeypatch.setattr(Path, "read_bytes", meddle)
    ann.good("backup", str(ann.file))
    monkeypatch.undo()
    assert store.exists("contacts/robert.yaml")
    assert reads["carol.yaml"] == 3, "once for their names, and twice for the backup"
    ann.home = ann.folder / "new"
    ann.good("restore", str(ann.file))
    assert {name for name in ann.files() if name.startswith("contacts/")} == {"contacts/robert.yaml", "contacts/carol.yaml"}
