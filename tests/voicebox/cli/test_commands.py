"""The command line as a user types it: set-up of boxes, relays and networks, and every refusal with its exit code."""

from __future__ import annotations

import datetime as dt
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from voicebox.circuits.descriptor import Role
from voicebox.circuits.voucher import vouch
from voicebox.cli.main import COMMANDS, main
from voicebox.cli.network_file import add_relays, read_descriptor_file, read_network, voucher_key


def run(capsys: pytest.CaptureFixture[str], *arguments: str, home: Path | None = None) -> tuple[int, str, str]:
    """Return exit code, output and errors of one command."""
    code = main([*arguments, *(["--home", str(home)] if home else [])])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    return Cli(capsys, tmp_path)


class Cli:
    """Runs commands below one directory."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys, self.folder = capsys, folder

    def good(self, *arguments: str, home: Path | None = None) -> str:
        code, out, err = run(self.capsys, *arguments, home=home)
        assert (code, err) == (0, "")
        return out

    def bad(self, *arguments: str, home: Path | None = None) -> str:
        code, out, err = run(self.capsys, *arguments, home=home)
        assert code in {1, 2}
        assert out == ""
        assert err.startswith("voicebox: ")
        assert "Traceback" not in err
        return err

    def box(self, name: str, *arguments: str) -> Path:
        home = self.folder / name
        self.good("init", "--name", name, *arguments, home=home)
        return home

    def relays(self, count: int = 3) -> list[Path]:
        homes = [self.folder / f"relay-{index}" for index in range(count)]
        for index, home in enumerate(homes):
            role = "guard" if index < count - 1 else "junction"
            self.good("relay", "init", "--listen", f"127.0.0.1:{4100 + index}", "--role", role, "--operator", f"op {index}", home=home)
        return homes

    def network(self, homes: list[Path], name: str = "town", *options: str) -> tuple[Path, str]:
        """Create a network, let its first voucher admit these relays; return its file and line."""
        file = self.folder / name
        line = self.good("network", "create", str(file), "--epoch", "60", *options).split()[-1]
        if homes:
            self.good("relay", "vouch", "--network", str(file), *self.descriptors(homes))
        return file, line

    @staticmethod
    def descriptors(homes: list[Path]) -> list[str]:
        return [str(home / "descriptor") for home in homes]


def test_box_is_made_with_private_files(cli: Cli) -> None:
    home = cli.box("ann")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {path.name for path in home.iterdir()} == {"box.yaml", "dialplan.yaml", "identity", "relay"}
    assert "not empty" in cli.bad("init", home=home)


@pytest.mark.parametrize("arguments", [["--sip", "nowhere"], ["--profile", "huge"], ["--link-address", "x"], ["--name", "a\nb"]])
def test_wrong_arguments_of_init_leave_nothing(cli: Cli, arguments: list[str]) -> None:
    home = cli.folder / "box"
    cli.bad("init", *arguments, home=home)
    assert not home.exists()


def test_a_box_is_made_with_its_network_and_a_phone_or_not_at_all(cli: Cli) -> None:
    homes, home = cli.relays(4), cli.folder / "box"
    (file, line), (_, other_line) = cli.network(homes), cli.network(homes, "other")
    for arguments in (["--network", other_line, str(file), "--phone", "desk"], ["--network", line, str(file), "--phone", "../desk"]):
        code, _, err = run(cli.capsys, "init", *arguments, home=home)
        assert (code, "another network" in err or "letters" in err) == (2, True)
        assert not home.exists()
    told = cli.good("init", "--network", line, str(file), "--phone", "desk", home=home)
    assert "4 relays" in told
    assert re.search(r"password +\S{20}", told) is not None
    assert f"Next: voicebox run, each with --home {home}" in told
    assert {"network.id", "network.list", "phones"} <= {path.name for path in home.iterdir()}
    assert "Next: voicebox network join LINE FILE, voicebox phone add NAME, voicebox run" in cli.good("init", home=cli.folder / "another")


def test_phone_has_a_long_password(cli: Cli) -> None:
    home = cli.box("ann")
    out = cli.good("phone", "add", "desk", home=home)
    password = re.search(r"password +(\S+)", out)
    assert password is not None
    assert len(password[1]) == 20
    assert "server    127.0.0.1:5061" in out
    assert "transport tls" in out
    assert "`voicebox phone ca FILE`" in out
    assert "`voicebox phone qr desk`" in out
    made = json.loads(cli.good("phone", "add", "other", "--json", home=home))
    assert set(made) == {"server", "user", "password", "transport", "keying"}
    assert made["password"] != password[1]
    assert stat.S_IMODE((home / "phones" / "desk.yaml").stat().st_mode) == 0o600
    assert "a phone of that name" in cli.bad("phone", "add", "desk", home=home)
    assert "letters" in cli.bad("phone", "add", "../x", home=home)
    assert "server    127.0.0.1:5060" in cli.good("phone", "add", "plain", "--transport", "udp", home=home)
    assert "wildcard" in cli.bad("phone", "add", "desk", home=cli.box("bert", "--sip", "0.0.0.0:5060"))


def test_an_account_is_printed_as_its_application_reads_it(cli: Cli) -> None:
    home = cli.box("ann")
    password = json.loads(cli.good("phone", "add", "desk", "--json", home=home))["password"]
    for form, word in (
        ("card", "No emergency calls"),
        ("html", "<table>"),
        ("baresip", "mediaenc=srtp-mand"),
        ("microsip", "[Account1]"),
        ("linphone", "<config"),
    ):
        out = cli.good("phone", "show", "desk", "--as", form, home=home)
        assert word in out
        assert password in out
    assert cli.good("phone", "show", "desk", home=home) == cli.good("phone", "show", "desk", "--as", "card", home=home)
    assert "DTLS-SRTP" in cli.good("phone", "add", "cordless", "--transport", "udp", "--keying", "dtls", home=home)
    assert "mediaenc=dtls_srtp;" in cli.good("phone", "show", "cordless", "--as", "baresip", home=home)
    assert "--keying sdes" in cli.bad("phone", "show", "cordless", "--as", "microsip", home=home)
    assert "no phone of that name" in cli.bad("phone", "show", "other", home=home)
    assert "Nothing runs" in cli.bad("phone", "qr", "desk", home=home)


def test_a_phone_is_revoked_also_where_the_dial_plan_names_it(cli: Cli) -> None:
    home = cli.box("ann")
    cli.good("phone", "add", "desk", home=home)
    cli.good("phone", "add", "hall", home=home)
    assert "no phone of this box" in cli.good("phone", "revoke", "desk", home=home)
    assert not (home / "phones" / "desk.yaml").exists()
    assert "no phone of that name" in cli.bad("phone", "revoke", "desk", home=home)
    plan = home / "dialplan.yaml"
    plan.write_text(plan.read_text().replace("speed_dials: {}", 'speed_dials: {}\nextensions: { "20": { name: hallway, phones: [hall] } }'))
    code, out, err = run(cli.capsys, "phone", "revoke", "hall", home=home)
    assert (code, "no phone of this box" in out) == (0, True)
    assert "there is no phone `hall`" in err
    assert not (home / "phones" / "hall.yaml").exists()


def test_a_phone_is_revoked_also_where_another_ones_file_is_damaged(cli: Cli) -> None:
    home = cli.box("ann")
    cli.good("phone", "add", "desk", home=home)
    (home / "phones" / "hall.yaml").write_text("no account")
    code, out, err = run(cli.capsys, "phone", "revoke", "desk", home=home)
    assert (code, "no phone of this box" in out) == (0, True)
    assert "hall.yaml" in err
    assert not (home / "phones" / "desk.yaml").exists()


def test_the_certificate_for_phones_is_written(cli: Cli) -> None:
    home = cli.box("ann")
    file = cli.folder / "box.pem"
    assert "127.0.0.1 and for no other name" in cli.good("phone", "ca", str(file), home=home)
    first = file.read_text()
    assert first.count("BEGIN CERTIFICATE") == first.count("-----BEGIN") == 1
    cli.good("phone", "add", "desk", home=home)
    assert (home / "phones" / "box.crt").read_text() == first
    cli.good("phone", "ca", str(file), home=home)
    assert file.read_text() == first
    assert "cannot be written" in cli.bad("phone", "ca", str(cli.folder / "none" / "box.pem"), home=home)
    assert "wildcards" in cli.bad("phone", "ca", str(file), home=cli.box("bert", "--sip", "0.0.0.0:5060"))


def test_contacts_are_added_by_card(cli: Cli) -> None:
    ann, bob = cli.box("ann"), cli.box("bob")
    card = cli.folder / "bob.card"
    card.write_text(cli.good("contact", "card", home=bob))
    assert "dial bob.privacy" in cli.good("contact", "add", "Bob", str(card), home=ann)
    row = {"petname": "bob", "state": "unverified", "blocked": False, "met": False, "claims": "bob"}
    assert json.loads(cli.good("contact", "list", "--json", home=ann)) == [row]
    assert "not met yet" in cli.good("contact", "list", home=ann)
    assert "already, as bob" in cli.bad("contact", "add", "bob", str(card), home=ann)
    cli.good("contact", "remove", "bob", home=ann)
    assert cli.good("contact", "list", home=ann) == ""
    assert "no contact" in cli.bad("contact", "remove", "bob", home=ann)
    cli.good("contact", "add", "bob", str(card), home=ann)
    assert "already, as bob" in cli.bad("contact", "add", "robert", str(card), home=ann)
    assert "your own card" in cli.bad("contact", "add", "me", str(card), home=bob)
    assert "petname is" in cli.bad("contact", "add", "b b", str(card), home=ann)
    assert "cannot be read" in cli.bad("contact", "add", "x", str(cli.folder / "none"), home=ann)


def test_contacts_are_shown_renamed_blocked_and_changed(cli: Cli) -> None:
    ann = cli.box("ann")
    cards = []
    for home in (cli.box("bob"), cli.box("bobs-new-box")):
        cards.append(cli.folder / f"{home.name}.card")
        cards[-1].write_text(cli.good("contact", "card", home=home))
    cli.good("contact", "add", "bob", str(cards[0]), home=ann)
    assert "unverified" in cli.good("contact", "show", "bob", home=ann)
    cli.good("contact", "block", "bob", home=ann)
    assert "blocked" in cli.good("contact", "list", home=ann)
    assert "none, either way: blocked" in cli.good("contact", "show", "bob", home=ann)
    cli.good("contact", "unblock", "bob", home=ann)
    (ann / "missed").write_text("2026-03-10 bob\n")
    cli.good("service", "add", "web", "--to", "127.0.0.1:8080", "--allow", "bob", home=ann)
    cli.good("forward", "add", "127.0.0.1:8022", "bob.privacy:22", home=ann)
    assert "robert now" in cli.good("contact", "rename", "bob", "robert", home=ann)
    assert (ann / "missed").read_text() == "2026-03-10 robert\n"
    assert (ann / "streams").read_text() == "service web 127.0.0.1:8080 8080 robert\nforward 127.0.0.1:8022 robert 22\n"
    assert "no contact" in cli.bad("contact", "show", "bob", home=ann)
    former = json.loads(cli.good("contact", "show", "robert", "--json", home=ann))
    assert "another card" in cli.good("contact", "add", "robert", str(cards[1]), home=ann)
    changed = json.loads(cli.good("contact", "show", "robert", "--json", home=ann))
    assert changed == former | {"state": "changed", "new_id": changed["new_id"]}
    assert changed["new_id"] not in {"", former["id"]}
    assert "new key" in cli.good("contact", "show", "robert", home=ann)
    assert "forgotten" in cli.good("contact", "accept", "robert", "--former", home=ann)
    assert json.loads(cli.good("contact", "show", "robert", "--json", home=ann)) == former
    cli.good("contact", "add", "robert", str(cards[1]), home=ann)
    assert "not verified" in cli.good("contact", "accept", "robert", home=ann)
    assert json.loads(cli.good("contact", "show", "robert", "--json", home=ann))["id"] == changed["new_id"]
    assert "nothing to decide" in cli.bad("contact", "accept", "robert", home=ann)


def test_fast_is_told_what_it_reveals_and_asked_and_shown(cli: Cli) -> None:
    ann = cli.box("ann")
    (cli.folder / "bob.card").write_text(cli.good("contact", "card", home=cli.box("bob")))
    cli.good("contact", "add", "bob", str(cli.folder / "bob.card"), home=ann)
    service = ("service", "add", "bulk", "--to", "127.0.0.1:9000", "--allow", "bob", "--fast")
    forward = ("forward", "add", "127.0.0.1:8022", "bob.privacy:22", "--fast")
    for command in (service, forward):
        assert "Nobody is here to be asked" in cli.bad(*command, home=ann)
        assert "Leave out" in cli.bad(*command, "--udp", "--yes", home=ann)
        told = cli.good(*command, "--yes", home=ann)
        assert all(word in told for word in ("SEEN", "when, how much", "both belong together", "100 MB take about 82 minutes"))
    assert (ann / "streams").read_text() == "service bulk 127.0.0.1:9000 9000 bob fast\nforward 127.0.0.1:8022 bob 22 fast\n"
    assert "FAST" in cli.good("service", "list", home=ann)
    assert "FAST" in cli.good("forward", "list", home=ann)


def test_damaged_card_is_refused_with_its_line(cli: Cli) -> None:
    ann, bob = cli.box("ann"), cli.box("bob")
    text = cli.good("contact", "card", home=bob)
    lines = text.split("\n")
    lines[3] = ("A" if lines[3][0] != "A" else "B") + lines[3][1:]
    card = cli.folder / "bob.card"
    card.write_text("\n".join(lines))
    assert f"{card}:4: this line of the card was changed" in cli.bad("contact", "add", "bob", str(card), home=ann)
    assert cli.good("contact", "list", home=ann) == ""


def test_network_is_created_joined_and_updated(cli: Cli) -> None:
    homes = cli.relays(4)
    file, line = cli.network(homes[1:])
    assert stat.S_IMODE((cli.folder / "town.key").stat().st_mode) == 0o600
    ann = cli.box("ann")
    assert "3 relays and epochs of 60 s" in cli.good("network", "join", line, str(file), home=ann)
    assert "3 relays (1 new)" not in cli.good("network", "add", str(file), *cli.descriptors(homes[2:]))
    assert "4 relays (1 new)" in cli.good("relay", "vouch", "--network", str(file), *cli.descriptors(homes[:1]))
    updated = cli.good("network", "update", str(file), home=ann)
    assert "Relays: 1 new." in updated
    assert "4 relays" in updated
    assert "Relays: nothing new." in cli.good("network", "update", str(file), home=ann)
    assert "is there already" in cli.bad("network", "create", str(file))


def test_only_the_network_of_the_line_is_joined_and_no_other_afterwards(cli: Cli) -> None:
    homes = cli.relays()
    file, line = cli.network(homes)
    other, other_line = cli.network(homes, "other")
    ann = cli.box("ann")
    assert "another network" in cli.bad("network", "join", line, str(other), home=ann)
    assert "no network line" in cli.bad("network", "join", line[:-1] + ("a" if line[-1] != "a" else "b"), str(file), home=ann)
    assert not (ann / "network.id").exists()
    cli.good("network", "join", line, str(file), home=ann)
    assert "another network" in cli.bad("network", "join", other_line, str(other), home=ann)
    assert "another network" in cli.bad("network", "update", str(other), home=ann)
    file.write_text(file.read_text().replace("epoch 60", "epoch 61"))
    assert f"{file}:" in cli.bad("network", "update", str(file), home=ann)
    assert "neither a box" in cli.bad("network", "join", line, str(file), home=cli.folder)


def test_two_of_three_vouchers_admit_a_relay(cli: Cli) -> None:
    keys = [cli.good("network", "key", str(cli.folder / f"key-{number}")).split()[-1] for number in range(2)]
    homes = cli.relays()
    others = [word for key in keys for word in ("--voucher-key", key)]
    file, line = cli.network([], "town", *others)
    assert "threshold 2" in file.read_text()
    said = cli.good("relay", "vouch", "--network", str(file), *cli.descriptors(homes))
    assert said.count("2 vouchers are needed, and it has 1") == 3
    ann = cli.box("ann")
    assert "no guard and no junction" in cli.bad("network", "join", line, str(file), home=ann)
    assert "not admitted" in cli.bad("network", "add", str(file), *cli.descriptors(homes))
    said = cli.good("relay", "vouch", "--network", str(file), "--key", str(cli.folder / "key-0"), *cli.descriptors(homes))
    assert "3 relays (3 new)" in said
    assert "3 relays" in cli.good("network", "join", line, str(file), home=ann)
    cli.good("network", "key", str(cli.folder / "stranger"))
    assert "none of this network's" in cli.bad("relay", "vouch", "--network", str(file), "--key", str(cli.folder / "stranger"), *cli.descriptors(homes))


def test_vouching_anew_goes_on_from_the_voucher_that_the_network_file_has(cli: Cli) -> None:
    homes, now = cli.relays(), dt.datetime.now(dt.UTC).replace(microsecond=0)
    file, _ = cli.network([])
    network, relay, first = read_network(file), read_descriptor_file(homes[2] / "descriptor", now), now - dt.timedelta(days=40)
    former = vouch(network.network_id, relay.descriptor.vouched, first, now + dt.timedelta(days=9), voucher_key(cli.folder / "town.key"))
    add_relays(file, network, [relay.with_vouchers([former])], now)
    cli.good("relay", "vouch", "--network", str(file), *cli.descriptors(homes))
    assert {relay.since == first for relay in read_network(file).relays if relay.verified.vouchers[0].made >= now} == {True, False}
    assert [relay.since for relay in read_network(file).relays if relay.descriptor.role is Role.JUNCTION] == [first]


def test_values_are_signed_by_a_holder_for_a_relay_that_tells_them_in_time(cli: Cli) -> None:
    own, other = cli.folder / "own", cli.folder / "other"
    for key in (own, other):
        assert f"{key}.pub" in cli.good("network", "key", "--value", str(key))
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "never overwritten" in cli.bad("network", "key", "--value", str(own))
    homes = cli.relays()
    file, line = cli.network(homes, "town", "--value-key", f"{own}.pub", "--value-key", f"{other}.pub")
    assert "values 2\n" in file.read_text()
    assert not (cli.folder / "town.value").exists()
    for home in (homes[0], cli.box("ann")):
        cli.good("network", "join", line, str(file), home=home)
    assert "from the next one on. All 2 value keys" in cli.good("network", "value", str(own), "--periods", "3", home=homes[0])
    cli.good("network", "value", str(other), "--periods", "2", home=homes[0])
    coming = (homes[0] / "identity" / "values.coming").read_text()
    assert re.findall(r"(?m)^period (\d+)$", coming) == ["1", "1", "2", "2", "3"]
    assert "no relay's directory" in cli.bad("network", "value", str(own), home=cli.folder / "ann")
    assert "1 to 400 periods" in cli.bad("network", "value", str(own), "--periods", "401", home=homes[0])
    assert "no value key" in cli.bad("network", "value", f"{own}.pub", home=homes[0])
    cli.good("network", "key", "--value", str(cli.folder / "stranger"))
    assert "none of the network's" in cli.bad("network", "value", str(cli.folder / "stranger"), home=homes[0])
    (cli.folder / "own.pub").write_text("value x\n")
    assert "own.pub:1: " in cli.bad("network", "create", str(cli.folder / "x"), "--value-key", f"{own}.pub")


def test_a_relay_is_no_more_of_the_network_where_its_voucher_withdraws(cli: Cli) -> None:
    homes = cli.relays(4)
    file, line = cli.network(homes)
    ann = cli.box("ann")
    cli.good("network", "join", line, str(file), home=ann)
    assert "holds 3 relays" in cli.good("relay", "vouch", "--withdraw", "--network", str(file), *cli.descriptors(homes[:1]))
    said = cli.good("network", "update", str(file), home=ann)
    assert "Relays: 1 changed." in said
    assert "has 3 relays" in said


def test_open_network_says_what_it_means(cli: Cli) -> None:
    homes = cli.relays()
    file = cli.folder / "open"
    said = cli.good("network", "create", str(file), "--threshold", "0", "--any-operator")
    assert "anybody can put in as many relays as they like" in said
    assert not (cli.folder / "open.key").exists()
    assert "no relay needs vouchers" in cli.bad("relay", "vouch", "--network", str(file), *cli.descriptors(homes))
    cli.good("network", "add", str(file), *cli.descriptors(homes))
    joined = cli.good("network", "join", said.split()[-1], str(file), home=cli.box("ann"))
    assert "nobody vouches for its relays" in joined
    assert "One operator may run two relays" in joined
    assert "no voucher keys" in cli.bad("network", "create", str(cli.folder / "x"), "--threshold", "0", "--voucher-key", "00" * 32)


def test_renewed_relay_keeps_its_vouchers_and_nobody_goes_back(cli: Cli) -> None:
    homes = cli.relays()
    file, line = cli.network(homes)
    ann = cli.box("ann")
    cli.good("network", "join", line, str(file), home=ann)
    former, old_file = (homes[0] / "descriptor").read_text(), file.read_text()
    assert "with its 1 vouchers" in cli.good("relay", "renew", "--address", "192.0.2.5:4100", "--address", "[2001:db8::5]:4100", home=homes[0])
    assert "1 changed" in cli.good("network", "add", str(file), *cli.descriptors(homes[:1]))
    assert "Relays: 1 changed." in cli.good("network", "update", str(file), home=ann)
    (cli.folder / "former").write_text(former)
    assert "a newer descriptor" in cli.bad("network", "add", str(file), str(cli.folder / "former"))
    (cli.folder / "old").write_text(old_file)
    assert "older descriptor" in cli.good("network", "update", str(cli.folder / "old"), home=ann)
    assert "2001:db8::5" in (ann / "network.list").read_text()
    assert "without vouchers" in cli.good("relay", "renew", "--bandwidth", "50", home=homes[0])
    assert "not admitted" in cli.bad("network", "add", str(file), *cli.descriptors(homes[:1]))


@pytest.mark.parametrize("arguments", [["--epoch", "5"], ["--epoch", "100000"], ["--threshold", "2"], ["--threshold=-1"], ["--voucher-key", "abc"]])
def test_networks_that_cannot_be_are_refused(cli: Cli, arguments: list[str]) -> None:
    cli.bad("network", "create", str(cli.folder / "net"), *arguments)
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("listen", "operator", "words"),
    [
        ("0.0.0.0:4000", "me", "under which others reach"),
        ("here", "me", "ADDRESS:PORT"),
        ("127.0.0.1:4000", "<me>", "operator's name"),
        ("127.0.0.1:0", "me", "ADDRESS:PORT"),
    ],
)
def test_wrong_relays_are_refused(cli: Cli, listen: str, operator: str, words: str) -> None:
    home = cli.folder / "relay"
    assert words in cli.bad("relay", "init", "--listen", listen, "--role", "guard", "--operator", operator, home=home)
    assert not home.exists()


def test_what_cannot_run_says_why(cli: Cli) -> None:
    (relay, *_) = homes = cli.relays()
    assert "network join" in cli.bad("relay", "run", home=relay)
    file, line = cli.network(homes[1:])
    cli.good("network", "join", line, str(file), home=relay)
    assert "does not have this relay" in cli.bad("relay", "run", home=relay)
    ann = cli.box("ann")
    assert "network join" in cli.bad("run", home=ann)
    cli.good("network", "join", line, str(file), home=ann)
    (ann / "box.yaml").write_text("profil: home\n")
    assert f"{ann}/box.yaml:1:1 profil: unknown. Did you mean `profile`?" in cli.bad("run", home=ann)
    assert "no directory" in cli.bad("run", home=cli.folder / "none")
    assert "Nothing runs" in cli.bad("status", home=ann)
    assert "Nothing runs" in cli.bad("status", home=cli.folder / "none")


def test_home_comes_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEBOX_HOME", raising=False)
    assert "--home DIR" in cli.bad("contact", "card")
    monkeypatch.setenv("VOICEBOX_HOME", str(cli.box("ann")))
    assert "BEGIN VOICEBOX CARD" in cli.good("contact", "card")


@pytest.mark.parametrize("arguments", [[], ["phone"], ["network"]])
def test_half_a_command_prints_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: voicebox" in err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert f"voicebox {' '.join(command)}" in capsys.readouterr().out


def test_relay_loads_nothing_of_sip_sound_or_terminal() -> None:
    program = "import sys, voicebox.cli.relay_run; print(*sorted(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"av", "aiortc", "rich", "segno", "numpy", "voicebox.sip", "voicebox.b2bua.server", "voicebox.daemon"}
    assert "voicebox.relay_daemon" in loaded


def test_missed_calls_are_read_by_a_plan_that_names_the_boxs_own_suffix(cli: Cli) -> None:
    home = cli.box("ann")
    settings = home / "box.yaml"
    settings.write_text(settings.read_text().replace("suffix: [privacy]", "suffix: [home]"))
    plan = home / "dialplan.yaml"
    plan.write_text(plan.read_text().replace('dial: "<contact>"', 'dial: "<contact>.home"') + "settings: { call_log: missed }\n")
    assert cli.good("missed", home=home) == "none\n"
