"""One browser at its box: the JSON socket on one side, the connection to the box on the other, an agent and a call's sound between. [io]

From the browser, one object each: {"do": "dial", "to", "sdp"}, {"do": "answer", "sdp"}, hang_up, hold with "on", {"do": "digit", "digit"},
{"do": "text", "to", "text"}. To it: {"event": ...}, and {"sdp": ...} as the answer to an offer. aiortc is loaded with the first call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from voicebox.browser.agent import Account, Agent, CallState, Where
from voicebox.errors import HostError, UsageError
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.framing import Framer, StreamBroken

READ_OCTETS = 1 << 16
MAX_TO = 255
CROSSED_S = 3.0
"""So long at most the box may take to say what became of a call that was given up."""


class Line:
    """say(object): to the browser. addresses: of this machine, where the browser may find our side of the sound. Contract: start(), handle() for what it says, stop()."""

    def __init__(self, account: Account, host: str, port: int, addresses: list[str], say: Callable[[dict[str, Any]], None]) -> None:
        self.host, self._port, self._addresses, self._say = host, port, addresses, say
        self._agent = Agent(account, secrets.token_bytes, lambda event, **more: self._tell(event, more), self._use)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.sound: Any = None
        self._closing: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def start(self) -> None:
        """Connect with the box and register. Raises HostError."""
        try:
            reader, self._writer = await asyncio.open_connection(self.host, self._port, local_addr=(self.host, 0))
        except OSError:
            raise HostError("The box does not take phones over TCP here.") from None
        local = self._writer.get_extra_info("sockname")
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))
        self._agent.connected(Flow(Transport.TCP, 1, local[0], local[1], self.host, self._port), time.monotonic())
        self._flush()

    async def stop(self) -> None:
        """Hang up and go; idempotent."""
        if self._writer is not None:
            self._ended.clear()
            self._agent.hang_up(time.monotonic())
            self._flush()
            if self._agent.state is CallState.CALLING:  # an answer that is under way gets its BYE, else the other side talks to nobody for half a minute
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CROSSED_S):
                        await self._ended.wait()
            self._writer.close()
            self._writer = None
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._timer is not None:
            self._timer.cancel()
        self._end_sound()
        for task in list(self._closing):
            await task

    async def handle(self, text: str) -> None:
        """Do what the browser asks. Raises UsageError where that is nothing."""
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):
            raise UsageError("This is no JSON.") from None
        now = time.monotonic()
        match asked:
            case {"do": "dial", "to": str(to), "sdp": str(sdp)} if _can_be_dialled(to):
                if self._agent.state is CallState.NONE and self.sound is None:
                    self._agent.dial(to, await self.open_sound(sdp), now)
            case {"do": "answer", "sdp": str(sdp)}:
                if self._agent.state is CallState.RINGING and self.sound is None:
                    self._agent.answer(await self.open_sound(sdp), now)
            case {"do": "hang_up"}:
                self._agent.hang_up(now)
            case {"do": "hold", "on": bool(on)}:
                self._agent.hold(on=on, now=now)
            case {"do": "digit", "digit": str(digit)}:
                if self.sound is not None:
                    try:
                        self.sound.digit(digit)
                    except ValueError:
                        raise UsageError("This is no digit.") from None
            case {"do": "text", "to": str(to), "text": str(text)} if _can_be_dialled(to):
                self._agent.text(to, text, now)
            case _:
                raise UsageError("A phone does not do that.")
        if self._agent.state is CallState.NONE:
            self._end_sound()  # who called has given up meanwhile
        self._flush()

    # ------------------------------------------------------------------------------------------------------------- inside

    async def open_sound(self, sdp: str) -> int:
        """Open the sound of a call with the browser's offer; return its port towards the box. Raises UsageError for an offer that will not do."""
        from voicebox.browser.sound import Sound  # noqa: PLC0415 - aiortc is heavy, and wanted by who calls alone

        sound = Sound(self._addresses, self._gone)
        try:
            port = await sound.open(self.host)
            self._say({"sdp": await sound.offered(sdp)})
        except BaseException:
            await sound.close()
            raise
        self.sound = sound
        return port

    def _end_sound(self) -> None:
        sound, self.sound = self.sound, None
        if sound is not None:
            task = asyncio.get_running_loop().create_task(sound.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _gone(self) -> None:
        self._agent.hang_up(time.monotonic())
        self._flush()

    def _use(self, where: Where | None) -> None:
        if self.sound is not None:
            self.sound.use(where)

    def _tell(self, event: str, more: dict[str, Any]) -> None:
        if event == "ended":
            self._ended.set()
            self._end_sound()
        self._say({"event": event, **more})

    async def _read(self, reader: asyncio.StreamReader) -> None:
        framer = Framer()
        try:
            while octets := await reader.read(READ_OCTETS):
                for message in framer.feed(octets):
                    self._agent.receive(message, time.monotonic())
                self._flush()
        except (OSError, StreamBroken):
            pass
        self._say({"event": "gone"})

    def _flush(self) -> None:
        for octets in self._agent.poll(time.monotonic()):
            if self._writer is not None:
                self._writer.write(octets)
        if self._timer is not None:
            self._timer.cancel()
        due = self._agent.next_timer()
        self._timer = None if due is None else asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._agent.handle_timer(time.monotonic())
        self._flush()


def _can_be_dialled(to: str) -> bool:
    return 0 < len(to) <= MAX_TO and to.isprintable() and not set(to) & set(' <>"')
