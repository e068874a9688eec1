"""The end of a box that gives a contact's sound back: an echo test over the whole way. Pure: takes `now_us`.

    CALLING --as long after the call came as no phone is picked up sooner--> ECHOING --End, or the longest time--> OVER

The phone of its port is the port itself: what the circuit brings comes back as that phone's RTP, and is in the circuit again at the next slot. So no frame passes
here, and none is kept. To relays and observers this is a call. Drivers: prober.py. NOT here: who may ask for it (limits.py). Spec: PROTOCOL.md §9.9.
"""

from __future__ import annotations

from enum import Enum, unique

from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Refuse
from voicebox.b2bua.ports import CircuitLeg, MediaPort
from voicebox.probe.ends import ANSWER_US
from voicebox.probe.stream import NEVER_US

LEAST_ECHO_S, MOST_ECHO_S = 300.0, 420.0
"""Between these the longest time is drawn: whoever forgets to hang up shows no length that is known."""


@unique
class EchoStage(Enum):
    """See the module's text."""

    CALLING = "calling"
    ECHOING = "echoing"
    OVER = "over"


class EchoingEnd:
    """One echo. port: its phone is itself already; most_us: how long the echo lasts, should the caller's box never say that it is over."""

    def __init__(self, codec: Codec, port: MediaPort, leg: CircuitLeg, now_us: int, most_us: int) -> None:
        self.stage = EchoStage.CALLING
        self.next_us = now_us + ANSWER_US
        """When handle_timer is to be called."""
        self._codec, self._port, self._leg, self._most_us = codec, port, leg, most_us

    @property
    def over(self) -> bool:
        """Return whether nothing more will happen."""
        return self.stage is EchoStage.OVER

    def handle_event(self, event: CallEvent, now_us: int) -> None:  # noqa: ARG002  # the shape of every end
        """Take what the caller's box says: a digit comes back, as sound does."""
        match event:
            case End() | Refuse():
                self._finish()
            case Digit() if self.stage is EchoStage.ECHOING:
                self._leg.send(event)
            case _:
                pass

    def handle_timer(self, now_us: int) -> None:
        """Answer, or end the call: it is long enough."""
        if self.next_us > now_us:
            return
        if self.stage is EchoStage.ECHOING:
            self.stop(now_us)
            return
        self.stage, self.next_us = EchoStage.ECHOING, now_us + self._most_us
        self._leg.send(Answer(self._codec))
        self._port.set_direction(to_phone=True, from_phone=True)
        self._leg.bind(self._port, self._codec)

    def stop(self, now_us: int) -> None:  # noqa: ARG002  # the shape of every end
        """Take that the box wants it to be over: the call ends."""
        if not self.over:
            self._finish()
            self._leg.send(End())

    def _finish(self) -> None:
        self.stage, self.next_us = EchoStage.OVER, NEVER_US
