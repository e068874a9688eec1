"""The table of a call: any order of events keeps its promises."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.voicebox.b2bua.loopback import PlainMedia, PlainPort
from voicebox.b2bua.call import Call, CallState, CircuitParty, Side
from voicebox.b2bua.context import DialogUser, LegContext, LegTimer
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Hold, Offer, Progress, Refusal, Refuse, Resume, Ringing
from voicebox.b2bua.ports import MediaPort
from voicebox.sip.identifiers import Identifiers
from voicebox.sip.transaction import TransactionLayer

EVENTS: list[CallEvent] = [
    Ringing(),
    Progress(Codec.PCMA),
    Answer(Codec.PCMA),
    Answer(Codec.OPUS),
    Refuse(Refusal.BUSY),
    Hold(),
    Resume(),
    Digit(1, 100),
    End(),
    Offer((Codec.PCMA,)),
]


class Listener:
    dialog: DialogUser | None = None
    user = ""

    def __init__(self, port: MediaPort | None) -> None:
        self.port = port
        self.heard: list[CallEvent] = []

    def handle(self, event: CallEvent, now: float) -> None:
        self.heard.append(event)

    def connect(self, port: MediaPort, codec: Codec) -> None:
        raise AssertionError("a circuit is connected with a phone, not a phone with a circuit")


class Circuit:
    def __init__(self) -> None:
        self.heard: list[CallEvent] = []
        self.bound: list[Codec] = []

    def send(self, event: CallEvent) -> None:
        self.heard.append(event)

    def bind(self, port: MediaPort, codec: Codec) -> None:
        self.bound.append(codec)


def made(circuit_side: Side, on_end: Callable[[Call], None]) -> tuple[Call, Circuit, Listener, LegContext]:
    identifiers = Identifiers(random.Random(1).randbytes)
    context = LegContext(TransactionLayer(identifiers), identifiers, PlainMedia(), lambda function: None)
    call = Call(context, Offer((Codec.PCMA,)), on_end)
    circuit, phone = Circuit(), Listener(PlainPort(30_000))
    call.parties[circuit_side] = CircuitParty(circuit)
    call.parties[Side.CALLER if circuit_side is Side.CALLEE else Side.CALLEE] = phone
    call.started(0.0)
    return call, circuit, phone, context


@pytest.mark.parametrize("circuit_side", list(Side))
def test_any_order_of_events(circuit_side: Side) -> None:
    rng = random.Random(7)
    reached = set()
    for _ in range(3_000):
        ended: list[Call] = []
        call, circuit, phone, context = made(circuit_side, ended.append)
        for _ in range(rng.randrange(1, 12)):
            before, heard = call.state, len(circuit.heard) + len(phone.heard)
            side, event = rng.choice(list(Side)), rng.choice(EVENTS)
            call.tell(side, event, 1.0)
            order = list(CallState)
            assert order.index(call.state) >= order.index(before), "a call only goes on"
            if before is CallState.ENDED:
                assert len(circuit.heard) + len(phone.heard) == heard, "nothing passes after the end"
            reached.add(call.state)
        assert len(ended) == (call.state is CallState.ENDED)
        for told in (circuit.heard, phone.heard):
            finals = [event for event in told if isinstance(event, End | Refuse)]
            assert len(finals) <= 1
            assert not finals or told[-1] == finals[0]
        assert set(circuit.bound) <= {Codec.PCMA}
        assert (context.timers.next() is None) == (call.state in {CallState.TALKING, CallState.ENDED})
    assert reached == set(CallState)


def test_the_far_box_cannot_make_the_phone_hear_a_codec_that_was_not_offered() -> None:
    ended: list[Call] = []
    call, circuit, phone, _ = made(Side.CALLEE, ended.append)
    call.tell(Side.CALLEE, Progress(Codec.OPUS), 1.0)
    assert call.broken
    assert (circuit.heard, phone.heard, circuit.bound) == ([End()], [End()], [])


def test_nobody_answers() -> None:
    ended: list[Call] = []
    call, circuit, phone, _ = made(Side.CALLEE, ended.append)
    call.timer_due(LegTimer.RINGING, 90.0)
    assert (circuit.heard, phone.heard) == ([End()], [Refuse(Refusal.NO_ANSWER)])
    assert ended == [call]
