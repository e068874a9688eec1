"""The state directory: private, whole or not at all, and clear about what is damaged."""

from __future__ import annotations

import datetime as dt
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.changes import Step
from voicebox.contacts.contact import CardText, Contact, PairState, checked_petname
from voicebox.contacts.identity import new_identity
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HostError, UsageError
from voicebox.positions import ProblemsFound
from voicebox.sensitive import Secret

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ANN = new_identity("Ann", NOW)
TEXT = serialise_card(ANN)
CONTACT = Contact("ann", parse_card(TEXT, NOW, "card"), TEXT)


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "box")
    made.create()
    return made


def test_everything_is_private(store: StateDirectory) -> None:
    store.save_identity(ANN)
    store.save_contact(CONTACT)
    assert stat.S_IMODE(store.home.stat().st_mode) == 0o700
    for folder, _, files in os.walk(store.home):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
        assert all(stat.S_IMODE((Path(folder) / name).stat().st_mode) == 0o600 for name in files)


def test_identity_is_read_back(store: StateDirectory) -> None:
    store.save_identity(ANN)
    back = store.load_identity(NOW)
    assert back.contact_id == ANN.contact_id
    assert back.box_certificate == ANN.box_certificate
    assert back.static_key.private_bytes_raw() == ANN.static_key.private_bytes_raw()


def test_contacts_are_read_back(store: StateDirectory) -> None:
    assert store.load_contacts(NOW) == []
    store.save_contact(CONTACT)
    assert store.load_contacts(NOW) == [CONTACT]
    met = replace(CONTACT, pair=PairState(Secret(bytes(32)), 7, met=True, former=Secret(b"f" * 32), former_epoch=6))
    store.save_contact(met)
    assert store.load_contacts(NOW) == [met]
    assert stat.S_IMODE(store.path("contacts/ann.yaml").stat().st_mode) == 0o600
    full = replace(met, verified=True, blocked=True, changed=CardText(CONTACT.card, TEXT))
    store.save_contact(full)
    assert store.load_contacts(NOW) == [full]


def test_steps_are_one_change_of_one_file(store: StateDirectory) -> None:
    renamed = replace(CONTACT, petname="anna")
    for step, names in [
        (Step(None, CONTACT), ["ann.yaml"]),
        (Step(CONTACT, replace(CONTACT, blocked=True)), ["ann.yaml"]),
        (Step(CONTACT, renamed), ["anna.yaml"]),
        (Step(renamed, None), []),
    ]:
        store.keep(step)
        assert [path.name for path in store.path("contacts").iterdir()] == names
    with pytest.raises(HostError, match="cannot be changed"):
        store.keep(Step(renamed, None))


def test_secret_of_the_cards_is_not_written(store: StateDirectory) -> None:
    """It follows from the static keys; what is not on disk cannot be read from it."""
    store.save_contact(replace(CONTACT, pair=PairState(Secret(b"s" * 32), 0)))
    assert (b"s" * 32).hex() not in store.read_text("contacts/ann.yaml")


def test_failed_write_leaves_the_former_file(store: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("file", b"former")

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HostError, match="No space left"):
        store.write("file", b"new")
    assert store.read("file") == b"former"
    assert [path.name for path in store.home.iterdir()] == ["file"]


def test_directory_in_use_is_refused(store: StateDirectory) -> None:
    with store.locked(), pytest.raises(UsageError, match="runs in"), StateDirectory(store.home).locked():
        pass
    with store.locked():
        pass


def test_directory_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        StateDirectory(tmp_path).create()


@pytest.mark.parametrize("name", ["authority.key", "box.key", "static.key"])
def test_damaged_keys_are_named(store: StateDirectory, name: str) -> None:
    store.save_identity(ANN)
    store.write(f"identity/{name}", b"nothing")
    with pytest.raises(FileProblem, match=name):
        store.load_identity(NOW)


def test_key_of_another_kind_and_of_another_person(store: StateDirectory) -> None:
    store.save_identity(ANN)
    store.write("identity/static.key", store.read("identity/box.key"))
    with pytest.raises(FileProblem, match="another kind"):
        store.load_identity(NOW)
    store.save_identity(ANN)
    store.write("identity/authority.crt", new_identity("", NOW).authority_certificate)
    with pytest.raises(FileProblem, match="another key"):
        store.load_identity(NOW)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("card:", "crad:", "Did you mean `card`"),
        ("secret: 00", "secret: 0", "secret is damaged"),
        ("epoch: 7", "epoch: -7", "epoch is damaged"),
        ("-----END", "----END", "no line"),
        ("card: |", "card: [", "contacts/ann.yaml:"),
        ("secret:", "blocked: no\nsecret:", "can only be `yes`"),
        ("secret:", "changed: x\nsecret:", "no line"),
    ],
)
def test_damaged_contacts_are_told(store: StateDirectory, old: str, new: str, words: str) -> None:
    store.save_contact(replace(CONTACT, pair=PairState(Secret(bytes(32)), 7, met=True)))
    text = store.read_text("contacts/ann.yaml")
    assert old in text
    store.write("contacts/ann.yaml", text.replace(old, new, 1).encode())
    with pytest.raises((FileProblem, ProblemsFound), match=words):
        store.load_contacts(NOW)


def test_ids_of_a_backup_are_read_back_and_damage_is_told(store: StateDirectory) -> None:
    assert store.load_backed_up() == []
    store.save_backed_up([b"c" * 32])
    assert store.load_backed_up() == [b"c" * 32]
    store.write("backup.made", b"00\n")
    with pytest.raises(FileProblem, match=r"backup\.made:1"):
        store.load_backed_up()


@pytest.mark.parametrize("petname", ["", "a b", "-a", "a-", "a" * 33, "ä", "a.b", "a/b", "..", "a\n"])
def test_wrong_petnames_are_refused(petname: str) -> None:
    with pytest.raises(UsageError):
        checked_petname(petname)


def test_petnames_are_folded() -> None:
    assert checked_petname("Bob-2") == "bob-2"
