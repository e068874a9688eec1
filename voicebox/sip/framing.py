"""SIP messages on a stream: where one ends and the next begins. Pure.

Drivers: transport.py feeds what came; frames and pings come out. A stream whose framing is lost cannot be found again
(RFC 3261 §18.3), so StreamBroken is for ever and the connection is closed.
Spec: RFC 3261 §7.5, §18.3, §20.14; RFC 5626 §4.4.1 (CRLF pings).
"""

from __future__ import annotations

import re

from voicebox.errors import RemoteError
from voicebox.sip.headers import MAX_HEADERS
from voicebox.sip.message import MAX_BODY_OCTETS, MAX_LINE_OCTETS, MAX_MESSAGE_OCTETS

MAX_HEAD_OCTETS = MAX_MESSAGE_OCTETS - MAX_BODY_OCTETS
# Folding is allowed between name, colon and number (RFC 4475 §3.1.1.1 writes `Content-Length   : 150`).
_CONTENT_LENGTH = re.compile(rb"(?:^|\r\n)(?:content-length|l)[ \t]*:[ \t]*(?:\r\n[ \t]+)?([^\r\n]*)", re.IGNORECASE)


class StreamBroken(RemoteError):
    """The peer's octets cannot be cut into messages; close the connection."""


class Framer:
    """Cut a stream into messages. Contract: feed(), then take what it returns; after StreamBroken throw it away."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.pings = 0
        """Double CRLFs that have come since take_pings()."""

    def take_pings(self) -> int:
        """Return the number of pings to answer, each with one CRLF, and forget them."""
        pings, self.pings = self.pings, 0
        return pings

    def feed(self, octets: bytes) -> list[bytes]:
        """Take octets and return the messages that they complete. Raises StreamBroken."""
        self._buffer += octets
        frames: list[bytes] = []
        while True:
            self._skip_line_ends()
            end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_OCTETS + 4)
            if end < 0:
                if len(self._buffer) > MAX_HEAD_OCTETS:
                    raise StreamBroken("header fields too long")
                return frames
            total = end + 4 + self._body_octets(bytes(self._buffer[:end]))
            if len(self._buffer) < total:
                return frames
            frames.append(bytes(self._buffer[:total]))
            del self._buffer[:total]

    def _skip_line_ends(self) -> None:
        while self._buffer.startswith(b"\r\n\r\n"):
            self.pings += 1
            del self._buffer[:4]
        # A single CRLF may be the first half of a ping; it is skipped only when something else follows it.
        if self._buffer.startswith(b"\r\n") and len(self._buffer) > 2 and self._buffer[2:3] != b"\r":
            del self._buffer[:2]

    @staticmethod
    def _body_octets(head: bytes) -> int:
        found = _CONTENT_LENGTH.findall(head)
        if head.count(b"\r\n") > 2 * MAX_HEADERS or len(head) > MAX_HEADERS * MAX_LINE_OCTETS:
            raise StreamBroken("too many header fields")
        # Mandatory on streams (RFC 3261 §20.14), and two of them could be read in two ways by two readers.
        if len(found) != 1 or not re.fullmatch(rb"[0-9]{1,8}[ \t]*", found[0]):
            raise StreamBroken("no single Content-Length")
        length = int(found[0])
        if length > MAX_BODY_OCTETS:
            raise StreamBroken("body too long")
        return length
