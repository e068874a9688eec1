"""Changes of this machine's addresses, told by the kernel. In the network of this run's own."""

from __future__ import annotations

import asyncio
import sys

import pytest

from voicebox.addresses import AddressWatch, parse_gateway

ADDRESS = "192.0.2.77/32"


async def change(step: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", "address", step, ADDRESS, "dev", "lo")
    assert await process.wait() == 0


ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 0102A8C0 0003 0 0 100 00000000 0 0 0
eth0 0002A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0
"""
NEIGHBOURS = """IP address HW type Flags HW address Mask Device
192.168.1.1 0x1 0x2 02:fc:00:00:00:05 * wlan0
192.168.2.1 0x1 0x2 02:fc:00:00:00:07 * wlan0
192.168.2.1 0x1 0x2 {} * eth0
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="routes are written in the machine's order")
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
