"""A box's daemon in this process, with guards that do not answer: what it makes of news of the network, and of files that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.network_commands import join_network, make_network, vouch
from voicebox import relaying
from voicebox.circuits.own_relay import OwnRelay
from voicebox.cli.main import main
from voicebox.cli.network_file import read_network
from voicebox.config.model import RelaySwitch, with_option
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import MessageFiles
from voicebox.daemon import BoxDaemon
from voicebox.dialplan.model import EVERYBODYS
from voicebox.errors import HostError

pytestmark = pytest.mark.system

HERE = "127.0.0.1"
WAIT_S = 30.0


def voicebox(*arguments: str, home: Path) -> None:
    assert main([*arguments, "--home", str(home)]) == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the directory of a box in a network of three guards and two junctions, whose file is beside it."""
    descriptors = []
    for number, role in enumerate(("guard", "guard", "guard", "junction", "junction")):
        relay = tmp_path / f"relay-{number}"
        voicebox("relay", "init", "--listen", f"{HERE}:{4200 + number}", "--role", role, "--operator", f"operator {number}", home=relay)
        descriptors.append(relay / "descriptor")
    make_network(tmp_path / "network", descriptors)
    box = tmp_path / "box"
    voicebox("init", home=box)
    join_network(box, tmp_path / "network")
    settings = box / "box.yaml"
    settings.write_text(with_option(settings.read_text(), "realtime", "no"))
    return box


@contextlib.asynccontextmanager
async def running(home: Path) -> AsyncIterator[BoxDaemon]:
    daemon = BoxDaemon(home)
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()


def hear_of_own_relay(daemon: BoxDaemon, home: Path) -> None:
    """Let the network have the box's own relay, and a guard tell the box."""
    copy, file = home.parent / "copy", home.parent / "network"
    copy.write_bytes((home / "relay" / "descriptor").read_bytes())
    vouch(file, [copy])
    assert daemon._gossip.take([relay.verified for relay in read_network(file).relays], time.time())
    daemon._gossip.on_changed()


def know_bob(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voicebox("init", home=home.parent / "bob")
    capsys.readouterr()
    voicebox("contact", "card", home=home.parent / "bob")
    (home.parent / "bob.card").write_text(capsys.readouterr().out)
    voicebox("contact", "add", "bob", str(home.parent / "bob.card"), home=home)


async def staged(daemon: BoxDaemon, stage: str) -> None:
    """Wait until the relay beside the box is so far."""
    async with asyncio.timeout(WAIT_S):
        while daemon.status()["relay"]["stage"] != stage:  # noqa: ASYNC110  # told by a process
            await asyncio.sleep(0.02)


async def test_news_of_the_network_take_nothing_from_what_a_box_knows_beside_it(home: Path) -> None:
    OwnRelay(home).describe(HERE, dt.datetime.now(dt.UTC))
    async with running(home) as daemon:
        assert daemon.answers["path"]({})["path"]["own_relay"] == 1
        hear_of_own_relay(daemon, home)
        assert daemon.answers["path"]({})["path"]["own_relay"] == 1, "it still draws no guard that has its own address"


async def test_a_relay_beside_a_box_runs_once_relays_told_that_the_list_has_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reached(*_asked: object) -> str:
        return HERE

    monkeypatch.setattr(relaying, "look", reached)
    monkeypatch.setattr(relaying, "FIRST_S", {RelaySwitch.ON: (0.0, 0.0)})
    monkeypatch.setattr(relaying, "AGAIN_S", {RelaySwitch.ON: (0.02, 0.05)})
    voicebox("relay", "offer", home=home)
    async with running(home) as daemon:
        await staged(daemon, "unlisted")
        hear_of_own_relay(daemon, home)
        await staged(daemon, "running")


async def test_a_contact_whose_file_is_gone_is_offered_nothing_any_more(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    know_bob(home, capsys)
    voicebox("service", "add", "web", "--to", f"{HERE}:8080", "--allow", "bob", home=home)
    daemon = BoxDaemon(home)
    (home / "contacts" / "bob.yaml").unlink()
    with (home / "streams").open("a") as streams:
        streams.write(f"service nas {HERE}:445 445 -\n")
    daemon.reload()
    daemon.answers["offering"]({"what": "add", "line": f"service mail {HERE}:25 25 -"})
    assert (home / "streams").read_text() == f"service web {HERE}:8080 8080 -\nservice nas {HERE}:445 445 -\nservice mail {HERE}:25 25 -\n"
    await daemon.stop()


async def test_a_disk_that_takes_no_names_keeps_nothing_running(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise HostError("The disk is full.")

    daemon = BoxDaemon(home)
    await daemon.start()
    monkeypatch.setattr(daemon._names, "_keep", full)
    with pytest.raises(HostError, match="full"):
        await daemon.stop()
    assert daemon._server is None, "phones are not told that their calls end"


async def test_a_contact_whose_file_is_gone_has_no_message_where_some_are_taken_from_now_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    know_bob(home, capsys)
    MessageFiles(StateDirectory(home), dt.date.today).keep(EVERYBODYS, "bob", b"\xd5" * 16_000)
    daemon = BoxDaemon(home)
    (home / "contacts" / "bob.yaml").unlink()
    plan = home / "dialplan.yaml"
    plan.write_text(plan.read_text() + "settings: { voicemail: true }\n")
    daemon.reload()
    assert daemon.answers["voicemail"]({}) == {"kept": True, "messages": []}
    await daemon.stop()


async def test_an_invitation_is_there_when_a_box_starts_anew_and_sealed_where_the_directory_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"secret": "11" * 32, "password": "kettle rocket violin", "for_s": "3600", "petname": "robert", "sure": True}
    async with running(home) as daemon:
        daemon.answers["invite"](asked)
        assert daemon.status()["invitations"] == 1
    assert b"kettle rocket violin" in (home / "invitations").read_bytes()
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    monkeypatch.setenv("VOICEBOX_PASSPHRASE_FILE", str(passphrase))
    voicebox("seal", "--passphrase-file", str(passphrase), home=home)
    assert b"kettle" not in (home / "invitations").read_bytes()
    async with running(home) as daemon:
        assert daemon.status()["invitations"] == 1
        (told,) = daemon.answers["invited"]({})["invitations"]
        assert (told["state"], told["petname"]) == ("waiting", "robert")
