"""A phone that others wrote fetches its account from a running box, speaks TLS and SRTP with it, and is revoked."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.embedded import CALLER, told, wait_until
from tests.support.phones import LinphoneDaemon, PhoneSetup, free_port_block
from tests.support.tone import write_tone
from voicebox.cli.main import main
from voicebox.control import ask
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.interop

USER = "tablet"


class Fresh(LinphoneDaemon):
    """A linphone that knows nothing but an authority and where its configuration is."""

    def __init__(self, setup: PhoneSetup, directory: Path, url: str, authority: Path) -> None:
        super().__init__(setup, directory)
        self._url, self._authority = url, authority

    def _prepare(self) -> dict[str, str]:
        environment = super()._prepare()
        file = self.directory / "linphonerc"
        text = file.read_text().replace("root_ca=\n", f"root_ca={self._authority}\n")
        file.write_text(text + f"[misc]\nconfig-uri={self._url}\n")
        return environment


def users(network: EmbeddedNetwork) -> dict[str, str]:
    return {phone["user"]: phone["transport"] for phone in told(network.boxes[CALLER])["phones"]}


def test_linphone_fetches_its_account_and_is_revoked(embedded_network: EmbeddedNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = embedded_network.boxes[CALLER].home
    place = ["--home", str(home)]
    assert main(["phone", "add", USER, *place]) == 0
    assert main(["phone", "ca", str(tmp_path / "box.pem"), *place]) == 0
    capsys.readouterr()
    assert main(["phone", "qr", USER, "--no-wait", *place]) == 0
    url = re.search(r"^http://\S+$", capsys.readouterr().out, re.MULTILINE)
    assert url is not None
    ports = free_port_block(20)
    setup = PhoneSetup(USER, None, "127.0.0.1", ports, ports + 4, write_tone(tmp_path / "tone.wav", 440, 2.0, 8000), transport="tls")
    with Fresh(setup, tmp_path / USER, url[0], tmp_path / "box.pem") as phone:
        wait_until(lambda: users(embedded_network).get(USER) == "tls", "the registration of the phone", 30.0)
        assert ask(home, "offered", user=USER) == {"state": "used"}
        assert main(["phone", "qr", USER, "--no-wait", *place]) == 0, "a further ticket is another port: the first one's is shut"
        with pytest.raises(OSError, match=r".+"):
            socket.create_connection((urlsplit(url[0]).hostname, urlsplit(url[0]).port or 0), 5)
        phone.dial(f"sip:*43@{embedded_network.plan.box_address(CALLER)}")
        phone.wait_for("connected")
        assert main(["phone", "revoke", USER, *place]) == 0
        phone.wait_for("ended")
        assert USER not in users(embedded_network)
    assert told(embedded_network.boxes[CALLER])["sip"].get("bugs", 0) == 0
