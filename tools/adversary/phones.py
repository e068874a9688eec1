"""Scripted phones, all in one process: they register, call by a schedule, answer at once, and send a frame every 20 ms whether they are in a call or not. [io]

    python -m tools.adversary.phones < SCHEDULE > WHAT HAPPENED

Out of a call a frame goes to a port that nobody reads, so that the load of a phone is the same at all times and cannot be what tells a call from idle.
In the place of a call a box may probe the other, as its user can ask it to.
NOT here: anything that listens to sound. Frames that came are counted, for a call in which none came is no call.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from voicebox.control import ask
from voicebox.errors import VoiceboxError

REPLY_TIMEOUT_S = 4.0
FRAME_S = 0.02
Address = tuple[str, int]


@dataclass(frozen=True)
class Account:
    """A phone and the box it belongs to."""

    name: str
    box: Address
    user: str
    password: str
    own: Address


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def header(text: str, name: str) -> str:
    """Return a header of a SIP message, empty where it has none."""
    found = re.search(rf"^{name} *: *(.*?)\r?$", text, re.MULTILINE | re.IGNORECASE)
    return found.group(1) if found else ""


class Phone(asyncio.DatagramProtocol):
    """One phone: one registration, at most one call."""

    def __init__(self, account: Account, patience_s: float = REPLY_TIMEOUT_S) -> None:
        """Raises OSError where its address is not of this machine. patience_s: how long a final response is waited for, which of an INVITE comes when somebody answers."""
        self.account = account
        self._patience_s = patience_s
        self.media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.media.bind((account.own[0], 0))
        self.media.setblocking(False)
        self.dead = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.dead.bind((account.own[0], 0))
        self.to: Address | None = None
        self.sequence, self.ssrc = secrets.randbelow(2**15), secrets.randbits(32)
        self.call_id = self.remote = self.theirs = self.ours = ""
        self.number = 100
        self.final = ""
        """The last final response, empty where none came."""
        self._waiting: dict[tuple[int, str], asyncio.Future[str]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    # Wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # which it is in fact, though not by its class in 3.11

    def send(self, lines: list[str], body: str = "") -> None:
        """Send a SIP message to the box."""
        assert self._transport is not None
        self._transport.sendto("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode(), self.account.box)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Take a response or a request."""
        del addr
        text = data.decode("utf-8", "replace")
        if text.startswith("SIP/2.0 "):
            number, _, method = header(text, "CSeq").partition(" ")
            waiting = self._waiting.get((int(number), method.strip()))
            if waiting and not waiting.done() and int(text[8:11]) >= 200:
                waiting.set_result(text)
        else:
            self._requested(text)

    def _requested(self, text: str) -> None:
        method = text.split(" ", 1)[0]
        if method == "ACK":
            return
        if method != "INVITE":
            self._respond(text, "200 OK")
            if method == "BYE":
                self.to = None
            return
        self.ours, self.call_id = secrets.token_hex(5), header(text, "Call-ID")
        self._respond(text, "180 Ringing")
        self.to, self.theirs = media_of(text), header(text, "From")
        self._respond(text, "200 OK", self._description())

    def _respond(self, request: str, status: str, body: str = "") -> None:
        vias = re.findall(r"^(Via *:.*?)\r?$", request, re.MULTILINE | re.IGNORECASE)
        to = header(request, "To")
        tagged = to if ";tag=" in to else f"{to};tag={self.ours or secrets.token_hex(5)}"
        lines = [f"SIP/2.0 {status}", *vias, f"From: {header(request, 'From')}", f"To: {tagged}"]
        lines += [f"Call-ID: {header(request, 'Call-ID')}", f"CSeq: {header(request, 'CSeq')}", self._contact()]
        self.send([*lines, *(["Content-Type: application/sdp"] if body else [])], body)

    def _contact(self) -> str:
        return f"Contact: <sip:{self.account.user}@{self.account.own[0]}:{self.account.own[1]}>"

    def _description(self) -> str:
        address, port = self.media.getsockname()
        media = [f"m=audio {port} RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=ptime:20", "a=sendrecv"]
        return "\r\n".join(["v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0", *media, ""])

    def close(self) -> None:
        """Let all sockets go."""
        for each in (self._transport, self.media, self.dead):
            if each is not None:
                each.close()

    # Asking

    def _request(self, method: str, uri: str, to: str, extra: list[str], body: str) -> None:
        account = self.account
        lines = [
            f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {account.own[0]}:{account.own[1]};branch=z9hG4bK{secrets.token_hex(6)};rport", "Max-Forwards: 70",
            f"From: <sip:{account.user}@{account.box[0]}>;tag={self.ours}", f"To: {to}", f"Call-ID: {self.call_id}", f"CSeq: {self.number} {method}",
            self._contact(), *extra,
        ]  # fmt: skip
        self.send(lines, body)

    async def _ask(self, method: str, uri: str, to: str, extra: list[str], body: str = "") -> str:
        """Send a request, with credentials once it is challenged; return the final response, empty where none came."""
        credentials: list[str] = []
        for _ in range(2):
            self.number += 1
            future = self._waiting[self.number, method] = asyncio.get_running_loop().create_future()
            self._request(method, uri, to, [*extra, *credentials], body)
            self.final = ""
            try:
                final: str = await asyncio.wait_for(future, self._patience_s)
                self.final = final
            except TimeoutError:
                return ""
            finally:
                del self._waiting[self.number, method]
            if method == "INVITE" and not final.startswith("SIP/2.0 2"):
                self._request("ACK", uri, header(final, "To"), [], "")
            if final[8:11] not in ("401", "407"):
                return final
            credentials = [self._credentials(method, uri, final)]
        return ""

    def _credentials(self, method: str, uri: str, challenge: str) -> str:
        name = "WWW-Authenticate" if challenge[8:11] == "401" else "Proxy-Authenticate"
        fields = dict(re.findall(r'(\w+)="?([^",\r\n]+)"?', header(challenge, name)))
        secret, cnonce = _md5(f"{self.account.user}:{fields['realm']}:{self.account.password}"), secrets.token_hex(4)
        answer = _md5(f"{secret}:{fields['nonce']}:00000001:{cnonce}:auth:{_md5(f'{method}:{uri}')}")
        opaque = f', opaque="{fields["opaque"]}"' if "opaque" in fields else ""
        return (
            f'{name.replace("WWW-Authenticate", "Authorization").replace("Proxy-Authenticate", "Proxy-Authorization")}: Digest username="{self.account.user}", '
            f'realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", response="{answer}", cnonce="{cnonce}", qop=auth, nc=00000001, algorithm=MD5{opaque}'
        )

    async def register(self, expires_s: int = 3_600) -> bool:
        """Register with the box; for no time: be there no more."""
        self.call_id, self.ours = secrets.token_hex(8), secrets.token_hex(5)
        account = self.account
        final = await self._ask("REGISTER", f"sip:{account.box[0]}", f"<sip:{account.user}@{account.box[0]}>", [f"Expires: {expires_s}"])
        return final.startswith("SIP/2.0 200")

    async def dial(self, uri: str) -> bool:
        """Call, and return whether it was answered."""
        self.call_id, self.ours = secrets.token_hex(8), secrets.token_hex(5)
        final = await self._ask("INVITE", uri, f"<{uri}>", ["Content-Type: application/sdp"], self._description())
        if not final.startswith("SIP/2.0 200"):
            return False
        self.theirs, self.remote = header(final, "To"), header(final, "Contact").strip("<>")
        self._request("ACK", self.remote, self.theirs, [], "")
        self.to = media_of(final)
        return True

    async def hang_up(self) -> bool:
        """End the call."""
        self.to = None
        return (await self._ask("BYE", self.remote, self.theirs, [])).startswith("SIP/2.0 200")

    # Sound

    def frame(self) -> None:
        """Send the frame of this 20 ms."""
        self.sequence += 1
        packet = struct.pack("!BBHII", 0x80, 8, self.sequence % 2**16, 160 * self.sequence % 2**32, self.ssrc) + bytes([0xD5]) * 160
        with contextlib.suppress(OSError):
            self.media.sendto(packet, self.to or self.dead.getsockname())

    def count_heard(self) -> int:
        """Return how many datagrams wait at the media port, and take them away."""
        heard = 0
        with contextlib.suppress(BlockingIOError):
            while self.media.recv(2_048):
                heard += 1
        return heard


