"""The line of a browser that goes while its call is being answered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from voicebox.browser.agent import Account
from voicebox.browser.line import Line
from voicebox.sensitive import Secret

HERE = "127.0.0.1"
SDP = f"v=0\r\no=- 1 1 IN IP4 {HERE}\r\ns=-\r\nc=IN IP4 {HERE}\r\nt=0 0\r\nm=audio 4002 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"


class Box:
    """Says 100 to a call; says 200 to it when it is given up, as if that had been under way, or nothing more."""

    def __init__(self, *, answers: bool) -> None:
        self.methods: list[str] = []
        self._answers, self._invite = answers, ""
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = next((int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length")), 0)
                await reader.readexactly(length)
                method = head.split(" ", 1)[0]
                self.methods.append(method)
                if method == "INVITE":
                    self._invite = head
                    writer.write(answer(head, "100 Trying"))
                elif method == "CANCEL" and self._answers:
                    writer.write(answer(self._invite, "200 OK", f"Contact: <sip:box@{HERE}>\r\nContent-Type: application/sdp\r\n", SDP))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.done.set()


def answer(request: str, status: str, more: str = "", body: str = "") -> bytes:
    kept = [line for line in request.split("\r\n") if line.lower().startswith(("via:", "from:", "call-id:", "cseq:"))]
    to = next(line for line in request.split("\r\n") if line.lower().startswith("to:"))
    return "\r\n".join([f"SIP/2.0 {status}", *kept, f"{to};tag=box", f"{more}Content-Length: {len(body)}", "", body]).encode()


async def goes(box: Box) -> tuple[list[str], float]:
    """Let a browser go right after it called; return what the box was asked and how long that took."""
    told: list[dict[str, Any]] = []
    server = await asyncio.start_server(box.serve, HERE, 0)
    line = Line(Account("browser", Secret(b"password"), HERE), HERE, server.sockets[0].getsockname()[1], [HERE], told.append)
    await line.start()
    line._agent.dial("bob", 4_000, time.monotonic())
    line._flush()
    async with asyncio.timeout(5):
        while {"event": "calling"} not in told:  # noqa: ASYNC110 - a list
            await asyncio.sleep(0.01)
    began = time.monotonic()
    await line.stop()
    took = time.monotonic() - began
    async with asyncio.timeout(5):
        await box.done.wait()
    server.close()
    return box.methods, took


async def test_a_call_that_is_answered_while_its_browser_goes_is_ended() -> None:
    methods, _ = await goes(Box(answers=True))
    assert methods == ["REGISTER", "INVITE", "CANCEL", "ACK", "BYE"]


async def test_a_box_that_says_nothing_more_keeps_nobody(monkeypatch: Any) -> None:
    monkeypatch.setattr("voicebox.browser.line.CROSSED_S", 0.2)
    methods, took = await goes(Box(answers=False))
    assert methods == ["REGISTER", "INVITE", "CANCEL"]
    assert 0.1 < took < 3
