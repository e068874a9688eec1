"""A call to an ordinary number: a box, a provider who is another registrar over TLS with digest, and phones that others wrote, through the engine. There are no circuits."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from pathlib import Path

import pytest

from tests.support.looped import Looped
from tests.support.phones import Login, PhoneDriver, assert_heard, free_port_block, make_phone
from tests.support.tone import seconds_of_tone
from tests.voicebox.b2bua.house import NoNetwork
from voicebox.b2bua.announcement import LAST_FRAME_S, recording
from voicebox.b2bua.server import SipServer, TrunkPlace
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.b2bua.trunk import TrunkAccount, TrunkState
from voicebox.b2bua.voicemail import G711
from voicebox.contacts.phone_authority import new_phone_tls
from voicebox.dataplane import LiveDataPlane
from voicebox.dialplan.model import CallTrunk, NoAnswer, OutgoingDecision, RefuseCall, RingPhones
from voicebox.media_ports import EngineMediaPorts
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account, DigestAlgorithm
from voicebox.sip.flow import Transport
from voicebox.sip.tls import client_context, server_context

pytestmark = pytest.mark.interop

ADDRESS, NUMBER = "127.0.0.1", "0441234567"
PASSWORD, OWNERS = Secret(b"a-long-password"), Secret(b"what the provider gave")
TONES_HZ = {"ann": 440, "far": 700}
TALK_S = 2.0


class Town(Looped):
    """A box with ann's phone, and its provider with the phone at the number, in one loop of its own thread."""

    def __init__(self, transport: str) -> None:
        super().__init__()
        self.transport, self.bugs = transport, list[Exception]()
        self.box_port, self.far_port = free_port_block(2), free_port_block(4)
        self.state: TrunkState | None = None
        self.counters: dict[str, int] = {}
        self.planes = [LiveDataPlane(born_unix_us=0, realtime=False) for _ in range(2)]
        """The box's and the provider's: sound to a port of the same engine goes nowhere."""

    def _server(self, plane: LiveDataPlane, accounts: list[Account], plan: dict[str, OutgoingDecision]) -> SipServer:
        media, settings = EngineMediaPorts(plane), SwitchboardSettings(realm=ADDRESS)
        resolve = lambda dialled: plan.get(dialled, RefuseCall(404))  # noqa: E731  # handed on at once
        return SipServer(accounts, NoNetwork(), media, resolve, lambda _: NoAnswer(), settings, on_bug=self.bugs.append, tls=server_context(self._tls.server))

    async def _run(self) -> None:
        self._tls = new_phone_tls((ADDRESS,), dt.datetime.now(dt.UTC))
        for plane in self.planes:
            plane.start()
            plane.attach(lambda event: None)
        owner = Account.from_password("owner", OWNERS, ADDRESS, DigestAlgorithm.SHA_256, DigestAlgorithm.MD5)
        provider = self._server(self.planes[1], [Account.from_password("far", PASSWORD, ADDRESS), owner], {NUMBER: RingPhones((("far",),))})
        box = self._server(self.planes[0], [Account.from_password("ann", PASSWORD, ADDRESS)], {NUMBER: CallTrunk(NUMBER)})
        await provider.start([("udp", ADDRESS, self.far_port), ("tcp", ADDRESS, self.far_port), ("tls", ADDRESS, self.far_port + 1)])
        await box.start([("udp", ADDRESS, self.box_port)])
        is_tls = self.transport == "tls"
        context = client_context(self._tls.to_install.decode()) if is_tls else None
        account = TrunkAccount(ADDRESS, "owner", OWNERS, registers=True)
        box.use_trunk(TrunkPlace(account, Transport[self.transport.upper()], ADDRESS, self.far_port + is_tls, context))
        self._ready.set()
        while not self._stop.is_set():
            self.state = box.trunk_state()
            await asyncio.sleep(0.02)
        self.counters = box.counters()
        for server in (box, provider):
            await server.stop()
        for plane in self.planes:
            plane.detach()
            plane.stop()


@pytest.mark.parametrize("transport", ["tls", pytest.param("udp", marks=pytest.mark.long)])
def test_a_phone_is_told_and_then_talks_to_an_ordinary_number(transport: str, tmp_path: Path) -> None:
    with Town(transport) as town:

        def phone(user: str, port: int) -> PhoneDriver:
            return make_phone("pjsua2", user, TONES_HZ[user], "pcma", tmp_path, Login(ADDRESS, port, user, PASSWORD, "udp"))

        with phone("ann", town.box_port) as ann, phone("far", town.far_port) as far:
            ann.wait_for("registered")
            far.wait_for("registered")
            far.wait_until(lambda: town.state is TrunkState.REGISTERED, "the box's registration at the provider")
            ann.dial(f"sip:{NUMBER}@{ADDRESS}")
            far.wait_for("incoming", recording("not_protected", G711).seconds + LAST_FRAME_S + 10)
            far.answer()
            ann.wait_for("connected")
            time.sleep(TALK_S)
            ann.hang_up()
            far.wait_for("ended")
        assert_heard(far, TONES_HZ["ann"], TONES_HZ["far"], TALK_S - 1)
        heard = ann.heard()
        assert heard is not None
        assert seconds_of_tone(heard, TONES_HZ["far"]) >= TALK_S - 1
        ends = time.monotonic() + 3
        while any(plane.counters()["media_ports"] for plane in town.planes) and time.monotonic() < ends:
            time.sleep(0.02)
        counted = [plane.counters() for plane in town.planes]
        assert ([(each["media_ports"], each["link_cells_out"]) for each in counted], town.bugs) == ([(0, 0)] * 2, [])
    assert town.counters["calls_trunk"] == 1
