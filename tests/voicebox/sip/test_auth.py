"""Digest: the published examples, nonces, replay, and the lock against guessing."""

from __future__ import annotations

import random

import pytest

from voicebox.errors import SipError, UsageError
from voicebox.sensitive import Secret
from voicebox.sip.auth import (
    Account,
    DigestAlgorithm,
    DigestServer,
    GuessLimiter,
    Verdict,
    claimed_user,
    digest_answer,
    digest_response,
    parse_digest,
    says_stale,
)

ALICE = Account.from_password("alice", Secret(b"secret"), "voicebox")


def server(max_nonces: int = 4_096) -> DigestServer:
    return DigestServer("voicebox", random.Random(1).randbytes, max_nonces)


def answer(challenge: str, account: Account = ALICE, method: str = "REGISTER", count: int = 1, **changed: str) -> str:
    fields = parse_digest(challenge) | {"uri": "sip:voicebox", "nc": f"{count:08x}", "cnonce": "x", "qop": "auth", "username": account.user} | changed
    algorithm = DigestAlgorithm(parse_digest(challenge)["algorithm"])
    ha1 = dict(account.ha1s).get(algorithm, Secret(b"none"))
    fields["response"] = changed.get("response") or digest_response(algorithm, ha1.reveal(), method, fields)
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items() if value)


def test_the_example_of_rfc_2617() -> None:
    fields = {"uri": "/dir/index.html", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093", "nc": "00000001", "cnonce": "0a4f113b", "qop": "auth"}
    ha1 = DigestAlgorithm.MD5.digest(b"Mufasa:testrealm@host.com:Circle Of Life").encode()
    assert digest_response(DigestAlgorithm.MD5, ha1, "GET", fields) == "6629fae49393a05397450978507c4ef1"


def test_the_example_of_rfc_7616() -> None:
    fields = {
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    ha1 = DigestAlgorithm.SHA_256.digest(b"Mufasa:http-auth@example.org:Circle of Life").encode()
    assert digest_response(DigestAlgorithm.SHA_256, ha1, "GET", fields) == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


@pytest.mark.parametrize("algorithm", list(DigestAlgorithm))
def test_right_answers(algorithm: DigestAlgorithm) -> None:
    digest = server()
    account = Account.from_password("alice", Secret(b"secret"), "voicebox", algorithm)
    challenge = digest.challenge(algorithm, 10.0)
    assert digest.verify(answer(challenge, account), "REGISTER", account, 11.0) is Verdict.GOOD


def test_an_account_with_two_algorithms_takes_either_and_others_only_their_own() -> None:
    digest = server()
    both = Account.from_password("alice", Secret(b"secret"), "voicebox", DigestAlgorithm.SHA_256, DigestAlgorithm.MD5)
    assert both.algorithms == (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5)
    for algorithm in both.algorithms:
        challenge = digest.challenge(algorithm, 10.0)
        assert digest.verify(answer(challenge, both), "REGISTER", both, 11.0) is Verdict.GOOD
    strict = Account.from_password("alice", Secret(b"secret"), "voicebox", DigestAlgorithm.SHA_256)
    assert digest.verify(answer(digest.challenge(DigestAlgorithm.MD5, 10.0), both), "REGISTER", strict, 11.0) is Verdict.WRONG
    assert digest.verify(answer(digest.challenge(DigestAlgorithm.SHA_256, 10.0), both), "REGISTER", None, 11.0) is Verdict.WRONG


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (None, Verdict.MISSING),
        ("Basic abc", Verdict.MISSING),
        ('Digest username="alice', Verdict.MISSING),
        ('Digest realm="elsewhere", username="alice"', Verdict.MISSING),
        ('Digest realm="voicebox"', Verdict.STALE),
    ],
)
def test_no_answers(text: str | None, verdict: Verdict) -> None:
    assert server().verify(text, "REGISTER", ALICE, 10.0) is verdict


@pytest.mark.parametrize(
    "changed",
    [{"username": "bob"}, {"algorithm": "SHA-256"}, {"response": "0" * 32}, {"response": "é"}, {"qop": "auth-int"}, {"nc": "1"}, {"response": "a" * 64}],
)
def test_wrong_answers(changed: dict[str, str]) -> None:
    digest = server()
    assert digest.verify(answer(digest.challenge(DigestAlgorithm.MD5, 10.0), ALICE, "REGISTER", 1, **changed), "REGISTER", ALICE, 11.0) is Verdict.WRONG


