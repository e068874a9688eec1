"""The directory of a box's own relay: drawn, described once it is reached, and nothing in it the box's."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.networks import NOW, make_network
from voicebox.circuits.descriptor import RelayAddress, Role, VerifiedDescriptor, sign_descriptor
from voicebox.circuits.network import belongs, new_network
from voicebox.circuits.own_relay import GB_MONTH, MBIT_S, PORTS, OwnRelay
from voicebox.circuits.relay_state import load_relay_keys
from voicebox.circuits.voucher import vouch
from voicebox.cli.main import main
from voicebox.config.model import with_option
from voicebox.errors import UsageError


@pytest.fixture
def own(tmp_path: Path) -> OwnRelay:
    own = OwnRelay(tmp_path)
    own.prepare("0.0.0.0")
    return own


def test_port_and_name_are_drawn_and_caps_are_set(tmp_path: Path) -> None:
    drawn = set()
    for number in range(20):
        own = OwnRelay(tmp_path / str(number))
        own.home.mkdir()
        assert not own.exists()
        own.prepare("::1" if number % 2 else "127.0.0.1")
        config = own.config()
        assert config.listen.port in PORTS
        assert config.listen.address == ("::1" if number % 2 else "127.0.0.1")
        assert (config.role, config.mbit_s, config.gb_month, config.realtime) == ("guard", MBIT_S, GB_MONTH, False)
        drawn.add((config.listen.port, config.operator))
        with pytest.raises(UsageError, match="not empty"):
            own.prepare("127.0.0.1")
    assert len({port for port, _ in drawn}) > 15
    assert len({operator for _, operator in drawn}) == 20


def test_it_is_described_anew_only_where_something_changed(own: OwnRelay) -> None:
    first = own.describe("198.51.100.7", NOW)
    config = own.config()
    assert first.descriptor.addresses == (RelayAddress("198.51.100.7", config.listen.port),)
    assert (first.descriptor.role, first.descriptor.operator, first.descriptor.mbit_s) == (Role.GUARD, config.operator, MBIT_S)
    assert own.describe("198.51.100.7", NOW + dt.timedelta(days=100)) == first
    moved = own.describe("198.51.100.8", NOW + dt.timedelta(days=101))
    assert (moved.descriptor.identity, moved.descriptor.link_pin) == (first.descriptor.identity, first.descriptor.link_pin)
    assert moved.descriptor.sequence > first.descriptor.sequence
    renewed = own.describe("198.51.100.8", NOW + dt.timedelta(days=101 + 310))
    assert renewed.descriptor.valid_until > moved.descriptor.valid_until
    settings = own.store.path("relay.yaml")
    settings.write_text(with_option(settings.read_text(), "limit.mbit_s", "8"))
    assert own.describe("198.51.100.8", NOW + dt.timedelta(days=412)).descriptor.mbit_s == 8


def test_it_serves_where_the_list_has_it_or_its_vouchers_suffice(own: OwnRelay) -> None:
    town = make_network()
    network, mine = town.network, own.describe("198.51.100.7", NOW)
    assert not belongs(network, mine, NOW)
    voucher = vouch(network.network_id, mine.descriptor.vouched, NOW, NOW + dt.timedelta(days=90), town.voucher_key)
    vouched = mine.with_vouchers([voucher])
    assert belongs(network, vouched, NOW), "unlisted, for those who have its card"
    assert not belongs(network, vouched, NOW + dt.timedelta(days=91))
    listed = new_network(network.terms, [*(relay.verified for relay in network.relays), vouched])
    assert belongs(listed, mine, NOW)
    _, keys = load_relay_keys(own.store)
    other_pin = sign_descriptor(replace(mine.descriptor, link_pin=bytes(32)), keys.identity)
    assert not belongs(listed, other_pin, NOW), "the list has it with another key"
    withdrawn = vouch(network.network_id, mine.descriptor.vouched, NOW, NOW - dt.timedelta(seconds=1), town.voucher_key)
    assert not belongs(network, mine.with_vouchers([withdrawn]), NOW)


def _octets_of(verified: VerifiedDescriptor) -> bytes:
    return verified.text.encode()


def test_nothing_of_the_relay_is_the_boxs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "box"
    assert main(["init", "--name", "Annabel", "--home", str(home)]) == 0
    capsys.readouterr()
    own = OwnRelay(home)
    told = _octets_of(own.describe("198.51.100.7", NOW))
    theirs = {path.read_bytes() for path in (home / "relay").rglob("*") if path.is_file()}
    for path in (home / "identity").iterdir():
        assert path.read_bytes() not in theirs
        assert path.read_bytes()[-24:].hex().encode() not in told
    assert b"annabel" not in told.lower()
    assert not any(b"annabel" in octets.lower() for octets in theirs)
