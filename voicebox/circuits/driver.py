"""Brings the engine's events and the time to the standing circuits and calls of a box. [io: the loop's timer]

Decides nothing. Spec: PROTOCOL.md §5 to §9 through what it drives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicebox.circuits.calls import Calls
from voicebox.circuits.dummies import Dummies
from voicebox.circuits.record_rounds import RecordRounds
from voicebox.circuits.speech import Speech
from voicebox.circuits.standing import StandingCircuits
from voicebox.dataplane import (
    Answered,
    CircuitEnded,
    CreateAsked,
    Created,
    EngineFailed,
    Event,
    ExtendAsked,
    Heard,
    LinkDown,
    LinkFailed,
    LinkUp,
    MediaFailed,
    MessageHeard,
    OwnCircuitEnded,
    PhoneDigit,
    QuestionAsked,
    Refused,
    Silent,
    Taped,
)

LONGEST_SLEEP_S = 1.0
"""Network time follows the machine's clock only roughly; so the next deadline is looked at anew at least that often."""

AFTER_FAULT_S = 0.2


class CircuitDriver:
    """Drives one box. clock() is network time in microseconds; on_failed is called where the engine is gone."""

    def __init__(
        self,
        standing: StandingCircuits,
        calls: Calls,
        dummies: Dummies,
        records: RecordRounds,
        clock: Callable[[], int],
        on_failed: Callable[[], None],
    ) -> None:
        self._standing, self._calls, self._dummies, self._records, self._clock, self._on_failed = standing, calls, dummies, records, clock, on_failed
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Begin; within the running loop."""
        self._tick()

    def stop(self) -> None:
        """Give up all circuits and end the timer; idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._standing.close()

    def wake(self) -> None:
        """Look at the deadlines again: a call began."""
        self._arm()

    def look_at_addresses(self) -> None:
        """See whether the machine sends from another address."""
        if not self._closed:
            self._standing.look_at_addresses(self._clock())
            self._arm()

    def take_silence(self, heard: list[tuple[int, int]]) -> None:
        """Take how long each link was silent."""
        if not self._closed:
            self._standing.take_silence(heard, self._clock())
            self._arm()

    def handle_event(self, event: Event) -> None:
        """Feed one event, then arm the timer."""
        if not self._closed:
            self._feed(event, self._clock())
            self._arm()

    def _feed(self, event: Event, now_us: int) -> None:
        match event:
            case LinkUp(link):
                self._standing.link_up(link, now_us)
            case Created(link, _, payload):
                self._standing.created(link, payload, now_us)
            case Answered(link, _, _, Speech.KNOCKED, payload):
                self._calls.knocked(link, payload, now_us)
            case Answered(link, _, hop, Speech.ANSWERED, payload):
                self._standing.answer(link, hop, Speech.ANSWERED, payload, now_us)
                self._records.answered(link, payload, now_us)
            case Answered(link, _, hop, kind, payload):
                self._standing.answer(link, hop, kind, payload, now_us)
            case LinkFailed(link) | LinkDown(link) | Refused(link) | OwnCircuitEnded(link):
                self._standing.lost(link, now_us)
            case Heard(link, _, key_index):
                self._calls.heard(link, key_index, now_us)
            case MessageHeard(link, _, message):
                self._calls.message(link, message, now_us)
            case Silent(link):
                self._calls.silent(link, now_us)
            case EngineFailed():
                self._on_failed()
            case CreateAsked() | ExtendAsked() | QuestionAsked() | CircuitEnded() | PhoneDigit() | Taped() | MediaFailed():
                pass  # a relay's; or a digit, a tape or a failure of a port that nobody listens to any more

    def _tick(self) -> None:
        self._timer = None
        try:
            self._run()
        except Exception:
            # A fault of ours in one circuit or call must not stop the clock of the others; nor may it come back at once for ever.
            self._timer = asyncio.get_running_loop().call_later(AFTER_FAULT_S, self._tick)
            raise
        self._arm()

    def _run(self) -> None:
        now_us = self._clock()
        if self._standing.next_timer() <= now_us:
            self._standing.handle_timer(now_us)
        self._calls.handle_timer(now_us)
        self._dummies.handle_timer(now_us)
        self._records.handle_timer(now_us)

    def _arm(self) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        now_us = self._clock()
        due_us = min(self._standing.next_timer(), self._dummies.next_timer(), self._records.next_timer())
        call_us = self._calls.next_timer()
        if call_us is not None:
            due_us = min(due_us, call_us)
        self._timer = asyncio.get_running_loop().call_later(min(LONGEST_SLEEP_S, max(0.0, (due_us - now_us) / 1e6)), self._tick)