def test_an_answer_is_bound_to_its_method_and_user() -> None:
    digest = server()
    challenge = digest.challenge(DigestAlgorithm.MD5, 10.0)
    assert digest.verify(answer(challenge), "INVITE", ALICE, 11.0) is Verdict.WRONG
    assert digest.verify(answer(challenge), "REGISTER", None, 11.0) is Verdict.WRONG
    other = Account.from_password("alice", Secret(b"other"), "voicebox")
    assert digest.verify(answer(challenge, other), "REGISTER", ALICE, 11.0) is Verdict.WRONG


def test_a_nonce_is_good_where_it_was_sent_to() -> None:
    """So a wrong answer under somebody else's address counts against nobody; and a right one tells nobody that it is."""
    digest = server()
    challenge = digest.challenge(DigestAlgorithm.MD5, 10.0, "192.0.2.20")
    assert digest.verify(answer(challenge, response="0" * 32), "REGISTER", ALICE, 11.0, "192.0.2.21") is Verdict.STALE
    assert digest.verify(answer(challenge), "REGISTER", None, 11.0, "192.0.2.21") is Verdict.STALE
    assert digest.verify(answer(challenge), "REGISTER", ALICE, 11.0, "192.0.2.21") is Verdict.STALE
    assert digest.verify(answer(challenge, response="0" * 32), "REGISTER", ALICE, 11.0, "192.0.2.20") is Verdict.WRONG
    assert digest.verify(answer(challenge), "REGISTER", ALICE, 11.0, "192.0.2.20") is Verdict.GOOD


def test_nonces_age_and_cannot_be_made_up() -> None:
    digest = server()
    challenge = digest.challenge(DigestAlgorithm.MD5, 10.0)
    assert digest.verify(answer(challenge), "REGISTER", ALICE, 311.0) is Verdict.STALE
    nonce = parse_digest(challenge)["nonce"]
    for forged in ("f" * len(nonce), "", nonce[:-1], "00" + nonce, "é", "\udcff" + nonce[1:], nonce[:-1] + "\udcff"):
        assert digest.verify(answer(challenge, nonce=forged), "REGISTER", ALICE, 11.0) is Verdict.STALE
    assert digest.verify(answer(challenge), "REGISTER", ALICE, 11.0) is Verdict.GOOD


def test_counts_are_taken_once_within_a_window() -> None:
    digest = server()
    challenge = digest.challenge(DigestAlgorithm.MD5, 10.0)
    order = [1, 3, 2, 3, 2, 100, 36, 37, 99, 37]
    good, stale = Verdict.GOOD, Verdict.STALE
    expected = [good, good, good, stale, stale, good, stale, good, good, stale]
    assert [digest.verify(answer(challenge, count=count), "REGISTER", ALICE, 11.0) for count in order] == expected


def test_a_nonce_that_was_pushed_out_is_not_taken_again() -> None:
    digest = server(max_nonces=2)
    challenges = [digest.challenge(DigestAlgorithm.MD5, 10.0 + number) for number in range(3)]
    for challenge in challenges:
        assert digest.verify(answer(challenge), "REGISTER", ALICE, 20.0) is Verdict.GOOD
    assert digest.verify(answer(challenges[0]), "REGISTER", ALICE, 20.0) is Verdict.STALE
    assert digest.verify(answer(challenges[2], count=2), "REGISTER", ALICE, 20.0) is Verdict.GOOD


def test_fields_with_quotes_and_commas() -> None:
    assert parse_digest('Digest a="x, \\"y\\"",b=z , c = "1"') == {"a": 'x, "y"', "b": "z", "c": "1"}
    assert claimed_user('Digest username="a"') == "a"
    assert claimed_user("rubbish") is None
    for text in ("", "Digest a", 'Digest a="1", a="2"', "Digest " + "a=b," * 2_000):
        with pytest.raises(SipError):
            parse_digest(text)


def test_passwords_and_hashes_do_not_print() -> None:
    assert "scrubbed" in repr(ALICE)
    assert ALICE.ha1s[0][1].reveal().decode() not in repr(ALICE)
    with pytest.raises(UsageError):
        Account.from_password("a b", Secret(b""), "voicebox")


