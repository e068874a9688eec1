"""Backups: what comes out is what went in, or nothing does."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebox.contacts import backup
from voicebox.contacts.backup import LEAST_INSIDE_OCTETS, MAGIC, SUM_OCTETS, check_backup, open_backup, seal_backup
from voicebox.contacts.seal import LEAST_COST, MOST_COST, key_of_passphrase
from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

FILES = {"box.yaml": b"profile: home\n", "identity/box.key": bytes(range(256)), "contacts/bob.yaml": b"", "guards": b"\0" * 1000}
PASSPHRASE = Secret("fünf Wörter wären besser".encode())
SEALED = seal_backup(FILES, PASSPHRASE, cost=LEAST_COST, salt=b"s" * 16, nonce=b"n" * 12)
HEADER = len(MAGIC) + 2 + 16 + 12


def summed(octets: bytes) -> bytes:
    """Return a backup whose sum at the end fits what stands before it."""
    return octets[:-SUM_OCTETS] + hashlib.sha256(octets[:-SUM_OCTETS]).digest()


def flipped(at: int) -> bytes:
    return SEALED[:at] + bytes([SEALED[at] ^ 1 << at % 8]) + SEALED[at + 1 :]


def problem(octets: bytes, passphrase: Secret = PASSPHRASE) -> str:
    with pytest.raises(FileProblem) as caught:
        open_backup(octets, passphrase, "mine")
    return str(caught.value)


def test_what_comes_out_is_what_went_in() -> None:
    assert open_backup(SEALED, PASSPHRASE, "mine") == FILES
    assert open_backup(seal_backup({}, PASSPHRASE, cost=LEAST_COST), PASSPHRASE, "mine") == {}


def test_nothing_of_it_can_be_read_without_the_passphrase() -> None:
    for name, octets in FILES.items():
        assert name.encode() not in SEALED
        assert not octets[:8] or octets[:8] not in SEALED
    assert seal_backup(FILES, PASSPHRASE, cost=LEAST_COST)[HEADER:] != SEALED[HEADER:], "salt and nonce are drawn"


def test_format_is_the_written_one() -> None:
    assert SEALED[:HEADER] == b"voicebox backup" + bytes([1, LEAST_COST]) + b"s" * 16 + b"n" * 12
    assert hashlib.sha256(SEALED).hexdigest() == "c6f8b2e9fc2b0a4923d09dab2c9e1b38d9065609a70217f13fcf9faf3b85e7cc"


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}/[a-z ]{1,20}|[a-zé.]{1,9}", fullmatch=True).filter(backup.NAME.match), st.binary(max_size=300)))
@settings(max_examples=15)
def test_any_files_come_back(files: dict[str, bytes]) -> None:
    assert open_backup(seal_backup(files, PASSPHRASE, cost=LEAST_COST), PASSPHRASE, "mine") == files


@pytest.mark.parametrize(("octets", "whole"), [(0, 18), ((1 << 18) - 4 - 9, 18), ((1 << 18) - 3 - 9, 19), (300_000, 19), (600_000, 20)])
def test_size_tells_no_more_than_a_factor_of_two(octets: int, whole: int) -> None:
    sealed = seal_backup({"abc": bytes(octets)}, PASSPHRASE, cost=LEAST_COST)
    assert len(sealed) == HEADER + (1 << whole) + 16 + SUM_OCTETS


def test_wrong_passphrase_is_said_so() -> None:
    assert problem(SEALED, Secret(b"another passphrase")) == "mine: the passphrase is wrong. Or somebody changed the file, and made its sum fit."


def test_every_flipped_octet_is_told_before_the_passphrase_is_asked_for() -> None:
    places = [*range(HEADER + 64), *range(HEADER, len(SEALED), 1_009), *range(len(SEALED) - 64, len(SEALED))]
    for at in places:
        with pytest.raises(FileProblem, match="damaged" if at >= len(MAGIC) else "no backup"):
            check_backup(flipped(at), "mine")


def test_every_flipped_octet_is_refused_where_the_sum_was_made_to_fit() -> None:
    for at in [*range(len(MAGIC), HEADER), *range(HEADER, len(SEALED) - SUM_OCTETS, 7_919), len(SEALED) - SUM_OCTETS - 1]:
        assert any(words in problem(summed(flipped(at))) for words in ("passphrase is wrong", "another version", "not one that voicebox made"))


@pytest.mark.parametrize("length", [0, 10, len(MAGIC), HEADER, 1000, len(SEALED) - 1])
def test_what_was_cut_off_is_refused(length: int) -> None:
    assert "backup" in problem(SEALED[:length])
    assert problem(summed(SEALED[:length] + bytes(SUM_OCTETS)))


@pytest.mark.parametrize("cost", [0, LEAST_COST - 1, MOST_COST + 1, 63, 255])
def test_a_file_cannot_ask_for_more_memory_than_ours_do(cost: int) -> None:
    octets = SEALED[: len(MAGIC) + 1] + bytes([cost]) + SEALED[len(MAGIC) + 2 :]
    assert "not one that voicebox made" in problem(summed(octets))


def inside(body: bytes, length: int | None = None, rest: int = 0) -> bytes:
    """Seal an inside that no voicebox makes, under the right passphrase."""
    octets = (len(body) if length is None else length).to_bytes(4, "big") + body
    octets = octets.ljust(LEAST_INSIDE_OCTETS, b"\0")
    octets = octets[:-1] + bytes([rest])
    header = SEALED[:HEADER]
    key = key_of_passphrase(PASSPHRASE, b"s" * 16, LEAST_COST)
    return summed(header + ChaCha20Poly1305(key).encrypt(b"n" * 12, octets, header) + bytes(SUM_OCTETS))


def file(name: bytes, octets: bytes = b"") -> bytes:
    return len(name).to_bytes(2, "big") + name + len(octets).to_bytes(4, "big") + octets


@pytest.mark.parametrize("name", [b"", b"/etc/passwd", b"../x", b"a/../b", b"a/b/c", b".", b"..", b"a/.b", b"a\0", b"\xff/..", b"x" * 200, b"a/"])
def test_names_that_lead_elsewhere_are_refused(name: bytes) -> None:
    assert "name that no box has" in problem(inside(file(name)))


@pytest.mark.parametrize(
    "body", [file(b"a") * 2, b"\0", b"\0\1", file(b"a")[:-1], file(b"a", b"12")[:-1], b"\xff" * 9, b"\0\1a\xff\xff\xff\xff"], ids=lambda body: body.hex()
)
def test_insides_that_are_none_are_refused(body: bytes) -> None:
    assert problem(inside(body))


def test_lengths_and_zeros_inside_are_checked() -> None:
    assert open_backup(inside(file(b"a", b"1")), PASSPHRASE, "mine") == {"a": b"1"}
    assert problem(inside(file(b"a"), rest=1))
    assert problem(inside(file(b"a"), length=LEAST_INSIDE_OCTETS))
    assert problem(inside(file(b"a"), length=1))


def test_short_passphrases_and_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "MAX_FILES_OCTETS", 1_000)
    with pytest.raises(UsageError, match="at least"):
        seal_backup(FILES, Secret(b"short"))
    with pytest.raises(UsageError, match="MB"):
        seal_backup({"a": bytes(1_000)}, PASSPHRASE)
    for name in ("a/b/c", "a\udcff", ".hidden"):
        with pytest.raises(UsageError, match="name"):
            seal_backup({name: b""}, PASSPHRASE)
