"""Contacts changed by the command line while the box runs: the box itself does it, on disk and in its circuits. [io]"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, told
from voicebox.contacts.store import StateDirectory
from voicebox.demo.network import EmbeddedNetwork
from voicebox.errors import HostError

pytestmark = pytest.mark.system


def names(home: Path) -> dict[str, bool]:
    """Return the contacts on disk, and whether each may be called."""
    return {contact.petname: contact.open for contact in StateDirectory(home).load_contacts(dt.datetime.now(dt.UTC))}


def test_contacts_are_changed_by_the_running_box(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    node = embedded_network.boxes[CALLEE]
    assert names(node.home) == {CALLER: True}

    def contact(*words: str) -> str:
        return embedded_network.voicebox("contact", *words, home=node.home)

    assert "blocked" in contact("block", CALLER)
    assert names(node.home) == {CALLER: False}
    assert told(node)["contacts_blocked"] == 1
    contact("unblock", CALLER)
    contact("rename", CALLER, "somebody")
    assert names(node.home) == {"somebody": True}
    with pytest.raises(HostError, match="no contact"):
        contact("block", CALLER)
    mail = tmp_path / "mail"
    mail.write_text("ü" * 14_000 + "\n" + (embedded_network.directory / f"{CALLER}.card").read_text())
    with pytest.raises(HostError, match="as somebody"):
        contact("add", "again", str(mail))
    contact("rename", "somebody", CALLER)
    assert [path.name for path in (node.home / "contacts").iterdir()] == [f"{CALLER}.yaml"]
    assert told(node)["contacts_blocked"] == 0