def media_of(text: str) -> Address | None:
    """Return where a message with a session description wants sound."""
    port, address = re.search(r"^m=audio (\d+)", text, re.MULTILINE), re.search(r"^c=IN IP4 (\S+)", text, re.MULTILINE)
    return (address.group(1), int(port.group(1))) if port and address else None


async def _talk(phones: list[Phone], until_s: float) -> None:
    """Send the frames of all phones, spread over each 20 ms."""
    begin_s, turn = time.monotonic(), 0
    while time.monotonic() < until_s:
        phones[turn % len(phones)].frame()
        turn += 1
        wait_s = begin_s + turn * FRAME_S / len(phones) - time.monotonic()
        if wait_s > 0.0005:
            await asyncio.sleep(wait_s)
        elif turn % len(phones) == 0:
            await asyncio.sleep(0)


async def _block(caller: Phone, callee: Phone, peer: str, begin_s: float, end_s: float) -> dict[str, Any]:
    """Make one call in a block."""
    await asyncio.sleep(max(0.0, begin_s - time.monotonic()))
    callee.count_heard()
    answered = await caller.dial(f"sip:{peer}.privacy")
    await asyncio.sleep(max(0.0, end_s - time.monotonic()))
    if not answered:
        return {"answered": False, "heard": 0, "ended": False}
    heard = min(caller.count_heard(), callee.count_heard())
    return {"answered": True, "heard": heard, "ended": await caller.hang_up()}


