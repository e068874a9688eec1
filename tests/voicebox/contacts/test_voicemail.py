"""Messages on the disk: sealed, bounded, in order, and gone when they are deleted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import KEY_FILE, MAX_MESSAGES, MAX_OF_CONTACT, MAX_SOUND_OCTETS, VoicemailBox
from voicebox.errors import FileProblem, HostError
from voicebox.sensitive import Secret

TODAY = dt.date(2026, 3, 10)
SOUND = b"planted sound of a voice" * 1_000


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "box")
    made.create()
    return made


def box(store: StateDirectory) -> VoicemailBox:
    return VoicemailBox(store, lambda: TODAY)


def files(store: StateDirectory) -> list[Path]:
    return sorted(store.path("voicemail").glob("*.msg"))


def test_messages_are_kept_over_a_restart_in_their_order_and_say_no_time(store: StateDirectory) -> None:
    first = box(store)
    for number in range(5):
        first.keep("bob", SOUND + bytes([number]))
    again = box(store)
    assert [again.sound(message.reference)[-1] for message in again.messages()] == [0, 1, 2, 3, 4]
    assert {(message.petname, message.day, message.heard, message.seconds) for message in again.messages()} == {("bob", TODAY, False, 3)}
    midnight = dt.datetime(2026, 3, 10, tzinfo=dt.UTC).timestamp()
    assert {path.stat().st_mtime for path in files(store)} == {midnight}
    assert again.count() == (5, 0)


def test_a_disk_that_keeps_its_own_times_is_a_fault_of_the_machine(store: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    mailbox = box(store)
    monkeypatch.setattr("voicebox.contacts.voicemail.os.utime", refuse)
    with pytest.raises(HostError, match="not permitted"):
        mailbox.keep("bob", SOUND)
    assert len(mailbox.messages()) == len(files(store)) == 1


def test_neither_the_sound_nor_who_left_it_can_be_read_without_the_key(store: StateDirectory) -> None:
    mailbox = box(store)
    mailbox.keep("bobby-tables", SOUND)
    octets = files(store)[0].read_bytes()
    assert b"planted" not in octets
    assert b"bobby" not in octets
    store.write(KEY_FILE, bytes(32))
    with pytest.raises(FileProblem, match="changed, or is of another directory"):
        box(store)


def test_a_sealed_directory_seals_the_key_too(store: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    monkeypatch.setenv("VOICEBOX_PASSPHRASE_FILE", str(passphrase))
    box(store).keep("bob", SOUND)
    key = store.read(KEY_FILE)
    store.seal(Secret(b"correct horse battery"))
    assert key not in store.path(KEY_FILE).read_bytes()
    mailbox = box(store)
    mailbox.keep("bob", b"another" * 2_000)
    assert [len(mailbox.sound(message.reference)) for message in box(store).messages()] == [len(SOUND), 14_000]


def test_heard_removed_renamed_and_cleared(store: StateDirectory) -> None:
    mailbox = box(store)
    for petname in ("ann", "bob", "carl"):
        mailbox.keep(petname, SOUND)
    ann, bob, carl = mailbox.messages()
    mailbox.mark_heard(ann.reference)
    mailbox.mark_heard("0" * 16)
    assert (mailbox.count(), box(store).count()) == ((2, 1), (2, 1))
    mailbox.remove(bob.reference)
    mailbox.remove(bob.reference)
    assert mailbox.sound(bob.reference) == b""
    mailbox.renamed("ann", "anna")
    mailbox.renamed("carl", None)
    assert [(message.petname, message.heard) for message in box(store).messages()] == [("anna", True)]
    assert carl.reference not in {path.stem for path in files(store)}
    mailbox.clear()
    assert files(store) == []
    assert not store.exists(KEY_FILE)


def test_everything_is_bounded(store: StateDirectory) -> None:
    mailbox = box(store)
    mailbox.keep("long", bytes(MAX_SOUND_OCTETS + 8_000))
    assert len(mailbox.sound(mailbox.messages()[0].reference)) == MAX_SOUND_OCTETS
    for _ in range(MAX_OF_CONTACT + 2):
        mailbox.keep("bob", SOUND)
    assert not mailbox.has_room("bob")
    assert len(mailbox.messages()) == 1 + MAX_OF_CONTACT
    for number in range(MAX_MESSAGES):
        mailbox.keep(f"c{number}", b"x" * 800)
    assert len(mailbox.messages()) == len(files(store)) == MAX_MESSAGES
    assert not mailbox.has_room("new")


def test_a_damaged_message_is_told_with_its_file(store: StateDirectory) -> None:
    box(store).keep("bob", SOUND)
    path = files(store)[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileProblem, match=path.name):
        box(store)
