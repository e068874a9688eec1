"""The matrix of phones: each run is two phones that others wrote, two boxes, six relays, and four calls (matrix.py declares what is shown, PHONES.md says it).

What a hold does is seen on the wire, whatever the phones say: who holds is sent no sound meanwhile. Every run has fresh phones and leaves both boxes without a call,
a registration or a fault.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.interop.matrix import ENDS, KINDS, PHONES, ROOT, STEPS, Pair, Side, codec_of, covering_pairs, document, every_pair, run_name
from tests.interop.over_network import ALICE_HZ, BOB_HZ, URIS, Calls, Kind, settled, without_calls
from tests.support.browser_phone import BrowserPhone
from tests.support.embedded import CALLEE, CALLER, leave_phones, told, wait_until
from tests.support.phones import PhoneDriver, recordings_of
from tests.support.sipp import DIGITS, Sipp
from tests.support.tone import seconds_of_tone
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.network import EmbeddedNetwork

pytestmark = [pytest.mark.interop, pytest.mark.system]

LONG = os.environ.get("VOICEBOX_LONG") == "1"
HELD_S, SETTLES_S, WAIT_S = 0.5, 0.3, 30.0
BROWSER_SETTLES_S = 1.5
"""What a browser has received is on its way through two processes more, which a busy machine keeps waiting."""
TONE_S, HEARD_S = 2.0, 0.4
"""The last of the first call, and what must be heard of it: a phone that presses digits or holds says nothing else meanwhile."""


@dataclass
class Run:
    """One run: phones by their end, and when each was held (the kernel's clock)."""

    network: EmbeddedNetwork
    pair: Pair
    phones: dict[str, PhoneDriver]
    uri: str
    held_ns: dict[str, tuple[int, int]] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    """How much each phone had said when the present call began."""
    talked_ns: tuple[int, int] = (0, 0)
    """When nobody held any more, before the first call ended."""

    def can(self, step: str, end: str) -> bool:
        """Say whether a phone is declared to do a step."""
        return KINDS[self.side(end).phone].gap(step, end) is None

    def side(self, end: str) -> Side:
        return self.pair[ENDS.index(end)]

    # calls

    def call(self, caller_does: tuple[str, ...], callee_does: tuple[str, ...]) -> None:
        """Bring a call about that rings at both ends."""
        caller, callee = self.phones["caller"], self.phones["callee"]
        for phone, moves in ((caller, caller_does), (callee, callee_does)):
            if isinstance(phone, Sipp):
                phone.prepare(*moves)
        if isinstance(callee, Sipp):
            callee.expect()
        self.begun = {end: len(phone.events) for end, phone in self.phones.items()}
        caller.dial(self.uri)
        self.wait("callee", "incoming")
        self.wait("caller", "ringing")

    def wait(self, end: str, event: str) -> None:
        """Wait until a phone has said something in the present call."""
        phone, begun = self.phones[end], self.begun[end]
        phone.wait_until(lambda: event in phone.events[begun:], event, WAIT_S)

    def answered(self, caller_does: tuple[str, ...], callee_does: tuple[str, ...]) -> None:
        """Bring a call about that is answered."""
        self.call(caller_does, callee_does)
        self.phones["callee"].answer()
        for end in ENDS:
            self.wait(end, "connected")

    def ended(self, act: Callable[[], None]) -> None:
        """Do what ends the call, and wait until it is over at both ends and both boxes."""
        act()
        for end in ENDS:
            self.wait(end, "ended")
        wait_until(lambda: without_calls(self.network), "the end of the call at both boxes", WAIT_S)

    # steps

    def press(self, end: str) -> None:
        """Press digits at one end, which the other hears, where it can."""
        there = ENDS[end == "caller"]
        other = self.phones[there]
        before = len(getattr(other, "digits", ""))
        self.phones[end].press(DIGITS)  # type: ignore[attr-defined]  # each phone of the matrix has it
        if self.can("digits in", there):
            other.wait_until(lambda: len(other.digits) >= before + len(DIGITS), f"digits from the {end}", WAIT_S)  # type: ignore[attr-defined]  # as above
            assert other.digits[before:] == DIGITS  # type: ignore[attr-defined]  # as above

    def hold(self, end: str) -> None:
        """Put the call on hold at one end and take it off; both are re-INVITEs."""
        phone, box = self.phones[end], self.network.boxes[CALLER if end == "caller" else CALLEE]
        invites = told(box)["sip"].get("requests_invite", 0)
        phone.hold()  # type: ignore[attr-defined]  # each phone of the matrix has it
        wait_until(lambda: told(box)["sip"].get("requests_invite", 0) > invites or isinstance(phone, Sipp), "the re-INVITE of the hold", WAIT_S)
        settles_s = BROWSER_SETTLES_S if isinstance(phone, BrowserPhone) else SETTLES_S
        time.sleep(settles_s)
        begin = time.time_ns()
        time.sleep(HELD_S)
        self.held_ns[end] = begin, time.time_ns()
        phone.resume()  # type: ignore[attr-defined]  # as above
        if isinstance(phone, Sipp):
            del self.held_ns[end]  # its scenario goes by its own clock, which is not known here
        else:
            wait_until(lambda: told(box)["sip"].get("requests_invite", 0) > invites + 1, "the re-INVITE that ends the hold", WAIT_S)
        time.sleep(settles_s)

    def everything(self) -> None:
        """Do all four calls."""
        caller, callee = self.phones["caller"], self.phones["callee"]
        # A scenario does not know how far the other phone is, so the first call is ended by one that is told to.
        first, second = ("callee", "caller") if isinstance(caller, Sipp) and not isinstance(callee, Sipp) else ENDS
        does = ("digits", "hold", "resume")
        self.answered(does if first == "callee" else (*does, "wait", "bye"), does)
        for end in ENDS:
            if self.can("digits out", end):
                self.press(end)
        for end in ENDS:
            if self.can("hold and resume", end):
                self.hold(end)
        begin = time.time_ns()
        time.sleep(TONE_S)
        self.talked_ns = begin, time.time_ns()
        self.ended(self.phones[first].hang_up)
        assert caller.status == callee.status == 0
        self.answered(*((("bye",), ()) if second == "caller" else ((), ("bye",))))
        self.ended(self.phones[second].hang_up)
        self.call(("cancel",), ("cancel",))
        self.ended(caller.hang_up)
        refusal = "busy" if self.can("busy", "callee") else "decline"
        self.call((refusal,), (refusal,))
        self.ended(lambda: self.refuse(refusal))
        if self.can(refusal, "caller"):
            self.assert_refused(refusal)

    def refuse(self, refusal: str) -> None:
        """Refuse the call that rings, in a way that the callee's phone has."""
        callee = self.phones["callee"]
        if hasattr(callee, "decline"):
            callee.decline(486 if refusal == "busy" else 603)
        else:
            callee.hang_up()

    def assert_refused(self, refusal: str) -> None:
        """Assert that the caller's phone was told how. Of linphonec only a decline can be seen from outside."""
        caller = self.phones["caller"]
        if self.side("caller").phone == "linphonec":
            assert "(Call declined)" in caller.log_text()
        else:
            assert caller.status == (486 if refusal == "busy" else 603)


def sent_to(wire: list[Datagram], phone: PhoneDriver, between_ns: tuple[int, int]) -> int:
    """Return how many RTP packets (not RTCP) a phone was sent at its ports for sound in a stretch of time; a browser, which says on no port that is known here, tells by itself."""
    if isinstance(phone, BrowserPhone):
        return phone.received(between_ns)
    (begin, end), address, rtp_port = between_ns, phone.setup.address, phone.setup.rtp_port
    return sum(
        begin <= each.time_ns < end and rtp_port <= each.destination.port < rtp_port + 16 and each.payload[:1] >= b"\x80" and not 192 <= each.payload[1] <= 223
        for each in wire
        if each.destination.address == address and len(each.payload) > 1
    )


@pytest.mark.parametrize("pair", every_pair() if LONG else covering_pairs(), ids=run_name)
def test_a_run(embedded_network: EmbeddedNetwork, tmp_path: Path, pair: Pair) -> None:
    network = embedded_network
    if any(side.way.ipv6 for side in pair) and not network.plan.ipv6:
        pytest.skip("this machine has no IPv6")
    leave_phones(network)
    with ExitStack() as stack, Capture(tmp_path / "wire.pcap"):
        calls = Calls(network, tmp_path, stack)
        phones = {
            end: calls.phone(name, Kind(side.phone, side.way.transport, codec_of(side, pair), ipv6=side.way.ipv6, dtls=side.way.dtls))
            for end, name, side in zip(ENDS, (CALLER, CALLEE), pair, strict=True)
        }
        uri = URIS[sum(map(ord, str(pair[0]) + str(pair[1]))) % len(URIS)].format(box=network.plan.box_address(CALLER))
        run = Run(network, pair, phones, uri)
        run.everything()
    settled(network)
    wire = load_capture(tmp_path / "wire.pcap", {phone.setup.address for phone in phones.values()})
    for end, own_hz, theirs_hz in (("caller", ALICE_HZ, BOB_HZ), ("callee", BOB_HZ, ALICE_HZ)):
        if run.can("hear", end) and run.can("be heard", ENDS[end == "caller"]):
            assert_heard(phones[end], theirs_hz, own_hz)
        held = run.held_ns.get(end, (0, 0))
        assert sent_to(wire, phones[end], held) <= 1, f"the {end} held, and was sent sound"
        assert sent_to(wire, phones[end], run.talked_ns) >= 10, f"no sound for the {end} after the hold"


def assert_heard(phone: PhoneDriver, theirs_hz: int, own_hz: int) -> None:
    """Assert that a stopped phone recorded the other side's tone, in one recording or several, and nothing of its own."""
    recordings = recordings_of(phone)
    assert sum(seconds_of_tone(recording, theirs_hz) for recording in recordings) >= HEARD_S
    assert sum(seconds_of_tone(recording, own_hz) for recording in recordings) == 0


def test_the_document_says_what_is_declared() -> None:
    assert (ROOT / "PHONES.md").read_text() == document(), "python -m tests.interop.matrix > PHONES.md"


def test_the_covering_runs_have_every_phone_way_and_pair() -> None:
    chosen = covering_pairs()
    assert {side for pair in chosen for side in pair} == {side for pair in every_pair() for side in pair}
    each_with_each = {frozenset((here.name, there.name)) for here in PHONES for there in PHONES if not (here.costly or there.costly)}
    assert {frozenset((here.phone, there.phone)) for here, there in chosen} >= each_with_each
    for place in range(len(ENDS)):
        assert {pair[place].phone for pair in chosen} == {kind.name for kind in PHONES}
        assert {pair[place].way.transport for pair in chosen} == {"udp", "tcp", "tls"}
    assert len(chosen) <= 19
    assert sum(KINDS[side.phone].costly for pair in chosen for side in pair) <= 2


def test_every_gap_is_of_a_step_that_there_is() -> None:
    for kind in PHONES:
        assert {gap.partition(", ")[0] for gap in kind.gaps} <= set(STEPS)
        assert {gap.partition(", ")[2] for gap in kind.gaps} <= {"", *ENDS}
        assert kind.ways("caller")
        assert kind.ways("callee")
