"""A running box takes its dial plan anew: whole or not at all, with calls that there are going on; and whoever is not to be disturbed is not. [io]"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.system.test_lan import account
from tools.adversary.phones import Account, Phone, header
from voicebox.cli.main import main
from voicebox.demo.network import EmbeddedNetwork
from voicebox.sip.transaction import TimerValues

pytestmark = pytest.mark.system

PATIENCE_S = 2
PLAN = f"""version: 1
emergency: {{ numbers: ["112"], do: refuse }}
outgoing:
  - {{ dial: "<contact>", do: {{ call: "{{contact}}" }} }}
incoming:
  - {{ from: contacts, do: {{ ring: all, timeout: {PATIENCE_S}s }} }}
"""


class Listed(Phone):
    """A phone that answers, and remembers what came."""

    def __init__(self, account: Account) -> None:
        # Timer B (RFC 3261 §17.1.1.2): a call to a box that is in a dummy begins two seconds later, and then rings for PATIENCE_S.
        super().__init__(account, TimerValues().limit_s)
        self.came: list[str] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.append(data.decode("utf-8", "replace").split("\r\n", 1)[0])
        super().datagram_received(data, addr)


@pytest.fixture
def home(embedded_network: EmbeddedNetwork) -> Iterator[Path]:
    """The callee's box, with its plan put back afterwards."""
    folder = embedded_network.boxes[CALLEE].home
    plan = (folder / "dialplan.yaml").read_bytes()
    yield folder
    (folder / "dialplan.yaml").write_bytes(plan)
    (folder / "dnd.yaml").unlink(missing_ok=True)
    assert main(["reload", "--home", str(folder)]) == 0


@contextlib.asynccontextmanager
async def phones(*accounts: Account) -> AsyncIterator[list[Listed]]:
    """Yield phones that are registered."""
    loop = asyncio.get_running_loop()
    made = [Listed(account) for account in accounts]
    with contextlib.ExitStack() as stack:
        for phone in made:
            stack.callback(phone.close)
            await loop.create_datagram_endpoint(lambda phone=phone: phone, local_addr=phone.account.own)  # type: ignore[misc]  # mypy has no type for a lambda with a default
            assert await phone.register()
        yield made
        for phone in made:  # else what is for whoever comes next waits for one that is gone
            await phone.register(0)


