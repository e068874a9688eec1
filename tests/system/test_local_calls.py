"""Phones that others wrote, in calls inside one house: through the real engine's media ports and no circuit. There is no network at all."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.looped import Looped
from tests.support.phones import Baresip, LinphoneDaemon, Login, PhoneDriver, PhoneSetup, assert_heard, free_port_block, installed, make_phone
from tests.support.tone import BLOCK_S, read_recording, seconds_of_tone, tone_share, write_tone
from tests.voicebox.b2bua.house import NoNetwork
from voicebox.b2bua.announcement import no_emergency
from voicebox.b2bua.server import SipServer
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.config.load import KnownPhone
from voicebox.config.model import Endpoint
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import MessageFiles
from voicebox.dataplane import LiveDataPlane
from voicebox.dialplan.model import EVERYBODYS, EchoTest, EmergencyCall, JoinConference, NoAnswer, OutgoingDecision, RefuseCall, RingPhones
from voicebox.media_ports import EngineMediaPorts
from voicebox.provisioning.forms import Login as FormLogin
from voicebox.provisioning.forms import baresip_line
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account

pytestmark = pytest.mark.interop

ADDRESS = "127.0.0.1"
PASSWORD = Secret(b"a-long-password")
TALK_S = 2.0
SPECIAL_TONE_HZ = 1_400
TONES_HZ = {"ann": 440, "ben": 1000, "kitchen": 700}
PLAN: dict[str, OutgoingDecision] = {
    "*3": JoinConference(),
    "*43": EchoTest(),
    "112": EmergencyCall(),
    "30": RingPhones((("ben",), ("kitchen",))),
    **{user: RingPhones(((user,),)) for user in TONES_HZ},
}


class House(Looped):
    """A box with an engine and without circuits, in a loop of its own thread."""

    def __init__(self, messages: MessageFiles | None = None) -> None:
        super().__init__()
        self.messages = messages
        self.bugs: list[Exception] = []
        self.port = free_port_block(2)
        self.plane = LiveDataPlane(born_unix_us=0, realtime=False)

    async def _run(self) -> None:
        self.plane.start()
        self.plane.attach(lambda event: None)
        accounts = [Account.from_password(user, PASSWORD, ADDRESS) for user in TONES_HZ]
        media, settings = EngineMediaPorts(self.plane), SwitchboardSettings(realm=ADDRESS)
        server = SipServer(
            accounts, NoNetwork(), media, lambda dialled: PLAN.get(dialled, RefuseCall(404)), lambda petname: NoAnswer(), settings, on_bug=self.bugs.append
        )
        server.use_messages(self.messages, lambda _user: frozenset({EVERYBODYS}))
        await server.start([("udp", ADDRESS, self.port), ("tcp", ADDRESS, self.port)])
        self._ready.set()
        while not self._stop.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.02)
        await server.stop()
        self.plane.detach()
        self.plane.stop()


@pytest.fixture
def house() -> Iterator[House]:
    with House() as made:
        yield made
        deadline = time.monotonic() + 3
        while made.plane.counters()["media_ports"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert made.plane.counters()["media_ports"] == 0, "every media port was given back"
        assert made.plane.counters()["link_cells_out"] == 0
        assert made.bugs == []


def phone(house: House, user: str, kind: str, transport: str, codec: str, directory: Path) -> PhoneDriver:
    return make_phone(kind, user, TONES_HZ[user], codec, directory, Login(ADDRESS, house.port, user, PASSWORD, transport))


def assert_hears(listener: PhoneDriver, theirs: str, own: str) -> None:
    assert_heard(listener, TONES_HZ[theirs], TONES_HZ[own], TALK_S - 1)


@pytest.mark.parametrize(
    ("caller", "callee", "codec", "who_hangs_up"),
    [
        (("baresip", "udp"), ("pjsua2", "tcp"), "pcma", "caller"),
        (("baresip", "tcp"), ("baresip", "udp"), "opus", "callee"),
        (("linphonec", "udp"), ("pjsua2", "udp"), "pcmu", "callee"),
    ],
)
def test_two_phones_of_a_house_hear_each_other(
    house: House, tmp_path: Path, caller: tuple[str, str], callee: tuple[str, str], codec: str, who_hangs_up: str
) -> None:
    ann, ben = phone(house, "ann", *caller, codec, tmp_path), phone(house, "ben", *callee, codec, tmp_path)
    with ann, ben:
        ann.wait_for("registered")
        ben.wait_for("registered")
        ann.dial(f"sip:ben@{ADDRESS}")
        ben.wait_for("incoming")
        ann.wait_for("ringing")
        ben.answer()
        ann.wait_for("connected")
        ben.wait_for("connected")
        time.sleep(TALK_S)
        (ann if who_hangs_up == "caller" else ben).hang_up()
        ann.wait_for("ended")
        ben.wait_for("ended")
    assert_hears(ann, "ben", "ann")
    assert_hears(ben, "ann", "ben")


def test_a_group_rings_and_one_phone_is_answered(house: House, tmp_path: Path) -> None:
    ann, ben = phone(house, "ann", "pjsua2", "udp", "pcma", tmp_path), phone(house, "ben", "baresip", "udp", "pcma", tmp_path)
    kitchen = phone(house, "kitchen", "pjsua2", "tcp", "pcma", tmp_path)
    with ann, ben, kitchen:
        for one in (ann, ben, kitchen):
            one.wait_for("registered")
        ann.dial(f"sip:30@{ADDRESS}")
        ben.wait_for("incoming")
        kitchen.wait_for("incoming")
        kitchen.answer()
        ann.wait_for("connected")
        ben.wait_for("ended")
        kitchen.hang_up()
        ann.wait_for("ended")


@pytest.mark.parametrize(
    ("kind", "transport", "codec"),
    [("pjsua2", "udp", "pcma"), *(pytest.param(*phone, marks=pytest.mark.long) for phone in (("baresip", "tcp", "opus"), ("linphonec", "udp", "pcmu")))],
)
def test_who_dials_an_emergency_number_hears_why_not(house: House, tmp_path: Path, kind: str, transport: str, codec: str) -> None:
    with phone(house, "ann", kind, transport, codec, tmp_path) as ann:
        ann.wait_for("registered")
        ann.dial(f"sip:112@{ADDRESS}")
        ann.wait_for("ended", no_emergency().seconds + 15)
        assert "connected" not in ann.events, "nobody answered"
        assert ann.status in {503, 0}, "0: linphonec does not say"
    heard = ann.heard()
    assert heard is not None
    assert seconds_of_tone(heard, SPECIAL_TONE_HZ) >= BLOCK_S, "the tone that says that it does not work"


class OneLine(Baresip):
    """A baresip whose account is the line that `voicebox phone show --as baresip` prints, and whose light is on."""

    def _account(self) -> str:
        login = self.setup.login
        assert login is not None
        line = baresip_line(FormLogin(KnownPhone(login.user, login.password, login.transport), Endpoint(login.host, login.port), ADDRESS))
        return line.strip() + ";mwi=yes;answermode=manual"


@pytest.mark.long  # baresip 1.0.0 subscribes again and again in one start of some, and shows nothing then
def test_baresip_reads_its_line_and_shows_how_many_messages_there_are(tmp_path: Path) -> None:
    store = StateDirectory(tmp_path / "box")
    store.create()
    messages = MessageFiles(store, lambda: dt.date(2026, 3, 10))
    messages.keep(EVERYBODYS, "bob", bytes(8_000))
    ports = free_port_block(20)
    with House(messages) as house:
        setup = PhoneSetup(
            "ann", Login(ADDRESS, house.port, "ann", PASSWORD), ADDRESS, ports, ports + 4, write_tone(tmp_path / "ann.wav", TONES_HZ["ann"], TALK_S)
        )
        with OneLine(setup, tmp_path / "ann", extra_config="module_app mwi.so\n") as ann:
            ann.wait_for("registered")
            ann.wait_until(lambda: "Voice-Message: 1/0" in ann.log_text(), "what the light shows")
    assert house.bugs == []


def test_the_echo_test_is_heard(house: House, tmp_path: Path) -> None:
    with phone(house, "ann", "pjsua2", "udp", "pcma", tmp_path) as ann:
        ann.wait_for("registered")
        ann.dial(f"sip:*43@{ADDRESS}")
        ann.wait_for("connected")
        time.sleep(TALK_S)
        ann.hang_up()
        ann.wait_for("ended")
    heard = ann.heard()
    assert heard is not None
    assert seconds_of_tone(heard, TONES_HZ["ann"]) >= TALK_S - 1


def connect(caller: PhoneDriver, callee: PhoneDriver, count: int = 1) -> None:
    """Let a phone call another, which answers. count: which call of the caller it is."""
    caller.dial(f"sip:{callee.setup.name}@{ADDRESS}")
    callee.wait_for("incoming")
    callee.answer()
    caller.wait_for("connected", count=count)
    callee.wait_for("connected")


def test_a_call_is_transferred_blindly(house: House, tmp_path: Path) -> None:
    """Ann, a baresip, connects Ben with the kitchen, and is out of it."""
    ann, ben = phone(house, "ann", "baresip", "udp", "pcma", tmp_path), phone(house, "ben", "pjsua2", "tcp", "pcma", tmp_path)
    kitchen = phone(house, "kitchen", "pjsua2", "udp", "pcma", tmp_path)
    assert isinstance(ann, Baresip)
    with ann, ben, kitchen:
        for one in (ann, ben, kitchen):
            one.wait_for("registered")
        connect(ann, ben)
        ann.command("transfer", f"sip:kitchen@{ADDRESS}")
        kitchen.wait_for("incoming")
        kitchen.answer()
        kitchen.wait_for("connected")
        ann.wait_for("ended")
        time.sleep(TALK_S)
        assert "ended" not in ben.events
        ben.hang_up()
        kitchen.wait_for("ended")
    assert_hears(kitchen, "ben", "ann")
    heard = ben.heard()
    assert heard is not None
    assert seconds_of_tone(heard, TONES_HZ["kitchen"]) >= TALK_S - 1


def test_a_call_is_transferred_after_asking(house: House, tmp_path: Path) -> None:
    """Ann, a linphone, talks to both and connects them."""
    if not installed("linphonec"):
        pytest.skip("linphone is not installed")
    ports = free_port_block(20)
    login = Login(ADDRESS, house.port, "ann", PASSWORD, "udp")
    setup = PhoneSetup("ann", login, ADDRESS, ports, ports + 4, write_tone(tmp_path / "ann.wav", TONES_HZ["ann"], 12), "pcma")
    ben, kitchen = phone(house, "ben", "pjsua2", "tcp", "pcma", tmp_path), phone(house, "kitchen", "pjsua2", "udp", "pcma", tmp_path)
    ann = LinphoneDaemon(setup, tmp_path / "ann")
    with ann, ben, kitchen:
        for one in (ann, ben, kitchen):
            one.wait_for("registered")
        connect(ann, ben)
        ann.hold()
        connect(ann, kitchen, count=2)
        assert "Ok" in ann.command("call-transfer 1 2")
        time.sleep(TALK_S)
        assert "ended" not in ben.events + kitchen.events
        kitchen.hang_up()
        ben.wait_for("ended")
    for listener, theirs in ((ben, "kitchen"), (kitchen, "ben")):
        heard = listener.heard()
        assert heard is not None
        assert seconds_of_tone(heard, TONES_HZ[theirs]) >= TALK_S - 1


def seconds_of_both(phone: PhoneDriver, others: tuple[str, str], own: str) -> float:
    """Return for how long a stopped phone heard the tones of two others, about as loud, and hardly its own."""
    recording = phone.heard()
    assert recording is not None
    rate_hz, samples = read_recording(recording)
    block = int(rate_hz * BLOCK_S)
    blocks = [samples[place : place + block] for place in range(0, len(samples) - block + 1, block)]
    return BLOCK_S * sum(
        all(tone_share(each, rate_hz, TONES_HZ[other]) > 0.25 for other in others) and tone_share(each, rate_hz, TONES_HZ[own]) < 0.05 for each in blocks
    )


def test_three_phones_meet_and_each_hears_the_two_others_and_not_itself(house: House, tmp_path: Path) -> None:
    """Ann, a baresip, transfers her call with Ben to the conference and dials it; the kitchen dials it too."""
    ann, ben = phone(house, "ann", "baresip", "udp", "pcma", tmp_path), phone(house, "ben", "pjsua2", "tcp", "pcma", tmp_path)
    kitchen = phone(house, "kitchen", "pjsua2", "udp", "pcmu", tmp_path)
    assert isinstance(ann, Baresip)
    with ann, ben, kitchen:
        for one in (ann, ben, kitchen):
            one.wait_for("registered")
        connect(ann, ben)
        ann.command("transfer", f"sip:*3@{ADDRESS}")
        ann.wait_for("ended")
        assert "ended" not in ben.events
        ann.dial(f"sip:*3@{ADDRESS}")
        ann.wait_for("connected", count=2)
        kitchen.dial(f"sip:*3@{ADDRESS}")
        kitchen.wait_for("connected")
        time.sleep(2 * TALK_S)
        for one in (ann, kitchen):
            one.hang_up()
        ann.wait_for("ended", count=2)
        kitchen.wait_for("ended")
        assert "ended" not in ben.events, "a phone of the house is still there"
        ben.hang_up()
        ben.wait_for("ended")
    for listener, others, own in ((ann, ("ben", "kitchen"), "ann"), (ben, ("ann", "kitchen"), "ben"), (kitchen, ("ann", "ben"), "kitchen")):
        assert seconds_of_both(listener, others, own) >= TALK_S - 1, own
