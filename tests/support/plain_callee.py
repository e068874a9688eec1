"""A phone that is called, says the same whoever calls, and keeps every octet that its box sends it. [io]"""

from __future__ import annotations

import re
import threading
import time

from tests.support.canary import bound, md5
from voicebox.demo.phones import Login

TAG = "plaincallee"
POLL_S = 0.05
ANSWER_S = 8.0
FRAME = b"\xd5" * 160


class PlainCallee:
    """Registers, rings, answers at once in PCMA, which is all it has, sends silence. messages: SIP of the present call as it came; sound: RTP and RTCP likewise."""

    def __init__(self, login: Login, address: str) -> None:
        self.messages: list[bytes] = []
        self.sound: list[bytes] = []
        self._login, self._box = login, (login.host, login.port)
        self._sip, self._rtp, self._rtcp = (bound(address, POLL_S) for _ in range(3))
        self.address = address
        self._cseq = 0
        self._answers: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        """Register and serve."""
        self._thread.start()
        self._register(300)

    def stop(self) -> None:
        """Unregister and end."""
        self._register(0)
        self._stop.set()
        self._thread.join()
        for each in (self._sip, self._rtp, self._rtcp):
            each.close()

    def begin(self) -> None:
        """Forget the call before."""
        self.messages, self.sound = [], []

    def methods(self) -> list[str]:
        """Return the methods of the requests of the present call, repetitions left out."""
        return [message.split(b" ")[0].decode() for message in dict.fromkeys(self.messages)]

    def _register(self, expires_s: int) -> None:
        login = self._login
        uri, own, extra = f"sip:{login.host}", f"<sip:{login.user}@{login.host}>", ""
        for _ in range(2):
            self._cseq += 1
            lines = [
                f"REGISTER {uri} SIP/2.0",
                f"Via: SIP/2.0/UDP {self.address}:{self._sip.getsockname()[1]};branch=z9hG4bKreg{self._cseq};rport",
                "Max-Forwards: 70",
            ]
            lines += [f"From: {own};tag=reg", f"To: {own}", "Call-ID: registration", f"CSeq: {self._cseq} REGISTER", f"Expires: {expires_s}"]
            lines += [f"Contact: <sip:callee@{self.address}:{self._sip.getsockname()[1]}>", *([extra] if extra else []), "Content-Length: 0", "", ""]
            self._answers.clear()
            self._sip.sendto("\r\n".join(lines).encode(), self._box)
            answer = self._wait_for_answer().decode()
            if answer.startswith("SIP/2.0 200"):
                return
            fields = dict(
                re.findall(r'(\w+)="?([^",\r\n]+)"?', answer.partition("WWW-Authenticate: Digest ")[2] or answer.partition("www-authenticate: Digest ")[2])
            )
            secret = md5(f"{login.user}:{fields['realm']}:{login.password.reveal().decode()}")
            response = md5(f"{secret}:{fields['nonce']}:00000001:c:auth:{md5(f'REGISTER:{uri}')}")
            extra = f'Authorization: Digest username="{login.user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", response="{response}", '
            extra += 'cnonce="c", qop=auth, nc=00000001, algorithm=MD5'
        raise AssertionError("the box does not register the callee")

    def _wait_for_answer(self) -> bytes:
        ends = time.monotonic() + ANSWER_S
        while not self._answers:
            assert time.monotonic() < ends, "the box does not answer the callee"
            time.sleep(POLL_S / 5)
        return self._answers[0]

    def _serve(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                message = self._sip.recv(65_536)
            except TimeoutError:
                continue
            if message.startswith(b"SIP/2.0 "):
                self._answers.append(message)
                continue
            self.messages.append(message)
            method = message.split(b" ")[0]
            if method == b"INVITE" and b"a=rtpmap:8 " not in message:
                self._answer(message, "488 Not Acceptable Here")
            elif method == b"INVITE":
                self._answer(message, "180 Ringing")
                self._answer(message, "200 OK", self._sdp())
                media = re.search(rb"m=audio (\d+)", message)
                assert media is not None
                number += 1
                threading.Thread(target=self._talk, args=(int(media[1]), number, message), daemon=True).start()
            elif method != b"ACK":
                self._answer(message, "200 OK")

    def _sdp(self) -> str:
        port = self._rtp.getsockname()[1]
        lines = ["v=0", f"o=- 1 1 IN IP4 {self.address}", "s=-", f"c=IN IP4 {self.address}", "t=0 0", f"m=audio {port} RTP/AVP 8", "a=rtpmap:8 PCMA/8000"]
        return "\r\n".join([*lines, f"a=rtcp:{self._rtcp.getsockname()[1]}", "a=sendrecv", ""])

    def _answer(self, request: bytes, status: str, body: str = "") -> None:
        lines = [f"SIP/2.0 {status}"]
        for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
            name = line.partition(":")[0].lower()
            if name in {"via", "from", "call-id", "cseq"}:
                lines.append(line)
            elif name == "to":
                lines.append(line if ";tag=" in line else f"{line};tag={TAG}")
        lines += [f"Contact: <sip:callee@{self.address}:{self._sip.getsockname()[1]}>", *(["Content-Type: application/sdp"] if body else [])]
        self._sip.sendto("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode(), self._box)

    def _talk(self, port: int, number: int, invite: bytes) -> None:
        """Send silence and keep what is heard, until the BYE of this call."""
        call_id = re.search(rb"(?im)^call-id: *(.*?)\r", invite)
        assert call_id is not None
        sent = 0
        while not self._stop.is_set() and not any(message.startswith(b"BYE ") and call_id[1] in message for message in list(self.messages)) and sent < 1_000:
            head = b"\x80\x08" + sent.to_bytes(2) + (160 * sent).to_bytes(4) + number.to_bytes(4)
            self._rtp.sendto(head + FRAME, (self._box[0], port))
            sent += 1
            ends = time.monotonic() + 0.02
            while (left := ends - time.monotonic()) > 0:
                self._rtp.settimeout(left)
                try:
                    self.sound.append(self._rtp.recv(2_048))
                except TimeoutError:
                    break
