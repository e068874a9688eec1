"""A sealed directory: its keys and contacts cannot be read without the passphrase, and are used as before with it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from voicebox.cli.main import main
from voicebox.contacts import passphrase as passphrases
from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.changes import Step
from voicebox.contacts.contact import Contact, PairState
from voicebox.contacts.identity import new_identity
from voicebox.contacts.seal import LEAST_COST, MOST_COST, PADDED_OCTETS, is_sealed, new_seal, open_seal
from voicebox.contacts.store import SEAL_FILE, StateDirectory
from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

NOW = dt.datetime.now(dt.UTC)
WORDS = Secret(b"five words that nobody knows")
OTHER = Secret(b"five words that somebody knows")
SEAL, KEY = new_seal(WORDS, cost=LEAST_COST)


def test_what_is_opened_is_what_was_sealed() -> None:
    for length in (0, 1, PADDED_OCTETS - 4, PADDED_OCTETS - 3, 10_000):
        sealed = KEY.seal("identity", bytes(length))
        assert is_sealed(sealed)
        assert KEY.open("identity", sealed, "file") == open_seal(SEAL, WORDS, "seal").open("identity", sealed, "file") == bytes(length)
    lengths = {len(KEY.seal("contacts", bytes(length))) for length in range(0, PADDED_OCTETS - 3, 97)}
    assert len(lengths) == 1, "a longer file is not told from a shorter one"
    assert KEY.seal("a", b"x") != KEY.seal("a", b"x")


def test_every_flipped_octet_of_a_sealed_file_is_refused() -> None:
    sealed = KEY.seal("identity", b"secret")
    for at in range(len(b"voicebox sealed"), len(sealed)):
        with pytest.raises(FileProblem, match="was changed"):
            KEY.open("identity", sealed[:at] + bytes([sealed[at] ^ 1 << at % 8]) + sealed[at + 1 :], "file")
    for cut in (sealed[:-1], sealed[:20], sealed[:15]):
        with pytest.raises(FileProblem, match="was changed"):
            KEY.open("identity", cut, "file")
    with pytest.raises(FileProblem, match="another directory"):
        KEY.open("contacts", sealed, "file")


def test_every_flipped_octet_of_a_seal_is_refused() -> None:
    for at in range(len(SEAL)):
        with pytest.raises(FileProblem):
            open_seal(SEAL[:at] + bytes([SEAL[at] ^ 1 << at % 8]) + SEAL[at + 1 :], WORDS, "seal")
    with pytest.raises(FileProblem, match="passphrase is wrong"):
        open_seal(SEAL, OTHER, "seal")
    for seal in (b"", SEAL[:-1], SEAL + b"x", SEAL[:14] + bytes([MOST_COST + 1]) + SEAL[15:]):
        with pytest.raises(FileProblem, match="no seal"):
            open_seal(seal, WORDS, "seal")
    with pytest.raises(UsageError, match="at least"):
        new_seal(Secret(b"short"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a box with a contact whom it met, and a file that holds the passphrase."""
    home = tmp_path / "box"
    assert main(["init", "--home", str(home)]) == 0
    text = serialise_card(new_identity("bob", NOW))
    StateDirectory(home).save_contact(Contact("bob", parse_card(text, NOW, "card"), text, PairState(Secret(b"s" * 32), 7, met=True)))
    StateDirectory(home).write("guards", (b"g" * 32).hex().encode())
    (tmp_path / "passphrase").write_bytes(WORDS.reveal() + b"\nmore\n")
    monkeypatch.delenv(passphrases.FILE_VARIABLE, raising=False)
    monkeypatch.setattr(new_seal, "__kwdefaults__", {"cost": LEAST_COST})
    return home


def seal(home: Path, command: str = "seal") -> int:
    words = ["--passphrase-file", str(home.parent / "passphrase")] if command == "seal" else []
    return main([command, *words, "--home", str(home)])


def secrets_in_clear(home: Path) -> list[str]:
    sought = [b"PRIVATE KEY", b"BEGIN VOICEBOX CARD", b"s" * 32, (b"s" * 32).hex().encode(), (b"g" * 32).hex().encode()]
    return sorted(path.name for path in home.rglob("*") if path.is_file() and any(each in path.read_bytes() for each in sought))


def test_a_sealed_box_is_read_with_its_passphrase_alone(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    store = StateDirectory(home)
    identity, contacts = store.load_identity(NOW), store.load_contacts(NOW)
    assert secrets_in_clear(home) == ["authority.key", "bob.yaml", "box.key", "guards", "static.key"]
    assert seal(home) == 0
    assert secrets_in_clear(home) == []
    with pytest.raises(UsageError, match="is sealed"):
        store.load_identity(NOW)
    (home.parent / "wrong").write_bytes(OTHER.reveal())
    monkeypatch.setenv(passphrases.FILE_VARIABLE, str(home.parent / "wrong"))
    with pytest.raises(FileProblem, match="passphrase is wrong"):
        store.load_contacts(NOW)
    monkeypatch.setenv(passphrases.FILE_VARIABLE, str(home.parent / "passphrase"))
    assert store.load_identity(NOW).static_key.private_bytes_raw() == identity.static_key.private_bytes_raw()
    assert store.load_contacts(NOW) == contacts
    assert store.read_text("guards") == (b"g" * 32).hex()
    store.keep(Step(contacts[0], Contact("robert", contacts[0].card, contacts[0].card_text, contacts[0].pair)))
    assert [contact.petname for contact in StateDirectory(home).load_contacts(NOW)] == ["robert"]
    assert secrets_in_clear(home) == [], "what is written later is sealed too"
    capsys.readouterr()
    assert seal(home) == 2
    assert "sealed already" in capsys.readouterr().err
    assert seal(home, "unseal") == 0
    assert secrets_in_clear(home) == ["authority.key", "box.key", "guards", "robert.yaml", "static.key"]
    assert not store.exists(SEAL_FILE)
    assert seal(home, "unseal") == 2


def test_a_service_has_the_passphrase_as_a_credential(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seal(home) == 0
    (home.parent / passphrases.CREDENTIAL).write_bytes(WORDS.reveal())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(home.parent))
    assert len(StateDirectory(home).load_identity(NOW).contact_id) == 32


def test_a_directory_that_was_half_sealed_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power failed: what is not sealed yet is read in clear, and sealed when it is written."""
    monkeypatch.setenv(passphrases.FILE_VARIABLE, str(home.parent / "passphrase"))
    plain = (home / "identity" / "box.key").read_bytes()
    assert seal(home) == 0
    (home / "identity" / "box.key").write_bytes(plain)
    store = StateDirectory(home)
    store.save_identity(store.load_identity(NOW))
    assert secrets_in_clear(home) == []


def test_a_box_that_runs_is_not_sealed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StateDirectory(home).locked():
        assert seal(home) == 2
    assert "runs in" in capsys.readouterr().err
    assert not (home / SEAL_FILE).exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe\n"])
def test_a_passphrase_file_that_is_none_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    assert seal(home) == 0
    if content is not None:
        (home.parent / "other").write_bytes(content)
    monkeypatch.setenv(passphrases.FILE_VARIABLE, str(home.parent / "other"))
    with pytest.raises(FileProblem, match="passphrase"):
        StateDirectory(home).load_identity(NOW)