async def _probe(home: Path, peer: str, begin_s: float, end_s: float) -> dict[str, Any]:
    """Let a box probe another in a block; heard: frames of the other's that came in time."""
    await asyncio.sleep(max(0.0, begin_s - time.monotonic()))
    seconds = max(1, int(end_s - begin_s))
    try:
        if not (await asyncio.to_thread(ask, home, "probe", step="begin", petname=peer, codec="pcma", seconds=seconds))["begun"]:
            return {"answered": False, "heard": 0, "ended": False}  # the last one was not ended
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
        told = await asyncio.to_thread(ask, home, "probe", step="look", there=0, back=0, trips=0)
        await asyncio.to_thread(ask, home, "probe", step="end")
    except VoiceboxError:
        return {"answered": False, "heard": 0, "ended": False}
    return {"answered": bool(told["back"]), "heard": len(told["back"]), "ended": True}


async def run(schedule: dict[str, Any]) -> dict[str, Any]:
    """Carry out a schedule: accounts, and blocks (pair of names, begin and end in seconds from now; probe: the caller's directory, empty for a call).

    Return what became of each block.
    """
    loop = asyncio.get_running_loop()
    phones: dict[str, Phone] = {}
    for each in schedule["accounts"]:
        account = Account(each["name"], tuple(each["box"]), each["user"], each["password"], tuple(each["own"]))
        phone = Phone(account)
        await loop.create_datagram_endpoint(lambda phone=phone: phone, local_addr=account.own)  # type: ignore[misc]  # mypy has no type for a lambda with a default
        if not await phone.register():
            raise RuntimeError("a phone could not register")
        phones[account.name] = phone
    begin_s = time.monotonic() + 0.5
    origin_ns = time.time_ns() + 500_000_000
    talking = asyncio.create_task(_talk(list(phones.values()), begin_s + schedule["seconds"]))
    calls = [
        _probe(Path(block["probe"]), block["callee"], begin_s + block["begin_s"], begin_s + block["end_s"])
        if block["probe"]
        else _block(phones[block["caller"]], phones[block["callee"]], block["callee"], begin_s + block["begin_s"], begin_s + block["end_s"])
        for block in schedule["blocks"]
    ]
    outcomes = await asyncio.gather(*calls)
    await talking
    return {"origin_ns": origin_ns, "outcomes": outcomes}


def main() -> None:
    """Run the schedule on standard input."""
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
