"""A relay as a whole: it keeps to what its operator set, and keeps count of the month on disk."""

from __future__ import annotations

import datetime as dt
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.network_commands import join_network, make_network
from voicebox.circuits.descriptor import sign_descriptor
from voicebox.circuits.relay_state import load_relay_keys, renew_descriptor
from voicebox.cli.main import main
from voicebox.contacts.store import StateDirectory
from voicebox.relay_daemon import TRAFFIC_FILE, RelayDaemon


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a guard in a network of its own, with the caps of the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {role: tmp_path / role for role in ("guard", "junction")}
    for index, (role, folder) in enumerate(homes.items()):
        assert main(["relay", "init", "--listen", f"127.0.0.1:{port + index}", "--role", role, "--operator", role, "--home", str(folder)]) == 0
    make_network(tmp_path / "network", [folder / "descriptor" for folder in homes.values()])
    join_network(homes["guard"], tmp_path / "network")
    return homes["guard"]


def cap(home: Path, gb_month: str) -> None:
    settings = home / "relay.yaml"
    settings.write_text(settings.read_text().replace("gb_month: none", f"gb_month: {gb_month}").replace("realtime: yes", "realtime: no"))


async def run_once(home: Path) -> int | None:
    """Start and stop the relay; return from which epoch on it takes no circuits."""
    relay = RelayDaemon(home)
    await relay.start()
    told = relay.status()["no_circuits_from_epoch"]
    await relay.stop()
    assert told is None or isinstance(told, int)
    return told


async def test_a_relay_at_its_months_cap_closes_from_the_next_epoch_on_also_after_a_restart(home: Path) -> None:
    month = dt.datetime.now(dt.UTC).strftime("%Y-%m")
    cap(home, "2")
    assert await run_once(home) is None
    assert re.fullmatch(rf"{month} 0\n", (home / TRAFFIC_FILE).read_text())
    (home / TRAFFIC_FILE).write_text(f"{month} 20\n")
    assert await run_once(home) == 1
    assert await run_once(home) == 1
    (home / TRAFFIC_FILE).write_text("2001-01 99999\n")
    assert await run_once(home) is None, "another month"


async def test_the_key_to_which_creates_were_sealed_before_is_removed(home: Path) -> None:
    cap(home, "none")
    (home / "identity" / "onion.key").write_text("00\n")
    await run_once(home)
    assert not (home / "identity" / "onion.key").exists()


def test_a_renewed_descriptor_is_without_the_former_key(home: Path) -> None:
    store = StateDirectory(home)
    verified, keys = load_relay_keys(store)
    older = sign_descriptor(replace(verified.descriptor, former_key=bytes(1216)), keys.identity)
    store.write("descriptor", older.text.encode())
    assert load_relay_keys(store)[0] == older
    renewed = renew_descriptor(store, (), None, dt.datetime.now(dt.UTC))
    assert load_relay_keys(store)[0] == renewed
    assert "onion" in older.text
    assert "onion" not in renewed.text


async def test_without_a_cap_nothing_closes(home: Path) -> None:
    cap(home, "none")
    (home / TRAFFIC_FILE).write_text(dt.datetime.now(dt.UTC).strftime("%Y-%m 999999\n"))
    assert await run_once(home) is None
