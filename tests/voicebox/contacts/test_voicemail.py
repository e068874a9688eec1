"""Messages on the disk: sealed, bounded, in order, and gone when they are deleted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from voicebox.contacts.seal import FileKey
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import KEY_FILE, MAX_ALL, MAX_MESSAGES, MAX_OF_CONTACT, MAX_SOUND_OCTETS, MessageFiles
from voicebox.dialplan.model import EVERYBODYS
from voicebox.errors import FileProblem, HostError
from voicebox.sensitive import Secret

TODAY = dt.date(2026, 3, 10)
SOUND = b"planted sound of a voice" * 1_000


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "box")
    made.create()
    return made


def box(store: StateDirectory) -> MessageFiles:
    return MessageFiles(store, lambda: TODAY)


def files(store: StateDirectory) -> list[Path]:
    return sorted(store.path("voicemail").glob("*.msg"))


def test_messages_are_kept_over_a_restart_in_their_order_and_say_no_time(store: StateDirectory) -> None:
    first = box(store)
    for number in range(5):
        first.keep(EVERYBODYS, "bob", SOUND + bytes([number]))
    again = box(store)
    assert [again.sound(message.reference)[-1] for message in again.messages()] == [0, 1, 2, 3, 4]
    assert {(message.petname, message.day, message.heard, message.seconds) for message in again.messages()} == {("bob", TODAY, False, 3)}
    midnight = dt.datetime(2026, 3, 10, tzinfo=dt.UTC).timestamp()
    assert {path.stat().st_mtime for path in files(store)} == {midnight}
    assert again.count() == (5, 0)


def test_a_disk_that_keeps_its_own_times_is_a_fault_of_the_machine(store: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    messages = box(store)
    monkeypatch.setattr("voicebox.contacts.voicemail.os.utime", refuse)
    with pytest.raises(HostError, match="not permitted"):
        messages.keep(EVERYBODYS, "bob", SOUND)
    assert len(messages.messages()) == len(files(store)) == 1


def test_neither_the_sound_nor_who_left_it_can_be_read_without_the_key(store: StateDirectory) -> None:
    messages = box(store)
    messages.keep(EVERYBODYS, "bobby-tables", SOUND)
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
    box(store).keep(EVERYBODYS, "bob", SOUND)
    key = store.read(KEY_FILE)
    store.seal(Secret(b"correct horse battery"))
    assert key not in store.path(KEY_FILE).read_bytes()
    messages = box(store)
    messages.keep(EVERYBODYS, "bob", b"another" * 2_000)
    assert [len(messages.sound(message.reference)) for message in box(store).messages()] == [len(SOUND), 14_000]


def test_heard_removed_renamed_and_cleared(store: StateDirectory) -> None:
    messages = box(store)
    for petname in ("ann", "bob", "carl"):
        messages.keep(EVERYBODYS, petname, SOUND)
    ann, bob, carl = messages.messages()
    messages.mark_heard(ann.reference)
    messages.mark_heard("0" * 16)
    assert (messages.count(), box(store).count()) == ((2, 1), (2, 1))
    messages.remove(bob.reference)
    messages.remove(bob.reference)
    assert messages.sound(bob.reference) == b""
    messages.renamed("ann", "anna")
    messages.renamed("carl", None)
    assert [(message.petname, message.heard) for message in box(store).messages()] == [("anna", True)]
    assert carl.reference not in {path.stem for path in files(store)}
    messages.clear()
    assert files(store) == []
    assert not store.exists(KEY_FILE)
    messages.keep("21", "bob", SOUND)
    assert [(message.mailbox, message.petname) for message in box(store).messages()] == [("21", "bob")], "under another key"


def test_messages_of_before_there_were_mailboxes_are_everybodys(store: StateDirectory) -> None:
    box(store).keep(EVERYBODYS, "bob", SOUND)
    path = files(store)[0]
    key = FileKey(store.read(KEY_FILE))
    head = b'{"number": 1, "petname": "bob", "day": "2026-03-10", "heard": true}\n'
    path.write_bytes(b"voicebox message" + key.seal("voicemail", head + SOUND))
    assert [(message.mailbox, message.heard) for message in box(store).messages()] == [(EVERYBODYS, True)]


def test_messages_whose_key_is_gone_are_told(store: StateDirectory) -> None:
    box(store).keep(EVERYBODYS, "bob", SOUND)
    store.remove(KEY_FILE)
    with pytest.raises(FileProblem, match="key is gone"):
        box(store)


def test_everything_is_bounded(store: StateDirectory) -> None:
    messages = box(store)
    messages.keep(EVERYBODYS, "long", bytes(MAX_SOUND_OCTETS + 8_000))
    assert len(messages.sound(messages.messages()[0].reference)) == MAX_SOUND_OCTETS
    for _ in range(MAX_OF_CONTACT + 2):
        messages.keep(EVERYBODYS, "bob", SOUND)
    assert not messages.has_room(EVERYBODYS, "bob")
    assert len(messages.messages()) == 1 + MAX_OF_CONTACT
    for number in range(MAX_MESSAGES):
        messages.keep(EVERYBODYS, f"c{number}", b"x" * 800)
    assert len(messages.messages()) == len(files(store)) == MAX_MESSAGES
    assert not messages.has_room(EVERYBODYS, "new")
    assert messages.has_room("21", "bob"), "the mailbox of an extension has room of its own"
    for number in range(MAX_ALL):
        messages.keep(str(number % 9), f"c{number}", b"x" * 800)
    assert len(messages.messages()) == len(files(store)) == MAX_ALL
    assert not messages.has_room("21", "bob")
    assert len(box(store).messages()) == MAX_ALL


def test_a_damaged_message_is_told_with_its_file(store: StateDirectory) -> None:
    box(store).keep(EVERYBODYS, "bob", SOUND)
    path = files(store)[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileProblem, match=path.name):
        box(store)
