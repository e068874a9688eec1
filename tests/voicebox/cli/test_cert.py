"""`voicebox cert`: issued at one box, checked at a contact's."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from voicebox.cli.main import main
from voicebox.contacts.device_cert import told_revoked
from voicebox.contacts.device_certs import load_register
from voicebox.contacts.store import StateDirectory


class Town:
    """Two boxes whose people are contacts."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        for name in ("ann", "bob"):
            self.good(name, "init", "--name", name)
            (folder / f"{name}.card").write_text(self.good(name, "contact", "card"))
        self.good("bob", "contact", "add", "annie", str(folder / "ann.card"))

    def run(self, box: str, *words: str) -> tuple[int, str, str]:
        code = main([*words, "--home", str(self.folder / box)])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def good(self, box: str, *words: str) -> str:
        code, out, err = self.run(box, *words)
        assert (code, err) == (0, "")
        return out

    def bad(self, box: str, *words: str) -> str:
        code, out, err = self.run(box, *words)
        assert (code, out) == (2, "")
        return err


@pytest.fixture
def town(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Town:
    return Town(tmp_path, capsys)


def test_a_contact_sees_whose_printer_it_is_until_it_is_revoked(town: Town) -> None:
    file, revoked = str(town.folder / "ann" / "certs" / "printer.pem"), str(town.folder / "revoked.pem")
    assert file in town.good("ann", "cert", "issue", "printer")
    (town.folder / "copy.pem").write_bytes(Path(file).read_bytes())
    told = town.good("bob", "cert", "check", file)
    assert told.startswith("printer of annie (unverified), good until 20")
    assert "without a list" in told
    assert town.good("ann", "cert", "check", file).startswith("printer of this box's owner (yours), good until 20")
    town.good("ann", "cert", "list", "--crl", revoked)
    assert "the list does not have it" in town.good("bob", "cert", "check", file, "--crl", revoked)
    town.good("ann", "cert", "revoke", "printer")
    assert "no certificate of that name" in town.bad("ann", "cert", "revoke", "printer")
    (entry,) = json.loads(town.good("ann", "cert", "list", "--json", "--crl", revoked))["certificates"]
    assert (entry["name"], entry["revoked"] is not None) == ("printer", True)
    assert "of annie, and was revoked" in town.bad("bob", "cert", "check", str(town.folder / "copy.pem"), "--crl", revoked)
    assert "was revoked" in town.bad("ann", "cert", "check", str(town.folder / "copy.pem"))


def test_what_nobody_known_issued_is_nobodys(town: Town) -> None:
    town.good("ann", "cert", "issue", "printer")
    file = str(town.folder / "ann" / "certs" / "printer.pem")
    town.good("bob", "contact", "block", "annie")
    assert "No contact with whom there are calls issued it" in town.bad("bob", "cert", "check", file)
    (town.folder / "junk.pem").write_text("junk")
    assert "no certificate" in town.bad("bob", "cert", "check", str(town.folder / "junk.pem"))
    assert "one label" not in town.bad("ann", "cert", "issue", "bob.privacy")
    assert "None was issued" in town.good("bob", "cert", "list")


def test_what_the_owners_box_said_counts_without_a_list(town: Town) -> None:
    for name in ("printer", "scanner"):
        town.good("ann", "cert", "issue", name)
        (town.folder / f"{name}.pem").write_bytes((town.folder / "ann" / "certs" / f"{name}.pem").read_bytes())
    town.good("ann", "cert", "revoke", "printer")
    now, store = dt.datetime.now(dt.UTC), StateDirectory(town.folder / "bob")
    (annie,) = store.load_contacts(now)
    store.save_contact(replace(annie, revoked=told_revoked(load_register(StateDirectory(town.folder / "ann")), now)))
    assert "of annie, and was revoked: their box said so" in town.bad("bob", "cert", "check", str(town.folder / "printer.pem"))
    assert "not among those that their box said were revoked" in town.good("bob", "cert", "check", str(town.folder / "scanner.pem"))


def test_browsers_are_given_an_authority_that_holds_no_key_and_is_made_once(town: Town) -> None:
    file = town.folder / "contacts.pem"
    said = town.good("bob", "cert", "ca", str(file))
    assert "names that end in .privacy or .privacy.alt and for no other" in said
    first = file.read_text()
    assert first.count("BEGIN") == 1
    assert "BEGIN CERTIFICATE" in first
    town.good("bob", "cert", "ca", str(file))
    assert file.read_text() == first
    town.good("ann", "cert", "ca", str(file))
    assert file.read_text() != first, "each box has its own"


def test_a_service_that_speaks_tls_is_offered_as_one(town: Town) -> None:
    (town.folder / "bob2.card").write_text((town.folder / "bob.card").read_text())
    town.good("ann", "contact", "add", "bob", str(town.folder / "bob2.card"))
    said = town.good("ann", "service", "add", "web", "--to", "127.0.0.1:8443", "--port", "443", "--allow", "bob", "--tls")
    assert "`voicebox cert issue web`" in said
    assert "web: port 443 over TLS, at 127.0.0.1:8443, for bob" in town.good("ann", "service", "list")
    assert "begins and ends" in town.bad("ann", "service", "add", "web-", "--to", "127.0.0.1:8444", "--tls")
