"""The names of a running box: which addresses lead where, what is kept, and what follows a contact's new petname."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from dnslib import DNSRecord

from voicebox.config.load import parse_options
from voicebox.config.model import BOX_OPTIONS, BoxConfig, Endpoint, box_config, example_file
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError
from voicebox.naming import names as module
from voicebox.naming.names import Doors, Names, load_names, rename_names, sip_place
from voicebox.naming.virtual import NAMES_FILE, Place


def free_place() -> Endpoint:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        return Endpoint("127.0.0.1", free.getsockname()[1])


def config(**options: str) -> BoxConfig:
    text = example_file(BOX_OPTIONS, {name.replace("__", "."): [value] for name, value in options.items()}, "a box")
    return box_config(parse_options(text, "box.yaml", BOX_OPTIONS))


class Box:
    """A box's names, and where it was said to listen."""

    def __init__(self, home: Path, settings: BoxConfig) -> None:
        self.doors: Doors = {}
        self.petnames = {"bob", "carol"}
        self.place = settings.names_listen[0] if settings.names_listen else None
        self.names = Names(StateDirectory(home), settings, lambda: frozenset(self.petnames), self.use)

    def use(self, doors: Doors) -> None:
        self.doors = doors

    def asked(self, name: str, kind: str = "A") -> list[str]:
        """Ask as its server is asked, but for the wire, which test_server.py has."""
        answer = self.names._zone.answer(bytes(DNSRecord.question(name, kind).pack()), 1_800_000_000.0)
        assert answer is not None
        return [str(record.rdata) for record in DNSRecord.parse(answer).rr]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Box]:
    def box(ports: tuple[int, ...] = (80, 8080)) -> Box:
        return Box(tmp_path, replace(config(), names_listen=(free_place(),), names_ports=ports))

    return box


async def test_a_name_that_is_asked_for_is_listened_for_and_its_address_is_kept(make: Callable[..., Box], tmp_path: Path) -> None:
    box = make()
    await box.names.start()
    assert box.doors == {}
    address = box.asked("nas.bob.privacy")[0]
    assert box.doors == {Endpoint(address, 80): ("bob", 80, "nas"), Endpoint(address, 8080): ("bob", 8080, "nas")}
    await box.names.stop()
    assert box.doors == {}
    assert load_names(StateDirectory(tmp_path)).place_of(address) == Place("bob", "nas")
    again = make()
    await again.names.start()
    assert again.asked("nas.bob.privacy") == [address]
    assert len(again.doors) == 2, "from the start on"
    await again.names.stop()


async def test_ports_that_a_contact_offers_are_learned_once_in_a_while(make: Callable[..., Box], monkeypatch: pytest.MonkeyPatch) -> None:
    box = make((80,))
    now = 1_000.0
    monkeypatch.setattr("voicebox.naming.names.time.monotonic", lambda: now)
    learned: list[tuple[str, Callable[[frozenset[int]], None]]] = []
    box.names.learn = lambda petname, then: learned.append((petname, then))
    await box.names.start()
    address = box.asked("bob.privacy")[0]
    nas = box.asked("nas.bob.privacy")[0]
    assert [petname for petname, _ in learned] == ["bob"]
    learned[0][1](frozenset({22, 80}))
    assert box.doors == {Endpoint(each, port): ("bob", port, host) for each, host in ((address, ""), (nas, "nas")) for port in (22, 80)}
    now += module.LEARN_S
    box.asked("tv.bob.privacy")
    learned[1][1](frozenset())
    assert {place.port for place in box.doors} == {80}
    box.petnames = {"robert", "carol"}
    learned[1][1](frozenset({25}))
    box.names.renamed("bob", "robert")
    assert {(place.port, to) for place, to in box.doors.items()} == {(port, ("robert", port, host)) for port in (25, 80) for host in ("", "nas", "tv")}
    await box.names.stop()


async def test_with_interception_nothing_is_listened_for_and_addresses_are_others(make: Callable[..., Box], monkeypatch: pytest.MonkeyPatch) -> None:
    box = make()
    await box.names.start()
    box.asked("bob.privacy")
    monkeypatch.setattr(module, "check_ranges", lambda _ula, own: None if own == {"vb0"} else pytest.fail("the interfaces that are the box's"))
    box.names.intercept(frozenset({"vb0"}))
    assert (box.doors, len(box.asked("bob.privacy", "AAAA"))) == ({}, 1)
    assert box.names.place_of(box.asked("bob.privacy")[0]) == Place("bob")
    box.names.intercept(None)
    assert len(box.doors) == 2

    def refuse(_ula: ipaddress.IPv6Network, _own: frozenset[str]) -> None:
        raise HostError("another VPN")

    monkeypatch.setattr(module, "check_ranges", refuse)
    with pytest.raises(HostError):
        box.names.intercept(frozenset())
    assert len(box.doors) == 2, "as before"
    await box.names.stop()


async def test_a_contacts_new_petname_takes_the_address_and_one_who_is_gone_leaves_it(make: Callable[..., Box], tmp_path: Path) -> None:
    box = make((80,))
    await box.names.start()
    address = box.asked("bob.privacy")[0]
    box.petnames = {"robert", "carol"}
    box.names.renamed("bob", "robert")
    assert (box.asked("bob.privacy"), box.asked("robert.privacy"), box.doors) == ([], [address], {Endpoint(address, 80): ("robert", 80, "")})
    await box.names.stop()
    rename_names(StateDirectory(tmp_path), "robert", "rob")
    assert load_names(StateDirectory(tmp_path)).place_of(address) == Place("rob")
    rename_names(StateDirectory(tmp_path), "rob", None)
    assert load_names(StateDirectory(tmp_path)).place_of(address) is None


def test_ranges_that_are_told_stay_and_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(tmp_path, config())
    told = box.names.ranges()
    assert load_names(StateDirectory(tmp_path)).prefix == told[1]
    monkeypatch.setattr(StateDirectory, "write", lambda *_: pytest.fail("written again"))
    assert box.names.ranges() == told


async def test_where_no_address_is_named_nothing_is_answered_or_written(tmp_path: Path) -> None:
    box = Box(tmp_path, config())
    await box.names.start()
    assert (box.names.answers, box.names.status(), box.doors) == (False, {"places": 0}, {})
    await box.names.stop()
    assert not (tmp_path / NAMES_FILE).exists()


def test_sip_of_a_box_is_where_its_settings_say() -> None:
    place = sip_place(
        replace(config(), sip_listen=(Endpoint("0.0.0.0", 5060), Endpoint("192.0.2.1", 5070), Endpoint("::1", 5070), Endpoint("192.0.2.2", 5080)))
    )
    assert place is not None
    assert (list(map(str, place.addresses)), place.port, place.tls_port) == (["192.0.2.1", "::1"], 5070, 5071)
    assert sip_place(replace(config(), sip_listen=(Endpoint("0.0.0.0", 5060),))) is None
