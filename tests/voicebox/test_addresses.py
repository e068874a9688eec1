"""Changes of this machine's addresses, told by the kernel. In the network of this run's own."""

from __future__ import annotations

import asyncio

import pytest

from voicebox.addresses import AddressWatch

pytestmark = pytest.mark.system
ADDRESS = "192.0.2.77/32"


async def change(step: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", "address", step, ADDRESS, "dev", "lo")
    assert await process.wait() == 0


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
