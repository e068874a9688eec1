"""What `voicebox doctor` makes of directories: made by the commands that users type, then spoilt one by one."""

from __future__ import annotations

import datetime as dt
import errno
from pathlib import Path

import pytest

from tests.support.network_commands import join_network, make_network
from voicebox.cli.main import main
from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.contact import Contact, PairState
from voicebox.contacts.identity import new_identity
from voicebox.contacts.store import StateDirectory
from voicebox.doctor.files import is_relay, look_at_files, relay_addresses, settings_of
from voicebox.doctor.findings import Finding, Grade
from voicebox.sensitive import Secret

NOW = dt.datetime.now(dt.UTC)


def voicebox(*arguments: str, home: Path) -> None:
    assert main([*arguments, "--home", str(home)]) == 0


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Return a folder with a network of three guards and two junctions; the last relay is not in it."""
    descriptors = []
    for number, role in enumerate(("guard", "guard", "guard", "junction", "junction", "guard")):
        home = tmp_path / f"relay-{number}"
        voicebox("relay", "init", "--listen", f"127.0.0.1:{4200 + number}", "--role", role, "--operator", f"operator {number}", home=home)
        descriptors.append(home / "descriptor")
    make_network(tmp_path / "network", descriptors[:-1])
    for number in range(6):
        join_network(tmp_path / f"relay-{number}", tmp_path / "network")
    return tmp_path


def box(network: Path, *options: str) -> Path:
    home = network / "box"
    voicebox("init", *options, home=home)
    join_network(home, network / "network")
    return home


def finding(home: Path, what: str, now: dt.datetime = NOW) -> Finding:
    (found,) = (each for each in look_at_files(home, now) if each.what == what)
    return found


def test_a_new_box_lacks_contacts_and_phones_only(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = box(network)
    grades = {each.what: each.grade for each in look_at_files(home, NOW)}
    assert {what for what, grade in grades.items() if grade is not Grade.GOOD} == {"contacts", "phones"}
    assert Grade.PROBLEM not in grades.values()
    voicebox("phone", "add", "desk", home=home)
    capsys.readouterr()
    assert finding(home, "phones").said == "1"


def test_contacts_whom_no_backup_knows_are_counted(network: Path) -> None:
    home = box(network)
    assert finding(home, "backup").grade is Grade.GOOD
    store = StateDirectory(home)
    identity = new_identity("bob", NOW)
    text = serialise_card(identity)
    store.save_contact(Contact("bob", parse_card(text, NOW, "card"), text, PairState(Secret(bytes(32)), 7, met=True)))
    assert (finding(home, "backup").grade, finding(home, "backup").said[:10]) == (Grade.NOTE, "1 contacts")
    (network / "passphrase").write_text("five words that nobody knows")
    voicebox("backup", str(network / "file"), "--passphrase-file", str(network / "passphrase"), home=home)
    assert finding(home, "backup").grade is Grade.GOOD


def test_what_would_stop_a_box_is_a_problem_with_its_file(network: Path) -> None:
    home = box(network, "--sip", "192.0.2.7:5060")
    assert (finding(home, "settings").grade, "sip.listen" in finding(home, "settings").said) == (Grade.PROBLEM, True)
    home.chmod(0o755)
    assert finding(home, "directory").grade is Grade.PROBLEM
    (home / "identity" / "box.key").write_text("x")
    (home / "box.yaml").write_text("profile: hoem\n")
    (home / "network.list").unlink()
    for what, file in (("identity", "box.key"), ("settings", "box.yaml:1"), ("network", "network.list")):
        assert finding(home, what).grade is Grade.PROBLEM
        assert file in finding(home, what).said


def test_a_network_that_ends_soon_or_is_too_small_is_told(network: Path) -> None:
    home = box(network)
    assert "3 guards and 2 junctions" in finding(home, "network").said
    assert finding(home, "network", NOW + dt.timedelta(days=170)).grade is Grade.NOTE
    assert finding(home, "network", NOW + dt.timedelta(days=190)).grade is Grade.PROBLEM


@pytest.mark.parametrize("profile", ["home", "dsl", "lan", "metered"])
def test_three_guards_are_enough_for_every_profile(network: Path, profile: str) -> None:
    assert finding(box(network, "--profile", profile), "network").grade is Grade.GOOD


def test_a_relay_outside_the_network_file_is_told(network: Path) -> None:
    assert finding(network / "relay-0", "descriptor").grade is Grade.GOOD
    assert "does not hold it" in finding(network / "relay-5", "descriptor").said
    assert finding(network / "relay-0", "descriptor", NOW + dt.timedelta(days=190)).said == "it or its vouchers have expired"
    assert finding(network / "relay-0", "settings").grade is Grade.GOOD


def test_a_relay_whose_newest_descriptor_is_not_in_the_network_is_told(network: Path) -> None:
    voicebox("relay", "renew", "--address", "192.0.2.4:4200", home=network / "relay-0")
    assert "holds another one" in finding(network / "relay-0", "descriptor").said
    assert main(["network", "add", str(network / "network"), str(network / "relay-0" / "descriptor")]) == 0
    voicebox("network", "update", str(network / "network"), home=network / "relay-0")
    assert finding(network / "relay-0", "descriptor").grade is Grade.GOOD


def test_no_directory_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    found = look_at_files(tmp_path / "nothing", NOW)
    assert all(each.grade is Grade.PROBLEM or each.said == "none yet" for each in found)


def test_certificates_of_devices_are_told_before_they_end_and_after_they_were_renewed(network: Path) -> None:
    home = box(network)
    assert finding(home, "certs").said == "none yet"
    voicebox("cert", "issue", "printer", home=home)
    assert finding(home, "certs").grade is Grade.GOOD
    soon = finding(home, "certs", NOW + dt.timedelta(days=340))
    assert (soon.grade, "within a month" in soon.said, "printer" in soon.said) == (Grade.NOTE, True, False)
    voicebox("cert", "issue", "printer", home=home)
    renewed = finding(home, "certs")
    assert (renewed.grade, renewed.said[:10]) == (Grade.NOTE, "1 of 1 dev")
    voicebox("cert", "revoke", "printer", home=home)
    assert finding(home, "certs").grade is Grade.GOOD


def test_a_directory_that_may_not_be_looked_into_is_told_and_no_crash(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = box(network)
    assert relay_addresses(home, NOW)
    settings = settings_of(home)
    assert settings is not None
    assert settings.suffixes == ("privacy",)

    def denied(*_arguments: object, **_more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # as root, who runs tests in places, nothing is denied

    for name in ("is_file", "is_dir", "exists", "open", "read_text", "read_bytes", "stat", "iterdir"):
        monkeypatch.setattr(Path, name, denied)
    assert not is_relay(home)
    assert relay_addresses(home, NOW) == []
    assert settings_of(home) is None
    found = {each.what: each for each in look_at_files(home, NOW)}
    assert {each.grade for each in found.values()} == {Grade.PROBLEM}
    assert "Permission denied" in found["contacts"].said
