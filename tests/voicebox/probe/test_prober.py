"""The probes of a running box: what may be asked for, whom it answers, that sockets and ports are given back. Whole probes: test_ends.py, tests/system/test_probe.py."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable

import pytest

from tests.support.probes import PlainPort
from voicebox.b2bua.events import NO_SCORE, Answer, Arrivals, CallEvent, Codec, End, Offer, Refusal, Refuse, Ringing, Score
from voicebox.b2bua.ports import CircuitLeg, MediaPort
from voicebox.errors import HostError, UsageError
from voicebox.probe.ends import MOST_S, Stage
from voicebox.probe.prober import Listener, Prober, _score_of


class Leg:
    """The far side: remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[CallEvent] = []
        self.bound: list[Codec] = []

    def send(self, event: CallEvent) -> None:
        self.told.append(event)

    def bind(self, port: MediaPort, codec: Codec) -> None:
        del port
        self.bound.append(codec)


class Calls:
    """The network: one leg for each call."""

    def __init__(self) -> None:
        self.legs: list[Leg] = []
        self.listeners: list[Listener] = []
        self.acceptor: Callable[[str, Offer, CircuitLeg], Listener] | None = None

    def call(self, petname: str, offer: Offer, listener: Listener) -> CircuitLeg:
        if petname != "bob":
            raise UsageError("There is no contact of that name.")
        assert offer.probe
        self.legs.append(Leg())
        self.listeners.append(listener)
        return self.legs[-1]

    def on_probe(self, acceptor: Callable[[str, Offer, CircuitLeg], Listener]) -> None:
        self.acceptor = acceptor

    def relays_of(self, leg: CircuitLeg) -> list[list[str]]:
        return [["north", "west"]] if leg in self.legs else []

    def knock(self, petname: str, codec: Codec = Codec.OPUS, *, speech: bool = False, echo: bool = False) -> tuple[Leg, Listener]:
        """Let a contact probe us."""
        assert self.acceptor is not None
        leg = Leg()
        return leg, self.acceptor(petname, Offer((codec,), probe=True, speech=speech, echo=echo), leg)


