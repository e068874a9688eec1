"""Who may use the page: the link that is good once, the passphrase, the cookies."""

from __future__ import annotations

import pytest

from voicebox.contacts.seal import LEAST_COST
from voicebox.errors import UsageError
from voicebox.page.entry import (
    LINK_S,
    LOGIN_S,
    MAX_LOGINS,
    MAX_WRONG,
    WRONG_S,
    Logins,
    Tries,
    check_link,
    check_passphrase,
    new_link,
    new_passphrase,
)

NOW = 1_800_000_000.0
PASSPHRASE = "five words drawn at random"


def test_a_link_is_good_for_half_an_hour_and_for_its_token_alone() -> None:
    token, text = new_link(NOW)
    assert token not in text, "who reads the file cannot make the link of it"
    check_link(text, token, NOW)
    check_link(text, token, NOW + LINK_S - 1)
    for wrong, at in ((token, NOW + LINK_S), (token, NOW - 3_600), (token[:-1], NOW), ("", NOW), ("\ud800", NOW)):
        with pytest.raises(UsageError):
            check_link(text, wrong, at)
    for damaged in ("", text.split()[0], text.split()[0] + " never", " 9999999999"):
        with pytest.raises(UsageError):
            check_link(damaged, token, NOW)


def test_another_link_has_another_token() -> None:
    assert new_link(NOW)[0] != new_link(NOW)[0]


def test_a_passphrase_is_known_by_the_file_and_not_in_it() -> None:
    text = new_passphrase(PASSPHRASE, PASSPHRASE, cost=LEAST_COST)
    assert PASSPHRASE not in text
    check_passphrase(text, PASSPHRASE)
    with pytest.raises(UsageError, match="is wrong"):
        check_passphrase(text, PASSPHRASE + " ")


@pytest.mark.parametrize("damaged", ["", "x", "17 zz zz", "40 00 00", "1 00 00", "17 00"])
def test_a_damaged_file_lets_nobody_in(damaged: str) -> None:
    with pytest.raises(UsageError, match="not kept any more"):
        check_passphrase(damaged, PASSPHRASE)


@pytest.mark.parametrize(("passphrase", "again"), [("short", "short"), (PASSPHRASE, PASSPHRASE + "!"), ("x" * 2000, "x" * 2000)])
def test_a_passphrase_is_long_enough_not_too_long_and_typed_twice(passphrase: str, again: str) -> None:
    with pytest.raises(UsageError):
        new_passphrase(passphrase, again, cost=LEAST_COST)


def test_who_is_in_stays_so_while_they_use_it() -> None:
    logins = Logins()
    cookie = logins.open(0.0)
    assert logins.seen(cookie, LOGIN_S - 1)
    assert logins.seen(cookie, 2 * LOGIN_S - 2), "counted from the last request"
    assert not logins.seen(cookie, 3 * LOGIN_S)
    assert not logins.seen("", 0.0)


def test_who_leaves_is_out_and_others_stay() -> None:
    logins = Logins()
    first, second = logins.open(0.0), logins.open(0.0)
    logins.close(first)
    assert [logins.seen(cookie, 1.0) for cookie in (first, second)] == [False, True]
    logins.close_all()
    assert not logins.seen(second, 1.0)


def test_logins_have_a_bound() -> None:
    logins = Logins()
    cookies = [logins.open(0.0) for _ in range(MAX_LOGINS + 1)]
    assert [logins.seen(cookie, 1.0) for cookie in cookies] == [False] + MAX_LOGINS * [True]


def test_wrong_passphrases_are_few() -> None:
    tries = Tries()
    for at in range(MAX_WRONG):
        tries.check(float(at))
        tries.wrong(float(at))
    with pytest.raises(UsageError, match="too often"):
        tries.check(WRONG_S - 1)
    tries.check(WRONG_S)
    tries.wrong(WRONG_S)
    with pytest.raises(UsageError):
        tries.check(WRONG_S + 0.5)
    tries.right()
    tries.check(WRONG_S + 0.5)
