"""What a box does for phones besides calls: an account that linphone fetches, speaks TLS and SRTP with, and loses; a message that a contact leaves, and an echo, through circuits."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.support.phones import LinphoneDaemon, PhoneSetup, free_port_block, make_phone
from tests.support.tone import seconds_of_tone, write_tone
from voicebox.b2bua.announcement import recording
from voicebox.b2bua.voicemail import G711
from voicebox.cli.main import main
from voicebox.control import ask
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.interop

USER = "tablet"
TONE_HZ, OWN_HZ, BEEP_HZ = 440, 700, 1_000
SAID_S = 2.0
PLAN = """version: 1
emergency: { numbers: ["112"], do: refuse }
extensions: { "21": { phones: [desk], voicemail: true } }
outgoing:
  - { dial: "*97", do: voicemail-box }
  - { dial: "<contact>", do: { call: "{contact}" } }
incoming:
  - { from: contacts, do: { ring: "21", timeout: 1s } }
"""


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


def test_a_phone_hears_itself_after_the_whole_way_to_a_contacts_box_and_back(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    """No phone is registered at the other box."""
    network = embedded_network
    rung = told(network.boxes[CALLEE])["sip"].get("calls_in", 0)
    with make_phone("pjsua2", CALLER, TONE_HZ, "pcma", tmp_path, network.login(CALLER)) as phone:
        phone.wait_for("registered")
        phone.dial(f"sip:*44@{network.plan.box_address(CALLER)}")
        phone.wait_for("connected", 20)
        time.sleep(SAID_S + 1)
        phone.hang_up()
        phone.wait_for("ended")
    heard = phone.heard()
    assert heard is not None
    assert seconds_of_tone(heard, TONE_HZ) >= SAID_S - 1
    here, there = (told(network.boxes[name]) for name in (CALLER, CALLEE))
    assert (here["sip"]["calls_far_echo"], there["probes"]["echoes_answered"]) == (1, 1)
    assert there["sip"].get("calls_in", 0) == rung
    assert (here["engine"]["bad_command"], there["engine"]["bad_command"]) == (0, 0)


@pytest.mark.long  # two restarts of a box
def test_a_trunk_of_the_settings_is_registered_and_its_owner_told(embedded_network: EmbeddedNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    network = embedded_network
    box = network.boxes[CALLER]
    settings, password = box.home / "box.yaml", box.home / "trunk.password"
    before = settings.read_text()
    with socket.create_server(("127.0.0.1", 0)) as provider:
        provider.settimeout(30)
        after = before.replace("  server: none", f'  server: "127.0.0.1:{provider.getsockname()[1]}"').replace("  transport: tls", "  transport: tcp")
        settings.write_text(after.replace("  user: none", "  user: owner").replace("  register: no", "  register: yes"))
        password.write_text("secret\n")
        password.chmod(0o600)
        network.stop_node(box)
        network.start_node(box)
        there, _ = provider.accept()
        with there:
            there.settimeout(30)
            assert there.recv(2_048).startswith(b"REGISTER sip:127.0.0.1 SIP/2.0\r\n")
            assert told(box)["trunk"] == "connected"
            main(["status", "--home", str(box.home)])
            assert "NOTHING protects calls over it" in capsys.readouterr().out
    settings.write_text(before)
    network.stop_node(box)
    network.start_node(box)
    network.wait_ready()
    assert told(box)["trunk"] is None


@pytest.fixture
def home(embedded_network: EmbeddedNetwork) -> Iterator[Path]:
    """The callee's box, which takes messages meanwhile."""
    folder = embedded_network.boxes[CALLEE].home
    plan = (folder / "dialplan.yaml").read_bytes()
    (folder / "dialplan.yaml").write_text(PLAN)
    assert main(["reload", "--home", str(folder)]) == 0
    yield folder
    assert main(["voicemail", "--clear", "--home", str(folder)]) == 0
    (folder / "dialplan.yaml").write_bytes(plan)
    assert main(["reload", "--home", str(folder)]) == 0


@pytest.mark.long  # twenty seconds of real time; what is in it is tested by itself in virtual time
def test_a_message_is_left_and_heard(embedded_network: EmbeddedNetwork, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    greeting_s = recording("greeting", G711).seconds
    with make_phone("pjsua2", CALLER, TONE_HZ, "pcma", tmp_path, embedded_network.login(CALLER)) as caller:
        caller.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", 20)
        time.sleep(greeting_s + SAID_S + 1)
        caller.hang_up()
        caller.wait_for("ended")
    heard = caller.heard()
    assert heard is not None
    assert seconds_of_tone(heard, BEEP_HZ) >= 0.2, "the tone behind the greeting, through the circuits"
    wait_until(lambda: told(embedded_network.boxes[CALLEE])["messages"] == {"new": 1, "heard": 0}, "the message")
    capsys.readouterr()
    assert main(["voicemail", "--home", str(home)]) == 0
    assert re.fullmatch(rf"\S+  {CALLER}  \d+ s  new  for 21\n", capsys.readouterr().out)
    with make_phone("pjsua2", CALLEE, OWN_HZ, "pcma", tmp_path, embedded_network.login(CALLEE)) as phone:
        phone.wait_for("registered")
        phone.dial(f"sip:*97@{embedded_network.plan.box_address(CALLEE)}")
        phone.wait_for("connected")
        phone.wait_for("ended", SAID_S + 15)
    played = phone.heard()
    assert played is not None
    assert seconds_of_tone(played, TONE_HZ) >= SAID_S - 1
    assert told(embedded_network.boxes[CALLEE])["messages"] == {"new": 0, "heard": 1}
    assert told(embedded_network.boxes[CALLEE])["sip"].get("bugs", 0) == 0
