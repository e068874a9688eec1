"""A phone's account file, and what is said about a bad one."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.config.account import MAX_ACCOUNT_OCTETS, PhoneAccount, account_path, load_account, parse_account, parse_server, serialise_account
from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

GOOD = "server: 192.168.1.10:5060\nuser: kitchen\npassword: '0123'\n"


def test_an_account_is_read() -> None:
    account = parse_account(GOOD, "f")
    assert (account.host, account.port, account.user, account.password.reveal(), account.transport) == ("192.168.1.10", 5060, "kitchen", b"0123", "udp")


def test_the_password_never_shows() -> None:
    assert "0123" not in repr(parse_account(GOOD, "f"))


words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@given(
    st.sampled_from(["127.0.0.1", "::1", "box.lan"]),
    st.integers(1, 65535),
    words,
    words,
    st.sampled_from(["udp", "tcp", "tls"]),
    st.sampled_from(["sdes", "dtls"]),
)
def test_what_is_written_is_read_back(host: str, port: int, user: str, password: str, transport: str, keying: str) -> None:
    account = PhoneAccount(host, port, user, Secret(password.encode()), transport, keying)
    assert parse_account(serialise_account(account), "f") == account


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("server: [", "f:", "YAML"),
        ("[" * 4000, "f:", "YAML"),
        ("- a\n- b\n", "f:", "`server`"),
        ("", "f:", "`server`"),
        ("server: h:1\nuser: a\n", "f:", "`password`"),
        (GOOD + "colour: blue\n", "f:4:", "no part"),
        (GOOD + "transport: pigeon\n", "f:4:", "udp, tcp or tls"),
        (GOOD + "keying: zrtp\n", "f:4:", "sdes or dtls"),
        (GOOD.replace("5060", "99999"), "f:1:", "HOST:PORT"),
        (GOOD.replace("kitchen", "[a, b]"), "f:", "one word"),
        (GOOD.replace("kitchen", "x" * 300), "f:", "one word"),
    ],
)
def test_a_bad_file_is_named_with_its_line(text: str, place: str, word: str) -> None:
    with pytest.raises(FileProblem) as caught:
        parse_account(text, "f")
    assert str(caught.value).startswith(place)
    assert word in str(caught.value)
    assert "0123" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FileProblem):
        assert isinstance(parse_account(text, "f"), PhoneAccount)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="cannot be read"):
        load_account(tmp_path / "none")
    (tmp_path / "huge").write_bytes(b"#" * (MAX_ACCOUNT_OCTETS + 1))
    with pytest.raises(FileProblem, match="too long"):
        load_account(tmp_path / "huge")
    (tmp_path / "octets").write_bytes(b"\xff\xfe")
    with pytest.raises(FileProblem, match="not text"):
        load_account(tmp_path / "octets")


@pytest.mark.parametrize("text", ["", ":", "a:b", "a:0", "a:65536", "[::1", "[]:5", "h:99999999999999999999", "h:-1", "h:\u0665"])
def test_a_bad_server_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_server(text) if text != "[::1" else parse_server("[::1]:x")


def test_servers() -> None:
    assert parse_server("box.lan") == ("box.lan", 5060)
    assert parse_server("10.0.0.1:5070") == ("10.0.0.1", 5070)
    assert parse_server("[::1]:5070") == ("::1", 5070)
    assert parse_server("[::1]") == ("::1", 5060)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "a b", "x" * 65])
def test_a_phone_cannot_be_named_out_of_its_directory(name: str) -> None:
    with pytest.raises(UsageError):
        account_path(Path("/h"), name)
