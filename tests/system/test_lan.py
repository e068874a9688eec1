"""Two boxes of profile `lan`, eight calls at once between phones, each with sound both ways, and a ninth."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.support.embedded import CALLEE, CALLER, start_network, wait_until
from tools.adversary.phones import FRAME_S, Account, Phone
from tools.bench.desk import Desk, talk
from voicebox.config.model import Profile
from voicebox.demo.network import EmbeddedNetwork, Plan

TALK_S = 3.0
MEET_S = 4.0
"""After the first call both boxes leave the tokens of their new secret."""
AT_ONCE = Profile.LAN.circuits


def account(network: EmbeddedNetwork, box: str, port: int) -> Account:
    login, own = network.login(box), network.plan.phone_sip(box).address
    return Account(box, (login.host, login.port), login.user, login.password.reveal().decode(), (own, port))


async def phones_of(network: EmbeddedNetwork) -> None:
    loop = asyncio.get_running_loop()
    desk = Desk(account(network, CALLEE, 5_600))
    callers = [Phone(account(network, CALLER, 5_700 + index)) for index in range(AT_ONCE + 1)]
    with contextlib.ExitStack() as stack:
        for phone in (desk, *callers):
            stack.callback(phone.close)
            await loop.create_datagram_endpoint(lambda phone=phone: phone, local_addr=phone.account.own)  # type: ignore[misc]  # mypy has no type for a lambda with a default
        await eight_calls(desk, callers)
    await asyncio.sleep(0)


async def eight_calls(desk: Desk, callers: list[Phone]) -> None:
    assert await desk.register()
    assert await callers[0].dial(f"sip:{CALLEE}.privacy"), "they meet"
    assert await callers[0].hang_up()
    await asyncio.sleep(MEET_S)
    for count, phone in enumerate(callers[:-1], 1):
        assert await phone.dial(f"sip:{CALLEE}.privacy"), f"call {count}: {phone.final[:20]}"
        assert len(desk.calls) == count, "no call was ended for another"
    assert not await callers[-1].dial(f"sip:{CALLEE}.privacy")
    assert callers[-1].final.startswith("SIP/2.0 480")
    await talk([desk, *callers[:-1]], 0.5)
    desk.heard.clear()
    for phone in callers:
        phone.count_heard()
    await talk([desk, *callers[:-1]], TALK_S)
    expected = TALK_S / FRAME_S
    assert [phone.count_heard() > 0.5 * expected for phone in callers] == [True] * AT_ONCE + [False]
    assert len(desk.heard) == AT_ONCE
    assert min(desk.heard.values()) > 0.5 * expected
    for phone in callers[:-1]:
        assert await phone.hang_up()
    await asyncio.wait_for(desk.quiet.wait(), 5)


def test_eight_calls_at_once_and_no_ninth(tmp_path: Path) -> None:
    with start_network(tmp_path / "network", Plan(first_port=48_000, prefix="127.0.85", profile="lan")) as network:
        status = network.status(network.boxes[CALLER])
        assert status is not None
        assert (status["profile"], sum(circuit["present"] for circuit in status["circuits"])) == ("lan", AT_ONCE)
        assert round(status["cost"]["promised"]["out_kbit_s"]) == 979
        asyncio.run(phones_of(network))

        def all_free() -> bool:
            told = [network.status(node) or {} for node in network.boxes.values()]
            return all(each.get("calls") == 0 and not any(circuit["in_call"] for circuit in each["circuits"]) for each in told)

        wait_until(all_free, "the end of all calls")
