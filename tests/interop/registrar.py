"""A registrar of the smallest kind, so that the drivers of the phones can be tested before and without a box. [io]

REGISTER with MD5 digest (RFC 3261 §22, RFC 2617) over UDP and TCP; everything else is answered 405. One user.
"""

from __future__ import annotations

import hashlib
import re
import socketserver
import threading
from types import TracebackType
from typing import Self

REALM, NONCE = "test", "0123456789abcdef"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Registrar:
    """Serves at 127.0.0.1:port until the context ends. taken, refused: how often a registration was."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.taken = self.refused = 0
        self._key = _md5(f"{user}:{REALM}:{password}")
        self._servers: list[_Udp | _Tcp] = [_Udp(("127.0.0.1", port), _UdpHandler), _Tcp(("127.0.0.1", port), _TcpHandler)]
        for server in self._servers:
            server.registrar = self

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def answer(self, request: str) -> str:
        """Return the response to a request."""
        head = request.partition("\r\n\r\n")[0].split("\r\n")
        copied = [line for line in head[1:] if line.lower().startswith(("via:", "from:", "call-id:", "cseq:", "v:", "f:", "i:"))]
        to = next((line for line in head[1:] if line.lower().startswith(("to:", "t:"))), "To: x")
        status, extra = self._judge(head)
        return "\r\n".join([f"SIP/2.0 {status}", *copied, f"{to};tag=r", *extra, "Content-Length: 0", "", ""])

    def _judge(self, head: list[str]) -> tuple[str, list[str]]:
        if not head[0].startswith("REGISTER "):
            return "405 Method Not Allowed", []
        credentials = next((line for line in head if line.lower().startswith("authorization:")), "")
        if not credentials:
            return "401 Unauthorized", [f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", algorithm=MD5']
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', credentials.partition("Digest")[2]))
        expected = _md5(f"{self._key}:{NONCE}:{_md5('REGISTER:' + fields.get('uri', ''))}")
        if fields.get("response") != expected:
            self.refused += 1
            return "403 Forbidden", []
        self.taken += 1
        contacts = [line for line in head if line.lower().startswith(("contact:", "m:"))]
        return "200 OK", [line if "expires=" in line else f"{line};expires=300" for line in contacts]


class _Udp(socketserver.ThreadingUDPServer):
    allow_reuse_address = True
    daemon_threads = True
    registrar: Registrar


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    registrar: Registrar


class _UdpHandler(socketserver.DatagramRequestHandler):
    server: _Udp

    def handle(self) -> None:
        octets = self.rfile.read()
        if octets.strip():
            self.wfile.write(self.server.registrar.answer(octets.decode("utf-8", "replace")).encode())


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _Tcp
    timeout = 30

    def handle(self) -> None:
        text = ""
        while line := self.rfile.readline(65536):
            text += line.decode("utf-8", "replace")
            if text.endswith("\r\n\r\n") and text.strip():
                self.wfile.write(self.server.registrar.answer(text).encode())
                text = ""