def test_the_ban_is_bounded_in_time_and_number() -> None:
    limiter = GuessLimiter(max_failures=2, ban_s=10, max_entries=3)
    limiter.failed("1.1.1.1", 0.0)
    assert not limiter.banned("1.1.1.1", 0.0)
    limiter.failed("1.1.1.1", 0.0)
    assert limiter.banned("1.1.1.1", 9.0)
    assert not limiter.banned("1.1.1.1", 11.0)
    assert not limiter.banned("1.1.1.2", 9.0)
    limiter.failed("1.1.1.1", 11.0)
    assert not limiter.banned("1.1.1.1", 11.0), "it begins anew"
    for number in range(10):
        limiter.failed(f"1.1.2.{number}", 0.0)
    assert len(limiter._failures) == 3


def test_a_source_over_ipv6_is_a_network() -> None:
    limiter = GuessLimiter(max_failures=2)
    for number in range(2):
        limiter.failed(f"2001:db8::{number}", 0.0)
    assert limiter.banned("2001:db8:0:0:ffff::1", 1.0)
    assert not limiter.banned("2001:db8:0:1::1", 1.0)
    assert not limiter.banned("fe80::1%eth0", 1.0)


@pytest.mark.parametrize(
    "offered", [(DigestAlgorithm.SHA_256, DigestAlgorithm.MD5), (DigestAlgorithm.MD5, DigestAlgorithm.SHA_256), (DigestAlgorithm.MD5,)], ids=len
)
def test_a_providers_challenge_is_answered_in_the_first_of_its_algorithms(offered: tuple[DigestAlgorithm, ...]) -> None:
    digest = server()
    account = Account.from_password("alice", Secret(b"secret"), "voicebox", *offered)
    challenges = ['Digest realm="voicebox", nonce="x", algorithm=SHA-512-256, qop="auth"', "Basic realm=x", *(digest.challenge(each, 10.0) for each in offered)]
    answered = digest_answer(challenges, "alice", Secret(b"secret"), "INVITE", "sip:1@x", "c")
    assert digest.verify(answered, "INVITE", account, 11.0) is Verdict.GOOD
    assert parse_digest(answered)["algorithm"] == offered[0].value
    assert digest.verify(digest_answer(challenges, "alice", Secret(b"other"), "INVITE", "sip:1@x", "c"), "INVITE", account, 11.0) is Verdict.WRONG


def test_the_example_of_rfc_2617_as_a_client() -> None:
    challenge = 'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    fields = parse_digest(digest_answer([challenge], "Mufasa", Secret(b"Circle Of Life"), "GET", "/dir/index.html", "0a4f113b"))
    assert fields["response"] == "6629fae49393a05397450978507c4ef1"
    assert (fields["opaque"], fields["nc"], fields["qop"]) == ("5ccc069c403ebaf9f0171e9517f40e41", "00000001", "auth")


def test_a_challenge_without_qop_is_answered_as_rfc_2069_has_it_and_quotes_stay_inside() -> None:
    text = digest_answer([r'Digest realm="a \"b\\", nonce="n"'], "u", Secret(b"p"), "REGISTER", "sip:x", "c")
    fields = parse_digest(text)
    assert fields["realm"] == 'a "b\\'
    assert "qop" not in fields
    ha1 = DigestAlgorithm.MD5.digest(b'u:a "b\\:p').encode()
    assert fields["response"] == digest_response(DigestAlgorithm.MD5, ha1, "REGISTER", {"uri": "sip:x", "nonce": "n"})


@pytest.mark.parametrize(
    "challenge",
    ["", "Basic x", "Digest", 'Digest realm="x"', 'Digest nonce="n", qop="auth-int"', 'Digest nonce="n", algorithm=MD5-sess', 'Digest nonce="a\r\nb"'],
)
def test_what_cannot_be_answered_is_not(challenge: str) -> None:
    with pytest.raises(SipError):
        digest_answer([challenge] * 9, "u", Secret(b"p"), "REGISTER", "sip:x", "c")


@pytest.mark.parametrize(
    ("challenge", "stale"),
    [
        (server().challenge(DigestAlgorithm.MD5, 10.0, stale=True), True),
        ('Digest realm="x", nonce="n", stale="TRUE"', True),
        (server().challenge(DigestAlgorithm.MD5, 10.0), False),
        ('Digest realm="stale=true", nonce="n", stale=false', False),
        ("Basic stale=true", False),
    ],
    ids=["ours", "in quotes", "ours without", "another field", "no digest"],
)
def test_a_server_says_that_a_nonce_was_too_old(challenge: str, *, stale: bool) -> None:
    assert says_stale(challenge) is stale
