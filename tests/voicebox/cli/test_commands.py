"""The command line as a user types it: set-up of boxes, relays and networks, and every refusal with its exit code."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from voicebox.cli.main import COMMANDS, main


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

    def box(self, name: str) -> Path:
        home = self.folder / name
        self.good("init", "--name", name, home=home)
        return home

    def relays(self, count: int = 3) -> list[Path]:
        homes = [self.folder / f"relay-{index}" for index in range(count)]
        for index, home in enumerate(homes):
            role = "guard" if index < count - 1 else "junction"
            self.good("relay", "init", "--listen", f"127.0.0.1:{4100 + index}", "--role", role, "--operator", f"op {index}", home=home)
        return homes

    def network(self, homes: list[Path]) -> Path:
        signed = self.folder / "net.signed"
        self.good("network", "sign", "--out", str(signed), "--epoch", "60", *(str(home / "descriptor") for home in homes))
        return signed


def test_box_is_made_with_private_files(cli: Cli) -> None:
    home = cli.box("ann")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {path.name for path in home.iterdir()} == {"box.yaml", "dialplan.yaml", "identity"}
    assert "not empty" in cli.bad("init", home=home)


@pytest.mark.parametrize("arguments", [["--sip", "nowhere"], ["--profile", "huge"], ["--link-address", "x"], ["--name", "a\nb"]])
def test_wrong_arguments_of_init_leave_nothing(cli: Cli, arguments: list[str]) -> None:
    home = cli.folder / "box"
    cli.bad("init", *arguments, home=home)
    assert not home.exists()


def test_phone_has_a_long_password_and_a_code_to_scan(cli: Cli) -> None:
    home = cli.box("ann")
    out = cli.good("phone", "add", "desk", home=home)
    password = re.search(r"password +(\S+)", out)
    assert password is not None
    assert len(password[1]) == 20
    assert "server    127.0.0.1:5060" in out
    assert "█" in out or "▄" in out or "\x1b" in out
    made = json.loads(cli.good("phone", "add", "other", "--json", home=home))
    assert set(made) == {"server", "user", "password", "transport"}
    assert made["password"] != password[1]
    assert stat.S_IMODE((home / "phones" / "desk.yaml").stat().st_mode) == 0o600
    assert "a phone of that name" in cli.bad("phone", "add", "desk", home=home)
    assert "letters" in cli.bad("phone", "add", "../x", home=home)


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
    assert "robert now" in cli.good("contact", "rename", "bob", "robert", home=ann)
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


def test_damaged_card_is_refused_with_its_line(cli: Cli) -> None:
    ann, bob = cli.box("ann"), cli.box("bob")
    text = cli.good("contact", "card", home=bob)
    lines = text.split("\n")
    lines[3] = ("A" if lines[3][0] != "A" else "B") + lines[3][1:]
    card = cli.folder / "bob.card"
    card.write_text("\n".join(lines))
    assert f"{card}:4: this line of the card was changed" in cli.bad("contact", "add", "bob", str(card), home=ann)
    assert cli.good("contact", "list", home=ann) == ""


def test_network_is_signed_used_and_renewed(cli: Cli) -> None:
    homes = cli.relays()
    signed = cli.network(homes)
    key = signed.with_name("net.signed.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    first = signed.read_text()
    ann = cli.box("ann")
    assert "3 relays and epochs of 60 s" in cli.good("network", "use", str(signed), home=ann)
    cli.good("network", "sign", "--out", str(signed), str(homes[0] / "descriptor"), str(homes[2] / "descriptor"))
    second = signed.read_text()
    assert [line for line in second.splitlines() if line.startswith(("born", "shared", "signer"))] == [
        line for line in first.splitlines() if line.startswith(("signer", "born", "shared"))
    ]
    assert "2 relays" in cli.good("network", "use", str(signed), home=ann)
    assert "never changes" in cli.bad("network", "sign", "--out", str(signed), "--epoch", "61", str(homes[0] / "descriptor"))
    assert "no junction" in cli.bad("network", "sign", "--out", str(signed), str(homes[0] / "descriptor"))
    key.unlink()
    assert "another key" in cli.bad("network", "sign", "--out", str(signed), str(homes[0] / "descriptor"), str(homes[2] / "descriptor"))


def test_other_and_older_networks_are_not_taken(cli: Cli) -> None:
    homes = cli.relays()
    signed = cli.network(homes)
    ann = cli.box("ann")
    cli.good("network", "use", str(signed), home=ann)
    other = cli.folder / "other.signed"
    cli.good("network", "sign", "--out", str(other), "--epoch", "60", *(str(home / "descriptor") for home in homes))
    assert "another network" in cli.bad("network", "use", str(other), home=ann)
    text = signed.read_text()
    signed.write_text(text.replace("epoch 60", "epoch 61"))
    assert f"{signed}:" in cli.bad("network", "use", str(signed), home=ann)
    assert "neither a box" in cli.bad("network", "use", str(other), home=cli.folder)


@pytest.mark.parametrize("arguments", [["--epoch", "5"], ["--epoch", "100000"]])
def test_wrong_epochs_are_refused(cli: Cli, arguments: list[str]) -> None:
    homes = cli.relays()
    out = cli.folder / "net"
    assert "seconds" in cli.bad("network", "sign", "--out", str(out), *arguments, *(str(home / "descriptor") for home in homes))
    assert not out.exists()
    assert not (cli.folder / "net.key").exists()


@pytest.mark.parametrize(
    ("listen", "operator", "words"),
    [("0.0.0.0:4000", "me", "under which others reach"), ("here", "me", "ADDRESS:PORT"), ("127.0.0.1:4000", "<me>", "operator's name")],
)
def test_wrong_relays_are_refused(cli: Cli, listen: str, operator: str, words: str) -> None:
    home = cli.folder / "relay"
    assert words in cli.bad("relay", "init", "--listen", listen, "--role", "guard", "--operator", operator, home=home)
    assert not home.exists()


def test_what_cannot_run_says_why(cli: Cli) -> None:
    (relay, *_) = homes = cli.relays()
    assert "network use" in cli.bad("relay", "run", home=relay)
    signed = cli.folder / "net.signed"
    cli.good("network", "sign", "--out", str(signed), *(str(home / "descriptor") for home in homes[1:]))
    cli.good("network", "use", str(signed), home=relay)
    assert "does not hold this relay's descriptor" in cli.bad("relay", "run", home=relay)
    ann = cli.box("ann")
    assert "network use" in cli.bad("run", home=ann)
    cli.good("network", "use", str(signed), home=ann)
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