async def test_plan_is_taken_whole_or_not_at_all(embedded_network: EmbeddedNetwork, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node, words = embedded_network.boxes[CALLEE], ["--home", str(home)]
    plan = home / "dialplan.yaml"
    async with phones(account(embedded_network, CALLER, 5_900), account(embedded_network, CALLEE, 5_901)) as (caller, desk):
        plan.write_text(PLAN)
        assert await asyncio.to_thread(main, ["reload", *words]) == 0
        assert await caller.dial(f"sip:{CALLEE}.privacy"), caller.final
        # A plan that is wrong is not taken, and neither is what lies beside it; the call goes on.
        plan.write_text(PLAN.replace("ring: all", "ring: nobody-there"))
        (home / "dnd.yaml").write_text("everybody: true\n")
        capsys.readouterr()
        assert await asyncio.to_thread(main, ["reload", *words]) == 2
        assert f"{plan}:6:35 incoming[0].do.ring: there is no extension, group or phone `nobody-there`" in capsys.readouterr().err
        assert node.process is not None
        os.kill(node.process.pid, signal.SIGHUP)
        assert not told(node)["dnd"]["everybody"]
        assert told(node)["sip"]["calls"] == 1, "of people; what brought the text of another test may go on still"
        # One that is right is, at SIGHUP too.
        plan.write_text(PLAN)
        os.kill(node.process.pid, signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: bool(told(node)["dnd"]["everybody"]), "do not disturb")
        assert told(node)["sip"]["calls"] == 1
        assert not any(line.startswith("BYE") for line in caller.came + desk.came)
        assert await caller.hang_up()
        # Now it rings at the caller's and nowhere else, for as long as the plan would let it ring.
        desk.came.clear()
        begun_s = time.monotonic()
        assert not await caller.dial(f"sip:{CALLEE}.privacy")
        assert caller.final.startswith("SIP/2.0 480"), caller.final
        assert time.monotonic() - begun_s >= PATIENCE_S
        assert "SIP/2.0 180 Ringing" in caller.came
        assert header(caller.final, "Reason") == ""
        assert not any(line.startswith("INVITE") for line in desk.came)
        assert await asyncio.to_thread(main, ["dnd", "off", *words]) == 0
        assert await caller.dial(f"sip:{CALLEE}.privacy"), caller.final
        assert await caller.hang_up()


async def test_a_text_goes_to_a_contacts_box_and_to_a_phone_there_once_one_comes(embedded_network: EmbeddedNetwork) -> None:
    node = embedded_network.boxes[CALLEE]
    async with phones(account(embedded_network, CALLER, 5_905)) as (writer,):
        uri = f"sip:{CALLEE}.privacy"
        final = await writer._ask("MESSAGE", uri, f"<{uri}>", ["Content-Type: text/plain"], "see you at eight")
        assert final.startswith("SIP/2.0 202"), final
        assert told(node)["sip"]["texts_kept"] == 1, "no phone is there"
        async with phones(account(embedded_network, CALLEE, 5_906)) as (reader,):
            await asyncio.to_thread(wait_until, lambda: any(line.startswith("MESSAGE") for line in reader.came), "the text")
            await asyncio.to_thread(wait_until, lambda: told(node)["sip"]["texts_kept"] == 0, "that it was taken")
    assert told(node)["sip"].get("bugs", 0) == told(node)["engine"]["broke_protocol"] == 0


async def test_missed_calls_are_kept_where_the_plan_says_so(embedded_network: EmbeddedNetwork, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--home", str(home)]
    kept = "settings: {{ call_log: {} }}\n"

    def missed(*more: str) -> list[dict[str, str]]:
        capsys.readouterr()
        assert main(["missed", "--json", *more, *words]) == 0
        found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
        return found

    async with phones(account(embedded_network, CALLER, 5_904)) as (caller,):
        (home / "dialplan.yaml").write_text(PLAN + kept.format("missed"))
        assert await asyncio.to_thread(main, ["reload", *words]) == 0
        written = (home / "missed").read_bytes()
        assert not await caller.dial(f"sip:{CALLEE}.privacy")
        found = await asyncio.to_thread(missed)
        assert [set(call) for call in found] == [{"petname", "day"}]
        assert found[0]["petname"] == CALLER
        assert (home / "missed").read_bytes() == written, "no call chooses when the file changes"
        assert await asyncio.to_thread(missed, "--clear") == found
        assert await asyncio.to_thread(missed) == []
        (home / "dialplan.yaml").write_text(PLAN + kept.format("none"))
        assert await asyncio.to_thread(main, ["reload", *words]) == 0
        assert not (home / "missed").exists()


async def test_calls_inside_the_house(embedded_network: EmbeddedNetwork, home: Path) -> None:
    """Two phones of one account and the plan that `voicebox init` writes: the one rings the other, hears itself, and gets no emergency call through."""
    node = embedded_network.boxes[CALLEE]
    before = told(node)["sip"]
    async with phones(account(embedded_network, CALLEE, 5_902), account(embedded_network, CALLEE, 5_903)) as (one, other):
        box, user = one.account.box[0], one.account.user
        for dialled, comes in ((user, ["INVITE"]), ("*43", [])):
            other.came.clear()
            assert await one.dial(f"sip:{dialled}@{box}"), one.final
            assert [line.split(" ", 1)[0] for line in other.came if line.startswith("INVITE")] == comes
            assert await one.hang_up()
        assert not await one.dial(f"sip:+41-112@{box}")
        await asyncio.to_thread(wait_until, lambda: any(line.startswith("SIP/2.0 503") for line in one.came), "the refusal behind the recording", 20.0)
        assert any(line.startswith("SIP/2.0 183") for line in one.came), "it was told why"
    after = told(node)["sip"]
    changed = {name: after.get(name, 0) - before.get(name, 0) for name in ("calls_local", "calls_echo", "calls_emergency", "calls_out", "bugs")}
    assert changed == {"calls_local": 1, "calls_echo": 1, "calls_emergency": 1, "calls_out": 0, "bugs": 0}
