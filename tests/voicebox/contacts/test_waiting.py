"""Texts that wait: on the disk at once, bounded, gone after a week or with their contact; sealed where the directory is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicebox.contacts.store import StateDirectory
from voicebox.contacts.waiting import FOLDER, MAX_WAITING, WAITS_US, WaitingTexts
from voicebox.errors import FileProblem, HostError
from voicebox.sensitive import Secret

BOB, CAROL = b"b" * 32, b"c" * 32
NOW_US = 1_800_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "box")
    made.create()
    return made


def kept(store: StateDirectory) -> WaitingTexts:
    return WaitingTexts(store, [BOB, CAROL])


def texts(waiting: WaitingTexts, contact_id: bytes = BOB, at_us: int = NOW_US) -> list[str]:
    return [each.text for each in waiting.texts(contact_id, at_us)]


def test_what_is_kept_is_there_after_a_restart_and_numbers_rise_though_the_clock_goes_back(store: StateDirectory) -> None:
    waiting = kept(store)
    assert waiting.keep(BOB, "one", NOW_US, perhaps_there=False)
    assert waiting.keep(BOB, "två", NOW_US - 5, perhaps_there=True)
    again = kept(store)
    assert texts(again) == ["one", "två"]
    first, second = again.texts(BOB, NOW_US)
    assert (first.number, second.number, second.perhaps_there) == (NOW_US, NOW_US + 1, True)
    assert again.count() == 2
    again.arrived(BOB, first.number)
    assert texts(kept(store)) == ["två"]
    again.arrived(BOB, second.number)
    assert again.keep(BOB, "three", NOW_US - 9, perhaps_there=False)
    assert again.texts(BOB, NOW_US)[0].number == NOW_US + 2, "above those that are gone"


def test_twenty_wait_for_a_contact_and_for_seven_days(store: StateDirectory) -> None:
    waiting = kept(store)
    assert [waiting.keep(BOB, "x", NOW_US + each, perhaps_there=False) for each in range(MAX_WAITING + 1)] == [True] * MAX_WAITING + [False]
    assert waiting.keep(CAROL, "y", NOW_US, perhaps_there=False), "another's are others"
    assert len(texts(waiting, BOB, NOW_US + WAITS_US - 1)) == MAX_WAITING
    assert len(texts(waiting, BOB, NOW_US + WAITS_US)) == MAX_WAITING - 1
    waiting.expire(NOW_US + WAITS_US + 4)
    assert (waiting.expired, waiting.count()) == (6, MAX_WAITING - 5)
    assert kept(store).count() == MAX_WAITING - 5


def test_up_to_where_a_contacts_texts_have_come_never_goes_back(store: StateDirectory) -> None:
    waiting = kept(store)
    for number in (5, 9, 7):
        waiting.came(BOB, number)
    assert (waiting.heard(BOB), kept(store).heard(BOB), waiting.heard(CAROL)) == (9, 9, 0)


def test_a_contact_who_goes_takes_his_texts_along_also_while_no_box_runs(store: StateDirectory) -> None:
    waiting = kept(store)
    for contact_id in (BOB, CAROL):
        waiting.keep(contact_id, "hello", NOW_US, perhaps_there=False)
    waiting.forget(BOB)
    waiting.forget(BOB)
    assert not store.exists(f"{FOLDER}/{BOB.hex()}")
    assert WaitingTexts(store, [BOB]).count() == 0
    assert not store.exists(f"{FOLDER}/{CAROL.hex()}")


def test_they_are_sealed_where_the_directory_is_and_the_disk_decides(store: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = kept(store)
    waiting.keep(BOB, "planted words", NOW_US, perhaps_there=False)
    file = store.path(FOLDER) / BOB.hex()
    assert b"planted words" in file.read_bytes()
    store.seal(Secret(b"a long enough passphrase"))
    assert b"planted words" not in file.read_bytes()

    def full(_name: str, _octets: bytes) -> None:
        raise HostError("no room")

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(HostError):
        waiting.keep(BOB, "more", NOW_US, perhaps_there=False)
    assert texts(waiting) == ["planted words"], "what the disk did not take is not there"


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"[]",
        b"\xff",
        json.dumps({"heard": -1, "last": 0, "texts": []}).encode(),
        json.dumps({"heard": 0, "last": 0, "texts": [[1, False, "x"]]}).encode(),
        json.dumps({"heard": 0, "last": 9, "texts": [[2, False, "x"], [1, False, "y"]]}).encode(),
        json.dumps({"heard": 0, "last": 9, "texts": [[1, 0, "x"]]}).encode(),
        json.dumps({"heard": 0, "last": 99, "texts": [[each, False, "x"] for each in range(1, 30)]}).encode(),
    ],
)
def test_a_file_that_is_none_stops_the_start_with_its_name(store: StateDirectory, told: bytes) -> None:
    store.write(f"{FOLDER}/{BOB.hex()}", told)
    with pytest.raises(FileProblem, match="waiting"):
        kept(store)
