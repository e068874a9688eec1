"""The process beside a box that speaks TLS with programs and with contacts' services in their place. [io]

It has the two sockets of each flow, which the box hands over, and keys that the box made for one name each and for days; no key of the box, of a phone or of a contact, and of the box
no file. So what is hostile in a handshake meets no more than that. `python -I -m voicebox.streams.tls_process` with one end of a socket pair as its standard input; it ends when the other
end does. NOT here: TLS (tls_flow.py), decisions (tls_ends.py).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from voicebox.errors import RemoteError
from voicebox.own_process import NICER, keep_memory_private
from voicebox.streams.tls_flow import NEVER, State, TlsFlow
from voicebox.streams.tls_words import MAX_WORD_OCTETS, Begin, parse_word, serialise_word

CHUNK_OCTETS = 16_384
DRAIN_S, CLOSE_S = 120.0, 10.0
"""Once a flow has ended: so long nothing may be taken of what is left, and so long the other end may stay when all was sent."""
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(eq=False, slots=True)
class _Side:
    """One of the two connections of a flow. is_program: which; has_ended: nothing more comes; is_shut: all was sent, and that was told; is_gone: it is closed."""

    own: socket.socket
    is_program: bool
    has_ended: bool = False
    is_shut: bool = False
    is_gone: bool = False
    watched: int = 0


@dataclass(eq=False, slots=True)
class _Pair:
    """A flow with its two connections. until: when it is closed, once it has ended."""

    flow: TlsFlow
    program: _Side
    service: _Side
    until: float = NEVER
    sides: tuple[_Side, _Side] = field(init=False)

    def __post_init__(self) -> None:
        self.sides = self.program, self.service


class TlsProcess:
    """All flows. control: where the box speaks."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pairs: dict[int, _Pair] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, READ, None)

    def run(self) -> None:
        """Work until the box is gone; then close all."""
        try:
            while self._work():
                pass
        finally:
            for pair in self._pairs.values():
                for side in pair.sides:
                    self._close(side)
            self._selector.close()

    def _work(self) -> bool:
        """Wait for something and do it; return whether the box is still there."""
        due = min((min(pair.flow.until, pair.until) for pair in self._pairs.values()), default=NEVER)
        events = self._selector.select(None if due == NEVER else max(0.0, due - time.monotonic()))
        now = time.monotonic()
        touched: set[int] = {number for number, pair in self._pairs.items() if min(pair.flow.until, pair.until) <= now}
        for key, mask in events:
            if key.data is None:
                number = self._obey(now)
                if number is None:
                    return False
            else:
                number, side = key.data
                self._serve(self._pairs[number], side, mask, now)
            touched.add(number)
        for number in touched & self._pairs.keys():
            self._after(number, self._pairs[number], now)
        return True

    def _obey(self, now: float) -> int | None:
        """Take what the box says; return of which flow, None where the box is gone. Raises RemoteError where it says what it cannot."""
        said, descriptors, _, _ = socket.recv_fds(self._control, MAX_WORD_OCTETS, 2)
        given = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if not said:
            return None
        word = parse_word(said)
        if isinstance(word, Begin):
            if len(given) != 2 or word.flow in self._pairs:
                raise RemoteError("a flow has two connections")
            for each in given:
                each.setblocking(False)
            self._pairs[word.flow] = _Pair(TlsFlow(word, now), _Side(given[0], is_program=True), _Side(given[1], is_program=False))
        elif word.flow in self._pairs:
            with self._its_own(self._pairs[word.flow]):
                self._pairs[word.flow].flow.obey(word)
        return word.flow

    @contextlib.contextmanager
    def _its_own(self, pair: _Pair) -> Iterator[None]:
        """Let what the library refuses in one flow end that one alone."""
        try:
            yield
        except (OSError, ValueError):  # of which ssl.SSLError is one
            if pair.flow.state is not State.ENDING:
                pair.flow.lose(is_program=True)

    def _serve(self, pair: _Pair, side: _Side, mask: int, now: float) -> None:
        """Read a connection that can be read. What is to be sent is sent afterwards."""
        if not mask & READ:
            return
        try:
            came = side.own.recv(CHUNK_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        side.has_ended = not came
        if pair.flow.state is State.ENDING:
            return  # it is read and forgotten: unread, it would reset the connection, and what was just sent might be lost
        with self._its_own(pair):
            if side.is_program:
                pair.flow.receive_program(came, now)
            else:
                pair.flow.receive_service(came, now)

    def _after(self, number: int, pair: _Pair, now: float) -> None:
        """Send what there is, tell the box, and wait for what comes next."""
        flow, before = pair.flow, None
        flow.handle_timer(now)
        outs = ((pair.program, flow.to_program), (pair.service, flow.to_service))
        waited = len(flow.to_program) + len(flow.to_service)
        while before is not flow.state:  # where one cannot be sent to, the other is told
            before = flow.state
            for side, out in outs:
                self._send(flow, side, out)
        words, flow.words = flow.words, []
        for word in words:
            self._control.send(serialise_word(word))
        if flow.state is State.ENDING:
            waits = len(flow.to_program) + len(flow.to_service)
            if pair.until == NEVER or waits < waited:
                pair.until = now + (DRAIN_S if waits else CLOSE_S)
            for side in pair.sides:
                if pair.until <= now or (side.has_ended and side.is_shut):
                    self._close(side)
            if all(side.is_gone for side in pair.sides):
                del self._pairs[number]
                return
        is_ending = flow.state is State.ENDING
        for (side, out), reads in zip(outs, (flow.reads_program, flow.reads_service), strict=True):
            self._watch(number, side, (READ if reads or (is_ending and not side.has_ended) else 0) | (WRITE if out else 0))

    def _send(self, flow: TlsFlow, side: _Side, out: bytearray) -> None:
        if side.is_gone:
            out.clear()
            return
        try:
            while out:
                del out[: side.own.send(memoryview(out)[:CHUNK_OCTETS])]
            if flow.state is State.ENDING and not side.is_shut:
                side.is_shut = True
                side.own.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            out.clear()
            self._close(side)
            if flow.state is not State.ENDING:
                flow.lose(is_program=side.is_program)

    def _watch(self, number: int, side: _Side, wanted: int) -> None:
        if side.is_gone or wanted == side.watched:
            return
        if not side.watched:
            self._selector.register(side.own, wanted, (number, side))
        elif wanted:
            self._selector.modify(side.own, wanted, (number, side))
        else:
            self._selector.unregister(side.own)
        side.watched = wanted

    def _close(self, side: _Side) -> None:
        if side.is_gone:
            return
        if side.watched:
            self._selector.unregister(side.own)
        side.own.close()
        side.is_gone, side.watched = True, 0


def main() -> None:
    """Be the process."""
    keep_memory_private()
    os.nice(NICER)
    TlsProcess(socket.socket(fileno=sys.stdin.fileno())).run()


if __name__ == "__main__":
    main()
