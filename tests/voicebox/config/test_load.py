"""Settings: defaults, every problem at once with its place, and the files that `init` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.config.load import load_box, load_phones, load_relay, load_secret, parse_options
from voicebox.config.model import (
    BOX_OPTIONS,
    RELAY_OPTIONS,
    Doh,
    Endpoint,
    Profile,
    RelaySwitch,
    box_config,
    example_file,
    parse_endpoint,
    relay_config,
    with_option,
)
from voicebox.errors import FileProblem, UsageError
from voicebox.positions import ProblemsFound

RELAY = "listen: 127.0.0.1:4001\nrole: guard\noperator: me\n"


def problems(text: str, options: tuple[object, ...] = BOX_OPTIONS) -> list[str]:
    with pytest.raises(ProblemsFound) as caught:
        parse_options(text, "box.yaml", options)  # type: ignore[arg-type]  # one of the two tables
    return str(caught.value).splitlines()


def test_empty_file_has_the_defaults() -> None:
    config = box_config(parse_options("", "box.yaml", BOX_OPTIONS))
    assert config.profile is Profile.HOME
    assert config.sip_listen == (Endpoint("127.0.0.1", 5060),)
    assert config.suffixes == ("privacy",)
    assert config.guards == frozenset()
    assert config.realtime


def test_algorithms_of_digest_stand_in_the_order_of_rfc_8760_whatever_the_file_says() -> None:
    def chosen(text: str) -> tuple[str, ...]:
        return box_config(parse_options(text, "box.yaml", BOX_OPTIONS)).sip_digest

    assert chosen("") == ("md5",)
    assert chosen("sip:\n  digest: [md5, sha-256, md5]\n") == ("sha-256", "md5")
    assert chosen("sip:\n  digest: [sha-256]\n") == ("sha-256",)
    assert "should be md5 or sha-256" in problems("sip:\n  digest: [sha-1]\n")[0]


def test_example_file_says_the_defaults() -> None:
    """The file that init writes and the table are equal, and every option is explained."""
    written = example_file(BOX_OPTIONS, {}, "title")
    assert parse_options(written, "box.yaml", BOX_OPTIONS) == parse_options("", "box.yaml", BOX_OPTIONS)
    assert all(f"# {option.help}" in written for option in BOX_OPTIONS)
    given = {"listen": ["[::1]:4001"], "role": ["junction"], "operator": ['some "one": \\x']}
    config = relay_config(parse_options(example_file(RELAY_OPTIONS, given, "title"), "relay.yaml", RELAY_OPTIONS))
    assert (config.listen, config.role, config.operator) == (Endpoint("::1", 4001), "junction", 'some "one": \\x')


def test_one_option_of_a_file_is_changed_and_nothing_else() -> None:
    written = example_file(BOX_OPTIONS, {"link_address": ["127.0.0.9"]}, "title")
    changed = with_option(written, "relay", "on")
    assert box_config(parse_options(changed, "box.yaml", BOX_OPTIONS)).relay is RelaySwitch.ON
    assert [line for line in changed.splitlines() if line not in written.splitlines()] == ["relay: on"]
    assert with_option("profile: dsl\n", "relay", "off") == "profile: dsl\n\nrelay: off\n", "a file from before there was such an option"
    relay = example_file(RELAY_OPTIONS, {"listen": ["[::1]:4001"], "role": ["guard"], "operator": ["me"]}, "title")
    limited = with_option(with_option(relay, "limit.gb_month", "7"), "operator", 'a "b" \\1')
    config = relay_config(parse_options(limited, "relay.yaml", RELAY_OPTIONS))
    assert (config.gb_month, config.operator) == (7, 'a "b" \\1')
    for strange in ("limit: {mbit_s: 4}\n", "mbit_s: 1\nlimit:\n  mbit_s: 2\n"):
        with pytest.raises(UsageError, match="by hand"):
            with_option(strange, "limit.mbit_s", "3")


def test_values_are_read() -> None:
    config = box_config(
        parse_options("profile: dsl\nsip:\n  listen: ['10.0.0.1:5060', '[::1]:5061']\nsuffix: [privacy, privacy.alt]\nrealtime: no\n", "box.yaml", BOX_OPTIONS)
    )
    assert config.profile.circuits == 1
    assert [str(endpoint) for endpoint in config.sip_listen] == ["10.0.0.1:5060", "[::1]:5061"]
    assert config.suffixes == ("privacy", "privacy.alt")
    assert not config.realtime
    assert box_config(parse_options("guards: [somebody, some one else]\n", "box.yaml", BOX_OPTIONS)).guards == {"somebody", "some one else"}


def test_a_trunk_is_none_unless_it_is_named_whole(tmp_path: Path) -> None:
    (tmp_path / "box.yaml").write_text("trunk: { server: 'sip.example.org:5061', user: owner, register: yes }\n")
    config = load_box(tmp_path).trunk
    assert config is not None
    assert (config.host, config.port, config.transport, config.user, config.authority, config.registers) == (
        "sip.example.org",
        5061,
        "tls",
        "owner",
        None,
        True,
    )
    assert "owner" not in repr(config)
    assert box_config(parse_options("", "box.yaml", BOX_OPTIONS)).trunk is None
    (tmp_path / "box.yaml").write_text("trunk: { server: '[::1]:5060' }\n")
    with pytest.raises(FileProblem, match=r"trunk\.user must be given"):
        load_box(tmp_path)
    for wrong in ("sip.example.org", "a b:5060", "::1:5060", "x:0", "x:70000", "x:0000805061"):
        assert "HOST:PORT" in problems(f"trunk: {{ server: '{wrong}' }}\n")[0], wrong


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trunk.password"
    file.write_text("secret\n")
    file.chmod(0o640)
    with pytest.raises(FileProblem, match="others can read"):
        load_secret(file, "hint")
    file.chmod(0o600)
    assert load_secret(file, "hint").reveal() == b"secret"
    file.write_text("\n")
    with pytest.raises(FileProblem, match="empty"):
        load_secret(file, "hint")


def test_all_problems_come_at_once_with_their_places() -> None:
    found = problems("profil: home\nsip:\n  listen: [127.0.0.1, '1.2.3.4:99999']\n  realms: x\nlink_address: here\nrealtime: maybe\n")
    assert found[0] == "box.yaml:1:1 profil: unknown. Did you mean `profile`?"
    assert [line.split(" ")[0] for line in found] == ["box.yaml:1:1", "box.yaml:3:12", "box.yaml:3:23", "box.yaml:4:3", "box.yaml:5:15", "box.yaml:6:11"]
    assert "Did you mean `realm`?" in found[3]
    assert "should be yes or no" in found[5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profile: home\nprofile: dsl\n", "given twice"),
        ("- a\n- b\n", "keys with values"),
        ("sip: 5060\n", "keys with values"),
        ("sip:\n  listen: 127.0.0.1:5060\n", "should be a list"),
        ("sip:\n  listen: []\n", "list of 1 to 16"),
        ("profile: [home]\n", "one value"),
        ("? [a]\n: b\n", "one word"),
        ("a: b: c\n", "box.yaml:1:5"),
        ("a: [1, 2\n", "expected"),
        ("\t", "box.yaml:1:1"),
        ("x: " + "[" * 1500, "too deep"),
        ("# " + "x" * 300_000, "longer than"),
        ("profile: &a home\nsuffix: *b\n", "undefined alias"),
    ],
)
def test_damaged_files_are_told(text: str, words: str) -> None:
    assert any(words in line for line in problems(text))


def test_missing_options_of_a_relay_are_told() -> None:
    assert any("operator: must be given" in line for line in problems("listen: 127.0.0.1:4001\nrole: guard\n", RELAY_OPTIONS))
    assert relay_config(parse_options(RELAY, "relay.yaml", RELAY_OPTIONS)).max_circuits == 4096


@pytest.mark.parametrize(
    "text",
    ["", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "::1:5060", "[1.2.3.4]:5060", "[::1:5060", "host:5060", "1.2.3.4:x", "1.2.3:5", "1.2.3.4:\u0665\u0666"],
)
def test_wrong_endpoints_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_endpoint(text)


def test_resolvers_over_https_are_given_by_address_and_what_becomes_of_them_by_a_word() -> None:
    box = box_config(parse_options("intercept:\n  doh: refuse-here\n  resolvers: [192.0.2.53, '2001:db8::/64']\n", "box.yaml", BOX_OPTIONS))
    assert (box.intercept_doh, [str(each) for each in box.intercept_resolvers]) == (Doh.REFUSE_HERE, ["192.0.2.53/32", "2001:db8::/64"])
    assert box_config(parse_options("", "box.yaml", BOX_OPTIONS)).intercept_resolvers == ()
    found = problems("intercept:\n  doh: refused\n  resolvers: [dns.google, 192.0.2.1/24]\n")
    assert [line.split(" ")[0] for line in found] == ["box.yaml:2:8", "box.yaml:3:15", "box.yaml:3:27"]


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="voicebox init"):
        load_box(tmp_path)
    with pytest.raises(FileProblem, match="voicebox relay init"):
        load_relay(tmp_path)
    (tmp_path / "box.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileProblem, match="not UTF-8"):
        load_box(tmp_path)


def test_phones_are_read_and_damaged_ones_are_told(tmp_path: Path) -> None:
    assert load_phones(tmp_path) == []
    (tmp_path / "phones").mkdir()
    (tmp_path / "phones" / "a.yaml").write_text("server: 127.0.0.1:5060\nuser: a\npassword: secret\ntransport: udp\n")
    (tmp_path / "phones" / "c.yaml").write_text("server: 127.0.0.1:5061\nuser: c\npassword: secret\ntransport: tls\n")
    assert [(phone.user, phone.password.reveal(), phone.clear) for phone in load_phones(tmp_path)] == [("a", b"secret", True), ("c", b"secret", False)]
    (tmp_path / "phones" / "c.yaml").write_text("server: 127.0.0.1:5061\nuser: c\npassword: secret\ntransport: sctp\n")
    with pytest.raises(ProblemsFound, match="should be tls, tcp or udp"):
        load_phones(tmp_path)
    (tmp_path / "phones" / "c.yaml").write_text("server: 127.0.0.1:5061\nuser: c\npassword: secret\ntransport: tls\nkeying: dtls\n")
    assert [(phone.transport, phone.dtls) for phone in load_phones(tmp_path)] == [("udp", False), ("tls", True)]
    (tmp_path / "phones" / "c.yaml").write_text("server: 127.0.0.1:5061\nuser: c\npassword: secret\nkeying: zrtp\n")
    with pytest.raises(ProblemsFound, match="should be sdes or dtls"):
        load_phones(tmp_path)
    (tmp_path / "phones" / "c.yaml").unlink()
    (tmp_path / "phones" / "b.yaml").write_text("user: b\npasword: x\n")
    with pytest.raises(ProblemsFound, match="Did you mean `password`"):
        load_phones(tmp_path)
    (tmp_path / "phones" / "b.yaml").write_text("user: b\n")
    with pytest.raises(ProblemsFound, match="is missing"):
        load_phones(tmp_path)


def test_a_second_uplink_needs_the_word_that_it_was_told_what_it_shows(tmp_path: Path) -> None:
    def loaded(text: str) -> tuple[str, ...]:
        (tmp_path / "box.yaml").write_text(text)
        return load_box(tmp_path).uplinks

    assert loaded("") == loaded("uplinks: [any]\n") == ()
    assert loaded("uplinks: [eth0]\n") == ("eth0",)
    assert loaded("uplinks: [eth0, wlan0]\nuplinks_told: yes\n") == ("eth0", "wlan0")
    for text, said in (
        ("uplinks: [eth0, wlan0]\n", "one household's"),
        ("uplinks: [eth0, eth0]\nuplinks_told: yes\n", "none twice"),
        ("uplinks: [eth0, wlan0, usb0]\nuplinks_told: yes\n", "one or two"),
        ("uplinks: [eth0]\nlink_address: 192.0.2.1\n", "where links leave from"),
        ("uplinks: [eth0]\nrelay: on\n", "relays for others"),
    ):
        with pytest.raises(FileProblem, match=said):
            loaded(text)
    for name in ("../eth0", "a b", "", "sixteen_letters_", ".."):
        assert "the name of an interface" in problems(f"uplinks: ['{name}']\n")[0]
