"""A meeting on its splice: a call in all that a junction sees, in which two boxes pair by words, and then a dummy for a drawn time.

It gives way to calls at any time; dummies and spares leave it alone until its words are said. NOT here: what is said (meeting.py). Driver: calls.py.
Pure: takes `now_us`. Spec: PROTOCOL.md §8.8.
"""

from __future__ import annotations

from voicebox.circuits.call import Call
from voicebox.circuits.call_circuits import BoxCircuits, CallCircuits
from voicebox.circuits.call_record import MEETING_TYPES
from voicebox.circuits.call_setting import CallSetting
from voicebox.circuits.call_state import DUMMY_SLACK_US, State
from voicebox.circuits.dummies import Script
from voicebox.circuits.meeting import Meeting

MEETING_US = 20_000_000
"""So long the two boxes have for what they say: ten times what it takes at 45 ms a link."""


class MeetingCall(Call):
    """One side of a meeting. rest: what it goes on as, once its words are said."""

    def __init__(self, setting: CallSetting, name: str, box: BoxCircuits, meeting: Meeting, rest: Script, now_us: int) -> None:
        super().__init__(setting, name, box, now_us)
        self._meeting, self._rest = meeting, rest
        self.circuits = CallCircuits(lambda: self, box)

    @property
    def is_call(self) -> bool:
        """Return that nobody talks."""
        return False

    @property
    def is_of_people(self) -> bool:
        """Return the same."""
        return False

    def message(self, octets: bytes, now_us: int) -> None:
        """Take a message. Raises RemoteError where it is not one for now."""
        if self.state is not State.OPEN or self.is_dummy or octets[0] not in MEETING_TYPES:
            super().message(octets, now_us)
            return
        self._meeting.message(octets, self._setting.date(now_us))
        if self._meeting.outcome is not None:
            self.script = self._rest
            self.deadline_us = now_us + self._rest.length_us + (0 if self._is_caller else DUMMY_SLACK_US)
            self._meeting.tell()

    def _open(self, now_us: int) -> None:
        self.state, self.ran = State.OPEN, True
        self.deadline_us = now_us + MEETING_US
        self._meeting.open(self._binding(caller=self._is_caller).digest(), self._send)

    def _ring(self) -> None:
        """Ring nobody."""
        self._rang = True

    def _finish(self, now_us: int, *, stay_quiet: bool = False) -> None:
        super()._finish(now_us, stay_quiet=stay_quiet)
        self._meeting.tell()
