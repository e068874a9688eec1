"""The end that gives sound back: when it answers, what it gives, and that it ends."""

from __future__ import annotations

from tests.support.probes import PlainPort
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Hold, Refusal, Refuse
from voicebox.b2bua.ports import MediaPort
from voicebox.probe.echo import EchoingEnd
from voicebox.probe.ends import ANSWER_US
from voicebox.probe.stream import NEVER_US

BEGAN_US, MOST_US = 7_000_000, 300_000_000


class Far:
    """The caller's box: remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[CallEvent] = []
        self.bound: list[tuple[MediaPort, Codec]] = []

    def send(self, event: CallEvent) -> None:
        self.told.append(event)

    def bind(self, port: MediaPort, codec: Codec) -> None:
        self.bound.append((port, codec))


def begun() -> tuple[EchoingEnd, Far, PlainPort]:
    far, port = Far(), PlainPort()
    return EchoingEnd(Codec.PCMU, port, far, BEGAN_US, MOST_US), far, port


def test_it_answers_when_a_knock_has_been_said_gives_digits_back_and_ends_in_the_end() -> None:
    end, far, port = begun()
    end.handle_event(Digit(3, 100), BEGAN_US)
    end.handle_timer(BEGAN_US + ANSWER_US - 1)
    assert (far.told, far.bound, port.open) == ([], [], (False, False))
    end.handle_timer(BEGAN_US + ANSWER_US)
    assert (far.told, far.bound, port.open) == ([Answer(Codec.PCMU)], [(port, Codec.PCMU)], (True, True))
    for event in (Hold(), Digit(4, 100)):
        end.handle_event(event, BEGAN_US + 2 * ANSWER_US)
    assert far.told == [Answer(Codec.PCMU), Digit(4, 100)]
    assert end.next_us == BEGAN_US + ANSWER_US + MOST_US
    end.handle_timer(end.next_us)
    assert end.over
    assert far.told[-1] == End()
    assert end.next_us == NEVER_US


def test_whoever_hangs_up_is_told_nothing_more() -> None:
    for event in (End(), Refuse(Refusal.NO_ANSWER)):
        end, far, _ = begun()
        end.handle_event(event, BEGAN_US + 1)
        end.stop(BEGAN_US + 2)
        end.handle_timer(BEGAN_US + ANSWER_US)
        assert end.over
        assert far.told == []


def test_the_box_ends_it_where_the_circuit_is_wanted() -> None:
    end, far, _ = begun()
    end.stop(BEGAN_US + 1)
    end.stop(BEGAN_US + 2)
    assert far.told == [End()]
