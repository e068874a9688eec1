"""Files of a tunnel: what is written is read again and by nobody else's hand, a device's key is kept nowhere, and the tunnel leads to the box alone."""

from __future__ import annotations

import base64

import pytest

from voicebox.errors import FileProblem, UsageError
from voicebox.intercept.wireguard import MAX_NUMBER, Tunnel, new_tunnel, parse_tunnel

KEYS = [bytes([number]) * 32 for number in range(4)]


def tunnel() -> Tunnel:
    return new_tunnel(KEYS[0], 51_820).with_device("phone", KEYS[1], KEYS[2]).with_device("tablet", KEYS[2], KEYS[3])


def test_what_is_written_is_read_again() -> None:
    assert parse_tunnel(tunnel().serialise(), "f") == tunnel()
    for damaged in ("", tunnel().serialise()[:-1], tunnel().serialise() + "PostUp = touch x\n", tunnel().serialise().replace("/24", "/8")):
        with pytest.raises(FileProblem):
            parse_tunnel(damaged, "f")


def test_a_devices_key_is_in_its_own_file_alone_which_leads_to_the_box_and_virtual_addresses() -> None:
    key = base64.b64encode(KEYS[1]).decode()
    told = tunnel().device_file("phone", KEYS[1], "home.example.org:51820", ("198.18.0.0/15",))
    assert key in told
    assert key not in tunnel().serialise()
    assert "AllowedIPs = 10.198.18.1/32, 198.18.0.0/15\n" in told
    assert "0.0.0.0" not in told
    assert "DNS" not in told


def test_numbers_are_given_again_and_end_and_names_are_names() -> None:
    freed = tunnel().without_device("phone").with_device("other", KEYS[1], KEYS[1])
    assert [(each.name, each.number) for each in freed.devices] == [("tablet", 3), ("other", 2)]
    full = new_tunnel(KEYS[0], 1)
    for number in range(2, MAX_NUMBER + 1):
        full = full.with_device(f"d{number}", KEYS[1], KEYS[2])
    with pytest.raises(UsageError, match="already"):
        full.with_device("more", KEYS[1], KEYS[2])
    with pytest.raises(UsageError, match="already"):
        tunnel().with_device("phone", KEYS[1], KEYS[2])
    with pytest.raises(UsageError, match="no device"):
        tunnel().without_device("none")
    for name in ("", "a b", "x\n[Peer]", "-a"):
        with pytest.raises(UsageError):
            tunnel().with_device(name, KEYS[1], KEYS[2])
