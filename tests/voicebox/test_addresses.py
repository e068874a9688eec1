"""Changes of this machine's addresses, told by the kernel. In the network of this run's own."""

from __future__ import annotations

import asyncio
import ipaddress
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.embedded import wait_until
from tools.lab.namespaces import Namespace, wait_carries
from voicebox.addresses import Address, AddressWatch, has_one_end, interfaces_towards, parse_gateway, parse_routes

ADDRESS = "192.0.2.77/32"


async def change(step: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", "address", step, ADDRESS, "dev", "lo")
    assert await process.wait() == 0


def in_order(address: str) -> str:
    """Write an address as the kernel does: the number that its octets are to this machine."""
    return f"{int.from_bytes(ipaddress.IPv4Address(address).packed, sys.byteorder):08X}"


ROUTES = f"""Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 {in_order("192.168.1.1")} 0003 0 0 600 00000000 0 0 0
eth0 00000000 {in_order("192.168.2.1")} 0003 0 0 100 00000000 0 0 0
eth0 {in_order("192.168.2.0")} 00000000 0001 0 0 100 {in_order("255.255.255.0")} 0 0 0
"""
NEIGHBOURS = """IP address HW type Flags HW address Mask Device
192.168.1.1 0x1 0x2 02:fc:00:00:00:05 * wlan0
192.168.2.1 0x1 0x2 02:fc:00:00:00:07 * wlan0
192.168.2.1 0x1 0x2 {} * eth0
"""


def test_the_gateway_is_the_default_one_of_the_least_metric_and_known_by_both_addresses() -> None:
    hardware = "02:fc:00:00:00:06"
    assert parse_gateway(ROUTES, NEIGHBOURS.format(hardware)) == ("192.168.2.1", bytes.fromhex("02fc00000006c0a80201"))
    assert parse_gateway(ROUTES, NEIGHBOURS.format("00:00:00:00:00:00")) == ("192.168.2.1", b""), "not known yet"
    assert parse_gateway("\n".join([*ROUTES.splitlines()[:1], *ROUTES.splitlines()[3:]]), NEIGHBOURS.format(hardware)) == ("", b"")
    assert parse_gateway("", "") == ("", b"")


@pytest.mark.system
async def test_a_change_is_told_at_once_and_nothing_else_is() -> None:
    told: list[float] = []
    watch = AddressWatch(lambda: told.append(asyncio.get_running_loop().time()))
    watch.start()
    try:
        await asyncio.sleep(0.1)
        assert told == []
        for step in ("add", "del"):
            told.clear()
            await change(step)
            await asyncio.sleep(0.3)
            assert len(told) >= 2, f"at once, and a moment later: {step}"
    finally:
        watch.stop()
    told.clear()
    for step in ("add", "del"):
        await change(step)
    await asyncio.sleep(0.1)
    assert told == []


ROUTES6 = """00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003    wlan0
20010db8000000000000000000000000 20 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     usb0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
"""
ONE_END = "ppp0 00000000 00000000 0001 0 0 700 00000000 0 0 0\n"


def test_an_interface_leads_to_relays_where_a_route_of_theirs_or_a_default_one_is() -> None:
    routes = list(parse_routes(ROUTES + ONE_END, ROUTES6))

    def towards(*addresses: str) -> set[str]:
        return set(interfaces_towards(routes, [ipaddress.ip_address(address) for address in addresses]))

    assert towards("203.0.113.7") == {"wlan0", "eth0", "ppp0"}
    assert towards("2001:db8::7") == {"wlan0", "usb0"}, "but not the loopback, which refuses"
    assert towards("2001:dead::7") == {"wlan0"}
    assert towards() == set()
    assert [has_one_end(routes, name) for name in ("ppp0", "eth0", "wlan0", "usb0", "none")] == [True, False, False, False, False]
    assert parse_gateway(ROUTES, NEIGHBOURS.format("02:fc:00:00:00:06"), "wlan0") == ("192.168.1.1", bytes.fromhex("02fc00000005c0a80101"))
    assert parse_gateway(ROUTES, NEIGHBOURS.format("02:fc:00:00:00:06"), "usb0") == ("", b"")


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_table_of_routes_is_read_and_what_is_none_hides_no_other(routes: str, routes6: str) -> None:
    found = list(parse_routes(f"{ROUTES}{routes}", f"{ROUTES6}{routes6}"))
    assert {"wlan0", "eth0"} <= interfaces_towards(found, [ipaddress.ip_address("203.0.113.7")])


@pytest.mark.system
def test_an_interface_without_a_carrier_leads_nowhere_and_the_loopback_is_no_uplink() -> None:
    here, there = Namespace(), Namespace()
    try:
        relay = {ipaddress.ip_address("203.0.113.7")}
        here.ip([f"link add {name}0 type veth peer name {name}1 netns {there.path}" for name in ("wan", "usb")])
        for at, name in enumerate(("wan", "usb"), start=1):
            there.ip([f"link set {name}1 up"])
            here.ip([f"link set {name}0 up", f"address add 192.168.{at}.2/24 dev {name}0", f"route add default via 192.168.{at}.1 metric {at}00"])
            wait_carries(here, f"{name}0")
        assert uplinks_inside(here, relay) == {"wan0", "usb0"}
        there.ip(["link set usb1 down"])
        wait_until(lambda: uplinks_inside(here, relay) == {"wan0"}, "word of the carrier, which the kernel may keep for a second")
        assert uplinks_inside(here, {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("2001:db8::1")}) == {"wan0"}
        assert uplinks_inside(here, {ipaddress.ip_address("2001:db8::1")}) == set()
    finally:
        here.close()
        there.close()


def uplinks_inside(here: Namespace, relays: set[Address]) -> set[str]:
    """Return what a process of its own in a namespace finds: /proc/net is that of a process's first thread."""
    source = "import ipaddress, sys; from voicebox.addresses import routes_here, uplinks_here; print(*uplinks_here({ipaddress.ip_address(each) for each in sys.argv[1:]}, routes_here()))"
    command = [*here.wrapper, sys.executable, "-c", source, *map(str, relays)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split())