class Ports:
    """Media ports that count."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.none_left = False
        self.latest: PlainPort | None = None

    def open(self, local_address: str) -> PlainPort:
        assert local_address == "127.0.0.1"
        if self.none_left:
            raise HostError("every media port is in use")
        self.opened += 1
        ports = self

        class Port(PlainPort):
            def close(self) -> None:
                ports.closed += 1

        self.latest = Port()
        return self.latest


def clock() -> int:
    return time.monotonic_ns() // 1000


def made(*, answers: bool = True) -> tuple[Prober, Calls, Ports]:
    calls, ports = Calls(), Ports()
    return Prober(calls, ports, clock, lambda: 60.0, answers=answers), calls, ports


async def soon() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("word", "seconds"), [("g729", 30), ("opus24", 0), ("opus24", MOST_S + 1), ("", -1)])
async def test_what_cannot_be_asked_for(word: str, seconds: int) -> None:
    prober, calls, ports = made()
    with pytest.raises(UsageError):
        prober.begin("bob", word, seconds)
    assert (calls.legs, ports.opened) == ([], 0)


async def test_nobody_of_that_name_and_nothing_begun() -> None:
    prober, _, ports = made()
    with pytest.raises(UsageError, match="no contact"):
        prober.begin("carol", "opus24", 30)
    assert (ports.opened, ports.closed) == (1, 1)
    for question in (lambda: prober.look(0, 0, 0), prober.end):
        with pytest.raises(UsageError, match="no probe"):
            question()


async def test_one_at_a_time_and_what_is_ended_gives_everything_back() -> None:
    prober, calls, ports = made()
    prober.begin("bob", "opus24", 30)
    with pytest.raises(UsageError, match="under way"):
        prober.begin("bob", "opus24", 30)
    prober.end()
    assert calls.legs[0].told == [End()]
    assert (ports.opened, ports.closed) == (1, 1)
    assert prober.look(0, 0, 0)["outcome"] == "stopped"
    prober.begin("bob", "pcma", 30)
    calls.listeners[1](Ringing())
    calls.listeners[1](Answer(Codec.PCMA))
    await soon()
    assert calls.legs[1].bound == [Codec.PCMA]
    assert prober.look(0, 0, 0)["stage"] == "measuring"
    assert prober.look(0, 0, 0)["relays"] == [], "nobody is told unasked"
    assert prober.look(0, 0, 0, show_path=True)["relays"] == [["north", "west"]]
    prober.stop()
    assert (ports.opened, ports.closed) == (2, 2)
    prober.stop()
    assert ports.closed == 2


async def in_its_tail() -> tuple[Prober, Calls, Ports]:
    """Return a prober whose first probe knows all, and goes on."""
    prober, calls, ports = made()
    assert prober.begin("bob", "opus24", 30)
    calls.listeners[0](Answer(Codec.OPUS))
    await soon()
    assert prober._calling is not None
    prober._calling.end.stage = Stage.TAIL  # half a minute later
    return prober, calls, ports


async def test_whoever_asked_and_knows_all_does_not_end_the_call_whose_length_would_tell() -> None:
    prober, calls, ports = await in_its_tail()
    prober.end()
    assert (calls.legs[0].told, ports.closed) == ([], 0)
    prober.stop()
    assert (calls.legs[0].told, ports.closed) == ([End()], 1), "a call that needs its circuit does"


async def test_the_tail_of_the_last_probe_ends_for_the_next_one() -> None:
    prober, calls, ports = await in_its_tail()
    assert not prober.begin("bob", "pcma", 30), "in that moment it ends"
    assert (calls.legs[0].told, ports.closed) == ([End()], 1)
    assert prober.begin("bob", "pcma", 30)
    assert len(calls.legs) == 2
    prober.stop()


async def test_refused() -> None:
    prober, calls, ports = made()
    prober.begin("bob", "opus24", 30)
    calls.listeners[0](Refuse(Refusal.DECLINED))
    await soon()
    assert prober.look(0, 0, 0)["outcome"] == "refused"
    assert (ports.closed, calls.legs[0].told) == (1, [])
    prober.begin("bob", "opus24", 30)
    prober.stop()


async def test_a_contact_is_answered_one_at_a_time_and_hangs_up() -> None:
    prober, calls, ports = made()
    first, listener = calls.knock("bob")
    second, _ = calls.knock("ann")
    await soon()
    assert (first.told, second.told) == ([Ringing()], [Refuse(Refusal.DECLINED)])
    listener(End())
    await soon()
    assert (ports.opened, ports.closed) == (1, 1)
    third, _ = calls.knock("ann")
    await soon()
    assert third.told == [Ringing()]
    prober.stop()
    assert third.told == [Ringing(), End()]
    assert prober.counters == {"probes_answered": 2, "probes_refused": 1}


async def test_user_who_wants_none_and_a_codec_that_no_probe_speaks() -> None:
    _, calls, ports = made(answers=False)
    prober, third_calls, _ = made()
    leg, _ = calls.knock("bob")
    _, other_calls, _ = made()
    other, _ = other_calls.knock("bob", Codec.PCMU)
    third, _ = third_calls.knock("bob", Codec.G722)
    await soon()
    assert (leg.told, other.told, third.told) == ([Refuse(Refusal.DECLINED)], [Refuse(Refusal.NO_COMMON_CODEC)], [Ringing()])
    prober.stop()
    assert ports.opened == 0


async def test_an_echo_is_answered_in_every_codec_one_at_a_time_and_its_ports_phone_is_itself() -> None:
    prober, calls, ports = made()
    leg, listener = calls.knock("bob", Codec.G722, echo=True)
    second, _ = calls.knock("ann", echo=True)
    third, _ = calls.knock("ann")
    await soon()
    assert [each.told for each in (leg, second, third)] == [[Ringing()], [Refuse(Refusal.DECLINED)], [Refuse(Refusal.DECLINED)]]
    assert ports.latest is not None
    assert ports.latest.remote == ("", ports.latest.rtp_port, Codec.G722)
    listener(End())
    await soon()
    assert (ports.opened, ports.closed, leg.told) == (1, 1, [Ringing()])
    fourth, _ = calls.knock("ann", echo=True)
    await soon()
    prober.stop()
    assert (ports.opened, ports.closed, fourth.told) == (2, 2, [Ringing(), End()])
    assert prober.counters == {"echoes_answered": 2, "probes_refused": 2}
    ports.none_left = True
    with pytest.raises(HostError):
        calls.knock("bob", echo=True)


async def test_who_wants_no_probes_gives_no_echo() -> None:
    _, calls, ports = made(answers=False)
    leg, _ = calls.knock("bob", echo=True)
    await soon()
    assert (leg.told, ports.opened) == ([Refuse(Refusal.DECLINED)], 0)


async def test_machine_without_ports_says_so() -> None:
    prober, calls, ports = made()
    ports.none_left = True
    with pytest.raises(HostError):
        prober.begin("bob", "opus24", 30)
    with pytest.raises(HostError):
        calls.knock("bob")
    ports.none_left = False
    leg, _ = calls.knock("bob")
    await soon()
    assert leg.told == [Ringing()], "what could not be answered is not under way"
    prober.stop()


async def test_a_probe_that_the_box_ends_for_a_call_is_not_under_way_any_more() -> None:
    prober, calls, _ = made()
    prober.begin("bob", "opus24", 30)
    prober.stop()
    told = prober.look(0, 0, 0)
    assert (told["stage"], told["outcome"]) == ("over", "stopped"), "whoever waits for its end would wait forever"
    prober.begin("bob", "opus24", 30)
    calls.listeners[1](Answer(Codec.OPUS))
    calls.listeners[1](Arrivals(0, (10_000,)))
    await soon()
    prober.stop()
    told = prober.look(0, 0, 0)
    assert (told["outcome"], told["there"]) == ("cut short", [10_000])


async def test_machine_without_sockets_says_so_and_keeps_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    prober, calls, ports = made()

    def none_left(*_arguments: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", none_left)
        with pytest.raises(HostError, match="no socket"):
            prober.begin("bob", "opus24", 30)
        with pytest.raises(HostError, match="no socket"):
            calls.knock("bob")
    assert (ports.opened, ports.closed) == (2, 2)


async def test_one_process_at_a_time_scores_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    prober, calls, _ = made()
    under_way = most = 0

    async def scoring(_packed: bytes, _codec: str) -> Score:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(60)
        finally:
            under_way -= 1
        return Score(NO_SCORE)

    monkeypatch.setattr("voicebox.probe.prober.score", scoring)
    for _ in range(3):
        _, listener = calls.knock("bob", speech=True)
        prober._score([b"x"])  # what the end does nine seconds later
        await soon()
        listener(End())
        await soon()
    assert most == 1
    prober.stop()
    await soon()
    assert under_way == 0


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("431 420 97", Score(431, 420, 97)),
        ("431 0 0", Score(431)),
        ("0 0 0", Score(NO_SCORE)),
        ("7 9999 9999", Score(100, 500, 100)),
        ("", Score(NO_SCORE)),
        ("431", Score(NO_SCORE)),
        ("4.31 x -3", Score(NO_SCORE)),
        ("431 420 97 1", Score(NO_SCORE)),
    ],
)
def test_whatever_the_scoring_process_says_is_a_score_or_none(said: str, score: Score) -> None:
    assert _score_of(said.encode().split()) == score
