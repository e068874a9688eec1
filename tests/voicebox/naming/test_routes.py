"""Whether a machine uses the addresses of names already, by the kernel's own lists of routes."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import pytest

from voicebox.addresses import Route, parse_routes
from voicebox.errors import HostError
from voicebox.naming.routes import check_ranges

ULA = ipaddress.IPv6Network("fd12:3456:789a::/48")
HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def v4(network: str, interface: str = "wg0") -> str:
    of = ipaddress.IPv4Network(network)
    destination, mask = (int.from_bytes(each.packed, sys.byteorder) for each in (of.network_address, of.netmask))
    return f"{interface}\t{destination:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}\t0\t0\t0\n"


def v6(network: str, interface: str = "wg0") -> str:
    of = ipaddress.IPv6Network(network)
    return f"{of.network_address.packed.hex()} {of.prefixlen:02x} {'0' * 32} 00 {'0' * 32} 00000400 00000001 00000000 00000001 {interface:>8}\n"


def folder(tmp_path: Path, *routes: str) -> Path:
    (tmp_path / "route").write_text(HEAD + "".join(route for route in routes if "\t" in route) + "no route\n")
    (tmp_path / "ipv6_route").write_text("".join(route for route in routes if "\t" not in route) + "no route\n")
    return tmp_path


@pytest.mark.parametrize(
    "route",
    [
        v4("198.18.0.0/15"),
        v4("198.18.4.0/24"),
        v4("198.19.255.255/32"),
        v4("198.0.0.0/8"),
        v6("fd12:3456:789a::/48"),
        v6("fd12:3456:789a:1::/64"),
        v6("fd00::/8"),
    ],
)
def test_an_overlapping_route_is_refused_and_explained(tmp_path: Path, route: str) -> None:
    with pytest.raises(HostError, match="another VPN"):
        check_ranges(ULA, folder=folder(tmp_path, route))
    check_ranges(ULA, frozenset({"wg0"}), folder(tmp_path, route))


def test_others_are_not(tmp_path: Path) -> None:
    routes = (
        ["0.0.0.0/0", "128.0.0.0/1", "192.168.1.0/24", "198.20.0.0/16", "100.64.0.0/10"],
        ["::/0", "fc00::/7", "fd12:3456:789b::/48", "fe80::/64", "2001:db8::/32"],
    )
    check_ranges(ULA, folder=folder(tmp_path, *map(v4, routes[0]), *map(v6, routes[1])))
    check_ranges(ULA, folder=tmp_path / "without-any")


def test_the_kernels_lists_are_read() -> None:
    assert list(parse_routes(HEAD + v4("10.1.0.0/16", "eth0"), v6("fd00::/64", "eth1"))) == [
        Route("eth0", ipaddress.IPv4Network("10.1.0.0/16"), leads=True, has_gateway=False),
        Route("eth1", ipaddress.IPv6Network("fd00::/64"), leads=True, has_gateway=False),
    ]
